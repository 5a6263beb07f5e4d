// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Names of spans and attributes of this service.
const (
	spanObserve  = "dockeragent.observe"
	spanCommand  = "dockeragent.command"
	attrInstance = attribute.Key("chartroom.instance")
	attrEvent    = attribute.Key("chartroom.event")
)

// traced begins a span in the trace of traceparent (W3C), in a new one when
// that is empty, and gives the trace context for what follows, with the end of
// the span. Where traces are off it gives traceparent back and costs nothing.
func traced(name, traceparent, instance, event string) (string, func()) {
	carrier, format := propagation.MapCarrier{"traceparent": traceparent}, propagation.TraceContext{}
	ctx, span := otel.Tracer("github.com/chartroom/chartroom/services/dockeragent").Start(
		format.Extract(context.Background(), carrier), name,
		trace.WithAttributes(attrInstance.String(instance), attrEvent.String(event)))
	if span.IsRecording() {
		format.Inject(ctx, carrier)
	}
	return carrier["traceparent"], func() { span.End() }
}
