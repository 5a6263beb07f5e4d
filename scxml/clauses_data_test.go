// SPDX-License-Identifier: Apache-2.0

package scxml_test

// dataClauses are of chapter 5, "Data Model and Data Manipulation".
var dataClauses = []clause{
	{section: "5.3.2", name: "values from outside", says: `"values provided by the environment at instantiation time" are for "the top-level <data> elements" that exist, and for no others`, body: `
		<state id="s"><invoke id="i"><param name="top" expr="1"/><param name="inner" expr="1"/><param name="other" expr="1"/><content>
		<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><datamodel><data id="top" expr="nowhere"/></datamodel>
		<state id="c"><datamodel><data id="inner" expr="2"/></datamodel><transition event="error" target="f"/><transition cond="top==1 &amp;&amp; inner==2 &amp;&amp; typeof other=='undefined'" target="f"/></state>
		<final id="f"><donedata><param name="error" expr="typeof _event"/></donedata></final></scxml></content></invoke>
		<transition event="done.invoke.i" cond="_event.data.error=='undefined'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.3.2", name: "data that fail", says: `a value that is none gives error.execution, and "an empty data element in the data model"`, body: `
		<datamodel><data id="a" src="nowhere:"/><data id="b" expr="return"/></datamodel>
		<state id="s"><transition event="error.execution" cond="a===undefined &amp;&amp; b===undefined" target="t"/></state>
		<state id="t"><onentry><assign location="a" expr="1"/><assign location="b" expr="2"/><raise event="end"/></onentry><transition event="end" cond="a+b==3" target="pass"/><transition event="end" target="fail"/></state>`},
	{section: "5.3.3", name: "late binding", says: `late binding assigns data "only when the state that contains it is entered for the first time, before any <onentry> markup", "even if the element already has a non-null value"`, attributes: ` initial="a" binding="late"`, body: `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="a"><datamodel><data id="v" expr="5"/></datamodel><onentry><assign location="n" expr="n+v"/><assign location="v" expr="1"/></onentry>
		<transition cond="n==5" target="b"/><transition cond="n==6" target="pass"/><transition target="fail"/></state><state id="b"><transition target="a"/></state>`},
	{section: "5.3.3", name: "late binding replaces", says: `the initial value is assigned "even if the element already has a non-null value when the parent state is first entered"`, attributes: ` binding="late"`, body: `
		<state id="a"><onentry><assign location="v" expr="1"/></onentry><transition cond="v==1" target="b"/></state>
		<state id="b"><datamodel><data id="v" expr="5"/></datamodel><transition cond="v==5" target="pass"/><transition target="fail"/></state>`},
	{section: "5.4.2", name: "assign in line", says: `"The children of the <assign> element provide an in-line specification of the legal data value": JSON, XML, text`, body: `
		<datamodel><data id="j"/><data id="x"/><data id="t"/></datamodel>
		<state id="s"><onentry><assign location="j">{"a": [1, null]}</assign><assign location="x"><b xmlns="" c="2"/></assign><assign location="t"> some
		 text </assign></onentry>
		<transition cond="j.a[0]===1 &amp;&amp; j.a[1]===null &amp;&amp; x.documentElement.getAttribute('c')=='2' &amp;&amp; t==='some text'" target="pass"/><transition target="fail"/></state>`},
	{section: "5.5", name: "donedata to the environment", says: `"the SCXML Processor SHOULD return the data to the environment" when nobody invoked it`, body: `
		<state id="s"><transition target="f"/></state><final id="f"><donedata><param name="a" expr="3"/><param name="b" expr="'x'"/></donedata></final>`, tells: `
		start: enter s
		eventless: exit s; take s->f; enter f
		effect 1: done state=f data={"a":3,"b":"x"}
	`},
	{section: "5.6.2", name: "content as text", says: `<content> that is no JSON is text, white space normalized`, body: `
		<state id="s"><state id="s1"><transition target="f"/></state><final id="f"><donedata><content>hello  world</content></donedata></final>
		<transition event="done.state.s" cond="_event.data=='hello world'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.6.2", name: "mixed content", says: `the children "MAY consist of text, XML from any namespace, or a mixture of both"`, body: `
		<state id="s"><onentry><send event="mixed"><content>a <b xmlns="urn:b">c</b> d</content></send><send event="xml"><content><b xmlns="urn:b" e="f"/></content></send></onentry>
		<transition event="mixed" cond="/^a &lt;b xmlns=.urn:b.&gt;c&lt;.b&gt; d$/.test(_event.data)"/><transition event="xml" cond="_event.data.documentElement.getAttribute('e')=='f'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.6.2", name: "content that fails", says: `"If the evaluation of 'expr' produces an error", done.state has no data`, body: `
		<state id="s"><state id="s1"><transition target="f"/></state><final id="f"><donedata><content expr="nowhere"/></donedata></final></state>`, tells: `
		start: enter s s1
		eventless: exit s1; take s1->f; enter f; raise done.state.s
		  error.execution in <donedata> line 2: ReferenceError: nowhere is not defined
		error.execution: no transition
		done.state.s: no transition
	`},
	{section: "5.7.1", name: "param that fails", says: `a <param> that fails gives error.execution, and the processor "MUST ignore the name and value"`, body: `
		<state id="s"><state id="s1"><transition target="f"/></state><final id="f"><donedata><param name="a" expr="nope.x"/><param name="b" expr="8"/></donedata></final>
		<transition event="error.execution" target="s2"/><transition event="done.state.s" target="fail"/></state>
		<state id="s2"><transition event="done.state.s" cond="_event.data.b==8 &amp;&amp; !('a' in _event.data)" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.7.1", name: "params of one name", says: `of parameters of one name the last is in the data`, body: `
		<state id="s0"><onentry><send event="x"><param name="k" expr="1"/><param name="k" expr="2"/></send></onentry>
		<transition event="x" cond="_event.data.k==2" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.8", name: "script at load time", says: `"any <script> element that is a child of <scxml>" is evaluated "at document load time": after early data, before any state is entered`, body: `
		<datamodel><data id="a" expr="1"/></datamodel><script>a = a + 1; var inner = b; function twice(x) { return 2 * x }</script>
		<state id="s"><datamodel><data id="b" expr="5"/></datamodel><onentry><assign location="a" expr="twice(a)"/></onentry><transition cond="a==4 &amp;&amp; inner==5" target="pass"/><transition target="fail"/></state>`},
	{section: "5.8", name: "functions of a script", says: `what is evaluated "at document load time" stays: functions too, whatever has become of the data that statements before them need`, events: []string{"go", "go"}, body: `
		<datamodel><data id="cfg" expr="{limit: 3}"/></datamodel>
		<script>'use strict'; var n = cfg.limit; let f = function() { return 7 }; class C { g() { return n } } cfg.limit.toFixed(); function h() { return 8 } var last = () => new C().g()</script>
		<state id="s"><transition event="go" target="t"><assign location="cfg" expr="null"/></transition></state>
		<state id="t"><transition event="go" cond="f()==7 &amp;&amp; h()==8 &amp;&amp; last()==3" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.8", name: "empty script", says: `a script should have "either the 'src' attribute or child content"; one without is a program that does nothing`, body: `
		<script/><state id="s"><onentry><script> </script><script><!-- none --></script><raise event="e"/></onentry></state>`, tells: `
		start: enter s; raise e
		e: no transition
	`},
	{section: "5.8", name: "script that fails", says: `other scripts are "part of normal executable content": an error in one ends its block`, body: `
		<state id="s"><onentry><script>throw 'up'</script><raise event="no"/></onentry></state>`, tells: `
		start: enter s
		  error.execution in <script> line 2: up
		error.execution: no transition
	`},
	{section: "5.9.1", name: "In", says: `"In()" knows what is active in the midst of a step: states that were entered, and none that were left`, events: []string{"go"}, body: `
		<state id="s"><onexit><log expr="In('s') + ' ' + In('s1')"/></onexit><state id="s1"><onexit><log expr="In('s') + ' ' + In('s1')"/></onexit></state>
		<transition event="go" target="t1"><log expr="In('s') + ' ' + In('t')"/></transition></state>
		<state id="t"><onentry><log expr="In('t') + ' ' + In('t1') + ' ' + In('nothing')"/></onentry><state id="t1"/></state>`, tells: `
		start: enter s s1
		go: exit s1 s; take s->t1 on go; enter t t1; log: true true; log: true false; log: false false; log: true false false
	`},
	{section: "5.9.2", name: "no location", says: `"If a location expression cannot be evaluated to yield a valid location", error.execution: what is a value only is none`, body: `
		<datamodel><data id="x" expr="1"/></datamodel>
		<state id="s"><onentry><assign location="1 + x" expr="2"/></onentry><onentry><assign location="x = x" expr="2"/></onentry>
		<onentry><send event="e"><param name="p" location="x + 1"/></send></onentry><onentry><send event="e" namelist="x 1+1"/></onentry><onentry><log expr="x"/></onentry></state>`, tells: `
		start: enter s; log: 1
		  error.execution in <assign> line 3: SyntaxError: "1 + x" is not a location
		  error.execution in <assign> line 3: SyntaxError: "x = x" is not a location
		  error.execution in <send> line 4: p: SyntaxError: "x + 1" is not a location
		  error.execution in <send> line 4: 1+1: SyntaxError: "1+1" is not a location
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
	`},
	{section: "5.9.3", name: "value that cannot be kept", says: `"If a value expression does not return a legal data value", error.execution is placed, naming the location`, body: `
		<datamodel><data id="f"/><data id="m"/><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><assign location="f" expr="function() {}"/><assign location="m" expr="[new Set([1])]"/></onentry>
		<transition event="error.execution" cond="n==0 &amp;&amp; f===undefined &amp;&amp; /^f/.test(_event.data.reason)"><assign location="n" expr="1"/></transition>
		<transition event="error.execution" cond="m===undefined &amp;&amp; /^m.*Set/.test(_event.data.reason)" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.9.3", name: "value that hides something", says: `the same of what holds more than its properties tell: a private field, a WeakMap, an iterator, a generator, a symbol; what has a prototype alone is data`, body: `
		<datamodel><data id="a"/><data id="n" expr="0"/></datamodel>
		<script>class Open { constructor() { this.x = 1 } get() { return this.x } #own() { return 2 } } class Closed extends Open { #y = 2 }</script>
		<state id="s"><onentry><script>a = new Open()</script></onentry><transition cond="a.x == 1" target="t"/><transition target="fail"/></state>
		<state id="t"><onentry><script>a = {b: [new Closed()]}</script><script>var w = new WeakMap(), v = new WeakSet(), i = [1].values(), j = new Map().keys(), k = new Set().keys(), l = 'x'[Symbol.iterator](), m = 'x'.matchAll(/x/g), g = (function*() {})(), y = Symbol()</script></onentry>
			<transition event="error.execution" cond="/ cannot be kept: .*(private fields|WeakMap|WeakSet|Iterator|Generator|Symbol)$/.test(_event.data.reason)"><assign location="n" expr="n + 1"/></transition>
			<transition event="error" target="fail"/><transition cond="n == 10" target="pass"/></state>`},
	{section: "5.9.3", name: "value in what a script made", says: `a function, and what has one inside, is made anew by its script: what is written into it is not kept, and error.execution names it`, events: []string{"call", "write", "cache", "add", "call"}, body: `
		<script>var lib = {n: 0, list: [], inc: function() { return ++this.n }}; function memo() { return 1 } var seen = {all: new Set(), add: function(x) { this.all.add(x) }}; lib.self = lib</script>
		<state id="s"><transition event="call"><log expr="lib.n + memo() + seen.all.size"/></transition><transition event="write"><script>lib.inc()</script><log expr="lib.n"/></transition>
		<transition event="cache"><script>memo.last = 1</script></transition><transition event="add"><script>seen.add(1)</script></transition><transition event="error.execution"><log expr="_event.data.reason"/></transition></state>`, tells: `
		start: enter s
		call: take s->- on call; log: 1
		write: take s->- on write; log: 1
		  error.execution in <data>: lib cannot be kept: it belongs to a script, which makes it anew without what was written into it
		error.execution: take s->- on error.execution; log: lib cannot be kept: it belongs to a script, which makes it anew without what was written into it
		cache: take s->- on cache
		  error.execution in <data>: memo cannot be kept: it belongs to a script, which makes it anew without what was written into it
		error.execution: take s->- on error.execution; log: memo cannot be kept: it belongs to a script, which makes it anew without what was written into it
		add: take s->- on add
		  error.execution in <data>: seen cannot be kept: it belongs to a script, which makes it anew without what was written into it
		error.execution: take s->- on error.execution; log: seen cannot be kept: it belongs to a script, which makes it anew without what was written into it
		call: take s->- on call; log: 1
	`},
	{section: "5.9.4", name: "ill-formed when reached", says: `a processor MAY "wait and place 'error.execution' in the internal event queue at runtime when the expressions are evaluated"`, events: []string{"go"}, body: `
		<state id="s"><transition event="go" target="t"><assign location="1 +" expr="2"/></transition><transition event="not" cond="((" target="fail"/></state>
		<state id="t"><transition event="error.execution" cond="/^SyntaxError/.test(_event.data.reason)" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.10", name: "no event at first", says: `_event is not bound "until the first event is processed"`, body: `
		<state id="s"><onentry><assign location="_name" expr="1"/></onentry><transition cond="typeof _event === 'undefined'" target="pass"/><transition target="fail"/></state>`},
	{section: "5.10", name: "event stays bound", says: `it stays "bound to that event until another event is processed": in <onexit>, content, <onentry> and eventless transitions`, events: []string{"go"}, body: `
		<state id="s"><onexit><log expr="_event.name"/></onexit><transition event="go" cond="_event.name=='go'" target="t"><log expr="_event.name"/><raise event="next"/></transition></state>
		<state id="t"><onentry><log expr="_event.name"/></onentry><transition cond="_event.name=='go'" target="u"/></state><state id="u"><transition event="next"><log expr="_event.name"/></transition></state>`, tells: `
		start: enter s
		go: exit s; take s->t on go if _event.name=='go'; enter t; raise next; log: go; log: go; log: go
		eventless: exit t; take t->u if _event.name=='go'; enter u
		next: take u->- on next; log: next
	`},
	{section: "5.10", name: "system variables", says: `"Implementations MUST provide the following system variables": _event, _sessionid, _name, _ioprocessors and _x`, attributes: ` name="my.name"`, body: `
		<state id="s"><onentry><raise event="e"/></onentry>
		<transition event="e" cond="typeof _event=='object' &amp;&amp; /^[\w.:-]+$/.test(_sessionid) &amp;&amp; _name==='my.name' &amp;&amp; typeof _ioprocessors=='object' &amp;&amp; typeof _x=='object' &amp;&amp; _x!==null" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.10", name: "protected from assign", says: `the processor "MUST cause any attempt to change the value of a system variable to fail", with error.execution`, body: `
		<state id="s"><onentry><raise event="e"/></onentry><transition event="e" target="t"/></state>
		<state id="t"><onentry><assign location="_event" expr="1"/></onentry><onentry><assign location="_sessionid" expr="1"/></onentry><onentry><assign location="_name" expr="1"/></onentry>
		<onentry><assign location="_ioprocessors" expr="1"/></onentry><onentry><assign location="_x" expr="1"/></onentry><onentry><assign location="_event.name" expr="'f'"/></onentry><onentry><assign location="_x.y" expr="1"/></onentry>
		<onentry><assign location="_ioprocessors.scxml" expr="1"/></onentry><onentry><foreach array="[1]" item="_event"/></onentry><onentry><foreach array="[1]" item="i" index="_x"/></onentry><onentry><send event="e" delay="1s" idlocation="_name"/></onentry></state>`, tells: `
		start: enter s; raise e
		e: exit s; take s->t on e; enter t
		  error.execution in <assign> line 3: TypeError: the system variable _event cannot be assigned to
		  error.execution in <assign> line 3: TypeError: the system variable _sessionid cannot be assigned to
		  error.execution in <assign> line 3: TypeError: the system variable _name cannot be assigned to
		  error.execution in <assign> line 4: TypeError: the system variable _ioprocessors cannot be assigned to
		  error.execution in <assign> line 4: TypeError: the system variable _x cannot be assigned to
		  error.execution in <assign> line 4: TypeError: the system variable _event cannot be assigned to
		  error.execution in <assign> line 4: TypeError: the system variable _x cannot be assigned to
		  error.execution in <assign> line 5: TypeError: the system variable _ioprocessors cannot be assigned to
		  error.execution in <foreach> line 5: SyntaxError: "_event" is not the name of a variable
		  error.execution in <foreach> line 5: SyntaxError: "_x" is not the name of a variable
		  error.execution in <send> line 5: TypeError: the system variable _name cannot be assigned to
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
	`},
	{section: "5.10", name: "protected from scripts", says: `and so does an attempt in a script or in an expression`, body: `
		<datamodel><data id="before"/><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><raise event="e"/></onentry><transition event="e" target="t"/></state>
		<state id="t"><onentry><assign location="before" expr="[_sessionid, _name, _event.name, _ioprocessors.scxml.location].join()"/></onentry>
		<onentry><script>_sessionid = 'x'</script></onentry><onentry><script>_event = 1</script></onentry><onentry><script>_event.name = 'f'</script></onentry><onentry><script>_ioprocessors.scxml.location = 'x'</script></onentry>
		<onentry><script>delete _event.name</script></onentry><onentry><script>_x.y = 1</script></onentry><onentry><log expr="_name = 'x'"/></onentry><onentry><raise event="end"/></onentry>
		<transition event="error.execution"><assign location="n" expr="n + 1"/></transition><transition event="end" cond="n==7 &amp;&amp; /^session/.test(before) &amp;&amp; _x.y===undefined &amp;&amp; before==[_sessionid, _name, 'e', _ioprocessors.scxml.location].join()" target="pass"/><transition event="end" target="fail"/></state>`},
	{section: "5.10.1", name: "fields of what was raised", says: `a raised event leaves sendid, origin, origintype and data "blank"`, body: `
		<state id="s"><onentry><raise event="e"/></onentry>
		<transition event="e" cond="_event.type=='internal' &amp;&amp; _event.sendid===undefined &amp;&amp; _event.origin===undefined &amp;&amp; _event.origintype===undefined &amp;&amp; _event.invokeid===undefined &amp;&amp; _event.data===undefined &amp;&amp; 'data' in _event &amp;&amp; 'sendid' in _event &amp;&amp; 'origin' in _event &amp;&amp; 'origintype' in _event &amp;&amp; 'invokeid' in _event" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.10.1", name: "fields of what was sent", says: `the fields of an event that was sent; origin and origintype "allow the receiver of the event to <send> a response back"`, body: `
		<state id="s"><onentry><send event="e" id="sid"><param name="a" expr="1"/></send></onentry>
		<transition event="e" cond="_event.name=='e' &amp;&amp; _event.type=='external' &amp;&amp; _event.sendid=='sid' &amp;&amp; _event.origin=='#_scxml_'+_sessionid &amp;&amp; _event.origintype=='http://www.w3.org/TR/scxml/#SCXMLEventProcessor' &amp;&amp; _event.invokeid===undefined &amp;&amp; _event.data.a===1" target="t"><send event="answer" targetexpr="_event.origin" typeexpr="_event.origintype"/></transition><transition event="*" target="fail"/></state>
		<state id="t"><transition event="answer" target="pass"/></state>`},
	{section: "5.10.1", name: "fields of what was sent inside", says: `an event sent to #_internal is "internal", keeps its sendid and its data, and has no origin: "For internal and platform events, the Processor MUST leave this field blank"`, body: `
		<state id="s"><onentry><send event="e" id="sid" target="#_internal"><param name="a" expr="1"/></send></onentry>
		<transition event="e" cond="_event.type=='internal' &amp;&amp; _event.sendid=='sid' &amp;&amp; _event.data.a===1 &amp;&amp; _event.origin===undefined &amp;&amp; _event.origintype===undefined" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "5.10.1", name: "fields of platform events", says: `events of the processor are "platform", and an error has "the send id of the triggering <send> element"`, body: `
		<state id="s" initial="s1"><onentry><send event="e" id="sid" target="nowhere"/></onentry><state id="s1"><transition event="error.execution" cond="_event.type=='platform' &amp;&amp; _event.sendid=='sid' &amp;&amp; _event.origin===undefined &amp;&amp; _event.origintype===undefined" target="f"/></state><final id="f"/>
		<transition event="done.state.s" cond="_event.type=='platform' &amp;&amp; _event.sendid===undefined &amp;&amp; _event.origin===undefined" target="pass"/><transition event="*" target="fail"/></state>`},
}
