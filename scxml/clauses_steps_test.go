// SPDX-License-Identifier: Apache-2.0

package scxml_test

// stepClauses are of 3.13, "Selecting and Executing Transitions", 3.14, "IDs", and of
// appendix A, "Conformance".
var stepClauses = []clause{
	{section: "3.13", name: "internal of parallel", says: `an internal transition whose "source state is not compound" exits it`, body: `
		<datamodel><data id="x" expr="0"/></datamodel>
		<parallel id="p"><onexit><assign location="x" expr="x+1"/></onexit>
		<transition event="go" type="internal" target="a2"/>
		<state id="a"><state id="a1"><onentry><raise event="go"/></onentry></state><state id="a2"><onentry><raise event="c"/></onentry><transition event="c" cond="x==1" target="pass"/><transition event="c" target="fail"/></state></state>
		<state id="b"/></parallel>`},
	{section: "3.13", name: "internal to itself", says: `and so does one whose "target states are not all proper descendants of its source state"`, body: `
		<datamodel><data id="x" expr="0"/></datamodel>
		<state id="a"><onexit><assign location="x" expr="x+1"/></onexit><onentry><raise event="go"/></onentry>
		<transition cond="x==1" target="pass"/>
		<transition event="go" type="internal" target="a"/>
		<state id="a1"/></state>`},
	{section: "3.13", name: "internal", says: `the exit set of an internal transition is "all active states in C that are proper descendants of its source state"`, body: `
		<datamodel><data id="x" expr="0"/><data id="e" expr="0"/></datamodel>
		<state id="a"><onexit><assign location="x" expr="x+1"/></onexit><onentry><assign location="e" expr="e+1"/><raise event="go"/></onentry>
		<transition event="go" type="internal" target="a2"/>
		<state id="a1"/><state id="a2"><transition cond="x==0 &amp;&amp; e==1" target="pass"/><transition target="fail"/></state></state>`},
	{section: "3.13", name: "compound ancestor", says: `an external transition inside of a <parallel> exits it: the ancestor is the "Least Common Compound Ancestor"`, events: []string{"go"}, body: `
		<state id="s"><parallel id="p"><state id="a"><transition event="go" target="b2"/></state><state id="b"><state id="b1"/><state id="b2"/></state></parallel></state>`, tells: `
		start: enter s p a b b1
		go: exit b1 b a p; take a->b2 on go; enter p a b b2
	`},
	{section: "3.13", name: "targetless conflicts with none", says: `"If the transition does not contain a 'target', its exit set is empty": it conflicts with no other`, events: []string{"go"}, body: `
		<parallel id="p"><state id="a"><transition event="go"><log label="a stays"/></transition></state><state id="b"><transition event="go" target="o"/></state></parallel><state id="o"/>`, tells: `
		start: enter p a b
		go: exit b a p; take a->- on go; take b->o on go; enter o; log a stays
	`},
	{section: "3.13", name: "source further in", says: `of transitions that conflict one has priority if its "source state is a descendant of T2's source state", though an earlier region selected the other`, events: []string{"go"}, body: `
		<parallel id="p"><transition event="go" target="o1"/><state id="a"/><state id="b"><transition event="go" target="o2"/></state></parallel><state id="o1"/><state id="o2"/>`, tells: `
		start: enter p a b
		go: exit b a p; take b->o2 on go; enter o2
	`},
	{section: "3.13", name: "guard that fails", says: `a transition whose 'cond' is not "true" is not enabled, and the next in document order is asked`, events: []string{"go"}, body: `
		<state id="s"><transition event="go" cond="nowhere" target="fail"/><transition event="go" target="pass"/></state>`, tells: `
		start: enter s
		go: exit s; take s->pass on go; enter pass
		  error.execution in <transition> line 2: ReferenceError: nowhere is not defined
		effect 1: done state=pass
	`},
	{section: "3.13", name: "not entered again", says: `the entry set has no state that is "currently active" and not in the exit set: not one between a history and what it recorded`, events: []string{"leave", "back", "deep"}, body: `
		<state id="top"><history id="h" type="deep"><transition target="in"/></history>
		<state id="in"><invoke id="i" src="x"/><onentry><log label="in"/></onentry><transition event="leave" target="o"/><transition event="deep" target="h" type="internal"/><state id="leaf"/></state></state>
		<state id="o"><transition event="back" target="h"/></state>`, tells: `
		start: enter top in leaf; log in
		effect 1: invoke id=i src=x
		leave: exit leaf in top; take in->o on leave; enter o
		effect 1: uninvoke id=i
		back: exit o; take o->h on back; enter top in leaf; log in
		effect 1: invoke id=i src=x
		deep: exit leaf; take in->h on deep; enter leaf
	`},
	{section: "3.13", name: "default entry alone", says: `the content of <initial> is executed if "the state is a default entry state", not if a transition names a state inside`, events: []string{"go"}, body: `
		<state id="o"><transition event="go" target="s2"/></state>
		<state id="s"><initial><transition target="s1"><log label="initial"/></transition></initial><state id="s1"/><state id="s2"/></state>`, tells: `
		start: enter o
		go: exit o; take o->s2 on go; enter s s2
	`},
	{section: "3.13", name: "cancels what it invoked", says: `after <onexit> it "MUST cancel any ongoing invocations that were triggered by that state"`, events: []string{"go"}, body: `
		<state id="s"><invoke id="i" src="x"/><invoke id="j" src="y"/><onexit><send event="bye" target="#_i"/></onexit><transition event="go" target="o"/></state><state id="o"/>`, tells: `
		start: enter s
		effect 1: invoke id=i src=x
		effect 2: invoke id=j src=y
		go: exit s; take s->o on go; enter o
		effect 1: send target=#_i event=bye
		effect 2: uninvoke id=i
		effect 3: uninvoke id=j
	`},
	{section: "3.13", name: "invokes in document order", says: `"in document order the <invoke> handlers in all states that have been entered since the completion of the last macrostep", those that were left again excepted`, body: `
		<parallel id="p"><invoke id="p1" src="x"/><state id="a"><state id="a0"><invoke id="a00" src="x"/><transition target="a1"/></state><state id="a1"><invoke id="a11" src="x"/></state></state><state id="b"><invoke id="b1" src="x"/></state><invoke id="p2" src="x"/></parallel>`, tells: `
		start: enter p a a0 b
		eventless: exit a0; take a0->a1; enter a1
		effect 1: invoke id=p1 src=x
		effect 2: invoke id=p2 src=x
		effect 3: invoke id=a11 src=x
		effect 4: invoke id=b1 src=x
	`},
	{section: "3.13", name: "external events that enable nothing", says: `it "MUST remove events from the external event queue, waiting till events appear if necessary, until it finds one that enables"`, events: []string{"x", "y", "go"}, body: `
		<state id="s"><transition event="go" target="pass"/></state>`, tells: `
		start: enter s
		x: no transition
		y: no transition
		go: exit s; take s->pass on go; enter pass
		effect 1: done state=pass
	`},
	{section: "3.13", name: "macrostep first", says: `a macrostep ends "where the internal event queue is empty and no transitions are enabled by NULL": eventless transitions first, internal events next, external ones last`, body: `
		<state id="s"><onentry><send event="external"/><raise event="internal"/></onentry><transition target="t"/></state>
		<state id="t"><transition event="external" target="fail"/><transition event="internal" target="u"/></state>
		<state id="u"><transition event="internal" target="fail"/><transition event="external" target="pass"/></state>`, tells: `
		start: enter s; raise external internal
		eventless: exit s; take s->t; enter t
		internal: exit t; take t->u on internal; enter u
		external: exit u; take u->pass on external; enter pass
		effect 1: done state=pass
	`},
	{section: "3.13", name: "invoke that fails", says: `what <invoke> raises is handled before events from outside (D, mainEventLoop)`, body: `
		<state id="s"><onentry><send event="external"/></onentry><invoke srcexpr="nowhere"/><transition event="external" target="fail"/><transition event="error.execution" target="pass"/></state>`, tells: `
		start: enter s; raise external
		  error.execution in <invoke> line 2: ReferenceError: nowhere is not defined
		error.execution: exit s; take s->pass on error.execution; enter pass
		effect 1: done state=pass
	`},
	{section: "3.14", name: "ids of states", says: `where an id is left out the processor "MUST generate a unique id automatically at document load time"`, events: []string{"go"}, body: `
		<state><transition event="go" target="_state2"/><state/><state/></state><state id="_state2"/>`, tells: `
		start: enter _state1 __state2
		go: exit __state2 _state1; take _state1->_state2 on go; enter _state2
	`},
	{section: "3.14", name: "ids of sends", says: `the processor "MUST generate a new unique ID not at load time but each time the element is executed"`, body: `
		<datamodel><data id="l" expr="[]"/><data id="i"/></datamodel>
		<state id="s"><onentry><foreach array="[1, 2, 3]" item="n"><send event="e" delay="1s" idlocation="i"/><script>l.push(i)</script></foreach><cancel sendidexpr="l[1]"/><send event="end" delay="2s"/></onentry>
		<transition event="e"><script>l.splice(l.indexOf(_event.sendid), 1)</script></transition>
		<transition event="end" cond="l.length == 1 &amp;&amp; l[0] == i.replace(3, 2)" target="pass"/><transition event="end" target="fail"/></state>`},
	{section: "3.14", name: "ids that authors gave", says: `and one that "MUST be unique within the session": not one that an author gave to another <send> or <invoke>`, body: `
		<datamodel><data id="at"/></datamodel>
		<state id="s"><onentry><send event="e" id="send.1" delay="1s"/><send event="e" idlocation="at"/></onentry><invoke id="s.1" src="x"/><invoke src="y"/><transition event="e"><log expr="at"/></transition></state>`, tells: `
		start: enter s; raise e; delay send.1 e by 1s
		e: take s->- on e; log: send.2
		effect 1: invoke id=s.1 src=x
		effect 2: invoke id=s.2 src=y
	`},
	{section: "3.14", name: "ids of invokes", says: `the same for <invoke>, in "a special format"`, events: []string{"again"}, body: `
		<state id="s"><transition event="again" target="s"/><invoke src="x"/><invoke src="y"/></state>`, tells: `
		start: enter s
		effect 1: invoke id=s.1 src=x
		effect 2: invoke id=s.2 src=y
		again: exit s; take s->s on again; enter s
		effect 1: uninvoke id=s.1
		effect 2: uninvoke id=s.2
		effect 3: invoke id=s.3 src=x
		effect 4: invoke id=s.4 src=y
	`},
	{section: "3.14", name: "id of an invoke in use", says: `ids of <invoke> "MUST be unique within the session": one that is in use is not used again`, body: `
		<state id="s"><invoke id="i" src="x"/><invoke id="i" src="y"/></state>`, tells: `
		start: enter s
		  error.execution in <invoke> line 2: there is an invocation "i" already
		error.execution: no transition
		effect 1: invoke id=i src=x
	`},
	{section: "3.14", name: "ids of different kinds", says: `"the values of all attributes of type "id" MUST be unique within the session"; those of a state, of data and of several <send> may be one all the same`, body: `
		<datamodel><data id="a" expr="1"/></datamodel>
		<state id="a"><onentry><send event="e" id="a" delay="1s"/><send event="e" id="a" delay="2s"/><cancel sendid="a"/><send event="a" id="a"/></onentry><transition event="a" cond="a == 1 &amp;&amp; In('a')" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "A.1", name: "no version", says: `the document "MUST include a "version" attribute"; one without is of version 1.0`, body: `<?xml version="1.0"?>
		<scxml xmlns="http://www.w3.org/2005/07/scxml"><final id="pass"/></scxml>`},
	{section: "A.1", name: "prefixed", says: `the namespace may be designated by "an attribute with an "xmlns" prefix"`, body: `<?xml version="1.0"?>
		<sc:scxml xmlns:sc="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
		<sc:datamodel><sc:data id="d" expr="0"/></sc:datamodel>
		<sc:state id="s"><sc:onentry><sc:if cond="d == 1"><sc:raise event="wrong"/><sc:else/><sc:assign location="d" expr="2"/></sc:if></sc:onentry>
		<sc:invoke id="i"><sc:param name="n" location="d"/><sc:content><sc:scxml version="1.0" datamodel="ecmascript">
			<sc:datamodel><sc:data id="n"/></sc:datamodel>
			<sc:final id="f"><sc:donedata><sc:param name="m" expr="n + 1"/></sc:donedata></sc:final></sc:scxml></sc:content></sc:invoke>
		<sc:transition event="done.invoke.i" cond="_event.data.m == 3" target="pass"/><sc:transition event="*" target="fail"/></sc:state>
		<sc:final id="pass"/><sc:final id="fail"/></sc:scxml>`},
	{section: "A.2", name: "XML constructs", says: `the XML parser can "parse and process all well-formed XML constructs": comments, instructions, CDATA, references, any prefix`, body: `<?xml version="1.0" standalone="yes"?>
		<?about this?><!-- before --><scxml xmlns='http://www.w3.org/2005/07/scxml' version = "1.0" datamodel="ecmascript" xmlns:a="http://www.w3.org/2005/07/scxml"
		><!-- <state id="not"/> --><datamodel><data id="d" expr="&#x27;&lt;&#39;"/><data id="t">a<!-- no -->b<?nor this?><![CDATA[<c>]]></data></datamodel>
		<a:state id="s"><?here too?><a:transition cond="d == '&lt;' &amp;&amp; t === 'ab&lt;c&gt;'" target="pass"/><transition target="fail"></transition></a:state>
		<final id="pass"/><final id="fail"/></scxml><!-- after --><?end?>`},
	{section: "E", name: "unknown attributes", says: `attributes without a namespace that the schema does not have are ignored`, body: `<?xml version="1.0"?>
		<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" exmode="strict" initialstate="fail"><state id="s" type="x"><onentry><raise event="e" delay="1s"/></onentry><transition event="e" next="fail" target="pass"/></state><final id="pass"/><final id="fail"/></scxml>`},
	{section: "E", name: "any characters", says: `ids and names of events may have characters that ID, NMTOKEN and EventType.datatype do not`, events: []string{"a/1.x"}, body: `
		<state id="1st/é"><transition event="a/1" target="#2"/></state><state id="#2"/>`, tells: `
		start: enter 1st/é
		a/1.x: exit 1st/é; take 1st/é->#2 on a/1; enter #2
	`},
	{section: "A.2", name: "what is of other namespaces", says: `elements and attributes "defined in a non-SCXML namespace" are ignored wherever they stand`, body: `<?xml version="1.0"?>
		<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:x="urn:x" version="1.0" datamodel="ecmascript" x:initial="fail" x:a="1">
		<x:state id="fail"><x:b/>text</x:state><datamodel x:a="1"><x:data id="d"/><data id="d" x:expr="2" expr="1"/></datamodel>
		<state id="s" initial="s1" x:initial="s2"><x:initial/>
		<onentry><x:raise event="wrong"/><if cond="true" x:cond="false"><x:else/><assign location="d" expr="d + 1"/></if>
		<foreach array="[1]" item="i"><x:c/></foreach><send event="e" x:event="f"><x:param/><param name="p" expr="d"><x:d/></param></send><log><x:e/></log></onentry>
		<history id="h"><x:transition/><transition target="s1" x:cond="no"/></history>
		<state id="s1"><transition x:event="never" event="e" cond="_event.data.p == 2" target="pass"><x:script>d = 0</x:script></transition><transition event="*" target="fail"/></state></state>
		<final id="pass"><x:transition event="e"/></final><final id="fail"/></scxml>`},
}
