// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func newStore(t *testing.T, names ...string) (Store, Language, *fixedSystem) {
	t.Helper()
	sys := &fixedSystem{depth: 100, bytes: 1000, in: func(id string) bool { return id == "here" }, session: "s1", name: "n"}
	l := ECMAScript()
	s := l.NewStore(sys, nil)
	for _, n := range names {
		if err := s.Declare(n); err != nil {
			t.Fatal(err)
		}
	}
	return s, l, sys
}

func TestEval(t *testing.T) {
	t.Parallel()
	s, l, sys := newStore(t, "x")
	sys.now = time.UnixMilli(1234)
	s.SetEvent(&Event{Name: "e", Type: "external", Data: map[string]any{"a": float64(1)}})
	if err := s.Assign(l.Location("x"), l.Expr("{a:[1,2]}")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		expr string
		want any
	}{
		{"1", 1.0}, {"-2.5", -2.5}, {"'a'", "a"}, {`"a" // comment`, "a"}, {"true", true}, {"null", nil}, {"undefined", Undefined{}},
		{"{a:1}", map[string]any{"a": 1.0}}, {"x.a[1] + 1", 3.0}, {"x.nothing", Undefined{}}, {"NaN", math.NaN()}, {"[1,undefined]", []any{1.0, Undefined{}}},
		{"{a:undefined}", map[string]any{"a": Undefined{}}}, {"In('here')", true}, {"In('there')", false}, {"_sessionid + _name", "s1n"},
		{"_event.data.a", 1.0}, {"_event.sendid === undefined", true}, {"Date.now()", 1234.0}, {"x;", map[string]any{"a": []any{1.0, 2.0}}},
	}
	for _, tt := range tests {
		got, err := s.Eval(l.Expr(tt.expr))
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
		} else if d := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); d != "" {
			t.Errorf("%s: %s", tt.expr, d)
		}
	}
}

// SCXML 5.9: an expression that is wrong fails when it is evaluated.
func TestErrors(t *testing.T) {
	t.Parallel()
	s, l, _ := newStore(t, "x")
	for _, expr := range []string{"", "return", "(", "nothing", "x.a.b", "throw 1", "function(){}", "(function f(){f()})()", "({}).a.b", "_event = 1"} {
		if v, err := s.Eval(l.Expr(expr)); err == nil {
			t.Errorf("%q gives %v, want an error", expr, v)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the message has several lines: %q", expr, err)
		}
	}
	for _, loc := range []string{"", "1", "nothing", "x.a.b", "_event", "_event.name", "_sessionid", "a b", "continue"} {
		if err := s.Assign(l.Location(loc), l.Expr("1")); err == nil {
			t.Errorf("assigning to %q works, want an error", loc)
		}
	}
	for _, item := range []string{"continue", "1", "a.b", ""} {
		if err := s.Each(l.Expr("[1]"), item, "", func() error { return nil }); err == nil {
			t.Errorf("foreach with item %q works, want an error", item)
		}
	}
}

