// SPDX-License-Identifier: AGPL-3.0-or-later

// Package gateway is the door of chartroom: the public API over gRPC and REST,
// the WebSocket and the page of the dashboard, all on one port.
//
// It holds no truth. Reads are answered from a read model that follows the
// store without a gap; writes go to statemachine and are answered once they
// are committed there. Any number of gateways may run beside each other. When
// the store cannot be heard, everything is shown as unknown, never as it was.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/chartroom/chartroom/internal/layout"
	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/mux"
	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
	"github.com/chartroom/chartroom/services/gateway/internal/stream"
	"github.com/chartroom/chartroom/services/gateway/internal/upstream"
	"github.com/chartroom/chartroom/web/dashboard"
)

// DefaultAddress is where the gateway listens unless told otherwise.
const DefaultAddress = "127.0.0.1:7400"

// grace is how long calls may take to end when the gateway stops; streams end
// at once.
const grace = 3 * time.Second

// Config says what a gateway serves and whom it asks.
type Config struct {
	// Address to listen on; empty means [DefaultAddress]. Not used with
	// Listener. Beyond loopback it needs Security.
	Address string
	// Listener to serve instead of Address, plain; the gateway closes it.
	Listener net.Listener
	// Security gives TLS and the token; the zero value means neither, and
	// then only requests that name loopback are answered.
	Security transport.Security
	// Snapshot reaches the snapshot service; nil dials SnapshotAddress.
	Snapshot grpc.ClientConnInterface
	// SnapshotAddress is used without Snapshot.
	SnapshotAddress string
	// Statemachine reaches statemachine; nil dials StatemachineAddress.
	Statemachine grpc.ClientConnInterface
	// StatemachineAddress is used without Statemachine.
	StatemachineAddress string
	// HostLimit is how long a host may be silent before it is unknown; 0
	// means 8 s.
	HostLimit time.Duration
	// Logger; nil means none.
	Logger *slog.Logger
}

// Service is a gateway. Make one with [New], then call Run once.
type Service struct {
	logger   *slog.Logger
	model    *readmodel.Model
	upstream *upstream.Monitor
	store    snapshotv1.SnapshotServiceClient
	grpc     *grpc.Server
	health   *health.Server
	http     *http.Server
	listener net.Listener
	memory   transport.Memory
	tls      bool
	conns    []*grpc.ClientConn
	closing  context.Context // ends the streams
	close    context.CancelFunc
}

