// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/version"
)

// Main runs the service as a process of its own: it reads the flags in args,
// and for what they do not name the environment (CHARTROOM_TLS_DIR,
// CHARTROOM_LOG_LEVEL, CHARTROOM_LOG_FORMAT), logs to stderr, and returns when
// ctx ends.
func Main(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	var c Config
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.Address, "address", DefaultAddress, "`HOST:PORT` to listen on; beyond loopback only with --tls-dir")
	flags.StringVar(&c.SnapshotAddress, "snapshot", "127.0.0.1:7401", "`ADDRESS` of the snapshot service")
	flags.StringVar(&c.StatemachineAddress, "statemachine", "127.0.0.1:7402", "`ADDRESS` of statemachine")
	flags.StringVar(&c.Security.Dir, "tls-dir", getenv("CHARTROOM_TLS_DIR"), "`DIR` with certificates and token, made by chartroom init")
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
	if c.Logger, err = telemetry.NewLogger(stderr, "gateway", *level, *format); err != nil {
		return err
	}
	shutdown, err := telemetry.Setup(ctx, "gateway", version.Version)
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
