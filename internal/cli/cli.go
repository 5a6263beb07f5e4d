// SPDX-License-Identifier: AGPL-3.0-or-later

// Package cli is the command line of chartroom: a client of the public API,
// and the commands that start something (up, demo, init), which cmd/chartroom
// hands in so that this package knows no service.
//
// A command tree belongs to one call of [Main]; nothing here is shared between
// goroutines, beside what a stream needs.
//
// Exit codes are part of the interface: see [Code].
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/internal/version"
)

// DefaultServer is where the gateway listens unless told otherwise.
const DefaultServer = "127.0.0.1:7400"

// Env is what the commands need from the process, and what cmd/chartroom wires.
type Env struct {
	// Stdin, Stdout and Stderr are the process's. Required.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads the environment. Required.
	Getenv func(string) string
	// Up runs all services until ctx ends. nil leaves out up and demo.
	Up func(ctx context.Context, config UpConfig, ready func(Running)) error
	// Demo runs the demonstration. nil leaves it out.
	Demo func(ctx context.Context, config DemoConfig) error
}

// UpConfig says how all services run in one process.
type UpConfig struct {
	// Data is the directory of the embedded store and the agent's journal.
	Data string
	// Engine is "docker" or "fake".
	Engine string
	// Only is a label, NAME=VALUE: containers without it are observed and never
	// touched. Empty: no such bound.
	Only string
	// Listen is the address of the gateway.
	Listen string
	// Host is the host id; empty lets the agent enrol one.
	Host string
	// Trusted are names of charts that may run in this process although they were
	// pushed; "*" means all.
	Trusted []string
	// LogRetention is how many log entries of an instance are kept at least; 0
	// means the store's default.
	LogRetention int
	// Security secures the gateway's listener; zero for loopback.
	Security transport.Security
	// Logger gets what the services say.
	Logger *slog.Logger
}

// Running tells of services that run.
type Running struct {
	// Address is that of the gateway, with the real port.
	Address string
	// Dashboard is the address for a browser.
	Dashboard string
}

// DemoConfig says how the demonstration runs.
type DemoConfig struct {
	// Image is the runner of charts, chartroom/scxml; empty builds one.
	Image string
	// Once checks every claim unattended and ends; otherwise it stays up.
	Once bool
	// Report is the file for the figures, with Once.
	Report string
	// Fault builds a fault in, which must be found out: "", "drop", "twice"
	// or "stale".
	Fault string
	// Pairs is how many recoveries are measured beside the engine's own.
	Pairs int
	// Data is the directory to run in; empty makes one and removes it.
	Data string
	// Listen is the address of the gateway; port 0 takes any free one.
	Listen string
	// Stdout gets the story.
	Stdout io.Writer
	// Logger gets what the services say.
	Logger *slog.Logger
}

// app is one call of the program.
type app struct {
	env    Env
	server string
	tlsDir string
	output string
	level  string
}

// Main runs the command that args name and returns the exit code. What went
// wrong is on Stderr by then: what happened, and what to do next.
func Main(ctx context.Context, args []string, env Env) int {
	root := New(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(OK)
	}
	code := codeOf(err)
	if errors.Is(err, context.Cause(ctx)) {
		code = Interrupted // by the signal that is the cause
	}
	if message := explain(err); message != "" {
		fmt.Fprintln(env.Stderr, "chartroom: "+strings.ReplaceAll(message, "\n", "\n  "))
	}
	return int(code)
}

