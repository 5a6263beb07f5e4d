// SPDX-License-Identifier: Apache-2.0

package scxml_test

// contentClauses are of chapter 4, "Executable Content".
var contentClauses = []clause{
	{section: "4.2", name: "raise waits for its block", says: `"the event will not be processed until the current block of executable content has completed and all events that are already in the internal event queue have been processed"`, events: []string{"go"}, body: `
		<state id="s"><transition event="go" target="t"><raise event="e1"/></transition></state>
		<state id="t"><onentry><raise event="e2"/><log label="ec1"/><log label="ec2"/></onentry></state>`, tells: `
		start: enter s
		go: exit s; take s->t on go; enter t; raise e1 e2; log ec1; log ec2
		e1: no transition
		e2: no transition
	`},
	{section: "4.2.1", name: "white space around a name", says: `event is an NMTOKEN: white space around it does not belong to it, nor to that of <send>`, body: `
		<state id="s"><onentry><raise event=" a "/><send event="
		b"/></onentry><transition event="a"/><transition event="b"/></state>`, tells: `
		start: enter s; raise a b
		a: take s->- on a
		b: take s->- on b
	`},
	{section: "4.3", name: "first branch", says: `"the first partition in document order that is defined by a tag whose 'cond' attribute evaluates to true"`, body: `
		<datamodel><data id="x" expr="2"/></datamodel>
		<state id="s"><onentry><if cond="x==1"><raise event="a"/><elseif cond="x==2"/><raise event="b"/><elseif cond="x==2"/><raise event="c"/><else/><raise event="d"/></if></onentry>
		<transition event="b" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "4.3", name: "empty partitions", says: `"a partition MAY be empty", and <if> may be nested`, body: `
		<state id="s"><onentry><if cond="true"><else/><raise event="a"/></if><if cond="false"><raise event="b"/><elseif cond="true"/><else/><raise event="c"/></if>
		<if cond="true"><if cond="false"/><if cond="false"><raise event="d"/><else/><if cond="true"><raise event="e"/></if></if></if></onentry></state>`, tells: `
		start: enter s; raise e
		e: no transition
	`},
	{section: "4.3", name: "branch that fails", says: `a 'cond' that fails counts as false here too, with error.execution, and the block goes on`, body: `
		<state id="s"><onentry><if cond="nowhere"><raise event="a"/><elseif cond="nowhere.x"/><raise event="b"/><else/><raise event="c"/></if><raise event="d"/></onentry></state>`, tells: `
		start: enter s; raise c d
		  error.execution in <if> line 2: ReferenceError: nowhere is not defined
		  error.execution in <if> line 2: ReferenceError: nowhere is not defined
		error.execution: no transition
		error.execution: no transition
		c: no transition
		d: no transition
	`},
	{section: "4.6", name: "shallow copy", says: `<foreach> acts "as if it has made a shallow copy of the collection"`, body: `
		<datamodel><data id="l">[1,2,3]</data><data id="n" expr="0"/><data id="s" expr="''"/></datamodel>
		<state id="s0"><onentry><foreach array="l" item="i" index="k"><script>if (n &lt; 10) l.push(9)</script><assign location="n" expr="n+1"/><assign location="s" expr="s+k+i"/></foreach></onentry>
		<transition cond="n==3 &amp;&amp; s=='011223' &amp;&amp; l.length==6 &amp;&amp; i==3 &amp;&amp; k==2" target="pass"/><transition target="fail"/></state>`},
	{section: "4.6", name: "items that are nothing", says: `"the assigned value MAY be null or undefined"`, body: `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="s"><onentry><foreach array="[null, undefined, 0]" item="i" index="k"><assign location="l" expr="l + k + i + ' '"/></foreach></onentry>
		<transition cond="l == '0null 1undefined 20 '" target="pass"/><transition target="fail"/></state>`},
	{section: "4.6", name: "variables of foreach", says: `item and index are declared if they are "not already defined", without items too, and are the variables of that name otherwise`, body: `
		<datamodel><data id="i" expr="'mine'"/></datamodel>
		<state id="s"><onentry><foreach array="[]" item="j" index="k"/><foreach array="[7]" item="i" index="n"/></onentry>
		<transition cond="i == 7 &amp;&amp; n == 0 &amp;&amp; j === undefined &amp;&amp; k === undefined" target="pass"/><transition target="fail"/></state>`},
	{section: "4.6", name: "one block", says: `an error in <foreach> ends "execution of the <foreach> element and the block that contains it"; its children are part of that block, also in a <foreach> inside`, body: `
		<state id="s"><onentry><foreach array="[1, 2]" item="i"><raise event="a"/><foreach array="[3, 4]" item="j"><raise event="b"/><log expr="nowhere"/><raise event="no"/></foreach><raise event="no"/></foreach><raise event="no"/></onentry>
		<onentry><raise event="c"/></onentry></state>`, tells: `
		start: enter s; raise a b c
		  error.execution in <log> line 2: ReferenceError: nowhere is not defined
		a: no transition
		b: no transition
		error.execution: no transition
		c: no transition
	`},
	{section: "4.7", name: "log", says: `<log> has "no side-effects on document interpretation"; label and expr may be left out`, body: `
		<state id="s"><onentry><log/><log label="l"/><log expr="{a: 1}"/><log label="both" expr="'x'"/></onentry></state>`, tells: `
		start: enter s; log; log l; log: {"a":1}; log both: x
	`},
	{section: "4.9", name: "other blocks", says: `"The execution of other blocks of executable content is not affected"`, events: []string{"go"}, body: `
		<state id="s"><onexit><raise event="x1"/><log expr="nowhere"/><raise event="no"/></onexit><onexit><raise event="x2"/></onexit>
		<transition event="go" target="t"><raise event="t1"/><log expr="nowhere"/><raise event="no"/></transition></state>
		<state id="t"><onentry/><onentry><log expr="nowhere"/><raise event="no"/></onentry><onentry><raise event="n2"/></onentry><initial><transition target="u"><raise event="i"/></transition></initial><state id="u"/></state>`, tells: `
		start: enter s
		go: exit s; take s->t on go; enter t u; raise x1 x2 t1 n2 i
		  error.execution in <log> line 2: ReferenceError: nowhere is not defined
		  error.execution in <log> line 3: ReferenceError: nowhere is not defined
		  error.execution in <log> line 4: ReferenceError: nowhere is not defined
		x1: no transition
		error.execution: no transition
		x2: no transition
		t1: no transition
		error.execution: no transition
		error.execution: no transition
		n2: no transition
		i: no transition
	`},
	{section: "4.10", name: "content of others", says: `content in another namespace "MUST NOT cause transitions or any form of change of state": it is ignored, with all that is inside`, body: `
		<state id="s" xmlns:ccxml="http://www.w3.org/2002/09/ccxml"><onentry><ccxml:accept connectionid="_event.data.connectionid"><raise event="no"/><send event="no"/></ccxml:accept><raise event="e"/></onentry></state>`, tells: `
		start: enter s; raise e
		e: no transition
	`},
}
