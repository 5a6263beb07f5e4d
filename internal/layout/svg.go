// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// style of the picture. Colours follow the viewer's scheme, and print in the
// light one.
const style = `
svg{--ground:#fff;--box:#fff;--inner:#f6f8fa;--line:#8c959f;--text:#1f2328;--quiet:#57606a;--active:#0969da;--lit:#ddf4ff;font-family:system-ui,"Segoe UI","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--box:#161b22;--inner:#0d1117;--line:#6e7681;--text:#e6edf3;--quiet:#9198a1;--active:#58a6ff;--lit:#122d4f}}
.ground{fill:var(--ground)}
.box{fill:var(--box);stroke:var(--line);stroke-width:1.2}
.compound{fill:var(--inner)}
.parallel{stroke-dasharray:6 4}
.ring{fill:none;stroke:var(--line);stroke-width:1.2}
.dot{fill:var(--text)}
.name{font-size:12px;fill:var(--text)}
.compound-name{font-weight:600}
.rule{stroke:var(--line);stroke-width:.6;opacity:.6}
.admit{font-size:9.5px;font-weight:400;font-style:italic;fill:var(--quiet)}
.edge{fill:none;stroke:var(--quiet);stroke-width:1}
.tip{fill:var(--quiet)}
.label{font-size:9.5px;fill:var(--quiet);paint-order:stroke;stroke:var(--inner);stroke-width:3px;stroke-linejoin:round}
.on>.box{stroke:var(--active);stroke-width:2}
.on>.box.leaf{fill:var(--lit);stroke-width:2.5}
.on>.name{font-weight:700}
.ready>.edge{stroke:var(--active);stroke-width:1.4}
.ready>.tip{fill:var(--active)}
.ready>.label{fill:var(--text)}
`

// SVG renders a drawing as a picture that stands alone. active are the ids of
// the active states, which are lit together with the transitions that leave
// them; none for a chart at rest. The same input gives the same bytes.
func SVG(d *Drawing, active []string) []byte {
	var b strings.Builder
	w, h := number(d.Width), number(d.Height)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img">`, w, h, w, h)
	title := "Chart"
	if len(active) > 0 {
		title = "Active: " + strings.Join(active, ", ")
	}
	fmt.Fprintf(&b, "\n<title>%s</title>\n<style>%s</style>\n", escape(title), style)
	fmt.Fprintf(&b, `<rect class="ground" width="%s" height="%s"/>`+"\n", w, h)
	for _, n := range d.Nodes {
		writeNode(&b, n, slices.Contains(active, n.ID))
	}
	for _, e := range d.Edges {
		writeEdge(&b, e, slices.Contains(active, e.Source))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func writeNode(b *strings.Builder, n Node, on bool) {
	class := "node"
	if on {
		class += " on"
	}
	x, y := number(n.X), number(n.Y)
	midX, midY := number(n.X+n.Width/2), number(n.Y+n.Height/2)
	fmt.Fprintf(b, `<g class="%s" data-state="%s">`, class, escape(n.ID))
	switch n.Kind {
	case Initial:
		fmt.Fprintf(b, `<circle class="dot" cx="%s" cy="%s" r="%s"/>`, midX, midY, number(n.Width/2))
	case History:
		name := "H"
		if n.Deep {
			name = "H*"
		}
		fmt.Fprintf(b, `<title>%s</title><circle class="box leaf" cx="%s" cy="%s" r="%s"/>`, escape(n.ID), midX, midY, number(n.Width/2))
		fmt.Fprintf(b, `<text class="name" x="%s" y="%s" text-anchor="middle">%s</text>`, midX, number(n.Y+n.Height/2+4), name)
	default:
		box := "box leaf"
		if n.Compound {
			box = "box compound"
		}
		if n.Kind == Parallel {
			box += " parallel"
		}
		fmt.Fprintf(b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="8"/>`, box, x, y, number(n.Width), number(n.Height))
		if n.Kind == Final {
			fmt.Fprintf(b, `<rect class="ring" x="%s" y="%s" width="%s" height="%s" rx="6"/>`,
				number(n.X+3), number(n.Y+3), number(n.Width-6), number(n.Height-6))
		}
		name := "name"
		if n.Compound {
			name += " compound-name"
		}
		fmt.Fprintf(b, `<text class="%s" x="%s" y="%s">%s`, name, number(n.X+padding), number(n.Y+nameHeight), escape(n.ID))
		if n.Admit != "" {
			fmt.Fprintf(b, `<tspan class="admit" dx="6">%s</tspan>`, escape(n.Admit))
		}
		b.WriteString("</text>")
		if n.Admit != "" {
			fmt.Fprintf(b, "<title>%s: application events %s</title>", escape(n.ID), escape(n.Admit))
		}
	}
	b.WriteString("</g>\n")
}

func writeEdge(b *strings.Builder, e Edge, ready bool) {
	class := "transition"
	if ready {
		class += " ready"
	}
	fmt.Fprintf(b, `<g class="%s" data-event="%s">`, class, escape(e.Event))
	if len(e.Points) > 1 {
		fmt.Fprintf(b, `<path class="edge" d="%s"/>`, path(e.Points))
		writeTip(b, e.Points[len(e.Points)-2], e.Points[len(e.Points)-1])
	}
	if e.Label != "" {
		fmt.Fprintf(b, `<text class="label" x="%s" y="%s">%s</text>`, number(e.LabelX), number(e.LabelY+9), escape(e.Label))
	}
	b.WriteString("</g>\n")
}

// corner is the radius of a bend.
const corner = 5.0

// path draws a line with its bends rounded.
func path(points []Point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", number(points[0].X), number(points[0].Y))
	for i := 1; i < len(points)-1; i++ {
		p := points[i]
		in := towards(p, points[i-1], corner)
		out := towards(p, points[i+1], corner)
		fmt.Fprintf(&b, "L%s %sQ%s %s %s %s", number(in.X), number(in.Y), number(p.X), number(p.Y), number(out.X), number(out.Y))
	}
	last := points[len(points)-1]
	fmt.Fprintf(&b, "L%s %s", number(last.X), number(last.Y))
	return b.String()
}

// towards is the point at a distance from one point to another, at most half
// of the way.
func towards(from, to Point, distance float64) Point {
	dx, dy := to.X-from.X, to.Y-from.Y
	length := math.Hypot(dx, dy)
	if length == 0 {
		return from
	}
	f := min(distance/length, 0.5)
	return Point{from.X + dx*f, from.Y + dy*f}
}

// writeTip draws the head of an arrow.
func writeTip(b *strings.Builder, before, at Point) {
	dx, dy := at.X-before.X, at.Y-before.Y
	length := math.Hypot(dx, dy)
	if length == 0 {
		return
	}
	dx, dy = dx/length, dy/length
	back := Point{at.X - 7*dx, at.Y - 7*dy}
	fmt.Fprintf(b, `<path class="tip" d="M%s %sL%s %sL%s %sz"/>`,
		number(at.X), number(at.Y),
		number(back.X-3.2*dy), number(back.Y+3.2*dx),
		number(back.X+3.2*dy), number(back.Y-3.2*dx))
}

// number writes a coordinate without needless digits.
func number(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

func escape(s string) string {
	var b strings.Builder
	// The only error is that of the writer, which has none.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
