// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/chartroom/chartroom/internal/process"
	"github.com/chartroom/chartroom/internal/version"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
)

// Main runs the agent as a process of its own: it reads flags (arguments without
// the program's name) and environment, and runs until ctx ends. It returns the
// exit code: 0, 1 after an error, 2 for wrong usage.
func Main(ctx context.Context, arguments []string, getenv func(string) string, stdout, stderr io.Writer) int {
	var c Config
	var dump, asked bool
	flags := process.NewFlags("dockeragent", &c.Security, getenv, stderr)
	flags.StringVar(&c.StatemachineAddress, "statemachine", "127.0.0.1:7402", "`ADDRESS` of the statemachine service")
	flags.StringVar(&c.State, "state", "/var/lib/chartroom/dockeragent", "`DIR` for the journal and the host's id")
	flags.StringVar(&c.HostID, "host-id", "", "`ID` under which this host is enrolled, once (default: the host name)")
	flags.StringVar(&c.DisplayName, "display-name", "", "`NAME` for people (default: the host name)")
	flags.StringVar(&c.Engine, "engine", "docker", "docker (at DOCKER_HOST or the local socket) or fake")
	flags.StringVar(&c.Only, "only", getenv("CHARTROOM_ONLY"), "act only on containers with this label, `NAME=VALUE` (CHARTROOM_ONLY)")
	flags.StringVar(&c.Address, "address", DefaultAddress, "serve health on `HOST:PORT`, or none")
	flags.Int64Var(&c.JournalBytes, "journal-bytes", 64<<20, "bound of the journal in `BYTES`")
	flags.DurationVar(&c.StartEvery, "start-every", 0, "pause between starts of stopped containers of one image (default 50ms)")
	flags.BoolVar(&dump, "dump", false, "print the journal below --state as JSON lines, and exit")
	flags.BoolVar(&asked, "version", false, "print the version, and exit")
	return flags.Run(ctx, arguments, func(log *slog.Logger) (process.Service, error) {
		switch c.Log = log; {
		case asked:
			return printer(func() error {
				_, err := fmt.Fprintln(stdout, version.Version)
				return err
			}), nil
		case dump:
			return printer(func() error {
				return journal.Walk(filepath.Join(c.State, "journal"), func(kind byte, body []byte) error {
					_, err := fmt.Fprintf(stdout, "%c %s\n", kind, body)
					return err
				})
			}), nil
		}
		return New(c)
	})
}

// printer says something in place of serving.
type printer func() error

// Run implements [process.Service].
func (p printer) Run(context.Context) error { return p() }
