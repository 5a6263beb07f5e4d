// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// refused are documents that do not conform to a clause, and are refused. The mark ▶
// stands where the error is.
var refused = []struct{ section, name, says, body, want string }{
	{"3.2", "no state", `"A conformant SCXML document MUST have at least one <state>, <parallel> or <final> child"`,
		`▶` + head + `<datamodel/></scxml>`, "no state"},
	{"3.2.1", "binding", `binding is "early" or "late"`,
		`▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" binding="soon"><state/></scxml>`, "neither early nor late"},
	{"3.2.1", "datamodel", `datamodel is "null", "ecmascript" or another that the platform has`,
		`▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="xpath"><state/></scxml>`, "not supported"},
	{"3.2.1", "version", `of version "The value MUST be "1.0""`,
		`▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.1"><state/></scxml>`, "version"},
	{"3.2.2", "two datamodels", `a <datamodel> "Occurs 0 or 1 times"`,
		`▶` + head + `<datamodel/><datamodel/><state/></scxml>`, "more than one <datamodel>"},
	{"3.2.2", "two scripts", `a <script> "Occurs 0 or 1 times"`,
		`▶` + head + `<script>1</script><script>2</script><state/></scxml>`, "more than one <script>"},
	{"3.2.2", "children of scxml", `the children of <scxml>`, `▶<onentry/><state/>`, "<onentry> is not allowed inside <scxml>"},
	{"3.2.2", "initial of scxml", `the children of <scxml>`, `▶<initial><transition target="a"/></initial><state id="a"/>`, "not allowed inside <scxml>"},
	{"3.2.2", "history of scxml", `the children of <scxml>`, `▶<history id="h"><transition target="a"/></history><state id="a"/>`, "not allowed inside <scxml>"},
	{"3.2.2", "invoke of scxml", `the children of <scxml>`, `▶<invoke src="x"/><state id="a"/>`, "not allowed inside <scxml>"},
	{"3.3.1", "initial of atomic", `initial "MUST NOT occur in atomic states"`, `▶<state id="a" initial="b"/><state id="b"/>`, "without children"},
	{"3.3.1", "both initials", `initial "MUST NOT be specified in conjunction with the <initial> element"`,
		`▶<state id="a" initial="b"><initial><transition target="b"/></initial><state id="b"/></state>`, "both <initial>"},
	{"3.3.2", "initial of no substates", `<initial> is "In states that have substates"`,
		`▶<state id="a"><initial><transition target="b"/></initial></state><state id="b"/>`, "without children"},
	{"3.3.2", "two initials", `"an optional child which identifies the default initial state"`,
		`▶<state id="a"><initial><transition target="b"/></initial><initial><transition target="b"/></initial><state id="b"/></state>`, "more than one <initial>"},
	{"3.3.2", "script in state", `the children of <state>`, `<state id="a">▶<script>1</script></state>`, "not allowed inside <state>"},
	{"3.3.2", "content in state", `the children of <state>`, `<state id="a">▶<raise event="e"/></state>`, "not allowed inside <state>"},
	{"3.3.2", "scxml in state", `the children of <state>`, `<state id="a">▶<scxml version="1.0"/></state>`, "not allowed inside <state>"},
	{"3.3.2", "text in state", `the children of <state>`, `▶<state id="a">oops</state>`, `text "oops" is not allowed inside <state>`},
	{"3.3.2", "datamodels of state", `a <datamodel> "Occurs 0 or 1 times"`, `▶<state id="a"><datamodel/><datamodel/></state>`, "more than one <datamodel>"},
	{"3.4.1", "initial of parallel", `the attributes of <parallel>`, `▶<parallel id="a" initial="b"><state id="b"/></parallel>`, "<parallel>"},
	{"3.4.2", "initial in parallel", `the children of <parallel>`, `<parallel id="a">▶<initial><transition target="b"/></initial><state id="b"/></parallel>`, "not allowed inside <parallel>"},
	{"3.4.2", "final in parallel", `the children of <parallel>`, `<parallel id="a"><state/>▶<final id="b"/></parallel>`, "not allowed inside <parallel>"},
	{"3.5.1", "type of transition", `type is "internal" or "external"`, `<state id="a">▶<transition event="e" type="inner"/></state>`, "neither internal nor external"},
	{"3.5.1", "no descriptors", `event is "A space-separated list of event descriptors"`, `<state id="a">▶<transition event=" "/></state>`, "event is empty"},
	{"3.5.2", "child of transition", `"The children of <transition> are executable content"`, `<state id="a"><transition event="e">▶<param name="n" expr="1"/></transition></state>`, "not allowed inside <transition>"},
	{"3.6.2", "two transitions of initial", `the transition of <initial> "Occurs once"`,
		`<state id="a">▶<initial><transition target="b"/><transition target="b"/></initial><state id="b"/></state>`, "exactly one <transition>, not 2"},
	{"3.6.2", "guarded initial", `it "MUST NOT contain 'cond' or 'event' attributes"`,
		`<state id="a"><initial>▶<transition cond="true" target="b"/></initial><state id="b"/></state>`, "cannot have event or cond"},
	{"3.6.2", "initial on event", `it "MUST NOT contain 'cond' or 'event' attributes"`,
		`<state id="a"><initial>▶<transition event="e" target="b"/></initial><state id="b"/></state>`, "cannot have event or cond"},
	{"3.6.2", "initial without target", `it "MUST specify a non-null 'target'"`, `<state id="a"><initial>▶<transition/></initial><state id="b"/></state>`, "needs a target"},
	{"3.6.2", "initial outside", `"consisting solely of descendants of the containing state"`,
		`<state id="a"><initial>▶<transition target="b"/></initial><state id="c"/></state><state id="b"/>`, `"b" is not inside "a"`},
	{"3.6.2", "initial to itself", `"consisting solely of descendants of the containing state"`,
		`<state id="a"><initial>▶<transition target="a"/></initial><state id="c"/></state>`, `"a" is not inside "a"`},
	{"3.7.2", "transition of final", `the children of <final>`, `<final id="a">▶<transition event="e" target="a"/></final>`, "not allowed inside <final>"},
	{"3.7.2", "state in final", `the children of <final>`, `<final id="a">▶<state id="b"/></final>`, "not allowed inside <final>"},
	{"3.7.2", "invoke of final", `the children of <final>`, `<final id="a">▶<invoke src="x"/></final>`, "not allowed inside <final>"},
	{"3.8.2", "children of onentry", `executable content "as defined in 4 Executable Content"`, `<state><onentry>▶<transition event="e"/></onentry></state>`, "not allowed inside <onentry>"},
	{"3.9.2", "children of onexit", `executable content "as defined in 4 Executable Content"`, `<state><onexit>▶<state/></onexit></state>`, "not allowed inside <onexit>"},
	{"3.10.1", "type of history", `type is "deep" or "shallow"`, `<state>▶<history id="h" type="far"><transition target="b"/></history><state id="b"/></state>`, "neither shallow nor deep"},
	{"3.10.2", "history without default", `the transition of <history> "Occurs once"`, `<state>▶<history id="h"/><state id="b"/></state>`, "exactly one <transition>, not 0"},
	{"3.10.2", "guarded history", `it "MUST NOT contain 'cond' or 'event' attributes"`, `<state><history id="h">▶<transition target="b" cond="true"/></history><state id="b"/></state>`, "cannot have event or cond"},
	{"3.10.2", "history on event", `it "MUST NOT contain 'cond' or 'event' attributes"`, `<state><history id="h">▶<transition target="b" event="e"/></history><state id="b"/></state>`, "cannot have event or cond"},
	{"3.10.2", "history without target", `it "MUST specify a non-null 'target'"`, `<state><history id="h">▶<transition/></history><state id="b"/></state>`, "needs a target"},
	{"3.10.2", "shallow beyond children", `if it is shallow, the target "MUST contain only immediate children of the parent state"`,
		`<state id="a"><history id="h">▶<transition target="c"/></history><state id="b"><state id="c"/></state></state>`, `not a child of "a"`},
	{"3.10.2", "deep beyond descendants", `"Otherwise it MUST contain only descendants of the parent"`,
		`<state id="a"><history id="h" type="deep">▶<transition target="c"/></history><state id="b"/></state><state id="c"/>`, `not inside "a"`},
	{"3.10.2", "several of one state", `several default states of a <state> are in regions of "a <parallel> element that is itself a descendant"`,
		`<state id="a"><history id="h" type="deep">▶<transition target="b c"/></history><state id="b"/><state id="c"/></state>`, "cannot be active together"},
	{"3.10.2", "histories in a circle", `a default that leads back to itself is no "valid state specification"`,
		`<state id="a"><history id="h" type="deep"><transition target="g"/></history><history id="g" type="deep">▶<transition target="h"/></history><state id="a1"/></state>`, "leads back"},
	{"3.11", "unknown target", `the target "MUST either be empty or contain a legal state specification"`, `<state id="a">▶<transition event="e" target="nowhere"/></state>`, `"nowhere" does not exist`},
	{"3.11", "unknown initial", `the target "MUST either be empty or contain a legal state specification"`, `▶<state id="a" initial="nowhere"><state id="b"/></state>`, `"nowhere" does not exist`},
	{"3.11", "ancestor and descendant", `"no state is an ancestor of any other state on the list"`, `<state id="a">▶<transition event="e" target="b c"/></state><state id="b"><state id="c"/></state>`, "one inside the other"},
	{"3.11", "two children of a state", `"When the configuration contains a non-atomic <state>, it contains one and only one of the state's children"`,
		`<state id="a">▶<transition event="e" target="c d"/></state><state id="b"><state id="c"/><state id="d"/></state>`, "cannot be active together"},
	{"3.11", "two children of scxml", `"The configuration contains exactly one child of the <scxml> element"`,
		`▶<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="a b"><state id="a"/><state id="b"/></scxml>`, "cannot be active together"},
	{"3.11", "target given twice", `a specification is "a set of states"`, `<state id="a">▶<transition event="e" target="b b"/></state><state id="b"/>`, "occurs twice"},
	{"3.11", "initial elsewhere", `of an initial attribute too "all the states MUST be descendants of the containing <state> or <parallel> element"`,
		`▶<state id="a" initial="b"><state id="c"/></state><state id="b"/>`, `"b" is not inside "a"`},
	{"3.11", "empty target", `an empty target would conform to 3.11, and not to its type, IDREFS`, `<state id="a">▶<transition event="e" target=""/></state>`, "target is empty"},
	{"3.14", "id of two states", `"the values of all attributes of type "id" MUST be unique within the session"`, `<state id="a"/>▶<final id="a"/>`, `"a" is not unique`},
	{"3.14", "id of state and history", `"the values of all attributes of type "id" MUST be unique within the session"`,
		`<state id="a">▶<history id="a"><transition target="b"/></history><state id="b"/></state>`, `"a" is not unique`},
	{"3.14", "id of two data", `"the values of all attributes of type "id" MUST be unique within the session"`,
		`<datamodel><data id="a"/></datamodel><state><datamodel>▶<data id="a"/></datamodel></state>`, `"a" is not unique`},
	{"3.14", "no id", `what is empty or has white space in it is no id`, `▶<state id="a b"/>`, "is not an id"},
	{"3.14", "no id of send", `what is empty or has white space in it is no id`, `<state><onentry>▶<send event="e" id=""/></onentry></state>`, "is not an id"},
	{"4.2.1", "raise without event", `event is required`, `<state><onentry>▶<raise/></onentry></state>`, "needs the attribute event"},
	{"4.2.1", "raise of two", `event is an NMTOKEN`, `<state><onentry>▶<raise event="a b"/></onentry></state>`, "not the name of an event"},
	{"4.3.1", "if without cond", `cond is required`, `<state><onentry>▶<if><raise event="e"/></if></onentry></state>`, "needs the attribute cond"},
	{"4.3.2", "elseif after else", `"<else> MUST occur after all <elseif> tags"`, `<state><onentry><if cond="1"><else/>▶<elseif cond="2"/></if></onentry></state>`, "after <else>"},
	{"4.3.2", "two else", `<else> "Occurs 0 or 1 times"`, `<state><onentry><if cond="1"><else/>▶<else/></if></onentry></state>`, "after <else>"},
	{"4.4.1", "elseif elsewhere", `"<elseif> is an empty element that partitions the content of an <if>"`, `<state><onentry>▶<elseif cond="1"/></onentry></state>`, "not allowed inside <onentry>"},
	{"4.4.1", "child of elseif", `"<elseif> is an empty element that partitions the content of an <if>"`, `<state><onentry><if cond="1"><elseif cond="1">▶<raise event="e"/></elseif></if></onentry></state>`, "not allowed inside <elseif>"},
	{"4.4.1", "elseif without cond", `it "provides a condition"`, `<state><onentry><if cond="1">▶<elseif/></if></onentry></state>`, "needs the attribute cond"},
	{"4.5.1", "child of else", `"<else> is an empty element"`, `<state><onentry><if cond="1"><else>▶<raise event="e"/></else></if></onentry></state>`, "not allowed inside <else>"},
	{"4.6.2", "foreach without array", `array is required`, `<state><onentry>▶<foreach item="i"/></onentry></state>`, "needs the attribute array"},
	{"4.6.2", "foreach without item", `item is required`, `<state><onentry>▶<foreach array="[]"/></onentry></state>`, "needs the attribute item"},
	{"4.7.3", "child of log", `<log> has no children`, `<state><onentry><log>▶<content>x</content></log></onentry></state>`, "not allowed inside <log>"},
	{"4.7.3", "text of log", `<log> has no children`, `<state><onentry>▶<log>text</log></onentry></state>`, "text"},
	{"4.8", "assign elsewhere", `other executable content "MUST NOT occur anyplace else"`, `<state><datamodel>▶<assign location="x" expr="1"/></datamodel></state>`, "not allowed inside <datamodel>"},
	{"4.8", "send elsewhere", `other executable content "MUST NOT occur anyplace else"`, `<state>▶<send event="e"/></state>`, "not allowed inside <state>"},
	{"4.8", "cancel elsewhere", `other executable content "MUST NOT occur anyplace else"`, `▶<cancel sendid="e"/><state/>`, "not allowed inside <scxml>"},
	{"4.10", "extension of ours", `extensions "MUST NOT be defined the 'scxml' namespace"`, `<state><onentry>▶<explode/></onentry></state>`, "unknown element <explode>"},
	{"5.2.2", "child of datamodel", `<datamodel> has children <data>`, `<datamodel>▶<script>1</script></datamodel><state/>`, "not allowed inside <datamodel>"},
	{"5.3.1", "data without id", `id is required`, `<datamodel>▶<data expr="1"/></datamodel><state/>`, "needs the attribute id"},
	{"5.3.2", "data of src and expr", `<data> "MAY have either a 'src' or an 'expr' attribute, but MUST NOT have both"`, `<datamodel>▶<data id="d" src="x" expr="1"/></datamodel><state/>`, "more than one"},
	{"5.3.2", "data of expr and text", `"if either attribute is present, the element MUST NOT have any children"`, `<datamodel>▶<data id="d" expr="1">2</data></datamodel><state/>`, "both a body and"},
	{"5.3.2", "data of src and XML", `"if either attribute is present, the element MUST NOT have any children"`, `<datamodel>▶<data id="d" src="x"><a/></data></datamodel><state/>`, "both a body and"},
	{"5.4.1", "assign without location", `location is required`, `<state><onentry>▶<assign expr="1"/></onentry></state>`, "needs the attribute location"},
	{"5.4.2", "assign of two", `"A conformant SCXML document MUST specify either "expr" or children of <assign>, but not both"`, `<state><onentry>▶<assign location="x" expr="1">2</assign></onentry></state>`, "both expr and a body"},
	{"5.4.2", "assign of nothing", `"A conformant SCXML document MUST specify either "expr" or children of <assign>, but not both"`, `<state><onentry>▶<assign location="x"> </assign></onentry></state>`, "needs expr or a body"},
	{"5.5.2", "donedata of two", `"either a single <content> element or one or more <param> elements as children of <donedata>, but not both"`,
		`<final>▶<donedata><content>x</content><param name="a" expr="1"/></donedata></final>`, "both <content> and"},
	{"5.5.2", "donedata of nothing", `"either a single <content> element or one or more <param> elements as children of <donedata>, but not both"`, `<final>▶<donedata/></final>`, "needs <content> or <param>"},
	{"5.5.2", "two contents", `"a single <content> element"`, `<final>▶<donedata><content>x</content><content>y</content></donedata></final>`, "more than one <content>"},
	{"5.5.2", "two donedata", `<donedata> is an "Optional element" of <final>`, `▶<final><donedata><content>x</content></donedata><donedata><content>x</content></donedata></final>`, "more than one <donedata>"},
	{"5.6.2", "content of two", `it "MUST NOT specify both the 'expr' attribute and child content"`, `<final><donedata>▶<content expr="1">x</content></donedata></final>`, "both expr and a body"},
	{"5.7.1", "param without name", `name is required`, `<final><donedata>▶<param expr="1"/></donedata></final>`, "needs the attribute name"},
	{"5.7.1", "param of nothing", `"either the 'expr' attribute of <param> or the 'location' attribute, but MUST NOT specify both"`, `<final><donedata>▶<param name="a"/></donedata></final>`, "needs the attribute expr or location"},
	{"5.7.1", "param of two", `"either the 'expr' attribute of <param> or the 'location' attribute, but MUST NOT specify both"`, `<final><donedata>▶<param name="a" expr="1" location="x"/></donedata></final>`, "more than one"},
	{"5.7.2", "child of param", `<param> has no children`, `<final><donedata>▶<param name="a" expr="1">text</param></donedata></final>`, "text"},
	{"5.8", "script of two", `"either the 'src' attribute or child content, but not both"`, `▶<script src="x">1</script><state/>`, "both src and a body"},
	{"5.8", "script that cannot be loaded", `"the platform MUST reject it"`, `▶<script src="x"/><state/>`, "script src"},
	{"5.8", "script inside that cannot be loaded", `"the platform MUST reject it"`, `<state><onexit><if cond="true">▶<script src="x"/></if></onexit></state>`, "script src"},
	{"5.10", "data of the system", `"MUST NOT contain ids beginning with '_' in the <data> element"`, `<datamodel>▶<data id="_d"/></datamodel><state/>`, "begins with _"},
	{"6.2.2", "event and eventexpr", `"Must not occur with 'eventexpr'"`, `<state><onentry>▶<send event="a" eventexpr="b"/></onentry></state>`, "event, eventexpr"},
	{"6.2.2", "target and targetexpr", `"Must not occur with 'targetexpr'"`, `<state><onentry>▶<send event="a" target="a" targetexpr="b"/></onentry></state>`, "target, targetexpr"},
	{"6.2.2", "type and typeexpr", `"Must not occur with 'typeexpr'"`, `<state><onentry>▶<send event="a" type="a" typeexpr="b"/></onentry></state>`, "type, typeexpr"},
	{"6.2.2", "id and idlocation", `"Must not occur with 'idlocation'"`, `<state><onentry>▶<send event="a" id="a" idlocation="b"/></onentry></state>`, "id, idlocation"},
	{"6.2.2", "delay and delayexpr", `"Must not occur with 'delayexpr'"`, `<state><onentry>▶<send event="a" delay="1s" delayexpr="b"/></onentry></state>`, "delay, delayexpr"},
	{"6.2.2", "delay inside", `delay "Must not occur with 'delayexpr' or when the attribute 'target' has the value "_internal""`, `<state><onentry>▶<send event="e" target="#_internal" delay="1s"/></onentry></state>`, "cannot be delayed"},
	{"6.2.2", "delayexpr inside", `delay "Must not occur with 'delayexpr' or when the attribute 'target' has the value "_internal""`, `<state><onentry>▶<send event="e" target="#_internal" delayexpr="x"/></onentry></state>`, "cannot be delayed"},
	{"6.2.2", "no event of SCXML", `"If the type is http://www.w3.org/TR/scxml/#SCXMLEventProcessor, either this attribute or 'eventexpr' must be present"`,
		`<state><onentry>▶<send type="http://www.w3.org/TR/scxml/#SCXMLEventProcessor" target="#_parent"/></onentry></state>`, "needs event"},
	{"6.2.2", "no name of an event", `event is an EventType.datatype`, `<state><onentry>▶<send event=" "/></onentry></state>`, "not the name of an event"},
	{"6.2.3", "send of nothing", `"MUST specify exactly one of 'event', 'eventexpr' and <content>"`, `<state><onentry>▶<send><param name="a" expr="1"/></send></onentry></state>`, "needs event"},
	{"6.2.3", "content and namelist", `"A conformant document MUST NOT specify "namelist" or <param> with <content>"`, `<state><onentry>▶<send event="e" namelist="a"><content>x</content></send></onentry></state>`, "both <content> and"},
	{"6.2.3", "content and param", `"A conformant document MUST NOT specify "namelist" or <param> with <content>"`, `<state><onentry>▶<send event="e"><content>x</content><param name="a" expr="1"/></send></onentry></state>`, "both <content> and"},
	{"6.2.3", "two contents of send", `<content> "Occurs 0 or 1 times"`, `<state><onentry>▶<send event="e"><content>x</content><content>y</content></send></onentry></state>`, "more than one <content>"},
	{"6.2.3", "child of send", `the children of <send>`, `<state><onentry><send event="e">▶<finalize/></send></onentry></state>`, "not allowed inside <send>"},
	{"6.3.1", "cancel of nothing", `"A conformant SCXML document MUST specify exactly one of sendid or sendidexpr"`, `<state><onentry>▶<cancel/></onentry></state>`, "needs the attribute sendid or sendidexpr"},
	{"6.3.1", "cancel of two", `"A conformant SCXML document MUST specify exactly one of sendid or sendidexpr"`, `<state><onentry>▶<cancel sendid="a" sendidexpr="b"/></onentry></state>`, "more than one"},
	{"6.3.2", "child of cancel", `<cancel> has no children`, `<state><onentry><cancel sendid="a">▶<param name="a" expr="1"/></cancel></onentry></state>`, "not allowed inside <cancel>"},
	{"6.4.1", "type and typeexpr of invoke", `"Must not occur with the 'typeexpr' attribute"`, `<state>▶<invoke type="a" typeexpr="b"/></state>`, "type, typeexpr"},
	{"6.4.1", "src and srcexpr", `"Must not occur with the 'srcexpr' attribute or the <content> element"`, `<state>▶<invoke src="a" srcexpr="b"/></state>`, "src, srcexpr"},
	{"6.4.1", "src and content", `"Must not occur with the 'srcexpr' attribute or the <content> element"`, `<state>▶<invoke src="a"><content>x</content></invoke></state>`, "both <content> and src"},
	{"6.4.1", "srcexpr and content", `"Must not occur with the 'src' attribute or the <content> element"`, `<state>▶<invoke srcexpr="a"><content>x</content></invoke></state>`, "both <content> and src"},
	{"6.4.1", "id and idlocation of invoke", `"Must not occur with the 'idlocation' attribute"`, `<state>▶<invoke src="x" id="a" idlocation="b"/></state>`, "id, idlocation"},
	{"6.4.1", "namelist and param", `"Must not occur with the <param> element"`, `<state>▶<invoke src="x" namelist="a"><param name="b" expr="1"/></invoke></state>`, "both <param> and namelist"},
	{"6.4.1", "value of autoforward", `autoforward is "true or false"`, `<state>▶<invoke src="x" autoforward="maybe"/></state>`, "neither true nor false"},
	{"6.4.2", "two finalize", `<finalize> "Occurs 0 or 1 times"`, `<state>▶<invoke src="x"><finalize/><finalize/></invoke></state>`, "more than one <finalize>"},
	{"6.4.2", "two contents of invoke", `<content> "Occurs 0 or 1 times"`, `<state>▶<invoke><content>x</content><content>y</content></invoke></state>`, "more than one <content>"},
	{"6.4.2", "child of invoke", `the children of <invoke>`, `<state><invoke src="x">▶<onentry/></invoke></state>`, "not allowed inside <invoke>"},
	{"6.5.2", "raise in finalize", `in <finalize> "the <send> and <raise> elements MUST NOT occur"`, `<state><invoke src="x"><finalize><if cond="true">▶<raise event="e"/></if></finalize></invoke></state>`, "not allowed inside <finalize>"},
	{"6.5.2", "send in finalize", `in <finalize> "the <send> and <raise> elements MUST NOT occur"`, `<state><invoke src="x"><finalize>▶<send event="e"/></finalize></invoke></state>`, "not allowed inside <finalize>"},
	{"6.5.2", "finalize elsewhere", `<finalize> is a child of <invoke>`, `<state>▶<finalize/></state>`, "not allowed inside <state>"},
	{"A.1", "other root", `"The root element of the document MUST be <scxml>"`, `▶<state xmlns="http://www.w3.org/2005/07/scxml"/>`, "not <scxml>"},
	{"A.1", "no namespace", `"The <scxml> element MUST designate the SCXML namespace"`, `▶<scxml xmlns="" version="1.0"><state/></scxml>`, "namespace"},
	{"A.1", "other namespace", `"The <scxml> element MUST designate the SCXML namespace"`, `▶<scxml xmlns="http://www.w3.org/2005/07/scxml/" version="1.0"><state/></scxml>`, "namespace"},
	{"A.1", "element without namespace", `the schema has elements of other namespaces inside, and none of no namespace`,
		`<sc:scxml xmlns:sc="http://www.w3.org/2005/07/scxml" version="1.0"><sc:state>▶<transition event="e"/></sc:state></sc:scxml>`, "in no namespace"},
	{"A.1", "attribute with the prefix", `nor attributes of the SCXML namespace itself`,
		`<sc:scxml xmlns:sc="http://www.w3.org/2005/07/scxml" version="1.0">▶<sc:state sc:id="a"/></sc:scxml>`, "has the prefix of SCXML"},
	{"A.2", "DOCTYPE", `not all that is "well-formed XML": a document with a DOCTYPE is refused`, "<?xml version=\"1.0\"?>\n▶<!DOCTYPE scxml [<!ENTITY a \"b\">]>\n" + head + `<state/></scxml>`, "DOCTYPE"},
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range refused {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			got, at := refusal(t, tt.body)
			if got.Position != at || !strings.Contains(got.Message, tt.want) {
				t.Errorf("%s\ngot  %v\nwant %q at %v", tt.says, got, tt.want, at)
			}
		})
	}
}

// refusal is what a document is refused with, and where its mark is. One with a mark that
// declares no namespace is put into <scxml>.
func refusal(t *testing.T, marked string) (got *scxml.SyntaxError, at scxml.Position) {
	t.Helper()
	if strings.Contains(marked, "▶") && !strings.Contains(marked, "xmlns") {
		marked = head + "\n" + marked + "</scxml>"
	}
	before, after, _ := strings.Cut(marked, "▶")
	at = scxml.Position{Line: strings.Count(before, "\n") + 1, Column: len(before) - strings.LastIndex(before, "\n")}
	d, err := scxml.Parse("refused.scxml", []byte(before+after), scxml.Limits{})
	if err == nil {
		_, err = scxml.Compile(d, scxml.Options{})
	}
	got, ok := errors.AsType[*scxml.SyntaxError](err)
	if !ok {
		t.Fatalf("%s\ngot %v, want a *SyntaxError", marked, err)
	}
	return got, at
}
