// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"slices"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// This file is SCXML Appendix D, "Algorithm for SCXML Interpretation": its
// procedures, in its order, under its names. Three things differ. The event loop
// does not block: it returns when the external queue is empty. What the
// specification does at once to the outside world becomes an effect. And each
// procedure writes down what it did. What they work out from the chart and the
// configuration alone is remembered (tables.go): a move is an enabled transition
// set with its exit and entry sets.

// interpret enters the initial configuration (procedure interpret).
func (ip *Interpreter) interpret(overrides map[string]any) {
	ip.initializeDatamodel(overrides)
	ip.executeGlobalScripts()
	ip.work.running = true
	initial, _ := ip.move([]*transition{ip.chart.root.initial})
	ip.record()
	ip.enterStates(initial)
	ip.mainEventLoop()
}

// initializeDatamodel declares all variables, and gives those of the root, and
// with early binding all others, their values (SCXML 5.3.3).
func (ip *Interpreter) initializeDatamodel(overrides map[string]any) {
	for _, s := range ip.chart.states {
		for _, d := range s.data {
			if err := ip.data.Declare(d.id); err != nil {
				ip.raiseFault(&fault{event: errorExecution, element: "data", at: d.at, err: err})
			}
		}
	}
	for _, s := range ip.chart.states {
		if s == ip.chart.root {
			ip.assignData(s, overrides)
		} else if ip.chart.doc.Binding == "early" {
			ip.assignData(s, nil)
		}
	}
}

func (ip *Interpreter) assignData(s *state, overrides map[string]any) {
	for _, d := range s.data {
		var err error
		if v, ok := overrides[d.id]; ok {
			err = ip.data.Put(d.loc, v)
		} else if d.err != nil {
			err = d.err
		} else if d.expr != nil {
			err = ip.data.Assign(d.loc, d.expr)
		} else if _, undefined := d.value.(datamodel.Undefined); !undefined {
			err = ip.data.Put(d.loc, d.value)
		}
		if err != nil {
			ip.raiseFault(&fault{event: errorExecution, element: "data", at: d.at, err: err})
		}
	}
}

// executeGlobalScripts runs the <script> children of <scxml>.
func (ip *Interpreter) executeGlobalScripts() {
	for i, err := range ip.data.Load() {
		if err != nil {
			ip.raiseFault(&fault{event: errorExecution, element: "script", at: ip.chart.scriptAt[i], err: err})
		}
	}
}

// mainEventLoop runs macrosteps until nothing is left to do (procedure
// mainEventLoop).
func (ip *Interpreter) mainEventLoop() {
	w := ip.work
	for w.running && !ip.broken() {
		macrostepDone := false
		for w.running && !macrostepDone && !ip.broken() {
			enabled := ip.selectEventlessTransitions()
			if enabled == nil {
				if w.internalQueue.empty() {
					macrostepDone = true
				} else {
					ev := ip.keep(w.internalQueue.take())
					ip.beginMicrostep(ev)
					enabled = ip.selectTransitions(ev)
				}
			} else {
				ip.beginMicrostep(nil)
			}
			if enabled != nil {
				ip.microstep(enabled)
			}
		}
		if !w.running || ip.broken() {
			break
		}
		ip.invokeEntered()
		if !w.internalQueue.empty() {
			continue
		}
		if ip.settle() {
			continue
		}
		if w.externalQueue.empty() {
			return
		}
		ip.takeExternal(ip.keep(w.externalQueue.take()))
	}
	if ip.broken() {
		ip.abandon()
		return
	}
	ip.exitInterpreter(Done{})
}

// takeExternal is the part of mainEventLoop that handles one external event.
func (ip *Interpreter) takeExternal(ev *Event) {
	ip.beginMicrostep(ev)
	ip.work.origin = ev.Origin
	if ip.rare != nil && len(ip.rare.invocations) > 0 {
		ip.bind(ev)
		ip.passToInvocations(*ev)
	}
	if enabled := ip.selectTransitions(ev); enabled != nil {
		ip.microstep(enabled)
	}
}

