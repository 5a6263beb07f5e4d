// SPDX-License-Identifier: Apache-2.0

package scxml_test

// coreClauses are of chapter 3, "Core Constructs", as far as 3.12.
var coreClauses = []clause{
	{section: "3.2", name: "final alone", says: `"at least one <state>, <parallel> or <final> child"`, tells: `
		start: enter pass
		effect 1: done state=pass
	`},
	{section: "3.2.2", name: "top-level final", says: `the processor "MUST terminate processing when the state machine reaches this state"`, body: `
		<state id="s"><onentry><raise event="left"/><send event="late" delay="1s"/></onentry><transition target="pass"/><transition event="left" target="fail"/></state>`, tells: `
		start: enter s; raise left; delay send.1 late by 1s
		eventless: exit s; take s->pass; enter pass
		effect 1: done state=pass
	`},
	{section: "3.4", name: "parallel enters all", says: `"a set of child states which are simultaneously active when the parent element is active"`, body: `
		<parallel id="p"><state id="a"><state id="a1"/><state id="a2"/></state><state id="b"/><parallel id="c"><state id="c1"/><state id="c2"/></parallel></parallel>`, tells: `
		start: enter p a a1 b c c1 c2
	`},
	{section: "3.5.1", name: "external by default", says: `the type of a transition is "external" where none is given`, events: []string{"go"}, body: `
		<state id="s"><transition event="go" target="s2"/><state id="s1"/><state id="s2"/></state>`, tells: `
		start: enter s s1
		go: exit s1 s; take s->s2 on go; enter s s2
	`},
	{section: "3.5", name: "bare transition", says: `a transition should have "at least one of 'event', 'cond' or 'target'"; one that has none is taken, until the limit of microsteps`, body: `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="s"><transition cond="n == 3" target="pass"/><transition><assign location="n" expr="n + 1"/></transition></state>`, tells: `
		start: enter s
		eventless: take s->-; assign n
		eventless: take s->-; assign n
		eventless: take s->-; assign n
		eventless: exit s; take s->pass if n == 3; enter pass
		effect 1: done state=pass
	`},
	{section: "3.6.2", name: "initial into regions", says: `a transition of <initial> to several states, "consisting solely of descendants of the containing state"`, body: `
		<state id="s"><initial><transition target="a2 b2"/></initial>
		<parallel id="p"><state id="a"><state id="a1"/><state id="a2"/></state><state id="b"><state id="b1"/><state id="b2"/></state><state id="c"><state id="c1"/></state></parallel></state>`, tells: `
		start: enter s p a a2 b b2 c c1
	`},
	{section: "3.6.2", name: "initial content", says: `the transition of <initial> "MAY contain executable content", which runs after <onentry> of the parent, before that of the child`, body: `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="s"><onentry><assign location="l" expr="l+'e'"/></onentry><initial><transition target="s11"><assign location="l" expr="l+'i'"/></transition></initial>
		<state id="s1"><onentry><assign location="l" expr="l+'1'"/></onentry><state id="s10"/><state id="s11"><onentry><assign location="l" expr="l+'2'"/></onentry><transition cond="l=='ei12'" target="pass"/><transition target="fail"/></state></state></state>`},
	{section: "3.7.2", name: "handlers of final", says: `a <final> has <onentry> and <onexit> like other states`, body: `
		<state id="s" initial="f"><final id="f"><onentry><log label="in"/></onentry><onexit><log label="out"/></onexit></final><transition event="done.state.s" target="pass"/></state>`, tells: `
		start: enter s f; raise done.state.s; log in
		done.state.s: exit f s; take s->pass on done.state.s; enter pass; log out
		effect 1: done state=pass
	`},
	{section: "3.7.2", name: "done after its regions", says: `done.state of a <parallel> follows "Immediately thereafter"`, body: `
		<datamodel><data id="l" expr="''"/></datamodel>
		<parallel id="p"><state id="a"><state id="a1"><transition target="af"/></state><final id="af"/></state>
		<state id="b"><state id="b1"><transition target="bf"/></state><final id="bf"/></state>
		<transition event="done.state.a"><assign location="l" expr="l+'a'"/></transition>
		<transition event="done.state.b"><assign location="l" expr="l+'b'"/></transition>
		<transition event="done.state.p" cond="l=='ab'" target="pass"/><transition event="done.state.p" target="fail"/></parallel>`},
	{section: "3.7.2", name: "done of nested regions", says: `"all of the <parallel>'s other children are also in final states", a <parallel> when all of its own are`, events: []string{"x", "y", "z"}, body: `
		<parallel id="p"><parallel id="q"><state id="a"><state id="a1"><transition event="x" target="af"/></state><final id="af"/></state>
		<state id="b"><state id="b1"><transition event="y" target="bf"/></state><final id="bf"/></state></parallel>
		<state id="c"><state id="c1"><transition event="z" target="cf"/></state><final id="cf"/></state></parallel>`, tells: `
		start: enter p q a a1 b b1 c c1
		x: exit a1; take a1->af on x; enter af; raise done.state.a
		done.state.a: no transition
		y: exit b1; take b1->bf on y; enter bf; raise done.state.b done.state.q
		done.state.b: no transition
		done.state.q: no transition
		z: exit c1; take c1->cf on z; enter cf; raise done.state.c done.state.p
		done.state.c: no transition
		done.state.p: no transition
	`},
	{section: "3.10.2", name: "history content", says: `the default transition of history "MAY contain executable content"`, attributes: ` initial="a"`, body: `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="a"><transition target="h"/></state>
		<state id="b" initial="b1"><onentry><assign location="l" expr="l+'1'"/></onentry>
		<history id="h"><transition target="b2"><assign location="l" expr="l+'2'"/></transition></history>
		<state id="b1"/>
		<state id="b2"><onentry><assign location="l" expr="l+'3'"/></onentry>
		<transition cond="l=='123'" target="pass"/><transition target="fail"/></state>
		</state>`},
	{section: "3.10.2", name: "history as initial", says: `and when history is the target of an <initial>, it runs after "the executable content inside the <initial> transition"; only once, as a history that was recorded has none`, events: []string{"out", "back"}, body: `
		<state id="s"><initial><transition target="h"><log label="initial"/></transition></initial>
		<history id="h"><transition target="s2"><log label="default"/></transition></history>
		<state id="s1"/><state id="s2"><onentry><log label="s2"/></onentry></state><onentry><log label="s"/></onentry><transition event="out" target="o"/></state>
		<state id="o"><transition event="back" target="s"/></state>`, tells: `
		start: enter s s2; log s; log initial; log default; log s2
		out: exit s2 s; take s->o on out; enter o
		back: exit o; take o->s on back; enter s s2; log s; log initial; log s2
	`},
	{section: "3.10.2", name: "deep history", says: `deep history records "the active atomic descendants of the parent"`, attributes: ` initial="a"`, body: `
		<datamodel><data id="r" expr="0"/></datamodel>
		<state id="a" initial="p">
		<history id="h" type="deep"><transition target="p"/></history>
		<parallel id="p">
		<state id="p1"><state id="p1a"><transition event="n" target="p1b"/></state><state id="p1b"/></state>
		<state id="p2"><state id="p2a"><transition event="n" target="p2b"/></state><state id="p2b"><state id="p2b1"><transition event="n2" target="p2b2"/></state><state id="p2b2"/></state></state>
		</parallel>
		<onentry><raise event="n"/><raise event="n2"/><raise event="go"/></onentry>
		<transition event="go" target="out" cond="r==0"/>
		<transition event="chk" cond="In('p1b') &amp;&amp; In('p2b2')" target="pass"/>
		<transition event="chk" target="fail"/>
		</state>
		<state id="out"><onentry><assign location="r" expr="1"/><raise event="back"/></onentry><transition event="back" target="h"><raise event="chk"/></transition></state>`},
	{section: "3.10.2", name: "both histories", says: `a state "MAY have both "deep" and "shallow" <history> children": the shallow one records "the immediately active children of its parent"`, events: []string{"in", "out", "shallow", "in", "out", "deep", "out", "shallow"}, body: `
		<state id="s"><history id="hs"><transition target="a"/></history><history id="hd" type="deep"><transition target="a"/></history>
		<state id="a"/><state id="b"><state id="b1"/><state id="b2"/></state><transition event="in" target="b2"/><transition event="out" target="o"/></state>
		<state id="o"><transition event="shallow" target="hs"/><transition event="deep" target="hd"/></state>`, tells: `
		start: enter s a
		in: exit a s; take s->b2 on in; enter s b b2
		out: exit b2 b s; take s->o on out; enter o
		shallow: exit o; take o->hs on shallow; enter s b b1
		in: exit b1 b s; take s->b2 on in; enter s b b2
		out: exit b2 b s; take s->o on out; enter o
		deep: exit o; take o->hd on deep; enter s b b2
		out: exit b2 b s; take s->o on out; enter o
		shallow: exit o; take o->hs on shallow; enter s b b1
	`},
	{section: "3.10.2", name: "history of parallel", says: `history of a <parallel>: the shallow one brings its regions back, the deep one what they were in`, events: []string{"n", "out", "deep", "out", "shallow"}, body: `
		<parallel id="p"><history id="hs"><transition target="a b"/></history><history id="hd" type="deep"><transition target="a1 b1"/></history>
		<state id="a"><state id="a1"><transition event="n" target="a2"/></state><state id="a2"/></state><state id="b"><state id="b1"/></state><transition event="out" target="o"/></parallel>
		<state id="o"><transition event="shallow" target="hs"/><transition event="deep" target="hd"/></state>`, tells: `
		start: enter p a a1 b b1
		n: exit a1; take a1->a2 on n; enter a2
		out: exit b1 b a2 a p; take p->o on out; enter o
		deep: exit o; take o->hd on deep; enter p a a2 b b1
		out: exit b1 b a2 a p; take p->o on out; enter o
		shallow: exit o; take o->hs on shallow; enter p a a1 b b1
	`},
	{section: "3.12", name: "name and data of events", says: `name and data of an event are "accessible via the '_event' variable"`, body: `
		<state id="s"><onentry><send event="a.b"><param name="n" expr="7"/></send></onentry>
		<transition event="a" cond="_event.name + _event.data.n === 'a.b7'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "3.12.1", name: "tokens", says: `"matches an event name if its string of tokens is an exact match or a prefix of the set of tokens in the event's name", case sensitive`, events: []string{"errors.my.custom", "errorhandler.mistake", "Error", "foobar", "fo", "error", "error.send.failed", "foo.bar"}, body: `
		<state id="s"><transition event="error foo"/></state>`, tells: `
		start: enter s
		errors.my.custom: no transition
		errorhandler.mistake: no transition
		Error: no transition
		foobar: no transition
		fo: no transition
		error: take s->- on error foo
		error.send.failed: take s->- on error foo
		foo.bar: take s->- on error foo
	`},
	{section: "3.12.1", name: "wildcards", says: `"a transition with 'event' of "error", one with "error.", and one with "error.*" are functionally equivalent"; "*" matches "any event"`, events: []string{"a", "a.x", "ax", "b", "b.x", "c"}, body: `
		<state id="s"><transition event="a."/><transition event="b.*"/><transition event="*" cond="_event.name != 'c'"/></state>`, tells: `
		start: enter s
		a: take s->- on a.
		a.x: take s->- on a.
		ax: take s->- on * if _event.name != 'c'
		b: take s->- on b.*
		b.x: take s->- on b.*
		c: no transition
	`},
	{section: "3.12.1", name: "wildcard with a dot", says: `the schema has ".*" (EventTypes.datatype), which is "*"`, events: []string{"a", "b.c"}, body: `
		<state id="s"><transition event="a" target="t"/></state><state id="t"><transition event=".*" target="pass"/></state>`, tells: `
		start: enter s
		a: exit s; take s->t on a; enter t
		b.c: exit t; take t->pass on .*; enter pass
		effect 1: done state=pass
	`},
	{section: "3.12.1", name: "eventless is no wildcard", says: `"Such an eventless transition does not match any event, but will be taken whenever its 'cond' attribute evaluates to 'true'"`, events: []string{"e"}, body: `
		<datamodel><data id="on" expr="false"/></datamodel>
		<state id="s"><transition cond="on" target="pass"/><transition event="e"><assign location="on" expr="true"/></transition></state>`, tells: `
		start: enter s
		e: take s->- on e; assign on
		eventless: exit s; take s->pass if on; enter pass
		effect 1: done state=pass
	`},
	{section: "3.12.2", name: "errors wait and pass", says: `errors are processed "like any other event": after those that are in the queue before, and "ignored if no transition is found that matches them"`, events: []string{"go"}, body: `
		<state id="s"><transition event="go"><raise event="first"/><assign location="nowhere" expr="1"/></transition></state>`, tells: `
		start: enter s
		go: take s->- on go; raise first
		  error.execution in <assign> line 2: ReferenceError: nowhere is not defined
		first: no transition
		error.execution: no transition
	`},
	{section: "3.12.2", name: "exit on error", says: `"authors can arrange for otherwise unhandled errors to cause the interpreter to exit"`, events: []string{"a", "b"}, body: `
		<state id="o"><transition event="error" target="fail"/><state id="i"><transition event="a"><log expr="nowhere"/></transition><transition event="b"><cancel sendidexpr="nowhere"/></transition>
		<transition event="error.execution" cond="_event.data.tagname == 'log'"/></state></state>`, tells: `
		start: enter o i
		a: take i->- on a
		  error.execution in <log> line 2: ReferenceError: nowhere is not defined
		error.execution: take i->- on error.execution if _event.data.tagname == 'log'
		b: take i->- on b
		  error.execution in <cancel> line 2: ReferenceError: nowhere is not defined
		error.execution: exit i o; take o->fail on error; enter fail
		effect 1: done state=fail
	`},
	{section: "3.12.2", name: "data of errors", says: `an error "MAY include additional information about the nature of the error in the 'data' field"`, body: `
		<state id="s"><onentry><assign location="nowhere" expr="1"/></onentry>
		<transition event="error.execution" cond="_event.type == 'platform' &amp;&amp; _event.data.tagname == 'assign' &amp;&amp; _event.data.line == 2 &amp;&amp; /nowhere/.test(_event.data.reason)" target="pass"/><transition event="*" target="fail"/></state>`},
}
