// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"io"
	"log/slog"

	"github.com/chartroom/chartroom/internal/process"
)

// Main runs the service as a process of its own: it reads the flags in args,
// and for what they do not name the environment (see [process.NewFlags]), and
// serves until ctx ends. It returns the exit code: 0, 1 after an error, 2 for
// wrong usage.
func Main(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	var c Config
	flags := process.NewFlags("gateway", &c.Security, getenv, stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "`HOST:PORT` to listen on; beyond loopback only with --tls-dir")
	flags.StringVar(&c.SnapshotAddress, "snapshot", "127.0.0.1:7401", "`ADDRESS` of the snapshot service")
	flags.StringVar(&c.StatemachineAddress, "statemachine", "127.0.0.1:7402", "`ADDRESS` of statemachine")
	return flags.Run(ctx, args, func(log *slog.Logger) (process.Service, error) {
		c.Logger = log
		return New(c)
	})
}
