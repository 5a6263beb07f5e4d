// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/process"
	"github.com/chartroom/chartroom/internal/sandbox"
)

// Main runs the service as a process of its own: it reads flags (arguments
// without the program's name) and environment, and serves until ctx ends. It
// returns the exit code: 0, 1 after an error, 2 for wrong usage.
func Main(ctx context.Context, arguments []string, getenv func(string) string, stderr io.Writer) int {
	// Date in a chart must mean the same wherever it runs.
	time.Local = time.UTC
	if len(arguments) == 1 && arguments[0] == sandbox.Command {
		fmt.Fprintln(stderr, "statemachine:", sandbox.Serve(os.Stdin, os.Stdout, (&chartwork.Host{}).Handle))
		return 1
	}
	var c Config
	var trusted string
	flags := process.NewFlags("statemachine", &c.Security, getenv, stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "listen on `HOST:PORT`")
	flags.StringVar(&c.Advertise, "advertise", "", "`ADDRESS` by which agents and gateways reach this process (default: that of the listener)")
	flags.StringVar(&c.SnapshotAddress, "snapshot", "127.0.0.1:7401", "`ADDRESS` of the snapshot service")
	flags.StringVar(&c.Owner, "owner", "statemachine", "stable `NAME` under which shards are owned; one for each process")
	flags.IntVar(&c.Workers, "workers", 0, "goroutines that step instances (default 4)")
	flags.DurationVar(&c.Retain, "retain", 24*time.Hour, "how long an instance is kept after its end; negative for ever")
	flags.StringVar(&trusted, "trust", getenv("CHARTROOM_TRUST"), "`NAMES` of charts, separated by commas, that may run in this process; * for all")
	pool := NewSandbox()
	defer pool.Close()
	return flags.Run(ctx, arguments, func(log *slog.Logger) (process.Service, error) {
		c.Log, c.Sandbox = log, pool
		c.Trusted = strings.FieldsFunc(trusted, func(r rune) bool { return r == ',' || r == ' ' })
		return New(c)
	})
}
