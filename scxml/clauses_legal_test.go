// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chartroom/chartroom/scxml"
	"pgregory.net/rapid"
)

// illegal says what keeps a configuration from being legal (SCXML 3.11); empty if it is.
func illegal(d *scxml.Document, configuration []string) string {
	active := func(s *scxml.State) bool { return s == d.Root || slices.Contains(configuration, s.ID) }
	atomic := false
	for _, s := range append([]*scxml.State{d.Root}, d.States...) {
		if !active(s) {
			continue
		}
		if s.Kind.IsHistory() {
			return fmt.Sprintf("history %s is active", s.ID)
		}
		if s.Parent != nil && !active(s.Parent) {
			return fmt.Sprintf("%s is active without %s", s.ID, s.Parent.ID)
		}
		var children, inside int
		for _, c := range s.Children {
			if c.Kind.IsHistory() {
				continue
			}
			children++
			if active(c) {
				inside++
			}
		}
		switch {
		case s.Kind == scxml.KindParallel && inside != children:
			return fmt.Sprintf("%d of %d children of the parallel %s are active", inside, children, s.ID)
		case s.Kind != scxml.KindParallel && children > 0 && inside != 1:
			return fmt.Sprintf("%d children of %q are active", inside, s.ID)
		}
		atomic = atomic || s.IsAtomic()
	}
	if !atomic {
		return "no atomic state is active"
	}
	return ""
}

// TestConfigurationsAreLegal looks for a chart and events that lead to a configuration
// that is not legal (SCXML 3.11).
func TestConfigurationsAreLegal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := drawChart(t)
		d, err := scxml.Parse("drawn", []byte(doc), scxml.Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		c, err := scxml.Compile(d, scxml.Options{Limits: drawnLimits})
		if err != nil {
			t.Fatal(err)
		}
		ip, _, err := scxml.Start(c, scxml.Input{})
		events := rapid.SliceOfN(rapid.SampledFrom([]string{"e1", "e2", "e3"}), 0, 8).Draw(t, "events")
		for i := 0; err == nil && ip.Finished() == nil; i++ {
			if why := illegal(d, ip.Configuration()); why != "" {
				t.Fatalf("after %v: %s: %v\n%s", events[:i], why, ip.Configuration(), doc)
			}
			if i == len(events) {
				break
			}
			_, err = ip.Deliver(scxml.Event{Name: events[i]}, scxml.Input{})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What TestConfigurationsAreLegal looks for would be found.
func TestIllegalIsSeen(t *testing.T) {
	t.Parallel()
	d := chartOf(t, head+`<state id="a"><state id="a1"/><state id="a2"/></state>
		<parallel id="p"><history id="h"><transition target="b"/></history><state id="b"/><state id="c"/></parallel></scxml>`).Document()
	for _, tt := range []struct {
		configuration []string
		want          string
	}{
		{[]string{"a", "a2"}, ""},
		{[]string{"p", "b", "c"}, ""},
		{nil, `0 children of "" are active`},
		{[]string{"a", "a1", "p", "b", "c"}, `2 children of "" are active`},
		{[]string{"a"}, `0 children of "a" are active`},
		{[]string{"a", "a1", "a2"}, `2 children of "a" are active`},
		{[]string{"p", "b"}, "1 of 2 children of the parallel p are active"},
		{[]string{"p", "b", "c", "h"}, "history h is active"},
		{[]string{"a", "a1", "c"}, "c is active without p"},
	} {
		if got := illegal(d, tt.configuration); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.configuration, got, tt.want)
		}
	}
}
