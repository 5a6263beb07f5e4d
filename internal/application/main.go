// SPDX-License-Identifier: AGPL-3.0-or-later

package application

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/scxml"
)

// chartPath is where an image puts its chart.
const chartPath = "/app/chart.scxml"

// Main is the program chartroom-scxml: it reads flags and environment and runs
// the application until ctx ends. A chart is looked for in the argument, then at
// /app/chart.scxml; without either the built-in helloworld runs.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("chartroom-scxml", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: chartroom-scxml [flags] [FILE.scxml]\n\n"+
			"Runs the chart in FILE, else in %s, else helloworld.\n\n", chartPath)
		flags.PrintDefaults()
	}
	socket := flags.String("socket", getenv("CHARTROOM_SOCKET"), "unix socket to listen at (CHARTROOM_SOCKET)")
	policy := flags.String("policy", getenv("CHARTROOM_SNAPSHOT_POLICY"), "event or manual (CHARTROOM_SNAPSHOT_POLICY)")
	alone := flags.Bool("alone", false, "start at once, without waiting for chartroom")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	chart, err := load(flags.Arg(0))
	if err != nil {
		return err
	}
	app, err := New(Config{
		Chart: chart, Socket: *socket, Policy: Policy(*policy), Alone: *alone,
		Stdout: stdout, Logger: slog.New(slog.NewTextHandler(stderr, nil)),
	})
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// load reads and compiles the chart.
func load(path string) (*scxml.Chart, error) {
	doc, name, err := []byte(nil), path, error(nil)
	if path == "" {
		name = chartPath
	}
	doc, err = os.ReadFile(name)
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		name = "helloworld"
		doc, err = charts.Document(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read chart: %w", err)
	}
	parsed, err := scxml.Parse(name, doc, scxml.Limits{})
	if err != nil {
		return nil, err
	}
	return scxml.Compile(parsed, scxml.Options{})
}
