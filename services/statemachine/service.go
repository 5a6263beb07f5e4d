// SPDX-License-Identifier: AGPL-3.0-or-later

// Package statemachine is the service that runs the instances of a fleet: it
// takes observations from agents and intents from the gateway, steps the
// charts, commits to the snapshot service, and dispatches commands.
//
// The way of an event is one function, session.Worker.Run. What the service
// guarantees is written there and in docs/statemachine.md; in short: nothing
// is acknowledged or answered before it is durable, nothing leaves before the
// commit that caused it, and everything that leaves may come twice and acts
// once.
//
// A [Service] runs once. Its parts share nothing but what their own
// documentation calls safe for concurrent use.
package statemachine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/chartroom/chartroom/internal/transport"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/dispatch"
	"github.com/chartroom/chartroom/services/statemachine/internal/owner"
	"github.com/chartroom/chartroom/services/statemachine/internal/rpc"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// Service is one statemachine. Make it with [New], run it once with Run.
type Service struct {
	c        Config
	listener net.Listener
}

// New checks the configuration and opens the listener.
func New(c Config) (*Service, error) {
	c, err := c.resolved()
	if err != nil {
		return nil, err
	}
	s := &Service{c: c, listener: c.Listener}
	if s.listener == nil {
		if s.listener, err = transport.Listen(c.Address, c.Security); err != nil {
			return nil, fmt.Errorf("statemachine: %w", err)
		}
	}
	if s.c.Advertise == "" {
		s.c.Advertise = s.listener.Addr().String()
	}
	return s, nil
}

// Addr is the address of the listener.
func (s *Service) Addr() net.Addr { return s.listener.Addr() }

// healthEvery is how often it is looked whether all shards are owned.
const healthEvery = time.Second

// Run serves until ctx ends. It is healthy (grpc.health.v1) while all shards are
// owned and loaded. Calls about a shard that is not are answered UNAVAILABLE.
func (s *Service) Run(ctx context.Context) error {
	conn, hangUp, err := s.dial()
	if err != nil {
		return err
	}
	defer hangUp()
	store := snapshotv1.NewSnapshotServiceClient(conn)
	charts := owner.NewCharts(store, s.c.Sandbox, s.c.Trusted)
	var o *owner.Owner
	d := dispatch.New(func(in session.Input) bool { return o.TryPost(in) }, s.c.Log)
	o = owner.New(owner.Config{
		Name: s.c.Owner, Address: s.c.Advertise, Snapshot: store, Charts: charts, Workers: s.c.Workers, Log: s.c.Log,
		Worker: session.Config{Dispatcher: d, Inbox: s.c.Inbox, Retain: s.c.Retain},
	})
	srv, err := transport.NewServer(s.c.Security)
	if err != nil {
		return fmt.Errorf("statemachine: %w", err)
	}
	rpc.New(rpc.Config{Owner: o, Charts: charts, Dispatcher: d, Snapshot: store, Log: s.c.Log}).Register(srv)
	healthy := transport.RegisterHealth(srv)
	reflection.Register(srv)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		healthy.Shutdown()
		d.CloseAll("the service is shutting down") // else their streams never end
		return nil
	})
	g.Go(func() error { return transport.Serve(ctx, srv, s.listener) })
	g.Go(func() error {
		if err := s.install(ctx, charts); err != nil {
			return err
		}
		return o.Run(ctx)
	})
	g.Go(func() error {
		s.watchHealth(ctx, o, conn, healthy)
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("statemachine: %w", err)
	}
	return nil
}

// watchHealth says SERVING while all shards are owned: not before they are loaded,
// and not once their leases ran out because the store is away. Then it says whether
// that is it.
func (s *Service) watchHealth(ctx context.Context, o *owner.Owner, snapshot grpc.ClientConnInterface, h *health.Server) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for serving, ready := false, o.Ready(); ; {
		missing, loaded := o.Missing(), ready == nil
		transport.SetNeed(h, "shards", missing == 0 && loaded)
		transport.SetNeed(h, "snapshot", missing == 0 || transport.Trouble(ctx, snapshot) == "")
		switch {
		case missing == 0 && loaded && !serving:
			serving = true
			h.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
			s.c.Log.Info("statemachine serves", "address", s.c.Advertise)
		case missing > 0 && serving:
			serving = false
			h.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
			s.c.Log.Warn("statemachine does not serve: it does not own all shards", "missing", missing)
		}
		select {
		case <-ready:
			ready = nil // it stays so, and would keep this awake
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// dial gives the connection to the snapshot service and what closes it.
func (s *Service) dial() (grpc.ClientConnInterface, func(), error) {
	if s.c.Snapshot != nil {
		return s.c.Snapshot, func() {}, nil
	}
	conn, err := transport.Dial(s.c.SnapshotAddress, s.c.Security)
	if err != nil {
		return nil, nil, fmt.Errorf("statemachine: %w", err)
	}
	return conn, func() { _ = conn.Close() }, nil
}

// install stores the charts that come with chartroom, waiting until the
// snapshot service is there.
func (s *Service) install(ctx context.Context, charts *owner.Charts) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := charts.Install(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if _, bad := errors.AsType[*session.Refusal](err); bad {
			return err // a chart of ours does not compile
		}
		s.c.Log.Warn("the snapshot service does not answer yet", "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}
