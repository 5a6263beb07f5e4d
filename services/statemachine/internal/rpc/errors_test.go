// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Only a caller that went away itself is told so: the others can try again.
func TestWhoWentAway(t *testing.T) {
	t.Parallel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	ended := fmt.Errorf("commit: %w", context.Canceled)
	for _, test := range []struct {
		name string
		ctx  context.Context
		want codes.Code
	}{
		{"the caller", gone, codes.Canceled},
		{"the server", t.Context(), codes.Unavailable},
	} {
		if err := New(Config{}).failure(test.ctx, "submit", ended); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
