// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scenario"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
	"github.com/google/go-cmp/cmp"
)

// clause is a document of our own for a clause of SCXML 1.0 that the suites of the
// W3C and SCION leave open, or show in one way only. testdata/clauses.tsv has them
// all.
type clause struct {
	section string
	// name stands for it in testdata/clauses.tsv.
	name string
	// says is the clause: what is in quotation marks are its words.
	says string
	// attributes and body are those of <scxml>; two <final>, pass and fail, follow.
	// A body that begins with "<?xml" is the whole document.
	attributes, body string
	// events come from outside once the session waits, one after the other.
	events []string
	// tells is the trace of all steps in the form of the scenarios. Without it
	// the session has to end in pass, in an environment with other sessions,
	// time and HTTP.
	tells string
}

func (c clause) document() string {
	if strings.HasPrefix(c.body, "<?xml") {
		return c.body
	}
	return strings.TrimSuffix(head, ">") + c.attributes + ">" + c.body + `<final id="pass"/><final id="fail"/></scxml>`
}

// clauses are all of them, by chapter.
func clauses() []clause {
	return slices.Concat(coreClauses, stepClauses, contentClauses, dataClauses, languageClauses, externalClauses)
}

func TestClauses(t *testing.T) {
	t.Parallel()
	for _, c := range clauses() {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			t.Parallel()
			for _, restore := range []bool{false, true} {
				if c.tells != "" {
					if diff := cmp.Diff(dedent(c.tells), trace(t, c, restore)); diff != "" {
						t.Errorf("%s\nrestored %v (-want +got):\n%s", c.says, restore, diff)
					}
				} else if ended := runToEnd(t, c, restore); ended != "pass" {
					t.Errorf("%s\nrestored %v: ended in %s, want pass", c.says, restore, ended)
				}
			}
		})
	}
}

// dedent takes the tabs of the source away.
func dedent(text string) string {
	return strings.ReplaceAll(strings.TrimLeft(strings.TrimRight(text, "\t"), "\n"), "\t", "")
}

// trace runs a document in the kernel alone: what it asks the world to do is not done.
func trace(t *testing.T, c clause, restore bool) string {
	t.Helper()
	chart := chartOf(t, c.document())
	ip, step, err := scxml.Start(chart, scxml.Input{SessionID: "session1"})
	var out strings.Builder
	for _, name := range append([]string{""}, c.events...) {
		if name != "" {
			step, err = ip.Deliver(scxml.Event{Name: name}, scxml.Input{})
		}
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(scenario.Format(step))
		if restore {
			saved, err := ip.AppendSnapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			if ip, err = scxml.Restore(chart, saved); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.String()
}

// clauseOptions know of no other types than the suites need, and of other sessions.
var clauseOptions = scxml.Options{SendTypes: []string{scxml.BasicHTTPProcessor}, SendTargets: []string{"#_scxml_"}, InvokeTypes: []string{}}

func chartOf(t *testing.T, doc string) *scxml.Chart {
	t.Helper()
	d, err := scxml.Parse(t.Name(), []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, clauseOptions)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// runToEnd runs a document in an environment with a virtual clock, and says in
// which <final> it ended.
func runToEnd(t *testing.T, c clause, restore bool) string {
	t.Helper()
	env := scxmlenv.New(scxmlenv.Config{Options: clauseOptions, Restore: restore})
	s, err := env.Start(chartOf(t, c.document()), scxml.Input{})
	for _, name := range c.events {
		if err == nil {
			err = env.Deliver(s, scxml.Event{Name: name})
		}
	}
	if err == nil {
		err = env.Run(s, time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
	if done := s.Finished(); done != nil {
		return fmt.Sprint(done.State, done.Fault)
	}
	return "none: it is in " + strings.Join(s.Configuration(), " ")
}
