// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// Interpreter is one session of a chart. It is a plain value machine: it has no
// goroutine, and is not safe for concurrent use, [Interpreter.Interrupt]
// excepted. Nothing has to be closed.
type Interpreter struct {
	chart *Chart
	data  datamodel.Store
	// configuration is that at the end of the last microstep.
	configuration *configuration
	sessionID     string
	now           time.Time
	done          *Done
	// rare is nil in a session that has none of it.
	rare *rare
	// work is what lives only while a call runs; nil between calls.
	work *work

	interrupted atomic.Bool

	// The first microstep of the last call and its event, which the trace
	// points to until the next one.
	first [1]Microstep
	event Event
}

// rare is what many sessions never have.
type rare struct {
	// processors are those of Input, without the SCXML one.
	processors     map[string]string
	name, invokeID string
	// entered are the states with data that were entered, for late binding.
	entered bitset
	history map[*state][]*state
	pending []Delayed
	// bytes is the size of the pending sends when there were `counted` of them.
	counted, bytes int
	// invocations are in the order in which they were started.
	invocations []*invocation
	// sends, delays and invokes count the ids that were made.
	sends, delays, invokes uint64
}

// seldom gives ip.rare, made when first needed.
func (ip *Interpreter) seldom() *rare {
	if ip.rare == nil {
		ip.rare = &rare{}
	}
	return ip.rare
}

// Start begins a session and runs it until it waits for an event from outside
// (SCXML 3.13): the initial configuration has been entered, internal events
// are processed. Faults of the chart are in the step; the error is for misuse
// only, such as a nil chart.
func Start(c *Chart, in Input) (*Interpreter, Macrostep, error) {
	if c == nil {
		return nil, Macrostep{}, errors.New("start session: no chart")
	}
	overrides, err := datamodel.Normalize(in.Data)
	if err != nil {
		return nil, Macrostep{}, fmt.Errorf("start session %s: initial data: %w", in.SessionID, err)
	}
	ip := newInterpreter(c, in)
	if in.Begun != nil {
		in.Begun(ip)
	}
	ip.begin(in)
	ip.interpret(overrides.(map[string]any))
	return ip, ip.end(), nil
}

// Deliver puts ev into the external queue and runs the session until it waits
// again (SCXML 3.13, 5.10). It changes the interpreter and performs nothing:
// commit first, then perform [Macrostep.Effects] in order.
//
// An ev with an empty Type is external. An event that no transition wants is
// discarded; the step then has one microstep without transitions. It returns
// [ErrFinished] once the session has ended, and another error for Data that are
// not JSON; nothing has changed then.
func (ip *Interpreter) Deliver(ev Event, in Input) (Macrostep, error) {
	if ip.done != nil {
		return Macrostep{}, ErrFinished
	}
	data, err := datamodel.Normalize(ev.Data)
	if err != nil {
		return Macrostep{}, fmt.Errorf("deliver %s to %s: %w", ev.Name, ip.sessionID, err)
	}
	ev.Data = data
	if ev.Type == "" {
		ev.Type = External
	}
	ip.begin(in)
	ip.work.running = true
	ip.event = ev
	ip.takeExternal(&ip.event)
	ip.mainEventLoop()
	return ip.end(), nil
}

// Fire does the delayed send seq: an event to the session itself is delivered,
// any other comes out as a [Send] effect. The kernel does not compare Due with
// in.Now; firing in the order of (Due, Seq) is up to the caller. A seq that is
// not pending, because it was fired or cancelled, is a no-op with an empty step.
// It returns [ErrFinished] once the session has ended.
func (ip *Interpreter) Fire(seq uint64, in Input) (Macrostep, error) {
	if ip.done != nil {
		return Macrostep{}, ErrFinished
	}
	i := slices.IndexFunc(ip.pending(), func(d Delayed) bool { return d.Seq == seq })
	if i < 0 {
		return Macrostep{}, nil
	}
	d := ip.rare.pending[i]
	ip.rare.pending = slices.Delete(ip.rare.pending, i, i+1)
	ip.begin(in)
	ip.work.running = true
	if err := ip.dispatch(d.Send, node{element: "send"}); err != nil {
		ip.raiseFault(err)
	}
	ip.mainEventLoop()
	return ip.end(), nil
}

// Forget drops the delayed send seq without doing it, as a <cancel> does. It is
// for an environment whose Fire had to be interrupted: the restored session would
// have it due for ever. A seq that is not pending is a no-op.
func (ip *Interpreter) Forget(seq uint64) {
	if ip.rare != nil {
		ip.rare.pending = slices.DeleteFunc(ip.rare.pending, func(d Delayed) bool { return d.Seq == seq })
	}
}

// Stop ends the session from outside, as a parent does that leaves the state
// with the <invoke> (SCXML 6.4.3): <onexit> content runs, invocations are
// ended, and the step carries [Done] with an empty State. It returns
// [ErrFinished] if the session has ended before.
func (ip *Interpreter) Stop(in Input) (Macrostep, error) {
	if ip.done != nil {
		return Macrostep{}, ErrFinished
	}
	ip.begin(in)
	ip.work.stopping = true
	r := ip.record()
	for _, s := range slices.Backward(ip.configuration.states) {
		r.Exited = append(r.Exited, s.id)
	}
	ip.exitInterpreter(Done{})
	return ip.end(), nil
}

