// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// covers says whether every event that the descriptor b matches, a matches, too.
// Both are normalised.
func covers(a, b string) bool {
	return a == "*" || a == b || strings.HasPrefix(b, a+".")
}

// unconditional says that the transition has no guard, or one that is true.
func (l *linter) unconditional(t *scxml.Transition) bool {
	return !hasCond(t) || l.ecmascript && strings.TrimSpace(t.Cond) == "true"
}

// configurationOnly matches conditions that ask for active states alone: asked twice
// in one microstep they give the same answer. Others may not: a script can
// change what they read, and Math.random differs each time.
var configurationOnly = regexp.MustCompile(`^(?:[!&|()\s]|\bIn\(\s*(?:'[^'\\]*'|"[^"\\]*")\s*\))*$`)

func hasCond(t *scxml.Transition) bool {
	_, ok := t.Element.Attribute("", "cond")
	return ok
}

// transitions finds those that another of the same state always comes before.
func (l *linter) transitions() {
	l.dead = map[*scxml.Transition]bool{}
	for _, s := range l.states() {
		for i, t := range s.Transitions {
			for _, d := range t.Events {
				if d != "*" && strings.Contains(d, "*") {
					l.find(t.Position, Warning, RuleValue, "the * in event %q stands for itself: it is any event alone, or after the last dot", d)
				}
			}
			if s.Kind == scxml.KindParallel && !hasRegions(s) {
				l.kill(t, "this transition is never taken: a <parallel> without regions has no atomic state, and those take transitions")
				continue
			}
			if c := strings.TrimSpace(t.Cond); c == "false" {
				l.kill(t, "this transition is never taken: its condition is false")
				continue
			}
			l.shadowed(t, s.Transitions[:i])
			if at := l.leaves(s); at != nil && len(t.Events) > 0 && !l.dead[t] {
				l.kill(t, "this transition is never taken: the one without event and condition in line %d is taken before any event", at.Line)
			}
		}
	}
}

func hasRegions(s *scxml.State) bool {
	return slices.ContainsFunc(s.Children, func(c *scxml.State) bool { return !c.Kind.IsHistory() })
}

func (l *linter) kill(t *scxml.Transition, format string, args ...any) {
	l.dead[t] = true
	l.find(t.Position, Error, RuleDead, format, args...)
}

// leaves is the transition of s that is taken as soon as s is active.
func (l *linter) leaves(s *scxml.State) *scxml.Transition {
	for _, t := range s.Transitions {
		if len(t.Events) == 0 && l.unconditional(t) {
			return t
		}
	}
	return nil
}

// shadowed compares t with those before it in the same state.
func (l *linter) shadowed(t *scxml.Transition, before []*scxml.Transition) {
	hidden, by := 0, 0
	var example string
	for _, d := range t.Events {
		for _, o := range before {
			if len(o.Events) > 0 && l.unconditional(o) && coversAny(o.Events, d) {
				hidden, by, example = hidden+1, o.Line, d
				break
			}
		}
	}
	switch {
	case len(t.Events) == 0:
		for _, o := range before {
			if len(o.Events) == 0 && l.unconditional(o) {
				l.kill(t, "this transition is never taken: the one without event and condition in line %d comes before it", o.Line)
				return
			}
		}
	case hidden == len(t.Events):
		l.kill(t, "this transition is never taken: the one without condition in line %d comes before it for %q", by, t.Event)
	case hidden > 0:
		l.find(t.Position, Warning, RuleDead, "this transition is never taken for %q: the one without condition in line %d comes before it", example, by)
	}
	for _, o := range before {
		// The same event under the same condition.
		if hidden > 0 || !hasCond(t) || strings.TrimSpace(o.Cond) != strings.TrimSpace(t.Cond) || len(o.Events) != len(t.Events) || !coversAll(o.Events, t.Events) {
			continue
		}
		if !l.ecmascript || configurationOnly.MatchString(t.Cond) {
			l.kill(t, "this transition is never taken: the one in line %d has the same event and the same condition", o.Line)
		} else {
			l.find(t.Position, Warning, RuleDead, "the transition in line %d has the same event and the same condition: this one is taken only if the condition gives another answer when it is asked again", o.Line)
		}
		return
	}
}

func coversAny(descriptors []string, d string) bool {
	for _, o := range descriptors {
		if covers(o, d) {
			return true
		}
	}
	return false
}

func coversAll(a, b []string) bool {
	for _, d := range b {
		if !coversAny(a, d) {
			return false
		}
	}
	return true
}