// invokeEntered starts the invocations of states entered in this macrostep and
// still active, in entry order (SCXML 6.4).
func (ip *Interpreter) invokeEntered() {
	if len(ip.work.statesToInvoke) == 0 {
		return
	}
	slices.SortFunc(ip.work.statesToInvoke, entryOrder)
	states := ip.work.statesToInvoke
	ip.work.statesToInvoke = nil
	for _, s := range states {
		for _, x := range s.invokes {
			ip.invoke(x)
		}
	}
}

// exitInterpreter leaves all states and says that the session is done
// (procedure exitInterpreter).
func (ip *Interpreter) exitInterpreter(done Done) {
	last := &move{exit: slices.Clone(ip.configuration.states), next: ip.chart.memory.empty}
	slices.Reverse(last.exit)
	ip.work.begin(last)
	ip.count(len(last.exit) * costState)
	for _, s := range last.exit {
		for _, block := range s.onexit {
			ip.executeContent(block)
		}
		ip.cancelInvoke(s)
		ip.work.exited++
		if s.kind == KindFinal && s.parent == ip.chart.root && !ip.work.stopping {
			done.State = s.id
			if s.donedata != nil {
				_, done.Data, _ = s.donedata.evaluate(ip, true)
				done.Data = plain(done.Data)
			}
		}
	}
	ip.arrive(last)
	ip.finish(done)
}

// selectEventlessTransitions (function selectEventlessTransitions).
func (ip *Interpreter) selectEventlessTransitions() *move {
	return ip.selectFor(ip.configuration.plan(ip.chart.memory, 0, true))
}

// selectTransitions (function selectTransitions).
func (ip *Interpreter) selectTransitions(ev *Event) *move {
	ip.bind(ev)
	m := ip.chart.memory
	if len(ev.Name) > longName && !ip.affords(classWork(ev.Name)) {
		return nil
	}
	return ip.selectFor(ip.configuration.plan(m, m.class(ev.Name), false))
}

// selectFor takes, for each atomic state in document order, the first matching
// transition of it or of its ancestors whose guard holds. What an ancestor has to
// say is asked once, though many atomic states come to it: the first of them took
// its transition, or found none there and further out. nil means none.
func (ip *Interpreter) selectFor(p *plan) *move {
	if ip.count(p.cost); len(p.begins) == 0 {
		return nil
	}
	enabled := p.first
	if p.guarded {
		w := ip.work
		enabled = w.enabled[:0]
		w.asked = append(w.asked[:0], make([]bool, len(p.stages))...)
		for _, at := range p.begins {
			for ; at >= 0 && !w.asked[at]; at = p.stages[at].next {
				w.asked[at] = true
				if t := ip.firstThatHolds(p.stages[at].transitions); t != nil {
					enabled = append(enabled, t)
					break
				}
			}
		}
		if w.enabled = enabled; len(enabled) == 0 {
			return nil
		}
	}
	if m := p.find(enabled); m != nil {
		ip.count(m.cost)
		return m
	}
	m, consulted := ip.move(enabled)
	if !consulted {
		p.keep(m)
	}
	return m
}

func (ip *Interpreter) firstThatHolds(transitions []*transition) *transition {
	for _, t := range transitions {
		if t.cond == nil || ip.condition(t.cond, "transition", t.at) {
			return t
		}
	}
	return nil
}

