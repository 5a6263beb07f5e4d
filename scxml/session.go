// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// newInterpreter makes a session that has not begun.
func newInterpreter(c *Chart, in Input) *Interpreter {
	ip := &Interpreter{chart: c, configuration: c.memory.empty, sessionID: in.SessionID}
	if ip.sessionID == "" {
		ip.sessionID = "session"
	}
	if in.Name != "" && in.Name != c.doc.Name {
		ip.seldom().name = in.Name
	}
	if in.InvokeID != "" {
		ip.seldom().invokeID = in.InvokeID
	}
	if len(in.IOProcessors) > 0 {
		ip.seldom().processors = maps.Clone(in.IOProcessors)
	}
	if c.dataless {
		ip.data = datamodel.None()
	} else {
		ip.data = c.lang.NewStore((*system)(ip), c.scripts)
	}
	return ip
}

// system is what expressions may know of the session.
type system Interpreter

func (s *system) In(id string) bool { return (*Interpreter)(s).In(id) }

func (s *system) Now() time.Time {
	if s.work != nil {
		return s.work.now
	}
	return s.now
}

func (s *system) Seed() uint64 {
	if s.work != nil {
		return s.work.seed
	}
	return 0
}

func (s *system) SessionID() string { return s.sessionID }

func (s *system) Name() string {
	if s.rare != nil && s.rare.name != "" {
		return s.rare.name
	}
	return s.chart.doc.Name
}

func (s *system) IOProcessors() map[string]string {
	all := map[string]string{}
	if s.rare != nil {
		maps.Copy(all, s.rare.processors)
	}
	origin := (*Interpreter)(s).origin()
	all[SCXMLProcessor], all["scxml"] = origin, origin
	return all
}

func (s *system) CallDepth() int { return s.chart.limits.ScriptDepth }
func (s *system) DataBytes() int { return s.chart.limits.DataBytes }

func (s *system) Meter() *datamodel.Meter {
	if s.work != nil {
		return &s.work.meter
	}
	return &datamodel.Meter{Limit: s.chart.limits.Work / 10} // of Enabled
}

// work is what a session needs while a call runs. Sessions of a chart take
// turns with a few of them, so that an idle one is small.
type work struct {
	// meter counts what Limits.Work bounds.
	meter                        datamodel.Meter
	step                         Macrostep
	now                          time.Time
	seed                         uint64
	running, stopping            bool
	fault                        string
	internalQueue, externalQueue queue
	statesToInvoke               []*state
	microsteps, iterations       int
	// origin is that of the external event being handled.
	origin string
	// bytes is the size of what Limits.StepBytes bounds.
	bytes int

	// current is the move being made: its first `exited` states have been
	// left, its first `entered` ones entered.
	current         *move
	exited, entered int
	// enabled and asked serve selectFor; consulted says that history was read.
	enabled   []*transition
	asked     []bool
	consulted bool
	// untraced is where records go that nobody wants, and their event.
	untraced Microstep
	event    Event
}

// begin makes m the current move. entering says the same of the initial one.
func (w *work) begin(m *move)    { w.current, w.exited, w.entered = m, 0, 0 }
func (w *work) entering(m *move) { w.current, w.entered = m, 0 }

// queue is a queue of events that keeps its memory.
type queue struct {
	events []Event
	head   int
}

func (q *queue) empty() bool  { return q.head == len(q.events) }
func (q *queue) len() int     { return len(q.events) - q.head }
func (q *queue) put(ev Event) { q.events = append(q.events, ev) }
func (q *queue) take() *Event { q.head++; return &q.events[q.head-1] }
func (q *queue) reset(most int) {
	if q.events != nil {
		clear(q.events)
		if q.events, q.head = q.events[:0], 0; cap(q.events) > most {
			q.events = nil
		}
	}
}

// begin and end frame one call: what a step is made of is collected between.
func (ip *Interpreter) begin(in Input) {
	w := ip.chart.memory.works.Get().(*work)
	ip.work = w
	w.now, w.seed = in.Now.UTC().Round(0), in.Seed
	ip.now = w.now
}

