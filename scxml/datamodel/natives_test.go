// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dop251/goja"
)

// What a bounded function gives is what it gives without a bound.
func TestBoundedFunctionsMeanTheSame(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		"'ab'.repeat(3)", "'ab'.repeat()", "'ab'.repeat(-1)", "'ab'.repeat(Infinity)", "''.repeat(1e9)", "'ab'.repeat('2')", "'ab'.repeat({valueOf: function() { return 2 }})",
		"String.prototype.repeat.call(null, 2)", "String.prototype.repeat.call(12, 2)", "String.prototype.repeat.call(Symbol(), 2)",
		"'é'.padStart(5, 'xy')", "'a'.padEnd(3)", "'a'.padEnd()", "'a'.padStart(-1)", "'a'.repeat.name + 'a'.repeat.length + [].join.name + [].sort.length",
		"[3, 1, 2].sort().join()", "[3, 1, 2].sort(function(a, b) { return b - a }).join('-')", "[3, 1].sort(function() { throw new TypeError('no') })", "[1, [2, [3]]].flat(Infinity).join()",
		"[1, 2, 3].fill(0, 1).join('')", "[,1].join('x')", "[1, null, undefined].join({toString: function() { return '+' }})", "Array.prototype.join.call({length: 2, 0: 'a'})",
		"Array.prototype.join.call(null)", "Array.prototype.fill.call({length: 2}, 7)[1]", "[1, 2, 3].reverse().join()", "[1, 2].indexOf(2) + [1, 2, 1].lastIndexOf(1)", "[NaN].includes(NaN)",
		"[1, 2, 3].slice(-2).join()", "var a = [1, 2, 3]; a.splice(1, 1, 'x', 'y').join() + a.join()", "[1, 2, 3, 4].copyWithin(0, 2).join()", "var b = [1]; b.unshift(5, 6) + b.join()",
		"'abcb'.indexOf('b') + 'abcb'.lastIndexOf('b') + 'abc'.slice(1) + 'abc'.includes('c')", "try { 'a'.repeat(-1) } catch (e) { e instanceof RangeError && e.name }", "Object.keys(Array.prototype).length + Object.keys(String.prototype).length",
		"[1, 2].join === Array.prototype.join", "[2, 1].sort.call([4, 3]).join()", "[].concat.apply([], [[1], [2]]).join()",
	} {
		l := ECMAScript()
		s := l.NewStore(&fixedSystem{depth: 100, bytes: 100_000}, nil).(*ecmaStore)
		got, gotErr := s.run(l.Script(src))
		want, wantErr := goja.New().RunString(src)
		text := func(v goja.Value, err error) string {
			if err != nil {
				first, _, _ := strings.Cut(err.Error(), " at ")
				return "error " + strings.TrimSpace(first)
			}
			return v.String()
		}
		if g, w := text(got, gotErr), text(want, wantErr); g != w {
			t.Errorf("%s is %s, want %s", src, g, w)
		}
		if strings.Contains(src, "join") && len(l.(*ecmascript).schema.greedy) == 0 {
			t.Errorf("%s: nothing is bounded", src)
		}
	}
}

// In this process, too, what would end it is an error of the script.
func TestGreedyFunctionsAreBounded(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		"'x'.repeat(Math.pow(2, 40))", "'x'.padStart(Math.pow(2, 40))", "'x'.padEnd(Infinity, 'ab')", "new Array(4294967295).fill(1)", "new Array(4294967295).join('xx')",
		"new Array(1000000).join('x'.repeat(1000))", "new Array(4294967295).sort()", "Array.prototype.reverse.call({length: 9e15})", "new Array(4294967295).indexOf(1)", "new Array(4294967295).slice()",
		"Array.prototype.unshift.call({length: 9e15}, 1)", "Array.prototype.flat.call({length: 9e15})", "x = new Array(4294967295).concat([1]).includes(7)",
	} {
		l := ECMAScript()
		s := l.NewStore(&fixedSystem{depth: 100, bytes: 100_000}, nil)
		if err := s.Run(l.Script(src)); err == nil || !strings.Contains(err.Error(), "RangeError: Invalid ") {
			t.Errorf("%s: %v, want a RangeError", src, err)
		}
		if err := s.Run(l.Script("try { " + src + " } catch (e) { x = e.name }")); err != nil {
			t.Errorf("%s: it cannot be caught: %v", src, err)
		}
		s.Settle()
		if x, _ := s.Get("x"); x != "RangeError" {
			t.Errorf("%s: caught %v, want a RangeError", src, x)
		}
	}
}

// An interrupt reaches what a bounded function calls, and cannot be caught.
func TestInterruptInBounded(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	s := l.NewStore(&fixedSystem{depth: 100, bytes: 100_000}, nil)
	timer := time.AfterFunc(50*time.Millisecond, s.Interrupt)
	defer timer.Stop()
	err := s.Run(l.Script("try { [3, 1, 2].sort(function() { for (;;); }) } catch (e) { for (;;); }"))
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v, want that it was interrupted", err)
	}
}
