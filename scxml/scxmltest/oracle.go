// SPDX-License-Identifier: Apache-2.0

package scxmltest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/datamodel"
)

// Oracle interprets a document as SCXML Appendix D is written down: sets are
// lists, everything is worked out again at every step from the document itself,
// nothing is compiled or remembered. It shares the datamodel with the kernel and
// nothing else, and is there to be compared with it.
//
// It departs from the letter in three places, as the kernel does. A guard that
// several atomic states ask for is evaluated once a selection. The domain of a
// transition is that from before the exit: asked again after history was
// recorded it may lie further inside than what was left. Calls end when the
// external queue is empty.
//
// It knows the ecmascript datamodel, values in attributes and in text, not in
// XML, and neither src attributes nor the Basic HTTP processor.
type Oracle struct {
	doc    *scxml.Document
	limits scxml.Limits
	lang   datamodel.Language
	exprs  map[string]*datamodel.Expr
	data   datamodel.Store

	id                           string
	now                          time.Time
	seed                         uint64
	configuration                []*scxml.State
	entered                      map[*scxml.State]bool
	historyValue                 map[*scxml.State][]*scxml.State
	internalQueue, externalQueue []scxml.Event
	statesToInvoke               []*scxml.State
	running                      bool
	pending                      []scxml.Delayed
	invocations                  []oracleInvocation
	sends, delays, invokes       int
	fault                        string
	microsteps, iterations       int
	step                         scxml.Macrostep
	done                         *scxml.Done
}

type oracleInvocation struct {
	id    string
	decl  *scxml.Element
	state *scxml.State
}

// NewOracle starts a session of d. Limits of zero mean the defaults.
func NewOracle(d *scxml.Document, l scxml.Limits, in scxml.Input) (*Oracle, scxml.Macrostep) {
	o := &Oracle{
		doc: d, limits: l, lang: datamodel.ECMAScript(), exprs: map[string]*datamodel.Expr{}, id: in.SessionID,
		entered: map[*scxml.State]bool{}, historyValue: map[*scxml.State][]*scxml.State{},
	}
	var scripts []*datamodel.Expr
	var at []scxml.Position
	for _, c := range elements(d.Root.Element) {
		if c.Name == "script" {
			scripts = append(scripts, o.lang.Script(textOf(c)))
			at = append(at, c.Position)
		}
	}
	o.data = o.lang.NewStore(oracleSystem{o}, scripts)
	o.begin(in)
	for _, s := range append([]*scxml.State{d.Root}, d.States...) {
		for _, e := range s.Data {
			if err := o.data.Declare(attr(e, "id")); err != nil {
				o.raiseFault(execution("data", e.Position, err))
			}
		}
	}
	for _, s := range append([]*scxml.State{d.Root}, d.States...) {
		if s == d.Root || d.Binding != "late" {
			o.initialize(s)
		}
	}
	for i, err := range o.data.Load() {
		if err != nil {
			o.raiseFault(execution("script", at[i], err))
		}
	}
	o.running = true
	o.enterStates([]*scxml.Transition{d.Root.Initial}, []*scxml.State{d.Root})
	o.mainEventLoop()
	return o, o.end()
}

// Deliver is [scxml.Interpreter.Deliver].
func (o *Oracle) Deliver(ev scxml.Event, in scxml.Input) scxml.Macrostep {
	ev.Data, _ = datamodel.Normalize(ev.Data)
	ev.Type = scxml.External
	o.begin(in)
	o.running = true
	o.external(ev)
	o.mainEventLoop()
	return o.end()
}

// Fire is [scxml.Interpreter.Fire].
func (o *Oracle) Fire(seq uint64, in scxml.Input) scxml.Macrostep {
	i := slices.IndexFunc(o.pending, func(d scxml.Delayed) bool { return d.Seq == seq })
	if i < 0 {
		return scxml.Macrostep{}
	}
	d := o.pending[i]
	o.pending = slices.Delete(o.pending, i, i+1)
	o.begin(in)
	o.running = true
	o.dispatch(d.Send)
	o.mainEventLoop()
	return o.end()
}

// Resume is [scxml.Interpreter.Resume], after an outage that begins now.
func (o *Oracle) Resume(stopped, now time.Time) {
	for i, d := range o.pending {
		switch d.Resume {
		case scxml.ResumeRemaining:
			o.pending[i].Due = now.Add(d.Due.Sub(stopped))
		case scxml.ResumeRestart:
			o.pending[i].Due = now.Add(d.Delay)
		}
	}
	slices.SortStableFunc(o.pending, func(a, b scxml.Delayed) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Seq, b.Seq))
	})
}

