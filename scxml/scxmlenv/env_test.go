// SPDX-License-Identifier: Apache-2.0

package scxmlenv_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

func compile(doc string) *scxml.Chart {
	d, err := scxml.Parse("test", []byte(doc), scxml.Limits{})
	if err != nil {
		panic(err)
	}
	c, err := scxml.Compile(d, scxml.Options{SendTargets: []string{"#_scxml_"}})
	if err != nil {
		panic(err)
	}
	return c
}

const parent = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="answer"/></datamodel>
  <state id="asking">
    <invoke id="child">
      <param name="question" expr="6"/>
      <content>
        <scxml version="1.0" datamodel="ecmascript">
          <datamodel><data id="question"/></datamodel>
          <state id="thinking">
            <onentry><send event="thought" delay="2s"/></onentry>
            <transition event="thought" target="done"/>
          </state>
          <final id="done">
            <onentry><send target="#_parent" event="answer"><param name="value" expr="question * 7"/></send></onentry>
          </final>
        </scxml>
      </content>
      <finalize><assign location="answer" expr="_event.data ? _event.data.value : answer"/></finalize>
    </invoke>
    <transition event="done.invoke.child" target="happy"/>
    <transition event="leave" target="gone"/>
  </state>
  <final id="happy"><donedata><content expr="answer"/></donedata></final>
  <final id="gone"/>
</scxml>`

// A session invokes another one, which thinks for two virtual seconds.
func Example() {
	env := scxmlenv.New(scxmlenv.Config{})
	s, err := env.Start(compile(parent), scxml.Input{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Configuration(), len(env.Sessions()))
	if err := env.Advance(2 * time.Second); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Finished().State, s.Finished().Data)
	// Output:
	// [asking] 2
	// happy 42
}

// SCXML 6.4.3: a state that is left ends what it invoked; its timers are gone.
func TestLeavingEndsTheChild(t *testing.T) {
	t.Parallel()
	for _, restore := range []bool{false, true} {
		env := scxmlenv.New(scxmlenv.Config{Restore: restore})
		s, err := env.Start(compile(parent), scxml.Input{})
		if err != nil {
			t.Fatal(err)
		}
		child := env.Sessions()[1]
		if err := env.Deliver(s, scxml.Event{Name: "leave"}); err != nil {
			t.Fatal(err)
		}
		if child.Finished() == nil || len(child.Pending()) > 0 {
			t.Errorf("the child goes on: %v, pending %v", child.Configuration(), child.Pending())
		}
		if s.Finished().State != "gone" {
			t.Errorf("the parent ended in %q", s.Finished().State)
		}
	}
}

// SCXML 6.2.3: what cannot be delivered comes back as error.communication.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	env := scxmlenv.New(scxmlenv.Config{})
	s, err := env.Start(compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
		<state id="a"><onentry><send id="s" target="#_scxml_nobody" event="e"/></onentry>
			<transition event="error.communication" cond="_event.sendid === 's'" target="b"/></state>
		<state id="b"/></scxml>`), scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.In("b") {
		t.Errorf("configuration is %v, want b", s.Configuration())
	}
}

// SCXML C.1: the origin of an event is where it can be answered, also when the
// chart was compiled for no other target.
func TestReplyToOrigin(t *testing.T) {
	t.Parallel()
	d, err := scxml.Parse("reply", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="asking">
    <invoke><content><scxml version="1.0">
      <state id="waiting"><onentry><send target="#_parent" event="hello"/></onentry><transition event="go" target="end"/></state>
      <final id="end"/>
    </scxml></content></invoke>
    <transition event="hello"><send targetexpr="_event.origin" typeexpr="_event.origintype" event="go"/></transition>
    <transition event="done.invoke" target="answered"/>
    <transition event="error" target="refused"/>
  </state>
  <final id="answered"/>
  <final id="refused"/>
</scxml>`), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	env := scxmlenv.New(scxmlenv.Config{})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if done := s.Finished(); done == nil || done.State != "answered" {
		t.Errorf("ended with %v, in %v; want answered", done, s.Configuration())
	}
}
