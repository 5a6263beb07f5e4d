// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chartroom/chartroom/internal/transport"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// TestHealth: an agent is healthy while the engine answers and statemachine is
// connected, and not when either is away.
func TestHealth(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	statemachine := transport.NewMemory()
	server := grpc.NewServer()
	agentv1.RegisterAgentServiceServer(server, c)
	t.Cleanup(server.Stop)
	conn, err := statemachine.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	listener := transport.NewMemory()
	stop := start(t, c, t.TempDir(), f, func(conf *Config) { conf.Statemachine, conf.Listener = conn, listener })
	defer stop()
	link, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = link.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := healthv1.NewHealthClient(link).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		when string
		want healthv1.HealthCheckResponse_ServingStatus
		then func()
		lack string // what is not there, as far as it is known
	}{
		{"statemachine is not there", healthv1.HealthCheckResponse_NOT_SERVING, func() { go func() { _ = server.Serve(statemachine) }() }, ""},
		{"both are there", healthv1.HealthCheckResponse_SERVING, func() { f.SetDown(true) }, ""},
		{"the engine is away", healthv1.HealthCheckResponse_NOT_SERVING, func() { f.SetDown(false) }, ", for want of engine"},
		{"the engine is back", healthv1.HealthCheckResponse_SERVING, server.Stop, ""},
		{"statemachine is gone", healthv1.HealthCheckResponse_NOT_SERVING, func() {}, ", for want of statemachine"},
	} {
		m, err := watch.Recv()
		if err != nil || m.GetStatus() != step.want {
			t.Fatalf("%s: %v, %v; want %v", step.when, m.GetStatus(), err, step.want)
		}
		if step.lack != "" {
			if got := transport.ForWant(ctx, link); got != step.lack {
				t.Errorf("%s: it says %q, want %q", step.when, got, step.lack)
			}
		}
		step.then()
	}
}
