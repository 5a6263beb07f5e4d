// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"strings"
	"testing"
)

// TestLocations compiles what is a location and what only looks like one once it
// stands before "=v".
func TestLocations(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	for _, src := range []string{"x", " x ", "x.y", "x['y z'].a[0]", "f(1).x", "this.x", "(x).y", "x[i + 1] // here"} {
		for _, e := range []*Expr{l.Location(src), l.Value(src)} {
			if e.Err != nil {
				t.Errorf("%s: %v", src, e.Err)
			}
		}
	}
	for _, src := range []string{"1 + x", "x = y", "true ? x : y", "[x]", "{x}", "!x, y", "x?.y", "f()", "1", "'x'", "true", "x) + (y", "x}) + (function(){y", "x; y", ""} {
		for _, e := range []*Expr{l.Location(src), l.Value(src)} {
			if e.Err == nil || !strings.HasPrefix(e.Err.Error(), "SyntaxError") {
				t.Errorf("%s is a location, error %v", src, e.Err)
			}
		}
	}
}

// TestParenthesesAreItsOwn compiles expressions that would use those that are put
// around them.
func TestParenthesesAreItsOwn(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	for _, src := range []string{"1) + (2", "x), (y", "f)(x", "1)//(", "(1)) + ((2)"} {
		for _, e := range []*Expr{l.Expr(src), l.Cond(src)} {
			if e.Err == nil || !strings.HasPrefix(e.Err.Error(), "SyntaxError") {
				t.Errorf("%s compiles, error %v", src, e.Err)
			}
		}
	}
	for _, src := range []string{"(1) + (2)", "')'", "/[)]/.test(x)", "(x, y) // )", "(function() { return [1, 2] })()"} {
		if e := l.Expr(src); e.Err != nil {
			t.Errorf("%s: %v", src, e.Err)
		}
	}
}
