// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"math"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// form says of an expression in the pure subset what evaluating it may cost. The
// fast form counts exactly what depends on the operands. The machine cannot be asked
// for it: what it may need at most is counted before it runs.
type form struct {
	// cost is what it costs without the length of texts.
	cost int
	// ops are the operators, joins those of them that may make longer texts.
	ops, joins int
	// remainders are the operators "%", which go through the bits of floating numbers.
	remainders int
	// operands are what may be a text that an operator reads; longest is that of
	// those which are written there.
	operands []ast.Expression
	longest  int
}

// count adds one node of the tree.
func (f *form) count(e ast.Expression) {
	f.cost++
	switch e := e.(type) {
	case *ast.StringLiteral:
		f.longest = max(f.longest, len(e.Value.String()))
	case *ast.ObjectLiteral:
		f.cost += 10 + 10*len(e.Value)
	case *ast.ArrayLiteral:
		f.cost += 10 + 3*len(e.Value)
	case *ast.UnaryExpression:
		f.operator(e.Operand)
	case *ast.BinaryExpression:
		f.operator(e.Left, e.Right)
		switch e.Operator {
		case token.PLUS:
			f.joins++
		case token.REMAINDER:
			f.remainders++
		}
	case *ast.BracketExpression:
		f.operator(e.Left, e.Member)
	case *ast.DotExpression:
		if _, ok := ioProcessor(e.Left); ok {
			f.cost += 100 // they are listed
		}
		f.cost += 1 + len(e.Identifier.Name)/charsAUnit
	case *ast.CallExpression:
		f.operator(e.ArgumentList...)
	}
}

func (f *form) operator(operands ...ast.Expression) {
	f.ops++
	for _, e := range operands {
		f.operand(e)
	}
}

// operand notes what e may have for its value, if no operator makes it.
func (f *form) operand(e ast.Expression) {
	switch e := e.(type) {
	case *ast.Identifier, *ast.DotExpression, *ast.BracketExpression:
		f.operands = append(f.operands, e)
	case *ast.ConditionalExpression:
		f.operand(e.Consequent)
		f.operand(e.Alternate)
	case *ast.BinaryExpression:
		if e.Operator == token.LOGICAL_AND || e.Operator == token.LOGICAL_OR {
			f.operand(e.Left)
			f.operand(e.Right)
		}
	}
}

// costInMachine is what a node costs there, where the fast form has one.
const costInMachine = 12

// costRemainder is what "%" costs at most in the machine.
const costRemainder = 900

// most is what evaluating the expression in the machine costs at most: every
// operator may read the longest of the texts, and that may have become longer by every
// "+". What arrays cost that become text is counted when they do.
func (m *machine) most(f *form) int {
	longest := f.longest
	for _, e := range f.operands {
		v, known := m.look(e)
		if !known {
			longest = max(longest, m.longest)
		} else if text, ok := v.(goja.String); ok {
			longest = max(longest, text.Length())
		}
	}
	return costInMachine*f.cost + f.remainders*costRemainder + f.ops*(1+f.joins)*(6*longest/charsAUnit)
}

// look finds what a path of names stands for, nil for nothing, without any effect: in
// a chart of such expressions alone no object has accessors. known is false for
// what is no such path.
func (m *machine) look(e ast.Expression) (v goja.Value, known bool) {
	switch e := e.(type) {
	case *ast.Identifier:
		return m.vm.GlobalObject().Get(e.Name.String()), true
	case *ast.DotExpression:
		return m.member(e.Left, e.Identifier.Name.String())
	case *ast.BracketExpression:
		switch key := e.Member.(type) {
		case *ast.StringLiteral:
			return m.member(e.Left, key.Value.String())
		case *ast.NumberLiteral:
			return m.member(e.Left, m.vm.ToValue(key.Value).String())
		case *ast.Identifier:
			v, _ := m.look(key)
			if _, isObject := v.(*goja.Object); v != nil && !isObject {
				return m.member(e.Left, v.String())
			}
		}
	}
	return nil, false
}

func (m *machine) member(left ast.Expression, name string) (v goja.Value, known bool) {
	v, known = m.look(left)
	if o, ok := v.(*goja.Object); ok {
		return o.Get(name), known
	}
	return nil, known
}

// bits is what a/b costs where the remainder is found bit by bit.
func bits(a, b value) int {
	x, y := math.Abs(a.num), math.Abs(b.num)
	if !numbers(a, b) || y == 0 || math.IsInf(x, 0) || !(x/y >= 1<<53) {
		return 0
	}
	return math.Ilogb(x) - math.Ilogb(y)
}
