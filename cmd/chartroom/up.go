// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/services/dockeragent"
	"github.com/chartroom/chartroom/services/gateway"
	"github.com/chartroom/chartroom/services/snapshot"
	"github.com/chartroom/chartroom/services/statemachine"
)

// up runs all services in this process until ctx ends: the same code as on
// four machines, over connections that do not leave the process, on the
// embedded store. The end of one service ends all.
func up(ctx context.Context, c cli.UpConfig, ready func(cli.Running)) error {
	store, machine := transport.NewMemory(), transport.NewMemory()
	toStore, err := store.Dial()
	if err != nil {
		return err
	}
	defer toStore.Close()
	toMachine, err := machine.Dial()
	if err != nil {
		return err
	}
	defer toMachine.Close()

	// The gateway first: a port that is taken is the likeliest fault.
	gate, err := gateway.New(gateway.Config{
		Address: c.Listen, Security: c.Security, Snapshot: toStore, Statemachine: toMachine, Logger: c.Logger.With("service", "gateway"),
	})
	if err != nil {
		return err
	}
	snap, err := snapshot.New(snapshot.Config{
		Listener: store, Store: "pebble:" + filepath.Join(c.Data, "store"), Log: c.Logger.With("service", "snapshot"),
	})
	if err != nil {
		return err
	}
	state, err := statemachine.New(statemachine.Config{
		Listener: machine, Snapshot: toStore, Log: c.Logger.With("service", "statemachine"),
	})
	if err != nil {
		return err
	}
	agent, err := dockeragent.New(dockeragent.Config{
		State: filepath.Join(c.Data, "agent"), HostID: c.Host, Engine: c.Engine, Only: c.Only, Statemachine: toMachine,
		Address: "none", Log: c.Logger.With("service", "dockeragent"),
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context) error{
		"snapshot": snap.Run, "statemachine": state.Run, "gateway": gate.Run, "dockeragent": agent.Run,
	} {
		group.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		if err := serving(ctx, toStore, toMachine); err != nil {
			return nil // ctx has ended
		}
		address := gate.Addr().String()
		scheme := "http"
		if c.Security.Enabled() {
			scheme = "https"
		}
		ready(cli.Running{Address: address, Dashboard: scheme + "://" + address + "/"})
		return nil
	})
	return group.Wait()
}

// serving waits until each service says that it serves.
func serving(ctx context.Context, services ...grpc.ClientConnInterface) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, conn := range services {
		for {
			r, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
			if err == nil && r.GetStatus() == healthv1.HealthCheckResponse_SERVING {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
