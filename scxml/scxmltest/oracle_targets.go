// SPDX-License-Identifier: Apache-2.0

package scxmltest

import (
	"slices"

	"github.com/chartroom/chartroom/scxml"
)

// function getTransitionDomain
func (o *Oracle) transitionDomain(t *scxml.Transition) *scxml.State {
	targets := o.effectiveTargets(t)
	inside := func(a *scxml.State) bool {
		return !slices.ContainsFunc(targets, func(s *scxml.State) bool { return !descendant(s, a) })
	}
	switch {
	case len(targets) == 0:
		return nil
	case t.Source == o.doc.Root:
		return t.Source
	case t.Internal && compound(t.Source) && inside(t.Source):
		return t.Source
	}
	// function findLCCA
	for _, a := range properAncestors(t.Source, nil) {
		if compound(a) && inside(a) {
			return a
		}
	}
	return nil
}

// function getEffectiveTargetStates
func (o *Oracle) effectiveTargets(t *scxml.Transition) []*scxml.State {
	var out []*scxml.State
	add := func(list []*scxml.State) {
		for _, s := range list {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	for _, s := range t.Targets {
		if !s.Kind.IsHistory() {
			add([]*scxml.State{s})
		} else if value, ok := o.historyValue[s]; ok {
			add(value)
		} else {
			add(o.effectiveTargets(s.Initial))
		}
	}
	return out
}
