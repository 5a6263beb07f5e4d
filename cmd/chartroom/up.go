// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/telemetry"
	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/internal/version"
	"github.com/chartroom/chartroom/services/dockeragent"
	"github.com/chartroom/chartroom/services/gateway"
	"github.com/chartroom/chartroom/services/snapshot"
	"github.com/chartroom/chartroom/services/statemachine"
)

// up runs all services in this process until ctx ends: the same code as on
// four machines, over connections that do not leave the process, on the
// embedded store. The end of one service ends all.
func up(ctx context.Context, c cli.UpConfig, ready func(cli.Running)) (err error) {
	flush, err := telemetry.Setup(ctx, "up", version.Version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush()) }()
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
		Listener: store, Store: "pebble:" + filepath.Join(c.Data, "store"), LogRetention: c.LogRetention,
		Log: c.Logger.With("service", "snapshot"),
	})
	if err != nil {
		return err
	}
	pool := statemachine.NewSandbox()
	defer pool.Close()
	state, err := statemachine.New(statemachine.Config{
		Listener: machine, Snapshot: toStore, Sandbox: pool, Trusted: c.Trusted, Log: c.Logger.With("service", "statemachine"),
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
	// The store goes last, so that the others can give back what they hold.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	stored := make(chan struct{})
	var storeErr error
	go func() {
		defer close(stored)
		storeErr = snap.Run(lasting)
	}()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-stored:
			return errors.New("snapshot has ended")
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(named(ctx, "statemachine", state.Run))
	group.Go(named(ctx, "gateway", gate.Run))
	group.Go(func() error {
		if serving(ctx, toStore, toMachine) != nil {
			return nil // ctx has ended
		}
		return named(ctx, "dockeragent", agent.Run)()
	})
	group.Go(func() error {
		if serving(ctx, toStore, toMachine) != nil {
			return nil
		}
		address, scheme := gate.Addr().String(), "http"
		if c.Security.Enabled() {
			scheme = "https"
		}
		ready(cli.Running{Address: address, Dashboard: scheme + "://" + address + "/"})
		return nil
	})
	err = group.Wait()
	stop()
	<-stored
	return errors.Join(err, storeErr)
}

// named says which service an error is of. An end that was asked for is none.
func named(ctx context.Context, name string, run func(context.Context) error) func() error {
	return func() error {
		err := run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			return fmt.Errorf("%s has ended", name)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
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
