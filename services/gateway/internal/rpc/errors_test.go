// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
	"github.com/chartroom/chartroom/services/gateway/internal/upstream"
)

// Only a caller that went away itself is told so: the others can try again.
func TestWhoWentAway(t *testing.T) {
	t.Parallel()
	s := New(readmodel.New(0), upstream.New(), nil, nil, nil, slog.New(slog.DiscardHandler))
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	ours, remote := fmt.Errorf("watch the fleet: %w", context.Canceled), status.Error(codes.Canceled, "context canceled")
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		want codes.Code
	}{
		{"the caller", ended(nil), ours, codes.Canceled},
		{"the caller, while another service was asked", ended(nil), remote, codes.Canceled},
		{"the gateway", ended(ErrEnding), ours, codes.Unavailable},
		{"the gateway, while another service was asked", ended(ErrEnding), remote, codes.Unavailable},
		{"another service", t.Context(), remote, codes.Unavailable},
	} {
		err := s.Visible(test.ctx, "Watch", test.err)
		if status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
