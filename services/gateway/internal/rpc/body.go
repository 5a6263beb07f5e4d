// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"math"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Body is an error as REST, the WebSocket and server-sent events show it.
type Body struct {
	// Code is the name of the gRPC code, such as "FAILED_PRECONDITION".
	Code string `json:"code"`
	// Message is one sentence for people.
	Message string `json:"message"`
	// Reason is stable, for programs, such as "STATE_REFUSES"; empty if none.
	Reason string `json:"reason,omitempty"`
	// Configuration are the active states that refused.
	Configuration []string `json:"configuration,omitempty"`
	// AllowedIntents are what the state allows.
	AllowedIntents []string `json:"allowedIntents,omitempty"`
	// RetryAfterSeconds is when to try again; absent when that does not help.
	RetryAfterSeconds float64 `json:"retryAfterSeconds,omitempty"`
	// Line and Column are the place in a bad document, from 1.
	Line   uint32 `json:"line,omitempty"`
	Column uint32 `json:"column,omitempty"`
}

// NewBody reads an error, which must be one that clients may see.
func NewBody(err error) Body {
	st := status.Convert(err)
	b := Body{Code: codeName(st.Code()), Message: st.Message()}
	d := Detail(err)
	if d == nil {
		return b
	}
	if d.GetReason() != fleetv1.Reason_REASON_UNSPECIFIED {
		b.Reason = strings.TrimPrefix(d.GetReason().String(), "REASON_")
	}
	b.Configuration, b.AllowedIntents = d.GetConfiguration(), d.GetAllowedIntents()
	b.RetryAfterSeconds = d.GetRetryAfter().AsDuration().Seconds()
	b.Line, b.Column = d.GetLine(), d.GetColumn()
	return b
}

// RetryAfter is the value of the header of that name, in whole seconds; 0
// means that there is none.
func (b Body) RetryAfter() int { return int(math.Ceil(b.RetryAfterSeconds)) }

// HTTPStatus is the status under which REST shows an error.
func HTTPStatus(err error) int {
	reason := Detail(err).GetReason()
	switch status.Code(err) {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		if reason == fleetv1.Reason_REASON_TOO_LARGE {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusTooManyRequests
	case codes.Canceled:
		return 499 // nobody reads it
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// codeName gives a code as the gRPC specification writes it.
func codeName(c codes.Code) string {
	if c == codes.Canceled {
		return "CANCELLED"
	}
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' && c != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
