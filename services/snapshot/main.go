// SPDX-License-Identifier: AGPL-3.0-or-later

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/version"
)

// Main runs the service as a process of its own: it reads the flags in args,
// and for what they do not name the environment (CHARTROOM_STORE,
// CHARTROOM_TLS_DIR, CHARTROOM_LOG_LEVEL, CHARTROOM_LOG_FORMAT), logs to
// stderr, and returns when ctx ends.
func Main(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	var c Config
	flags := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "`HOST:PORT` to listen on; beyond loopback only with --tls-dir")
	flags.StringVar(&c.Store, "store", cmp.Or(getenv("CHARTROOM_STORE"), "redis://127.0.0.1:6379"), "redis://…, rediss://…, redis+unix://…, redis-sentinel://… or pebble:DIR")
	flags.StringVar(&c.Security.Dir, "tls-dir", getenv("CHARTROOM_TLS_DIR"), "`DIR` with certificates and token, made by chartroom init")
	flags.IntVar(&c.LogRetention, "log-retention", 1000, "log `entries` of an instance that are kept at least")
	level := flags.String("log-level", getenv("CHARTROOM_LOG_LEVEL"), "debug, info, warn or error")
	format := flags.String("log-format", getenv("CHARTROOM_LOG_FORMAT"), "text or json")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.Log, err = telemetry.NewLogger(stderr, "snapshot", *level, *format); err != nil {
		return err
	}
	shutdown, err := telemetry.Setup(ctx, "snapshot", version.Version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown()) }()
	s, err := New(c)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
