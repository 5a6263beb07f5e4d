// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"context"
	"math"
	"slices"
)

// aspect is the width by height that a drawing should have: it is looked at in a
// column of a page, which scrolls down and not to the side.
const aspect = 1.1

// gap is the least distance between parts that no line connects.
const gap = 18.0

// area is a part of a drawing that is placed, from its own corner.
type area struct {
	w, h   float64
	places map[*box]rect
	routes map[*line]route
}

func newArea() *area { return &area{places: map[*box]rect{}, routes: map[*line]route{}} }

// take puts another area into this one.
func (a *area) take(o *area, x, y float64) {
	for b, r := range o.places {
		a.places[b] = rect{r.x + x, r.y + y, r.w, r.h}
	}
	for l, r := range o.routes {
		a.routes[l] = r.moved(x, y)
	}
	a.w, a.h = max(a.w, x+o.w), max(a.h, y+o.h)
}

// composer places a graph: the boxes in a parent that lines connect, directly
// or by what stands in them, are one part, placed by the part function; the
// parts, such as the regions of a <parallel>, are packed beside each other.
// What stands in a box that no line leaves is composed first, and is then a
// box of known size.
type composer struct {
	g *graph
	// part places boxes that are connected; inner gives the contents of boxes
	// that are placed already.
	part func(ctx context.Context, boxes []*box, lines []*line, inner map[*box]*area) (*area, error)
}

// compose places everything.
func (c *composer) compose(ctx context.Context) (*Drawing, error) {
	all, err := c.inside(ctx, c.g.top)
	if err != nil {
		return nil, err
	}
	out := newArea()
	out.take(all, margin, margin)
	d := c.g.drawing(out.places, out.routes)
	d.Width, d.Height = out.w+margin, out.h+margin
	return d, nil
}

// inside places siblings.
func (c *composer) inside(ctx context.Context, siblings []*box) (*area, error) {
	var parts []*area
	for _, boxes := range c.connected(siblings) {
		inner := map[*box]*area{}
		if err := c.sealed(ctx, boxes, inner); err != nil {
			return nil, err
		}
		lines := c.outer(c.within(boxes), inner)
		var a *area
		var err error
		if len(boxes) == 1 && inner[boxes[0]] != nil && len(lines) == 0 {
			a = inner[boxes[0]]
		} else if a, err = c.part(ctx, boxes, lines, inner); err != nil {
			return nil, err
		}
		parts = append(parts, a)
	}
	return pack(parts), nil
}

// sealed composes the boxes, here and further in, that no line leaves or
// enters; inner gets them with their frame.
func (c *composer) sealed(ctx context.Context, boxes []*box, inner map[*box]*area) error {
	for _, b := range boxes {
		if len(b.children) == 0 {
			a := newArea()
			a.places[b] = rect{0, 0, b.width, b.height}
			a.w, a.h = b.width, b.height
			inner[b] = a
			continue
		}
		crossed := slices.ContainsFunc(c.g.lines, func(l *line) bool {
			return inStrictly(b, l.source) != inStrictly(b, l.target)
		})
		if crossed {
			if err := c.sealed(ctx, b.children, inner); err != nil {
				return err
			}
			continue
		}
		in, err := c.inside(ctx, b.children)
		if err != nil {
			return err
		}
		a := newArea()
		a.take(in, padding, b.head+padding)
		a.w, a.h = max(a.w+padding, b.width), a.h+padding
		a.places[b] = rect{0, 0, a.w, a.h}
		inner[b] = a
	}
	return nil
}

func inStrictly(outer, b *box) bool { return b != outer && contains(outer, b) }

