// SPDX-License-Identifier: AGPL-3.0-or-later

// Command statemachine runs the instances of a fleet: see package
// services/statemachine.
package main

import (
	"context"
	"os"

	"github.com/chartroom/chartroom/internal/interrupt"
	"github.com/chartroom/chartroom/services/statemachine"
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	code := statemachine.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
