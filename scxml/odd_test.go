// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// odd are documents that end in pass, by what is seldom written: values that are empty,
// and things in unusual places. They are bodies as those of clauses.
var odd = []struct{ says, body string }{
	{"an id that names no variable is a fault of its own", `<datamodel><data id="a-b" expr="1"/><data id="ok" expr="2"/></datamodel><state id="s"><transition event="error.execution" cond="ok == 2" target="pass"/><transition event="*" target="fail"/></state>`},
	{"an id that begins with a digit names none", `<datamodel><data id="1a" expr="1"/></datamodel><state id="s"><transition event="error.execution" target="pass"/></state>`},
	{"a word of the language names none", `<datamodel><data id="class" expr="1"/></datamodel><state id="s"><transition event="error.execution" target="pass"/></state>`},
	{"letters of other languages may be in a name", `<datamodel><data id="größe" expr="1"/></datamodel><state id="s"><transition cond="größe == 1" target="pass"/></state>`},
	{"an empty location is a fault", `<state id="s"><onentry><assign location="" expr="1"/></onentry><transition event="error.execution" target="pass"/></state>`},
	{"an empty condition of a transition is a fault, and false", `<state id="s"><transition cond="" target="fail"/><transition event="error.execution" target="pass"/></state>`},
	{"an empty condition of an <if> is a fault, and false", `<state id="s"><onentry><if cond=""><raise event="bad"/></if></onentry><transition event="bad" target="fail"/><transition event="error.execution" target="pass"/></state>`},
	{"an empty expression of <data> is a fault, and the variable undefined", `<datamodel><data id="x" expr=""/></datamodel><state id="s"><transition event="error.execution" cond="x === undefined" target="pass"/></state>`},
	{"an empty address of <data> is a fault, and the variable undefined", `<datamodel><data id="x" src=""/></datamodel><state id="s"><transition event="error.execution" cond="x === undefined" target="pass"/></state>`},
	{"a <log> may say nothing; with an empty expression it fails", `<state id="s"><onentry><log/><log label="x"/><log expr=""/></onentry><transition event="error.execution" target="pass"/></state>`},
	{"an empty array is no array", `<state id="s"><onentry><foreach array="" item="i"/></onentry><transition event="error.execution" target="pass"/></state>`},
	{"an empty item is no variable", `<state id="s"><onentry><foreach array="[1]" item=""/></onentry><transition event="error.execution" target="pass"/></state>`},
	{"an empty index is none", `<state id="s"><onentry><foreach array="[1]" item="i" index=""/><raise event="x"/></onentry><transition event="x" cond="i == 1" target="pass"/></state>`},
	{"an empty delay is none", `<state id="s"><onentry><send event="x" delay=""/></onentry><transition event="x" target="pass"/></state>`},
	{"an empty delay that an expression gives is none", `<state id="s"><onentry><send event="x" delayexpr="''"/></onentry><transition event="x" target="pass"/></state>`},
	{"an empty target is the session itself", `<state id="s"><onentry><send event="x" target=""/></onentry><transition event="x" target="pass"/></state>`},
	{"an empty type is that of SCXML", `<state id="s"><onentry><send event="x" type=""/></onentry><transition event="x" target="pass"/></state>`},
	{"an empty namelist has no names", `<state id="s"><onentry><send event="x" namelist=""/></onentry><transition event="x" cond="_event.data === undefined" target="pass"/></state>`},
	{"an empty <content> is a message", `<state id="s"><onentry><send event="x"><content/></send></onentry><transition event="x" target="pass"/></state>`},
	{"no time is negative", `<state id="s"><onentry><send event="x" delay="-1s"/></onentry><transition event="error.execution" target="pass"/><transition event="x" target="fail"/></state>`},
	{"no time that an expression gives is negative", `<state id="s"><onentry><send event="x" delayexpr="'-1s'"/></onentry><transition event="error.execution" target="pass"/><transition event="x" target="fail"/></state>`},
	{"a time has no blank inside", `<state id="s"><onentry><send event="x" delay="1 s"/></onentry><transition event="error.execution" target="pass"/><transition event="x" target="fail"/></state>`},
	{"a number is no time", `<state id="s"><onentry><send event="x" delayexpr="1000"/></onentry><transition event="error.execution" target="pass"/><transition event="x" target="fail"/></state>`},
	{"a time has no exponent", `<state id="s"><onentry><send event="x" delay="1e3ms"/></onentry><transition event="error.execution" target="pass"/><transition event="x" target="fail"/></state>`},
	{"an empty expression gives no name", `<state id="s"><onentry><send eventexpr=""/></onentry><transition event="error.execution" target="pass"/></state>`},
	{"scripts of nothing do nothing", `<state id="s"><onentry><script/><script></script><script> </script><script><!-- x --></script><raise event="x"/></onentry><transition event="x" target="pass"/><transition event="error" target="fail"/></state>`},
	{"a comment may end a condition", `<datamodel><data id="x" expr="1"/></datamodel><state id="s"><transition cond="x == 1 // why" target="pass"/><transition target="fail"/></state>`},
	{"comments and a semicolon may be around a condition", `<datamodel><data id="x" expr="1 /* a */"/></datamodel><state id="s"><transition cond="/* a */ x == 1;" target="pass"/><transition target="fail"/></state>`},
	{"a comment may end a script", `<state id="s"><onentry><script>var a = 1 // end</script><raise event="x"/></onentry><transition event="x" cond="a==1" target="pass"/></state>`},
	{"comments, processing instructions and CDATA are in the middle of a script", `<state id="s"><onentry><script>var a = 1;<!-- c --> a++;<?p?> a++;<![CDATA[ a = a && a < 9 ? a : 0; ]]></script></onentry><transition cond="a == 3" target="pass"/></state>`},
	{"elements and attributes of others are everywhere", `<o:meta xmlns:o="urn:o"><o:x/>text</o:meta><datamodel xmlns:o="urn:o" o:a="1"><o:x/><data id="x" o:b="2" expr="1"/></datamodel><state id="s" xmlns:o="urn:o"><o:x/><onentry o:x="1"><o:x>t</o:x><if cond="true"><o:x/><raise event="e"><o:x/></raise><o:y/><else/><o:z/></if><log expr="1"><o:x/></log><send event="f"><o:x/><param name="p" expr="1"><o:x/></param></send><cancel sendid="z"><o:x/></cancel></onentry><transition event="e"><o:x/></transition><transition event="f" cond="_event.data.p == 1" target="t"/><transition event="*" target="fail"/></state><state id="t"><o:x xmlns:o="urn:o"/><initial><o:x xmlns:o="urn:o"/><transition target="t1"/></initial><history id="h"><o:x xmlns:o="urn:o"/><transition target="t1"/></history><state id="t1"/><final id="t2"><o:x xmlns:o="urn:o"/></final><invoke id="i"><o:x xmlns:o="urn:o"/><content><scxml version="1.0" datamodel="null"><final id="f"/></scxml></content><finalize><o:x xmlns:o="urn:o"/></finalize></invoke><transition event="done.invoke.i" target="pass"/><transition event="*" target="fail"/></state>`},
	{"references to characters stand for them", `<state id="s"><onentry><script>var a = 1 &lt; 2 &amp;&amp; '&#x41;' == 'A' &amp;&amp; &quot;x&quot; == &apos;x&apos;</script></onentry><transition cond="a" target="pass"/></state>`},
	{"states without an id get done", `<state id="s" initial="p"><parallel id="p"><state><final/></state><state><state id="q"><transition target="z"/></state><final id="z"/></state></parallel><transition event="done.state.p" target="pass"/></state>`},
	{"an initial attribute names a state in each region", `<state id="s" initial="b2 c2"><parallel id="p"><state id="b"><state id="b1"/><state id="b2"/></state><state id="c"><state id="c1"/><state id="c2"/></state></parallel><transition cond="In('b2') &amp;&amp; In('c2')" target="pass"/><transition target="fail"/></state>`},
	{"an initial attribute names a history", `<state id="s" initial="h"><history id="h" type="deep"><transition target="b1"/></history><state id="b"><state id="b0"/><state id="b1"/></state><transition cond="In('b1')" target="pass"/><transition target="fail"/></state>`},
	{"the default of a history names a state in each region", `<state id="s"><transition target="h"/></state><parallel id="p"><history id="h" type="deep"><transition target="b1 c1"/></history><state id="b"><state id="b0"/><state id="b1"/></state><state id="c"><state id="c0"/><state id="c1"/></state><transition cond="In('b1') &amp;&amp; In('c1')" target="pass"/><transition target="fail"/></parallel>`},
	{"the default of a history names another history", `<state id="s"><transition target="h"/></state><state id="p"><history id="h"><transition target="g"/></history><history id="g" type="deep"><transition target="b1"/></history><state id="b"><state id="b0"/><state id="b1"/></state><transition cond="In('b1')" target="pass"/><transition target="fail"/></state>`},
	{"line breaks and blanks are around everything in a tag", "<state id=\"s\"\n><transition\n\tcond = \"1\n==\n1\"\n target\n=\n'pass'\n/></state>"},
	{"ids have dots, colons and digits", `<state id="1"><transition target="a.b:c-d"/></state><state id="a.b:c-d"><transition cond="In('a.b:c-d')" target="pass"/></state>`},
	{"ids are the names of what every object has", `<state id="constructor"><transition cond="In('constructor') &amp;&amp; !In('toString')" target="__proto__"/></state><state id="__proto__"><transition cond="In('__proto__')" target="pass"/></state>`},
	{"descriptors match by tokens, and by letters of the same case", `<state id="s"><onentry><raise event="a.b"/></onentry><transition event="a.b.c A.B aa a.bb" target="fail"/><transition event="x a" target="pass"/></state>`},
	{"authors may raise what is named as an error", `<state id="s"><onentry><raise event="error.foo"/></onentry><transition event="error" target="pass"/></state>`},
	{"a name may be a star", `<state id="s"><onentry><raise event="*"/></onentry><transition event="a" target="fail"/><transition event="*" target="pass"/></state>`},
	{"early binding: data of a state that was never entered are there", `<state id="s"><onentry><assign location="x" expr="5"/></onentry><transition cond="x == 5" target="pass"/><transition event="error" target="fail"/></state><state id="q"><datamodel><data id="x" expr="1"/></datamodel></state>`},
	{"a script at the top runs after the data are there, wherever it stands", `<script>var y = x + 1</script><datamodel><data id="x" expr="1"/></datamodel><state id="s"><transition cond="y == 2" target="pass"/><transition target="fail"/></state>`},
	{"a <final> may come first", `<state id="s"><final id="f"/><state id="g"/><transition event="done.state.s" target="pass"/></state>`},
	{"what the transition of <initial> raises comes after the entry", `<state id="s"><initial><transition target="b"><raise event="i"/></transition></initial><state id="b"><transition event="i" target="pass"/></state></state>`},
	{"a service that is not there is a fault", `<state id="s"><invoke id="i" type="nope"/><transition event="error.execution" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a type that fails is one", `<state id="s"><invoke id="i" typeexpr="nope"/><transition event="error.execution" target="pass"/><transition event="*" target="fail"/></state>`},
	{"an address that fails is one", `<state id="s"><invoke id="i" srcexpr="nope"/><transition event="error.execution" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a chart to be invoked may be the text that an expression gives", `<state id="s"><invoke id="i"><content expr="'&lt;scxml xmlns=&quot;http://www.w3.org/2005/07/scxml&quot; version=&quot;1.0&quot;&gt;&lt;final/&gt;&lt;/scxml&gt;'"/></invoke><transition event="done.invoke.i" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a chart to be invoked may be text in CDATA", `<state id="s"><invoke id="i"><content><![CDATA[<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><final/></scxml>]]></content></invoke><transition event="done.invoke.i" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a chart to be invoked may stand among comments", `<state id="s"><invoke id="i"><content> <!-- c --> <?p?> <scxml version="1.0"><final/></scxml> </content></invoke><transition event="done.invoke.i" target="pass"/><transition event="*" target="fail"/></state>`},
	{"two names of SCXML for the type of a service", `<state id="s"><invoke id="i" type="scxml"><content><scxml version="1.0"><final/></scxml></content></invoke><invoke id="j" type="http://www.w3.org/TR/scxml"><content><scxml version="1.0"><final/></scxml></content></invoke><transition event="done.invoke.j" target="pass"/><transition event="error" target="fail"/></state>`},
	{"<donedata> has locations and expressions", `<datamodel><data id="x" expr="3"/></datamodel><state id="s"><final id="f"><donedata><param name="p" location="x"/><param name="q" expr="4"/></donedata></final><transition event="done.state.s" cond="_event.data.p + _event.data.q == 7" target="pass"/></state>`},
	{"there is no event before the first", `<state id="s"><transition cond="_event === undefined &amp;&amp; typeof _name == 'string' || _name === undefined" target="pass"/><transition event="error" target="fail"/></state>`},
	{"text is space-normalized", `<state id="s"><onentry><send event="x"><content>  a
	 b </content></send></onentry><transition event="x" cond="_event.data === 'a b'" target="pass"/></state>`},
	{"text that an expression gives is as it is", `<state id="s"><onentry><send event="x"><content expr="'  a '"/></send></onentry><transition event="x" cond="_event.data === '  a '" target="pass"/></state>`},
	{"of two regions that leave, the first in the document does", `<parallel id="p"><state id="a"><onentry><raise event="e"/></onentry><transition event="e" target="a2"/></state><state id="b"><transition event="e" target="b2"/></state><state id="c"/></parallel><state id="a2"><transition target="pass"/></state><state id="b2"><transition target="fail"/></state>`},
	{"a state may leave itself for itself", `<datamodel><data id="n" expr="0"/></datamodel><state id="s"><onentry><assign location="n" expr="n+1"/></onentry><transition cond="n &lt; 3" target="s"/><transition cond="n == 3" target="pass"/></state>`},
	{"a transition at the top", `<transition event="x" target="pass"/><state id="s"><onentry><raise event="x"/></onentry></state>`},
	{"attributes that nobody knows are passed over", `<state id="s" foo="bar"><transition baz="1" target="pass"/></state>`},
	{"a namelist has locations, and names the data by them", `<datamodel><data id="o" expr="{a: {b: 2}}"/></datamodel><state id="s"><onentry><send event="x" namelist="o o.a.b"/></onentry><transition event="x" cond="_event.data['o.a.b'] == 2 &amp;&amp; _event.data.o.a.b == 2" target="pass"/><transition event="*" target="fail"/></state>`},
	{"null, 0, false and nothing are data", `<state id="s"><onentry><send event="x"><content expr="null"/></send><send event="y"><content expr="0"/></send><send event="z"><content expr="false"/></send><send event="w"><content expr="''"/></send></onentry><transition event="x" cond="_event.data === null"/><transition event="y" cond="_event.data === 0"/><transition event="z" cond="_event.data === false"/><transition event="w" cond="_event.data === ''" target="pass"/><transition event="*" target="fail"/></state>`},
	{"a condition of a branch that fails is false", `<state id="s"><onentry><if cond="false"><raise event="a"/><elseif cond="nope"/><raise event="b"/><elseif cond="true"/><raise event="c"/><else/><raise event="d"/></if></onentry><transition event="error.execution"/><transition event="c" target="pass"/><transition event="*" target="fail"/></state>`},
	{"<assign> has JSON", `<datamodel><data id="x"/></datamodel><state id="s"><onentry><assign location="x">[1, 2]</assign></onentry><transition cond="x.length == 2" target="pass"/><transition target="fail"/></state>`},
	{"<assign> has XML", `<datamodel><data id="x"/></datamodel><state id="s"><onentry><assign location="x"><a xmlns=""><b/></a></assign></onentry><transition cond="x.documentElement.tagName == 'a' || x.tagName == 'a'" target="pass"/><transition target="fail"/></state>`},
	{"elements of SCXML in <data> are data", `<datamodel><data id="x"><state id="inner"/></data></datamodel><state id="inner"><transition cond="x.getAttribute('id') == 'inner'" target="pass"/><transition target="fail"/></state>`},
}

func TestOdd(t *testing.T) {
	t.Parallel()
	for _, tt := range odd {
		t.Run(tt.says, func(t *testing.T) {
			t.Parallel()
			for _, restore := range []bool{false, true} {
				if ended := runToEnd(t, clause{body: tt.body}, restore); ended != "pass" {
					t.Errorf("restored %v: ended in %s, want pass\n%s", restore, ended, tt.body)
				}
			}
		})
	}
}

// oddTaken are whole documents that are taken.
var oddTaken = []struct{ says, document string }{
	{"the version of XML is a later one", `<?xml version="1.1"?>` + head + `<state/></scxml>`},
	{"the encoding is called utf8", `<?xml version="1.0" encoding="utf8"?>` + head + `<state id="ä"/></scxml>`},
	{"the encoding is ASCII", `<?xml version='1.0' encoding='us-ascii'?>` + head + `<state id="&#xe4;"/></scxml>`},
	{"a mark of the order of bytes before a declaration", "\ufeff<?xml version='1.0' encoding='UTF-8'?>" + head + `<state/></scxml>`},
	{"blanks before the root where there is no declaration", "\n\t " + head + `<state/></scxml>`},
	{"processing instructions for others", `<?xml version="1.0"?><?xml-stylesheet href="a"?><?xml-model href="b"?>` + head + `<state/></scxml>`},
	{"attributes of XML and of XML Schema", `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b" version="1.0" xml:lang="en" xml:base="http://x/" xml:space="preserve" xml:id="q" exmode="strict"><state/></scxml>`},
	{"blanks in tags", head + "<state  \n></state\n ></scxml >"},
	{"white space that is written as CDATA, or as references", head + `<state><![CDATA[ ]]></state><state>&#32;&#x9;</state></scxml>`},
	{"one local name in two namespaces, and in none", head + `<state id="a" xmlns:o="urn:o" xmlns:p="urn:p" o:x="1" p:x="2" x="3"/></scxml>`},
	{"a state of the same id inside of what belongs to others", head + `<o:x xmlns:o="urn:o"><state id="a"/>text<o:y/></o:x><state id="a"/></scxml>`},
	{"elements of a default namespace of others", head + `<x xmlns="urn:o">text<y/></x><state id="a"><x xmlns="urn:o"/></state></scxml>`},
	{"the type of the transition of <initial>", head + `<state id="a"><initial><transition target="b" type="internal"/></initial><state id="b"/></state></scxml>`},
	{"a history without an id", head + `<state id="a"><history><transition target="b"/></history><state id="b"/></state></scxml>`},
	{"a comment beside an expression", head + `<datamodel><data id="x" expr="1"> <!-- c --> <?p?> </data><data id="y" expr="1"><![CDATA[ ]]></data></datamodel><state><onentry><send event="e"><content expr="1"> <!-- --></content></send></onentry></state></scxml>`},
	{"a message by HTTP without a name", head + `<state><onentry><send type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" target="http://x/"/></onentry></state></scxml>`},
	{"a name with blanks, and an empty one", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="a b"><state><invoke><content><scxml version="1.0" name=""><state/></scxml></content></invoke></state></scxml>`},
}

func TestOddTaken(t *testing.T) {
	t.Parallel()
	for _, tt := range oddTaken {
		t.Run(tt.says, func(t *testing.T) {
			t.Parallel()
			d, err := scxml.Parse("odd.scxml", []byte(tt.document), scxml.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := scxml.Compile(d, scxml.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if p := c.Problems(); len(p) > 0 {
				t.Errorf("problems %v, want none", p)
			}
		})
	}
}
