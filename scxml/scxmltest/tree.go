// SPDX-License-Identifier: Apache-2.0

package scxmltest

import (
	"slices"

	"github.com/chartroom/chartroom/scxml"
)

// Questions about the tree of states, by the words of Appendix D.

// function getProperAncestors
func properAncestors(s, stop *scxml.State) []*scxml.State {
	var out []*scxml.State
	for p := s.Parent; p != nil && p != stop; p = p.Parent {
		out = append(out, p)
	}
	return out
}

// function isDescendant
func descendant(s, of *scxml.State) bool { return slices.Contains(properAncestors(s, nil), of) }

func compound(s *scxml.State) bool {
	return (s.Kind == scxml.KindState || s.Kind == scxml.KindRoot) && len(regions(s)) > 0
}

// function getChildStates
func regions(s *scxml.State) []*scxml.State {
	return slices.DeleteFunc(slices.Clone(s.Children), func(c *scxml.State) bool { return c.Kind.IsHistory() })
}

func documentOrder(states []*scxml.State) []*scxml.State {
	return slices.SortedFunc(slices.Values(states), func(a, b *scxml.State) int { return a.Order - b.Order })
}

func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(y T) bool { return y == x })
}