// connected sorts siblings into groups that lines connect, in order of their
// first member.
func (c *composer) connected(siblings []*box) [][]*box {
	group := map[*box]*box{} // a box to the first of its group
	for _, b := range siblings {
		group[b] = b
	}
	sibling := func(b *box) *box {
		for ; b != nil; b = b.parent {
			if _, ok := group[b]; ok {
				return b
			}
		}
		return nil
	}
	for _, l := range c.g.lines {
		s, t := sibling(l.source), sibling(l.target)
		if s == nil || t == nil || group[s] == group[t] {
			continue
		}
		from, to := group[s], group[t]
		for b, first := range group {
			if first == from {
				group[b] = to
			}
		}
	}
	var out [][]*box
	at := map[*box]int{}
	for _, b := range siblings {
		i, ok := at[group[b]]
		if !ok {
			i = len(out)
			at[group[b]] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], b)
	}
	return out
}

// within gives the lines of which both ends are boxes or stand in them.
func (c *composer) within(boxes []*box) []*line {
	in := func(b *box) bool {
		return slices.ContainsFunc(boxes, func(o *box) bool { return contains(o, b) })
	}
	var lines []*line
	for _, l := range c.g.lines {
		if in(l.source) && in(l.target) {
			lines = append(lines, l)
		}
	}
	return lines
}

// outer leaves out the lines that are placed already.
func (c *composer) outer(lines []*line, inner map[*box]*area) []*line {
	return slices.DeleteFunc(slices.Clone(lines), func(l *line) bool {
		for _, a := range inner {
			if _, ok := a.routes[l]; ok {
				return true
			}
		}
		return false
	})
}

// pack places areas beside and below each other, each where its top is highest,
// in the width that brings the whole nearest to aspect.
func pack(parts []*area) *area {
	if len(parts) == 1 {
		return parts[0]
	}
	widest, sum := 0.0, 0.0
	for _, p := range parts {
		widest, sum = max(widest, p.w), sum+p.w+gap
	}
	into := skyline
	if len(parts) > maxSkyline {
		into = shelves
	}
	var best []Point
	bestCost := math.Inf(1)
	for i := range 25 {
		at, w, h := into(parts, widest+(sum-widest)*float64(i)/24)
		cost := max(w, h*aspect) * (1 + 0.05*w*h/(max(w, h*aspect)*max(w, h*aspect)/aspect))
		if cost < bestCost {
			best, bestCost = at, cost
		}
	}
	out := newArea()
	for i, p := range parts {
		out.take(p, best[i].X, best[i].Y)
	}
	return out
}

// maxSkyline is how many parts are packed closely: that takes time by the third
// power of their number.
const maxSkyline = 64

// shelves packs into a width, row below row, in time by the number of parts.
func shelves(parts []*area, width float64) (at []Point, w, h float64) {
	x, y, next := 0.0, 0.0, 0.0
	for _, p := range parts {
		if x > 0 && x+p.w > width {
			x, y = 0, next
		}
		at = append(at, Point{x, y})
		w, h = max(w, x+p.w), max(h, y+p.h)
		x, next = x+p.w+gap, max(next, y+p.h+gap)
	}
	return at, w, h
}

// skyline packs into a width, each part where its top is highest, keeping the
// order from the top.
func skyline(parts []*area, width float64) (at []Point, w, h float64) {
	type step struct{ x, w, y float64 }
	line := []step{{0, math.Inf(1), 0}}
	for _, p := range parts {
		pw := p.w + gap
		bestX, bestY := 0.0, math.Inf(1)
		for _, s := range line {
			if s.x > 0 && s.x+p.w > width {
				break
			}
			y := 0.0
			for _, o := range line {
				if o.x < s.x+pw && s.x < o.x+o.w {
					y = max(y, o.y)
				}
			}
			if y < bestY {
				bestX, bestY = s.x, y
			}
		}
		at = append(at, Point{bestX, bestY})
		w, h = max(w, bestX+p.w), max(h, bestY+p.h)
		var next []step
		for _, o := range line {
			if o.x < bestX {
				next = append(next, step{o.x, min(o.w, bestX-o.x), o.y})
			}
		}
		next = append(next, step{bestX, pw, bestY + p.h + gap})
		for _, o := range line {
			if end := o.x + o.w; end > bestX+pw {
				x := max(o.x, bestX+pw)
				next = append(next, step{x, end - x, o.y})
			}
		}
		line = next
	}
	return at, w, h
}
