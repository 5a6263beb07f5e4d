// SPDX-License-Identifier: AGPL-3.0-or-later

// Package snapshot is the service that alone talks to the store: commit,
// load, bodies, log, list and watch, as chartroom.snapshot.v1 says. It holds
// no state of its own; any number of processes may serve one Redis, one may
// serve one directory.
//
// Its guarantees are the store's: a group is written whole or not at all,
// only by the owner of its shard, and is answered when it is durable.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/chartroom/chartroom/internal/transport"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/snapshot/internal/filestore"
	"github.com/chartroom/chartroom/services/snapshot/internal/redisstore"
	"github.com/chartroom/chartroom/services/snapshot/internal/rpc"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	// DefaultAddress is where the service listens unless told otherwise.
	DefaultAddress = "127.0.0.1:7401"

	// pingInterval is how often the store is asked whether it answers.
	pingInterval = time.Second
	// collectInterval is how often what is due is deleted.
	collectInterval = time.Minute
)

// Config is what the operator sets.
type Config struct {
	// Address to listen on; empty means DefaultAddress. Not used with a
	// Listener.
	Address string
	// Listener to serve instead, as for services in one process. Run closes
	// it.
	Listener net.Listener
	// Store is where the state is: "pebble:DIR", for this computer alone;
	// "redis://[USER:PASSWORD@]HOST:PORT[/DB]", "rediss://…" with TLS,
	// "redis+unix:///PATH" or "redis-sentinel://HOST:PORT,HOST:PORT/MASTER".
	Store string
	// Security of the listener; needed beyond loopback.
	Security transport.Security
	// Log takes what an operator should know; nil means none.
	Log *slog.Logger
	// LogRetention is how many log entries of an instance are kept at least;
	// 0 means 1000.
	LogRetention int
}

// Service is the snapshot service. Make it with New.
type Service struct {
	config Config
	store  store.Store
	close  func() error // of the store, once
}

// New opens the store. A Redis need not answer yet: the service is not ready
// until it does. The error names what to do when another process has a
// directory open. Call Run, or Close.
func New(c Config) (*Service, error) {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return &Service{config: c, store: s, close: sync.OnceValue(s.Close)}, nil
}

func open(c Config) (store.Store, error) {
	o := store.Options{Log: c.Log, LogRetention: c.LogRetention}
	scheme, rest, _ := strings.Cut(c.Store, ":")
	switch scheme {
	case "pebble":
		if rest == "" {
			return nil, errors.New("store pebble: names no directory")
		}
		return filestore.Open(rest, o)
	case "redis", "rediss", "redis+unix", "redis-sentinel", "rediss-sentinel":
		return redisstore.Open(c.Store, o)
	case "":
		return nil, errors.New("no store named: redis://HOST:PORT or pebble:DIR")
	}
	return nil, fmt.Errorf("store %q: want redis://…, rediss://…, redis+unix://…, redis-sentinel://… or pebble:DIR", scheme)
}

// Close closes the store of a Service that is not run.
func (s *Service) Close() error { return s.close() }

// Run serves until ctx ends or the store is found unsafe, then closes the
// store. It may be called once.
func (s *Service) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	lis := s.config.Listener
	if lis == nil {
		if lis, err = transport.Listen(s.config.Address, s.config.Security); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	srv, err := transport.NewServer(s.config.Security)
	if err != nil {
		return fmt.Errorf("snapshot: %w", errors.Join(err, lis.Close()))
	}
	server := rpc.New(s.store, s.config.Log)
	snapshotv1.RegisterSnapshotServiceServer(srv, server)
	h := transport.RegisterHealth(srv)

	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.watchHealth(ctx, h, server); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { s.collect(ctx) })
	s.config.Log.Info("serving", "address", lis.Addr().String())
	err = transport.Serve(ctx, srv, lis)
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, store.ErrUnsafe) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// watchHealth says SERVING while the store answers and has room. It returns an error when
// the store must not be used at all. Watchers learn from server why it has none.
func (s *Service) watchHealth(ctx context.Context, h *health.Server, server *rpc.Server) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	ready := false
	var said string // the last trouble, told once
	for {
		err := s.store.Ping(ctx)
		full, isFull := errors.AsType[*store.FullError](err)
		server.SetFull(full)
		transport.SetNeed(h, s.need(), err == nil)
		switch {
		case ctx.Err() != nil:
			h.Shutdown()
			return nil
		case errors.Is(err, store.ErrUnsafe):
			return err
		case err == nil && !ready:
			s.config.Log.Info("store answers")
			h.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
			ready, said = true, ""
		case err != nil && (ready || err.Error() != said):
			if isFull {
				s.config.Log.Error("store is full", "err", err)
			} else {
				s.config.Log.Warn("store does not answer", "err", err)
			}
			h.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
			ready, said = false, err.Error()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// need is the name of the store in the list of what the service needs.
func (s *Service) need() string {
	if strings.HasPrefix(s.config.Store, "pebble:") {
		return "its store"
	}
	return "redis"
}

// collect deletes what is due, for as long as ctx lasts.
func (s *Service) collect(ctx context.Context) {
	tick := time.NewTicker(collectInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, err := s.store.Collect(ctx)
		if err != nil && ctx.Err() == nil {
			s.config.Log.Warn("collecting stopped; the next turn goes on", "err", err)
		} else if n > 0 {
			s.config.Log.Debug("bodies collected", "count", n)
		}
	}
}
