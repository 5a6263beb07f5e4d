// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"

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

// underWay tells of the command to the target that has no outcome yet; else of the
// state that does not take an intent. A stop that the chart no longer waits for is over,
// though the engine's call may come back later.
func (i *Instance) underWay() string {
	for _, row := range i.outbox {
		if verb := row.GetCommand().GetVerb(); row.GetHostId() != "" && verb != "deliver" && !(verb == "stop" && i.ip.In("intent.idle")) {
			return ": its " + verb + " is under way"
		}
	}
	if s := i.chart.Document().State(i.chart.state(i.ip.In)); s != nil {
		return ": it is in " + strings.Join(path(s), " ")
	}
	return ""
}

// notAdmitted says which states refuse application events, for people.
func (t *turn) notAdmitted() string {
	i := t.instance
	states := i.refusing()
	if i.hosted() { // The regions of the container's chart, and of those made from it.
		for _, s := range states {
			switch {
			case s.ID == "breaker.open":
				return "its breaker is open" + i.unanswered() + t.probed()
			case !i.ip.In("started") && within(s, "lifecycle"):
				return "it is not running (" + strings.Join(path(s), " ") + ")"
			}
		}
	}
	ids := make([]string, len(states))
	for k, s := range states {
		ids[k] = s.ID
	}
	if len(ids) == 1 {
		return "the state " + ids[0] + ` refuses events (cr:admit="fail")`
	}
	return "the states " + strings.Join(ids, ", ") + ` refuse events (cr:admit="fail")`
}

// unanswered tells of the event that opened the breaker.
func (i *Instance) unanswered() string {
	n, ms := number(i.value("flying")), number(i.value("options.breaker.timeout"))
	if n == 0 || ms == 0 {
		return ""
	}
	return fmt.Sprintf(": it did not answer event %d within %d ms (chartroom.breaker.timeout)", n, ms)
}

// probed says when an open breaker is tried.
func (t *turn) probed() string {
	for _, d := range t.instance.ip.Pending() {
		if d.Send.Event.Name == "breaker.probe" {
			wait := max(d.Due.Sub(t.now), 100*time.Millisecond).Round(100 * time.Millisecond)
			return fmt.Sprintf("; tried again in about %v s", wait.Seconds())
		}
	}
	return ""
}

// refusing are the active states that refuse application events, in document order.
func (i *Instance) refusing() (states []*scxml.State) {
	for _, id := range i.ip.Configuration() {
		if s := i.chart.Document().State(id); s != nil {
			if v, _ := s.Attribute(Namespace, "admit"); v == "fail" {
				states = append(states, s)
			}
		}
	}
	return states
}

// path is s after those that it is inside of, as far as they tell anything: a
// <parallel> and its regions are active always.
func path(s *scxml.State) []string {
	ids := []string{s.ID}
	for p := s.Parent; p != nil && p.Parent != nil && p.Parent.Kind != scxml.KindParallel && p.Kind != scxml.KindParallel; p = p.Parent {
		ids = append([]string{p.ID}, ids...)
	}
	return ids
}

// within says whether s is inside of the state of that name.
func within(s *scxml.State, id string) bool {
	for p := s.Parent; p != nil; p = p.Parent {
		if p.ID == id {
			return true
		}
	}
	return false
}