// removeConflictingTransitions (function removeConflictingTransitions): of two
// transitions that would leave the same state the one whose source is further
// inside wins, else the one that comes first.
//
// The exit set of a transition is what is active inside of its domain, which
// is never nothing: its source is active. So two exit sets intersect exactly when one
// domain is the other or inside of it.
func (ip *Interpreter) removeConflictingTransitions(enabled []*transition) []*transition {
	if len(enabled) < 2 {
		return enabled
	}
	domains := make(map[*transition]*state, len(enabled))
	for _, t := range enabled {
		domains[t] = ip.getTransitionDomain(t)
	}
	var filtered []*transition
	for _, t1 := range enabled {
		ip.count(costState + len(filtered))
		preempted := false
		var remove []*transition
		for _, t2 := range filtered {
			if d1, d2 := domains[t1], domains[t2]; d1 == nil || d2 == nil || d1 != d2 && !isDescendant(d1, d2) && !isDescendant(d2, d1) {
				continue
			}
			if isDescendant(t1.source, t2.source) {
				remove = append(remove, t2)
			} else {
				preempted = true
				break
			}
		}
		if !preempted {
			ip.count(len(filtered) * len(remove) / 8)
			filtered = slices.DeleteFunc(filtered, func(t *transition) bool { return slices.Contains(remove, t) })
			filtered = append(filtered, t1)
		}
	}
	return filtered
}

// microstep (procedure microstep).
func (ip *Interpreter) microstep(enabled *move) {
	ip.exitStates(enabled)
	ip.executeTransitionContent(enabled)
	ip.enterStates(enabled)
}

// exitStates (procedure exitStates): history is recorded before anything is
// left, so that it sees the configuration as it was.
func (ip *Interpreter) exitStates(enabled *move) {
	ip.work.begin(enabled)
	r := ip.record()
	r.Exited = enabled.exited
	if !enabled.exitWork {
		ip.work.exited = len(enabled.exit)
		return
	}
	ip.work.statesToInvoke = slices.DeleteFunc(ip.work.statesToInvoke, func(s *state) bool {
		_, left := slices.BinarySearchFunc(enabled.exit, s, exitOrder)
		return left
	})
	for _, s := range enabled.exit {
		for _, h := range s.history {
			var recorded []*state
			ip.count(len(ip.configuration.inside(s)) * costVisit)
			for _, s0 := range ip.configuration.inside(s) {
				if h.kind == KindHistoryDeep && s0.isAtomic() || h.kind == KindHistoryShallow && s0.parent == s {
					recorded = append(recorded, s0)
				}
			}
			ip.setHistory(h, recorded)
		}
	}
	for _, s := range enabled.exit {
		for _, block := range s.onexit {
			ip.executeContent(block)
		}
		ip.cancelInvoke(s)
		ip.work.exited++
	}
}

// computeExitSet (procedure computeExitSet). domains are those of the transitions,
// of which none is inside of another; nil for targetless ones.
func (ip *Interpreter) computeExitSet(domains []*state) []*state {
	var exit []*state
	for _, domain := range domains {
		if ip.count(costVisit); domain != nil {
			exit = append(exit, ip.configuration.inside(domain)...)
		}
	}
	return exit
}

// executeTransitionContent (procedure executeTransitionContent).
func (ip *Interpreter) executeTransitionContent(enabled *move) {
	ip.record().Transitions = enabled.taken
	for _, t := range enabled.transitions {
		if len(t.content) > 0 {
			ip.executeContent(t.content)
		}
	}
}

// entrySet is what computeEntrySet works out.
type entrySet struct {
	statesToEnter         []*state
	statesForDefaultEntry []*state
	defaultHistoryContent map[*state][]executable
	// added are statesToEnter as a set, reached those and all their ancestors.
	// descended are the states that addDescendantStatesToEnter was called with: to
	// do it again would add nothing, and many ways may lead to a state.
	added, reached, descended bitset
	// domain is that of the transition that is looked at.
	domain *state
}

func newEntrySet(c *Chart) entrySet {
	n := len(c.states)
	return entrySet{added: newBitset(n), reached: newBitset(n), descended: newBitset(n)}
}

func (e *entrySet) add(s *state) {
	if e.added.has(s.order) {
		return
	}
	e.added.add(s.order)
	e.statesToEnter = append(e.statesToEnter, s)
	for ; s != nil && !e.reached.has(s.order); s = s.parent {
		e.reached.add(s.order)
	}
}

