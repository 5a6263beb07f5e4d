// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// clauses are documents that end in pass where a clause of SCXML 1.0 holds that the
// suites of the W3C and SCION leave open, or show in one way only. Their head and
// the two <final> are added.
var clauses = []struct{ clause, says, attributes, body string }{
	{"5.3.3", `late binding assigns data "only when the state that contains it is entered for the first time"`, ` initial="a" binding="late"`, `
		<datamodel><data id="n" expr="0"/></datamodel>
		<state id="a"><datamodel><data id="v" expr="5"/></datamodel><onentry><assign location="n" expr="n+v"/><assign location="v" expr="1"/></onentry>
		<transition cond="n==5" target="b"/><transition cond="n==6" target="pass"/><transition target="fail"/></state><state id="b"><transition target="a"/></state>`},
	{"5.10", `_event is not bound "until the first event is processed"`, ``, `
		<state id="s"><transition cond="typeof _event === 'undefined'" target="pass"/><transition target="fail"/></state>`},
	{"5.10.1", `a raised event leaves sendid, origin, origintype and data "blank"`, ``, `
		<state id="s"><onentry><raise event="e"/></onentry>
		<transition event="e" cond="_event.type=='internal' &amp;&amp; _event.sendid===undefined &amp;&amp; _event.origin===undefined &amp;&amp; _event.origintype===undefined &amp;&amp; _event.data===undefined &amp;&amp; 'data' in _event" target="pass"/><transition event="*" target="fail"/></state>`},
	{"5.10.1", `the fields of an event that was sent; origin and origintype let the receiver answer`, ``, `
		<state id="s"><onentry><send event="e" id="sid"><param name="a" expr="1"/></send></onentry>
		<transition event="e" cond="_event.name=='e' &amp;&amp; _event.type=='external' &amp;&amp; _event.sendid=='sid' &amp;&amp; _event.origin=='#_scxml_'+_sessionid &amp;&amp; _event.origintype=='http://www.w3.org/TR/scxml/#SCXMLEventProcessor' &amp;&amp; _event.invokeid===undefined &amp;&amp; _event.data.a===1" target="pass"/><transition event="*" target="fail"/></state>`},
	{"6.2.4", `every <send> stores an id of its own at its idlocation`, ``, `
		<datamodel><data id="a"/><data id="b"/></datamodel>
		<state id="s0"><onentry><send event="x" idlocation="a" delay="1s"/><send event="x" idlocation="b" delay="1s"/><cancel sendidexpr="a"/><cancel sendidexpr="b"/><send event="end" delay="3s"/></onentry>
		<transition event="x" target="fail"/><transition event="end" cond="a!=b &amp;&amp; a" target="pass"/><transition event="end" target="fail"/></state>`},
	{"6.2.4", `arguments are evaluated "when the <send> element is evaluated, and not when the message is actually dispatched"`, ``, `
		<datamodel><data id="a" expr="1"/></datamodel>
		<state id="s0"><onentry><send event="x" delay="1s"><param name="a" location="a"/></send><assign location="a" expr="2"/></onentry>
		<transition event="x" cond="_event.data.a==1" target="pass"/><transition event="x" target="fail"/></state>`},
	{"6.2.4", `if an argument fails, "discard the message without attempting to deliver it"`, ``, `
		<datamodel><data id="x" expr="0"/></datamodel><state id="s"><onentry><send event="e" typeexpr="nope"/></onentry><onentry><raise event="end"/></onentry><transition event="error.execution" cond="true" target="pass"/><transition event="*" target="fail"/></state>`},
	{"5.7", `parameters of one name: the last is in the data`, ``, `
		<state id="s0"><onentry><send event="x"><param name="k" expr="1"/><param name="k" expr="2"/></send></onentry>
		<transition event="x" cond="_event.data.k" target="pass"/><transition event="*" target="fail"/></state>`},
	{"6.3", `all delayed events with the id are cancelled`, ``, `
		<state id="s0"><onentry><send event="a" id="x" delay="1s"/><send event="a" id="x" delay="1500ms"/><cancel sendidexpr="'x'"/><send event="end" delay="3s"/></onentry>
		<transition event="a" target="fail"/><transition event="end" target="pass"/></state>`},
	{"6.5.2", `an empty <finalize> updates what namelist names`, ``, `
		<datamodel><data id="x" expr="0"/></datamodel><state id="s"><invoke id="i" namelist="x"><content><scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><state id="c"><onentry><send target="#_parent" event="hi"><param name="x" expr="4"/></send></onentry></state></scxml></content><finalize/></invoke><transition event="hi" cond="x==4" target="pass"/><onentry><send event="timeout" delay="5s"/></onentry><transition event="timeout" target="fail"/></state>`},
	{"6.5.2", `an empty <finalize> updates the location of a <param>`, ``, `
		<datamodel><data id="x" expr="0"/></datamodel><state id="s"><invoke id="i"><param name="q" location="x"/><content><scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><state id="c"><onentry><send target="#_parent" event="hi"><param name="q" expr="4"/></send></onentry></state></scxml></content><finalize/></invoke><transition event="hi" cond="x==4" target="pass"/><onentry><send event="timeout" delay="5s"/></onentry><transition event="timeout" target="fail"/></state>`},
	{"6.4.3", `done.invoke carries the <donedata> of the service`, ``, `
		<datamodel></datamodel><state id="s"><invoke id="i"><content><scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><final id="f"><donedata><param name="a" expr="3"/></donedata></final></scxml></content></invoke><transition event="done.invoke.i" cond="_event.data.a==3 &amp;&amp; _event.invokeid=='i'" target="pass"/><onentry><send event="timeout" delay="5s"/></onentry><transition event="timeout" target="fail"/></state>`},
	{"5.7.2", `a <param> that fails is ignored, with error.execution`, ``, `
		<state id="s"><state id="s1"><transition target="f"/></state><final id="f"><donedata><param name="a" expr="nope.x"/><param name="b" expr="8"/></donedata></final>
		<transition event="error.execution" target="s2"/><transition event="done.state.s" target="fail"/></state>
		<state id="s2"><transition event="done.state.s" cond="_event.data.b==8 &amp;&amp; !('a' in _event.data)" target="pass"/><transition event="*" target="fail"/></state>`},
	{"5.6.2", `<content> that is no JSON is text, white space normalized`, ``, `
		<state id="s"><state id="s1"><transition target="f"/></state><final id="f"><donedata><content>hello  world</content></donedata></final>
		<transition event="done.state.s" cond="_event.data=='hello world'" target="pass"/><transition event="*" target="fail"/></state>`},
	{"4.6", `<foreach> acts "as if it has made a shallow copy of the collection"`, ``, `
		<datamodel><data id="l">[1,2,3]</data><data id="n" expr="0"/><data id="s" expr="''"/></datamodel>
		<state id="s0"><onentry><foreach array="l" item="i" index="k"><script>if (n &lt; 10) l.push(9)</script><assign location="n" expr="n+1"/><assign location="s" expr="s+k+i"/></foreach></onentry>
		<transition cond="n==3 &amp;&amp; s=='011223' &amp;&amp; l.length==6 &amp;&amp; i==3 &amp;&amp; k==2" target="pass"/><transition target="fail"/></state>`},
	{"3.10.2", `deep history restores every atomic descendant`, ` initial="a"`, `
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
	{"3.10", `the default transition of history has content of its own`, ` initial="a"`, `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="a"><transition target="h"/></state>
		<state id="b" initial="b1"><onentry><assign location="l" expr="l+'1'"/></onentry>
		<history id="h"><transition target="b2"><assign location="l" expr="l+'2'"/></transition></history>
		<state id="b1"/>
		<state id="b2"><onentry><assign location="l" expr="l+'3'"/></onentry>
		<transition cond="l=='123'" target="pass"/><transition target="fail"/></state>
		</state>`},
	{"3.13", `an internal transition of a <parallel> exits it`, ``, `
		<datamodel><data id="x" expr="0"/></datamodel>
		<parallel id="p"><onexit><assign location="x" expr="x+1"/></onexit>
		<transition event="go" type="internal" target="a2"/>
		<state id="a"><state id="a1"><onentry><raise event="go"/></onentry></state><state id="a2"><onentry><raise event="c"/></onentry><transition event="c" cond="x==1" target="pass"/><transition event="c" target="fail"/></state></state>
		<state id="b"/></parallel>`},
	{"3.13", `the target must be a proper descendant of the source`, ``, `
		<datamodel><data id="x" expr="0"/></datamodel>
		<state id="a"><onexit><assign location="x" expr="x+1"/></onexit><onentry><raise event="go"/></onentry>
		<transition cond="x==1" target="pass"/>
		<transition event="go" type="internal" target="a"/>
		<state id="a1"/></state>`},
	{"3.13", `an internal transition does not exit its compound source`, ``, `
		<datamodel><data id="x" expr="0"/><data id="e" expr="0"/></datamodel>
		<state id="a"><onexit><assign location="x" expr="x+1"/></onexit><onentry><assign location="e" expr="e+1"/><raise event="go"/></onentry>
		<transition event="go" type="internal" target="a2"/>
		<state id="a1"/><state id="a2"><transition cond="x==0 &amp;&amp; e==1" target="pass"/><transition target="fail"/></state></state>`},
	{"B.2.8.1", `the children of <data> are JSON if they parse as JSON`, ``, `
		<datamodel><data id="d"><![CDATA[ {"a": "<b>"} ]]></data></datamodel>
		<state id="s0"><transition cond="d.a=='&lt;b>'" target="pass"/><transition target="fail"/></state>`},
	{"3.7.1", `done.state of a <parallel> follows those of its regions`, ``, `
		<datamodel><data id="l" expr="''"/></datamodel>
		<parallel id="p"><state id="a"><state id="a1"><transition target="af"/></state><final id="af"/></state>
		<state id="b"><state id="b1"><transition target="bf"/></state><final id="bf"/></state>
		<transition event="done.state.a"><assign location="l" expr="l+'a'"/></transition>
		<transition event="done.state.b"><assign location="l" expr="l+'b'"/></transition>
		<transition event="done.state.p" cond="l=='ab'" target="pass"/><transition event="done.state.p" target="fail"/></parallel>`},
	{"3.6", `content of <initial> runs after <onentry> of the parent, before that of the child`, ``, `
		<datamodel><data id="l" expr="''"/></datamodel>
		<state id="s"><onentry><assign location="l" expr="l+'e'"/></onentry><initial><transition target="s11"><assign location="l" expr="l+'i'"/></transition></initial>
		<state id="s1"><onentry><assign location="l" expr="l+'1'"/></onentry><state id="s10"/><state id="s11"><onentry><assign location="l" expr="l+'2'"/></onentry><transition cond="l=='ei12'" target="pass"/><transition target="fail"/></state></state></state>`},
	{"4.3", `only the first branch that is true is executed`, ``, `
		<datamodel><data id="x" expr="2"/></datamodel>
		<state id="s"><onentry><if cond="x==1"><raise event="a"/><elseif cond="x==2"/><raise event="b"/><elseif cond="x==2"/><raise event="c"/><else/><raise event="d"/></if></onentry>
		<transition event="b" target="pass"/><transition event="*" target="fail"/></state>`},
}

func TestClauses(t *testing.T) {
	t.Parallel()
	for _, tt := range clauses {
		t.Run(tt.clause+" "+tt.says, func(t *testing.T) {
			t.Parallel()
			doc := strings.TrimSuffix(head, ">") + tt.attributes + ">" + tt.body + `<final id="pass"/><final id="fail"/></scxml>`
			for _, restore := range []bool{false, true} {
				if ended := runToEnd(t, doc, restore); ended != "pass" {
					t.Errorf("restored %v: ended in %s, want pass", restore, ended)
				}
			}
		})
	}
}

// runToEnd runs a document in an environment with a virtual clock, and says in
// which <final> it ended.
func runToEnd(t *testing.T, doc string, restore bool) string {
	t.Helper()
	d, err := scxml.Parse(t.Name(), []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	options := scxml.Options{SendTypes: []string{scxml.BasicHTTPProcessor}, InvokeTypes: []string{}}
	c, err := scxml.Compile(d, options)
	if err != nil {
		t.Fatal(err)
	}
	env := scxmlenv.New(scxmlenv.Config{Options: options, Restore: restore})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Run(s, time.Minute); err != nil {
		t.Fatal(err)
	}
	if done := s.Finished(); done != nil {
		return fmt.Sprint(done.State, done.Fault)
	}
	return "none: it is in " + strings.Join(s.Configuration(), " ")
}
