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
	attrInstance  = attribute.Key("chartroom.instance")
	attrEvent     = attribute.Key("chartroom.event")
	traceparentOf = "traceparent"
)

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
	ctx, span := otel.Tracer("github.com/chartroom/chartroom/services/statemachine").Start(
		format.Extract(context.Background(), carrier), spanStep,
		trace.WithAttributes(attrInstance.String(instance), attrEvent.String(event)))
	if span.SpanContext().IsValid() {
		format.Inject(ctx, carrier)
	}
	return carrier[traceparentOf], func() { span.End() }
}
