// SPDX-License-Identifier: Apache-2.0

package scxml_test

import "testing"

// robust are documents that end in pass, with what other engines' own tests ask of a
// processor: odd forms of what is right, and faults that stay where they are. They
// are bodies as those of clauses.
var robust = []struct{ says, body string }{
	{"a name that an expression gives is one, or nothing is sent", `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><send eventexpr="''" id="a"/></onentry><onentry><send eventexpr="'x y'"/></onentry><onentry><send eventexpr="undefined"/></onentry>
			<onentry><send eventexpr="({})"/></onentry><onentry><send event="end"/></onentry>
			<transition event="error.execution" cond="n &gt; 0 || _event.sendid === 'a'"><assign location="n" expr="n + 1"/></transition>
			<transition event="end" cond="n == 4" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a message to a session has a name", `
		<state id="s"><onentry><send><content>news</content></send></onentry><onentry><send event="end"/></onentry>
			<transition event="error.execution" target="pass"/><transition event="*" target="fail"/></state>`},
	{"prefixes, comments and processing instructions between everything", `<?xml version="1.0" encoding="UTF-8"?><!-- a --><?b c?>
		<s:scxml xmlns:s="http://www.w3.org/2005/07/scxml" xmlns:o="urn:other" version="1.0" o:made="by hand"><?d?><o:state id="s"/><!-- e -->
		<s:datamodel><!-- f --><s:data id="list"><?g h?>[1,<!-- i --> 2]</s:data></s:datamodel>
		<t:state xmlns:t="http://www.w3.org/2005/07/scxml" id="s"><t:onentry><o:log/><s:if cond="list.length == 2"><!-- j --><t:raise event="two"/><?k?><s:else/><s:raise event="other"/></s:if></t:onentry>
			<transition xmlns="http://www.w3.org/2005/07/scxml" event="two" target="pass"/><s:transition event="*" target="fail"/></t:state>
		<final xmlns="http://www.w3.org/2005/07/scxml" id="pass"/><s:final id="fail"/></s:scxml><!-- l --><?m?>`},
	{"a chart inside of another has its prefix from there", `<?xml version="1.0"?><s:scxml xmlns:s="http://www.w3.org/2005/07/scxml" version="1.0"><s:state id="s"><s:invoke id="i"><s:content>
			<s:scxml version="1.0" datamodel="null"><s:final id="f"/></s:scxml></s:content></s:invoke>
			<s:transition event="done.invoke.i" target="pass"/><s:transition event="*" target="fail"/></s:state><s:final id="pass"/><s:final id="fail"/></s:scxml>`},
	{"white space around ids, names and times", `
		<datamodel><data id="a" expr="1"/><data id="b" expr="2"/></datamodel>
		<state id="s"><onentry><send event="later" delay=" .5S&#9;" namelist="&#10; a&#9;b "/></onentry>
			<transition event=" x&#10;later.* " cond=" _event.data.a + _event.data.b == 3 " target="&#10; pass&#9;"/><transition event="*" target="fail"/></state>`},
	{"descriptors end in dots and stars", `
		<state id="s"><onentry><raise event="ab"/><raise event="a.b.c"/></onentry>
			<transition event="a.*.c a.b.d.*" target="fail"/><transition event="a. a.*" cond="_event.name == 'ab'" target="fail"/>
			<transition event="a.b.*" cond="_event.name == 'a.b.c'" target="pass"/></state>`},
	{"In takes what has a name of a state for one", `
		<state id="s"><transition cond="In() || In(null) || In(1) || In([]) || In({})" target="fail"/><transition cond="In(['s'])" target="t"/><transition target="fail"/></state>
		<state id="t"><transition event="error" target="fail"/><transition target="pass"/></state>`},
	{"each assignment to the system's variables is a fault of its own", `
		<datamodel><data id="id" expr="_sessionid"/><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><assign location="_sessionid" expr="1"/></onentry><onentry><assign location="_event" expr="1"/></onentry>
			<onentry><assign location="_ioprocessors.scxml" expr="1"/></onentry><onentry><assign location="_name" expr="1"/></onentry>
			<onentry><foreach array="[1]" item="_x"/></onentry><onentry><send event="end" idlocation="_event.name"/></onentry><onentry><raise event="end"/></onentry>
			<transition event="error.execution"><assign location="n" expr="n + 1"/></transition>
			<transition event="end" cond="n == 6 &amp;&amp; id === _sessionid" target="pass"/><transition event="*" target="fail"/></state>`},
	{"what is no array is not walked over; what lacks elements is", `
		<datamodel><data id="n" expr="0"/><data id="faults" expr="0"/></datamodel>
		<state id="s"><onentry><foreach array="'ab'" item="i"><assign location="n" expr="100"/></foreach></onentry><onentry><foreach array="({a: 1})" item="i"><assign location="n" expr="100"/></foreach></onentry>
			<onentry><foreach array="null" item="i"/></onentry><onentry><foreach array="[1]" item="i.j"/></onentry>
			<onentry><foreach array="[1,,3]" item="i" index="k"><assign location="n" expr="n + 1"/></foreach></onentry><onentry><raise event="end"/></onentry>
			<transition event="error.execution"><assign location="faults" expr="faults + 1"/></transition>
			<transition event="end" cond="faults == 4 &amp;&amp; n == 3 &amp;&amp; k == 2 &amp;&amp; i == 3" target="pass"/><transition event="*" target="fail"/></state>`},
	{"scripts are not in strict mode", `
		<script>implied = 010; function twice(a, a) { return a } with ({ inner: 2 }) { var outer = inner }</script>
		<state id="s"><transition cond="implied == 8 &amp;&amp; twice(1, 2) == 2 &amp;&amp; outer == 2" target="pass"/><transition target="fail"/></state>`},
	{"names of Object.prototype are variables like others", `
		<datamodel><data id="constructor" expr="1"/><data id="toString" expr="constructor + 1"/></datamodel>
		<state id="s"><onentry><assign location="constructor" expr="5"/></onentry>
			<transition cond="constructor === 5 &amp;&amp; toString === 2" target="pass"/><transition target="fail"/></state>`},
	{"a chart that cannot be invoked is a fault that the invoker can handle", `
		<state id="s"><invoke id="i"><content><scxml version="1.0"><state id="x"><transition target="nowhere"/></state></scxml></content></invoke>
			<onentry><send event="late" delay="1m"/></onentry><transition event="error.communication" cond="_event.data.reason" target="pass"/><transition event="*" target="fail"/></state>`},
}

func TestRobust(t *testing.T) {
	t.Parallel()
	for _, tt := range robust {
		t.Run(tt.says, func(t *testing.T) {
			t.Parallel()
			for _, restore := range []bool{false, true} {
				if ended := runToEnd(t, clause{body: tt.body}, restore); ended != "pass" {
					t.Errorf("restored %v: ended in %s, want pass", restore, ended)
				}
			}
		})
	}
}
