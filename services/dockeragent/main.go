// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/version"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
)

// Main runs the agent as a process of its own: it reads flags (arguments without
// the program's name) and environment, and runs until ctx ends. It returns the
// exit code: 0, 1 after an error, 2 for wrong usage.
func Main(ctx context.Context, arguments []string, getenv func(string) string, stdout, stderr io.Writer) int {
	c := Config{}
	var level, format string
	var dump, asked bool
	flags := flag.NewFlagSet("dockeragent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.StatemachineAddress, "statemachine", "127.0.0.1:7402", "`ADDRESS` of the statemachine service")
	flags.StringVar(&c.State, "state", "/var/lib/chartroom/dockeragent", "`DIR` for the journal and the host's id")
	flags.StringVar(&c.HostID, "host-id", "", "`ID` under which this host is enrolled, once (default: the host name)")
	flags.StringVar(&c.DisplayName, "display-name", "", "`NAME` for people (default: the host name)")
	flags.StringVar(&c.Engine, "engine", "docker", "docker (at DOCKER_HOST or the local socket) or fake")
	flags.StringVar(&c.Only, "only", getenv("CHARTROOM_ONLY"), "act only on containers with this label, `NAME=VALUE` (CHARTROOM_ONLY)")
	flags.StringVar(&c.Address, "address", DefaultAddress, "serve health on `HOST:PORT`, or none")
	flags.Int64Var(&c.JournalBytes, "journal-bytes", 64<<20, "bound of the journal in `BYTES`")
	flags.DurationVar(&c.StartEvery, "start-every", 0, "pause between starts of stopped containers of one image (default 50ms)")
	flags.StringVar(&c.Security.Dir, "tls-dir", getenv("CHARTROOM_TLS_DIR"), "`DIR` that chartroom init has filled")
	flags.StringVar(&level, "log-level", getenv("CHARTROOM_LOG_LEVEL"), "debug, info, warn or error (CHARTROOM_LOG_LEVEL; default info)")
	flags.StringVar(&format, "log-format", getenv("CHARTROOM_LOG_FORMAT"), "text or json (CHARTROOM_LOG_FORMAT; default text)")
	flags.BoolVar(&dump, "dump", false, "print the journal below --state as JSON lines, and exit")
	flags.BoolVar(&asked, "version", false, "print the version, and exit")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	log, err := telemetry.NewLogger(stderr, "dockeragent", level, format)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "dockeragent: %v\nSee: dockeragent --help\n", err)
		return 2
	}
	if asked {
		fmt.Fprintln(stdout, version.Version)
		return 0
	}
	if dump {
		err = journal.Walk(filepath.Join(c.State, "journal"), func(kind byte, body []byte) error {
			_, err := fmt.Fprintf(stdout, "%c %s\n", kind, body)
			return err
		})
	} else {
		c.Log = log
		err = serve(ctx, c)
	}
	if err != nil {
		log.Error("dockeragent ended", "err", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, c Config) error {
	flush, err := telemetry.Setup(ctx, "dockeragent", version.Version)
	if err != nil {
		return err
	}
	defer func() { _ = flush() }()
	s, err := New(c)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
