// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"strings"
	"unicode/utf8"

	"github.com/chartroom/chartroom/scxml"
)

// chartNamespace is the namespace of cr:admit.
const chartNamespace = "urn:chartroom:chart"

// labelLimit is the most characters of a label; what is longer is cut.
const labelLimit = 44

// box is a node of the graph before it has a place.
type box struct {
	node     Node
	parent   *box // nil at the top
	children []*box
	width    float64  // least width
	height   float64  // height, for a box without children
	head     float64  // height of name and lines at the top
	inside   []string // labels of transitions without target
	edges    []Edge   // of inside, in order
}

// line is an arrow of the graph with the transitions that share it.
type line struct {
	source, target *box
	edges          []Edge
	width          float64 // of the widest label
}

// graph is a document as boxes and lines.
type graph struct {
	top   []*box
	boxes map[string]*box
	order []*box // parents first
	lines []*line
}

// newGraph reads a document.
func newGraph(d *scxml.Document) *graph {
	g := &graph{boxes: map[string]*box{}}
	g.addChildren(d.Root, nil)
	joined := map[[2]*box]*line{}
	for _, s := range d.States {
		g.addTransitions(s, joined)
	}
	g.addTransitions(d.Root, joined)
	for _, b := range g.order {
		b.measure()
	}
	return g
}

func (g *graph) add(n Node, parent *box) *box {
	b := &box{node: n, parent: parent}
	if parent != nil {
		b.node.Parent = parent.node.ID
		parent.children = append(parent.children, b)
		parent.node.Compound = true
	} else {
		g.top = append(g.top, b)
	}
	g.boxes[n.ID] = b
	g.order = append(g.order, b)
	return b
}

func (g *graph) addChildren(s *scxml.State, parent *box) {
	if s.Kind != scxml.KindParallel && s.Initial != nil && len(s.Children) > 0 && !s.Kind.IsHistory() {
		g.add(Node{ID: s.ID + ":initial", Kind: Initial}, parent)
	}
	for _, c := range s.Children {
		n := Node{ID: c.ID, Kind: State}
		switch c.Kind {
		case scxml.KindParallel:
			n.Kind = Parallel
		case scxml.KindFinal:
			n.Kind = Final
		case scxml.KindHistoryShallow:
			n.Kind = History
		case scxml.KindHistoryDeep:
			n.Kind, n.Deep = History, true
		}
		n.Admit, _ = c.Attribute(chartNamespace, "admit")
		b := g.add(n, parent)
		g.addChildren(c, b)
	}
}

// addTransitions adds what leaves a state, its initial arrow included.
func (g *graph) addTransitions(s *scxml.State, joined map[[2]*box]*line) {
	from := g.boxes[s.ID]
	if s.Kind == scxml.KindRoot {
		from = nil
	}
	if s.Initial != nil {
		start := g.boxes[s.ID+":initial"]
		if s.Kind.IsHistory() {
			start = from
		}
		for _, t := range s.Initial.Targets {
			if to := g.boxes[t.ID]; to != nil && start != nil {
				g.join(joined, start, to, Edge{Source: start.node.ID, Target: t.ID})
			}
		}
	}
	if from == nil {
		return
	}
	for _, t := range s.Transitions {
		e := Edge{Source: s.ID, Event: t.Event, Label: label(t)}
		if len(t.Targets) == 0 {
			from.inside = append(from.inside, e.Label)
			from.edges = append(from.edges, e)
			continue
		}
		for _, target := range t.Targets {
			if to := g.boxes[target.ID]; to != nil {
				e.Target = target.ID
				g.join(joined, from, to, e)
			}
		}
	}
}

func (g *graph) join(joined map[[2]*box]*line, from, to *box, e Edge) {
	k := [2]*box{from, to}
	l := joined[k]
	if l == nil {
		l = &line{source: from, target: to}
		joined[k] = l
		g.lines = append(g.lines, l)
	}
	l.edges = append(l.edges, e)
	l.width = max(l.width, textWidth(e.Label, lineWidth))
}

// measure gives a box its least size.
func (b *box) measure() {
	switch b.node.Kind {
	case Initial:
		b.width, b.height = markerSize, markerSize
		return
	case History:
		b.width, b.height = historySize, historySize
		return
	}
	b.width = textWidth(b.node.ID, nameWidth)
	if b.node.Admit != "" {
		b.width += 2.5 * nameWidth
	}
	for _, s := range b.inside {
		b.width = max(b.width, textWidth(s, lineWidth))
	}
	b.width += 2 * padding
	b.head = nameHeight + 8 + float64(len(b.inside))*lineHeight
	b.height = b.head
	if len(b.inside) > 0 {
		b.height += 4
	}
}

// label is what is drawn of a transition.
func label(t *scxml.Transition) string {
	s := strings.Join(strings.Fields(t.Event), " ")
	if c := strings.Join(strings.Fields(t.Cond), " "); c != "" {
		if s != "" {
			s += " "
		}
		s += "[" + c + "]"
	}
	if utf8.RuneCountInString(s) > labelLimit {
		s = string([]rune(s)[:labelLimit-1]) + "…"
	}
	return s
}

// drawing gathers the placed graph. place gives a box's absolute place; route
// a line's corners and the top left corner of its labels.
func (g *graph) drawing(place func(*box) (x, y, w, h float64), route func(*line) ([]Point, Point)) *Drawing {
	d := &Drawing{}
	for _, b := range g.order {
		n := b.node
		n.X, n.Y, n.Width, n.Height = place(b)
		d.Nodes = append(d.Nodes, n)
		for i, e := range b.edges {
			e.LabelX, e.LabelY = n.X+padding, n.Y+nameHeight+6+float64(i)*lineHeight
			d.Edges = append(d.Edges, e)
		}
	}
	for _, l := range g.lines {
		points, at := route(l)
		for i, e := range l.edges {
			if i == 0 {
				e.Points = points
			}
			e.LabelX, e.LabelY = at.X, at.Y+float64(i)*lineHeight
			d.Edges = append(d.Edges, e)
		}
	}
	return d
}
