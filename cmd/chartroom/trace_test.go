// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// One trace holds the whole way of what happens: that of an intent, from the call
// to the gateway, and that of a death, from what the agent saw; by the step, the
// commit and the call to the snapshot service, to the command that the agent carries
// out. It is not parallel: the tracer provider belongs to the process.
func TestOneTraceHoldsTheWholeWay(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	c, stop := start(t, t.TempDir(), 0)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run(ctx, t, c, "traced")
	for _, s := range spans.GetSpans() {
		if strings.HasPrefix(s.Name, "grpc.health.") {
			t.Fatalf("a question for health is traced: %s", s.Name)
		}
	}
	const (
		gateway = "chartroom.fleet.v1.FleetService/SendEvent"
		submit  = "chartroom.statemachine.v1.StatemachineService/Submit"
		observe = "dockeragent.observe"
		step    = "statemachine.step"
		commit  = "statemachine.commit"
		store   = "chartroom.snapshot.v1.SnapshotService/Commit"
		command = "dockeragent.command"
	)
	// send waits until the state allows it: what was commanded is observed a moment later.
	send := func(event string) {
		for {
			_, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "traced", Event: event})
			if err == nil {
				return
			}
			if status.Code(err) != codes.FailedPrecondition {
				t.Fatalf("%s: %v", event, err)
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%s is not allowed: %v", event, err)
			}
		}
	}
	for _, way := range []struct {
		name string
		do   func()
		want []string // spans, with the event of those that have one
	}{
		{"an intent", func() { send("system.pause") }, []string{gateway, submit, step + " system.pause", commit, store, command + " pause"}},
		{"a death", func() { send("system.unpause"); send("crash") }, []string{observe + " docker.die", step + " docker.die", commit, store, command + " start"}},
	} {
		spans.Reset()
		way.do()
		// The last span ends when the agent has journaled the outcome.
		for !whole(spans.GetSpans(), way.want) {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("no trace holds the way of %s: %q", way.name, way.want)
			}
		}
	}
}

// whole reports whether one trace has all of the spans, each below another of it
// but for the first.
func whole(spans tracetest.SpanStubs, want []string) bool {
	traces := map[string]map[string]bool{}
	ids := map[string]bool{}
	for _, s := range spans {
		ids[s.SpanContext.SpanID().String()] = true
	}
	for _, s := range spans {
		if s.Parent.IsValid() && !ids[s.Parent.SpanID().String()] {
			continue // not ended yet
		}
		name := s.Name
		for _, a := range s.Attributes {
			if a.Key == "chartroom.event" {
				name += " " + a.Value.AsString()
			}
		}
		id := s.SpanContext.TraceID().String()
		if traces[id] == nil {
			traces[id] = map[string]bool{}
		}
		traces[id][name] = true
	}
	for _, have := range traces {
		if !slices.ContainsFunc(want, func(name string) bool { return !have[name] }) {
			return true
		}
	}
	return false
}
