// SPDX-License-Identifier: Apache-2.0

package datamodel

import "testing"

// BenchmarkMachine measures a step that needs a machine, and what it would take in
// one that is there already.
func BenchmarkMachine(b *testing.B) {
	for _, bb := range []struct {
		name, script string
		kept         bool
	}{{name: "new"}, {name: "new with a script", script: "function f(n) { return n + 1 }"}, {name: "kept", kept: true}} {
		b.Run(bb.name, func(b *testing.B) {
			l := ECMAScript()
			var scripts []*Expr
			if bb.script != "" {
				scripts = []*Expr{l.Script(bb.script)}
			}
			s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, scripts)
			s.Load()
			x, zero, call := l.Location("x"), l.Expr("0"), l.Expr("Math.min(x + 1, 5)")
			if err := s.Declare("x"); err != nil {
				b.Fatal(err)
			}
			if err := s.Assign(x, zero); err != nil {
				b.Fatal(err)
			}
			s.Settle()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Assign(x, call); err != nil {
					b.Fatal(err)
				}
				if !bb.kept {
					s.Settle()
				}
			}
		})
	}
}
