// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"math"
	"strconv"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja/token"
)

// fast evaluates an expression over the canonical data, without a machine. It
// says false whenever an operand leaves the cases whose meaning in JavaScript is
// certain: missing variables, properties of what has none, conversions between
// types. The machine then evaluates the whole expression, which is safe because
// nothing here has an effect.
type fast func(s *ecmaStore) (any, bool)

// inherited are names that plain objects have without owning them.
var inherited = map[string]bool{
	"constructor": true, "toString": true, "toLocaleString": true, "valueOf": true, "hasOwnProperty": true,
	"isPrototypeOf": true, "propertyIsEnumerable": true, "__proto__": true, "__defineGetter__": true,
	"__defineSetter__": true, "__lookupGetter__": true, "__lookupSetter__": true,
}

// fastCompiler turns a tree into closures; names collects the variables read.
type fastCompiler struct{ names []string }

// compileFast gives the fast form of an expression, or nil if it goes beyond
// the subset.
func compileFast(src string) (fast, []string) {
	tree, err := parser.ParseFile(nil, "", "("+src+"\n)", 0, parser.WithDisableSourceMaps)
	if err != nil || len(tree.Body) != 1 {
		return nil, nil
	}
	statement, ok := tree.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return nil, nil
	}
	var c fastCompiler
	f := c.expr(statement.Expression)
	return f, c.names
}

func constant(v any) fast { return func(*ecmaStore) (any, bool) { return v, true } }

func (c *fastCompiler) expr(e ast.Expression) fast {
	switch e := e.(type) {
	case *ast.StringLiteral:
		return constant(e.Value.String())
	case *ast.BooleanLiteral:
		return constant(e.Value)
	case *ast.NullLiteral:
		return constant(nil)
	case *ast.NumberLiteral:
		switch v := e.Value.(type) {
		case int64:
			return constant(float64(v))
		case float64:
			return constant(v)
		}
	case *ast.Identifier:
		return c.identifier(e.Name.String())
	case *ast.DotExpression:
		if id, ok := e.Left.(*ast.Identifier); ok && id.Name == "_event" {
			return eventField(e.Identifier.Name.String())
		}
		left := c.expr(e.Left)
		if left == nil {
			return nil
		}
		name := e.Identifier.Name.String()
		return func(s *ecmaStore) (any, bool) {
			v, ok := left(s)
			if !ok {
				return nil, false
			}
			return property(v, name)
		}
	case *ast.BracketExpression:
		return c.index(e)
	case *ast.UnaryExpression:
		return c.unary(e)
	case *ast.BinaryExpression:
		return c.binary(e)
	case *ast.ConditionalExpression:
		test, yes, no := c.expr(e.Test), c.expr(e.Consequent), c.expr(e.Alternate)
		if test == nil || yes == nil || no == nil {
			return nil
		}
		return func(s *ecmaStore) (any, bool) {
			v, ok := test(s)
			if !ok {
				return nil, false
			}
			if truth(v) {
				return yes(s)
			}
			return no(s)
		}
	case *ast.CallExpression:
		return c.in(e)
	}
	return nil
}

func (c *fastCompiler) identifier(name string) fast {
	switch name {
	case "undefined":
		return constant(Undefined{})
	case "NaN":
		return constant(math.NaN())
	case "Infinity":
		return constant(math.Inf(1))
	case "_sessionid":
		return func(s *ecmaStore) (any, bool) { return s.sys.SessionID, true }
	case "_name":
		return func(s *ecmaStore) (any, bool) { return s.sys.Name, true }
	case "_event", "_ioprocessors", "_x":
		return nil
	}
	c.names = append(c.names, name)
	return func(s *ecmaStore) (any, bool) {
		v, ok := s.data[name]
		return v, ok
	}
}

