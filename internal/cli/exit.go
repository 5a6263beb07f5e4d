// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Code is an exit code of the program. Scripts may rely on them.
type Code int

// The exit codes.
const (
	// OK: it was done.
	OK Code = iota
	// Failed: anything that has no code of its own.
	Failed
	// Usage: the command line, or an argument in it, is wrong.
	Usage
	// NotFound: there is no such instance, chart, host or snapshot.
	NotFound
	// Refused: the state of the instance does not allow it.
	Refused
	// TimedOut: it did not happen within the time given.
	TimedOut
	// Unreachable: no answer from the server, or the agent is away.
	Unreachable
	// Conflict: it exists already, or a request id was used for something else.
	Conflict
	// Findings: doctor or chart lint found something to mend, a chart test failed.
	Findings
	// Interrupted: somebody ended the command, as with Ctrl-C, before it was done: 128 +
	// SIGINT, as shells have it, for each signal that ends it.
	Interrupted Code = 130
)

// codeError is an error with an exit code of its own.
type codeError struct {
	code Code
	err  error
}

func (e codeError) Error() string { return e.err.Error() }
func (e codeError) Unwrap() error { return e.err }

// usageError is a wrong command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// aboutError is an error about one instance, which the advice names.
type aboutError struct {
	instance string
	error
}

func (e aboutError) Unwrap() error { return e.error }

// about notes which instance an error is about; nil stays nil.
func about(instance string, err error) error {
	if err == nil || instance == "" {
		return err
	}
	return aboutError{instance, err}
}

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// interrupted says whether an error is that the command itself was ended. gRPC gives
// the end of the caller's own context in the same words as Go.
func interrupted(err error) bool {
	s := status.Convert(err)
	return errors.Is(err, context.Canceled) || s.Code() == codes.Canceled && strings.HasSuffix(s.Message(), context.Canceled.Error())
}

// codeOf finds the exit code of an error.
func codeOf(err error) Code {
	if interrupted(err) {
		return Interrupted
	}
	if e, ok := errors.AsType[codeError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return Usage
	}
	s, ok := status.FromError(err)
	if !ok {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return TimedOut
		case errors.Is(err, os.ErrNotExist):
			return NotFound
		}
		return Failed
	}
	if r := refusalOf(s); r != nil {
		switch r.GetReason() {
		case fleetv1.Reason_REASON_REQUEST_ID_REUSED, fleetv1.Reason_REASON_INSTANCE_EXISTS:
			return Conflict
		case fleetv1.Reason_REASON_TOO_LARGE, fleetv1.Reason_REASON_CHART_INVALID, fleetv1.Reason_REASON_ARGUMENT_INVALID:
			return Usage
		case fleetv1.Reason_REASON_AGENT_AWAY, fleetv1.Reason_REASON_UNAVAILABLE:
			return Unreachable
		case fleetv1.Reason_REASON_QUEUE_FULL, fleetv1.Reason_REASON_NOT_ADMITTED, fleetv1.Reason_REASON_STATE_REFUSES,
			fleetv1.Reason_REASON_UNMANAGED, fleetv1.Reason_REASON_FINISHED:
			return Refused
		}
	}
	switch s.Code() {
	case codes.NotFound:
		return NotFound
	case codes.InvalidArgument, codes.OutOfRange:
		return Usage
	case codes.FailedPrecondition, codes.ResourceExhausted:
		return Refused
	case codes.DeadlineExceeded:
		return TimedOut
	case codes.Unavailable:
		return Unreachable
	case codes.AlreadyExists, codes.Aborted:
		return Conflict
	}
	return Failed
}

// refusalOf finds the typed detail of an error of the API; nil without one.
func refusalOf(s *status.Status) *fleetv1.Refusal {
	for _, d := range s.Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			return r
		}
	}
	return nil
}

