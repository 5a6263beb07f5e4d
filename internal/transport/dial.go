// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
)

// Dial makes a client connection to addr ("HOST:PORT", or "unix:PATH") with
// what s says: TLS, the client's certificate and the token on every call, or
// a plain connection. It connects in the background; the error is that of a
// missing or broken file of s, or of an address that cannot be parsed. opts
// come after the defaults. Close the connection when done.
func Dial(addr string, s Security, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	all := []grpc.DialOption{
		// gRPC's own retry would repeat a commit behind its caller's back.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(withoutHealth)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	}
	if !s.Enabled() {
		all = append(all, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		conf, err := s.ClientTLS()
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		token, err := s.Token()
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		all = append(all,
			grpc.WithTransportCredentials(credentials.NewTLS(conf)),
			grpc.WithPerRPCCredentials(bearer(token)))
	}
	conn, err := grpc.NewClient(addr, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return conn, nil
}

// bearer puts the token on every call, and only over TLS.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }

// Memory is a listener in this process, for services that run side by side
// in it and for tests. Its connections are never secured; nobody else can
// reach them. It is a net.Listener; closing it ends its connections' making.
type Memory struct {
	*bufconn.Listener
}

// NewMemory makes a Memory.
func NewMemory() Memory { return Memory{bufconn.Listen(256 << 10)} }

// Dial makes a client connection to whatever serves m, with the same settings
// as the function Dial.
func (m Memory) Dial(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return m.DialContext(ctx) })
	return Dial("passthrough:///memory", Security{}, append([]grpc.DialOption{dialer}, opts...)...)
}