// enterStates (procedure enterStates).
func (ip *Interpreter) enterStates(enabled *move) {
	w, e := ip.work, &enabled.entry
	if enabled.historic {
		ip.moveIn(enabled)
	}
	ip.record().Entered = enabled.entered
	if !enabled.entryWork {
		ip.arrive(enabled)
		return
	}
	w.entering(enabled)
	for _, s := range enabled.enter {
		w.entered++
		if len(s.invokes) > 0 {
			w.statesToInvoke = append(w.statesToInvoke, s)
		}
		if len(s.data) > 0 && ip.chart.doc.Binding == "late" && ip.firstEntry(s) {
			ip.assignData(s, nil)
		}
		for _, block := range s.onentry {
			ip.executeContent(block)
		}
		if s.initial != nil && len(s.initial.content) > 0 {
			if ip.count(len(e.statesForDefaultEntry) / 8); slices.Contains(e.statesForDefaultEntry, s) {
				ip.executeContent(s.initial.content)
			}
		}
		if content, ok := e.defaultHistoryContent[s]; ok {
			ip.executeContent(content)
		}
		if s.kind == KindFinal {
			ip.enterFinal(s)
		}
	}
	ip.arrive(enabled)
}

// enterFinal is the part of enterStates about final states (SCXML 3.7).
func (ip *Interpreter) enterFinal(s *state) {
	parent := s.parent
	if parent == ip.chart.root {
		ip.work.running = false
		return
	}
	var data any
	if s.donedata != nil {
		_, data, _ = s.donedata.evaluate(ip, true)
	}
	ip.raiseDone(parent, data)
	if grandparent := parent.parent; grandparent != nil && grandparent.kind == KindParallel &&
		!slices.ContainsFunc(grandparent.children, func(c *state) bool { return !ip.isInFinalState(c) }) {
		ip.raiseDone(grandparent, nil)
	}
}

func (ip *Interpreter) raiseDone(s *state, data any) {
	name := "done.state." + s.id
	ip.noteRaised(name)
	ip.enqueueInternal(Event{Name: name, Type: Platform, Data: data})
}

// computeEntrySet (procedure computeEntrySet). The domains are those that
// computeExitSet saw: asked again after history was recorded, getTransitionDomain
// may name a state further inside, and what was left between the two would not
// be entered again.
func (ip *Interpreter) computeEntrySet(transitions []*transition, domains []*state, e *entrySet) {
	for i, t := range transitions {
		ancestor := domains[i]
		e.domain = ancestor
		for _, s := range t.targets {
			ip.addDescendantStatesToEnter(s, e)
		}
		for _, s := range ip.getEffectiveTargetStates(t) {
			ip.addAncestorStatesToEnter(s, ancestor, e)
		}
		if ancestor != nil && ancestor.kind == KindParallel {
			ip.enterRegions(ancestor, e)
		}
	}
}

// addDescendantStatesToEnter (procedure addDescendantStatesToEnter).
func (ip *Interpreter) addDescendantStatesToEnter(s *state, e *entrySet) {
	ip.count(costVisit)
	if e.descended.has(s.order) {
		return
	}
	e.descended.add(s.order)
	if s.kind.IsHistory() {
		targets, recorded := ip.historyValue(s)
		if !recorded {
			if e.defaultHistoryContent == nil {
				e.defaultHistoryContent = map[*state][]executable{}
			}
			e.defaultHistoryContent[s.parent] = s.initial.content
			targets = s.initial.targets
		}
		for _, t := range targets {
			ip.addDescendantStatesToEnter(t, e)
		}
		for _, t := range targets {
			ip.addAncestorStatesToEnter(t, s.parent, e)
		}
		return
	}
	e.add(s)
	switch {
	case s.isCompound():
		e.statesForDefaultEntry = append(e.statesForDefaultEntry, s)
		for _, t := range s.initial.targets {
			ip.addDescendantStatesToEnter(t, e)
		}
		for _, t := range s.initial.targets {
			ip.addAncestorStatesToEnter(t, s, e)
		}
	case s.kind == KindParallel:
		ip.enterRegions(s, e)
	}
}