// Design §4, "live equals restored": what a snapshot could not hold is gone at
// the end of the step, or named.
func TestSettle(t *testing.T) {
	t.Parallel()
	s, l, _ := newStore(t, "x", "y", "f", "big")
	run := func(src string) {
		t.Helper()
		if err := s.Run(l.Script(src)); err != nil {
			t.Fatal(err)
		}
	}
	run(`x = {a: 1, n: NaN, z: -0, u: undefined}; y = x; f = function() {}; Array.prototype.evil = 1; var v = [1];
		let w = 2; big = new Array(100).fill("0123456789").join()`)
	faults := s.Settle()
	if len(faults) != 2 || !strings.Contains(faults[0].Error(), "big") || !strings.Contains(faults[1].Error(), "f cannot be kept") {
		t.Errorf("faults are %v, want those of big and f", faults)
	}
	run("y.a = 2")
	if got, err := s.Eval(l.Expr("[x.a, y.a, [].evil === undefined, v, w, 1/x.z, x.n !== x.n, 'u' in x]")); err != nil ||
		!cmp.Equal(got, []any{1.0, 2.0, true, []any{1.0}, 2.0, math.Inf(-1), true, true}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	values := []any{
		nil, true, 0.0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1.5, -1e300, 123456789.0, "", "a\"\\\n\u2028\U0001F600",
		Undefined{}, XML("<a b=\"c\"/>"), []any{}, []any{1.0, []any{Undefined{}}}, map[string]any{},
		map[string]any{"b": 1.0, "a": nil}, map[string]any{"$": "NaN"}, map[string]any{"$": map[string]any{"$": 1.0}}, map[string]any{"$": 1.0, "a": 2.0},
	}
	for _, v := range values {
		b := AppendCanonical(nil, v)
		var parsed any
		if err := json.Unmarshal(b, &parsed); err != nil {
			t.Errorf("%s is no JSON: %v", b, err)
			continue
		}
		back, err := FromCanonical(parsed)
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if again := AppendCanonical(nil, back); !bytes.Equal(b, again) {
			t.Errorf("%#v: %s becomes %s", v, b, again)
		}
		if d := cmp.Diff(v, back); d != "" {
			t.Errorf("%s", d)
		}
	}
	nan, err := FromCanonical(map[string]any{"$": "NaN"})
	if f, ok := nan.(float64); err != nil || !ok || !math.IsNaN(f) {
		t.Errorf("NaN comes back as %v, %v", nan, err)
	}
}

func TestParseContent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]any{
		"  ":                    "",
		" 12 ":                  12.0,
		`{"a": [1]}`:            map[string]any{"a": []any{1.0}},
		"two\n   words ":        "two words",
		"<a><b/></a>":           XML("<a><b/></a>"),
		"<a>":                   "<a>",
		"\xff and \xed\xa0\xbd": "\uFFFD and \uFFFD",
		"<!DOCTYPE x><x/>":      "<!DOCTYPE x><x/>",
	} {
		if d := cmp.Diff(want, ParseContent(in)); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
}

// An evaluation that does not end is ended from another goroutine.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s, l, _ := newStore(t, "x")
	started := make(chan struct{})
	done := make(chan error)
	s.(*ecmaStore).sys.(*fixedSystem).in = func(string) bool { close(started); return true }
	go func() { done <- s.Run(l.Script("In('x'); for(;;);")) }()
	<-started
	s.Interrupt()
	if err := <-done; !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Eval(l.Expr("x")); !errors.Is(err, ErrInterrupted) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestNull(t *testing.T) {
	t.Parallel()
	l := Null()
	s := l.NewStore(&fixedSystem{in: func(id string) bool { return id == "a" }}, nil)
	for src, want := range map[string]bool{"In('a')": true, ` In( "a" ) `: true, "In(a)": true, "In('b')": false} {
		if got, err := s.Bool(l.Cond(src)); err != nil || got != want {
			t.Errorf("%s is %v, %v", src, got, err)
		}
	}
	if _, err := s.Bool(l.Cond("1 == 1")); err == nil {
		t.Error("1 == 1 is accepted")
	}
}

// Code may nest as deep as it is long, and the parser's stack with it: beyond the
// bound it is refused unread, for a stack that is used up ends the process.
func TestLongCodeIsRefused(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	for name, compile := range map[string]func(string) *Expr{"expr": l.Expr, "cond": l.Cond, "location": l.Location, "script": l.Script} {
		if e := compile(strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000)); e.Err == nil || !strings.Contains(e.Err.Error(), "more than 65536") {
			t.Errorf("%s of a million bytes: %v", name, e.Err)
		}
		if e := compile(strings.Repeat("[", maxSource/2-10) + "x" + strings.Repeat("]", maxSource/2-10)); e.Err != nil && strings.Contains(e.Err.Error(), "more than") {
			t.Errorf("%s within the bound: %v", name, e.Err)
		}
	}
}

// What all objects inherit is no variable of the session, though a script names it.
func TestInheritedIsNoVariable(t *testing.T) {
	t.Parallel()
	s, l, _ := newStore(t, "x")
	for _, script := range []string{
		"x = (5).toString() + [].constructor.name + ({}).hasOwnProperty('a') + ({}).__proto__.valueOf.length",
		"Object.prototype.polluted = 1; Object.prototype.toString = function() { return 'none' }; Object.prototype.x = x",
		"var x = 'own', y = 2; x.constructor.prototype.polluted = 3; globalThis.valueOf = 4",
	} {
		if err := s.Run(l.Script(script)); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		if faults := s.Settle(); len(faults) > 0 {
			t.Errorf("%s: %v", script, faults)
		}
	}
	want := map[string]any{"x": "own", "y": 2.0, "valueOf": 4.0}
	if d := cmp.Diff(want, s.Data()); d != "" {
		t.Error(d)
	}
}
