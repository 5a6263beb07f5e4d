// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
)

// TestConflictsAreThoseOfTheInterpreter puts every pair of transitions into the
// regions of a parallel state: lint tells of a conflict exactly when the interpreter
// takes one of them and not both (SCXML 3.13).
func TestConflictsAreThoseOfTheInterpreter(t *testing.T) {
	t.Parallel()
	targets := []string{"p", "A", "a1", "a2", "B", "b1", "b2", "h", "out", "a2 b2"}
	together, apart := 0, 0
	for _, parallelLCCA := range []bool{false, true} {
		options := scxml.Options{ParallelLCCA: parallelLCCA}
		for _, first := range transitions(targets) {
			for _, second := range transitions(targets) {
				doc := fmt.Sprintf(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="p"><parallel id="p">
<state id="A" initial="a1">%s<history id="h"><transition target="a1"/></history><state id="a1">%s</state><state id="a2"/></state>
<state id="B" initial="b1">%s<state id="b1">%s</state><state id="b2"/></state></parallel><state id="out"/></scxml>`, first[0], first[1], second[0], second[1])
				told := slices.ContainsFunc(lint.Document("f", []byte(doc), options), func(f lint.Finding) bool { return f.Rule == lint.RuleConflict })
				taken := takenBy(t, doc, options)
				if taken == 1 {
					apart++
				} else {
					together++
				}
				if told != (taken == 1) {
					t.Fatalf("%d transitions were taken, and lint tells of a conflict: %v (ParallelLCCA %v)\n%s", taken, told, parallelLCCA, doc)
				}
			}
		}
	}
	if together == 0 || apart == 0 {
		t.Errorf("%d pairs were taken together, %d not: nothing was compared", together, apart)
	}
}

// transitions are those of a region, or of its first state.
func transitions(targets []string) [][2]string {
	var out [][2]string
	for _, target := range targets {
		for _, kind := range []string{"external", "internal"} {
			text := fmt.Sprintf(`<transition event="x" type="%s" target="%s"/>`, kind, target)
			out = append(out, [2]string{text, ""}, [2]string{"", text})
		}
	}
	return out
}

// takenBy counts the transitions that the event x takes.
func takenBy(t *testing.T, doc string, options scxml.Options) int {
	t.Helper()
	d, err := scxml.Parse("f", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	c, err := scxml.Compile(d, options)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	ip, _, err := scxml.Start(c, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	step, err := ip.Deliver(scxml.Event{Name: "x"}, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	return len(step.Microsteps[0].Transitions)
}
