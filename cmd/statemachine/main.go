// SPDX-License-Identifier: AGPL-3.0-or-later

// Command statemachine runs the instances of a fleet: see package
// services/statemachine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/chartroom/chartroom/services/statemachine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := statemachine.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
