// SPDX-License-Identifier: AGPL-3.0-or-later

package snapshot

import (
	"cmp"
	"context"
	"io"
	"log/slog"

	"github.com/chartroom/chartroom/internal/process"
)

// Main runs the service as a process of its own: it reads the flags in args,
// and for what they do not name the environment (CHARTROOM_STORE and those of
// [process.NewFlags]), and serves until ctx ends. It returns the exit code: 0, 1
// after an error, 2 for wrong usage.
func Main(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	var c Config
	flags := process.NewFlags("snapshot", &c.Security, getenv, stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "`HOST:PORT` to listen on; beyond loopback only with --tls-dir")
	flags.StringVar(&c.Store, "store", cmp.Or(getenv("CHARTROOM_STORE"), "redis://127.0.0.1:6379"), "redis://…, rediss://…, redis+unix://…, redis-sentinel://… or pebble:DIR")
	flags.IntVar(&c.LogRetention, "log-retention", 1000, "log `entries` of an instance that are kept at least")
	return flags.Run(ctx, args, func(log *slog.Logger) (process.Service, error) {
		c.Log = log
		return New(c)
	})
}
