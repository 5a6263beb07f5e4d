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

// TestOrderOfLateData: data of a state that is entered later get their values then, so
// that the order of states does not count.
func TestOrderOfLateData(t *testing.T) {
	t.Parallel()
	late := func(body string) *scxml.Document {
		d, err := scxml.Parse("f", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" binding="late" initial="a">`+body+`</scxml>`), scxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const a, b = `<state id="a"><datamodel><data id="n"/></datamodel></state>`, `<state id="b"><datamodel><data id="m"/></datamodel></state>`
	if c := diff.Documents(late(a+b), late(b+a)); len(c) > 0 {
		t.Errorf("changes %v, want none", c)
	}
	const mn, nm = `<state id="a"><datamodel><data id="m"/><data id="n"/></datamodel></state>`, `<state id="a"><datamodel><data id="n"/><data id="m"/></datamodel></state>`
	if c := diff.Documents(late(mn), late(nm)); len(c) != 1 || c[0].String() != "~ the data of a get their initial values in another order" {
		t.Errorf("changes %v, want that of the order", c)
	}
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
		{"delay", `<state id="a"><onentry><log expr="1"/><send event="wind" delay="2s"/></onentry></state>`, `<state id="a"><onentry><log expr="1"/><send event="wind" delay="3s"/></onentry></state>`,
			`~ <onentry> of a: delay of <send event="wind"> is "3s" now, and was "2s"`},
		{"delay in a branch", `<state id="a"><transition event="x"><if cond="1"><send delay="2s" event="y"/></if></transition></state>`,
			`<state id="a"><transition event="x"><if cond="1"><send event="y" delayexpr="d"/></if></transition></state>`,
			`~ transition from a on x: delay of <send event="y"> is not set any more, and was "2s"; ~ transition from a on x: delayexpr of <send event="y"> is "d" now, and was not set`},
		{"event that is sent", `<state id="a"><onexit><send event="y"/></onexit></state>`, `<state id="a"><onexit><send event="z"/></onexit></state>`,
			`~ <onexit> of a: event of <send> is "z" now, and was "y"`},
		{"delay and more", `<state id="a"><onentry><send event="wind" delay="2s"/></onentry></state>`, `<state id="a"><onentry><send event="wind" delay="3s"/><log expr="1"/></onentry></state>`,
			"~ <onentry> of a changed"},
		{"another element", `<state id="a"><onentry><raise event="x"/></onentry></state>`, `<state id="a"><onentry><send event="x"/></onentry></state>`, "~ <onentry> of a changed"},
		{"script", `<state id="a"><onentry><script>a()</script></onentry></state>`, `<state id="a"><onentry><script>b()</script></onentry></state>`, "~ <onentry> of a changed"},
		{"entry", base, strings.Replace(base, `<state id="b"/>`, `<state id="b"><onentry><log expr="1"/></onentry></state>`, 1), "+ <onentry> added to b"},
		{"data", base, `<datamodel><data id="n" expr="1"/></datamodel>` + base, `+ data "n" added to the document`},
		{"admit", base, strings.Replace(base, `<state id="b"/>`, `<state id="b" cr:admit="queue"/>`, 1), `~ admit of b is "queue" now, and was not set`},
		{"content of an initial transition", `<state id="s"><initial><transition target="a"><raise event="x"/></transition></initial><state id="a"/></state>`,
			`<state id="s"><initial><transition target="a"><raise event="y"/></transition></initial><state id="a"/></state>`, `~ initial state of s: event of <raise> is "y" now, and was "x"`},
		{"content added to an initial transition", `<state id="s" initial="a"><state id="a"/></state>`,
			`<state id="s"><initial><transition target="a"><raise event="y"/></transition></initial><state id="a"/></state>`, `~ initial state of s is "a with content" now, and was "a"`},
		{"content of history", `<state id="s"><history id="h"><transition target="a"><raise event="x"/></transition></history><state id="a"/></state>`,
			`<state id="s"><history id="h"><transition target="a"><raise event="y"/></transition></history><state id="a"/></state>`, `~ default of h: event of <raise> is "y" now, and was "x"`},
		{"content of history and more", `<state id="s"><history id="h"><transition target="a"><raise event="x"/></transition></history><state id="a"/></state>`,
			`<state id="s"><history id="h"><transition target="a"><log expr="1"/></transition></history><state id="a"/></state>`, "~ default of h: what is done on the way changed"},
		{"order of regions", `<parallel id="p"><state id="a"/><state id="b"/></parallel>`, `<parallel id="p"><state id="b"/><state id="a"/></parallel>`, "~ the regions of p are in another order"},
		{"order of states", `<state id="p" initial="a"><state id="a"/><state id="b"/></state>`, `<state id="p" initial="a"><state id="b"/><state id="a"/></state>`, ""},
		{"order of data", `<datamodel><data id="n" expr="1"/><data id="m" expr="n"/></datamodel>` + base, `<datamodel><data id="m" expr="n"/><data id="n" expr="1"/></datamodel>` + base,
			"~ the data get their initial values in another order"},
		{"order of data by that of states", `<parallel id="p"><state id="a" initial="b"><state id="b"><datamodel><data id="n"/></datamodel></state><state id="c"><datamodel><data id="m"/></datamodel></state></state></parallel>`,
			`<parallel id="p"><state id="a" initial="b"><state id="c"><datamodel><data id="m"/></datamodel></state><state id="b"><datamodel><data id="n"/></datamodel></state></state></parallel>`,
			"~ the data get their initial values in another order"},
		{"attribute of a transition", `<state id="a"><transition event="x" target="a" cr:by="1"/></state>`, `<state id="a"><transition event="x" target="a" cr:by="2"/></state>`,
			`~ by of transition from a on x to a is "2" now, and was "1"`},
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
