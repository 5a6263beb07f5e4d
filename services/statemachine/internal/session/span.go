// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Names of spans and attributes of this service.
const (
	spanStep      = "statemachine.step"
	spanCommit    = "statemachine.commit"
	attrInstance  = attribute.Key("chartroom.instance")
	attrEvent     = attribute.Key("chartroom.event")
	traceparentOf = "traceparent"
)

func tracer() trace.Tracer {
	return otel.Tracer("github.com/chartroom/chartroom/services/statemachine")
}

// traced begins the span of a step that some trace led to, and gives the trace
// context for what the step causes, with the end of the span. Without a trace
// it does nothing: a span of its own for every observation would drown those
// that somebody looks for.
func traced(traceparent, instance, event string) (string, func()) {
	if traceparent == "" {
		return "", func() {}
	}
	carrier := propagation.MapCarrier{traceparentOf: traceparent}
	format := propagation.TraceContext{}
	ctx, span := tracer().Start(
		format.Extract(context.Background(), carrier), spanStep,
		trace.WithAttributes(attrInstance.String(instance), attrEvent.String(event)))
	if span.SpanContext().IsValid() {
		format.Inject(ctx, carrier)
	}
	return carrier[traceparentOf], func() { span.End() }
}

// committing begins the spans of a write: one in each trace that led to a step
// of it, below that step. The write, and with it the call to the snapshot service,
// is in the first; the others link to it. Without traces it does nothing.
func committing(ctx context.Context, steps []string) (context.Context, func()) {
	write, spans, seen := ctx, []trace.Span(nil), map[trace.TraceID]bool{}
	for _, traceparent := range steps {
		step := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentOf: traceparent})
		id := trace.SpanContextFromContext(step).TraceID()
		if seen[id] {
			continue
		}
		seen[id] = true
		var links []trace.Link
		if len(spans) > 0 {
			links = append(links, trace.Link{SpanContext: spans[0].SpanContext()})
		}
		commit, span := tracer().Start(step, spanCommit, trace.WithLinks(links...))
		if len(spans) == 0 {
			write = commit
		}
		spans = append(spans, span)
	}
	return write, func() {
		for _, span := range spans {
			span.End()
		}
	}
}
