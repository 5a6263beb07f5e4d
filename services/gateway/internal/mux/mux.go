// SPDX-License-Identifier: AGPL-3.0-or-later

// Package mux puts everything that the gateway serves on one port: gRPC, REST,
// the WebSocket, server-sent events, the dashboard, health and metrics.
//
// What a request is, is told by its protocol and path alone:
//
//	HTTP/2 with content-type application/grpc   gRPC
//	/v1/stream                                  WebSocket
//	/v1/events                                  server-sent events
//	/v1/instances/ID:attach                     the streams of a target, as a WebSocket
//	/v1/charts/NAME.svg                         the picture of a chart
//	/v1/…                                       REST, by grpc-gateway
//	/openapi.json /healthz /readyz /metrics     as they say
//	/login                                      the token for a browser
//	anything else                               the dashboard
//
// Trust is checked here, once, before anything else sees the request (see
// guard). A handler is safe for concurrent use.
package mux

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"

	"github.com/chartroom/chartroom/proto"
	"github.com/chartroom/chartroom/services/gateway/internal/stream"
)

// Config is what the parts of the port are.
type Config struct {
	// GRPC serves gRPC requests.
	GRPC *grpc.Server
	// Conn reaches the same server in process; REST calls through it.
	Conn grpc.ClientConnInterface
	// WebSocket and Events serve /v1/stream and /v1/events.
	WebSocket, Events http.Handler
	// Attach serves /v1/instances/ID:attach.
	Attach http.Handler
	// Picture serves /v1/charts/NAME.svg.
	Picture http.Handler
	// Dashboard holds the built page.
	Dashboard fs.FS
	// Ready says what keeps the gateway from answering; nil when it can.
	Ready func() error
	// Metrics writes the metrics in the text format of Prometheus.
	Metrics http.HandlerFunc
	// Token is what requests must carry; empty means none, and then only
	// loopback names are answered to.
	Token string
	// TLS says that connections are encrypted.
	TLS bool
	// Logger takes what is worth a look.
	Logger *slog.Logger
}

// New makes the handler of the port.
func New(c Config) (http.Handler, error) {
	rest, err := newREST(c.Conn)
	if err != nil {
		return nil, err
	}
	description, err := describe(proto.OpenAPI())
	if err != nil {
		return nil, err
	}

	open := http.NewServeMux() // for everybody
	open.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok") })
	open.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := c.Ready(); err != nil {
			plainText(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plainText(w, http.StatusOK, "ok")
	})

	closed := http.NewServeMux() // for those with the token
	closed.Handle("/v1/stream", c.WebSocket)
	closed.Handle("/v1/events", c.Events)
	closed.HandleFunc("/v1/charts/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".svg") {
			c.Picture.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
	closed.HandleFunc("GET /v1/instances/{call}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.PathValue("call"), stream.AttachSuffix) {
			c.Attach.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
	closed.Handle("/v1/charts", rest) // else the line above redirects it
	closed.Handle("/v1/", rest)
	closed.HandleFunc("/metrics", c.Metrics)
	closed.HandleFunc("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description)
	})
	closed.Handle("/", pages(c.Dashboard))

	g := newGuard(c.Token, c.TLS, open, closed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		r = r.WithContext(ctx)
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.grpc(w, r, c.GRPC)
			return
		}
		g.ServeHTTP(w, r)
	}), nil
}

func plainText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}

// describe names the generated description and leaves out the services that
// are not served here.
func describe(generated []byte) ([]byte, error) {
	var d map[string]any
	if err := json.Unmarshal(generated, &d); err != nil {
		return nil, fmt.Errorf("read the OpenAPI description: %w", err)
	}
	d["info"] = map[string]any{
		"title": "chartroom", "version": "v1",
		"description": "The fleet: instances, their logs, snapshots and charts. Errors are described in docs/gateway.md.",
		"license":     map[string]any{"name": "Apache-2.0"},
	}
	d["tags"] = []any{map[string]any{"name": "FleetService"}}
	d["securityDefinitions"] = map[string]any{
		"token": map[string]any{"type": "apiKey", "in": "header", "name": "Authorization"},
	}
	d["security"] = []any{map[string]any{"token": []any{}}}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI description: %w", err)
	}
	return b, nil
}
