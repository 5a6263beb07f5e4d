// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Refusal is why something that was asked for is not done. It is the only
// error that a caller outside sees; package rpc maps it to a status.
type Refusal struct {
	// Reason is the stable reason.
	Reason fleetv1.Reason
	// Message is for people: what happened, and where possible what to do.
	Message string
	// Configuration is the active states that refused; may be empty.
	Configuration []string
	// Allowed is what would be accepted now; may be empty.
	Allowed []string
	// RetryAfter is when to try again; zero when that does not help.
	RetryAfter time.Duration
	// Line and Column are the position in a bad document; zero otherwise.
	Line, Column int
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

func refuse(reason fleetv1.Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Unavailable is the refusal of a part that is away for the moment.
func Unavailable(format string, args ...any) *Refusal {
	r := refuse(fleetv1.Reason_REASON_UNAVAILABLE, format, args...)
	r.RetryAfter = time.Second
	return r
}

// Invalid is the refusal of a bad argument.
func Invalid(format string, args ...any) *Refusal {
	return refuse(fleetv1.Reason_REASON_ARGUMENT_INVALID, format, args...)
}

func unknownInstance(id string) *Refusal {
	return refuse(fleetv1.Reason_REASON_INSTANCE_UNKNOWN, "no instance %q", id)
}
