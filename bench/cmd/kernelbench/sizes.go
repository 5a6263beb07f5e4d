// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/chartroom/chartroom/bench/charts"
	"github.com/chartroom/chartroom/internal/layout"
	"github.com/chartroom/chartroom/scxml"
)

// Size is what a chart of so many states costs before it runs, in microseconds of
// processor time.
type Size struct {
	States  int     `json:"states"`
	Bytes   int     `json:"bytes"`
	Compile float64 `json:"compile_us"`
	Layout  float64 `json:"layout_us"`
	// Plain says that it is too large for the layout kernel, and boxes were nested.
	Plain bool `json:"layout_plain"`
}

// measureSizes compiles and draws charts of 10, 100 and 1,000 states, taking turns.
func measureSizes(ctx context.Context, rounds int, turn time.Duration) ([]*Size, error) {
	sizes := []*Size{{States: 10}, {States: 100}, {States: 1000}}
	layouter := layout.New(slog.New(slog.DiscardHandler))
	compiles, layouts := map[*Size][]float64{}, map[*Size][]float64{}
	// The first round loads the layout kernel and is not counted.
	for round := range rounds + 1 {
		for _, s := range sizes {
			// Each drawing is kept by digest: a mark makes another one.
			document := charts.Sized(s.States, round)
			s.Bytes = len(document)
			compiled, d, err := compile(document, turn)
			if err != nil {
				return nil, fmt.Errorf("compile %d states: %w", s.States, err)
			}
			begin := processorTime()
			drawing, err := layouter.Draw(ctx, d)
			if err != nil {
				return nil, fmt.Errorf("draw %d states: %w", s.States, err)
			}
			drawn := processorTime() - begin
			if s.Plain = drawing.Plain; round > 0 {
				compiles[s] = append(compiles[s], compiled)
				layouts[s] = append(layouts[s], float64(drawn.Nanoseconds())/1000)
			}
		}
	}
	for _, s := range sizes {
		s.Compile, s.Layout = median(compiles[s]), median(layouts[s])
	}
	return sizes, nil
}

// compile reads and compiles a document for about d of processor time, so that the
// collector has its share, and gives the microseconds of one time.
func compile(document []byte, d time.Duration) (micros float64, read *scxml.Document, err error) {
	begin, n := processorTime(), 0
	var spent time.Duration
	for ; spent < d; spent = processorTime() - begin {
		if read, err = scxml.Parse("sized", document, scxml.Limits{}); err != nil {
			return 0, nil, err
		}
		if _, err = scxml.Compile(read, scxml.Options{}); err != nil {
			return 0, nil, err
		}
		n++
	}
	return float64(spent.Nanoseconds()) / float64(n) / 1000, read, nil
}

// sizeTable is the table in Markdown, and what is wanted of its growth.
func sizeTable(sizes []*Size) string {
	var b strings.Builder
	b.WriteString("| states | bytes | compile ms | layout ms | drawn |\n|---:|---:|---:|---:|---|\n")
	for _, s := range sizes {
		by := "by the layout kernel"
		if s.Plain {
			by = "plainly"
		}
		fmt.Fprintf(&b, "| %d | %d | %.2f | %.1f | %s |\n", s.States, s.Bytes, s.Compile/1000, s.Layout/1000, by)
	}
	last, before := sizes[len(sizes)-1], sizes[len(sizes)-2]
	n := func(s *Size) float64 { return float64(s.States) * math.Log(float64(s.States)) }
	grown, most := last.Compile/before.Compile, n(last)/n(before)
	verdict := "reached"
	if grown > most {
		verdict = "missed"
	}
	fmt.Fprintf(&b, "\nCompiling %d states takes %.1f× the time of %d, wanted at most n log n, %.1f×: %s.\n", last.States, grown, before.States, most, verdict)
	return b.String()
}