// New makes the tree of commands.
func New(env Env) *cobra.Command {
	a := &app{env: env}
	root := &cobra.Command{
		Use:   "chartroom",
		Short: "Supervise containers with statecharts, and give them their state back",
		Long: "Every container is an instance: a statechart that mirrors what happens to it, decides which events\n" +
			"reach it, keeps the state that the application dumped, and restores it after a crash.\n\n" +
			"Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 refused by the state, 5 timed out,\n" +
			"6 unreachable, 7 conflict, 8 findings, 130 interrupted.",
		Version:       built(version.This()),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}")
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee: %s --help", err, cmd.CommandPath())}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.server, "server", or(env.Getenv("CHARTROOM_SERVER"), DefaultServer), "address of the gateway (CHARTROOM_SERVER)")
	flags.StringVar(&a.tlsDir, "tls-dir", env.Getenv("CHARTROOM_TLS_DIR"), "directory made by init: certificates and token (CHARTROOM_TLS_DIR)")
	flags.StringVarP(&a.output, "output", "o", "table", "table, wide, json or yaml")
	flags.StringVar(&a.level, "log-level", or(env.Getenv("CHARTROOM_LOG_LEVEL"), ""), "debug, info, warn or error (CHARTROOM_LOG_LEVEL)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Annotations[ownForm] != "" && cmd.Flags().Changed("output") {
			return usagef("%s %s: --output does not go with it", cmd.CommandPath(), cmd.Annotations[ownForm])
		}
		switch a.output {
		case "table", "wide", "json", "yaml":
			return nil
		}
		return usagef("there is no output %q: use table, wide, json or yaml", a.output)
	}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))

	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("start", "Start chartroom:", a.startCommands()...)
	group("look", "Look:", a.getCommand(), a.describeCommand(), a.watchCommand(), a.logCommand(), hasOwnForm(a.logsCommand(), "passes on what the program wrote"), a.doctorCommand(), a.healthCommand())
	group("make", "Make instances:", a.createCommand(), a.runCommand(), a.chartCommand())
	group("act", "Act on an instance:", append(a.intentCommands(), a.sendCommand(), a.waitCommand(), hasOwnForm(a.attachCommand(), "passes on what the program wrote"), a.snapshotCommand())...)
	root.AddCommand(a.workerCommand(), a.benchCommand(), a.versionCommand())
	root.InitDefaultCompletionCmd() // now, so that it is wrapped as the others are
	wrapArgs(root)
	return root
}

// ownForm is the annotation of commands whose output has a form of its own,
// with what that is.
const ownForm = "form"

// hasOwnForm notes that a command's output is not laid out by --output.
func hasOwnForm(cmd *cobra.Command, form string) *cobra.Command {
	cmd.Annotations = map[string]string{ownForm: form}
	return cmd
}

// startCommands are those that cmd/chartroom wired.
func (a *app) startCommands() []*cobra.Command {
	commands := []*cobra.Command{hasOwnForm(a.initCommand(), "makes files")}
	if a.env.Up != nil {
		commands = append(commands, hasOwnForm(a.upCommand(), "runs services"))
	}
	if a.env.Demo != nil {
		commands = append(commands, hasOwnForm(a.demoCommand(), "tells a story"))
	}
	return commands
}

// wrapArgs makes wrong arguments a usage error everywhere.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	if cmd.HasSubCommands() && !cmd.Runnable() {
		check, cmd.Args = nil, oneOf
		cmd.RunE = func(c *cobra.Command, _ []string) error {
			if !c.HasParent() {
				return c.Help()
			}
			return usagef("%s needs a command\nSee: %s --help", c.CommandPath(), c.CommandPath())
		}
	}
	if check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{fmt.Errorf("%w\nUsage: %s", err, c.UseLine())}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}

// oneOf refuses a word where the name of a command belongs.
func oneOf(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	next := "See what there is: " + c.CommandPath() + " --help"
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		next = "Was it meant to be: " + strings.Join(near, ", ") + "?\n" + next
	}
	return usagef("there is no command %q\n%s", strings.TrimPrefix(c.CommandPath()+" "+args[0], "chartroom "), next)
}

// logger is that of the services in this process: quiet unless asked.
func (a *app) logger(quiet string) (*slog.Logger, error) {
	l, err := telemetry.NewLogger(a.env.Stderr, "", or(a.level, quiet), a.env.Getenv("CHARTROOM_LOG_FORMAT"))
	if err != nil {
		return nil, usageError{err}
	}
	return l, nil
}

// withTimeout bounds a call that should be answered at once.
func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, 30*time.Second, errors.New("no answer within 30 s"))
}

// or gives the first of the two that is not empty.
func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
