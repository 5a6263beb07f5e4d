// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// recipe is a chart that makes much of one event: the cheapest way, as far as the
// other limits let it, to one kind of work again and again.
type recipe struct{ name, body string }

// recipes are what a chart that is bounded can ask for without a script.
func recipes() []recipe {
	n := strings.Repeat
	// loop has data and what is done at each eventless transition.
	loop := func(data, content string) string {
		return `<datamodel>` + data + `<data id="z" expr="0"/></datamodel><state id="idle"><transition event="go" target="a"/></state>` +
			`<state id="a"><transition target="a">` + content + `</transition></state>`
	}
	// guards is loop with conditions, none of which holds, at each of many events.
	guards := func(data, cond string) string {
		return `<datamodel>` + data + `<data id="z" expr="0"/></datamodel><state id="idle"><transition event="go" target="a"/></state>` +
			`<state id="a"><transition cond="` + cond + `" target="idle"/><transition target="a"/></state>`
	}
	datum := func(id, value string) string { return `<data id="` + id + `">` + value + `</data>` }
	list := func(k int, element string) string { return "[" + n(element+",", k-1) + element + "]" }
	object := func(k int) string {
		var b strings.Builder
		b.WriteString("{")
		for i := range k {
			fmt.Fprintf(&b, `"k%d":{},`, i)
		}
		return b.String() + `"k":1}`
	}
	doubled := `<data id="s" expr="'x'"/><data id="w" expr="''"/>`
	grow := func(times int) string { return n(`<assign location="s" expr="s+s"/>`, times) }
	// grown begins with a text that was doubled so many times.
	grown := func(times int, rest string) string {
		return `<datamodel>` + doubled + `<data id="z" expr="0"/></datamodel><state id="idle"><transition event="go" target="a">` + grow(times) +
			`</transition></state><state id="a">` + rest + `</state>`
	}
	aliases := func(k int) string {
		var data, content strings.Builder
		for i := range k {
			data.WriteString(datum(fmt.Sprint("v", i), "[0,0]"))
		}
		for i := range k - 1 {
			fmt.Fprintf(&content, `<assign location="v%d[0]" expr="v%d"/><assign location="v%d[1]" expr="v%d"/>`, i, i+1, i, i+1)
		}
		return loop(data.String(), content.String()+`<if cond="v0 == 'a'"><raise event="e"/></if>`)
	}
	several := func(k int, format string) string {
		var b strings.Builder
		for i := range k {
			b.WriteString(strings.NewReplacer("##", fmt.Sprint(i+1), "#", fmt.Sprint(i)).Replace(format))
		}
		return b.String()
	}
	// binary has a region for each digit of a binary number that e makes one more.
	binary := func(digits int) string {
		var b strings.Builder
		cond := "true"
		for i := range digits {
			fmt.Fprintf(&b, `<state id="d%d"><state id="o%d"><transition event="e" cond="%s" target="l%d"/></state><state id="l%d"><transition event="e" cond="%s" target="o%d"/></state></state>`,
				i, i, cond, i, i, cond, i)
			cond += fmt.Sprintf(" &amp;&amp; In('l%d')", i)
		}
		return b.String()
	}
	return []recipe{
		{"doubling text", grown(19, `<transition target="a"><assign location="s" expr="'x'"/>`+grow(19)+`</transition>`)},
		{"a sum of texts", grown(19, `<transition cond="`+n("s+", 31)+`s == 'a'" target="idle"/><transition target="a"/>`)},
		{"equal texts", grown(18, `<transition cond="z == 0" target="a"><assign location="w" expr="'x' + s"/><assign location="s" expr="'x' + s"/><assign location="z" expr="1"/></transition>`+
			`<transition cond="`+n("s == w &amp;&amp; ", 500)+`false" target="idle"/><transition target="a"/>`)},
		{"lengths of texts", grown(19, `<transition cond="`+n("s.length+", 31)+`1 == 0" target="idle"/><transition target="a"/>`)},
		{"texts in order", grown(19, `<transition cond="`+n("s &lt;= s &amp;&amp; ", 500)+`false" target="idle"/><transition target="a"/>`)},
		{"names of states", grown(19, `<transition cond="`+n("In(s) || ", 500)+`false" target="idle"/><transition target="a"/>`)},
		{"names of members", strings.Replace(grown(19, `<transition cond="`+n("o[s] || ", 500)+`false" target="idle"/><transition target="a"/>`), "<datamodel>", "<datamodel>"+datum("o", `{"a":1}`), 1)},
		{"data assigned", loop(datum("x", object(20_000))+`<data id="y"/>`, n(`<assign location="y" expr="x"/>`, 100))},
		{"lists assigned", loop(datum("x", list(100_000, "0"))+`<data id="y"/>`, n(`<assign location="y" expr="x"/>`, 100))},
		{"empty lists assigned", loop(datum("x", list(100_000, "[]"))+`<data id="y"/>`, n(`<assign location="y" expr="x"/>`, 10))},
		{"data logged", loop(datum("x", object(20_000)), n(`<log expr="x"/>`, 10))},
		{"lists logged", loop(datum("x", list(100_000, "[]")), n(`<log expr="x"/>`, 10))},
		{"data sent", loop(datum("x", object(10_000)), n(`<send event="e" target="#_internal"><param name="p" expr="x"/></send>`, 2))},
		{"data sent twice", loop(datum("x", object(5_000)), n(`<send event="e" target="#_internal"><param name="p" expr="x"/><param name="p" expr="x"/></send>`, 2))},
		{"lists sent twice", loop(datum("x", list(50_000, "[]")), n(`<send event="e" target="#_internal"><param name="p" expr="x"/><param name="p" expr="x"/></send>`, 2))},
		{"events assigned", `<datamodel>` + datum("x", object(10_000)) + `<data id="y"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
			<state id="a"><onentry><send event="e" target="#_internal"><param name="p" expr="x"/></send></onentry><transition event="e" target="a">` + n(`<assign location="y" expr="_event.data"/>`, 20) + `</transition></state>`},
		{"events in a machine", `<datamodel>` + datum("x", object(10_000)) + `<data id="y"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
			<state id="a"><onentry><send event="e" target="#_internal"><param name="p" expr="x"/></send></onentry><transition event="e" cond="_event.data == 1"/><transition event="e" target="a"/></state>`},
		{"constant data assigned", loop(`<data id="y"/>`, `<assign location="y">`+object(20_000)+`</assign>`)},
		{"iterations", loop(datum("x", list(1000, "1")), `<foreach array="x" item="i"><foreach array="x" item="j"><assign location="z" expr="z + j"/></foreach></foreach>`)},
		{"lists walked", loop(datum("x", list(100_000, "0")), `<foreach array="x" item="i"><if cond="z"/></foreach>`)},
		{"lists copied for an iteration", loop(datum("x", list(80_000, "0"))+datum("y", list(1000, "1")),
			`<foreach array="y" item="i"><foreach array="x" item="j"><assign location="nowhere" expr="1"/></foreach></foreach>`)},
		{"members assigned", loop(datum("x", object(20_000))+datum("y", `{"a":1}`), n(`<assign location="y.a" expr="x"/>`, 10))},
		{"lists within lists, as text", aliases(60)},
		{"one text, nested", loop(datum("x", n("[", 200)+`"`+n("x", 200_000)+`"`+n("]", 200)), `<if cond="`+n("x+", 31)+`x == 'a'"/>`)},
		{"lists as numbers", guards(datum("x", list(100_000, "1")), n("x-", 1000)+"x == 0")},
		{"texts as numbers", guards(datum("x", `"`+n("1", 200_000)+`"`), n("x*", 1000)+"x == 0")},
		{"texts of other letters", guards(datum("x", `"`+n("ä", 200_000)+`"`), n("x &lt;= x &amp;&amp; ", 500)+"false")},
		{"few texts as numbers", guards(datum("x", `"`+n("1", 5000)+`"`), n("x*", 1000)+"x == 0")},
		{"few texts of other letters", guards(datum("x", `"`+n("ä", 5000)+`"`), n("x &lt;= x &amp;&amp; ", 500)+"false")},
		{"names in a machine", guards(datum("o", "{}"), "o == 1 || "+n("z == 1 || ", 1000)+"false")},
		{"remainders", guards(`<data id="x" expr="1e308"/><data id="y" expr="3e-308"/>`, n("x%y+", 31)+"1 == 0")},
		{"remainders in a machine", guards(datum("o", "{}")+`<data id="x" expr="1e308"/><data id="y" expr="3e-308"/>`, "x == o || "+n("x%y+", 31)+"1 == 0")},
		{"long guards", guards("", n("(z == 1 || ", 5000)+"false"+n(")", 5000))},
		{"guards that fail", `<datamodel><data id="z" expr="0"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
			<state id="a">` + n(`<transition cond="nothing" target="idle"/>`, 1000) + `<transition target="a"/></state>`},
		{"branches", loop("", `<if cond="false">`+n(`<elseif cond="false"/>`, 20_000)+`</if>`)},
		{"assignments", loop("", n(`<assign location="z" expr="1"/>`, 20_000))},
		{"addresses", guards("", n("_ioprocessors.scxml.location == 'a' || ", 1000)+"false")},
		{"XML", guards(`<data id="x"><r>`+n("<a/>", 40_000)+`</r></data>`, "x.childNodes.length == 0")},
		{"text of XML", guards(`<data id="x"><r>`+n("x", 300_000)+`</r></data>`, n("x.textContent == z || ", 100)+"false")},
		{"settling", `<datamodel>` + several(100, datum("c#", "[0]")) + datum("x", list(100_000, "[]")) + `</datamodel><state id="idle"><transition event="go" target="a0"/></state>` +
			several(99, `<state id="a#"><onentry><assign location="c#[0]" expr="c#"/></onentry><transition event="error.execution" target="a##"/></state>`) + `<state id="a99"/>`},
		{"faults", guards("", "nothing")},
		{"delayed sends", loop("", several(2000, `<send event="e" id="s#" delay="1s"/>`)+several(2000, `<cancel sendid="s#"/>`))},
		{"invocations", `<state id="idle"><transition event="go" target="a"/></state><state id="a">` + several(8000, `<invoke id="i#" type="t"/>`) + `</state>`},
		{"regions", `<state id="idle"><transition event="go" target="p"/></state><parallel id="p">` +
			several(600, `<state id="r#"><state id="s#"><transition target="t#"/></state><state id="t#"><transition target="s#"/></state></state>`) + `</parallel>`},
		{"regions done", `<state id="idle"><transition event="go" target="p"/></state><parallel id="p"><transition target="p"/>` + several(1300, `<state id="r#"><final id="f#"/></state>`) + `</parallel>`},
		{"histories", `<state id="idle"><transition event="go" target="p"/></state><parallel id="p"><history id="h" type="deep"><transition target="q"/></history><transition target="h"/><parallel id="q">` +
			several(1200, `<state id="r#"><state id="s#"/></state>`) + `</parallel></parallel>`},
		{"names with dots", strings.Replace(grown(18, `<onentry><send eventexpr="s"/></onentry><transition event="*" target="a"/>`), "'x'", "'x.'", 1)},
		{"long delays", strings.Replace(grown(18, `<transition target="a"><send event="e" delayexpr="s"/></transition>`), "'x'", "'1'", 1)},
		{"long names of items", loop(datum("x", "[]"), `<foreach array="x" item="`+n("i", 500_000)+`"/>`)},
		{"members", guards(datum("x", `{"a":{"a":{"a":{"a":0}}}}`), n("x.a.a.a.a || ", 4000)+"false")},
		{"numbers as text", loop(`<data id="x" expr="0.1234567890123"/>`, n(`<if cond="`+n("x+'a'+", 15)+`'b' == 'a'"/>`, 1000))},
		{"active states", guards("", n("!In('a') || ", 4000)+"false")},
		{"many variables", `<datamodel>` + several(10_000, datum("c#", "[0]")) + `</datamodel><state id="idle"><transition event="go" target="a0"/></state>` +
			several(99, `<state id="a#"><onentry><assign location="c#[0]" expr="c#"/></onentry><transition event="error.execution" target="a##"/></state>`) + `<state id="a99"/>`},
		{"effects", loop("", n(`<send event="e" target="#_scxml_other" type="t"/>`, 5000))},
		{"new configurations", `<state id="idle"><transition event="go" target="p"/></state><parallel id="p">` + binary(12) +
			`<state id="x"><state id="y"><onentry><raise event="e"/></onentry><transition event="e" target="y"/></state></state>` + several(600, `<state id="u#"><state id="v#"/></state>`) + `</parallel>`},
	}
}

// run starts a recipe and gives it the event; with restore it is saved before.
func (r recipe) run(t testing.TB, c *scxml.Chart, restore bool) (scxml.Macrostep, *scxml.Interpreter) {
	t.Helper()
	ip, _, err := scxml.Start(c, scxml.Input{Now: time.Unix(1, 0), SessionID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if ip.Finished() != nil {
		t.Fatalf("it ended before the event: %s", ip.Finished().Fault)
	}
	if restore {
		saved, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		if ip, err = scxml.Restore(c, saved); err != nil {
			t.Fatal(err)
		}
	}
	step, err := ip.Deliver(scxml.Event{Name: "go"}, scxml.Input{Now: time.Unix(2, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return step, ip
}

func (r recipe) compile(t testing.TB, l scxml.Limits) *scxml.Chart {
	t.Helper()
	d, err := scxml.Parse(r.name, []byte(head+r.body+"</scxml>"), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
