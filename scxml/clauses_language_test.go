// SPDX-License-Identifier: Apache-2.0

package scxml_test

// languageClauses are of appendix B, "Data Models".
var languageClauses = []clause{
	{section: "B.1.2", name: "null In", says: `"The boolean expression language consists of the In predicate only": true "if and only if that state is in the current state configuration"; what else stands in 'cond' is error.execution`, events: []string{"x", "go", "go"}, body: `<?xml version="1.0"?>
		<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null"><parallel id="p"><state id="a"><transition event="go" cond="In(b2)" target="pass"/><transition event="x" cond="true" target="pass"/></state>
		<state id="b"><state id="b1"><transition event="go" cond="In( 'a' )" target="b2"/></state><state id="b2"/></state></parallel><final id="pass"/></scxml>`, tells: `
		start: enter p a b b1
		x: no transition
		  error.execution in <transition> line 2: the null datamodel knows only In('id'), not "true"
		error.execution: no transition
		go: exit b1; take b1->b2 on go if In( 'a' ); enter b2
		go: exit b2 b a p; take a->pass on go if In(b2); enter pass
		effect 1: done state=pass
	`},
	{section: "B.1.6", name: "null has no data", says: `"The <foreach> element and the elements defined in 5 Data Model and Data Manipulation are not supported", and "System variables are not accessible": error.execution`, body: `<?xml version="1.0"?>
		<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null"><datamodel><data id="d" expr="1"/></datamodel>
		<state id="s"><onentry><assign location="d" expr="1"/></onentry><onentry><script>1</script></onentry><onentry><foreach array="d" item="i"/></onentry><onentry><log expr="_sessionid"/></onentry><onentry><send eventexpr="_name"/></onentry><onentry><raise event="e"/></onentry></state></scxml>`, tells: `
		start: enter s; raise e
		  error.execution in <data> line 2: the null datamodel has no data
		  error.execution in <data> line 2: the null datamodel has no data
		  error.execution in <assign> line 3: the null datamodel has no data
		  error.execution in <script> line 3: the null datamodel has no data
		  error.execution in <foreach> line 3: the null datamodel has no data
		  error.execution in <log> line 3: the null datamodel has no data
		  error.execution in <send> line 3: the null datamodel has no data
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		e: no transition
	`},
	{section: "B.2.1", name: "content of data", says: `the content of <data> is JSON, or else XML, or else "a space-normalized string literal"; nothing is undefined`, body: `
		<datamodel><data id="j"><![CDATA[ {"a": "<b>"} ]]></data><data id="n"> 17 </data><data id="x"><a xmlns=""><b c="1"/></a></data><data id="t"> a  text
		of lines </data><data id="not">{"a":</data><data id="u"/><data id="e"></data></datamodel>
		<state id="s"><transition cond="j.a=='&lt;b>' &amp;&amp; n===17 &amp;&amp; x.getElementsByTagName('b')[0].getAttribute('c')=='1' &amp;&amp; t==='a text of lines' &amp;&amp; not==='{&quot;a&quot;:' &amp;&amp; u===undefined &amp;&amp; e===undefined" target="pass"/><transition target="fail"/></state>`},
	{section: "B.2.2", name: "one scope", says: `"any data element to be accessed from any state", and what a script declares`, body: `
		<state id="a"><datamodel><data id="x" expr="1"/></datamodel><onentry><script>var y = x + 1</script></onentry><transition target="b"/></state>
		<state id="b"><datamodel><data id="z" expr="3"/></datamodel><transition cond="x + y + z == 6" target="pass"/><transition target="fail"/></state>`},
	{section: "B.2.3", name: "ToBoolean", says: `conditions are converted "into their effective boolean value using the ToBoolean operator"`, body: `
		<state id="s0"><transition cond="0" target="fail"/><transition cond="''" target="fail"/><transition cond="NaN" target="fail"/><transition cond="null" target="fail"/><transition cond="undefined" target="fail"/><transition cond="-0" target="fail"/><transition cond="'false'" target="s1"/></state>
		<state id="s1"><transition cond="[]" target="s2"/></state><state id="s2"><transition cond="{}" target="s3"/></state><state id="s3"><transition cond="-1" target="s4"/></state><state id="s4"><transition cond="new Boolean(false)" target="pass"/></state>`},
	{section: "B.2.4", name: "any left-hand side", says: `the processor accepts "any ECMAScript left-hand-side expression as a location expression"`, body: `
		<datamodel><data id="o">{"a": {"b c": [0, {"d": 1}]}}</data><data id="k" expr="'a'"/></datamodel>
		<state id="s"><onentry><assign location="o.a['b c'][1].d" expr="2"/><assign location="(k)" expr="k + ''"/><assign location="o[k]['b' + ' c'][0]" expr="3"/><assign location="(function() { return o })().e" expr="4"/><assign location="o.f" expr="5"/></onentry>
		<transition cond="JSON.stringify([o.a['b c'], o.e, o.f, k]) == '[[3,{&quot;d&quot;:2}],4,5,&quot;a&quot;]'" target="pass"/><transition target="fail"/></state>`},
	{section: "B.2.4", name: "location that is not there", says: `if the structure does not exist "the Processor would raise error.execution and the <assign> would have no effect"`, body: `
		<datamodel><data id="employees">{"employee": []}</data></datamodel>
		<state id="s"><onentry><assign location="employees.employee[12].salary" expr="42000"/></onentry><onentry><assign location="nowhere" expr="1"/></onentry><onentry><assign location="1" expr="1"/></onentry><onentry><raise event="end"/></onentry>
		<transition event="error.execution" target="t"/><transition event="end" target="fail"/></state>
		<state id="t"><transition event="end" cond="employees.employee.length==0 &amp;&amp; typeof nowhere=='undefined'" target="pass"/><transition event="end" target="fail"/></state>`},
	{section: "B.2.5", name: "any expression", says: `the processor accepts "any ECMAScript expression as a value expression"`, body: `
		<datamodel><data id="a" expr="1, 2"/><data id="b" expr="a ? 'x' : 'y'"/><data id="c" expr="/b+/.exec('abbc')[0]"/><data id="d" expr="(function(n) { return n &lt;&lt; 1 })(4)"/><data id="e" expr="typeof void 0 + ('x' in {x: 1}) + ([] instanceof Array)"/><data id="f" expr="new String('s').length"/><data id="g" expr="~5 &gt;&gt;&gt; 28"/></datamodel>
		<state id="s"><transition cond="[a, b, c, d, e, f, g].join() == '2,x,bb,8,undefinedtruetrue,1,15'" target="pass"/><transition target="fail"/></state>`},
	{section: "B.2.7", name: "read-only", says: `"if the <assign> element attempts to assign to a read-only attribute" it is error.execution`, body: `
		<datamodel><data id="s" expr="'abc'"/><data id="x"><a xmlns="" b="1"/></data></datamodel>
		<state id="q"><onentry><assign location="s.length" expr="1"/></onentry><onentry><assign location="s[0]" expr="'z'"/></onentry><onentry><assign location="Math.PI" expr="3"/></onentry><onentry><assign location="x.documentElement" expr="3"/></onentry><onentry><raise event="end"/></onentry></state>`, tells: `
		start: enter q; raise end
		  error.execution in <assign> line 3: TypeError: Cannot assign to read only property 'length'
		  error.execution in <assign> line 3: TypeError: Cannot assign to read only property '0'
		  error.execution in <assign> line 3: TypeError: Cannot assign to read only property 'PI'
		  error.execution in <assign> line 3: TypeError: Cannot assign to read only property 'documentElement'
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		error.execution: no transition
		end: no transition
	`},
	{section: "B.2.8", name: "read-only variables", says: `"where this specification does not specify a value", fields are "ECMAScript undefined"; the names of I/O processors have a location`, body: `
		<state id="s"><onentry><raise event="e"/></onentry><transition event="e" cond="_event.origin===undefined &amp;&amp; typeof _sessionid=='string' &amp;&amp; typeof _ioprocessors['http://www.w3.org/TR/scxml/#SCXMLEventProcessor'].location=='string' &amp;&amp; typeof _ioprocessors['http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor'].location=='string'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "B.2.8.1", name: "data of events", says: `data of events are key-value pairs, or else JSON, or else a DOM, or else "a space-normalized string literal"`, body: `
		<state id="s"><onentry><send event="k"><param name="a" expr="[1]"/></send><send event="j"><content>{"a": [1]}</content></send><send event="x"><content><a xmlns="" b="1"/></content></send><send event="t"><content> a
		b </content></send><send event="n"><content>17</content></send></onentry>
		<transition event="k" cond="_event.data.a[0]===1"/><transition event="j" cond="_event.data.a[0]===1"/><transition event="x" cond="_event.data.documentElement.tagName=='a'"/><transition event="t" cond="_event.data==='a b'"/><transition event="n" cond="_event.data===17" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "B.2.9", name: "serialization", says: `what JSON can say is serialized "to JSON" for others`, body: `
		<state id="s"><onentry><send event="e" type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" targetexpr="_ioprocessors.basichttp.location"><param name="o" expr="{b: [1, null, true], a: 'x'}"/><param name="n" expr="1.5"/><param name="t" expr="'plain text'"/></send></onentry>
		<transition event="e" cond="JSON.stringify(JSON.parse(_event.data.o)) == '{&quot;a&quot;:&quot;x&quot;,&quot;b&quot;:[1,null,true]}' &amp;&amp; _event.data.n==='1.5' &amp;&amp; _event.data.t==='plain text'" target="pass"/><transition event="*" target="fail"/></state>`},
	{section: "B.2.10", name: "any program", says: `the processor accepts "any ECMAScript program"`, body: `
		<datamodel><data id="l" expr="[]"/></datamodel>
		<state id="s"><onentry><script><![CDATA[
			function f(n) { if (n < 2) return n; return f(n - 1) + f(n - 2) }
			outer: for (var i = 0; ; i++) { switch (i) { case 0: continue; case 3: break outer; default: l.push(i) } }
			try { throw {code: 7} } catch (e) { l.push(e.code) } finally { l.push('f') }
			for (var k in {x: 1}) l.push(k);
			do { l.push(f(7)) } while (false);
			with ({w: 'w'}) l.push(w);
		]]></script></onentry><transition cond="l.join() == '1,2,7,f,x,13,w'" target="pass"/><transition target="fail"/></state>`},
	{section: "B.2.11", name: "arrays", says: `iteration is over arrays, "from 0 to length-1"; "the assigned value could be undefined for a sparse array"; what is no array is error.execution`, body: `
		<datamodel><data id="l" expr="''"/><data id="n" expr="0"/></datamodel>
		<state id="s"><onentry><foreach array="[1,,3]" item="i" index="k"><assign location="l" expr="l + k + i"/></foreach></onentry>
		<onentry><foreach array="{a: 1}" item="i"><assign location="l" expr="'no'"/></foreach></onentry><onentry><foreach array="7" item="i"><assign location="l" expr="'no'"/></foreach></onentry><onentry><foreach array="null" item="i"><assign location="l" expr="'no'"/></foreach></onentry><onentry><raise event="end"/></onentry>
		<transition event="error.execution"><assign location="n" expr="n + 1"/></transition><transition event="end" cond="l=='011undefined23' &amp;&amp; n==3" target="pass"/><transition event="end" target="fail"/></state>`},
}
