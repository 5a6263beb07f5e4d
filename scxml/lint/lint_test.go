// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
)

// TestFindings looks at one mistake a row; what is in the row stands in line 2
// of a document.
func TestFindings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, want string }{
		{"nothing", `<state id="a"><transition event="x" target="b"/></state><final id="b"/>`, ""},
		{"unknown target", `<state id="a"><transition event="x" target="c"/></state>`, `2:15: error: target "c" does not exist`},
		{"not well formed", `<state id="a">`, `error: element <state> closed by </scxml>`},
		{"unreachable", `<state id="a"/><state id="b"><state id="c"/></state>`, `2:16: error: state "b" cannot be reached`},
		{"reachable by the region beside it", `<state id="s"><transition event="x" target="q"/></state>
			<parallel id="p"><state id="q"/><state id="r" initial="r1"><state id="r1"/></state></parallel>`, ""},
		{"reachable by history", `<state id="s"><transition event="x" target="h"/></state>
			<state id="p" initial="q"><history id="h"><transition target="r"/></history><state id="q"/><state id="r"><transition event="y" target="q"/></state></state>`, ""},
		{"only default of history", `<state id="s"><transition event="x" target="h"/></state>
			<state id="p"><history id="h"><transition target="r"/></history><state id="q"/><state id="r"/></state>`, `3:68: error: state "q" cannot be reached`},
		{"reachable by the other region", `<state id="s"><transition event="x" target="a2"/><transition event="y" target="b2"/></state>
			<parallel id="p"><state id="A"><state id="a1"/><state id="a2"/></state><state id="B"><state id="b1"/><state id="b2"/></state></parallel>`, ""},
		{"reachable by default after history", `<state id="s"><transition event="x" target="b2"/><transition event="y" target="h"/></state>
			<state id="p" initial="a"><history id="h"><transition target="a"/></history><state id="a"/><state id="b"><state id="b1"/><state id="b2"/></state><transition event="z" target="s"/></state>`, ""},
		{"brought back by deep history", `<state id="s"><transition event="x" target="b2"/><transition event="y" target="h"/></state>
			<state id="p" initial="a"><history id="h" type="deep"><transition target="a"/></history><state id="a"/><state id="b"><state id="b1"/><state id="b2"/></state><transition event="z" target="s"/></state>`,
			`3:121: error: state "b1" cannot be reached`},
		{"unreachable by a dead transition", `<state id="a"><transition event="x" target="b" cond="false"/></state><state id="b"/>`,
			"2:15: error: this transition is never taken: its condition is false; 2:70: error: state \"b\" cannot be reached"},
		{"dead", `<state id="a"><transition event="x"/><transition event="x.y" target="a"/></state>`,
			`2:38: error: this transition is never taken: the one without condition in line 2 comes before it for "x.y"`},
		{"dead by star", `<state id="a"><transition event="*"/><transition event="x" cond="1 &lt; 2"/></state>`, `2:38: error: this transition is never taken`},
		{"not dead by a longer name", `<state id="a"><transition event="x.y"/><transition event="x"/></state>`, ""},
		{"not dead after a guard", `<state id="a"><transition event="x" cond="In('a')"/><transition event="x"/></state>`, ""},
		{"dead by the same guard", `<state id="a"><transition event="x" cond="In('a')"/><transition event="x" cond="In('a')"/></state>`, `error: this transition is never taken: the one in line 2 has the same event and the same condition`},
		{"chance by the same guard", `<state id="a"><transition event="x" cond="Math.random() &lt; 0.5" target="b"/><transition event="x" cond="Math.random() &lt; 0.5" target="c"/></state><state id="b"/><state id="c"/>`,
			`warning: the transition in line 2 has the same event and the same condition: this one is taken only if`},
		{"dead in part", `<state id="a"><transition event="x"/><transition event="x z"/></state>`, `2:38: warning: this transition is never taken for "x"`},
		{"dead by leaving at once", `<state id="a"><transition target="b"/><transition event="x" target="b"/></state><state id="b"/>`, `2:39: error: this transition is never taken`},
		{"dead in no region", `<parallel id="p"><transition event="x" target="f"/></parallel><final id="f"/>`,
			`2:18: error: this transition is never taken: a <parallel> without regions`},
		{"endless", `<state id="a"><transition target="b"/></state><state id="b"><transition target="a"/></state>`, `2:15: error: transitions without event and condition lead from "a" back to it`},
		{"conflict", `<parallel id="p"><state id="a"><transition event="x" target="f"/></state><state id="b"><transition event="x" target="b"/></state></parallel><final id="f"/>`,
			`warning: for "x" this transition and the one in line 2 cannot be taken together, because both exit what is active in <scxml>: the first in the document is taken`},
		{"conflict of regions that leave themselves", `<parallel id="p"><state id="a"><transition event="x" target="a"/></state><state id="b"><transition event="x" target="b"/></state></parallel>`,
			`warning: for "x" this transition and the one in line 2 cannot be taken together, because both exit what is active in <scxml>`},
		{"conflict by a target in the other region", `<parallel id="p"><state id="A"><state id="a1"><transition event="x" target="b2"/></state></state>
			<state id="B"><state id="b1"><transition event="x.y" target="b2"/></state><state id="b2"/></state></parallel>`,
			`3:33: warning: for "x.y" this transition and the one in line 2 cannot be taken together, because both exit what is active in "B"`},
		{"conflict by history", `<parallel id="p"><history id="h"><transition target="a"/></history><state id="a"><transition event="x" target="h"/></state>
			<state id="b" initial="b1"><transition event="x" type="internal" target="b2"/><state id="b1"/><state id="b2"/></state></parallel>`,
			`3:31: warning: for "x" this transition and the one in line 2 cannot be taken together, because both exit what is active in "b"`},
		{"conflict by deep history", `<parallel id="p"><state id="a"><history id="h" type="deep"><transition target="a1"/></history><state id="a1"><transition event="x" target="h b1"/></state></state>
			<state id="b"><transition event="x" target="b1"/><state id="b1"/></state></parallel>`,
			`3:18: warning: for "x" this transition and the one in line 2 cannot always be taken together, because both exit`},
		{"conflict under conditions", `<parallel id="p"><state id="a"><transition event="x" cond="In('a')" target="f"/></state><state id="b"><transition event="x" target="g"/></state></parallel><final id="f"/><final id="g"/>`,
			`warning: for "x" this transition and the one in line 2 cannot be taken together when the conditions hold, because`},
		{"conflict without event", `<parallel id="p"><state id="a"><transition target="f"/></state><state id="b"><transition target="g"/></state></parallel><final id="f"/><final id="g"/>`,
			`warning: this transition and the one in line 2 cannot be taken together, because both exit what is active in <scxml>`},
		{"no conflict inside of regions", `<parallel id="p"><state id="A" initial="a"><state id="a"><transition event="x" target="a"/></state></state>
			<state id="B"><transition event="x" type="internal" target="b"/><state id="b"/></state></parallel>`, ""},
		{"no conflict with an event", `<parallel id="p"><state id="a"><transition cond="In('f')" target="f"/></state><state id="b"><transition event="x" target="g"/></state></parallel><final id="f"/><final id="g"/>`, ""},
		{"no conflict without targets", `<parallel id="p"><state id="a"><transition event="x"/></state><state id="b"><transition event="x" target="f"/></state></parallel><final id="f"/>`, ""},
		{"script error", `<state id="a"><onentry><script>var = 1</script></onentry></state>`, `2:24: error: script "var = 1"`},
		{"condition error", `<state id="a"><transition event="x" cond="1 +"/></state>`, `2:15: error: cond "1 +"`},
		{"unsaved", `<datamodel><data id="d" expr="{f: function() { return 1 }}"/></datamodel><state id="a"/>`, `2:12: error: a function cannot be saved`},
		{"unsaved map", `<datamodel><data id="d"/></datamodel><state id="a"><onentry><assign location="d" expr="[new Map()]"/></onentry></state>`, `error: a Map cannot be saved`},
		{"unsaved closure", `<script>var next = (function() { var n = 0; return function() { return ++n } })()</script><state id="a"/>`,
			`2:1: warning: n is seen by functions alone`},
		{"unsaved closure in an object", `<script>function log() { let all = [], add = x => all.push(x); return { add } }; var l = log()</script><state id="a"/>`, `warning: all is seen by`},
		{"unsaved closure of a name", `<script>function box(v) { function put(w) { v.x[0] = w } function get() { return v } return [get, put] }</script><state id="a"/>`, `warning: v is seen by`},
		{"unsaved closure of a member", `<script>var api = {}; (function(o) { var c = 0; o.up = function() { c += 1; if (c) { (() => { c-- })() } } })(api)</script><state id="a"/>`, `warning: c is seen by`},
		{"private field", `<script>class C { #n = 0; static #s; m = 1; #p() { return 1 } up() { return ++this.#n } }</script><state id="a"/>`,
			`2:1: warning: #n is seen by functions alone; warning: #s is seen by`},
		{"weak", `<script>var seen = new WeakSet(), of = new WeakMap()</script><state id="a"/>`, `warning: what a WeakSet holds is seen by; warning: what a WeakMap holds is seen by`},
		{"functions that hide nothing", `<script>var n = 0, list = []; function up() { n++; list.push(n); return function() { return ++n } }
			function sum(l) { var s = 0; l.forEach(function(x) { s += x }); function add(x) { s += x } add(1); for (const k of l) { s += k } return s }
			function pair(a) { var b = a; b += 1; return { a: function(b) { b++; return a + b }, get b() { var a = 1; a++; return a } } }
			class D { m = 1; up() { this.m++; return () => this.m++ } }</script><state id="a"><onentry><script>var f = function() { var q = 0; return function() { q++ } }; f()()</script></onentry></state>`, ""},
		{"saved call", `<datamodel><data id="d" expr="(function() { return 1 })()"/></datamodel><state id="a"/>`, ""},
		{"admit", `<state id="a" cr:admit="later"/>`, `2:1: error: admit "later" is none of forward, queue and fail`},
		{"admit elsewhere", `<state id="a"><transition event="x" cr:admit="queue"/></state>`, `warning: admit has no effect on <transition>`},
		{"admit of another namespace", `<state id="a" xmlns:o="urn:o" o:admit="queue"/>`, `warning: admit is in namespace "urn:o"`},
		{"activity", `<state id="a" cr:activity="lazy"/>`, `2:1: error: activity "lazy" is none of running, busy, paused and idle`},
		{"activity elsewhere", `<state id="a"><transition event="x" cr:activity="idle"/></state>`, `warning: activity has no effect on <transition>`},
		{"active", `<parallel id="a" cr:activity="busy"><state id="b" cr:activity="running"/></parallel>`, ""},
		{"attribute", `<state id="a"><transition evnt="x" target="a" event="y"/></state>`, `error: <transition> has no attribute evnt`},
		{"In", `<state id="a"><transition event="x" cond="In('nowhere')"/></state>`, `error: In("nowhere"): there is no such state`},
		{"loop", `<state id="a"><onentry><foreach array="[1]" item="1x"/></onentry></state>`, `2:24: error: item "1x" is not the name of a variable`},
		{"loop over a keyword", `<state id="a"><onentry><foreach array="[1]" item="i" index="class"/></onentry></state>`, `error: index "class" is not the name of a variable`},
		{"loop over a system variable", `<state id="a"><onentry><foreach array="[1]" item="_event"/></onentry></state>`, `error: item "_event" is not the name of a variable`},
		{"loop over a location", `<state id="a"><onentry><foreach array="[1]" item="a.b"/></onentry></state>`, `error: item "a.b" is not the name of a variable`},
		{"loop with names", `<state id="a"><onentry><foreach array="[1]" item="größe$" index="_i"/></onentry></state>`, ""},
		{"location", `<state id="a"><onentry><assign location="d.x" expr="1"/></onentry></state>`, `warning: location "d.x": nothing declares d`},
		{"location in a script", `<script>var d = {}</script><state id="a"><onentry><assign location="d.x" expr="1"/></onentry></state>`, ""},
		{"delay", `<state id="a"><onentry><send event="x" delay="5"/></onentry></state>`, `error: delay "5" is no time`},
		{"resume", `<state id="a"><onentry><send event="x" delay="5s" cr:resume="again"/></onentry></state>`, `2:24: error: resume "again" is none of deadline, remaining and restart`},
		{"resume elsewhere", `<state id="a" cr:resume="restart"/>`, `warning: resume has no effect on <state>`},
		{"resumed", `<state id="a"><onentry><send event="x" delay="5s" cr:resume="restart"/></onentry></state>`, ""},
		{"cancel", `<state id="a"><onentry><cancel sendid="t"/></onentry></state>`, `warning: no <send> has the id "t"`},
		{"done", `<state id="a"><transition event="done.state.z"/></state>`, `warning: there is no state "z" to be done`},
		{"no id for XML", `<state id="1"><transition event="x" target="a/b"/></state><state id="a/b"/>`, `2:1: warning: "1" is no id for XML; 2:59: warning: "a/b" is no id`},
		{"star for itself", `<state id="a"><transition event="b* .* c.* *.d"/></state>`,
			`2:15: warning: the * in event "b*" stands for itself: it is any event alone, or after the last dot; 2:15: warning: the * in event "*.d"`},
		{"star for any", `<state id="a"><transition event="b.* c.*."/><transition event="*"/></state>`, ""},
		{"ids of XML", `<parallel id="_"><state id="a.b-c_1"/><state id="größe"/><state id="状態"/></parallel>`, ""},
		{"attribute of a draft", `<state id="a" src="b.xml"/>`, `error: <state> has no attribute src`},
		{"XInclude", `<state id="a"/><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="b.xml"/>`, `2:16: error: XInclude is not resolved`},
		{"inline chart", `<state id="a"><invoke><content><scxml version="1.0"><state id="z"><transition event="x" target="y"/></state></scxml></content></invoke></state>`,
			`2:67: error: in the chart to be invoked: target "y" does not exist`},
		{"chart in an inline chart", `<state id="a"><invoke><content><scxml><state><invoke><content><html/></content></invoke></state></scxml></content></invoke></state>`,
			`error: in the chart to be invoked: the root element is <html>`},
		{"inline content of others", `<state id="a"><invoke type="video"><content><html/></content></invoke></state>`, ""},
		{"inline chart is data", `<state id="a"><invoke><content><scxml version="1.0" foo="x"><state id="z" cr:admit="no"/></scxml></content></invoke></state>`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			doc := `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0" datamodel="ecmascript">` + "\n" + test.body + "\n</scxml>"
			var got []string
			for _, f := range lint.Document("f", []byte(doc), scxml.Options{}) {
				got = append(got, strings.TrimPrefix(f.String(), "f:"))
			}
			found := strings.Join(got, "; ")
			if strings.HasPrefix(test.want, "warning: ") && strings.Contains(found, "error: ") {
				t.Errorf("findings %s, want warnings alone", found)
			}
			if test.want == "" && found != "" {
				t.Errorf("findings %s, want none", found)
			}
			if n := strings.Count(found, "is no time"); n > 1 {
				t.Errorf("findings %s, want one of the delay", found)
			}
			for want := range strings.SplitSeq(test.want, "; ") {
				if !strings.Contains(found, want) {
					t.Errorf("findings %s, want %s", found, want)
				}
			}
		})
	}
}