// Pending lists the delayed sends in the order in which they are due (Due, then
// Seq). It is the only truth about them: after each step compare it with your
// index. It is empty once the session has ended.
func (ip *Interpreter) Pending() []Delayed {
	pending := slices.Clone(ip.pending())
	for i := range pending {
		pending[i].Send = pending[i].Send.plain()
	}
	return pending
}

// Next is the first of Pending; ok is false without one.
func (ip *Interpreter) Next() (d Delayed, ok bool) {
	if p := ip.pending(); len(p) > 0 {
		return p[0], true
	}
	return Delayed{}, false
}

func (ip *Interpreter) pending() []Delayed {
	if ip.rare == nil {
		return nil
	}
	return ip.rare.pending
}

// Invocations lists the ids of the services that are invoked now, in the order
// in which they were.
func (ip *Interpreter) Invocations() []string {
	if ip.rare == nil {
		return []string{}
	}
	ids := make([]string, 0, len(ip.rare.invocations))
	for _, v := range ip.rare.invocations {
		ids = append(ids, v.id)
	}
	return ids
}

// Configuration lists the ids of all active states, ancestors included but not
// the root, in document order. It is empty once the session has ended.
func (ip *Interpreter) Configuration() []string {
	return append([]string{}, ip.configuration.ids...)
}

// In says whether the state is active.
func (ip *Interpreter) In(id string) bool {
	s := ip.chart.byID[id]
	return s != nil && ip.isActive(s)
}

// Enabled lists the descriptors (see [Transition.Events]) of events that have a
// transition now, each once, those of inner states before those of outer ones.
// Guards are evaluated without an event, at the time of the last step; a
// guard that mentions _event, or that fails without one, counts as true, and so do
// those beyond a tenth of [Limits].Work.
func (ip *Interpreter) Enabled() []string {
	var out []string
	seen := map[string]bool{} // a transition may have a hundred thousand
	ip.eachEnabled(func(t *transition) bool {
		for _, d := range t.events {
			if !seen[d] {
				seen[d] = true
				out = append(out, d)
			}
		}
		return true
	})
	return out
}

// Accepts says whether an event of this name would find a transition now, with
// guards as for [Interpreter.Enabled].
func (ip *Interpreter) Accepts(event string) bool {
	found := false
	ip.eachEnabled(func(t *transition) bool {
		found = nameMatch(t.events, event)
		return !found
	})
	return found
}

// Attributes gives the values of an attribute of another namespace on the
// active states, in document order; states without it are left out. For
// instance Attributes("https://chartroom.dev/ns", "admit").
func (ip *Interpreter) Attributes(namespace, local string) []string {
	var out []string
	for _, s := range ip.configuration.states {
		if v, ok := s.src.Attribute(namespace, local); ok {
			out = append(out, v)
		}
	}
	return out
}

// Data gives a copy of the datamodel: id to plain JSON value. Values that JSON
// does not know are given as it would write them: NaN and the infinities as
// nil, undefined left out, XML as its text.
func (ip *Interpreter) Data() map[string]any {
	plain, _ := datamodel.Plain(ip.data.Data()).(map[string]any)
	return plain
}

// Value gives a copy of one value of the datamodel by its id or by a path of
// names and indices ("order.items.0.price"); ok is false if there is none.
func (ip *Interpreter) Value(path string) (value any, ok bool) {
	name, path, more := strings.Cut(path, ".")
	if value, ok = ip.data.Get(name); !ok {
		return nil, false
	}
	for more {
		name, path, more = strings.Cut(path, ".")
		switch v := value.(type) {
		case map[string]any:
			if value, ok = v[name]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return datamodel.Plain(value), true
}

// Finished says whether the session has ended, and how. The pointer is nil
// while it has not.
func (ip *Interpreter) Finished() *Done {
	if ip.done == nil {
		return nil
	}
	done := *ip.done
	return &done
}

// SessionID is `_sessionid`.
func (ip *Interpreter) SessionID() string {
	return ip.sessionID
}

// Chart is the chart that the session runs.
func (ip *Interpreter) Chart() *Chart { return ip.chart }

// eachEnabled calls f for each transition with an event that could be taken
// now, innermost states first, until f says false.
func (ip *Interpreter) eachEnabled(f func(*transition) bool) {
	ip.data.SetEvent(nil)
	defer ip.data.Discard()
	for _, s := range slices.Backward(ip.configuration.states) {
		for _, t := range s.transitions {
			if len(t.events) == 0 {
				continue
			}
			if t.cond != nil && !t.cond.UsesEvent() {
				if ok, err := ip.data.Bool(t.cond); err == nil && !ok {
					continue
				}
			}
			if !f(t) {
				return
			}
		}
	}
}

// Interrupt ends a call that is running in another goroutine: what it was
// evaluating fails, and so does everything evaluated after it; no microstep begins
// any more. It is for an environment that measures wall time. The step is then
// worthless: discard the interpreter and restore the last snapshot.
func (ip *Interpreter) Interrupt() {
	ip.interrupted.Store(true)
	ip.data.Interrupt()
}
