// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// One trace holds the whole way of an intent: the call to the gateway, the one to
// statemachine, the step, and the command that the agent carries out. It is not
// parallel: the tracer provider belongs to the process.
func TestOneTraceHoldsTheWholeWay(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	c, stop := start(t, t.TempDir())
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run(ctx, t, c, "traced")
	if _, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "traced", Event: "system.pause"}); err != nil {
		t.Fatalf("pause: %v", err)
	}
	wait(ctx, t, c, "traced@here", "paused")

	// The last span ends when the agent has journaled the outcome.
	for !whole(spans.GetSpans()) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("no trace goes from the gateway to the agent")
		}
	}
}

// whole reports whether one trace has a span of every part of the way of a pause.
func whole(spans tracetest.SpanStubs) bool {
	parts := map[string]map[string]bool{}
	for _, s := range spans {
		id := s.SpanContext.TraceID().String()
		if parts[id] == nil {
			parts[id] = map[string]bool{}
		}
		parts[id][s.Name] = true
		parts[id]["pause"] = parts[id]["pause"] || s.Name == "dockeragent.command" && slices.Contains(s.Attributes, attribute.String("chartroom.event", "pause"))
	}
	for _, p := range parts {
		if p["chartroom.fleet.v1.FleetService/SendEvent"] && p["chartroom.statemachine.v1.StatemachineService/Submit"] && p["statemachine.step"] && p["pause"] {
			return true
		}
	}
	return false
}
