// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
	"pgregory.net/rapid"
)

var (
	// quoted is the id in a finding of an unreachable state, together the line
	// of the other transition in one of a conflict.
	quoted   = regexp.MustCompile(`"([^"]*)"`)
	together = regexp.MustCompile(`the one in line (\d+) cannot be taken together`)
)

// TestLintIsCertain runs random charts with random events: what lint calls
// unreachable is never entered, what it calls dead never taken, and what cannot be
// taken together is not. Two conditions are added that do not give the same answer
// twice. A failure prints the command that repeats it.
func TestLintIsCertain(t *testing.T) {
	t.Parallel()
	fickle := slices.Concat(conds, []string{"Math.random() < 0.5", "(x = !x)"})
	rapid.Check(t, func(t *rapid.T) {
		// A line of its own for each transition, so that a line names it.
		doc := strings.ReplaceAll(drawChartWith(t, fickle), "<transition", "\n<transition")
		never := map[string]string{}
		for _, f := range lint.Document("drawn", []byte(doc), scxml.Options{}) {
			switch pair := together.FindStringSubmatch(f.Message); {
			case pair != nil:
				never["line "+pair[1]+" and "+fmt.Sprint("line ", f.Line)] = f.Message
			case f.Severity != lint.Error:
			case f.Rule == lint.RuleUnreachable:
				never[quoted.FindStringSubmatch(f.Message)[1]] = f.Message
			case f.Rule == lint.RuleDead:
				never[fmt.Sprint("line ", f.Line)] = f.Message
			}
		}
		if len(never) == 0 {
			return
		}
		d, err := scxml.Parse("drawn", []byte(doc), scxml.Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		c, err := scxml.Compile(d, scxml.Options{Limits: drawnLimits})
		if err != nil {
			t.Fatal(err)
		}
		for run := range 4 {
			in := drawnInput
			in.Seed = uint64(run)
			ip, step, err := scxml.Start(c, in)
			for i := 0; ; i++ {
				if err != nil {
					t.Fatal(err)
				}
				contradict(t, never, step, doc)
				if i == 12 || ip.Finished() != nil {
					break
				}
				in.Seed = uint64(run*100 + i)
				event := rapid.SampledFrom([]string{"e1", "e2", "e3", "i.e1", "i.e2", "error", "done.state", "other", "wait"}).Draw(t, "event")
				if next, due := ip.Next(); due && event == "wait" {
					step, err = ip.Fire(next.Seq, in)
				} else {
					step, err = ip.Deliver(scxml.Event{Name: event, Data: float64(i)}, in)
				}
			}
		}
	})
}

// contradict fails if the step did what can never be.
func contradict(t *rapid.T, never map[string]string, step scxml.Macrostep, doc string) {
	for _, m := range step.Microsteps {
		for _, s := range m.Entered {
			if why, ok := never[s]; ok {
				t.Fatalf("%s was entered, of which lint says: %s\n%s", s, why, doc)
			}
		}
		for i, taken := range m.Transitions {
			line := fmt.Sprint("line ", taken.Line)
			if why, ok := never[line]; ok {
				t.Fatalf("the transition in %s was taken, of which lint says: %s\n%s", line, why, doc)
			}
			for _, before := range m.Transitions[:i] {
				if why, ok := never[fmt.Sprint("line ", before.Line)+" and "+line]; ok {
					t.Fatalf("the one in %s was taken with it, of which lint says: %s\n%s", line, why, doc)
				}
			}
		}
	}
}