// Pending, Configuration, Invocations, Data and Finished are those of the
// interpreter.
func (o *Oracle) Pending() []scxml.Delayed {
	pending := slices.Clone(o.pending)
	for i, d := range pending {
		pending[i].Send = plainSend(d.Send)
	}
	return pending
}

// Configuration lists the active states.
func (o *Oracle) Configuration() []string {
	out := []string{}
	for _, s := range documentOrder(o.configuration) {
		out = append(out, s.ID)
	}
	return out
}

// Invocations lists what is invoked.
func (o *Oracle) Invocations() []string {
	out := []string{}
	for _, v := range o.invocations {
		out = append(out, v.id)
	}
	return out
}

// Data is the canonical datamodel.
func (o *Oracle) Data() map[string]any {
	plain, _ := datamodel.Plain(o.data.Data()).(map[string]any)
	return plain
}

// Finished says whether the session has ended.
func (o *Oracle) Finished() bool { return o.done != nil }

func (o *Oracle) begin(in scxml.Input) {
	o.now, o.seed = in.Now, in.Seed
	o.step, o.microsteps, o.iterations = scxml.Macrostep{}, 0, 0
}

func (o *Oracle) end() scxml.Macrostep {
	o.data.SetEvent(nil)
	return o.step
}

// procedure mainEventLoop
func (o *Oracle) mainEventLoop() {
	for o.running && o.fault == "" {
		macrostepDone := false
		for o.running && !macrostepDone && o.fault == "" {
			enabled := o.selectTransitions(nil)
			if len(enabled) == 0 {
				if len(o.internalQueue) == 0 {
					macrostepDone = true
				} else {
					ev := o.internalQueue[0]
					o.internalQueue = o.internalQueue[1:]
					o.record(&ev)
					o.data.SetEvent((*datamodel.Event)(&ev))
					enabled = o.selectTransitions(&ev)
				}
			} else {
				o.record(nil)
			}
			if len(enabled) > 0 {
				o.microstep(enabled)
			}
		}
		if !o.running || o.fault != "" {
			break
		}
		states := documentOrder(o.statesToInvoke)
		o.statesToInvoke = nil
		for _, s := range states {
			for _, e := range s.Invokes {
				o.invoke(s, e)
			}
		}
		if len(o.internalQueue) > 0 {
			continue
		}
		// The datamodel becomes canonical here, which may fail.
		faults := o.data.Settle()
		for _, err := range faults {
			o.raiseFault(execution("data", scxml.Position{}, err))
		}
		if len(faults) > 0 {
			continue
		}
		if len(o.externalQueue) == 0 {
			return
		}
		ev := o.externalQueue[0]
		o.externalQueue = o.externalQueue[1:]
		o.external(ev)
	}
	if o.fault != "" {
		r := o.current()
		r.Faults = append(r.Faults, scxml.Fault{Event: "error.execution", Message: o.fault})
		for _, v := range o.invocations {
			o.emit(scxml.Uninvoke{ID: v.id})
		}
		o.finish(scxml.Done{})
		return
	}
	o.exitInterpreter()
}

func (o *Oracle) external(ev scxml.Event) {
	o.record(&ev)
	o.data.SetEvent((*datamodel.Event)(&ev))
	for _, v := range slices.Clone(o.invocations) {
		if v.id == ev.InvokeID {
			o.finalize(v, ev)
			if ev.Name == "done.invoke."+v.id {
				o.invocations = slices.DeleteFunc(o.invocations, func(w oracleInvocation) bool { return w.id == v.id })
				continue
			}
		}
		if attr(v.decl, "autoforward") == "true" {
			o.emit(scxml.Forward{InvokeID: v.id, Event: plainEvent(ev)})
		}
	}
	if enabled := o.selectTransitions(&ev); len(enabled) > 0 {
		o.microstep(enabled)
	}
}

// procedure exitInterpreter
func (o *Oracle) exitInterpreter() {
	var done scxml.Done
	for _, s := range slices.Backward(documentOrder(o.configuration)) {
		for _, e := range s.OnExit {
			o.executeContent(e, s)
		}
		o.cancelInvoke(s)
		o.configuration = without(o.configuration, s)
		if s.Kind == scxml.KindFinal && s.Parent == o.doc.Root {
			done.State = s.ID
			if s.DoneData != nil {
				_, done.Data, _ = o.payload(s.DoneData, true)
				done.Data = datamodel.Plain(done.Data)
			}
		}
	}
	o.finish(done)
}

