// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// TestDocumentsOfOneKind reads documents that have as much of one thing as the limits
// allow. Whatever compares each with each would take minutes.
func TestDocumentsOfOneKind(t *testing.T) {
	t.Parallel()
	repeated := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, test := range []struct{ name, body, want string }{
		{"attributes", "<state" + repeated(90_000, " a%d=''") + "/>", "more than 1000 attributes"},
		{"targets", "<parallel id='p'>" + repeated(20_000, "<state id='s%d'/>") + "</parallel><state><transition target='" + repeated(20_000, "s%d ") + "'/></state>", "more than 1000 targets"},
		{"transitions", "<state id='a'>" + repeated(25_000, "<transition event='e%d'/>") + "</state>", ""},
		{"events", "<state id='a'><transition event='" + repeated(120_000, "e%d ") + "'/></state>", ""},
		{"states", repeated(40_000, "<state id='s%d'/>"), ""},
		{"regions", "<parallel id='p'>" + repeated(20_000, "<state id='s%d'/>") + "</parallel>", ""},
		{"handlers", "<state id='a'>" + repeated(24_000, "<onentry><log label='%d'/></onentry>") + "</state>", ""},
		{"data", "<datamodel>" + repeated(40_000, "<data id='d%d'/>") + "</datamodel><state/>", ""},
		{"namespaces", repeated(120, "<state xmlns:n%d='u'>") + strings.Repeat("<p:x xmlns:p='v'/>", 20_000) + strings.Repeat("</state>", 120), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			d, err := scxml.Parse("c", []byte(head+test.body+"</scxml>"), scxml.Limits{})
			if err == nil {
				_, err = scxml.Compile(d, scxml.Options{})
			}
			t.Logf("%d bytes: %s", len(test.body), time.Since(begin))
			if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestReadOnly looks at a session with a chart that has no code: it shows and saves
// the same, and evaluates nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	doc := []byte(head + `<datamodel><data id="x" expr="[1, {a: 'ä'}]"/></datamodel><script>var f = function() { return 7 }</script>
		<state id="a"><transition event="go" cond="f() == 7" target="b"><send event="late" delay="1s"/></transition></state>
		<state id="b"><transition event="back" cond="f() == 7" target="a"/></state></scxml>`)
	chart := func(o scxml.Options) *scxml.Chart {
		d, err := scxml.Parse("c", doc, scxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := scxml.Compile(d, o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var places []scxml.Position
	ip, _, err := scxml.Start(chart(scxml.Options{Compiling: func(at scxml.Position) { places = append(places, at) }}), scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if len(places) < 4 || places[len(places)-1].Line != 1 {
		t.Errorf("compiling went by %v, want a place for each expression, the script's last", places)
	}
	if _, err := ip.Deliver(scxml.Event{Name: "go"}, scxml.Input{}); err != nil {
		t.Fatal(err)
	}
	saved, err := ip.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := chart(scxml.Options{ReadOnly: true})
	if c.Bounded() || len(c.Problems()) > 0 {
		t.Errorf("bounded %v, problems %v, want neither", c.Bounded(), c.Problems())
	}
	seen, err := scxml.Restore(c, saved)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(seen.Configuration(), seen.Data(), len(seen.Pending())), fmt.Sprint(ip.Configuration(), ip.Data(), len(ip.Pending())); got != want {
		t.Errorf("it shows %s, want %s", got, want)
	}
	if again, err := seen.AppendSnapshot(nil); err != nil || string(again) != string(saved) {
		t.Errorf("it is saved as %q (%v), want %q", again, err, saved)
	}
	step, err := seen.Deliver(scxml.Event{Name: "back"}, scxml.Input{})
	if err != nil || len(step.Microsteps) == 0 || len(step.Microsteps[0].Faults) == 0 || !seen.In("b") {
		t.Errorf("an event: %+v, %v, want a fault and no transition", step, errors.Unwrap(err))
	}
}
