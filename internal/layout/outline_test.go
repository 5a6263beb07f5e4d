// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"fmt"
	"strings"
	"testing"
)

// inChart is a document of what f writes.
func inChart(f func(b *strings.Builder)) string {
	var b strings.Builder
	b.WriteString(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">`)
	f(&b)
	b.WriteString("</scxml>")
	return b.String()
}

// TestHugeCharts draws what nobody would look at. What does not end in bounded time
// does not end before the test's own limit.
func TestHugeCharts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, doc, more string
		nodes           int
	}{
		{"20,000 beside each other", inChart(func(b *strings.Builder) {
			for i := range 20_000 {
				fmt.Fprintf(b, "<state id='%x'><transition target='%x'/></state>", i, (i+1)%20_000)
			}
		}), "… 19000 more states", maxStates + 2},
		{"20,000 in each other", inChart(func(b *strings.Builder) {
			for i := range 200 {
				for k := range 100 {
					fmt.Fprintf(b, "<state id='s%d-%d'>", i, k)
				}
				b.WriteString(strings.Repeat("</state>", 100))
			}
		}), "… 95 more states in s0-4", 2*maxStates + 1},
		{"many transitions", inChart(func(b *strings.Builder) {
			b.WriteString("<state id='a'/><state id='b'>")
			for i := range 20_000 {
				fmt.Fprintf(b, "<transition event='e%d' target='a'/>", i)
			}
			b.WriteString("</state>")
		}), "… 15000 more transitions", 4},
		{"many events", inChart(func(b *strings.Builder) {
			b.WriteString("<state id='a'><transition event='")
			for i := range 100_000 {
				fmt.Fprintf(b, "e%d ", i)
			}
			b.WriteString("'/></state>")
		}), "… 1 more transitions", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			doc := parse(t, "huge", test.doc)
			d, err := New(slogDiscard()).Draw(t.Context(), doc)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, n := range d.Nodes {
				found = found || n.ID == test.more
			}
			if !found || len(d.Nodes) > test.nodes {
				t.Errorf("%d nodes, want at most %d and %q among them", len(d.Nodes), test.nodes, test.more)
			}
			checkPlaces(t, d)
		})
	}
}

// TestLargeChart has all of its states drawn, though not by the kernel.
func TestLargeChart(t *testing.T) {
	t.Parallel()
	doc := parse(t, "large", inChart(func(b *strings.Builder) {
		for i := range maxStates {
			fmt.Fprintf(b, "<state id='s%d'><transition event='e' target='s%d'/></state>", i, (i+1)%maxStates)
		}
	}))
	d, err := New(slogDiscard()).Draw(t.Context(), doc)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Plain || len(d.Edges) != maxStates+1 {
		t.Errorf("plain %v with %d edges, want plain with %d", d.Plain, len(d.Edges), maxStates+1)
	}
	checkDrawing(t, doc, d)
}
