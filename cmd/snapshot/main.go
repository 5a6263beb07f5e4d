// SPDX-License-Identifier: AGPL-3.0-or-later

// Command snapshot serves the store to the other services. See
// docs/snapshot.md.
package main

import (
	"context"
	"os"

	"github.com/chartroom/chartroom/internal/interrupt"
	"github.com/chartroom/chartroom/services/snapshot"
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	code := snapshot.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
