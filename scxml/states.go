// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"slices"
	"strings"
)

// children makes the states inside s and what belongs to s.
func (b *builder) children(s *State) error {
	for _, e := range s.Element.elements() {
		var kind Kind
		switch e.Name {
		case "state":
			kind = KindState
		case "parallel":
			kind = KindParallel
		case "final":
			kind = KindFinal
		case "history":
			switch t := e.attr("type"); t {
			case "", "shallow":
				kind = KindHistoryShallow
			case "deep":
				kind = KindHistoryDeep
			default:
				return b.fail(e.Position, "history type %q is neither shallow nor deep", t)
			}
		case "onentry":
			s.OnEntry = append(s.OnEntry, e)
			continue
		case "onexit":
			s.OnExit = append(s.OnExit, e)
			continue
		case "invoke":
			s.Invokes = append(s.Invokes, e)
			continue
		case "donedata":
			s.DoneData = e
			continue
		case "datamodel":
			s.Data = append(s.Data, e.elements()...)
			continue
		case "script":
			b.doc.scripts = append(b.doc.scripts, e)
			continue
		case "initial":
			t, err := b.transition(s, e.child("transition"), true)
			if err != nil {
				return err
			}
			s.Initial = t
			continue
		case "transition":
			t, err := b.transition(s, e, s.Kind.IsHistory())
			if err != nil {
				return err
			}
			if s.Kind.IsHistory() {
				s.Initial = t
			} else {
				s.Transitions = append(s.Transitions, t)
			}
			continue
		default:
			continue
		}
		if err := b.state(s, e, kind); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) state(parent *State, e *Element, kind Kind) error {
	s := &State{ID: e.attr("id"), Kind: kind, Parent: parent, Element: e, Position: e.Position}
	if e.hasAttr("id") {
		if other := b.doc.byID[s.ID]; other != nil {
			return b.fail(e.Position, "id %q is not unique: line %d has it too", s.ID, other.Line)
		}
		b.doc.byID[s.ID] = s
	}
	b.doc.States = append(b.doc.States, s)
	s.Order = len(b.doc.States)
	parent.Children = append(parent.Children, s)
	return b.children(s)
}

// nameAnonymous gives states without an id one that no other has.
func (b *builder) nameAnonymous() {
	for _, s := range b.doc.States {
		if s.ID != "" {
			continue
		}
		name, _, _ := strings.Cut(s.Kind.String(), "(")
		s.ID, s.Anonymous = fmt.Sprintf("_%s%d", name, s.Order), true
		for b.doc.byID[s.ID] != nil {
			s.ID = "_" + s.ID
		}
		b.doc.byID[s.ID] = s
	}
}

// transition reads a <transition>; initial says that it is the one of <initial> or
// <history>.
func (b *builder) transition(source *State, e *Element, initial bool) (*Transition, error) {
	t := &Transition{Source: source, Event: e.attr("event"), Cond: e.attr("cond"), Element: e, Position: e.Position}
	for d := range strings.FieldsSeq(t.Event) {
		t.Events = append(t.Events, normalizeDescriptor(d))
	}
	switch v := e.attr("type"); v {
	case "", "external":
	case "internal":
		t.Internal = true
	default:
		return nil, b.fail(e.Position, "transition type %q is neither internal nor external", v)
	}
	switch {
	case initial && (e.hasAttr("event") || e.hasAttr("cond")):
		return nil, b.fail(e.Position, "the transition of <initial> and <history> cannot have event or cond")
	case initial && !e.hasAttr("target"):
		return nil, b.fail(e.Position, "the transition of <initial> and <history> needs a target")
	case e.hasAttr("event") && len(t.Events) == 0:
		return nil, b.fail(e.Position, "the attribute event is empty")
	case e.hasAttr("target") && strings.TrimSpace(e.attr("target")) == "":
		return nil, b.fail(e.Position, "the attribute target is empty")
	}
	b.pending = append(b.pending, pendingTransition{t, e.attr("target")})
	return t, nil
}

// normalizeDescriptor drops what may follow a descriptor without meaning
// (SCXML 3.12.1): "a.*" and "a." are "a"; ".*", which the schema has, is "*".
func normalizeDescriptor(d string) string {
	for d != "*" {
		switch {
		case d == ".*":
			return "*"
		case strings.HasSuffix(d, ".*"):
			d = d[:len(d)-2]
		case strings.HasSuffix(d, ".") && len(d) > 1:
			d = d[:len(d)-1]
		default:
			return d
		}
	}
	return d
}

// maxTargets bounds the targets of one transition: each is compared with each.
const maxTargets = 1000

// resolve looks up the targets of a transition and checks that all of them can
// be active together (SCXML 3.11).
func (b *builder) resolve(p pendingTransition) error {
	for id := range strings.FieldsSeq(p.targets) {
		if len(p.t.Targets) == maxTargets {
			return b.fail(p.t.Position, "more than %d targets", maxTargets)
		}
		s := b.doc.byID[id]
		if s == nil {
			return b.fail(p.t.Position, "target %q does not exist", id)
		}
		for _, o := range p.t.Targets {
			switch {
			case s == o:
				return b.fail(p.t.Position, "target %q occurs twice", id)
			case within(s, o), within(o, s):
				return b.fail(p.t.Position, "targets %q and %q are one inside the other", o.ID, s.ID)
			case within(s, restored(o)), within(o, restored(s)):
				return b.fail(p.t.Position, "targets %q and %q: one is a history that brings back what the other is in", o.ID, s.ID)
			case !orthogonal(s, o):
				return b.fail(p.t.Position, "targets %q and %q cannot be active together", o.ID, s.ID)
			}
		}
		p.t.Targets = append(p.t.Targets, s)
	}
	return nil
}

// orthogonal says whether a and b are in different regions of a parallel state.
func orthogonal(a, b *State) bool {
	for p := a.Parent; p != nil; p = p.Parent {
		if within(b, p) {
			return p.Kind == KindParallel
		}
	}
	return false
}

// restored is the state of which s stands for a part that is not known beforehand, if s
// is a history (SCXML 3.10), else s.
func restored(s *State) *State {
	if s.Kind.IsHistory() {
		return s.Parent
	}
	return s
}

// within says whether s is a proper descendant of p.
func within(s, p *State) bool {
	for s = s.Parent; s != nil; s = s.Parent {
		if s == p {
			return true
		}
	}
	return false
}

// defaults gives s its initial transition and checks where it goes.
func (b *builder) defaults(s *State) error {
	e := s.Element
	hasStates := slices.ContainsFunc(s.Children, func(c *State) bool { return !c.Kind.IsHistory() })
	switch s.Kind {
	case KindRoot, KindState:
		if s.Initial == nil && e.hasAttr("initial") {
			if !hasStates {
				return b.fail(e.Position, "a state without children cannot have an initial state")
			}
			s.Initial = &Transition{Source: s, Position: s.Position}
			if strings.TrimSpace(e.attr("initial")) == "" {
				return b.fail(e.Position, "the attribute initial is empty")
			}
			if err := b.resolve(pendingTransition{s.Initial, e.attr("initial")}); err != nil {
				return err
			}
		}
		if s.Initial == nil && hasStates {
			for _, c := range s.Children {
				if !c.Kind.IsHistory() {
					s.Initial = &Transition{Source: s, Targets: []*State{c}, Position: s.Position}
					break
				}
			}
		}
		if s.Initial == nil {
			return nil
		}
		if !hasStates {
			return b.fail(e.Position, "a state without children cannot have an initial state")
		}
		for _, t := range s.Initial.Targets {
			if !within(t, s) {
				return b.fail(s.Initial.Position, "initial state %q is not inside %q", t.ID, s.ID)
			}
		}
	case KindHistoryShallow, KindHistoryDeep:
		for _, t := range s.Initial.Targets {
			if !within(t, s.Parent) || t == s {
				return b.fail(s.Initial.Position, "default %q of history %q is not inside %q", t.ID, s.ID, s.Parent.ID)
			}
			if s.Kind == KindHistoryShallow && t.Parent != s.Parent {
				return b.fail(s.Initial.Position, "default %q of the shallow history %q is not a child of %q", t.ID, s.ID, s.Parent.ID)
			}
		}
	}
	return nil
}

// circles refuses histories whose defaults lead back to themselves by way of
// others: none of them names a configuration (SCXML 3.10). Only histories can, since
// what a state begins with is inside of it.
func (b *builder) circles() error {
	const under, done = 1, 2
	mark := map[*State]int{}
	var visit func(h *State) error
	visit = func(h *State) error {
		mark[h] = under
		for _, t := range h.Initial.Targets {
			switch {
			case !t.Kind.IsHistory():
			case mark[t] == under:
				return b.fail(h.Initial.Position, "the default of history %q leads back to it by way of history %q", t.ID, h.ID)
			case mark[t] != done:
				if err := visit(t); err != nil {
					return err
				}
			}
		}
		mark[h] = done
		return nil
	}
	for _, s := range b.doc.States {
		if s.Kind.IsHistory() && mark[s] == 0 {
			if err := visit(s); err != nil {
				return err
			}
		}
	}
	return nil
}
