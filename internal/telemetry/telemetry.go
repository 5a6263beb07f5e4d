// SPDX-License-Identifier: AGPL-3.0-or-later

// Package telemetry sets up what every process says about itself: logs by
// log/slog and traces by OpenTelemetry.
//
// Traces are off unless OTEL_EXPORTER_OTLP_ENDPOINT (or the variable for
// traces alone) is set; then all the standard OTEL_* variables hold. Spans
// are handed over in the background and dropped when their bounded queue is
// full: telemetry never holds up a step. Call [Setup] once, at the start of
// main; it is not safe for concurrent use, what it sets up is.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// flushTime bounds how long the end of a process waits for its last spans.
const flushTime = 3 * time.Second

// Enabled reports whether the environment asks for traces.
func Enabled() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Setup makes the process pass trace context on (W3C traceparent), and, when
// [Enabled], export the spans of service, such as "snapshot", in version. The
// function returned flushes for at most 3 s; call it last, whatever the error
// of the process.
func Setup(ctx context.Context, service, version string) (shutdown func() error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if !Enabled() {
		return func() error { return nil }, nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "chartroom-"+service), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	otel.SetTracerProvider(provider)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		return provider.Shutdown(ctx)
	}, nil
}

// NewLogger makes the logger of a process: lines of text, or JSON when format
// is "json", at level "debug", "info" (also when empty), "warn" or "error",
// each with the attribute service unless that is empty. Another level or
// format is an error. Writes to w are one call a line.
func NewLogger(w io.Writer, service, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
		}
	}
	opts := &slog.HandlerOptions{Level: l}
	var h slog.Handler
	switch strings.ToLower(format) {
	case "", "text":
		h = slog.NewTextHandler(w, opts)
	case "json":
		h = slog.NewJSONHandler(w, opts)
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
	log := slog.New(h)
	if service != "" {
		log = log.With("service", service)
	}
	return log, nil
}
