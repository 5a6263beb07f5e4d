// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
)

// errNoRoom is the cause of the end of a write that waits for a store without room.
var errNoRoom = errors.New("the store has no room")

// write does what has to be stored. While the store says that it takes nothing new,
// nothing is asked for; a write that is under way then is not waited for, and may be
// done when there is room: repeated with its request_id it is done once.
func write[R any](ctx context.Context, s *Server, do func(context.Context) (R, error)) (R, error) {
	full := s.model.Full()
	var none R
	select {
	case <-full:
		return none, away("nothing was done")
	default:
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-full:
			cancel(errNoRoom)
		case <-ctx.Done():
		}
	}()
	r, err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errNoRoom) {
		return none, away("it is not stored, and may be done when there is room")
	}
	return r, err
}
