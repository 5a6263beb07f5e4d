// SPDX-License-Identifier: AGPL-3.0-or-later

package transport_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
)

// TestTrouble asks a server that serves, then one that lacks something.
func TestTrouble(t *testing.T) {
	t.Parallel()
	mem := transport.NewMemory()
	srv := grpc.NewServer()
	h := transport.RegisterHealth(srv)
	go func() { _ = srv.Serve(mem) }()
	t.Cleanup(srv.Stop)
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, test := range []struct {
		needs map[string]bool
		want  string
	}{
		{map[string]bool{"": false}, "does not serve"},
		{map[string]bool{"": true}, ""},
		{map[string]bool{"redis": false, "shards": false, "disk": true, "": false}, "does not serve, for want of redis and shards"},
		{map[string]bool{"redis": false, "": true}, ""},
	} {
		for name, met := range test.needs {
			transport.SetNeed(h, name, met)
		}
		if got := transport.Trouble(t.Context(), conn); got != test.want {
			t.Errorf("with %v: got %q, want %q", test.needs, got, test.want)
		}
	}
}

// answering is a connection whose calls end so.
type answering func(context.Context) error

func (f answering) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	return f(ctx)
}

func (f answering) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// TestTroubleOfNobody: whoever is gone or stopped does not answer; who was never asked
// to tell has no trouble.
func TestTroubleOfNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			conn answering
			want string
		}{
			"gone": {func(context.Context) error { return status.Error(codes.Unavailable, "refused") }, "does not answer"},
			"stopped": {func(ctx context.Context) error {
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			}, "does not answer"},
			"without health": {func(context.Context) error { return status.Error(codes.Unimplemented, "no such service") }, ""},
		} {
			if got := transport.Trouble(t.Context(), test.conn); got != test.want {
				t.Errorf("%s: got %q, want %q", name, got, test.want)
			}
		}
	})
}