func (ip *Interpreter) end() Macrostep {
	w := ip.work
	step := w.step
	// Between calls _event is not bound: it is not part of the session.
	ip.data.SetEvent(nil)
	ip.work = nil
	w.step = Macrostep{}
	w.fault, w.origin, w.running, w.stopping, w.consulted = "", "", false, false, false
	w.internalQueue.reset(64)
	w.externalQueue.reset(64)
	w.statesToInvoke, w.current = nil, nil
	w.meter.Spent, w.microsteps, w.iterations, w.bytes, w.exited, w.entered = 0, 0, 0, 0, 0, 0
	if ip.chart.options.NoTrace {
		w.untraced, w.event = Microstep{}, Event{}
	}
	ip.chart.memory.works.Put(w)
	return step
}

// settle brings the data into canonical form. It says true if that raised an
// error, so that the session has to go on, or broke a limit.
func (ip *Interpreter) settle() bool {
	if ip.chart.dataless {
		return ip.broken()
	}
	faults := ip.data.Settle()
	for _, err := range faults {
		ip.raiseFault(&fault{event: errorExecution, element: "data", err: err})
	}
	ip.spend(0)
	return len(faults) > 0 || ip.broken()
}

// keep moves an event out of a queue to where it stays as long as the trace.
func (ip *Interpreter) keep(ev *Event) *Event {
	if ip.chart.options.NoTrace {
		ip.work.event = *ev
		return &ip.work.event
	}
	kept := *ev
	return &kept
}

// beginMicrostep starts a record and counts.
func (ip *Interpreter) beginMicrostep(ev *Event) {
	w := ip.work
	if ev != nil && !ip.chart.options.NoTrace && !datamodel.IsPlain(ev.Data) {
		traced := ev.plain()
		ev = &traced
	}
	switch {
	case ip.chart.options.NoTrace:
		w.untraced = Microstep{}
	case len(w.step.Microsteps) == 0:
		ip.first[0] = Microstep{Event: ev}
		w.step.Microsteps = ip.first[:]
	default:
		w.step.Microsteps = append(w.step.Microsteps, Microstep{Event: ev})
	}
	if w.microsteps++; w.microsteps > ip.chart.limits.Microsteps {
		ip.breakOff("more than %d microsteps in one step", ip.chart.limits.Microsteps)
	}
	ip.spend(costMicrostep)
	ip.heed()
}

// record is the microstep being made. The pointer is good until the next one
// begins.
func (ip *Interpreter) record() *Microstep {
	w := ip.work
	if ip.chart.options.NoTrace {
		return &w.untraced
	}
	n := len(w.step.Microsteps)
	if n == 0 {
		ip.first[0] = Microstep{}
		w.step.Microsteps, n = ip.first[:], 1
	}
	return &w.step.Microsteps[n-1]
}

func (ip *Interpreter) noteRaised(name string) {
	r := ip.record()
	r.Raised = append(r.Raised, name)
}

func (ip *Interpreter) emit(e Effect) {
	if len(ip.work.step.Effects) >= ip.chart.limits.Effects {
		ip.breakOff("more than %d effects in one step", ip.chart.limits.Effects)
		return
	}
	if ip.charge(e.size()); ip.work.bytes > ip.chart.limits.StepBytes {
		return
	}
	ip.work.step.Effects = append(ip.work.step.Effects, e)
}

func (ip *Interpreter) enqueueInternal(ev Event) {
	ip.work.internalQueue.put(ev)
	ip.checkQueues(ev)
}

func (ip *Interpreter) enqueueExternal(ev Event) {
	ip.work.externalQueue.put(ev)
	ip.checkQueues(ev)
}

func (ip *Interpreter) checkQueues(ev Event) {
	ip.charge(ev.size())
	if ip.work.internalQueue.len()+ip.work.externalQueue.len() > ip.chart.limits.Queue {
		ip.breakOff("more than %d events waiting in the session", ip.chart.limits.Queue)
	}
}

// charge counts what a step keeps in memory until it ends.
func (ip *Interpreter) charge(bytes int) {
	ip.spend(bytes / 16)
	if ip.work.bytes += bytes; ip.work.bytes > ip.chart.limits.StepBytes {
		ip.breakOff("more than %d bytes of effects and events in one step", ip.chart.limits.StepBytes)
	}
	ip.heed()
}

// heed looks for an interruption.
func (ip *Interpreter) heed() {
	if ip.interrupted.Load() {
		ip.halt()
	}
}

func (ip *Interpreter) halt() { ip.breakOff("interrupted") }

