// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// maxMessageBytes bounds one message. A commit of 256 steps with a
	// session snapshot, an inline body and log entries each stays below it.
	maxMessageBytes = 64 << 20
	// A peer that is gone without a word is noticed after both together, so
	// that a host turns grey within 10 s.
	keepaliveTime    = 4 * time.Second
	keepaliveTimeout = 3 * time.Second
	// graceTime is how long calls may take to end when a server stops.
	graceTime = 3 * time.Second
)

// withoutHealth keeps questions for health, which are asked all the time, out of
// the traces.
var withoutHealth = otelgrpc.WithFilter(filters.Not(filters.HealthCheck()))

// NewServer makes a gRPC server with TLS (clients verified) and the token
// checked on every call when s is enabled, with keep-alives and traces. opts
// come after these; interceptors in opts run after the token was checked.
// The error is that of a missing or broken file of s.
func NewServer(s Security, opts ...grpc.ServerOption) (*grpc.Server, error) {
	all := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.StatsHandler(otelgrpc.NewServerHandler(withoutHealth)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
	}
	if s.Enabled() {
		conf, err := s.ServerTLS(true)
		if err != nil {
			return nil, fmt.Errorf("new server: %w", err)
		}
		token, err := s.Token()
		if err != nil {
			return nil, fmt.Errorf("new server: %w", err)
		}
		all = append(all,
			grpc.Creds(credentials.NewTLS(conf)),
			grpc.ChainUnaryInterceptor(unaryToken(token)),
			grpc.ChainStreamInterceptor(streamToken(token)))
	}
	return grpc.NewServer(append(all, opts...)...), nil
}

// Serve serves lis until ctx ends, then lets the calls in progress end for up
// to 3 s before it cuts them. It closes lis. It returns nil after an end by
// ctx, else why the listener failed.
func Serve(ctx context.Context, srv *grpc.Server, lis net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(lis) }()
	select {
	case err := <-failed:
		if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serve %s: %w", lis.Addr(), err)
		}
		return nil
	case <-ctx.Done():
	}
	// Long streams do not end by themselves, so the grace is bounded.
	cut := time.AfterFunc(graceTime, srv.Stop)
	srv.GracefulStop()
	cut.Stop()
	<-failed
	return nil
}

func unaryToken(token string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := checkToken(ctx, token); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

func streamToken(token string) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		if err := checkToken(ss.Context(), token); err != nil {
			return err
		}
		return next(srv, ss)
	}
}

func checkToken(ctx context.Context, want string) error {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if got, ok := BearerToken(v); ok && TokenEqual(got, want) {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "missing or wrong token")
}
