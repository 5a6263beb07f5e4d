// SPDX-License-Identifier: AGPL-3.0-or-later

// Command snapshot serves the store to the other services. See
// docs/snapshot.md.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/chartroom/chartroom/internal/interrupt"
	"github.com/chartroom/chartroom/services/snapshot"
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	err := snapshot.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "snapshot:", err)
		os.Exit(1)
	}
}