// What the kernel does itself costs so much work, see [datamodel.Meter]. What follows
// from the chart and the configuration alone costs the same whether it was remembered or
// not.
const (
	costMicrostep = 50
	costElement   = 40
	costFault     = 600
	costSend      = 50
	costParam     = 15
	// costGuard is for a transition that may be taken, and for a branch of an <if>.
	costGuard = 15
	// costState is for a state that is left or entered, costVisit for one that is
	// looked at by the procedures that find them.
	costState, costVisit = 30, 4
	// costMessage is for a byte of a message that is written as JSON.
	costMessage = 2
)

// count counts work. What it may be too much for finds it out before the next
// microstep, the next element, or the end of the call.
func (ip *Interpreter) count(n int) { ip.work.meter.Spent += n }

// spend counts work and breaks off when it is too much.
func (ip *Interpreter) spend(n int) {
	if !ip.work.meter.Spend(n) {
		ip.overspent()
	}
}

// affords counts work that is about to be done, and says whether it may be.
func (ip *Interpreter) affords(n int) bool {
	ip.spend(n)
	return !ip.broken()
}

func (ip *Interpreter) overspent() {
	ip.breakOff("more than %d units of work in one step", ip.chart.limits.Work)
}

// breakOff notes that a limit was broken; the loops end as soon as they can.
func (ip *Interpreter) breakOff(format string, args ...any) {
	if ip.work.fault == "" {
		ip.work.fault = fmt.Sprintf(format, args...)
	}
}

func (ip *Interpreter) broken() bool { return ip.work.fault != "" }

// abandon ends a session that broke a limit. Its own content no longer runs: it
// might be what broke the limit.
func (ip *Interpreter) abandon() {
	r := ip.record()
	r.Faults = append(r.Faults, Fault{Event: errorExecution, Message: ip.work.fault})
	if ip.rare != nil {
		for _, v := range ip.rare.invocations {
			ip.work.step.Effects = append(ip.work.step.Effects, Uninvoke{v.id})
		}
	}
	ip.finish(Done{})
}

// finish leaves nothing behind but the data.
func (ip *Interpreter) finish(done Done) {
	w := ip.work
	ip.data.Settle()
	ip.spend(0)
	done.Fault = w.fault
	ip.configuration = ip.chart.memory.empty
	w.running, w.statesToInvoke = false, nil
	if ip.rare != nil {
		ip.rare.pending, ip.rare.invocations = nil, nil
	}
	ip.done = &done
	w.step.Effects = append(w.step.Effects, done)
	w.step.Done = &done
}

// isActive says whether s is active at this moment, which may be in the midst
// of a microstep: states are left and entered one by one.
func (ip *Interpreter) isActive(s *state) bool {
	if w := ip.work; w != nil && w.current != nil {
		if _, entered := slices.BinarySearchFunc(w.current.enter[:w.entered], s, entryOrder); entered {
			return true
		}
		if _, exited := slices.BinarySearchFunc(w.current.exit[:w.exited], s, exitOrder); exited {
			return false
		}
	}
	return ip.configuration.set.has(s.order)
}

// arrive ends a microstep.
func (ip *Interpreter) arrive(m *move) {
	ip.configuration, ip.work.current = m.next, nil
	ip.work.exited, ip.work.entered = 0, 0
}

// historyValue gives what the history state h recorded.
func (ip *Interpreter) historyValue(h *state) (states []*state, recorded bool) {
	ip.work.consulted = true
	if ip.rare == nil {
		return nil, false
	}
	states, recorded = ip.rare.history[h.recorder]
	return states, recorded
}

func (ip *Interpreter) setHistory(h *state, states []*state) {
	r := ip.seldom()
	if r.history == nil {
		r.history = map[*state][]*state{}
	}
	r.history[h.recorder] = states
}

// firstEntry says whether s is entered for the first time, and notes it.
func (ip *Interpreter) firstEntry(s *state) bool {
	r := ip.seldom()
	if r.entered == nil {
		r.entered = newBitset(len(ip.chart.states))
	}
	first := !r.entered.has(s.order)
	r.entered.add(s.order)
	return first
}

// bind makes ev what _event shows. Its type is set.
func (ip *Interpreter) bind(ev *Event) {
	if !ip.chart.dataless {
		ip.data.SetEvent((*datamodel.Event)(ev))
	}
}
