// SPDX-License-Identifier: AGPL-3.0-or-later

// Command chartroom is the command line of chartroom, and all its services in
// one process (chartroom up).
package main

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/demo"
	"github.com/chartroom/chartroom/internal/interrupt"
)

func main() {
	if slices.Contains(os.Args, "up") || slices.Contains(os.Args, "demo") {
		// Date in a chart must mean the same wherever it runs. Other commands
		// show local times.
		time.Local = time.UTC
	}
	ctx, stop := interrupt.Context(context.Background())
	code := cli.Main(ctx, os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Up: up,
		Demo: func(ctx context.Context, c cli.DemoConfig) error { return demo.Run(ctx, c, up) },
	})
	stop()
	os.Exit(code)
}
