// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestAliasesMeanTheSame takes steps that assign objects to each other, in a store
// that goes to the machine only when it has to and in one that always does.
func TestAliasesMeanTheSame(t *testing.T) {
	t.Parallel()
	alone := 0
	rapid.Check(t, func(t *rapid.T) {
		sys := &fixedSystem{depth: 100, bytes: 100_000, in: func(string) bool { return true }}
		objects := []any{
			map[string]any{"a": map[string]any{"a": 1.0}}, []any{1.0, map[string]any{"a": 2.0}}, map[string]any{}, []any{}, []any{[]any{}, 1.0}, XML("<a/>"), "text", 7.0,
		}
		// Every expression that there may be, so that both have the same places.
		values := []string{"x", "y", "z", "x.a", "y[1]", "z.a.a", "_event.data", "_event.data.a", "_event.data[1]", "{a: 1}", "{a: {a: 'q'}, b: [1, true]}", "[1, {a: n}]", "[x]", "{a: y}",
			"n ? x : y", "x || y", "x && z", "[]", "{}", "5", "n + 1", "(function(v) { return v })(x)"}
		places := []string{"x", "y", "z", "n", "x.a", "y[0]", "z.a.a"}
		conds := []string{"x === y", "y === z", "x.a === z", "x === _event.data", "x.a === _event.data.a", "y[1] === _event.data[1]", "n === 5", "!x"}
		scripts := []string{"x.a = 7", "y[0] = 8; z = y", "_event.data.a = 9", "y.push(1)", "x.a.a = z", "delete x.a", "var n = 3"}
		store := func(slow bool) (*ecmaStore, map[string]*Expr) {
			l := ECMAScript()
			all := map[string]*Expr{}
			for _, v := range values {
				all["value "+v] = l.Expr(v)
			}
			for _, v := range places {
				all["place "+v] = l.Location(v)
			}
			for _, v := range conds {
				all["cond "+v] = l.Cond(v)
			}
			for _, v := range scripts {
				all["script "+v] = l.Script(v)
			}
			s := l.NewStore(sys, nil).(*ecmaStore)
			s.slow = slow
			return s, all
		}
		quick, a := store(false)
		slow, b := store(true)
		data := map[string]any{"n": 0.0}
		for _, name := range []string{"x", "y", "z"} {
			data[name] = rapid.SampledFrom(objects).Draw(t, name)
		}
		quick.Restore(cloned(t, data))
		slow.Restore(cloned(t, data))
		var told []string
		both := func(what string, do func(s *ecmaStore, all map[string]*Expr) string) {
			told = append(told, what)
			if got, want := do(quick, a), do(slow, b); got != want {
				t.Fatalf("%q: quickly %s, by the machine %s\ndata %v", told, got, want, data)
			}
		}
		// Without scripts and parts of objects, whole steps need no machine.
		plain, from := rapid.Bool().Draw(t, "plain"), places
		if plain {
			from = places[:4]
		}
		for range rapid.IntRange(1, 12).Draw(t, "length") {
			what := rapid.IntRange(0, 9).Draw(t, "what")
			if plain && what == 6 {
				what = 9
			}
			switch what {
			case 0, 1, 2, 3, 4:
				loc, v := rapid.SampledFrom(from).Draw(t, "place"), rapid.SampledFrom(values).Draw(t, "value")
				both(loc+" = "+v, func(s *ecmaStore, all map[string]*Expr) string {
					return fmt.Sprint(s.Assign(all["place "+loc], all["value "+v]))
				})
			case 5:
				c := rapid.SampledFrom(conds).Draw(t, "cond")
				both(c, func(s *ecmaStore, all map[string]*Expr) string { return fmt.Sprint(s.Bool(all["cond "+c])) })
			case 6:
				c := rapid.SampledFrom(scripts).Draw(t, "script")
				both(c, func(s *ecmaStore, all map[string]*Expr) string { return fmt.Sprint(s.Run(all["script "+c])) })
			case 7:
				i, loc := rapid.IntRange(0, len(objects)-1).Draw(t, "constant"), rapid.SampledFrom(places[:3]).Draw(t, "place")
				both(fmt.Sprintf("%s = constant %d", loc, i), func(s *ecmaStore, all map[string]*Expr) string {
					return fmt.Sprint(s.Put(all["place "+loc], objects[i]))
				})
			case 8:
				ev := &Event{Name: "e", Data: rapid.SampledFrom(objects).Draw(t, "event")}
				both(fmt.Sprint("event ", ev.Data), func(s *ecmaStore, _ map[string]*Expr) string { s.SetEvent(ev); return "" })
			case 9:
				if quick.m == nil && slow.m != nil {
					alone++
				}
				both("end of step", func(s *ecmaStore, _ map[string]*Expr) string {
					s.SetEvent(nil)
					faults := s.Settle()
					return fmt.Sprint(faults, string(AppendCanonical(nil, any(s.Data()))))
				})
			}
		}
		both("end", func(s *ecmaStore, _ map[string]*Expr) string {
			faults := s.Settle()
			return fmt.Sprint(faults, string(AppendCanonical(nil, any(s.Data()))))
		})
		for i, o := range objects {
			if want := []string{`{"a":{"a":1}}`, `[1,{"a":2}]`, `{}`, `[]`, `[[],1]`, `{"$":["<a/>"]}`, `"text"`, "7"}[i]; !bytes.Equal(AppendCanonical(nil, o), []byte(want)) {
				t.Fatalf("%q changed a value that others may have: %v, was %s", told, o, want)
			}
		}
	})
	if alone == 0 {
		t.Error("the machine was always needed")
	}
	t.Logf("%d steps needed no machine", alone)
}

