// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/scxml"
)

// documents are the charts that come with chartroom, and one with everything.
func documents(t *testing.T) map[string]*scxml.Document {
	t.Helper()
	docs := map[string]*scxml.Document{}
	for _, name := range charts.Names() {
		b, err := charts.Document(name)
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = parse(t, name, string(b))
	}
	for _, file := range []string{"everything"} {
		b, err := os.ReadFile(filepath.Join("testdata", file+".scxml"))
		if err != nil {
			t.Fatal(err)
		}
		docs[file] = parse(t, file, string(b))
	}
	return docs
}

func parse(t *testing.T, name, doc string) *scxml.Document {
	t.Helper()
	d, err := scxml.Parse(name, []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDrawing checks what every drawing promises, by the kernel and plainly.
func TestDrawing(t *testing.T) {
	t.Parallel()
	l := New(slogDiscard())
	for name, doc := range documents(t) {
		full, err := l.Draw(t.Context(), doc)
		if err != nil {
			t.Fatal(err)
		}
		if full.Plain {
			t.Errorf("%s: the kernel did not draw it", name)
		}
		for kind, d := range map[string]*Drawing{"kernel": full, "plain": plain(newGraph(doc))} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				checkDrawing(t, doc, d)
				if dir := os.Getenv("CHARTROOM_PICTURES"); dir != "" {
					path := filepath.Join(dir, fmt.Sprintf("%s-%s.svg", name, kind))
					if err := os.WriteFile(path, SVG(d, []string{"started", "running"}), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// checkPlaces checks that boxes stand in the picture, in their parents, and beside
// each other.
func checkPlaces(t *testing.T, d *Drawing) map[string]Node {
	t.Helper()
	at := map[string]Node{}
	for _, n := range d.Nodes {
		if n.X < 0 || n.Y < 0 || n.X+n.Width > d.Width || n.Y+n.Height > d.Height || n.Width <= 0 || n.Height <= 0 {
			t.Errorf("%s is not in the picture: %+v", n.ID, n)
		}
		if n.Parent != "" {
			p, ok := at[n.Parent]
			if !ok {
				t.Errorf("%s stands before its parent %s", n.ID, n.Parent)
			}
			if n.X < p.X || n.Y < p.Y || n.X+n.Width > p.X+p.Width || n.Y+n.Height > p.Y+p.Height {
				t.Errorf("%s is not in its parent: %+v not in %+v", n.ID, n, p)
			}
		}
		for _, o := range at {
			if o.Parent == n.Parent && o.X < n.X+n.Width && n.X < o.X+o.Width && o.Y < n.Y+n.Height && n.Y < o.Y+o.Height {
				t.Errorf("%s and %s overlap", n.ID, o.ID)
			}
		}
		at[n.ID] = n
	}
	return at
}

func checkDrawing(t *testing.T, doc *scxml.Document, d *Drawing) {
	t.Helper()
	at := checkPlaces(t, d)
	for _, s := range doc.States {
		if _, ok := at[s.ID]; !ok {
			t.Errorf("state %s is not drawn", s.ID)
		}
		for _, tr := range s.Transitions {
			targets := tr.Targets
			if len(targets) == 0 {
				targets = []*scxml.State{{}}
			}
			for _, target := range targets {
				for _, event := range strings.Fields(tr.Event) {
					if !slices.ContainsFunc(d.Edges, func(e Edge) bool {
						return e.Source == s.ID && e.Target == target.ID && slices.Contains(strings.Fields(e.Event), event) && e.Label != ""
					}) {
						t.Errorf("transition of %s on %q to %q is not drawn", s.ID, event, target.ID)
					}
				}
			}
		}
	}
	for _, e := range d.Edges {
		for _, p := range e.Points {
			if p.X < 0 || p.Y < 0 || p.X > d.Width || p.Y > d.Height {
				t.Errorf("%s -> %s leaves the picture at %v", e.Source, e.Target, p)
			}
		}
		if len(e.Points) == 0 {
			continue
		}
		// A line begins and ends at the borders of its boxes.
		if from, to := e.Points[0], e.Points[len(e.Points)-1]; !touches(at[e.Source], from) || !touches(at[e.Target], to) {
			t.Errorf("%s -> %s runs from %v to %v, not between %+v and %+v", e.Source, e.Target, from, to, at[e.Source], at[e.Target])
		}
	}
	dec := xml.NewDecoder(bytes.NewReader(SVG(d, nil)))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}

// touches says whether a point is on the border of a box.
func touches(n Node, p Point) bool {
	const slack = 0.5
	inside := p.X > n.X-slack && p.X < n.X+n.Width+slack && p.Y > n.Y-slack && p.Y < n.Y+n.Height+slack
	deep := p.X > n.X+slack && p.X < n.X+n.Width-slack && p.Y > n.Y+slack && p.Y < n.Y+n.Height-slack
	return inside && !deep
}

func slogDiscard() *slog.Logger { return slog.New(slog.DiscardHandler) }

var update = flag.Bool("update", false, "write the drawings of the built-in charts into drawn/")

// TestDrawn says that the drawings in drawn/ are those of the built-in charts,
// and what the kernel gives. One of a chart that has changed since is of no use:
// -update replaces it.
func TestDrawn(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.RemoveAll("drawn"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("drawn", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range charts.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := charts.Document(name)
			if err != nil {
				t.Fatal(err)
			}
			doc := parse(t, name, string(b))
			kept := drawn(doc.Digest())
			if kept == nil && !*update {
				t.Fatalf("chart %s has changed since it was drawn, and a page would wait for it: go generate ./internal/layout", name)
			}
			if !*update && len(doc.States) > 40 {
				// It takes the kernel many seconds, a minute under the race
				// detector; the small ones tell whether it draws as it did.
				checkDrawing(t, doc, kept)
				return
			}
			k, err := newKernel()
			if err != nil {
				t.Fatal(err)
			}
			d, err := byKernel(t.Context(), k, newGraph(doc))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				text, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join("drawn", drawnName(doc.Digest())), append(text, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(d, kept); diff != "" {
				t.Errorf("the kernel draws it otherwise (-kernel +kept):\n%s", diff)
			}
		})
	}
}

// TestLayouterKeeps says that a digest is drawn once.
func TestLayouterKeeps(t *testing.T) {
	t.Parallel()
	l := New(slogDiscard())
	const doc = `<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"><transition event="e" target="b"/></state><state id="b"/></scxml>`
	first, err := l.Draw(t.Context(), parse(t, "one", doc))
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.Draw(t.Context(), parse(t, "two", doc))
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("the same document was drawn twice")
	}
	if a, b := SVG(first, []string{"a"}), SVG(first, []string{"a"}); !bytes.Equal(a, b) {
		t.Error("the same drawing gave two pictures")
	}
}

// TestLayouterFallsBack says that a kernel that cannot be had is replaced by
// plain boxes, and that the next chart tries it again.
func TestLayouterFallsBack(t *testing.T) {
	t.Parallel()
	l := New(slogDiscard())
	broken, err := newKernel()
	if err != nil {
		t.Fatal(err)
	}
	broken.vm.Interrupt("by the test")
	l.kernel = broken
	d, err := l.Draw(t.Context(), parse(t, "one", `<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"><transition event="e" target="b"/></state><state id="b"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Plain || len(d.Nodes) != 3 {
		t.Errorf("got %+v", d)
	}
	d, err = l.Draw(t.Context(), parse(t, "two", `<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"/><state id="b"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	if d.Plain {
		t.Error("the kernel was not tried again")
	}
}

// BenchmarkContainer measures the layout of the largest chart, the kernel
// loaded.
func BenchmarkContainer(b *testing.B) {
	doc, err := charts.Document("container")
	if err != nil {
		b.Fatal(err)
	}
	d, err := scxml.Parse("container", doc, scxml.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	k, err := newKernel()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := byKernel(b.Context(), k, newGraph(d)); err != nil {
			b.Fatal(err)
		}
	}
}
