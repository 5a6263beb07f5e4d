// SPDX-License-Identifier: AGPL-3.0-or-later

// Command gateway runs the gateway service alone; see docs/gateway.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/services/gateway"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c gateway.Config
	flag.StringVar(&c.Address, "address", gateway.DefaultAddress, "`HOST:PORT` to listen on")
	flag.StringVar(&c.SnapshotAddress, "snapshot", "127.0.0.1:7401", "`ADDR` of the snapshot service")
	flag.StringVar(&c.StatemachineAddress, "statemachine", "127.0.0.1:7402", "`ADDR` of statemachine")
	flag.StringVar(&c.Security.Dir, "tls-dir", os.Getenv("CHARTROOM_TLS_DIR"), "`DIR` that chartroom init made")
	flag.Parse()
	logger, err := telemetry.NewLogger(os.Stderr, "gateway", os.Getenv("CHARTROOM_LOG"), os.Getenv("CHARTROOM_LOG_FORMAT"))
	if flush, e := telemetry.Setup(ctx, "gateway", "dev"); errors.Join(err, e) != nil {
		err = errors.Join(err, e)
	} else {
		c.Logger = logger
		err = errors.Join(gateway.Run(ctx, c), flush())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1) //nolint:gocritic // nothing but the signals is left to stop
	}
}