func eventField(name string) fast {
	return func(s *ecmaStore) (any, bool) {
		ev := s.event
		if ev == nil {
			return nil, false
		}
		text := ""
		switch name {
		case "name":
			text = ev.Name
		case "type":
			text = ev.Type
		case "sendid":
			text = ev.SendID
		case "origin":
			text = ev.Origin
		case "origintype":
			text = ev.OriginType
		case "invokeid":
			text = ev.InvokeID
		case "data":
			if ev.Data == nil {
				return Undefined{}, true
			}
			return ev.Data, true
		default:
			return nil, false
		}
		if text == "" {
			return Undefined{}, true
		}
		return text, true
	}
}

// property reads a property that is an own one, or certainly absent.
func property(v any, name string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if e, ok := v[name]; ok {
			return e, true
		}
		if !inherited[name] {
			return Undefined{}, true
		}
	case []any:
		if name == "length" {
			return float64(len(v)), true
		}
	case string:
		if name == "length" && isASCII(v) {
			return float64(len(v)), true
		}
	}
	return nil, false
}

func (c *fastCompiler) index(e *ast.BracketExpression) fast {
	left, member := c.expr(e.Left), c.expr(e.Member)
	if left == nil || member == nil {
		return nil
	}
	return func(s *ecmaStore) (any, bool) {
		v, ok := left(s)
		if !ok {
			return nil, false
		}
		m, ok := member(s)
		if !ok {
			return nil, false
		}
		switch m := m.(type) {
		case string:
			return property(v, m)
		case float64:
			if list, ok := v.([]any); ok && m >= 0 && m == math.Trunc(m) && m < float64(len(list)) {
				return list[int(m)], true
			}
		}
		return nil, false
	}
}

func (c *fastCompiler) unary(e *ast.UnaryExpression) fast {
	x := c.expr(e.Operand)
	if x == nil || e.Postfix {
		return nil
	}
	switch e.Operator {
	case token.NOT:
		return func(s *ecmaStore) (any, bool) {
			v, ok := x(s)
			return ok && !truth(v), ok
		}
	case token.MINUS:
		return func(s *ecmaStore) (any, bool) {
			v, ok := x(s)
			f, isNumber := v.(float64)
			return -f, ok && isNumber
		}
	}
	return nil
}

// in compiles In('id').
func (c *fastCompiler) in(e *ast.CallExpression) fast {
	id, ok := e.Callee.(*ast.Identifier)
	if !ok || id.Name != "In" || len(e.ArgumentList) != 1 {
		return nil
	}
	arg := c.expr(e.ArgumentList[0])
	if arg == nil {
		return nil
	}
	return func(s *ecmaStore) (any, bool) {
		v, ok := arg(s)
		name, isText := v.(string)
		ok = ok && isText
		return ok && s.sys.In(name), ok
	}
}

func (c *fastCompiler) binary(e *ast.BinaryExpression) fast {
	x, y := c.expr(e.Left), c.expr(e.Right)
	if x == nil || y == nil {
		return nil
	}
	switch e.Operator {
	case token.LOGICAL_AND, token.LOGICAL_OR:
		and := e.Operator == token.LOGICAL_AND
		return func(s *ecmaStore) (any, bool) {
			a, ok := x(s)
			if !ok || truth(a) != and {
				return a, ok
			}
			return y(s)
		}
	}
	op := operators[e.Operator]
	if op == nil {
		return nil
	}
	return func(s *ecmaStore) (any, bool) {
		a, ok := x(s)
		if !ok {
			return nil, false
		}
		b, ok := y(s)
		if !ok {
			return nil, false
		}
		return op(a, b)
	}
}

