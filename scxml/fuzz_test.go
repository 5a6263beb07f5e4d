// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// FuzzClass compares the class of an event with matching each descriptor
// (SCXML 3.12.1).
func FuzzClass(f *testing.F) {
	for _, seed := range [][2]string{{"a a.b a.b.c *", "a.b.c.d"}, {"a.* b.", "a"}, {"error", "errors"}, {". ..", ".x"}, {"a..b", "a..b.c"}, {".* a", "b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, descriptors, name string) {
		c := &Chart{states: []*state{{kind: KindRoot}}}
		var all []*transition
		for d := range strings.FieldsSeq(descriptors) {
			all = append(all, &transition{events: []string{normalizeDescriptor(d)}})
		}
		c.states[0].transitions = all
		m := newMemory(c)
		class := m.class(name)
		for _, d := range all {
			if got, want := nameMatch(d.events, m.names[class]), nameMatch(d.events, name); got != want {
				t.Fatalf("%q by class %q: %v, want %v for %q", d.events, m.names[class], got, want, name)
			}
		}
	})
}

const fuzzed = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="x" expr="({a: [1, NaN, undefined], b: 'text'})"/></datamodel>
  <parallel id="p">
    <state id="a"><history id="h" type="deep"><transition target="a1"/></history><state id="a1"><onentry><send event="late" delay="1s" id="s"/></onentry>
      <invoke type="service" id="i"/><transition event="e" target="a2"/></state><state id="a2"><transition event="e" target="h"/></state></state>
    <state id="b"/>
  </parallel>
</scxml>`

// impossible gives snapshots that no session has, made of one that one has: a state
// that is not active invokes, an invocation is there twice, and a delayed send is
// there twice or has a number that was not given yet. The last is in order.
func impossible(t testing.TB, c *Chart) [][]byte {
	t.Helper()
	ip, _, err := Start(c, Input{SessionID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	good, err := ip.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	text := string(good)
	_, rest, _ := strings.Cut(text, `"pending":[`)
	pending, _, _ := strings.Cut(rest, `],"invocations"`)
	for _, change := range [][2]string{
		{`"a1"`, `"a2"`},
		{`"invocations":[`, `"invocations":[{"id":"j","state":"a1"},`},
		{`"seq":"1"`, `"seq":"2"`},
		{`"seq":"1"`, `"seq":"0"`},
		{`"pending":[`, `"pending":[` + pending + ","},
	} {
		bad := strings.Replace(text, change[0], change[1], 1)
		if bad == text {
			t.Fatalf("nothing to change %s in: %s", change[0], text)
		}
		out = append(out, []byte(bad))
	}
	return append(out, good)
}

func TestRestoreRefusesTheImpossible(t *testing.T) {
	t.Parallel()
	d, err := Parse("fuzzed", []byte(fuzzed), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := impossible(t, c)
	for _, b := range all[:len(all)-1] {
		if _, err := Restore(c, b); !errors.Is(err, ErrBadSnapshot) {
			t.Errorf("%v for %s", err, b)
		}
	}
	if _, err := Restore(c, all[len(all)-1]); err != nil {
		t.Error(err)
	}
}

// FuzzRestore restores whatever bytes: an error, or a session whose snapshot
// restores to itself.
func FuzzRestore(f *testing.F) {
	d, err := Parse("fuzzed", []byte(fuzzed), Limits{})
	if err != nil {
		f.Fatal(err)
	}
	c, err := Compile(d, Options{})
	if err != nil {
		f.Fatal(err)
	}
	ip, _, err := Start(c, Input{SessionID: "s", Name: "n", InvokeID: "i", IOProcessors: map[string]string{"t": "l"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range impossible(f, c) {
		f.Add(b)
	}
	for range 3 {
		for _, save := range []func([]byte) ([]byte, error){ip.AppendSnapshot, ip.AppendJSON} {
			b, err := save(nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
		if _, err := ip.Deliver(Event{Name: "e"}, Input{}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, err := Restore(c, b)
		if err != nil {
			if !errors.Is(err, ErrBadSnapshot) && !errors.Is(err, ErrUnknownState) {
				t.Fatalf("the error is of neither kind: %v", err)
			}
			return
		}
		first, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Restore(c, first)
		if err != nil {
			t.Fatalf("%v\nfrom %q", err, first)
		}
		second, err := again.AppendSnapshot(nil)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%q becomes %q, %v", first, second, err)
		}
		if ip.Finished() == nil {
			step, err := ip.Deliver(Event{Name: "e"}, Input{})
			if err != nil {
				t.Fatal(err)
			}
			_ = fmt.Sprint(step)
		}
	})
}
