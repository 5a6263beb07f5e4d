// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// saved is a store with what a snapshot keeps of s.
func saved(t *rapid.T, l Language, sys System, s Store) Store {
	var v any
	if err := json.Unmarshal(AppendCanonical(nil, s.Data()), &v); err != nil {
		t.Fatal(err)
	}
	data, err := FromCanonical(v)
	if err != nil {
		t.Fatal(err)
	}
	restored := l.NewStore(sys, nil)
	restored.Restore(data.(map[string]any))
	return restored
}

// TestAssignmentsMeanTheSame draws assignments in steps and makes them in three
// stores: one that uses the fast path, one that always asks the machine, and one
// that is saved and restored after every step.
func TestAssignmentsMeanTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sys := &fixedSystem{depth: 100, bytes: 10_000, in: func(id string) bool { return id == "here" }, name: "n"}
		l := ECMAScript()
		fast, slow, restored := l.NewStore(sys, nil), l.NewStore(sys, nil), l.NewStore(sys, nil)
		slow.(*ecmaStore).slow = true
		event := &Event{Name: "e", Data: rapid.SampledFrom(operands).Draw(t, "event")}
		for _, name := range []string{"x", "y", "z"} {
			v := rapid.SampledFrom(operands).Draw(t, name)
			for _, s := range []Store{fast, slow, restored} {
				if err := s.Declare(name); err != nil {
					t.Fatal(err)
				}
				if err := s.Put(l.Location(name), v); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			var code []string
			fast.SetEvent(event)
			slow.SetEvent(event)
			restored.SetEvent(event)
			for range rapid.IntRange(1, 4).Draw(t, "assignments") {
				loc := rapid.SampledFrom([]string{"x", "y", "z", "x.a", "y.a.b", "x[0]", "z[y]", "nothing", "x.length"}).Draw(t, "location")
				expr := drawExpr(t, 2)
				code = append(code, loc+" = "+expr)
				var failed [3]bool
				for i, s := range []Store{fast, slow, restored} {
					failed[i] = s.Assign(l.Location(loc), l.Expr(expr)) != nil
				}
				if failed[0] != failed[1] || failed[0] != failed[2] {
					t.Fatalf("%s: fails %v on the fast path, with the machine, restored", strings.Join(code, "; "), failed)
				}
			}
			faults := [3]int{len(fast.Settle()), len(slow.Settle()), len(restored.Settle())}
			if faults[0] != faults[1] || faults[0] != faults[2] {
				t.Fatalf("%s: faults are %v", strings.Join(code, "; "), faults)
			}
			want := AppendCanonical(nil, slow.Data())
			for name, s := range map[string]Store{"the fast path": fast, "a restored store": restored} {
				if got := AppendCanonical(nil, s.Data()); !bytes.Equal(got, want) {
					t.Fatalf("%s: %s gives %s, the machine %s", strings.Join(code, "; "), name, got, want)
				}
			}
			restored = saved(t, l, sys, restored)
		}
	})
}

// What the global object holds fixed is no name of a variable: a machine would
// ignore the variable, the fast path would not.
func TestFixedNames(t *testing.T) {
	t.Parallel()
	s, l, _ := newStore(t)
	for _, name := range []string{"In", "NaN", "Infinity", "undefined"} {
		if err := s.Declare(name); err == nil {
			t.Errorf("a variable can be named %s", name)
		}
	}
	if err := s.Run(l.Script("In = 3")); err == nil || !strings.Contains(err.Error(), "In cannot be assigned to") {
		t.Errorf("In = 3 gives %v", err)
	}
}

// A script of the chart that hides that it changes what all objects inherit
// changes nothing; one that says so is obeyed, with the machine.
func TestPrototypeOfAll(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]any{
		"({}).constructor['proto' + 'type'].foo = 7":                                                          Undefined{},
		"var o = {}, p = Object['getProto' + 'typeOf'](o); p.foo = 7; Object['setProto' + 'typeOf'](Math, p)": Undefined{},
		"Object.prototype.foo = 7":          7.0,
		"Object.getPrototypeOf({}).foo = 7": 7.0,
		"function C() {}; C['proto' + 'type'].toString = function() { return 'mine' }; var text = '' + new C()": Undefined{},
	} {
		l := ECMAScript()
		s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, []*Expr{l.Script(script)})
		if err := s.Declare("x"); err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Load() {
			if err != nil {
				t.Errorf("%s: %v", script, err)
			}
		}
		if err := s.Assign(l.Location("x"), l.Expr("{a: 1}")); err != nil {
			t.Fatal(err)
		}
		for _, expr := range []string{"x.foo", "(function() { return x.foo })()"} {
			s.Settle()
			if got, err := s.Eval(l.Expr(expr)); err != nil || got != want {
				t.Errorf("after %s, %s is %v, %v, want %v", script, expr, got, err, want)
			}
		}
		if text, ok := s.Get("text"); ok && text != "mine" {
			t.Errorf("toString of a class gives %v", text)
		}
	}
}

// Calls that do not look like calls change data all the same.
func TestHiddenCalls(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"x.push?.(3)", "x.push/**/(3)", "x.push // it\n(3)", "'' + counter"} {
		l := ECMAScript()
		var scripts []*Expr
		if strings.Contains(expr, "counter") {
			scripts = []*Expr{l.Script("var counter = {valueOf: function() { x.push(3); return 0 }}")}
		}
		s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, scripts)
		if err := s.Declare("x"); err != nil {
			t.Fatal(err)
		}
		s.Load()
		if err := s.Assign(l.Location("x"), l.Expr("[1, 2]")); err != nil {
			t.Fatal(err)
		}
		s.Settle()
		if _, err := s.Eval(l.Expr(expr)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Eval(l.Expr("x.length")); err != nil || got != 3.0 {
			t.Errorf("%s: then x.length is %v, %v in the same step", expr, got, err)
		}
		s.Settle()
		if got, _ := s.Get("x"); len(got.([]any)) != 3 {
			t.Errorf("%s: x is %v afterwards", expr, got)
		}
	}
}
