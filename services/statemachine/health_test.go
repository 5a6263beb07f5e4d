// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/services/statemachine"
)

// severed is a connection that can be cut off.
type severed struct {
	grpc.ClientConnInterface
	cut atomic.Bool
}

// Invoke implements grpc.ClientConnInterface.
func (s *severed) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if s.cut.Load() {
		return status.Error(codes.Unavailable, "cut off")
	}
	return s.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// TestHealthFollowsTheStore checks that the service is not healthy before it has
// its shards, nor once their leases have run out without the store, and is again
// when the store is back.
func TestHealthFollowsTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stop()
	store := &severed{ClientConnInterface: r.conn}
	store.cut.Store(true)
	memory := transport.NewMemory()
	s, err := statemachine.New(statemachine.Config{Listener: memory, Snapshot: store, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	link, err := memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		_ = link.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	// A lease lasts 8 s, and it takes a while until shards are acquired again.
	watching, enough := context.WithTimeout(ctx, 6*patience)
	defer enough()
	watch, err := healthv1.NewHealthClient(link).Watch(watching, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		want healthv1.HealthCheckResponse_ServingStatus
		cut  bool   // from then on
		lack string // what is not there, as far as it is known
	}{
		{healthv1.HealthCheckResponse_NOT_SERVING, false, ""},
		{healthv1.HealthCheckResponse_SERVING, true, ""},
		{healthv1.HealthCheckResponse_NOT_SERVING, false, ", for want of shards and snapshot"},
		{healthv1.HealthCheckResponse_SERVING, false, ""},
	} {
		began := time.Now()
		m, err := watch.Recv()
		if err != nil || m.GetStatus() != step.want {
			t.Fatalf("%v, %v; want %v", m.GetStatus(), err, step.want)
		}
		t.Logf("%v after %v", step.want, time.Since(began).Round(time.Millisecond))
		if got := transport.ForWant(watching, link); step.lack != "" && got != step.lack {
			t.Errorf("it says %q, want %q", got, step.lack)
		}
		store.cut.Store(step.cut)
	}
}
