// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
	"github.com/chartroom/chartroom/services/gateway/internal/stream"
)

// maxRequestBytes bounds the body of a REST call: a chart of 1 MiB with every
// character escaped, and room for those that are too large, to tell where.
const maxRequestBytes = 16 << 20

// newREST makes the handler of /v1. Fields have their JSON names; those with a
// default value are shown, so that a script finds an empty list. A field or a
// parameter that is not known is refused: a misspelt one would be ignored otherwise.
func newREST(conn grpc.ClientConnInterface) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{&runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true},
		}}),
		runtime.WithErrorHandler(func(
			_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error,
		) {
			stream.WriteError(w, visible(err))
		}),
		runtime.WithStreamErrorHandler(func(ctx context.Context, err error) *status.Status {
			if w, ok := ctx.Value(streamKey{}).(*streamWriter); ok {
				w.err = visible(err)
			}
			return status.Convert(err)
		}),
		// The path that nobody serves.
		runtime.WithRoutingErrorHandler(func(
			_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int,
		) {
			if code == http.StatusMethodNotAllowed {
				stream.WriteError(w, status.Errorf(codes.Unimplemented, "%s is not offered for %s", r.Method, r.URL.Path))
				return
			}
			stream.WriteError(w, status.Errorf(codes.NotFound, "nothing is served at %s", r.URL.Path))
		}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	client := fleetv1.NewFleetServiceClient(strict{conn})
	if err := fleetv1.RegisterFleetServiceHandlerClient(context.Background(), mux, client); err != nil {
		return nil, fmt.Errorf("register the REST handlers: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		sw := &streamWriter{ResponseWriter: w}
		mux.ServeHTTP(sw, withCall(r.WithContext(context.WithValue(r.Context(), streamKey{}, sw))))
	}), nil
}

// visible gives errors that grpc-gateway made itself, about a body or a query
// that it could not read, the form of ours.
func visible(err error) error {
	message := status.Convert(err).Message()
	if status.Code(err) == codes.Internal && strings.Contains(message, "exceeded maximum recursion depth") {
		// The body was read, but is too much for the message that it became.
		return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "the body is nested too deeply")
	}
	if status.Code(err) == codes.Internal && strings.Contains(message, "string field contains invalid UTF-8") {
		// Of the path or the query; a body is refused when it is read.
		return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "the address is not UTF-8")
	}
	if rpc.Detail(err) != nil || status.Code(err) != codes.InvalidArgument {
		return err
	}
	if strings.Contains(message, "request body too large") {
		return rpc.Refuse(codes.ResourceExhausted, fleetv1.Reason_REASON_TOO_LARGE,
			"the body has more than %d bytes", maxRequestBytes)
	}
	return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "%s", message)
}

// streamWriter gives a stream that fails before its first message the status
// and body that any other call would have. It is for one goroutine.
type streamWriter struct {
	http.ResponseWriter
	err  error // set by the stream's error handler
	done bool  // the body was written in place of grpc-gateway's
}

// streamKey is the context key of the streamWriter.
type streamKey struct{}

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(code int) {
	if w.err != nil {
		w.done = true
		stream.WriteError(w.ResponseWriter, w.err)
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(b []byte) (int, error) {
	if w.done {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher, which grpc-gateway asks for.
func (w *streamWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