// endless finds eventless transitions that follow each other for ever.
func (l *linter) endless() {
	told := map[*scxml.Transition]bool{}
	for _, s := range l.doc.States {
		first := l.leaves(s)
		if first == nil || told[first] {
			continue
		}
		if len(first.Targets) == 0 {
			told[first] = true
			l.find(first.Position, Error, RuleEndless, "this transition without event, condition and target is taken for ever: the session is ended at its limit of microsteps")
			continue
		}
		at, seen := s, map[*scxml.State]bool{}
		for at != nil && !seen[at] {
			seen[at] = true
			t := l.leaves(at)
			if t == nil || len(t.Targets) != 1 {
				at = nil
				break
			}
			at = l.settles(t.Targets[0])
		}
		if at == s {
			for state := range seen {
				told[l.leaves(state)] = true
			}
			l.find(first.Position, Error, RuleEndless, "transitions without event and condition lead from %s back to it for ever", name(s))
		}
	}
}

// settles is the atomic state that entering s ends in, nil if that is not one.
func (l *linter) settles(s *scxml.State) *scxml.State {
	for depth := 0; depth < 1000; depth++ {
		switch {
		case s.Kind == scxml.KindParallel || s.Kind.IsHistory():
			return nil
		case s.IsAtomic() || l.leaves(s) != nil:
			return s
		case s.Initial == nil || len(s.Initial.Targets) != 1:
			return nil
		}
		s = s.Initial.Targets[0]
	}
	return nil
}

// unreachable finds states that are never entered. It assumes that every
// transition that is not dead can be taken.
func (l *linter) unreachable() {
	r := reach{entered: map[*scxml.State]bool{}, direct: map[*scxml.State]bool{}}
	r.enter(l.doc.Root)
	for len(r.todo) > 0 {
		s := r.todo[len(r.todo)-1]
		r.todo = r.todo[:len(r.todo)-1]
		for _, t := range s.Transitions {
			if !l.dead[t] {
				r.follow(t)
			}
		}
	}
	for _, s := range l.doc.States {
		// What is inside follows from what is around.
		if !r.entered[s] && (r.entered[s.Parent] || s.Parent.Kind == scxml.KindRoot) {
			if s.Kind.IsHistory() {
				l.find(s.Position, Warning, RuleUnreachable, "no transition leads to history %s", name(s))
				continue
			}
			l.find(s.Position, Error, RuleUnreachable, "state %s cannot be reached", name(s))
		}
	}
}

// reach follows what can be entered. direct are the states that were entered as
// a target or by default, and not only because one inside them was.
type reach struct {
	entered, direct map[*scxml.State]bool
	todo            []*scxml.State
}

// enter notes that s is entered, with what follows from it.
func (r *reach) enter(s *scxml.State) {
	if r.direct[s] {
		return
	}
	r.direct[s] = true
	r.through(s.Parent)
	r.add(s)
	if s.Kind == scxml.KindHistoryShallow {
		for _, c := range s.Parent.Children {
			if r.entered[c] {
				r.enter(c)
			}
		}
	}
	if s.Initial != nil {
		r.follow(s.Initial)
	}
	if s.Kind == scxml.KindParallel {
		r.regions(s)
	}
}

func (r *reach) follow(t *scxml.Transition) {
	for _, target := range t.Targets {
		r.enter(target)
	}
}

// regions enters all children of a parallel state.
func (r *reach) regions(p *scxml.State) {
	for _, c := range p.Children {
		if !c.Kind.IsHistory() {
			r.enter(c)
		}
	}
}

// through notes the ancestors, whose other regions are entered, too.
func (r *reach) through(s *scxml.State) {
	from := (*scxml.State)(nil)
	for ; s != nil; s = s.Parent {
		r.add(s)
		if s.Kind == scxml.KindParallel {
			for _, c := range s.Children {
				if c != from && !c.Kind.IsHistory() {
					r.enter(c)
				}
			}
		}
		from = s
	}
}

// add notes that s is active at some time. A shallow history that can be entered
// enters it by default then.
func (r *reach) add(s *scxml.State) {
	if r.entered[s] {
		return
	}
	r.entered[s] = true
	r.todo = append(r.todo, s)
	if s.Parent != nil && slices.ContainsFunc(s.Parent.Children, func(h *scxml.State) bool { return h.Kind == scxml.KindHistoryShallow && r.direct[h] }) {
		r.enter(s)
	}
}
