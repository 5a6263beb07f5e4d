// SPDX-License-Identifier: AGPL-3.0-or-later

// Command chartroom-scxml runs an SCXML file as an application that chartroom
// can supervise. See docs/application-contract.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/chartroom/chartroom/internal/application"
)

func main() {
	// Date in a chart must mean the same wherever it runs.
	time.Local = time.UTC
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := application.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chartroom-scxml:", err)
		os.Exit(1)
	}
}
