// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import "math"

// plain places a graph without the kernel: children stand in rows inside their
// parents, and lines run straight from border to border.
func plain(g *graph) *Drawing {
	type rect struct{ x, y, w, h float64 }
	at := map[*box]rect{}
	// rows places boxes in rows about as wide as high, from a corner, and
	// returns the size they take.
	var rows func(boxes []*box, x, y float64) (w, h float64)
	rows = func(boxes []*box, x, y float64) (w, h float64) {
		perRow := int(math.Ceil(math.Sqrt(float64(len(boxes)))))
		left, rowHeight := x, 0.0
		for i, b := range boxes {
			if i > 0 && i%perRow == 0 {
				y += rowHeight + 3*padding
				h += rowHeight + 3*padding
				left, rowHeight = x, 0
			}
			r := rect{left, y, b.width, b.height}
			if len(b.children) > 0 {
				cw, ch := rows(b.children, left+padding, y+b.head+padding)
				r.w, r.h = max(r.w, cw+2*padding), b.head+ch+2*padding
			}
			at[b] = r
			left += r.w + 4*padding
			rowHeight = max(rowHeight, r.h)
			w = max(w, left-4*padding-x)
		}
		return w, h + rowHeight
	}
	w, h := rows(g.top, margin, margin)
	d := g.drawing(
		func(b *box) (x, y, w, h float64) {
			r := at[b]
			return r.x, r.y, r.w, r.h
		},
		func(l *line) ([]Point, Point) {
			a, b := at[l.source], at[l.target]
			if l.source == l.target {
				x, y := a.x+a.w, a.y
				return []Point{{x, y + 6}, {x + 12, y + 6}, {x + 12, y + 16}, {x, y + 16}}, Point{x + 14, y + 4}
			}
			from, to := Point{a.x + a.w/2, a.y + a.h/2}, Point{b.x + b.w/2, b.y + b.h/2}
			p := border(from, to, a.w/2, a.h/2)
			q := border(to, from, b.w/2, b.h/2)
			return []Point{p, q}, Point{(p.X+q.X)/2 + 3, (p.Y + q.Y) / 2}
		})
	d.Width, d.Height, d.Plain = w+2*margin, h+2*margin, true
	return d
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