func (o *Oracle) finish(done scxml.Done) {
	done.Fault = o.fault
	o.configuration, o.pending, o.invocations, o.running = nil, nil, nil, false
	o.data.Settle()
	o.done = &done
	o.emit(done)
	o.step.Done = &done
}

// function selectEventlessTransitions (without ev) and selectTransitions
func (o *Oracle) selectTransitions(ev *scxml.Event) []*scxml.Transition {
	var enabled []*scxml.Transition
	answers := map[*scxml.Transition]bool{}
	for _, state := range documentOrder(o.configuration) {
		if !state.IsAtomic() {
			continue
		}
	loop:
		for _, s := range append([]*scxml.State{state}, properAncestors(state, nil)...) {
			for _, t := range s.Transitions {
				if ev == nil && len(t.Events) > 0 || ev != nil && !matches(t.Events, ev.Name) {
					continue
				}
				ok, known := answers[t]
				if !known {
					ok = t.Element == nil || !has(t.Element, "cond") || o.condition(t.Cond, "transition", t.Position)
					answers[t] = ok
				}
				if ok {
					if !slices.Contains(enabled, t) {
						enabled = append(enabled, t)
					}
					break loop
				}
			}
		}
	}
	return o.removeConflictingTransitions(enabled)
}

func matches(descriptors []string, name string) bool {
	return slices.ContainsFunc(descriptors, func(d string) bool {
		return d == "*" || name == d || strings.HasPrefix(name, d+".")
	})
}

// function removeConflictingTransitions
func (o *Oracle) removeConflictingTransitions(enabled []*scxml.Transition) []*scxml.Transition {
	var filtered []*scxml.Transition
	for _, t1 := range enabled {
		preempted := false
		var toRemove []*scxml.Transition
		for _, t2 := range filtered {
			exit2 := o.computeExitSet([]*scxml.Transition{t2})
			if slices.ContainsFunc(o.computeExitSet([]*scxml.Transition{t1}), func(s *scxml.State) bool { return slices.Contains(exit2, s) }) {
				if descendant(t1.Source, t2.Source) {
					toRemove = append(toRemove, t2)
				} else {
					preempted = true
					break
				}
			}
		}
		if !preempted {
			for _, t3 := range toRemove {
				filtered = without(filtered, t3)
			}
			filtered = append(filtered, t1)
		}
	}
	return filtered
}

// procedure microstep
func (o *Oracle) microstep(enabled []*scxml.Transition) {
	var domains []*scxml.State
	for _, t := range enabled {
		domains = append(domains, o.transitionDomain(t))
	}
	o.exitStates(enabled)
	for _, t := range enabled {
		r := o.current()
		taken := scxml.Taken{Source: t.Source.ID, Event: t.Event, Cond: t.Cond, Line: t.Line}
		for _, s := range t.Targets {
			taken.Targets = append(taken.Targets, s.ID)
		}
		r.Transitions = append(r.Transitions, taken)
	}
	for _, t := range enabled {
		o.executeContent(t.Element, t.Source)
	}
	o.enterStates(enabled, domains)
}

// procedure exitStates
func (o *Oracle) exitStates(enabled []*scxml.Transition) {
	statesToExit := o.computeExitSet(enabled)
	for _, s := range statesToExit {
		o.statesToInvoke = without(o.statesToInvoke, s)
	}
	statesToExit = documentOrder(statesToExit)
	slices.Reverse(statesToExit)
	for _, s := range statesToExit {
		for _, h := range s.Children {
			if !h.Kind.IsHistory() {
				continue
			}
			value := []*scxml.State{}
			for _, s0 := range documentOrder(o.configuration) {
				if h.Kind == scxml.KindHistoryDeep && s0.IsAtomic() && descendant(s0, s) || h.Kind == scxml.KindHistoryShallow && s0.Parent == s {
					value = append(value, s0)
				}
			}
			o.historyValue[h] = value
		}
	}
	for _, s := range statesToExit {
		r := o.current()
		r.Exited = append(r.Exited, s.ID)
		for _, e := range s.OnExit {
			o.executeContent(e, s)
		}
		o.cancelInvoke(s)
		o.configuration = without(o.configuration, s)
	}
}

