// SPDX-License-Identifier: Apache-2.0

package scxmlenv_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scenario"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
	"github.com/google/go-cmp/cmp"
)

// family is a session that invokes others again and again, some by a document of
// theirs; they have data, delays and children.
const family = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="anonymous"/></datamodel>
  <state id="s"><invoke id="c" src="child.scxml" autoforward="true"><param name="n" expr="5"/></invoke>
    <invoke idlocation="anonymous"><content><scxml version="1.0"><state id="x"><transition event="*"><send target="#_parent" event="never"/></transition></state></scxml></content></invoke>
    <transition event="again" target="s"/>
    <transition event="count"><log expr="_event.data"/></transition>
    <transition event="done.invoke.c"><log label="done" expr="_event.data"/></transition>
  </state>
</scxml>`

const child = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="n"/></datamodel>
  <state id="t">
    <onentry><send event="tick" delay="3s"/></onentry>
    <invoke id="g"><content><scxml version="1.0" datamodel="ecmascript"><datamodel><data id="m" expr="0"/></datamodel>
      <state id="u"><transition event="more"><assign location="m" expr="m + 1"/><send target="#_parent" event="told"><content expr="m"/></send></transition></state></scxml></content></invoke>
    <transition event="add"><send target="#_g" event="more"/></transition>
    <transition event="told"><assign location="n" expr="n + _event.data"/><send target="#_parent" event="count"><content expr="n + ' of ' + _sessionid"/></send></transition>
    <transition event="tick" target="t"><send target="#_parent" event="count"><content expr="'tick ' + n"/></send></transition>
    <transition event="end" target="f"/>
  </state>
  <final id="f"><donedata><content expr="n"/></donedata></final>
</scxml>`

// tell plays a family and gives all that its sessions did. With save everything is
// stored and loaded after each event.
func tell(t *testing.T, save bool) []string {
	t.Helper()
	var trace []string
	chart := compile(family)
	config := scxmlenv.Config{
		Load: func(string) ([]byte, error) { return []byte(child), nil },
		Observe: func(s *scxmlenv.Session, step scxml.Macrostep) {
			trace = append(trace, s.ID+" of "+s.InvokeID+"\n"+scenario.Format(step))
		},
	}
	env := scxmlenv.New(config)
	if _, err := env.Start(chart, scxml.Input{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"add", "add", "wait", "wait", "again", "add", "wait", "end", "add", "again", "add"} {
		if save {
			saved, err := env.Save()
			if err != nil {
				t.Fatal(err)
			}
			stored, err := json.Marshal(saved)
			if err != nil {
				t.Fatal(err)
			}
			var loaded scxmlenv.Saved
			if err := json.Unmarshal(stored, &loaded); err != nil {
				t.Fatal(err)
			}
			config.Now = env.Now()
			env = scxmlenv.New(config)
			if _, err := env.Load(chart, loaded); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if name == "wait" {
			err = env.Advance(2 * time.Second)
		} else {
			err = env.Deliver(env.Sessions()[0], scxml.Event{Name: name})
		}
		if err != nil {
			t.Fatal(err)
		}
		trace = append(trace, fmt.Sprint(name, " ", len(env.Sessions()), " ", env.Sessions()[0].Configuration()))
	}
	return trace
}

// Sessions that were saved together and loaded again cannot be told from those that
// went on.
func TestSavedEnvironmentGoesOn(t *testing.T) {
	t.Parallel()
	straight := tell(t, false)
	if d := cmp.Diff(straight, tell(t, true)); d != "" {
		t.Errorf("loaded ones go another way (-straight +loaded):\n%s", d)
	}
	for _, want := range []string{"log 6 of session2", "log 8 of session2", "log tick", "log done", "log 6 of session9"} {
		if !strings.Contains(strings.ReplaceAll(strings.Join(straight, "\n"), ": ", " "), want) {
			t.Errorf("the story does not have %q", want)
		}
	}
}

func TestSaveRefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	env := scxmlenv.New(scxmlenv.Config{Load: func(string) ([]byte, error) { return []byte(child), nil }})
	if _, err := env.Start(compile(family), scxml.Input{}); err != nil {
		t.Fatal(err)
	}
	good, err := env.Save()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.Load(compile(family), good); err == nil || !strings.Contains(err.Error(), "there are others") {
		t.Errorf("loaded into one that has sessions: %v", err)
	}
	for name, damage := range map[string]func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession{
		"there is no session":  func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession { return s[1:] },
		"misses an invocation": func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession { return append(s, s[1]) },
		"is there twice":       func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession { return append(s, s[0]) },
		"bad session snapshot": func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession { s[1].Snapshot = []byte("{}"); return s },
		"1:1":                  func(s []scxmlenv.SavedSession) []scxmlenv.SavedSession { s[1].Document = []byte("<x/>"); return s },
	} {
		damaged := scxmlenv.Saved{Count: good.Count, Sessions: damage(append([]scxmlenv.SavedSession{}, good.Sessions...))}
		other := scxmlenv.New(scxmlenv.Config{})
		if _, err := other.Load(compile(family), damaged); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(other.Sessions()); n != 0 {
			t.Errorf("%s: %d sessions run", name, n)
		}
	}
	// Two that never stop talking leave something that waits.
	endless := scxmlenv.New(scxmlenv.Config{MaxSteps: 100})
	_, err = endless.Start(compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="s">
	  <invoke id="c"><content><scxml version="1.0"><state id="t"><onentry><send target="#_parent" event="x"/></onentry>
	    <transition event="x"><send target="#_parent" event="x"/></transition></state></scxml></content></invoke>
	  <transition event="x"><send target="#_c" event="x"/></transition></state></scxml>`), scxml.Input{})
	if err == nil {
		t.Error("it has an end")
	}
	if _, err := endless.Save(); err == nil || !strings.Contains(err.Error(), "1 events wait") {
		t.Errorf("saved what waits: %v", err)
	}
}