// Code that is nested very deeply is not read: the parser would use up the stack.
func TestDeepCode(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 500_000)
	for _, body := range []string{`<datamodel><data id="d" expr="` + deep + `"/></datamodel><state id="a"/>`, `<script>` + deep + `</script><state id="a"/>`,
		`<state id="a"><onentry><foreach array="[]" item="` + deep + `"/></onentry></state>`} {
		found := lint.Document("f", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">`+body+`</scxml>`), scxml.Options{})
		if len(found) == 0 || found[0].Severity != lint.Error {
			t.Errorf("%.60s: %d findings, want an error", body, len(found))
		}
	}
}

// TestNullDatamodel: In() is all that its conditions have.
func TestNullDatamodel(t *testing.T) {
	t.Parallel()
	for cond, want := range map[string]string{
		"In('a')":         "",
		"In(a)":           "",
		" In ( 'other') ": `2:15: error: In("other"): there is no such state`,
		"In(other)":       `2:15: error: In("other"): there is no such state`,
		"true":            `2:15: error: cond "true": the null datamodel knows only In('id')`,
	} {
		doc := `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null">` + "\n" +
			`<state id="a"><transition event="x" cond="` + cond + `" target="a"/><transition event="x"/></state></scxml>`
		var got []string
		for _, f := range lint.Document("f", []byte(doc), scxml.Options{}) {
			got = append(got, strings.TrimPrefix(f.String(), "f:"))
		}
		if s := strings.Join(got, "; "); want == "" && s != "" || !strings.HasPrefix(s, want) || len(got) > 1 {
			t.Errorf("%s: findings %s, want %s", cond, s, want)
		}
	}
}

func ExampleDocument() {
	for _, f := range lint.Document("door.scxml", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="closed">
    <transition event="open" target="closed"/>
  </state>
  <state id="opened"/>
</scxml>`), scxml.Options{}) {
		fmt.Println(f)
	}
	// Output:
	// door.scxml:5:3: error: state "opened" cannot be reached
}