// procedure computeExitSet
func (o *Oracle) computeExitSet(transitions []*scxml.Transition) []*scxml.State {
	var out []*scxml.State
	for _, t := range transitions {
		if len(t.Targets) == 0 {
			continue
		}
		domain := o.transitionDomain(t)
		for _, s := range o.configuration {
			if descendant(s, domain) && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

type oracleEntry struct {
	toEnter, defaultEntry []*scxml.State
	historyContent        map[*scxml.State]*scxml.Transition
}

// procedure enterStates
func (o *Oracle) enterStates(enabled []*scxml.Transition, domains []*scxml.State) {
	e := &oracleEntry{historyContent: map[*scxml.State]*scxml.Transition{}}
	// procedure computeEntrySet
	for i, t := range enabled {
		for _, s := range t.Targets {
			o.addDescendants(s, e)
		}
		for _, s := range o.effectiveTargets(t) {
			o.addAncestors(s, domains[i], e)
		}
	}
	for _, s := range documentOrder(e.toEnter) {
		if !slices.Contains(o.configuration, s) {
			o.configuration = append(o.configuration, s)
		}
		o.statesToInvoke = append(without(o.statesToInvoke, s), s)
		r := o.current()
		r.Entered = append(r.Entered, s.ID)
		if o.doc.Binding == "late" && !o.entered[s] {
			o.entered[s] = true
			o.initialize(s)
		}
		for _, x := range s.OnEntry {
			o.executeContent(x, s)
		}
		if slices.Contains(e.defaultEntry, s) && s.Initial.Element != nil {
			o.executeContent(s.Initial.Element, s)
		}
		if t := e.historyContent[s]; t != nil {
			o.executeContent(t.Element, t.Source)
		}
		if s.Kind != scxml.KindFinal {
			continue
		}
		if s.Parent == o.doc.Root {
			o.running = false
			continue
		}
		var data any
		if s.DoneData != nil {
			_, data, _ = o.payload(s.DoneData, true)
		}
		o.raise(scxml.Event{Name: "done.state." + s.Parent.ID, Type: scxml.Platform, Data: data})
		if g := s.Parent.Parent; g != nil && g.Kind == scxml.KindParallel && o.allFinal(g) {
			o.raise(scxml.Event{Name: "done.state." + g.ID, Type: scxml.Platform})
		}
	}
}

// procedure addDescendantStatesToEnter
func (o *Oracle) addDescendants(s *scxml.State, e *oracleEntry) {
	if s.Kind.IsHistory() {
		targets, recorded := o.historyValue[s]
		if !recorded {
			e.historyContent[s.Parent] = s.Initial
			targets = s.Initial.Targets
		}
		for _, t := range targets {
			o.addDescendants(t, e)
		}
		for _, t := range targets {
			o.addAncestors(t, s.Parent, e)
		}
		return
	}
	if !slices.Contains(e.toEnter, s) {
		e.toEnter = append(e.toEnter, s)
	}
	if compound(s) {
		e.defaultEntry = append(e.defaultEntry, s)
		for _, t := range s.Initial.Targets {
			o.addDescendants(t, e)
		}
		for _, t := range s.Initial.Targets {
			o.addAncestors(t, s, e)
		}
	} else if s.Kind == scxml.KindParallel {
		o.addRegions(s, e)
	}
}

// procedure addAncestorStatesToEnter, without what is "currently active" and was not
// left: 3.13 does not have it in the entry set.
func (o *Oracle) addAncestors(s, ancestor *scxml.State, e *oracleEntry) {
	for _, a := range properAncestors(s, ancestor) {
		if slices.Contains(o.configuration, a) {
			break
		}
		if !slices.Contains(e.toEnter, a) {
			e.toEnter = append(e.toEnter, a)
		}
		if a.Kind == scxml.KindParallel {
			o.addRegions(a, e)
		}
	}
}

func (o *Oracle) addRegions(s *scxml.State, e *oracleEntry) {
	for _, child := range regions(s) {
		if !slices.ContainsFunc(e.toEnter, func(d *scxml.State) bool { return d == child || descendant(d, child) }) {
			o.addDescendants(child, e)
		}
	}
}

// procedure isInFinalState
func (o *Oracle) isInFinalState(s *scxml.State) bool {
	switch {
	case compound(s):
		return slices.ContainsFunc(regions(s), func(c *scxml.State) bool {
			return c.Kind == scxml.KindFinal && slices.Contains(o.configuration, c)
		})
	case s.Kind == scxml.KindParallel:
		return o.allFinal(s)
	}
	return false
}

func (o *Oracle) allFinal(parallel *scxml.State) bool {
	return !slices.ContainsFunc(regions(parallel), func(c *scxml.State) bool { return !o.isInFinalState(c) })
}
