// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
)

// retryAfter is offered when a service is away.
const retryAfter = time.Second

// ErrEnding is the cause of the end of a context that ends with the gateway, and not
// with its caller.
var ErrEnding = errors.New("the gateway is shutting down")

// Refuse makes an error as clients see it: a code, a reason, a sentence.
func Refuse(code codes.Code, reason fleetv1.Reason, format string, args ...any) error {
	return refusal(code, &fleetv1.Refusal{Reason: reason}, fmt.Sprintf(format, args...))
}

func refusal(code codes.Code, detail *fleetv1.Refusal, message string) error {
	s, err := status.New(code, message).WithDetails(detail)
	if err != nil {
		return status.Error(code, message)
	}
	return s.Err()
}

func invalid(format string, args ...any) error {
	return Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, format, args...)
}

func tooLarge(format string, args ...any) error {
	return Refuse(codes.ResourceExhausted, fleetv1.Reason_REASON_TOO_LARGE, format, args...)
}

// Detail reads the refusal that an error carries; nil when it carries none.
func Detail(err error) *fleetv1.Refusal {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			return r
		}
	}
	return nil
}

// toStatus is the one place that maps errors to what clients see.
//
// An error of statemachine or snapshot that carries a refusal, or says that
// the request is at fault, is handed on. One that says that they are away
// becomes UNAVAILABLE with a time to retry. Anything else is INTERNAL without
// its text, which goes to the log. What was not answered because the store has no
// room, or a service does not answer, says that.
func (s *Server) toStatus(ctx context.Context, method string, err error) error {
	err = s.visible(ctx, method, err)
	detail, st := Detail(err), status.Convert(err)
	unanswered := st.Code() == codes.DeadlineExceeded || detail.GetReason() == fleetv1.Reason_REASON_UNAVAILABLE
	why := s.upstream.Why()
	if f := s.model.Finding(); f != nil {
		why = f.GetMessage() + ": " + f.GetFix()
	}
	if why == "" || !unanswered {
		return err
	}
	if detail == nil {
		detail = &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_UNAVAILABLE}
	}
	return refusal(st.Code(), detail, st.Message()+"; "+why)
}

func (s *Server) visible(ctx context.Context, method string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, readmodel.ErrNotReady):
		return away("the fleet is being read")
	case errors.Is(err, readmodel.ErrInstanceUnknown):
		return Refuse(codes.NotFound, fleetv1.Reason_REASON_INSTANCE_UNKNOWN, "%v", err)
	case errors.Is(err, readmodel.ErrInstanceAmbiguous):
		return Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_INSTANCE_AMBIGUOUS, "%v", err)
	case errors.Is(err, readmodel.ErrPageToken):
		return invalid("%v", err)
	case errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled:
		// Whoever is still there goes on with another gateway, or with this one later.
		if ctx.Err() == nil || errors.Is(context.Cause(ctx), ErrEnding) {
			return away("the server is shutting down")
		}
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "timed out")
	}
	st, ok := status.FromError(err)
	if !ok {
		s.logger.ErrorContext(ctx, "request failed", "method", method, "err", err)
		return status.Error(codes.Internal, "internal error")
	}
	// FromError may have unwrapped ours and put its prefix into the message.
	if Detail(err) != nil {
		return st.Err()
	}
	switch st.Code() {
	case codes.Unavailable:
		s.logger.WarnContext(ctx, "service is away", "method", method, "err", err)
		return away("a service behind the gateway is away")
	case codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists,
		codes.ResourceExhausted, codes.DeadlineExceeded, codes.Unauthenticated, codes.Aborted:
		return st.Err()
	case codes.Unimplemented:
		s.logger.WarnContext(ctx, "service lacks a method", "method", method, "err", err)
		return status.Error(codes.Unimplemented, "not offered by this version")
	default:
		s.logger.ErrorContext(ctx, "request failed", "method", method, "err", err)
		return status.Error(codes.Internal, "internal error")
	}
}

func away(message string) error {
	return refusal(codes.Unavailable, &fleetv1.Refusal{
		Reason:     fleetv1.Reason_REASON_UNAVAILABLE,
		RetryAfter: durationpb.New(retryAfter),
	}, message)
}

// Visible makes an error of a method one that clients may see; for callers
// that are not gRPC.
func (s *Server) Visible(ctx context.Context, method string, err error) error {
	return s.toStatus(ctx, method, err)
}