func cloned(t *rapid.T, data map[string]any) map[string]any {
	n, err := Normalize(data)
	if err != nil {
		t.Fatal(err)
	}
	return n.(map[string]any)
}

// Assigning event data, and literals of data, makes no machine; what is assigned so
// is nobody else's after the step.
func TestObjectsNeedNoMachine(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, nil).(*ecmaStore)
	for _, name := range []string{"x", "y"} {
		if err := s.Declare(name); err != nil {
			t.Fatal(err)
		}
	}
	s.Load()
	data := map[string]any{"a": []any{1.0}}
	s.SetEvent(&Event{Name: "e", Data: data})
	for _, x := range [][2]string{{"x", "_event.data"}, {"y", "x.a"}, {"x", "{name: _event.name, list: [1, 'two', null]}"}, {"y", "_event.data"}} {
		if err := s.Assign(l.Location(x[0]), l.Expr(x[1])); err != nil {
			t.Fatal(err)
		}
	}
	if s.m != nil {
		t.Error("there is a machine")
	}
	s.SetEvent(nil)
	s.Settle()
	if got, want := string(AppendCanonical(nil, any(s.Data()))), `{"x":{"list":[1,"two",null],"name":"e"},"y":{"a":[1]}}`; got != want {
		t.Errorf("data %s, want %s", got, want)
	}
	if y, _ := s.Get("y"); address(y) == address(data) {
		t.Error("y is the data of the event")
	}
	l2 := l.Expr("[n, n]")
	if l2.Bounded() {
		t.Error("a literal may hold any number of copies, and counts as bounded")
	}
}

// The same value in Go need not be the same object in JavaScript: a constant that is
// put somewhere again, and event data that are bound again, are new ones.
func TestSameValueOfDifferentObjects(t *testing.T) {
	t.Parallel()
	for _, slow := range []bool{false, true} {
		l := ECMAScript()
		s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, nil).(*ecmaStore)
		s.slow = slow
		x, y := l.Location("x"), l.Location("y")
		s.Restore(map[string]any{"x": Undefined{}, "y": Undefined{}})
		constant, event := map[string]any{"a": 1.0}, &Event{Name: "e", Data: map[string]any{"b": 2.0}}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.Put(x, constant))
		s.Settle()
		must(s.Assign(y, l.Expr("x")))
		must(s.Put(x, constant))
		if same, err := s.Bool(l.Cond("x === y")); same || err != nil {
			t.Errorf("slow %v: a constant that is put again is the first one (%v)", slow, err)
		}
		s.Settle()
		s.SetEvent(event)
		must(s.Assign(x, l.Expr("_event.data")))
		if same, err := s.Bool(l.Cond("x === _event.data")); !same || err != nil {
			t.Errorf("slow %v: x is not the event's data (%v)", slow, err)
		}
		s.Settle()
		must(s.Assign(x, l.Expr("_event.data")))
		s.SetEvent(event)
		if same, err := s.Bool(l.Cond("x === _event.data")); same || err != nil {
			t.Errorf("slow %v: x is the data of an event that was bound later (%v)", slow, err)
		}
	}
}
