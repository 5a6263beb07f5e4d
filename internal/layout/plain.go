// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"context"
	"math"
)

// plain places a graph without the kernel: boxes are packed, and lines run
// straight from border to border. It cannot fail.
func plain(g *graph) *Drawing {
	all := nest(g.top)
	out := newArea()
	out.take(all, margin, margin)
	for _, l := range g.lines {
		out.routes[l] = straight(out.places[l.source], out.places[l.target], l.source == l.target)
	}
	d := g.drawing(out.places, out.routes)
	// A line from a box to itself stands out on the right.
	d.Width, d.Height, d.Plain = out.w+3*margin, out.h+margin, true
	return d
}

// nest packs boxes with what stands in them.
func nest(boxes []*box) *area {
	parts := make([]*area, 0, len(boxes))
	for _, b := range boxes {
		a := newArea()
		a.w, a.h = b.width, b.height
		if len(b.children) > 0 {
			a.take(nest(b.children), padding, b.head+padding)
			a.w, a.h = max(a.w+padding, b.width), a.h+padding
		}
		a.places[b] = rect{0, 0, a.w, a.h}
		parts = append(parts, a)
	}
	return pack(parts)
}

func straight(a, b rect, self bool) route {
	if self {
		x, y := a.x+a.w, a.y
		return route{[]Point{{x, y + 6}, {x + 8, y + 6}, {x + 8, y + 16}, {x, y + 16}}, Point{x + 10, y + 4}}
	}
	from, to := Point{a.x + a.w/2, a.y + a.h/2}, Point{b.x + b.w/2, b.y + b.h/2}
	p := border(from, to, a.w/2, a.h/2)
	q := border(to, from, b.w/2, b.h/2)
	return route{[]Point{p, q}, Point{(p.X+q.X)/2 + 3, (p.Y + q.Y) / 2}}
}

// border is where the way from the middle of a box to another point leaves the
// box of half width w and half height h.
func border(middle, towards Point, w, h float64) Point {
	dx, dy := towards.X-middle.X, towards.Y-middle.Y
	if dx == 0 && dy == 0 {
		return middle
	}
	f := math.Inf(1)
	if dx != 0 {
		f = w / math.Abs(dx)
	}
	if dy != 0 {
		f = min(f, h/math.Abs(dy))
	}
	return Point{middle.X + dx*f, middle.Y + dy*f}
}

// byKernel places a graph part by part with the kernel.
func byKernel(ctx context.Context, k *kernel, g *graph) (*Drawing, error) {
	c := &composer{g: g, part: k.part}
	return c.compose(ctx)
}
