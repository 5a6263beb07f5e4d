// SPDX-License-Identifier: AGPL-3.0-or-later

// Command gateway serves the public API and the dashboard. See
// docs/gateway.md.
package main

import (
	"context"
	"os"

	"github.com/chartroom/chartroom/internal/interrupt"
	"github.com/chartroom/chartroom/services/gateway"
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	code := gateway.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
