// SPDX-License-Identifier: AGPL-3.0-or-later

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/telemetry"
	"go.opentelemetry.io/otel"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log, err := telemetry.NewLogger(&buf, "snapshot", "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("left out")
	log.Warn("kept", "shard", 7)
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", buf.String(), err)
	}
	if line["msg"] != "kept" || line["service"] != "snapshot" || line["shard"] != 7.0 {
		t.Errorf("line is %v", line)
	}
	for _, bad := range [][2]string{{"loud", ""}, {"", "xml"}} {
		if _, err := telemetry.NewLogger(&buf, "", bad[0], bad[1]); err == nil {
			t.Errorf("level %q format %q was taken", bad[0], bad[1])
		}
	}
}

// collector is a trace receiver.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	got chan *collectorv1.ExportTraceServiceRequest
}

func (c collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.got <- r
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Not parallel: it sets the process's environment and tracer provider.
func TestSetupExportsOnlyWhenConfigured(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	shutdown, err := telemetry.Setup(t.Context(), "snapshot", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, span := otel.Tracer("t").Start(t.Context(), "nothing"); span.IsRecording() {
		t.Error("records spans without an endpoint")
	}
	if err := shutdown(); err != nil {
		t.Error(err)
	}

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	c := collector{got: make(chan *collectorv1.ExportTraceServiceRequest, 8)}
	collectorv1.RegisterTraceServiceServer(srv, c)
	go func() { _ = srv.Serve(lis) }()
	defer srv.Stop()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+lis.Addr().String())
	shutdown, err = telemetry.Setup(t.Context(), "snapshot", "test")
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("t").Start(t.Context(), "commit")
	span.End()
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
	r := <-c.got
	if s := r.String(); !strings.Contains(s, "commit") || !strings.Contains(s, "chartroom-snapshot") {
		t.Errorf("exported %s", s)
	}
}