// explain says what happened and, where there is something, what to do next.
// It is empty for an error that has been shown already.
func explain(err error) string {
	remote, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		said := strings.TrimSpace(err.Error())
		if errors.Is(err, context.Canceled) {
			said = strings.Replace(said, context.Canceled.Error(), "interrupted", 1)
		}
		return said
	}
	s := remote.GRPCStatus()
	// What the caller wrapped around the status says what was asked for.
	message := strings.Replace(err.Error(), remote.Error(), reason(s), 1)
	var next []string
	if r := refusalOf(s); r != nil {
		instance := "INSTANCE"
		if e, ok := errors.AsType[aboutError](err); ok {
			instance = e.instance
		}
		next = advice(r, instance)
	}
	if len(next) == 0 {
		switch s.Code() {
		case codes.Unavailable:
			if advice := transport.Advice(err); advice != "" {
				next = []string{strings.ToUpper(advice[:1]) + advice[1:] + "."}
				break
			}
			next = []string{"Is chartroom running there? Start it with: chartroom up", "Another address: --server HOST:PORT, or CHARTROOM_SERVER."}
		case codes.Unauthenticated, codes.PermissionDenied:
			next = []string{"Name the directory that chartroom init made: --tls-dir DIR, or CHARTROOM_TLS_DIR."}
		case codes.Unimplemented:
			next = []string{"The server is of another version. See: chartroom version"}
		}
	}
	return strings.Join(append([]string{message}, next...), "\n")
}

// reason is the status in words, without gRPC's own around them.
func reason(s *status.Status) string {
	if strings.Contains(s.Message(), "use of closed network connection") {
		return "no answer" // gRPC gave the connection up itself
	}
	if strings.Contains(s.Message(), "error reading from server") {
		return "the connection broke before there was an answer"
	}
	if interrupted(s.Err()) {
		return "interrupted"
	}
	if _, inner, ok := strings.Cut(s.Message(), "Error while dialing: "); ok {
		return "no answer: " + strings.Trim(inner, `"`)
	}
	return s.Message()
}

// advice is what to do about a refusal, whose message names the state. It may be
// about an instance.
func advice(r *fleetv1.Refusal, instance string) (next []string) {
	if allowed := r.GetAllowedIntents(); len(allowed) > 0 {
		verbs := make([]string, len(allowed))
		for i, intent := range allowed {
			verbs[i] = verbOf(intent)
		}
		next = append(next, "Allowed now: "+strings.Join(verbs, ", "))
	} else if r.GetReason() == fleetv1.Reason_REASON_STATE_REFUSES {
		next = append(next, "No intent is allowed now: another may be under way. Follow it: chartroom watch "+instance)
	}
	switch r.GetReason() {
	case fleetv1.Reason_REASON_INSTANCE_UNKNOWN:
		next = append(next, "See what there is: chartroom get instances")
	case fleetv1.Reason_REASON_INSTANCE_AMBIGUOUS:
		next = append(next, "Say which host: NAME@HOST. See: chartroom get instances")
	case fleetv1.Reason_REASON_CHART_UNKNOWN:
		next = append(next, "See what there is: chartroom get charts. Add one: chartroom chart push FILE.scxml")
	case fleetv1.Reason_REASON_HOST_UNKNOWN:
		next = append(next, "See what there is: chartroom get hosts")
	case fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN:
		next = append(next, "See what there is: chartroom snapshot ls "+instance)
	case fleetv1.Reason_REASON_AGENT_AWAY:
		next = append(next, "See the hosts: chartroom get hosts")
	case fleetv1.Reason_REASON_INSTANCE_EXISTS:
		next = append(next, "Look at it: chartroom describe "+instance+". Or choose another name.")
	case fleetv1.Reason_REASON_REQUEST_ID_REUSED:
		next = append(next, "Use another --request-id, or none.")
	}
	if d := r.GetRetryAfter(); d != nil {
		next = append(next, "Try again in "+d.AsDuration().Round(10*time.Millisecond).String()+".")
	}
	return next
}
