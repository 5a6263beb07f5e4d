// SPDX-License-Identifier: Apache-2.0

package diff_test

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/diff"
)

func parse(t *testing.T, body string) *scxml.Document {
	t.Helper()
	d, err := scxml.Parse("f", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0">`+body+`</scxml>`), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	const base = `<state id="a"><transition event="x" target="b"/><transition event="y" cond="1 &lt; 2" target="b"/></state><state id="b"/>`
	for _, test := range []struct{ name, old, now, want string }{
		{"layout", base, "\n<!-- c -->" + strings.ReplaceAll(base, "><", ">\n  <"), ""},
		{"state added", base, base + `<final id="c"/>`, "+ c added inside the document"},
		{"state removed", base + `<final id="c"/>`, base, "- c removed from the document"},
		{"kind", base + `<final id="c"/>`, base + `<state id="c"/>`, "~ c is a <state> now, and was a <final>"},
		{"moved", base + `<state id="c"/>`, strings.Replace(base, `<state id="b"/>`, `<state id="b"><state id="c"/></state>`, 1),
			`~ initial state of b is "c" now, and was not set; ~ c moved from the document into b`},
		{"transition added", base, strings.Replace(base, `<state id="b"/>`, `<state id="b"><transition event="z" target="a"/></state>`, 1), "+ transition added: from b on z to a"},
		{"transition removed", base, strings.Replace(base, `<transition event="x" target="b"/>`, "", 1), "- transition removed: from a on x to b"},
		{"target", base, strings.Replace(base, `event="x" target="b"`, `event="x" target="a"`, 1), "~ transition from a on x to a: it led to b"},
		{"condition", base, strings.Replace(base, `1 &lt; 2`, `2 &lt; 3`, 1), `~ transition from a on y if 2 < 3 to b: the condition is "2 < 3" now, and was "1 < 2"`},
		{"order", base, `<state id="a"><transition event="y" cond="1 &lt; 2" target="b"/><transition event="x" target="b"/></state><state id="b"/>`, "~ the transitions of a are in another order"},
		{"content", base, strings.Replace(base, `event="x" target="b"/>`, `event="x" target="b"><log expr="1"/></transition>`, 1), "~ transition from a on x to b: what it does changed"},
		{"entry", base, strings.Replace(base, `<state id="b"/>`, `<state id="b"><onentry><log expr="1"/></onentry></state>`, 1), "+ <onentry> added to b"},
		{"data", base, `<datamodel><data id="n" expr="1"/></datamodel>` + base, `+ data "n" added to the document`},
		{"admit", base, strings.Replace(base, `<state id="b"/>`, `<state id="b" cr:admit="queue"/>`, 1), `~ admit of b is "queue" now, and was not set`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range diff.Documents(parse(t, test.old), parse(t, test.now)) {
				got = append(got, c.String())
			}
			if s := strings.Join(got, "; "); s != test.want {
				t.Errorf("changes %s\nwant    %s", s, test.want)
			}
		})
	}
}