// New makes a gateway and opens its port, so that Addr is known before Run.
func New(c Config) (_ *Service, err error) {
	s := &Service{logger: c.Logger, tls: c.Security.Enabled(), memory: transport.NewMemory()}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.closing, s.close = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	snapshot, err := s.connect("snapshot", c.Snapshot, c.SnapshotAddress, c.Security)
	if err != nil {
		return nil, err
	}
	statemachine, err := s.connect("statemachine", c.Statemachine, c.StatemachineAddress, c.Security)
	if err != nil {
		return nil, err
	}
	s.model = readmodel.New(c.HostLimit)
	s.upstream = upstream.New(upstream.Service{Name: "snapshot", Conn: snapshot}, upstream.Service{Name: "statemachine", Conn: statemachine})
	s.store = snapshotv1.NewSnapshotServiceClient(snapshot)
	drawer := &drawer{layouter: layout.New(s.logger)}
	fleet := rpc.New(s.model, s.upstream, s.store, statemachinev1.NewStatemachineServiceClient(statemachine), drawer, s.logger)
	if s.grpc, err = transport.NewServer(transport.Security{}, append(fleet.Interceptors(),
		grpc.ChainStreamInterceptor(s.endStreams), grpc.ChainUnaryInterceptor(s.endWaits))...); err != nil {
		return nil, err
	}
	s.health = transport.RegisterHealth(s.grpc)
	fleetv1.RegisterFleetServiceServer(s.grpc, fleet)
	reflection.Register(s.grpc)
	if err := s.prepareHTTP(c.Security, fleet, drawer); err != nil {
		return nil, err
	}
	if s.listener = c.Listener; s.listener == nil {
		address := c.Address
		if address == "" {
			address = DefaultAddress
		}
		if s.listener, err = transport.Listen(address, c.Security); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// connect uses a connection, or dials an address.
func (s *Service) connect(
	name string, conn grpc.ClientConnInterface, address string, security transport.Security,
) (grpc.ClientConnInterface, error) {
	if conn != nil {
		return conn, nil
	}
	if address == "" {
		return nil, fmt.Errorf("gateway: the address of %s is missing", name)
	}
	dialed, err := transport.Dial(address, security)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s: %w", name, err)
	}
	s.conns = append(s.conns, dialed)
	return dialed, nil
}

func (s *Service) prepareHTTP(security transport.Security, fleet *rpc.Server, d *drawer) error {
	self, err := s.memory.Dial()
	if err != nil {
		return err
	}
	s.conns = append(s.conns, self)
	token, err := security.Token()
	if err != nil {
		return err
	}
	tlsConfig, err := security.ServerTLS(false)
	if err != nil {
		return err
	}
	handler, err := mux.New(mux.Config{
		GRPC:      s.grpc,
		Conn:      self,
		WebSocket: s.endStream(stream.WebSocket(fleet, s.logger)),
		Events:    s.endStream(stream.Events(fleet, s.logger)),
		Attach:    s.endStream(stream.Attach(self, s.logger)),
		Picture:   picture(fleet, d),
		Dashboard: dashboard.Files(),
		Ready:     s.ready,
		Metrics:   metrics(s.model),
		Token:     token,
		TLS:       s.tls,
		Logger:    s.logger,
	})
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(!s.tls) // gRPC without TLS, on loopback
	s.http = &http.Server{
		Handler:           handler,
		TLSConfig:         tlsConfig,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	return nil
}

// Addr is where the gateway listens.
func (s *Service) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, which is no error. Streams and waits end at once then,
// other calls within 3 s.
func (s *Service) Run(ctx context.Context) error {
	defer s.release()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.model.Run(ctx, s.store, s.logger) })
	g.Go(func() error { return s.upstream.Run(ctx) })
	g.Go(func() error { return s.watchHealth(ctx) })
	g.Go(func() error {
		if err := s.grpc.Serve(s.memory); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serve in process: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		serve := func() error { return s.http.Serve(s.listener) }
		if s.tls {
			serve = func() error { return s.http.ServeTLS(s.listener, "", "") }
		}
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		s.close()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := s.http.Shutdown(ending); err != nil {
			_ = s.http.Close()
		}
		s.grpc.Stop()
		return nil
	})
	s.logger.Info("gateway listens", "address", s.listener.Addr().String(), "tls", s.tls)
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// release gives back what New took.
func (s *Service) release() {
	s.close()
	for _, c := range s.conns {
		_ = c.Close()
	}
	if s.listener != nil {
		_ = s.listener.Close()
	}
	_ = s.memory.Close()
}

// ready says what keeps the gateway from answering; nil when it can.
func (s *Service) ready() error {
	if s.model.Ready() {
		return nil
	}
	if why := s.upstream.Why(); why != "" {
		return errors.New("the store is not heard of: " + why)
	}
	return errors.New("the store is not heard of")
}

// watchHealth says in grpc.health.v1 what /readyz says.
func (s *Service) watchHealth(ctx context.Context) error {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		for _, name := range []string{"snapshot", "statemachine"} {
			transport.SetNeed(s.health, name, s.upstream.Serves(name))
		}
		status := healthv1.HealthCheckResponse_NOT_SERVING
		if s.model.Ready() {
			status = healthv1.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus("", status)
		select {
		case <-t.C:
		case <-ctx.Done():
			s.health.Shutdown()
			return ctx.Err()
		}
	}
}

// ending returns a context that ends with the gateway too, and then says so.
func (s *Service) ending(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(rpc.ErrEnding) })
	return ctx, func() { stop(); cancel(nil) }
}

// endStreams ends gRPC streams when the gateway stops, since they do not end
// by themselves.
func (s *Service) endStreams(
	srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	ctx, end := s.ending(ss.Context())
	defer end()
	return next(srv, &endingStream{ServerStream: ss, ctx: ctx})
}

// endWaits does the same for the one call that may last.
func (s *Service) endWaits(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod != fleetv1.FleetService_WaitInstance_FullMethodName {
		return next(ctx, req)
	}
	ctx, end := s.ending(ctx)
	defer end()
	return next(ctx, req)
}

// endingStream is a stream whose context ends with the gateway. gRPC's own
// interface keeps a context in the stream.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *endingStream) Context() context.Context { return s.ctx }

// endStream does the same for an HTTP handler.
func (s *Service) endStream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := s.ending(r.Context())
		defer end()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