// addAncestorStatesToEnter (procedure addAncestorStatesToEnter). It stops at the
// domain: what is active and was not left is not in the entry set (SCXML 3.13), though
// Appendix D enters it again where the parent of a history is further out.
func (ip *Interpreter) addAncestorStatesToEnter(s, ancestor *state, e *entrySet) {
	for _, a := range getProperAncestors(s, ancestor) {
		if ip.count(costVisit); !isDescendant(a, e.domain) {
			break
		}
		e.add(a)
		if a.kind == KindParallel {
			ip.enterRegions(a, e)
		}
	}
}

// enterRegions enters the children of a parallel state that no target names.
func (ip *Interpreter) enterRegions(parallel *state, e *entrySet) {
	ip.count(len(parallel.children))
	for _, child := range parallel.children {
		if !e.reached.has(child.order) {
			ip.addDescendantStatesToEnter(child, e)
		}
	}
}

// isInFinalState (procedure isInFinalState).
func (ip *Interpreter) isInFinalState(s *state) bool {
	ip.count(costVisit + len(s.children)*costVisit)
	switch {
	case s.isCompound():
		return slices.ContainsFunc(s.children, func(c *state) bool { return c.kind == KindFinal && ip.isActive(c) })
	case s.kind == KindParallel:
		return !slices.ContainsFunc(s.children, func(c *state) bool { return !ip.isInFinalState(c) })
	default:
		return false
	}
}

// getTransitionDomain (function getTransitionDomain); nil for targetless ones.
func (ip *Interpreter) getTransitionDomain(t *transition) *state {
	targets := ip.getEffectiveTargetStates(t)
	if len(targets) == 0 {
		return nil
	}
	if t.source == ip.chart.root {
		return t.source
	}
	if t.internal && t.source.isCompound() &&
		!slices.ContainsFunc(targets, func(s *state) bool { return !isDescendant(s, t.source) }) {
		return t.source
	}
	return ip.findLCCA(append([]*state{t.source}, targets...))
}

// findLCCA (function findLCCA): the least common compound ancestor; with
// Options.ParallelLCCA it may be a <parallel>.
func (ip *Interpreter) findLCCA(states []*state) *state {
	for _, a := range getProperAncestors(states[0], nil) {
		if ip.count(len(states)); (a.isCompound() || a.kind == KindParallel && ip.chart.options.ParallelLCCA) &&
			!slices.ContainsFunc(states[1:], func(s *state) bool { return !isDescendant(s, a) }) {
			return a
		}
	}
	return nil
}

// getEffectiveTargetStates (function getEffectiveTargetStates): targets with
// history resolved, each history once, since many ways may lead to it.
func (ip *Interpreter) getEffectiveTargetStates(t *transition) []*state {
	if !slices.ContainsFunc(t.targets, func(s *state) bool { return s.kind.IsHistory() }) {
		return t.targets
	}
	var targets []*state
	seen := newBitset(len(ip.chart.states))
	ip.count(len(seen) + len(t.targets))
	var add func(list []*state)
	add = func(list []*state) {
		for _, s := range list {
			if ip.count(costVisit); seen.has(s.order) {
				continue
			}
			seen.add(s.order)
			if !s.kind.IsHistory() {
				targets = append(targets, s)
			} else if recorded, ok := ip.historyValue(s); ok {
				add(recorded)
			} else {
				add(s.initial.targets)
			}
		}
	}
	add(t.targets)
	return targets
}

// getProperAncestors (function getProperAncestors): the ancestors of s, the
// nearest first, up to but without stop; all of them if stop is nil.
func getProperAncestors(s, stop *state) []*state {
	var out []*state
	for p := s.parent; p != nil && p != stop; p = p.parent {
		out = append(out, p)
	}
	return out
}

// isDescendant (function isDescendant). What is inside of a state follows it in
// document order up to its last.
func isDescendant(s, ancestor *state) bool {
	return s != nil && ancestor != nil && ancestor.order < s.order && s.order <= ancestor.last
}
