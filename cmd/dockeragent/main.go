// SPDX-License-Identifier: AGPL-3.0-or-later

// Command dockeragent runs the agent of a host with a container engine; see
// docs/dockeragent.md.
package main

import (
	"context"
	"os"

	"github.com/chartroom/chartroom/internal/interrupt"
	"github.com/chartroom/chartroom/services/dockeragent"
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	code := dockeragent.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
