// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chartroom/chartroom/scxml"
)

// chartNamespace is the namespace of cr:admit.
const chartNamespace = "urn:chartroom:chart"

// Bounds of what is written, so that a chart of a hundred conditions stays a
// drawing. The events themselves are all in the edges.
const (
	condLimit   = 30 // characters of a condition
	labelLimit  = 34 // characters of a label at a line
	stackLimit  = 5  // labels at one line
	noteLimit   = 4  // lines of a note in a box
	noteColumns = 34 // characters of such a line, unless the box is wider
)

// Signs that begin the notes in a box.
const (
	arriveSign = "» "    // what brings the chart here from anywhere in the parent
	reactSign  = "on "   // what is answered without leaving
	leaveSign  = "« on " // what starts a parent again
)

// box is a node of the graph before it has a place.
type box struct {
	node     Node
	parent   *box // nil at the top
	children []*box
	width    float64 // least width
	height   float64 // height, for a box without children
	head     float64 // height of name and notes at the top
	notes    []Edge  // transitions written in the box, a line each
}

// line is an arrow of the graph with the transitions that share it.
type line struct {
	source, target *box
	edges          []Edge
	width          float64 // of the widest label
}

// graph is a document as boxes and lines.
//
// A transition between a state and one that it contains is no line, which
// would cross everything between, but a note in the box: a transition of an
// outer state to an inner one stands where it leads to ("» event"), one to an
// outer state, or without target, where it comes from.
type graph struct {
	top   []*box
	boxes map[string]*box
	order []*box // parents first
	lines []*line
	// drawn are the states that have boxes; nil means all.
	drawn map[*scxml.State]bool
}

// newGraph reads a document, as far as it can be drawn.
func newGraph(d *scxml.Document) *graph {
	g := &graph{boxes: map[string]*box{}, drawn: outline(d)}
	g.addChildren(d.Root, nil)
	b := &builder{g: g, lines: map[[2]*box]*line{}, notes: map[*box][]note{}, left: maxEvents}
	for _, s := range d.States {
		if g.draws(s) {
			b.addTransitions(s)
		}
	}
	b.addInitial(d.Root, nil)
	if b.omitted > 0 {
		g.add(Node{ID: fmt.Sprintf("… %d more transitions", b.omitted), Kind: State}, nil)
	}
	for _, l := range g.lines {
		l.finish()
	}
	for _, box := range g.order {
		box.measure(b.notes[box])
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
	if s.Kind != scxml.KindParallel && s.Initial != nil && slices.ContainsFunc(s.Children, g.draws) {
		g.add(Node{ID: s.ID + ":initial", Kind: Initial}, parent)
	}
	for _, c := range s.Children {
		if !g.draws(c) {
			continue
		}
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
		at := g.add(n, parent)
		g.addChildren(c, at)
	}
	if g.drawn != nil {
		g.more(s, parent)
	}
}

// builder sorts the transitions of a document into lines and notes.
type builder struct {
	g     *graph
	lines map[[2]*box]*line
	notes map[*box][]note
	// left is how many events may still be drawn, omitted how many transitions
	// are not drawn for that.
	left, omitted int
}

// note is what a box says of transitions of one kind from one source.
type note struct {
	sign           string
	source, target string
	events         []string // each once, in order
}

func (b *builder) addInitial(s *scxml.State, from *box) {
	if s.Initial == nil {
		return
	}
	if !s.Kind.IsHistory() {
		from = b.g.boxes[s.ID+":initial"]
	}
	for _, t := range s.Initial.Targets {
		if to := b.g.target(t); to != nil && from != nil && to != from {
			b.join(from, to, Edge{Source: from.node.ID, Target: t.ID})
		}
	}
}

func (b *builder) addTransitions(s *scxml.State) {
	from := b.g.boxes[s.ID]
	b.addInitial(s, from)
	for _, t := range s.Transitions {
		if t = b.spend(t); t == nil {
			continue
		}
		if len(t.Targets) == 0 {
			b.write(from, note{sign: reactSign, source: s.ID}, t)
		}
		for _, target := range t.Targets {
			to := b.g.target(target)
			switch {
			case to == nil || to == from && target != s: // hidden
			case to != from && contains(from, to):
				b.write(to, note{sign: arriveSign, source: s.ID, target: target.ID}, t)
			case to != from && contains(to, from):
				b.write(from, note{sign: leaveSign, source: s.ID, target: target.ID}, t)
			default:
				b.join(from, to, Edge{Source: s.ID, Target: target.ID, Event: t.Event, Label: label(t)})
			}
		}
	}
}

// write adds the events of t to a note of the same kind.
func (b *builder) write(at *box, n note, t *scxml.Transition) {
	events := strings.Fields(t.Event)
	if len(events) == 0 {
		events = []string{"[" + short(t.Cond, condLimit) + "]"}
	}
	i := slices.IndexFunc(b.notes[at], func(o note) bool {
		return o.sign == n.sign && o.source == n.source && o.target == n.target
	})
	if i < 0 {
		i = len(b.notes[at])
		b.notes[at] = append(b.notes[at], n)
	}
	o := &b.notes[at][i]
	for _, e := range events {
		if !slices.Contains(o.events, e) {
			o.events = append(o.events, e)
		}
	}
}

func (b *builder) join(from, to *box, e Edge) {
	k := [2]*box{from, to}
	l := b.lines[k]
	if l == nil {
		l = &line{source: from, target: to}
		b.lines[k] = l
		b.g.lines = append(b.g.lines, l)
	}
	for i := range l.edges {
		if l.edges[i].Label == e.Label {
			l.edges[i].Event = union(l.edges[i].Event, e.Event)
			return
		}
	}
	l.edges = append(l.edges, e)
}

// union joins two lists of event descriptors.
func union(a, b string) string {
	events := strings.Fields(a)
	for _, e := range strings.Fields(b) {
		if !slices.Contains(events, e) {
			events = append(events, e)
		}
	}
	return strings.Join(events, " ")
}

// contains says whether inner is outer or stands in it.
func contains(outer, inner *box) bool {
	for b := inner; b != nil; b = b.parent {
		if b == outer {
			return true
		}
	}
	return false
}

// finish bounds the labels of a line and measures them.
func (l *line) finish() {
	if n := len(l.edges); n > stackLimit {
		last := &l.edges[stackLimit-1]
		for _, e := range l.edges[stackLimit:] {
			last.Event = union(last.Event, e.Event)
		}
		last.Label = "… " + strconv.Itoa(n-stackLimit+1) + " more"
		l.edges = l.edges[:stackLimit]
	}
	for _, e := range l.edges {
		l.width = max(l.width, textWidth(e.Label, lineWidth))
	}
}

// measure writes the notes of a box and gives it its least size.
func (b *box) measure(notes []note) {
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
		b.width += 10 + textWidth(b.node.Admit, lineWidth)
	}
	columns := max(noteColumns, int(b.width/lineWidth))
	for _, n := range notes {
		b.notes = append(b.notes, n.lines(columns)...)
	}
	for _, e := range b.notes {
		b.width = max(b.width, textWidth(e.Label, lineWidth))
	}
	b.width += 2 * padding
	b.head = nameHeight + 8 + float64(len(b.notes))*lineHeight
	b.height = b.head
	if len(b.notes) > 0 {
		b.height += 4
	}
}