var operators = map[token.Token]func(a, b any) (any, bool){
	token.STRICT_EQUAL:     strictEqual,
	token.STRICT_NOT_EQUAL: negate(strictEqual),
	token.EQUAL:            looseEqual,
	token.NOT_EQUAL:        negate(looseEqual),
	token.LESS:             compare(func(c int) bool { return c < 0 }),
	token.LESS_OR_EQUAL:    compare(func(c int) bool { return c <= 0 }),
	token.GREATER:          compare(func(c int) bool { return c > 0 }),
	token.GREATER_OR_EQUAL: compare(func(c int) bool { return c >= 0 }),
	token.PLUS:             plus,
	token.MINUS:            arithmetic(func(a, b float64) float64 { return a - b }),
	token.MULTIPLY:         arithmetic(func(a, b float64) float64 { return a * b }),
	token.SLASH:            arithmetic(func(a, b float64) float64 { return a / b }),
	token.REMAINDER:        arithmetic(math.Mod),
}

// typeOf tells the primitive types apart; 0 is for objects.
func typeOf(v any) int {
	switch v.(type) {
	case nil:
		return 1
	case Undefined:
		return 2
	case bool:
		return 3
	case float64:
		return 4
	case string:
		return 5
	}
	return 0
}

func strictEqual(a, b any) (any, bool) {
	ta, tb := typeOf(a), typeOf(b)
	if ta == 0 || tb == 0 {
		// Whether two objects are one cannot be seen in canonical data; an
		// object is never equal to a primitive value.
		return false, ta != tb
	}
	return ta == tb && a == b, true
}

func looseEqual(a, b any) (any, bool) {
	ta, tb := typeOf(a), typeOf(b)
	switch {
	case ta == 0 || tb == 0:
		return false, false
	case ta <= 2 || tb <= 2:
		return ta <= 2 && tb <= 2, true
	case ta == tb:
		return a == b, true
	}
	return false, false
}

func negate(f func(a, b any) (any, bool)) func(a, b any) (any, bool) {
	return func(a, b any) (any, bool) {
		v, ok := f(a, b)
		return ok && v == false, ok
	}
}

func compare(holds func(c int) bool) func(a, b any) (any, bool) {
	return func(a, b any) (any, bool) {
		switch a := a.(type) {
		case float64:
			if b, ok := b.(float64); ok {
				if math.IsNaN(a) || math.IsNaN(b) {
					return false, true
				}
				switch {
				case a < b:
					return holds(-1), true
				case a > b:
					return holds(1), true
				}
				return holds(0), true
			}
		case string:
			// JavaScript compares UTF-16 units, Go bytes.
			if b, ok := b.(string); ok && isASCII(a) && isASCII(b) {
				switch {
				case a < b:
					return holds(-1), true
				case a > b:
					return holds(1), true
				}
				return holds(0), true
			}
		}
		return nil, false
	}
}

func arithmetic(f func(a, b float64) float64) func(a, b any) (any, bool) {
	return func(a, b any) (any, bool) {
		x, ok := a.(float64)
		if !ok {
			return nil, false
		}
		y, ok := b.(float64)
		return f(x, y), ok
	}
}

func plus(a, b any) (any, bool) {
	if x, ok := a.(float64); ok {
		if y, ok := b.(float64); ok {
			return x + y, true
		}
	}
	_, aText := a.(string)
	_, bText := b.(string)
	if !aText && !bText {
		return nil, false
	}
	x, ok := asText(a)
	if !ok {
		return nil, false
	}
	y, ok := asText(b)
	return x + y, ok
}

func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10), true
		}
	}
	return "", false
}

// truth is the boolean of a canonical value.
func truth(v any) bool {
	switch v := v.(type) {
	case nil, Undefined:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && !math.IsNaN(v)
	case string:
		return v != ""
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// tryFast evaluates e without a machine, if nothing that it reads was changed in
// the machine of this step.
func (s *ecmaStore) tryFast(e *Expr) (any, bool) {
	c, ok := e.prog.(*compiled)
	if !ok || c.fast == nil || s.all || s.slow || s.interrupted.Load() {
		return nil, false
	}
	for _, name := range c.names {
		if s.changed[name] {
			return nil, false
		}
	}
	return c.fast(s)
}
