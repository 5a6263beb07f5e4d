// SPDX-License-Identifier: AGPL-3.0-or-later

// Package layout draws charts: it computes where the states and transitions of
// a document stand, and renders the result as an SVG.
//
// The places come from the Eclipse Layout Kernel in its JavaScript form
// (elkjs, in elk/), run by goja. That takes a second for the first chart and
// some hundred milliseconds for each further one, so a [Layouter] does it once
// for a digest. When the kernel fails or takes too long, or the chart is large, a
// plain nesting of boxes takes its place; of a chart beyond a thousand states an
// outline is drawn, which says how many it leaves out. So a chart that can be
// parsed can be drawn, in bounded time.
//
// A drawing depends on the document alone; who shows it decides on colours and
// on what is active.
package layout

// Drawing is the geometry of a chart in pixels from the top left. It is not
// changed once it is made and may be shared.
type Drawing struct {
	// Width and Height of the whole, margins included.
	Width, Height float64
	// Nodes are boxes; a parent stands before its children.
	Nodes []Node
	// Edges are arrows and the labels of transitions.
	Edges []Edge
	// Plain says that the layout kernel gave nothing, or was not asked because
	// the chart is too large, and boxes were nested.
	Plain bool
}

// NodeKind tells the kinds of boxes apart.
type NodeKind string

// The kinds of boxes.
const (
	State    NodeKind = "state"
	Parallel NodeKind = "parallel"
	Final    NodeKind = "final"
	History  NodeKind = "history"
	Initial  NodeKind = "initial"
)

// Node is a state, or the dot that marks an initial one.
type Node struct {
	// ID is the state's id; for an Initial that of its parent with ":initial".
	ID string
	// Parent is the id of the surrounding state; empty at the top.
	Parent string
	Kind   NodeKind
	// Compound says that boxes stand inside.
	Compound bool
	// Deep says that a History is a deep one.
	Deep bool
	// Admit is the value of cr:admit; empty without one.
	Admit string
	// X, Y are the top left corner, absolute.
	X, Y, Width, Height float64
}

// Edge is a transition, or the arrow from an Initial. Transitions of the same
// source and target share a line: the first has it, the others have a label
// only, each below the one before.
type Edge struct {
	// Source and Target are node ids. Target is empty for a transition without
	// target, whose label stands in the source's box.
	Source, Target string
	// Event is the event descriptor; Label what is drawn: event and condition.
	Event, Label string
	// Points are the corners of the line, absolute; the arrow is at the end.
	Points []Point
	// LabelX, LabelY are the top left corner of the label, absolute.
	LabelX, LabelY float64
}

// Point is a corner of a line.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Sizes of text and boxes. They fit a sans-serif font of 12 pixels for names
// and 9.5 for labels.
const (
	nameHeight  = 16.0
	nameWidth   = 7.4 // a character of a name
	lineHeight  = 12.0
	lineWidth   = 5.5 // a character of a label
	padding     = 10.0
	markerSize  = 10.0
	historySize = 24.0
	margin      = 8.0
)

// textWidth is about how wide n characters are.
func textWidth(s string, each float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case r == 'i' || r == 'l' || r == '.' || r == ',' || r == ' ' || r == '[' || r == ']' || r == '(' || r == ')' || r == '\'':
			w += 0.6
		case r == 'm' || r == 'w' || r >= 'A' && r <= 'Z':
			w += 1.3
		case r > 0x2e80: // scripts with wide characters
			w += 1.9
		default:
			w++
		}
	}
	return w * each
}
