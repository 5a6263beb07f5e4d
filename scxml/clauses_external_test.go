// SPDX-License-Identifier: Apache-2.0

package scxml_test

import "strings"

// child is the beginning of a document that is invoked.
const child = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">`

// externalClauses are of chapter 6, "External Communications", and of appendix C,
// "Event I/O Processors".
var externalClauses = []clause{
	{section: "6.2.3", name: "idlocation", says: `"If 'idlocation' is present, the SCXML Processor MUST generate an id when the parent <send> element is evaluated and store it in this location"`, body: `
		<datamodel><data id="a"/><data id="b"/></datamodel>
		<state id="s0"><onentry><send event="x" idlocation="a" delay="1s"/><send event="x" idlocation="b" delay="1s"/><cancel sendidexpr="a"/><cancel sendidexpr="b"/><send event="end" delay="3s"/></onentry>
		<transition event="x" target="fail"/><transition event="end" cond="a!=b &amp;&amp; a" target="pass"/><transition event="end" target="fail"/></state>`},
	{section: "6.2.3", name: "arguments at once", says: `arguments are evaluated "when the <send> element is evaluated, and not when the message is actually dispatched"`, body: `
		<datamodel><data id="a" expr="1"/><data id="o" expr="{b: 1}"/></datamodel>
		<state id="s0"><onentry><send event="x" delay="1s" namelist="o"><param name="a" location="a"/></send><assign location="a" expr="2"/><assign location="o.b" expr="2"/></onentry>
		<transition event="x" cond="_event.data.a==1 &amp;&amp; _event.data.o.b==1" target="pass"/><transition event="x" target="fail"/></state>`},
	{section: "6.2.3", name: "arguments that fail", says: `if an argument fails the processor "MUST discard the message without attempting to deliver it", whichever it is`, body: `
		<datamodel><data id="x" expr="0"/></datamodel>
		<state id="s"><onentry><send event="e" typeexpr="nope"/></onentry><onentry><send eventexpr="nope"/></onentry><onentry><send event="e" targetexpr="nope"/></onentry><onentry><send event="e" delayexpr="nope"/></onentry>
		<onentry><send event="e"><param name="p" expr="nope"/></send></onentry><onentry><send event="e" namelist="x nope"/></onentry><onentry><send event="e" idlocation="nope"/></onentry><onentry><send event="e"><content expr="nope"/></send></onentry><onentry><send eventexpr="undefined"/></onentry>
		<onentry><send event="end"/></onentry>
		<transition event="error.execution" cond="_event.sendid"><assign location="x" expr="x+1"/></transition><transition event="end" cond="x==9" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "event and content", says: `a <send> should have "exactly one of 'event', 'eventexpr' and <content>"; with a name and <content> it sends both`, body: `
		<state id="s"><onentry><send event="e"><content>[1]</content></send><send eventexpr="'f'"><content expr="2"/></send><send event="g" delay="0"/></onentry>
		<transition event="e" cond="_event.data[0]==1"/><transition event="f" cond="_event.data==2"/><transition event="g" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "duplicates", says: `"all attributes and values provided by <param> or 'namelist' even if duplicates occur"`, body: `
		<datamodel><data id="k" expr="3"/></datamodel>
		<state id="s0"><onentry><send event="x" type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" targetexpr="_ioprocessors.basichttp.location" namelist="k"><param name="k" expr="1"/><param name="k" expr="2"/></send></onentry>
		<transition event="x" cond="/k=1&amp;k=2&amp;k=3/.test(_event.raw)" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "duplicates inside", says: `the same of the SCXML processor: _event.data has one value of a name, _event.raw all of them, in JSON, and is undefined where no name occurs twice`, body: `
		<datamodel><data id="k" expr="3"/></datamodel>
		<state id="s0"><onentry><send event="x" target="#_internal"><param name="k" expr="'&lt;'"/><param name="k" expr="NaN"/></send><send event="y" delay="1s" namelist="k"><param name="k" expr="[1]"/></send><send event="z" namelist="k"/></onentry>
		<transition event="x" cond="_event.data.k !== '&lt;' &amp;&amp; JSON.parse(_event.raw)[0].value == '&lt;' &amp;&amp; JSON.parse(_event.raw)[1].value === null"/><transition event="z" cond="_event.raw === undefined &amp;&amp; _event.data.k == 3"/>
		<transition event="y" cond="_event.data.k == 3 &amp;&amp; _event.raw == '[{&quot;name&quot;:&quot;k&quot;,&quot;value&quot;:[1]},{&quot;name&quot;:&quot;k&quot;,&quot;value&quot;:3}]'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "duplicates for others", says: `and of messages between sessions`, body: `
		<state id="s0"><invoke id="i"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="x"><param name="k" expr="1"/><param name="k" expr="2"/></send></onentry></state></scxml></content></invoke>
		<transition event="x" cond="_event.data.k == 2 &amp;&amp; JSON.parse(_event.raw)[0].value == 1" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "dispatched in time", says: `it "MUST dispatch the message only when the delay interval elapses": those that are due first come first, of equal ones the first that was sent`, body: `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="s"><onentry><send event="e.d" delay="2s"/><send event="e.b" delay="1000ms"/><send event="e.c" delayexpr="'1s'"/><send event="e.f" delay=".1m"/><send event="e.e" delay="+2.5S"/><send event="e.a" delay="0s"/></onentry>
		<transition event="e.f" cond="l=='abcde'" target="pass"/><transition event="e"><assign location="l" expr="l + _event.name.slice(2)"/></transition><transition event="*" target="fail"/></state>`},
	{section: "6.2.3", name: "delay that is none", says: `the processor "MUST interpret the character string as a time interval"; what is none is error.execution, and nothing is sent`, body: `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><send event="e" delay="soon"/></onentry><onentry><send event="e" delay="-1s"/></onentry><onentry><send event="e" delay="1"/></onentry><onentry><send event="e" delayexpr="{}"/></onentry><onentry><send event="end" delay="1s"/></onentry>
		<transition event="error.execution" cond="_event.sendid"><assign location="n" expr="n+1"/></transition><transition event="end" cond="n==4" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.5", name: "short forms", says: `"Processors MAY define short form notations": scxml and basichttp`, body: `
		<state id="s"><onentry><send event="e" type="scxml"/></onentry><transition event="e" target="t"/></state>
		<state id="t"><onentry><send event="f" type="basichttp" targetexpr="_ioprocessors.basichttp.location"/></onentry><transition event="f" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.2.6", name: "content as it is", says: `the processor "MUST not alter the content of the <send>"`, body: `
		<state id="s"><onentry><send event="e" type="basichttp" targetexpr="_ioprocessors.basichttp.location"><content expr="' a  b&amp;c=d% '"/></send></onentry>
		<transition event="*" cond="_event.raw.split('\r\n\r\n')[1] == '_scxmleventname=e&amp;content=+a++b%26c%3Dd%25+'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.3", name: "cancel all", says: `the processor "SHOULD make its best attempt to cancel all delayed events with the specified id"`, body: `
		<state id="s0"><onentry><send event="a" id="x" delay="1s"/><send event="a" id="x" delay="1500ms"/><cancel sendidexpr="'x'"/><send event="end" delay="3s"/></onentry>
		<transition event="a" target="fail"/><transition event="end" target="pass"/></state>`},
	{section: "6.3", name: "cancel nothing", says: `"it can not be guaranteed to succeed, for example if the event has already been delivered": then nothing happens`, body: `
		<state id="s0"><onentry><send event="a" id="x"/><cancel sendid="x"/><cancel sendid="never"/></onentry><transition event="a" target="s1"/><transition event="*" target="fail"/></state>
		<state id="s1"><onentry><cancel sendid="x"/><raise event="end"/></onentry><transition event="end" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.4.1", name: "autoforward", says: `"an exact copy of every external event" is forwarded "at the point at which it removes it from the external event queue", internal ones are not, nor without autoforward`, events: []string{"e"}, body: `
		<state id="s"><invoke id="i" src="x" autoforward="true"/><invoke id="j" src="x" autoforward="false"/><invoke id="k" src="x"/>
		<transition event="e"><raise event="internal"/><send event="own" id="sid"/><send event="to" target="#_j"/></transition></state>`, tells: `
		start: enter s
		effect 1: invoke id=i src=x autoforward
		effect 2: invoke id=j src=x
		effect 3: invoke id=k src=x
		e: take s->- on e; raise internal own
		internal: no transition
		own: no transition
		effect 1: forward to=i event=e
		effect 2: send target=#_j event=to
		effect 3: forward to=i event=own
	`},
	{section: "6.4.2", name: "short form of invoke", says: `"Processors MAY define short form notations as an authoring convenience (e.g., "scxml" as equivalent to http://www.w3.org/TR/scxml/)"; a type that is not supported is error.execution`, body: `
		<state id="s"><invoke id="i" typeexpr="'scxml'" src="x"/><invoke id="j" type="http://www.w3.org/TR/ccxml/" src="x"/></state>`, tells: `
		start: enter s
		  error.execution in <invoke> line 2: invoke type "http://www.w3.org/TR/ccxml/" is not supported
		error.execution: no transition
		effect 1: invoke id=i src=x
	`},
	{section: "6.4.2", name: "text for the service", says: `the processor "MUST interpret values specified by the <content> element or 'src' attribute as markup to be executed", whether it stands there as elements, escaped or in CDATA`, body: `
		<state id="s"><invoke id="i"><content>` + strings.ReplaceAll(child, "<", "&lt;") + `&lt;final/>&lt;/scxml></content></invoke><transition event="done.invoke.i" target="t"/><transition event="*" target="fail"/></state>
		<state id="t"><invoke id="j"><content><![CDATA[` + child + `<final/></scxml>]]></content></invoke><transition event="done.invoke.j" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.4.2", name: "idlocation of invoke", says: `an id that is generated is stored at idlocation and has the form "stateid.platformid"`, body: `
		<datamodel><data id="at"/></datamodel>
		<state id="s"><invoke idlocation="at"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"/></onentry></state></scxml></content></invoke>
		<transition event="hi" cond="/^s\..+/.test(at) &amp;&amp; _event.invokeid===at" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.4.2", name: "arguments of invoke that fail", says: `if an argument fails the processor "MUST terminate the processing of the element without further action"`, body: `
		<state id="s"><invoke typeexpr="nope"/><invoke srcexpr="nope"/><invoke src="x" idlocation="nope"/><invoke src="x" namelist="nope"/><invoke src="x"><param name="p" expr="nope"/></invoke><invoke><content expr="nope"/></invoke><invoke id="i" src="x"/></state>`, tells: `
		start: enter s
		  error.execution in <invoke> line 2: ReferenceError: nope is not defined
		  error.execution in <invoke> line 2: ReferenceError: nope is not defined
		  error.execution in <invoke> line 2: ReferenceError: nope is not defined
		  error.execution in <invoke> line 2: nope: ReferenceError: nope is not defined
		  error.execution in <invoke> line 2: p: ReferenceError: nope is not defined
		  error.execution in <invoke> line 2: ReferenceError: nope is not defined
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		effect 1: invoke id=i src=x
	`},
	{section: "6.4.2", name: "cancel is the last onexit", says: `"The cancel operation MUST act as if it were the final <onexit> handler in the invoking state"`, events: []string{"go"}, body: `
		<state id="o"><invoke id="i" src="x"/><onexit><send event="out" target="#_i"/></onexit><state id="s"><invoke id="j" src="x"/><onexit><send event="out" target="#_j"/></onexit></state><transition event="go" target="pass"/></state>`, tells: `
		start: enter o s
		effect 1: invoke id=i src=x
		effect 2: invoke id=j src=x
		go: exit s o; take o->pass on go; enter pass
		effect 1: send target=#_j event=out
		effect 2: uninvoke id=j
		effect 3: send target=#_i event=out
		effect 4: uninvoke id=i
		effect 5: done state=pass
	`},
	{section: "6.4.3", name: "donedata of the service", says: `done.invoke carries the <donedata> of the service, and "it cannot generate or process any further events"`, body: `
		<state id="s"><invoke id="i"><content>` + child + `<final id="f"><onentry><send target="#_parent" event="before"/></onentry><onexit><send target="#_parent" event="before"/></onexit><donedata><param name="a" expr="3"/></donedata></final></scxml></content></invoke>
		<transition event="done.invoke.i" cond="_event.data.a==3 &amp;&amp; _event.invokeid=='i' &amp;&amp; _event.type=='external'" target="t"/><transition event="before"/><transition event="*" target="fail"/></state>
		<state id="t"><onentry><send event="end" delay="1s"/></onentry><transition event="end" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.4.3", name: "onexit of what is cancelled", says: `a session that is cancelled "MUST execute the <onexit> handlers for all active states", "but it MUST NOT generate the done.invoke.id event", and its events are ignored`, body: `
		<datamodel><data id="there"/><data id="heard" expr="''"/></datamodel>
		<state id="s"><invoke id="i"><param name="parent" expr="_sessionid"/><content>` + child + `<datamodel><data id="parent"/></datamodel><state id="c"><onentry><send target="#_parent" event="hi"/></onentry>
		<onexit><send targetexpr="'#_scxml_' + parent" event="outer"/><send target="#_parent" event="not"/></onexit><state id="d"><onexit><send targetexpr="'#_scxml_' + parent" event="inner"/></onexit></state></state></scxml></content></invoke>
		<transition event="hi" target="t"/></state>
		<state id="t"><onentry><send event="end" delay="1s"/></onentry><transition event="inner outer"><assign location="heard" expr="heard + _event.name + ' '"/></transition>
		<transition event="end" cond="heard=='inner outer '" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.4.3", name: "invoke that cannot start", says: `a document that cannot be had or is refused is error.communication, with the id of the invocation`, body: `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="s"><invoke id="a" src="nowhere:"/><invoke id="b"><content>no document</content></invoke><invoke id="c"><content>` + child + `<state id="c" initial="none"/></scxml></content></invoke><invoke id="d"/>
		<transition event="error.communication" cond="_event.invokeid=='abcd'.charAt(n)"><assign location="n" expr="n+1"/></transition><transition cond="n==4" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.5", name: "finalize first", says: `<finalize> is executed "before the system looks for transitions that match the event", with _event, only for what its own service sends`, body: `
		<datamodel><data id="x" expr="''"/></datamodel>
		<state id="s"><invoke id="i"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"><param name="v" expr="7"/></send></onentry></state></scxml></content><finalize><assign location="x" expr="x + 'i' + _event.data.v"/></finalize></invoke>
		<invoke id="j"><content>` + child + `<state id="c"/></scxml></content><finalize><assign location="x" expr="x + 'j'"/></finalize></invoke>
		<onentry><send event="own"/></onentry><transition event="own" cond="x==''"/><transition event="hi" cond="x=='i7'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "6.5.2", name: "empty finalize and namelist", says: `an empty <finalize> updates what namelist names with "any return value that has a name that matches"`, body: `
		<datamodel><data id="x" expr="0"/><data id="y" expr="0"/></datamodel><state id="s"><invoke id="i" namelist="x"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"><param name="x" expr="4"/><param name="y" expr="4"/></send></onentry></state></scxml></content><finalize/></invoke><transition event="hi" cond="x==4 &amp;&amp; y==0" target="pass"/><onentry><send event="timeout" delay="5s"/></onentry><transition event="timeout" target="fail"/></state>`},
	{section: "6.5.2", name: "empty finalize and param", says: `and the location of a <param> "that has a name that matches" its name`, body: `
		<datamodel><data id="x" expr="0"/></datamodel><state id="s"><invoke id="i"><param name="q" location="x"/><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"><param name="q" expr="4"/></send></onentry></state></scxml></content><finalize/></invoke><transition event="hi" cond="x==4" target="pass"/><onentry><send event="timeout" delay="5s"/></onentry><transition event="timeout" target="fail"/></state>`},
	{section: "6.5.2", name: "no finalize", says: `"the automatic update does not take place if the <finalize> element is absent as opposed to empty"`, body: `
		<datamodel><data id="x" expr="0"/></datamodel><state id="s"><invoke id="i" namelist="x"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"><param name="x" expr="4"/></send></onentry></state></scxml></content></invoke><transition event="hi" cond="x==0" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "C.1", name: "data are copied", says: `"changes to the transmitted data in the receiving session do not affect the data in the sending session and vice-versa"`, body: `
		<datamodel><data id="o" expr="{n: 1}"/></datamodel>
		<state id="s"><onentry><send event="e" namelist="o"/><send event="f"><content expr="o"/></send><script>o.n = 2</script></onentry>
		<transition event="e" cond="_event.data.o.n==1"><script>_event.data.o.n = 3</script></transition><transition event="f" cond="_event.data.n==1 &amp;&amp; o.n==2" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "C.1", name: "targets that are not there", says: `"a session that does not exist or is inaccessible" is error.communication: a parent, an invocation, a session; with the id of the send`, body: `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><send event="e" id="a" target="#_parent"/></onentry><onentry><send event="e" id="b" target="#_nobody"/></onentry><onentry><send event="e" id="c" target="#_scxml_nobody"/></onentry><onentry><send event="e" id="d" target="#_nobody" delay="1s"/></onentry>
		<transition event="error.communication" cond="_event.sendid=='abcd'.charAt(n) &amp;&amp; _event.type=='platform'"><assign location="n" expr="n+1"/></transition><transition cond="n==4" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "C.1", name: "both directions", says: `parent and child reach each other by "#_parent" and "#_invokeid", any session by its id, and answer by origin`, body: `
		<state id="s"><invoke id="i"><content>` + child + `<state id="c"><onentry><send target="#_parent" event="hi"/></onentry><transition event="ask" target="d"><send targetexpr="_event.origin" typeexpr="_event.origintype" event="answer"><param name="n" expr="_event.data.n + 1"/></send></transition></state>
		<state id="d"><transition event="end" target="f"/></state><final id="f"/></scxml></content></invoke>
		<transition event="hi" cond="_event.invokeid=='i'"><send target="#_i" event="ask"><param name="n" expr="1"/></send></transition>
		<transition event="answer" cond="_event.data.n==2"><send targetexpr="_event.origin" event="end"/></transition><transition event="done.invoke.i" target="pass"/><transition event="*" target="fail"/></state>`},
}
