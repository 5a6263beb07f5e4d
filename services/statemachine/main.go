// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/version"
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
	c := Config{}
	var level, format, trusted string
	flags := flag.NewFlagSet("statemachine", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "listen on `HOST:PORT`")
	flags.StringVar(&c.Advertise, "advertise", "", "`ADDRESS` by which agents and gateways reach this process (default: that of the listener)")
	flags.StringVar(&c.SnapshotAddress, "snapshot", "127.0.0.1:7401", "`ADDRESS` of the snapshot service")
	flags.StringVar(&c.Owner, "owner", "statemachine", "stable `NAME` under which shards are owned; one for each process")
	flags.IntVar(&c.Workers, "workers", 0, "goroutines that step instances (default 4)")
	flags.DurationVar(&c.Retain, "retain", 24*time.Hour, "how long an instance is kept after its end; negative for ever")
	flags.StringVar(&c.Security.Dir, "tls-dir", getenv("CHARTROOM_TLS_DIR"), "`DIR` that chartroom init has filled")
	flags.StringVar(&trusted, "trust", getenv("CHARTROOM_TRUST"), "`NAMES` of charts, separated by commas, that may run in this process; * for all")
	flags.StringVar(&level, "log-level", getenv("CHARTROOM_LOG_LEVEL"), "debug, info, warn or error (CHARTROOM_LOG_LEVEL; default info)")
	flags.StringVar(&format, "log-format", getenv("CHARTROOM_LOG_FORMAT"), "text or json (CHARTROOM_LOG_FORMAT; default text)")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	log, err := telemetry.NewLogger(stderr, "statemachine", level, format)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "statemachine: %v\nSee: statemachine --help\n", err)
		return 2
	}
	c.Log = log
	c.Trusted = strings.FieldsFunc(trusted, func(r rune) bool { return r == ',' || r == ' ' })
	pool := NewSandbox()
	defer pool.Close()
	c.Sandbox = pool
	flush, err := telemetry.Setup(ctx, "statemachine", version.Version)
	if err == nil {
		defer func() { _ = flush() }()
		var s *Service
		if s, err = New(c); err == nil {
			err = s.Run(ctx)
		}
	}
	if err != nil {
		log.Error("statemachine ended", "err", err)
		return 1
	}
	return 0
}
