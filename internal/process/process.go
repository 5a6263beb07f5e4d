// SPDX-License-Identifier: AGPL-3.0-or-later

// Package process runs a service as a process of its own: the flags that every
// service has, its log, its traces and its exit code.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/internal/version"
)

// Exit codes of a process.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Service is what a process runs. Run serves until ctx ends.
type Service interface {
	Run(ctx context.Context) error
}

// Flags are the flags of a service. Those of the service alone are added before
// [Flags.Run] is called, once.
type Flags struct {
	*flag.FlagSet
	level, format *string
}

// NewFlags gives the flags that every service has: --tls-dir for security,
// --log-level and --log-format. What they do not name is taken from the
// environment: CHARTROOM_TLS_DIR, CHARTROOM_LOG_LEVEL, CHARTROOM_LOG_FORMAT.
// Wrong usage and help are written to stderr, and so is the log.
func NewFlags(service string, security *transport.Security, getenv func(string) string, stderr io.Writer) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(service, flag.ContinueOnError)}
	f.SetOutput(stderr)
	f.StringVar(&security.Dir, "tls-dir", getenv("CHARTROOM_TLS_DIR"), "`DIR` that chartroom init has filled (CHARTROOM_TLS_DIR)")
	f.level = f.String("log-level", getenv("CHARTROOM_LOG_LEVEL"), "debug, info, warn or error (CHARTROOM_LOG_LEVEL; default info)")
	f.format = f.String("log-format", getenv("CHARTROOM_LOG_FORMAT"), "text or json (CHARTROOM_LOG_FORMAT; default text)")
	return f
}

// Run reads the flags in args, makes the service and runs it until ctx ends. It
// returns the exit code of the process: 0, 1 after an error, which is logged, 2
// for wrong usage.
func (f *Flags) Run(ctx context.Context, args []string, start func(*slog.Logger) (Service, error)) int {
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage // Parse has said it
	}
	log, err := telemetry.NewLogger(f.Output(), f.Name(), *f.level, *f.format)
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(f.Output(), "%s: %v\nSee: %s --help\n", f.Name(), err, f.Name())
		return exitUsage
	}
	if err := f.serve(ctx, log, start); err != nil {
		log.Error(f.Name()+" ended", "err", err)
		return exitError
	}
	return exitOK
}

func (f *Flags) serve(ctx context.Context, log *slog.Logger, start func(*slog.Logger) (Service, error)) (err error) {
	flush, err := telemetry.Setup(ctx, f.Name(), version.Version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush()) }()
	s, err := start(log)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
