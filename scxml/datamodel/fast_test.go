// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/dop251/goja"
	"pgregory.net/rapid"
)

// operands are values whose conversions differ.
var operands = []any{
	nil, Undefined{}, true, false, 0.0, math.Copysign(0, -1), 1.0, -1.5, 1e15, 1e21, 0.1, math.NaN(), math.Inf(1), math.Inf(-1),
	"", "0", "1", "abc", "ä", "\U0001F600", "\uFFFD", "NaN", "[object Object]",
	[]any{}, []any{1.0, "x"}, map[string]any{}, map[string]any{"a": 1.0, "length": 2.0}, map[string]any{"a": map[string]any{"b": "x"}}, XML("<a/>"),
}

func drawExpr(t *rapid.T, depth int) string {
	leaf := []string{`'\u0061bc'`, `'\ud83d'`, `"\ud83d\ude00"`, `'\x41\n'`, `'\u{1F600}'`, `x['\u0061']`, `'\ud83d'.length`, "'\U0001F600'",
		"x", "y", "z", "1", "0", "-1", "2.5", "'a'", "''", "'length'", "true", "false", "null", "undefined", "NaN", "Infinity",
		"nothing", "_event.data", "_event.name", "_event.sendid", "_event", "x.a", "y.a.b", "z.length", "x[0]", "y['a']", "z.toString", "x.nothing", "[]", "{}", "[1,,2]", "[...y]", "{__proto__: x}", "{['a']: 1}", "{get a() { return 1 }}", "{1: 2}",
		"In('here')", "In('there')", "In(x)", "_name",
		"_ioprocessors.p.location", "_ioprocessors['p']['location']", "_ioprocessors.q", "_ioprocessors.q.location", "_ioprocessors.p[x]"}
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf?") == 0 {
		return rapid.SampledFrom(leaf).Draw(t, "leaf")
	}
	a := drawExpr(t, depth-1)
	switch rapid.IntRange(0, 7).Draw(t, "form") {
	case 6:
		return fmt.Sprintf("[%s, %s]", a, drawExpr(t, depth-1))
	case 7:
		literal := rapid.SampledFrom([]string{"{a: %s, 'b c': %s, a: 1, x}", "{'b c': %s, a: %s}", "{b: %s, '10': 1, '9': %s}", "{c: {z: 1, y: %s}, b: %s, c: {z: 1, a: 2}}"})
		return fmt.Sprintf(literal.Draw(t, "literal"), a, drawExpr(t, depth-1))
	case 0:
		return "!" + "(" + a + ")"
	case 1:
		return "-(" + a + ")"
	case 2:
		return fmt.Sprintf("(%s) ? (%s) : (%s)", a, drawExpr(t, depth-1), drawExpr(t, depth-1))
	case 3:
		return fmt.Sprintf("(%s)[%s]", a, drawExpr(t, depth-1))
	default:
		op := rapid.SampledFrom([]string{"===", "!==", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||"}).Draw(t, "operator")
		return fmt.Sprintf("(%s) %s (%s)", a, op, drawExpr(t, depth-1))
	}
}

// TestFastMeansTheSame draws expressions of the fast subset and compares what
// they give without and with the machine.
func TestFastMeansTheSame(t *testing.T) {
	t.Parallel()
	answered := 0
	rapid.Check(t, func(t *rapid.T) {
		data := map[string]any{}
		for _, name := range []string{"x", "y", "z"} {
			data[name] = rapid.SampledFrom(operands).Draw(t, name)
		}
		event := &Event{Name: "e", Data: rapid.SampledFrom(operands).Draw(t, "event")}
		sys := &fixedSystem{depth: 100, bytes: 10_000, in: func(id string) bool { return id == "here" }, name: "n"}
		l := ECMAScript()
		e := l.Expr(drawExpr(t, 3))
		s := l.NewStore(sys, nil).(*ecmaStore)
		s.Restore(data)
		s.SetEvent(event)
		v, ok := s.tryFast(e)
		if !ok {
			return
		}
		answered++
		got := AppendCanonical(nil, v.plain())
		js, err := s.run(e)
		if err != nil {
			t.Fatalf("%s with x=%v y=%v z=%v: fast gives %s, the machine fails: %v", e.Source, data["x"], data["y"], data["z"], got, err)
		}
		value, err := s.m.export(js, sys.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if said, isText := js.(goja.String); isText && !js.SameAs(s.m.vm.ToValue(v.plain())) {
			t.Fatalf("%s: fast gives %q, the machine %q", e.Source, v.plain(), said)
		}
		if want := AppendCanonical(nil, value); !bytes.Equal(got, want) {
			t.Fatalf("%s with x=%#v y=%#v z=%#v: fast gives %s, the machine %s", e.Source, data["x"], data["y"], data["z"], got, want)
		}
		if v.truth() != js.ToBoolean() {
			t.Fatalf("%s: the truth of %s differs", e.Source, got)
		}
	})
	if answered == 0 {
		t.Error("the fast path never answered")
	}
	t.Logf("the fast path answered %d times", answered)
}

// orderProbe tells all that a script can see of the order of keys.
const orderProbe = `(function probe(v) {
	var seen = []
	if (v && typeof v == 'object') {
		for (var k in v) seen.push(k, probe(v[k]))
		seen.push(Object.keys(v), JSON.stringify(v))
	}
	return seen
})`

// TestFastKeepsTheOrder draws literals, assigns them without a machine, passes them
// on, and looks at them with a script of the same step.
func TestFastKeepsTheOrder(t *testing.T) {
	t.Parallel()
	answered := 0
	rapid.Check(t, func(t *rapid.T) {
		literal := fmt.Sprintf(rapid.SampledFrom([]string{"{q: %s, p: %s}", "[%s, {'2': 0, '10': %s}]", "{b: %s, a: {c: %s}}"}).Draw(t, "literal"),
			drawExpr(t, 2), drawExpr(t, 2))
		values := [3]any{}
		for i := range values {
			values[i] = rapid.SampledFrom(operands).Draw(t, "value")
		}
		look := func(slow bool) (seen []byte, fast bool) {
			l := ECMAScript()
			s := l.NewStore(&fixedSystem{depth: 100, bytes: 10_000, in: func(id string) bool { return id == "here" }, name: "n"}, nil).(*ecmaStore)
			s.Restore(map[string]any{"x": values[0], "y": values[1], "z": values[2], "v": nil, "w": nil})
			s.SetEvent(&Event{Name: "e", Data: 1.0})
			s.slow = slow
			err := s.Assign(l.Location("v"), l.Expr(literal))
			if err == nil {
				err = s.Assign(l.Location("w"), l.Expr("v"))
			}
			fast = s.m == nil
			if err != nil {
				return []byte(err.Error()), fast
			}
			told, err := s.Eval(l.Expr(orderProbe + "([v, w])"))
			if err != nil {
				return []byte(err.Error()), fast
			}
			return AppendCanonical(nil, told), fast
		}
		got, fast := look(false)
		if fast {
			answered++
		}
		if want, _ := look(true); !bytes.Equal(got, want) {
			t.Fatalf("v = %s\nfast gives   %s\nmachine has  %s", literal, got, want)
		}
	})
	if answered == 0 {
		t.Error("the fast path never answered")
	}
}

// A chart that stays inside the subset never makes a machine.
func TestSubsetNeedsNoMachine(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000, in: func(id string) bool { return id == "here" }}, nil).(*ecmaStore)
	for _, name := range []string{"n", "label"} {
		if err := s.Declare(name); err != nil {
			t.Fatal(err)
		}
	}
	s.Load()
	s.SetEvent(&Event{Name: "e", Data: map[string]any{"code": 137.0}})
	for _, x := range [][2]string{{"n", "0"}, {"n", "n + 1"}, {"n", "n * _event.data.code"}, {"label", "'exit ' + n"}, {"label", "In('here') ? label : 'out'"}} {
		if err := s.Assign(l.Location(x[0]), l.Expr(x[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, cond := range []string{"n == 137 && label === 'exit 137'", "_event.data.code >= 128 || !In('here')", "_ioprocessors['p'].location === 'there'", "label.length > 3"} {
		if ok, err := s.Bool(l.Cond(cond)); err != nil || !ok {
			t.Errorf("%s is %v, %v", cond, ok, err)
		}
	}
	if s.m != nil {
		t.Error("there is a machine")
	}
}
