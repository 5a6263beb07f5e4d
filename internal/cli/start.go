// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/transport"
)

func (a *app) initCommand() *cobra.Command {
	var hosts []string
	var dashboard string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make certificates and a token for services on more than one machine",
		Long: "Make a directory with a CA, a certificate for servers, one for clients, and a token. Give it to every service\n" +
			"and client with --tls-dir DIR (or CHARTROOM_TLS_DIR). A directory that is complete is left as it is.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := transport.Generate(args[0], hosts); err != nil {
				return err
			}
			fmt.Fprintf(a.env.Stdout, "%s holds the CA, certificates and the token.\nKeep it secret; give it to services and clients with --tls-dir %s\n", args[0], args[0])
			if dashboard == "" {
				return nil
			}
			token, err := transport.Security{Dir: args[0]}.Token()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.env.Stdout, "\nDashboard: %s/login#token=%s\n", strings.TrimSuffix(dashboard, "/"), token)
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "name or address under which servers are reached, beside loopback; may be repeated")
	cmd.Flags().StringVar(&dashboard, "dashboard", "", "print the address that opens the dashboard at this URL, with the token in it")
	return cmd
}

func (a *app) upCommand() *cobra.Command {
	config := UpConfig{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine in one process",
		Long: "Run all services in one process on an embedded store, until interrupted. Every container of the engine is\n" +
			"observed; those with the label chartroom.enable=true are managed.",
		Example: "  chartroom up\n  chartroom up --engine fake     # try it without Docker",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config.Engine != "docker" && config.Engine != "fake" {
				return usagef("there is no engine %q: use docker or fake", config.Engine)
			}
			logger, err := a.logger("info")
			if err != nil {
				return err
			}
			config.Logger, config.Security = logger, a.security()
			if err := os.MkdirAll(config.Data, 0o700); err != nil {
				return fmt.Errorf("make the data directory: %w", err)
			}
			err = a.env.Up(cmd.Context(), config, func(r Running) {
				fmt.Fprintf(a.env.Stdout, "chartroom is up. Dashboard: %s\nData: %s. End it with an interrupt; containers go on.\n", r.Dashboard, config.Data)
			})
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w\nSomething listens there already; choose another address: --listen HOST:PORT", err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Data, "data", or(a.env.Getenv("CHARTROOM_DATA"), dataDir(a.env.Getenv)), "directory of the store and the journal (CHARTROOM_DATA)")
	f.StringVar(&config.Engine, "engine", "docker", "docker (at DOCKER_HOST or the default socket) or fake")
	f.StringVar(&config.Listen, "listen", DefaultServer, "address of API and dashboard; one beyond loopback needs --tls-dir")
	f.StringVar(&config.Only, "only", a.env.Getenv("CHARTROOM_ONLY"), "act only on containers with this label, NAME=VALUE (CHARTROOM_ONLY)")
	f.StringSliceVar(&config.Trusted, "trust", nil, "names of pushed charts that may run in this process whatever they do; * for all")
	f.StringVar(&config.Host, "host-id", "", "id of this host; empty enrols one, once")
	f.IntVar(&config.LogRetention, "log-retention", 1000, "log entries of an instance that are kept at least")
	return cmd
}

// dataDir is where up keeps its data unless told otherwise.
func dataDir(getenv func(string) string) string {
	base := getenv("XDG_STATE_HOME")
	if base == "" {
		base = filepath.Join(or(getenv("HOME"), "."), ".local", "state")
	}
	return filepath.Join(base, "chartroom")
}

func (a *app) demoCommand() *cobra.Command {
	config := DemoConfig{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a real container die and come back with its state",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch config.Fault {
			case "", "drop", "twice", "stale":
			default:
				return usagef("there is no fault %q: use drop, twice or stale", config.Fault)
			}
			if config.Report != "" && !config.Once {
				return usagef("--report goes with --once")
			}
			logger, err := a.logger("error")
			if err != nil {
				return err
			}
			config.Logger, config.Stdout = logger, a.env.Stdout
			return a.env.Demo(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Image, "image", "", "the image chartroom/scxml; empty builds one from the program beside this")
	f.BoolVar(&config.Once, "once", false, "unattended: check every claim against outside witnesses, then end")
	f.StringVar(&config.Report, "report", "", "write the figures to this file")
	f.StringVar(&config.Fault, "fault", a.env.Getenv("FAULT"), "build a fault in that must be found out: drop, twice or stale (FAULT)")
	f.IntVar(&config.Pairs, "pairs", 15, "recoveries to measure, each beside one of the engine's own; with --once")
	f.StringVar(&config.Data, "data", "", "directory to run in; empty makes one and removes it")
	f.StringVar(&config.Listen, "listen", DefaultServer, "address of API and dashboard; taken ones are replaced by a free port")
	return cmd
}
