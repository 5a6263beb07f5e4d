// SPDX-License-Identifier: AGPL-3.0-or-later

// Command dockeragent runs the agent of a host with a container engine; see
// docs/dockeragent.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/chartroom/chartroom/services/dockeragent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := dockeragent.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
