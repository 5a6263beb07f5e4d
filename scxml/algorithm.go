// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"cmp"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// This file is SCXML Appendix D, "Algorithm for SCXML Interpretation": its
// procedures, in its order, under its names. Three things differ. The event loop
// does not block: it returns when the external queue is empty. What the
// specification does at once to the outside world becomes an effect. And each
// procedure writes down what it did.

// interpret enters the initial configuration (procedure interpret).
func (ip *Interpreter) interpret(overrides map[string]any) {
	ip.initializeDatamodel(overrides)
	ip.executeGlobalScripts()
	ip.running = true
	ip.enterStates([]*transition{ip.chart.root.initial})
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
	for ip.running && !ip.broken() {
		macrostepDone := false
		for ip.running && !macrostepDone && !ip.broken() {
			enabled := ip.selectEventlessTransitions()
			if len(enabled) == 0 {
				if len(ip.internalQueue) == 0 {
					macrostepDone = true
				} else {
					ev := ip.internalQueue[0]
					ip.internalQueue = ip.internalQueue[1:]
					ip.beginMicrostep(&ev)
					enabled = ip.selectTransitions(ev)
				}
			} else {
				ip.beginMicrostep(nil)
			}
			if len(enabled) > 0 {
				ip.microstep(enabled)
			}
		}
		if !ip.running || ip.broken() {
			break
		}
		ip.invokeEntered()
		if len(ip.internalQueue) > 0 {
			continue
		}
		if len(ip.externalQueue) == 0 {
			if ip.settle() {
				continue
			}
			return
		}
		ev := ip.externalQueue[0]
		ip.externalQueue = ip.externalQueue[1:]
		ip.takeExternal(ev)
	}
	if ip.broken() {
		ip.abandon()
		return
	}
	ip.exitInterpreter(Done{})
}

// takeExternal is the part of mainEventLoop that handles one external event.
func (ip *Interpreter) takeExternal(ev Event) {
	ip.beginMicrostep(&ev)
	ip.bind(ev)
	ip.passToInvocations(ev)
	if enabled := ip.selectTransitions(ev); len(enabled) > 0 {
		ip.microstep(enabled)
	}
}

// invokeEntered starts the invocations of states entered in this macrostep and
// still active, in entry order (SCXML 6.4).
func (ip *Interpreter) invokeEntered() {
	if len(ip.statesToInvoke) == 0 {
		return
	}
	slices.SortFunc(ip.statesToInvoke, entryOrder)
	states := ip.statesToInvoke
	ip.statesToInvoke = nil
	for _, s := range states {
		for _, x := range s.invokes {
			ip.invoke(x)
		}
	}
}

// exitInterpreter leaves all states and says that the session is done
// (procedure exitInterpreter).
func (ip *Interpreter) exitInterpreter(done Done) {
	for _, s := range slices.Backward(slices.Clone(ip.configuration)) {
		for _, block := range s.onexit {
			ip.executeContent(block)
		}
		ip.cancelInvoke(s)
		ip.deactivate(s)
		if s.kind == KindFinal && s.parent == ip.chart.root && !ip.stopping {
			done.State = s.id
			if s.donedata != nil {
				_, done.Data, _ = s.donedata.evaluate(ip, true)
			}
		}
	}
	ip.finish(done)
}

// selectEventlessTransitions (function selectEventlessTransitions).
func (ip *Interpreter) selectEventlessTransitions() []*transition {
	return ip.selectFor(func(t *transition) bool { return len(t.events) == 0 })
}

// selectTransitions (function selectTransitions).
func (ip *Interpreter) selectTransitions(ev Event) []*transition {
	ip.bind(ev)
	return ip.selectFor(func(t *transition) bool { return nameMatch(t.events, ev.Name) })
}

// selectFor takes, for each atomic state in document order, the first matching
// transition of it or of its ancestors. A guard is evaluated once, though many
// atomic states may ask for it.
func (ip *Interpreter) selectFor(match func(*transition) bool) []*transition {
	var enabled []*transition
	var guards map[*transition]bool
	holds := func(t *transition) bool {
		if t.cond == nil {
			return true
		}
		ok, known := guards[t]
		if !known {
			ok = ip.condition(t.cond, "transition", Position{Line: t.taken.Line})
			if guards == nil {
				guards = map[*transition]bool{}
			}
			guards[t] = ok
		}
		return ok
	}
	for _, atomic := range ip.configuration {
		if !atomic.isAtomic() {
			continue
		}
	search:
		for s := atomic; s != nil; s = s.parent {
			for _, t := range s.transitions {
				if match(t) && holds(t) {
					if !slices.Contains(enabled, t) {
						enabled = append(enabled, t)
					}
					break search
				}
			}
		}
	}
	return ip.removeConflictingTransitions(enabled)
}

