// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"fmt"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// Bounds of a drawing. A chart beyond them is drawn as an outline, which says how
// much it leaves out: nobody reads ten thousand boxes, and no browser shows them.
const (
	maxStates = 1000
	maxEvents = 5000 // of all transitions; one without an event counts as one
)

// outline says which states of a document are drawn: all, or else the outermost
// ones. nil means all.
func outline(d *scxml.Document) map[*scxml.State]bool {
	if len(d.States) <= maxStates {
		return nil
	}
	drawn := map[*scxml.State]bool{}
	for todo := []*scxml.State{d.Root}; len(todo) > 0; todo = todo[1:] {
		for _, c := range todo[0].Children {
			if len(drawn) == maxStates {
				return drawn
			}
			drawn[c] = true
			todo = append(todo, c)
		}
	}
	return drawn
}

// draws says whether a state has a box.
func (g *graph) draws(s *scxml.State) bool { return g.drawn == nil || g.drawn[s] }

// more adds a box that stands for the children of s which are not drawn, with all
// that they contain.
func (g *graph) more(s *scxml.State, parent *box) {
	var left []*scxml.State
	for _, c := range s.Children {
		if !g.draws(c) {
			left = append(left, c)
		}
	}
	for i := 0; i < len(left); i++ {
		left = append(left, left[i].Children...)
	}
	if len(left) > 0 {
		g.add(Node{ID: strings.TrimSpace(fmt.Sprintf("… %d more states %s", len(left), inside(s))), Kind: State}, parent)
	}
}

// inside tells the place of boxes with the same text apart.
func inside(s *scxml.State) string {
	if s.Parent == nil {
		return ""
	}
	return "in " + s.ID
}

// target is the box that an arrow to s ends at: its own, or the one that hides it.
// nil if it is hidden outermost.
func (g *graph) target(s *scxml.State) *box {
	for ; s != nil; s = s.Parent {
		if b := g.boxes[s.ID]; b != nil && g.draws(s) {
			return b
		}
	}
	return nil
}

// spend gives what may be drawn of a transition, and takes it from what is left;
// nil when nothing is.
func (b *builder) spend(t *scxml.Transition) *scxml.Transition {
	events := strings.Fields(t.Event)
	if b.left < max(len(events), 1) {
		b.omitted++
		if b.left == 0 {
			return nil
		}
		cut := *t
		cut.Event = strings.Join(events[:b.left], " ")
		b.left = 0
		return &cut
	}
	b.left -= max(len(events), 1)
	return t
}