// lines breaks a note into lines, an edge each; what is too much is counted.
func (n note) lines(columns int) []Edge {
	var out []Edge
	add := func(text string, events []string) {
		out = append(out, Edge{Source: n.source, Target: n.target, Event: strings.Join(events, " "), Label: text})
	}
	text, first := n.sign, 0
	for i, e := range n.events {
		piece := e
		if i < len(n.events)-1 {
			piece += ", "
		}
		if i > first && utf8.RuneCountInString(text+e) > columns {
			if len(out) == noteLimit-1 {
				add(text+"+ "+strconv.Itoa(len(n.events)-i), n.events[first:])
				return out
			}
			add(strings.TrimRight(text, " "), n.events[first:i])
			text, first = strings.Repeat(" ", 3), i
		}
		text += piece
	}
	add(text, n.events[first:])
	return out
}

// label is what is drawn of a transition at its line: its first events, how
// many more there are, and its condition as far as there is room.
func label(t *scxml.Transition) string {
	events := strings.Fields(t.Event)
	s := ""
	for i, e := range events {
		if i > 0 && utf8.RuneCountInString(s+e) > labelLimit-6 {
			s += " +" + strconv.Itoa(len(events)-i)
			break
		}
		if i > 0 {
			s += " "
		}
		s += e
	}
	if t.Cond != "" {
		if room := labelLimit - utf8.RuneCountInString(s) - 3; room >= 8 || s == "" {
			s = strings.TrimSpace(s + " [" + short(t.Cond, min(room, condLimit)) + "]")
		} else {
			s += " […]"
		}
	}
	return s
}

// short is s on one line, cut to n characters.
func short(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > n {
		return string([]rune(s)[:n-1]) + "…"
	}
	return s
}

// rect is a place.
type rect struct{ x, y, w, h float64 }

// route is the way of a line and the top left corner of its labels.
type route struct {
	points []Point
	label  Point
}

func (r route) moved(dx, dy float64) route {
	points := make([]Point, len(r.points))
	for i, p := range r.points {
		points[i] = Point{p.X + dx, p.Y + dy}
	}
	return route{points, Point{r.label.X + dx, r.label.Y + dy}}
}

// drawing gathers the placed graph.
func (g *graph) drawing(places map[*box]rect, routes map[*line]route) *Drawing {
	d := &Drawing{}
	for _, b := range g.order {
		n, r := b.node, places[b]
		n.X, n.Y, n.Width, n.Height = r.x, r.y, r.w, r.h
		d.Nodes = append(d.Nodes, n)
		for i, e := range b.notes {
			e.LabelX, e.LabelY = n.X+padding, n.Y+nameHeight+5+float64(i)*lineHeight
			d.Edges = append(d.Edges, e)
		}
	}
	for _, l := range g.lines {
		r := routes[l]
		for i, e := range l.edges {
			if i == 0 {
				e.Points = r.points
			}
			e.LabelX, e.LabelY = r.label.X, r.label.Y+float64(i)*lineHeight
			d.Edges = append(d.Edges, e)
		}
	}
	return d
}
