// SPDX-License-Identifier: Apache-2.0

package scxml

import "errors"

// Interpreter is one session of a chart. It is a plain value machine: it has no
// goroutine, and is not safe for concurrent use. Nothing has to be closed.
type Interpreter struct {
	chart *Chart
}

var errNotImplemented = errors.New("not implemented yet")

// Start begins a session and runs it until it waits for an event from outside
// (SCXML 3.13): the initial configuration has been entered, internal events
// are processed. Faults of the chart are in the step; the error is for misuse
// only, such as a nil chart.
func Start(c *Chart, in Input) (*Interpreter, Macrostep, error) {
	return nil, Macrostep{}, errNotImplemented
}

// Restore makes the session that [Interpreter.AppendSnapshot] wrote. No content
// runs and no effect comes out. Delayed sends keep their deadline: those that
// are late are due at once. The error wraps [ErrBadSnapshot], or
// [ErrUnknownState] when the snapshot is of a chart with other states.
func Restore(c *Chart, snapshot []byte) (*Interpreter, error) {
	return nil, errNotImplemented
}

// Deliver puts ev into the external queue and runs the session until it waits
// again (SCXML 3.13, 5.10). It changes the interpreter and performs nothing:
// commit first, then perform [Macrostep.Effects] in order.
//
// An ev with an empty Type is external. An event that no transition wants is
// discarded; the step then has one microstep without transitions. It returns
// [ErrFinished] once the session has ended.
func (ip *Interpreter) Deliver(ev Event, in Input) (Macrostep, error) {
	return Macrostep{}, errNotImplemented
}

// Fire does the delayed send seq: an event to the session itself is delivered,
// any other comes out as a [Send] effect. The kernel does not compare Due with
// in.Now; firing in the order of (Due, Seq) is up to the caller. A seq that is
// not pending, because it was fired or cancelled, is a no-op with an empty step.
// It returns [ErrFinished] once the session has ended.
func (ip *Interpreter) Fire(seq uint64, in Input) (Macrostep, error) {
	return Macrostep{}, errNotImplemented
}

// Stop ends the session from outside, as a parent does that leaves the state
// with the <invoke> (SCXML 6.4.3): <onexit> content runs, invocations are
// ended, and the step carries [Done] with an empty State. It returns
// [ErrFinished] if the session has ended before.
func (ip *Interpreter) Stop(in Input) (Macrostep, error) {
	return Macrostep{}, errNotImplemented
}

// Pending lists the delayed sends in the order in which they are due (Due, then
// Seq). It is the only truth about them: after each step compare it with your
// index. It is empty once the session has ended.
func (ip *Interpreter) Pending() []Delayed { return nil }

// Invocations lists the ids of the services that are invoked now, in the order
// in which they were.
func (ip *Interpreter) Invocations() []string { return nil }

// AppendSnapshot appends the session snapshot to dst: configuration, history,
// datamodel, delayed sends, invocations and counters, in canonical form. Equal
// sessions give equal bytes.
func (ip *Interpreter) AppendSnapshot(dst []byte) ([]byte, error) { return dst, errNotImplemented }

// Configuration lists the ids of all active states, ancestors included but not
// the root, in document order. It is empty once the session has ended.
func (ip *Interpreter) Configuration() []string { return nil }

// In says whether the state is active.
func (ip *Interpreter) In(id string) bool { return false }

// Enabled lists the descriptors (see [Transition.Events]) of events that have a
// transition now, each once: those of innermost states first, then in document
// order. Guards are evaluated without an event, at the time of the last step; a
// guard that mentions _event, or that fails without one, counts as true.
func (ip *Interpreter) Enabled() []string { return nil }

// Accepts says whether an event of this name would find a transition now, with
// guards as for [Interpreter.Enabled].
func (ip *Interpreter) Accepts(event string) bool { return false }

// Attributes gives the values of an attribute of another namespace on the
// active states, in document order; states without it are left out. For
// instance Attributes("https://chartroom.dev/ns", "admit").
func (ip *Interpreter) Attributes(namespace, local string) []string { return nil }

// Data gives a copy of the datamodel: id to plain JSON value. Values that JSON
// does not know are given as it would write them: NaN and the infinities as
// nil, undefined left out, XML as its text.
func (ip *Interpreter) Data() map[string]any { return nil }

// Value gives a copy of one value of the datamodel by its id or by a path of
// names and indices ("order.items.0.price"); ok is false if there is none.
func (ip *Interpreter) Value(path string) (value any, ok bool) { return nil, false }

// Finished says whether the session has ended, and how. The pointer is nil
// while it has not.
func (ip *Interpreter) Finished() *Done { return nil }

// SessionID is `_sessionid`.
func (ip *Interpreter) SessionID() string { return "" }

// Chart is the chart that the session runs.
func (ip *Interpreter) Chart() *Chart { return ip.chart }
