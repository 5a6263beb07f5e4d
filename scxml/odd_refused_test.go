// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"strings"
	"testing"
)

// oddRefused are documents that keep all but one rule, beside those of refused, which
// has a row for each rule: what other engines may let pass. They have the form of those; of
// what is no XML at all, no place is given.
var oddRefused = []struct{ section, body, want string }{
	// 3.2: the attributes of <scxml> are of the words that 3.2.1 has for them; its children are of its namespace.
	{"3.2", `▶` + head + `<o:x xmlns:o="urn:o"><state id="a"/></o:x></scxml>`, `<scxml> has no state`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version=""><state/></scxml>`, `version "" is not supported, only 1.0`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1"><state/></scxml>`, `version "1" is not supported, only 1.0`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel=""><state/></scxml>`, `the attribute datamodel is empty`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ECMAScript"><state/></scxml>`, `datamodel "ECMAScript" is not supported, only ecmascript and null`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" binding=""><state/></scxml>`, `the attribute binding is empty`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" binding="Late"><state/></scxml>`, `binding "Late" is neither early nor late`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial=""><state/></scxml>`, `the attribute initial is empty`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial=" "><state/></scxml>`, `the attribute initial is empty`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="a a"><state id="a"/></scxml>`, `target "a" occurs twice`},
	{"3.2", `▶<SCXML xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state/></SCXML>`, `the root element is <SCXML>, not <scxml>`},
	{"3.2", `▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">x<state/></scxml>`, `text "x" is not allowed inside <scxml>`},
	{"3.2", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">▶<State/><state/></scxml>`, `unknown element <State>`},
	// 3.3: a state has no text; what it begins with is one of "the state's descendants".
	{"3.3", `▶<state id="a" initial=""><state id="b"/></state>`, `the attribute initial is empty`},
	{"3.3", `▶<state id="a" initial="b c"><state id="b"/><state id="c"/></state>`, `targets "b" and "c" cannot be active together`},
	{"3.3", `▶<state id="a" initial="a"><state id="b"/></state>`, `initial state "a" is not inside "a"`},
	{"3.3", `▶<state id="a" initial="b b"><state id="b"/></state>`, `target "b" occurs twice`},
	{"3.3", `▶<state id="a" initial="b c"><state id="b"><state id="c"/></state></state>`, `targets "b" and "c" are one inside the other`},
	{"3.3", `<state id="a">▶<validate/></state>`, `unknown element <validate>`},
	{"3.3", `<state id="a">▶<anchor/></state>`, `unknown element <anchor>`},
	{"3.3", `▶<state><![CDATA[x]]></state>`, `text "x" is not allowed inside <state>`},
	{"3.3", `▶<state>&#x78;</state>`, `text "x" is not allowed inside <state>`},
	{"3.3", "▶<state>\u00a0</state>", "text \"\\u00a0\" is not allowed inside <state>"},
	// 3.4: a <parallel> enters all of its children.
	{"3.4", `▶<parallel id="a" initial=""><state id="b"/></parallel>`, `<parallel> cannot have the attribute initial: all children are entered`},
	{"3.4", `▶<parallel id="a">text</parallel>`, `text "text" is not allowed inside <parallel>`},
	// 3.5: event, target and type of a transition are there or have a value; executable content alone is in it.
	{"3.5", `<state id="a">▶<transition event="e" type=""/></state>`, `the attribute type is empty`},
	{"3.5", `<state id="a">▶<transition event="e" type="Internal"/></state>`, `transition type "Internal" is neither internal nor external`},
	{"3.5", `<state id="a">▶<transition event=""/></state>`, `the attribute event is empty`},
	{"3.5", `<state id="a">▶<transition event="e" target=" "/></state>`, `the attribute target is empty`},
	{"3.5", `<state id="a"><transition event="e">▶<transition event="e"/></transition></state>`, `<transition> is not allowed inside <transition>`},
	{"3.5", `<state id="a">▶<transition event="e">text</transition></state>`, `text "text" is not allowed inside <transition>`},
	{"3.5", `<state id="a"><transition event="e">▶<onentry/></transition></state>`, `<onentry> is not allowed inside <transition>`},
	// 3.6: <initial> has one transition, "whose value is a valid state specification", without event and cond, and nothing else.
	{"3.6", `<state id="a">▶<initial/><state id="b"/></state>`, `<initial> needs exactly one <transition>, not 0`},
	{"3.6", `<state id="a">▶<initial>x<transition target="b"/></initial><state id="b"/></state>`, `text "x" is not allowed inside <initial>`},
	{"3.6", `<state id="a"><initial>▶<onentry/><transition target="b"/></initial><state id="b"/></state>`, `<onentry> is not allowed inside <initial>`},
	{"3.6", `<state id="a"><initial>▶<transition target=""/></initial><state id="b"/></state>`, `the attribute target is empty`},
	{"3.6", `<state id="a"><initial>▶<transition target="b b2"/></initial><state id="b"/><state id="b2"/></state>`, `targets "b" and "b2" cannot be active together`},
	{"3.6", `<state id="a"><initial>▶<transition target="b" type="inner"/></initial><state id="b"/></state>`, `transition type "inner" is neither internal nor external`},
	{"3.6", `<state id="a"><initial>▶<transition target="x"/></initial><state id="b"/></state>`, `target "x" does not exist`},
	// 3.7: a <final> has <onentry>, <onexit> and <donedata>.
	{"3.7", `<final id="a">▶<parallel/></final>`, `<parallel> is not allowed inside <final>`},
	{"3.7", `<final id="a">▶<history><transition target="a"/></history></final>`, `<history> is not allowed inside <final>`},
	{"3.7", `<final id="a">▶<initial><transition target="a"/></initial></final>`, `<initial> is not allowed inside <final>`},
	{"3.7", `<final id="a">▶<datamodel/></final>`, `<datamodel> is not allowed inside <final>`},
	{"3.7", `<final id="a">▶<script>1</script></final>`, `<script> is not allowed inside <final>`},
	{"3.7", `▶<final id="a">text</final>`, `text "text" is not allowed inside <final>`},
	// 3.8: handlers have executable content.
	{"3.8", `<state id="a">▶<onentry>text</onentry></state>`, `text "text" is not allowed inside <onentry>`},
	{"3.8", `<state id="a"><onentry>▶<onexit/></onentry></state>`, `<onexit> is not allowed inside <onentry>`},
	// 3.10: <history> has one transition to what is in its parent, and nothing else; its type is "deep" or "shallow".
	{"3.10", `<state id="a"><history id="h">▶<transition target="b"/></history></state>`, `target "b" does not exist`},
	{"3.10", `▶<state id="a" initial="h"><history id="h"><transition target="h"/></history></state>`, `a state without children cannot have an initial state`},
	{"3.10", `<state id="a"><history id="h">▶<transition target="h"/></history><state id="b"/></state>`, `default "h" of history "h" is not inside "a"`},
	{"3.10", `<state id="a"><history id="h">▶<transition target="a"/></history><state id="b"/></state>`, `default "a" of history "h" is not inside "a"`},
	{"3.10", `<state id="a">▶<history id="h"><transition target="b"/><transition target="b"/></history><state id="b"/></state>`, `<history> needs exactly one <transition>, not 2`},
	{"3.10", `<state id="a">▶<history id="h" type=""><transition target="b"/></history><state id="b"/></state>`, `the attribute type is empty`},
	{"3.10", `<state id="a">▶<history id="h" type="Deep"><transition target="b"/></history><state id="b"/></state>`, `history type "Deep" is neither shallow nor deep`},
	{"3.10", `<state id="a"><history id="h">▶<transition target=""/></history><state id="b"/></state>`, `the attribute target is empty`},
	{"3.10", `<state id="a">▶<history id="h">text<transition target="b"/></history><state id="b"/></state>`, `text "text" is not allowed inside <history>`},
	{"3.10", `<state id="a"><history id="h">▶<onentry/><transition target="b"/></history><state id="b"/></state>`, `<onentry> is not allowed inside <history>`},
	{"3.10", `<state id="a"><history id="h">▶<transition target="b c"/></history><state id="b"/><state id="c"/></state>`, `targets "b" and "c" cannot be active together`},
	{"3.10", `<state id="a"><history id="h">▶<transition target="b" event=""/></history><state id="b"/></state>`, `the transition of <initial> and <history> cannot have event or cond`},
	{"3.10", `<state id="a"><history id="h">▶<transition target="b" cond=""/></history><state id="b"/></state>`, `the transition of <initial> and <history> cannot have event or cond`},
	{"3.10", `<parallel id="a"><history id="h">▶<transition target="x"/></history><state id="b"/></parallel><state id="x"/>`, `default "x" of history "h" is not inside "a"`},
	// 3.11: targets are states, all of which can be active together.
	{"3.11", `<parallel id="a"><state id="b"/><state id="c"/></parallel><state id="d">▶<transition event="e" target="b d"/></state>`, `targets "b" and "d" cannot be active together`},
	{"3.11", `<parallel id="a"><state id="b"/></parallel><state id="d">▶<transition event="e" target="a b"/></state>`, `targets "a" and "b" are one inside the other`},
	{"3.11", `<datamodel><data id="d"/></datamodel><state id="a">▶<transition event="e" target="d"/></state>`, `target "d" does not exist`},
	{"3.11", `<state id="a"><invoke id="i"/>▶<transition event="e" target="i"/></state>`, `target "i" does not exist`},
	{"3.11", `<state id="a"><onentry><send id="i" event="e"/></onentry>▶<transition event="e" target="i"/></state>`, `target "i" does not exist`},
	{"3.11", `<scxml id="r" xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><state id="a">▶<transition event="e" target="r"/></state></scxml>`, `target "r" does not exist`},
	{"3.11", `<state id="a">▶<transition event="e" target="A"/></state>`, `target "A" does not exist`},
	// 3.14: ids are of type ID.
	{"3.14", `▶<state id=""/>`, `"" is not an id`},
	{"3.14", "▶<state id=\"a\u00a0b\"/>", "\"a\\u00a0b\" is not an id"},
	{"3.14", `<datamodel>▶<data id="" expr="1"/></datamodel><state/>`, `"" is not an id`},
	{"3.14", `<datamodel>▶<data id="a b" expr="1"/></datamodel><state/>`, `"a b" is not an id`},
	{"3.14", `<state id="s"><onentry>▶<send event="a" id="a b"/></onentry></state>`, `"a b" is not an id`},
	{"3.14", `<state>▶<invoke id=""/></state>`, `"" is not an id`},
	// 4.2: event is a name, and there is nothing inside.
	{"4.2", `<state id="s"><onentry>▶<raise event=""/></onentry></state>`, `"" is not the name of an event`},
	{"4.2", `<state id="s"><onentry>▶<raise event="e">x</raise></onentry></state>`, `text "x" is not allowed inside <raise>`},
	{"4.2", `<state id="s"><onentry>▶<raise eventexpr="'e'"/></onentry></state>`, `<raise> needs the attribute event`},
	// 4.3: an <if> has partitions of executable content.
	{"4.3", `<state id="s"><onentry>▶<if cond="true">x</if></onentry></state>`, `text "x" is not allowed inside <if>`},
	{"4.3", `<state id="s"><onentry><if cond="true">▶<else>x</else></if></onentry></state>`, `text "x" is not allowed inside <else>`},
	{"4.3", `<state id="s"><onentry><if cond="true"><else/>▶<elseif cond="true"/><else/></if></onentry></state>`, `<elseif> after <else>`},
	{"4.3", `<state id="s"><onentry>▶<else/></onentry></state>`, `<else> is not allowed inside <onentry>`},
	// 4.6: array and item are required.
	{"4.6", `<state id="s"><onentry><if cond="true"><foreach array="[]" item="i">▶<else/></foreach></if></onentry></state>`, `<else> is not allowed inside <foreach>`},
	{"4.6", `<state id="s"><onentry>▶<foreach array="[]" item="i">x</foreach></onentry></state>`, `text "x" is not allowed inside <foreach>`},
	{"4.6", `<state id="s"><onentry>▶<foreach item="i" index="k"/></onentry></state>`, `<foreach> needs the attribute array`},
	// 4.7: a <log> has no children.
	{"4.7", `<state id="s"><onentry><log expr="1">▶<log/></log></onentry></state>`, `<log> is not allowed inside <log>`},
	// 5.2: a <datamodel> has <data>.
	{"5.2", `▶<datamodel>text</datamodel><state/>`, `text "text" is not allowed inside <datamodel>`},
	{"5.2", `<datamodel>▶<datamodel/></datamodel><state/>`, `<datamodel> is not allowed inside <datamodel>`},
	// 5.3: a <data> has an id, one source, and stands in a <datamodel>.
	{"5.3", `<state id="a">▶<data id="x"/></state>`, `<data> is not allowed inside <state>`},
	{"5.3", `▶<data id="x"/><state id="a"/>`, `<data> is not allowed inside <scxml>`},
	{"5.3", `<datamodel>▶<data name="x" expr="1"/></datamodel><state/>`, `<data> needs the attribute id`},
	{"5.3", `<datamodel>▶<data id="x" src="a" expr="1">2</data></datamodel><state/>`, `<data> has more than one of the attributes src, expr`},
	{"5.3", `<datamodel>▶<data id="x" expr="1"><![CDATA[0]]></data></datamodel><state/>`, `<data> has both a body and expr or src`},
	// 5.4: one location, one value.
	{"5.4", `<state id="s"><onentry>▶<assign location="x"/></onentry></state>`, `<assign> needs expr or a body`},
	{"5.4", `<state id="s"><onentry>▶<assign name="x" expr="1"/></onentry></state>`, `<assign> needs the attribute location`},
	{"5.4", head + `<state id="s"><onentry>▶<assign location="x" expr="1"><a xmlns=""/></assign></onentry></state></scxml>`, `<assign> has both expr and a body`},
	// 5.5: <donedata> is of a <final>, and has either <content> or <param>.
	{"5.5", `<final>▶<donedata>x</donedata></final>`, `<donedata> needs <content> or <param>`},
	{"5.5", `<final>▶<donedata><log/></donedata></final>`, `<donedata> needs <content> or <param>`},
	{"5.5", `<final><donedata>▶<content expr="1"><a/></content></donedata></final>`, `<content> has both expr and a body`},
	{"5.5", `<final>▶<donedata><param name="a" expr="1"/><content/></donedata></final>`, `<donedata> has both <content> and <param> or namelist`},
	{"5.5", `<parallel id="a">▶<donedata><param name="x" expr="1"/></donedata></parallel>`, `<donedata> is not allowed inside <parallel>`},
	{"5.5", `<state id="a">▶<donedata><param name="x" expr="1"/></donedata></state>`, `<donedata> is not allowed inside <state>`},
	{"5.5", `<state id="a"><onexit>▶<donedata/></onexit></state>`, `<donedata> is not allowed inside <onexit>`},
	// 5.6: <content> and.
	{"5.6", `<state id="s"><onentry>▶<content>x</content></onentry></state>`, `<content> is not allowed inside <onentry>`},
	// 5.7: <param> are of <send>, <invoke> and <donedata>.
	{"5.7", `<state id="s"><onentry><raise event="e">▶<param name="a" expr="1"/></raise></onentry></state>`, `<param> is not allowed inside <raise>`},
	{"5.7", `<state id="s"><onentry>▶<param name="x" expr="1"/></onentry></state>`, `<param> is not allowed inside <onentry>`},
	// 5.8: a script is one text or one source, which has to be there when the document is loaded.
	{"5.8", `<state id="s"><onentry><script>▶<log/></script></onentry></state>`, `<log> is not allowed inside <script>`},
	{"5.8", `▶<script src=""/><state/>`, `script src "": loading is not allowed`},
	{"5.8", `▶<script src="a"><!-- --> </script><state/>`, `script src "a": loading is not allowed`},
	// 6.2: a message has one name, and parameters of one value.
	{"6.2", `<state id="s"><onentry>▶<send/></onentry></state>`, `<send> needs event, eventexpr or <content>`},
	{"6.2", `<state id="s"><onentry>▶<send event=""/></onentry></state>`, `"" is not the name of an event`},
	{"6.2", `<state id="s"><onentry>▶<send event="a b"/></onentry></state>`, `"a b" is not the name of an event`},
	{"6.2", `<state id="s"><onentry>▶<send event="a">x</send></onentry></state>`, `text "x" is not allowed inside <send>`},
	{"6.2", `<state id="s"><onentry>▶<send event="e" eventexpr="" /></onentry></state>`, `<send> has more than one of the attributes event, eventexpr`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<raise event="e"/></send></onentry></state>`, `<raise> is not allowed inside <send>`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<param expr="1"/></send></onentry></state>`, `<param> needs the attribute name`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<param name="" expr="1"/></send></onentry></state>`, `the attribute name is empty`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<param name="a"/></send></onentry></state>`, `<param> needs the attribute expr or location`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<param name="a" expr="1" location="b"/></send></onentry></state>`, `<param> has more than one of the attributes expr, location`},
	{"6.2", `<state id="s"><onentry><send event="e">▶<content expr="1">x</content></send></onentry></state>`, `<content> has both expr and a body`},
	{"6.2", head + `<state id="s"><onentry><send event="e">▶<content expr="1"><a xmlns=""/></content></send></onentry></state></scxml>`, `<content> has both expr and a body`},
	// 6.3: what is cancelled is said once.
	{"6.3", `<state id="s"><onentry>▶<cancel sendid=""/></onentry></state>`, `the attribute sendid is empty`},
	{"6.3", `<state id="s"><onentry>▶<cancel sendid="a">x</cancel></onentry></state>`, `text "x" is not allowed inside <cancel>`},
	{"6.3", `<state id="s"><onentry>▶<cancel id="a"/></onentry></state>`, `<cancel> needs the attribute sendid or sendidexpr`},
	// 6.4: one source, and words that are true or false.
	{"6.4", `<state id="a"><onentry>▶<invoke/></onentry></state>`, `<invoke> is not allowed inside <onentry>`},
	{"6.4", `<state>▶<invoke autoforward=""/></state>`, `autoforward "" is neither true nor false`},
	{"6.4", `<state>▶<invoke autoforward="TRUE"/></state>`, `autoforward "TRUE" is neither true nor false`},
	{"6.4", `<state>▶<invoke autoforward="1"/></state>`, `autoforward "1" is neither true nor false`},
	{"6.4", `<state>▶<invoke>x</invoke></state>`, `text "x" is not allowed inside <invoke>`},
	{"6.4", `<state>▶<invoke src="x" srcexpr="y"><content>z</content></invoke></state>`, `<invoke> has more than one of the attributes src, srcexpr`},
	{"6.4", `<state><invoke src="x">▶<send event="e"/></invoke></state>`, `<send> is not allowed inside <invoke>`},
	{"6.4", `<state><invoke src="x">▶<param name="a"/></invoke></state>`, `<param> needs the attribute expr or location`},
	{"6.4", `<state><invoke>▶<content expr="a">b</content></invoke></state>`, `<content> has both expr and a body`},
	// 6.5: <finalize> raises nothing.
	{"6.5", `<state><invoke src="x">▶<finalize>x</finalize></invoke></state>`, `text "x" is not allowed inside <finalize>`},
	{"6.5", `<state><invoke src="x"><finalize><foreach array="[]" item="i">▶<send event="e"/></foreach></finalize></invoke></state>`, `<send> is not allowed inside <finalize>, which raises no events`},
	{"6.5", `<state><invoke src="x"><finalize>▶<finalize/></finalize></invoke></state>`, `<finalize> is not allowed inside <finalize>`},
	// A.1: elements and attributes have the namespaces that XML gives them.
	{"A.1", `▶<:state/><state/>`, `unknown element <:state>`},
	{"A.1", `▶<state:/><state/>`, `unknown element <state:>`},
	{"A.1", head + `▶<state id="a" xmlns:o="urn:o" o:x="1" o:x="2"/></scxml>`, `attribute "x" occurs twice`},
	{"A.1", head + `▶<state id="a" xmlns:o="urn:o" xmlns:p="urn:o" o:x="1" p:x="2"/></scxml>`, `attribute "x" occurs twice`},
	{"A.1", head + `▶<state id="a" xmlns:o="a" xmlns:o="b"/></scxml>`, `attribute "o" occurs twice`},
	{"A.1", head + `▶<x xmlns="">text<y/></x><state id="a"/></scxml>`, `<x> is in no namespace`},
	{"A.1", head + `<state id="s"><onentry><script>▶<a xmlns=""/></script></onentry></state></scxml>`, `<a> is in no namespace`},
	// A.2: what is no XML.
	{"A.2", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state/></scxml>x`, `text outside of the root element`},
	{"A.2", `x<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state/></scxml>`, `text outside of the root element`},
	{"A.2", `<?xml version="2.0"?>` + head + `<state/></scxml>`, `the XML declaration is not well-formed`},
	{"A.2", `<?xml version="1.0" encoding="us-ascii"?>` + head + `<state id="ä"/></scxml>`, `the document has characters that encoding "us-ascii" has not`},
	{"A.2", head + "<state id=\"\xe4\"/></scxml>", `invalid UTF-8`},
	{"A.2", head + "<state id=\"\xc0\x80\"/></scxml>", `invalid UTF-8`},
	{"A.2", head + `<!-- a -- b --><state/></scxml>`, `invalid sequence "--" not allowed in comments`},
	{"A.2", head + `<!-- a ---><state/></scxml>`, `invalid sequence "--" not allowed in comments`},
	{"A.2", head + `<script>a ]]> b</script><state/></scxml>`, `unescaped ]]> not in CDATA section`},
	{"A.2", head + "<state id=\"a\x01\"/></scxml>", `illegal character code U+0001`},
	{"A.2", head + `<state id="a&#1;"/></scxml>`, `illegal character code U+0001`},
	{"A.2", head + `<state id="a&#0;"/></scxml>`, `illegal character code U+0000`},
	{"A.2", head + `<state id="a&#xFFFE;"/></scxml>`, `illegal character code U+FFFE`},
	{"A.2", head + `<state id="a&#x110000;"/></scxml>`, `invalid character entity &#x110000;`},
	{"A.2", head + `<state id=a/></scxml>`, `unquoted or missing attribute value in element`},
	{"A.2", head + `<state id/></scxml>`, `attribute name without = in element`},
	{"A.2", head + `<state id='a"/></scxml>`, `unescaped < inside quoted string`},
	{"A.2", head + `<state></State></scxml>`, `element <state> closed by </State>`},
	{"A.2", head + `< state/></scxml>`, `expected element name after <`},
	{"A.2", `<a:b:scxml xmlns:a="http://www.w3.org/2005/07/scxml" version="1.0"><state/></a:b:scxml>`, `expected element name after <`},
	{"A.2", head + `<state><?XML a?></state></scxml>`, `<?xml is not at the beginning of the document`},
	{"A.2", head + `<state>&nbsp;</state></scxml>`, `invalid character entity &nbsp;`},
	{"A.2", head + `<state>&</state></scxml>`, `invalid character entity & (no semicolon)`},
	{"A.2", head + `<state>&amp</state></scxml>`, `invalid character entity &amp (no semicolon)`},
	{"A.2", head + `<state/>`, `unexpected EOF`},
	{"A.2", head + `<state/></scxml></scxml>`, `unexpected end element </scxml>`},
	{"A.2", "\x00\x00\x00<\x00\x00\x00s", `illegal character code U+0000`},
	{"A.2", "\ufeff\ufeff" + head + `<state/></scxml>`, `text outside of the root element`},
	{"A.2", "\ufeff<?xml version='1.0' encoding='UTF-16'?>" + head + `<state/></scxml>`, `encoding "UTF-16" is not that of the document`},
	{"A.2", ` <?xml version='1.0'?>` + head + `<state/></scxml>`, `<?xml is not at the beginning of the document`},
	{"A.2", `<?xml version='1.0'?><?xml version='1.0'?>` + head + `<state/></scxml>`, `<?xml is not at the beginning of the document`},
}

func TestOddRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range oddRefused {
		t.Run(tt.section+" "+tt.want, func(t *testing.T) {
			t.Parallel()
			got, at := refusal(t, tt.body)
			if !strings.Contains(got.Message, tt.want) || strings.Contains(tt.body, "▶") && got.Position != at {
				t.Errorf("%s\ngot  %v\nwant %q at %v", tt.body, got, tt.want, at)
			}
		})
	}
}