// nameMatch says whether one of the descriptors matches the name (SCXML 3.12.1).
func nameMatch(descriptors []string, name string) bool {
	for _, d := range descriptors {
		if d == "*" || d == name || len(name) > len(d) && name[len(d)] == '.' && strings.HasPrefix(name, d) {
			return true
		}
	}
	return false
}

// removeConflictingTransitions (function removeConflictingTransitions): of two
// transitions that would leave the same state the one whose source is further
// inside wins, else the one that comes first.
func (ip *Interpreter) removeConflictingTransitions(enabled []*transition) []*transition {
	if len(enabled) < 2 {
		return enabled
	}
	var filtered []*transition
	for _, t1 := range enabled {
		preempted := false
		var remove []*transition
		for _, t2 := range filtered {
			if !intersects(ip.computeExitSet([]*transition{t1}), ip.computeExitSet([]*transition{t2})) {
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
			filtered = slices.DeleteFunc(filtered, func(t *transition) bool { return slices.Contains(remove, t) })
			filtered = append(filtered, t1)
		}
	}
	return filtered
}

func intersects(a, b []*state) bool {
	return slices.ContainsFunc(a, func(s *state) bool { return slices.Contains(b, s) })
}

// microstep (procedure microstep).
func (ip *Interpreter) microstep(enabled []*transition) {
	ip.exitStates(enabled)
	ip.executeTransitionContent(enabled)
	ip.enterStates(enabled)
}

// exitStates (procedure exitStates): history is recorded before anything is
// left, so that it sees the configuration as it was.
func (ip *Interpreter) exitStates(enabled []*transition) {
	statesToExit := ip.computeExitSet(enabled)
	ip.statesToInvoke = slices.DeleteFunc(ip.statesToInvoke, func(s *state) bool { return slices.Contains(statesToExit, s) })
	slices.SortFunc(statesToExit, exitOrder)
	for _, s := range statesToExit {
		for _, h := range s.history {
			var recorded []*state
			for _, s0 := range ip.configuration {
				if h.kind == KindHistoryDeep && s0.isAtomic() && isDescendant(s0, s) || h.kind == KindHistoryShallow && s0.parent == s {
					recorded = append(recorded, s0)
				}
			}
			ip.historyValue[h] = recorded
		}
	}
	r := ip.record()
	for _, s := range statesToExit {
		r.Exited = append(r.Exited, s.id)
		for _, block := range s.onexit {
			ip.executeContent(block)
		}
		ip.cancelInvoke(s)
		ip.deactivate(s)
	}
}

// computeExitSet (procedure computeExitSet).
func (ip *Interpreter) computeExitSet(transitions []*transition) []*state {
	var exit []*state
	for _, t := range transitions {
		if len(t.targets) == 0 {
			continue
		}
		domain := ip.getTransitionDomain(t)
		for _, s := range ip.configuration {
			if isDescendant(s, domain) && !slices.Contains(exit, s) {
				exit = append(exit, s)
			}
		}
	}
	return exit
}

// executeTransitionContent (procedure executeTransitionContent).
func (ip *Interpreter) executeTransitionContent(enabled []*transition) {
	r := ip.record()
	for _, t := range enabled {
		r.Transitions = append(r.Transitions, t.taken)
		ip.executeContent(t.content)
	}
}

// entrySet is what computeEntrySet works out.
type entrySet struct {
	statesToEnter         []*state
	statesForDefaultEntry []*state
	defaultHistoryContent map[*state][]executable
}

func (e *entrySet) add(s *state) {
	if !slices.Contains(e.statesToEnter, s) {
		e.statesToEnter = append(e.statesToEnter, s)
	}
}

// enterStates (procedure enterStates).
func (ip *Interpreter) enterStates(enabled []*transition) {
	e := &entrySet{defaultHistoryContent: map[*state][]executable{}}
	ip.computeEntrySet(enabled, e)
	slices.SortFunc(e.statesToEnter, entryOrder)
	r := ip.record()
	for _, s := range e.statesToEnter {
		ip.activate(s)
		ip.statesToInvoke = append(ip.statesToInvoke, s)
		r.Entered = append(r.Entered, s.id)
		if ip.chart.doc.Binding == "late" && !ip.entered[s.order] {
			ip.entered[s.order] = true
			ip.assignData(s, nil)
		}
		for _, block := range s.onentry {
			ip.executeContent(block)
		}
		if slices.Contains(e.statesForDefaultEntry, s) {
			ip.executeContent(s.initial.content)
		}
		if content, ok := e.defaultHistoryContent[s]; ok {
			ip.executeContent(content)
		}
		if s.kind == KindFinal {
			ip.enterFinal(s)
		}
	}
}

// enterFinal is the part of enterStates about final states (SCXML 3.7).
func (ip *Interpreter) enterFinal(s *state) {
	parent := s.parent
	if parent == ip.chart.root {
		ip.running = false
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

// computeEntrySet (procedure computeEntrySet).
func (ip *Interpreter) computeEntrySet(transitions []*transition, e *entrySet) {
	for _, t := range transitions {
		for _, s := range t.targets {
			ip.addDescendantStatesToEnter(s, e)
		}
		ancestor := ip.getTransitionDomain(t)
		for _, s := range ip.getEffectiveTargetStates(t) {
			ip.addAncestorStatesToEnter(s, ancestor, e)
		}
	}
}

// addDescendantStatesToEnter (procedure addDescendantStatesToEnter).
func (ip *Interpreter) addDescendantStatesToEnter(s *state, e *entrySet) {
	if s.kind.IsHistory() {
		targets, recorded := ip.historyValue[s]
		if !recorded {
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

// addAncestorStatesToEnter (procedure addAncestorStatesToEnter).
func (ip *Interpreter) addAncestorStatesToEnter(s, ancestor *state, e *entrySet) {
	for _, a := range getProperAncestors(s, ancestor) {
		e.add(a)
		if a.kind == KindParallel {
			ip.enterRegions(a, e)
		}
	}
}

// enterRegions enters the children of a parallel state that no target names.
func (ip *Interpreter) enterRegions(parallel *state, e *entrySet) {
	for _, child := range parallel.children {
		if !slices.ContainsFunc(e.statesToEnter, func(s *state) bool { return s == child || isDescendant(s, child) }) {
			ip.addDescendantStatesToEnter(child, e)
		}
	}
}

// isInFinalState (procedure isInFinalState).
func (ip *Interpreter) isInFinalState(s *state) bool {
	switch {
	case s.isCompound():
		return slices.ContainsFunc(s.children, func(c *state) bool { return c.kind == KindFinal && ip.active[c.order] })
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
	return findLCCA(append([]*state{t.source}, targets...))
}

// findLCCA (function findLCCA): the least common compound ancestor.
func findLCCA(states []*state) *state {
	for _, a := range getProperAncestors(states[0], nil) {
		if a.isCompound() && !slices.ContainsFunc(states[1:], func(s *state) bool { return !isDescendant(s, a) }) {
			return a
		}
	}
	return nil
}

// getEffectiveTargetStates (function getEffectiveTargetStates): targets with
// history resolved.
func (ip *Interpreter) getEffectiveTargetStates(t *transition) []*state {
	var targets []*state
	add := func(list []*state) {
		for _, s := range list {
			if !slices.Contains(targets, s) {
				targets = append(targets, s)
			}
		}
	}
	for _, s := range t.targets {
		if !s.kind.IsHistory() {
			add([]*state{s})
		} else if recorded, ok := ip.historyValue[s]; ok {
			add(recorded)
		} else {
			add(ip.getEffectiveTargetStates(s.initial))
		}
	}
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

// isDescendant (function isDescendant).
func isDescendant(s, ancestor *state) bool {
	if s == nil || ancestor == nil {
		return false
	}
	for p := s.parent; p != nil; p = p.parent {
		if p == ancestor {
			return true
		}
	}
	return false
}

// entryOrder and exitOrder: ancestors before descendants and document order,
// and the reverse. Document order already puts ancestors first.
func entryOrder(a, b *state) int { return cmp.Compare(a.order, b.order) }
func exitOrder(a, b *state) int  { return cmp.Compare(b.order, a.order) }
