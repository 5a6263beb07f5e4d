// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// codeOf maps reasons to codes. A reason that is not here is a fault of ours.
var codeOf = map[fleetv1.Reason]codes.Code{
	fleetv1.Reason_REASON_INSTANCE_UNKNOWN:   codes.NotFound,
	fleetv1.Reason_REASON_INSTANCE_AMBIGUOUS: codes.InvalidArgument,
	fleetv1.Reason_REASON_CHART_UNKNOWN:      codes.NotFound,
	fleetv1.Reason_REASON_HOST_UNKNOWN:       codes.NotFound,
	fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN:   codes.NotFound,
	fleetv1.Reason_REASON_CHART_INVALID:      codes.InvalidArgument,
	fleetv1.Reason_REASON_ARGUMENT_INVALID:   codes.InvalidArgument,
	fleetv1.Reason_REASON_STATE_REFUSES:      codes.FailedPrecondition,
	fleetv1.Reason_REASON_UNMANAGED:          codes.FailedPrecondition,
	fleetv1.Reason_REASON_NOT_ADMITTED:       codes.FailedPrecondition,
	fleetv1.Reason_REASON_FINISHED:           codes.FailedPrecondition,
	fleetv1.Reason_REASON_QUEUE_FULL:         codes.ResourceExhausted,
	fleetv1.Reason_REASON_TOO_LARGE:          codes.ResourceExhausted,
	fleetv1.Reason_REASON_AGENT_AWAY:         codes.Unavailable,
	fleetv1.Reason_REASON_UNAVAILABLE:        codes.Unavailable,
	fleetv1.Reason_REASON_INSTANCE_EXISTS:    codes.AlreadyExists,
	fleetv1.Reason_REASON_REQUEST_ID_REUSED:  codes.AlreadyExists,
	fleetv1.Reason_REASON_UNAUTHENTICATED:    codes.Unauthenticated,
}

// failure is the one place that turns an error into a status: a refusal with
// its detail; a status of the snapshot service as it is, without its text when
// that tells of internals; anything else as internal.
func (s *Server) failure(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*session.Refusal](err); ok {
		return refusal(r)
	}
	switch code := status.Code(err); {
	case errors.Is(err, context.Canceled) && ctx.Err() == nil:
		return refusal(session.Unavailable("%s: the server is shutting down", what))
	case errors.Is(err, context.Canceled) || ctx.Err() != nil && code == codes.Canceled:
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return refusal(session.Unavailable("%s: no answer in time", what))
	case code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled:
		s.c.Log.Warn("the store does not answer", "call", what, "err", err)
		return refusal(session.Unavailable("%s: the store does not answer", what))
	case code == codes.InvalidArgument || code == codes.NotFound || code == codes.ResourceExhausted || code == codes.FailedPrecondition:
		return err
	}
	s.c.Log.Error("call failed", "call", what, "err", err)
	return status.Errorf(codes.Internal, "%s: internal error", what)
}

func refusal(r *session.Refusal) error {
	code, ok := codeOf[r.Reason]
	if !ok {
		code = codes.Internal
	}
	detail := &fleetv1.Refusal{
		Reason: r.Reason, Configuration: r.Configuration, AllowedIntents: r.Allowed,
		Line: uint32(max(r.Line, 0)), Column: uint32(max(r.Column, 0)),
	}
	if r.RetryAfter > 0 {
		detail.RetryAfter = durationpb.New(r.RetryAfter)
	}
	st, err := status.New(code, r.Message).WithDetails(detail)
	if err != nil {
		return status.Error(code, r.Message)
	}
	return st.Err()
}
