// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"slices"

	"github.com/chartroom/chartroom/scxml"
)

// maxPairs bounds how many pairs of transitions are compared.
const maxPairs = 2_000_000

// conflicts finds transitions of different regions of a parallel state that one
// event can enable at the same time, or that have no event, and that cannot be
// taken together, because their exit sets intersect (SCXML 3.13).
//
// What is active inside of its domain is what a transition exits, and that is
// never nothing. So two conflict exactly when one domain is the other or inside of it.
func (l *linter) conflicts() {
	pairs := 0
	for _, p := range l.doc.States {
		if p.Kind != scxml.KindParallel {
			continue
		}
		var regions [][]exits
		for _, c := range p.Children {
			regions = append(regions, l.exitsIn(c))
		}
		for i, a := range regions {
			for _, b := range regions[i+1:] {
				for _, t := range a {
					for _, u := range b {
						if pairs++; pairs > maxPairs {
							return
						}
						l.conflict(t, u)
					}
				}
			}
		}
	}
}

// exits is a transition that exits what is active inside of domain.
type exits struct {
	*scxml.Transition
	domain *scxml.State
}

// exitsIn are the transitions with a target of s and of what is inside of it.
func (l *linter) exitsIn(s *scxml.State) []exits {
	var out []exits
	for _, t := range s.Transitions {
		if len(t.Targets) > 0 && !l.dead[t] {
			out = append(out, exits{t, l.domain(t)})
		}
	}
	for _, c := range s.Children {
		out = append(out, l.exitsIn(c)...)
	}
	return out
}

// domain is getTransitionDomain of SCXML's Appendix D. A history stands for what
// it brings back, which is inside of its parent.
func (l *linter) domain(t *scxml.Transition) *scxml.State {
	holds := func(a *scxml.State) bool {
		compound := a.Kind == scxml.KindRoot || a.Kind == scxml.KindState && len(a.Children) > 0
		return (compound || a.Kind == scxml.KindParallel && l.parallelLCCA) &&
			!slices.ContainsFunc(t.Targets, func(s *scxml.State) bool { return s == a || !within(s, a) })
	}
	if t.Internal && t.Source.Kind != scxml.KindParallel && holds(t.Source) {
		return t.Source
	}
	a := t.Source.Parent
	for a.Parent != nil && !holds(a) {
		a = a.Parent
	}
	return a
}

// conflict compares two transitions, of which t comes first in the document.
func (l *linter) conflict(t, u exits) {
	inner := u.domain
	if within(t.domain, u.domain) {
		inner = t.domain
	} else if !within(u.domain, t.domain) {
		return
	}
	always, when := "", ""
	if depends(t.Transition) || depends(u.Transition) {
		always = " always"
	}
	if !l.unconditional(t.Transition) || !l.unconditional(u.Transition) {
		when = " when the conditions hold"
	}
	const text = "this transition and the one in line %d cannot%s be taken together%s, because both exit what is active in %s: the first in the document is taken"
	if len(t.Events) == 0 && len(u.Events) == 0 {
		l.find(u.Position, Warning, RuleConflict, text, t.Line, always, when, name(inner))
		return
	}
	for _, d := range u.Events {
		for _, o := range t.Events {
			if covers(o, d) || covers(d, o) {
				l.find(u.Position, Warning, RuleConflict, "for %q "+text, d, t.Line, always, when, name(inner))
				return
			}
		}
	}
}

// depends says whether the domain of a transition can be further inside, for what
// a history brings back.
func depends(t *scxml.Transition) bool {
	return slices.ContainsFunc(t.Targets, func(s *scxml.State) bool {
		return s.Kind == scxml.KindHistoryDeep || s.Kind == scxml.KindHistoryShallow && depends(s.Initial)
	})
}
