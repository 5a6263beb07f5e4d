// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"log/slog"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// toStatus is the one place that turns an error into what a caller sees:
//
//	ErrInvalid      INVALID_ARGUMENT     do not send it again
//	ErrFenced       FAILED_PRECONDITION  another owner has the shard
//	ErrNotFound     NOT_FOUND
//	ErrUnavailable  UNAVAILABLE          outcome unknown; asking again is safe
//	*FullError      UNAVAILABLE          the same; the message says what to do
//	ErrUnsafe       FAILED_PRECONDITION  an operator must mend the database
//	ctx's           CANCELLED, DEADLINE_EXCEEDED
//	anything else   INTERNAL             told to the log, not to the caller
func toStatus(log *slog.Logger, method string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err // made here already, or by the stream
	}
	for _, m := range []struct {
		is   error
		code codes.Code
	}{
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{store.ErrInvalid, codes.InvalidArgument},
		{store.ErrFenced, codes.FailedPrecondition},
		{store.ErrNotFound, codes.NotFound},
		{store.ErrUnsafe, codes.FailedPrecondition},
	} {
		if errors.Is(err, m.is) {
			return status.Error(m.code, err.Error())
		}
	}
	if full, ok := errors.AsType[*store.FullError](err); ok {
		log.Warn("store is full", "method", method, "err", err)
		return status.Error(codes.Unavailable, full.Error())
	}
	if errors.Is(err, store.ErrUnavailable) {
		log.Warn("store unavailable", "method", method, "err", err)
		return status.Error(codes.Unavailable, store.ErrUnavailable.Error())
	}
	log.Error("call failed", "method", method, "err", err)
	return status.Error(codes.Internal, "internal error; see the log of the snapshot service")
}
