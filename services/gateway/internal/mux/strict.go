// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
)

// strict is the connection that REST calls go through. It refuses what grpc-gateway
// leaves out without a word, so that a misspelt parameter, or an instance that is not
// the one of the path, does not ask for something else than was meant.
type strict struct{ grpc.ClientConnInterface }

// Invoke implements grpc.ClientConnInterface.
func (s strict) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := unread(ctx, method, args); err != nil {
		return err
	}
	return s.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (s strict) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := unread(ctx, method, nil); err != nil {
		return nil, err
	}
	return s.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}

// call is what a REST request said, in the context of the call that it becomes.
type call struct {
	method string
	query  url.Values
	body   *body
}

// callKey is the context key of the call.
type callKey struct{}

// withCall notes what r says, and reads its body through what is noted.
func withCall(r *http.Request) *http.Request {
	c := &call{method: r.Method, query: r.URL.Query(), body: &body{ReadCloser: r.Body}}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	r.Body = c.body
	return r
}

// body is the body of a request, and the instance that it names.
type body struct {
	io.ReadCloser
	instance string
}

// instanced is a message that names an instance.
type instanced interface{ GetInstanceId() string }

// marshaler notes the instance that a body names, before grpc-gateway puts that of the
// path in its place.
type marshaler struct{ *runtime.JSONPb }

// NewDecoder implements runtime.Marshaler.
func (m marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	decoder := m.JSONPb.NewDecoder(r)
	return runtime.DecoderFunc(func(v any) error {
		err := decoder.Decode(v)
		if b, ok := r.(*body); ok {
			if message, ok := v.(instanced); ok {
				b.instance = message.GetInstanceId()
			}
		}
		return err
	})
}

// unread refuses what a REST request says and the call would leave out.
func unread(ctx context.Context, method string, args any) error {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil
	}
	pattern, _ := runtime.HTTPPathPattern(ctx)
	fields := fleetv1.File_chartroom_fleet_v1_fleet_service_proto.Services().ByName("FleetService").
		Methods().ByName(protoreflect.Name(path.Base(method))).Input().Fields()
	inPath := func(f protoreflect.FieldDescriptor) bool { return strings.Contains(pattern, "{"+string(f.Name())+"}") }
	for _, name := range slices.Sorted(maps.Keys(c.query)) {
		first, _, _ := strings.Cut(name, ".")
		f := fields.ByTextName(first)
		if f == nil {
			f = fields.ByJSONName(first)
		}
		switch {
		case f == nil && c.method == http.MethodGet:
			return refuse("there is no parameter %q here; %s", name, known(fields, inPath))
		case f == nil || c.method != http.MethodGet:
			return refuse("the query has %q, and is not read here: what is asked for belongs into the body", name)
		case inPath(f):
			return refuse("the query has %q, which is in the path", name)
		}
	}
	if message, ok := args.(instanced); ok && c.body.instance != "" && c.body.instance != message.GetInstanceId() {
		return refuse("instanceId is %q in the body and %q in the path", c.body.instance, message.GetInstanceId())
	}
	return nil
}

// known lists the parameters that a query may have.
func known(fields protoreflect.FieldDescriptors, inPath func(protoreflect.FieldDescriptor) bool) string {
	var names []string
	for i := range fields.Len() {
		if f := fields.Get(i); !inPath(f) {
			names = append(names, f.JSONName())
		}
	}
	if len(names) == 0 {
		return "there is none"
	}
	return "there are " + strings.Join(names, ", ")
}

func refuse(format string, args ...any) error {
	return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, format, args...)
}
