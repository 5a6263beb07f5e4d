// SPDX-License-Identifier: AGPL-3.0-or-later

package transport_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/transport"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestListenRefusesBeyondLoopback(t *testing.T) {
	t.Parallel()
	secure := transport.Security{Dir: generate(t)}
	tests := []struct {
		name    string
		addr    string
		s       transport.Security
		refused bool
	}{
		{"loopback plain", "127.0.0.1:0", transport.Security{}, false},
		{"loopback name", "localhost:0", transport.Security{}, false},
		{"no host is loopback", ":0", transport.Security{}, false},
		{"every interface", "0.0.0.0:0", transport.Security{}, true},
		{"every interface v6", "[::]:0", transport.Security{}, true},
		{"unknown name", "no-such-host.invalid:0", transport.Security{}, true},
		{"every interface secured", "0.0.0.0:0", secure, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := transport.Listen(tt.addr, tt.s)
			if got := errors.Is(err, transport.ErrNotLoopback); got != tt.refused {
				t.Fatalf("Listen(%q): refused = %v (%v), want %v", tt.addr, got, err, tt.refused)
			}
			if tt.refused {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.addr == ":0" && !strings.HasPrefix(l.Addr().String(), "127.0.0.1:") {
				t.Errorf("listens on %s, want loopback", l.Addr())
			}
			l.Close()
		})
	}
}

func TestListenNeedsTheFiles(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{"token", "server.pem", "server.key", "ca.pem"} {
		dir := generate(t)
		if err := os.Remove(filepath.Join(dir, missing)); err != nil {
			t.Fatal(err)
		}
		if _, err := transport.Listen("0.0.0.0:0", transport.Security{Dir: dir}); err == nil {
			t.Errorf("without %s: listens", missing)
		}
	}
	dir := generate(t)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Listen("0.0.0.0:0", transport.Security{Dir: dir}); err == nil {
		t.Error("with an empty token: listens")
	}
}

func TestCallsNeedTLSAndToken(t *testing.T) {
	t.Parallel()
	good := transport.Security{Dir: generate(t)}
	addr := serve(t, good)

	otherToken := copyDir(t, good.Dir)
	if err := os.WriteFile(filepath.Join(otherToken, "token"), []byte(strings.Repeat("x", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	noCert := copyDir(t, good.Dir)
	os.Remove(filepath.Join(noCert, "client.pem"))

	tests := []struct {
		name string
		s    transport.Security
		opts []grpc.DialOption
		want codes.Code
	}{
		{"all right", good, nil, codes.OK},
		{"wrong token", transport.Security{Dir: otherToken}, nil, codes.Unauthenticated},
		{"no client certificate", transport.Security{Dir: noCert}, nil, codes.Unavailable},
		{"other CA", transport.Security{Dir: generate(t)}, nil, codes.Unavailable},
		{"plain", transport.Security{}, []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, codes.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := transport.Dial(addr, tt.s, tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
			if got := status.Code(err); got != tt.want {
				t.Errorf("unary: %v (%v), want %v", got, err, tt.want)
			}
			stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if got := status.Code(err); got != tt.want {
				t.Errorf("stream: %v (%v), want %v", got, err, tt.want)
			}
		})
	}
}

// RFC 9110 11.1: the scheme is case-insensitive, and what follows is one or more spaces.
func TestBearerToken(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "BEARER  abc": "abc", "Basic abc": "", "Bearer": "", "Bearerabc": "", "": "",
	} {
		got, ok := transport.BearerToken(header)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %v, want %q", header, got, ok, want)
		}
	}
}

// Two ends that do not trust each other in the same way say what to do.
func TestAdvice(t *testing.T) {
	t.Parallel()
	good := transport.Security{Dir: generate(t)}
	secured, plain := serve(t, good), serve(t, transport.Security{})
	for _, tt := range []struct {
		name, address string
		s             transport.Security
		want          string
	}{
		{"a server with TLS without", secured, transport.Security{}, "a server with TLS is dialled without"},
		{"a server without TLS with", plain, good, "a server without TLS is dialled with"},
		{"a server of another authority", secured, transport.Security{Dir: generate(t)}, "of another authority"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := transport.Dial(tt.address, tt.s)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
			if got := transport.Advice(err); !strings.Contains(got, tt.want) {
				t.Errorf("of %v the advice is %q, want %q", err, got, tt.want)
			}
		})
	}
	silent := errors.New(`connection error: desc = "error reading server preface: raw-read tcp 127.0.0.1:48504->127.0.0.1:7462: use of closed network connection"`)
	if got := transport.Advice(silent); !strings.Contains(got, "says nothing") {
		t.Errorf("who says nothing: got %q", got)
	}
	if got := transport.Advice(errors.New("the disk is full")); got != "" {
		t.Errorf("advice %q on an error that is not known", got)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	mem := transport.NewMemory()
	srv, err := transport.NewServer(transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	h := transport.RegisterHealth(srv)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- transport.Serve(ctx, srv, mem) }()
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{healthv1.HealthCheckResponse_NOT_SERVING, healthv1.HealthCheckResponse_SERVING} {
		h.SetServingStatus("", want)
		resp, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetStatus() != want {
			t.Errorf("status %v, want %v", resp.GetStatus(), want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A stream that never ends must not hold up the end of its server.
func TestServeCutsLongStreams(t *testing.T) {
	t.Parallel()
	mem := transport.NewMemory()
	srv, err := transport.NewServer(transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	transport.RegisterHealth(srv)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- transport.Serve(ctx, srv, mem) }()
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v to stop", d)
	}
}

func TestGenerateKeepsACompleteDirectory(t *testing.T) {
	t.Parallel()
	dir := generate(t)
	before, err := os.ReadFile(filepath.Join(dir, "server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := transport.Generate(dir, nil); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("a complete directory was changed")
	}
	os.Remove(filepath.Join(dir, "client.key"))
	if err := transport.Generate(dir, nil); err == nil {
		t.Error("a directory with a file missing was taken")
	}
	for _, name := range []string{"server.key", "token"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, fi.Mode().Perm())
		}
	}
}

func generate(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls")
	if err := transport.Generate(dir, []string{"snapshot", "10.1.2.3"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// serve runs a server with health alone and returns its address.
func serve(t *testing.T, s transport.Security) string {
	t.Helper()
	lis, err := transport.Listen("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := transport.NewServer(s)
	if err != nil {
		t.Fatal(err)
	}
	transport.RegisterHealth(srv).SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- transport.Serve(ctx, srv, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return lis.Addr().String()
}
