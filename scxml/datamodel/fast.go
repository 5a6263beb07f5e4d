// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"math"
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja/token"
)

// fast evaluates an expression over the canonical data, without a machine. It
// says false whenever an operand leaves the cases whose meaning in JavaScript is
// certain: missing variables, properties of what has none, conversions between
// types. The machine then evaluates the whole expression, which is safe because
// nothing here has an effect.
type fast func(s *ecmaStore) (value, bool)

// inherited are names that plain objects have without owning them.
var inherited = map[string]bool{
	"constructor": true, "toString": true, "toLocaleString": true, "valueOf": true, "hasOwnProperty": true,
	"isPrototypeOf": true, "propertyIsEnumerable": true, "__proto__": true, "__defineGetter__": true,
	"__defineSetter__": true, "__lookupGetter__": true, "__lookupSetter__": true,
}

// fastCompiler turns a tree into closures; slots collects the variables read.
type fastCompiler struct {
	schema *schema
	slots  []int
	// literals says that there are literals of objects or arrays, depth how deep
	// the present one is nested.
	literals bool
	depth    int
	form     form
}

// compileFast gives an expression its fast form, unless it goes beyond the subset.
func (c *compiled) compileFast(src string, all *schema) {
	tree, err := parser.ParseFile(nil, "", "("+src+"\n)", 0, parser.WithDisableSourceMaps)
	if err != nil || len(tree.Body) != 1 {
		return
	}
	statement, ok := tree.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return
	}
	k := fastCompiler{schema: all}
	c.fast = k.expr(statement.Expression)
	c.slots, c.literals, c.fresh, c.form = k.slots, k.literals, isLiteral(statement.Expression), k.form
}

func constant(v any) fast {
	x := valueOf(v)
	return func(*ecmaStore) (value, bool) { return x, true }
}

func (c *fastCompiler) expr(e ast.Expression) fast {
	c.form.count(e)
	switch e := e.(type) {
	case *ast.StringLiteral:
		v := e.Value.String()
		if strings.Contains(v, "\uFFFD") {
			return nil // it may stand for half of a surrogate pair, which no data hold
		}
		return constant(v)
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
		if processor, ok := ioProcessor(e.Left); ok && e.Identifier.Name == "location" {
			return location(processor)
		}
		left := c.expr(e.Left)
		if left == nil {
			return nil
		}
		name := e.Identifier.Name.String()
		return func(s *ecmaStore) (value, bool) {
			v, ok := left(s)
			if !ok || v.kind == text && !s.spend(v.chars()) {
				return value{}, false
			}
			return property(v, name)
		}
	case *ast.BracketExpression:
		if processor, ok := ioProcessor(e.Left); ok && isText(e.Member, "location") {
			return location(processor)
		}
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
		return func(s *ecmaStore) (value, bool) {
			v, ok := test(s)
			if !ok {
				return value{}, false
			}
			if v.truth() {
				return yes(s)
			}
			return no(s)
		}
	case *ast.CallExpression:
		return c.in(e)
	case *ast.ObjectLiteral:
		return c.object(e)
	case *ast.ArrayLiteral:
		return c.array(e)
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
		return func(s *ecmaStore) (value, bool) { return valueOf(s.sys.SessionID()), true }
	case "_name":
		return func(s *ecmaStore) (value, bool) { return valueOf(s.sys.Name()), true }
	case "_event", "_ioprocessors", "_x":
		return nil
	}
	slot := c.schema.slot(name)
	c.slots = append(c.slots, slot)
	return func(s *ecmaStore) (value, bool) {
		v := s.vars.at(slot)
		return v, v.kind != absent
	}
}

// ioProcessor gives the name in _ioprocessors.NAME and _ioprocessors['NAME'].
func ioProcessor(e ast.Expression) (name string, ok bool) {
	var all ast.Expression
	switch e := e.(type) {
	case *ast.DotExpression:
		all, name = e.Left, e.Identifier.Name.String()
	case *ast.BracketExpression:
		literal, isLiteral := e.Member.(*ast.StringLiteral)
		if !isLiteral {
			return "", false
		}
		all, name = e.Left, literal.Value.String()
	}
	id, ok := all.(*ast.Identifier)
	return name, ok && id.Name == "_ioprocessors"
}

func isText(e ast.Expression, text string) bool {
	literal, ok := e.(*ast.StringLiteral)
	return ok && literal.Value.String() == text
}

// location reads the address of the session for an event I/O processor.
func location(processor string) fast {
	return func(s *ecmaStore) (value, bool) {
		at, ok := s.sys.IOProcessors()[processor]
		return valueOf(at), ok
	}
}

func eventField(name string) fast {
	return func(s *ecmaStore) (value, bool) {
		ev := s.event
		if ev == nil {
			return value{}, false
		}
		field := ""
		switch name {
		case "name":
			field = ev.Name
		case "type":
			field = string(ev.Type)
		case "sendid":
			field = ev.SendID
		case "origin":
			field = ev.Origin
		case "origintype":
			field = ev.OriginType
		case "invokeid":
			field = ev.InvokeID
		case "raw":
			field = ev.Raw
		case "data":
			if ev.Data == nil {
				return value{kind: undefined}, true
			}
			return valueOf(ev.Data), true
		default:
			return value{}, false
		}
		if field == "" {
			return value{kind: undefined}, true
		}
		return valueOf(field), true
	}
}

// property reads a property that is an own one, or certainly absent.
func property(v value, name string) (value, bool) {
	switch v := v.ref.(type) {
	case map[string]any:
		if e, ok := v[name]; ok {
			return valueOf(e), true
		}
		if !inherited[name] {
			return value{kind: undefined}, true
		}
	case []any:
		if name == "length" {
			return numberValue(float64(len(v))), true
		}
	case string:
		if name == "length" && isASCII(v) {
			return numberValue(float64(len(v))), true
		}
	}
	return value{}, false
}

func (c *fastCompiler) index(e *ast.BracketExpression) fast {
	left, member := c.expr(e.Left), c.expr(e.Member)
	if left == nil || member == nil {
		return nil
	}
	return func(s *ecmaStore) (value, bool) {
		v, ok := left(s)
		if !ok {
			return value{}, false
		}
		m, ok := member(s)
		if !ok {
			return value{}, false
		}
		switch m.kind {
		case text:
			if !s.spend(m.chars() + v.chars()) {
				return value{}, false
			}
			return property(v, m.ref.(string))
		case numeric:
			if list, ok := v.ref.([]any); ok && m.num >= 0 && m.num == math.Trunc(m.num) && m.num < float64(len(list)) {
				return valueOf(list[int(m.num)]), true
			}
		}
		return value{}, false
	}
}

func (c *fastCompiler) unary(e *ast.UnaryExpression) fast {
	x := c.expr(e.Operand)
	if x == nil || e.Postfix {
		return nil
	}
	switch e.Operator {
	case token.NOT:
		return func(s *ecmaStore) (value, bool) {
			v, ok := x(s)
			return truthValue(!v.truth()), ok
		}
	case token.MINUS:
		return func(s *ecmaStore) (value, bool) {
			v, ok := x(s)
			return numberValue(-v.num), ok && v.kind == numeric
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
	return func(s *ecmaStore) (value, bool) {
		v, ok := arg(s)
		if !ok || v.kind != text || !s.spend(v.chars()) {
			return value{}, false
		}
		return truthValue(s.sys.In(v.ref.(string))), true
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
		return func(s *ecmaStore) (value, bool) {
			a, ok := x(s)
			if !ok || a.truth() != and {
				return a, ok
			}
			return y(s)
		}
	}
	op := operators[e.Operator]
	if op == nil {
		return nil
	}
	// Most often both are numbers, and one is a variable or a constant.
	left, right := c.operand(e.Left, x), c.operand(e.Right, y)
	if quick := numeral(e.Operator); quick != 0 {
		return func(s *ecmaStore) (value, bool) {
			a, ok := left.load(s)
			if !ok {
				return value{}, false
			}
			b, ok := right.load(s)
			if !ok {
				return value{}, false
			}
			if a.kind != numeric || b.kind != numeric {
				return s.apply(op, a, b)
			}
			switch quick {
			case '<':
				return truthValue(a.num < b.num), true
			case '>':
				return truthValue(a.num > b.num), true
			case '+':
				return numberValue(a.num + b.num), true
			case '-':
				return numberValue(a.num - b.num), true
			}
			return truthValue(a.num == b.num), true
		}
	}
	remainder := e.Operator == token.REMAINDER
	return func(s *ecmaStore) (value, bool) {
		a, ok := left.load(s)
		if !ok {
			return value{}, false
		}
		b, ok := right.load(s)
		if !ok {
			return value{}, false
		}
		if remainder && !s.spend(bits(a, b)) {
			return value{}, false
		}
		if numbers(a, b) {
			return op(a, b)
		}
		return s.apply(op, a, b)
	}
}

// apply does an operator whose operands may be texts.
func (s *ecmaStore) apply(op operator, a, b value) (value, bool) {
	if !s.spend(costText + a.chars() + b.chars()) {
		return value{}, false
	}
	return op(a, b)
}

// numeral gives the operators that are done in place for numbers; 0 for others.
func numeral(t token.Token) byte {
	switch t {
	case token.LESS:
		return '<'
	case token.GREATER:
		return '>'
	case token.PLUS:
		return '+'
	case token.MINUS:
		return '-'
	case token.EQUAL, token.STRICT_EQUAL:
		return '='
	}
	return 0
}

// operand is a variable, a constant, or anything else.
type operand struct {
	slot  int // of a variable, else -1
	fixed value
	other fast
}

func (c *fastCompiler) operand(e ast.Expression, f fast) operand {
	o := operand{slot: -1, other: f}
	switch e := e.(type) {
	case *ast.Identifier:
		if slot, ok := c.schema.places[e.Name.String()]; ok && slices.Contains(c.slots, slot) {
			o.slot, o.other = slot, nil
		}
	case *ast.NumberLiteral, *ast.StringLiteral, *ast.BooleanLiteral, *ast.NullLiteral:
		o.fixed, _ = f(nil)
		o.other = nil
	}
	return o
}

func (o *operand) load(s *ecmaStore) (value, bool) {
	if o.slot >= 0 {
		v := s.vars.at(o.slot)
		return v, v.kind != absent
	}
	if o.other == nil {
		return o.fixed, true
	}
	return o.other(s)
}

type operator func(a, b value) (value, bool)

var operators = map[token.Token]operator{
	token.STRICT_EQUAL:     strictEqual,
	token.STRICT_NOT_EQUAL: negate(strictEqual),
	token.EQUAL:            looseEqual,
	token.NOT_EQUAL:        negate(looseEqual),
	token.LESS:             less,
	token.LESS_OR_EQUAL:    lessOrEqual,
	token.GREATER:          func(a, b value) (value, bool) { return less(b, a) },
	token.GREATER_OR_EQUAL: func(a, b value) (value, bool) { return lessOrEqual(b, a) },
	token.PLUS:             plus,
	token.MINUS:            minus,
	token.MULTIPLY:         times,
	token.SLASH:            divided,
	token.REMAINDER:        remainder,
}

func strictEqual(a, b value) (value, bool) {
	if a.kind == object || b.kind == object {
		// Whether two objects are one cannot be seen in canonical data; an
		// object is never equal to a primitive value.
		return truthValue(false), a.kind != b.kind
	}
	return truthValue(a.kind == b.kind && same(a, b)), true
}

// same compares two primitive values of one kind.
func same(a, b value) bool {
	if a.kind == text {
		return a.ref.(string) == b.ref.(string)
	}
	return a.num == b.num
}

func looseEqual(a, b value) (value, bool) {
	switch {
	case a.kind == object || b.kind == object:
		return value{}, false
	case a.kind <= null || b.kind <= null:
		return truthValue(a.kind <= null && b.kind <= null), true
	case a.kind == b.kind:
		return truthValue(same(a, b)), true
	}
	return value{}, false
}

func negate(f operator) operator {
	return func(a, b value) (value, bool) {
		v, ok := f(a, b)
		return truthValue(v.num == 0), ok
	}
}

// less compares numbers, and texts where JavaScript, which compares UTF-16
// units, and Go, which compares bytes, agree.
func less(a, b value) (value, bool) {
	if a.kind == numeric && b.kind == numeric {
		return truthValue(a.num < b.num), true
	}
	x, y, ok := texts(a, b)
	return truthValue(x < y), ok
}

func lessOrEqual(a, b value) (value, bool) {
	if a.kind == numeric && b.kind == numeric {
		return truthValue(a.num <= b.num), true
	}
	x, y, ok := texts(a, b)
	return truthValue(x <= y), ok
}

func texts(a, b value) (x, y string, ok bool) {
	if a.kind != text || b.kind != text {
		return "", "", false
	}
	x, y = a.ref.(string), b.ref.(string)
	return x, y, isASCII(x) && isASCII(y)
}

func numbers(a, b value) bool { return a.kind == numeric && b.kind == numeric }

func minus(a, b value) (value, bool)     { return numberValue(a.num - b.num), numbers(a, b) }
func times(a, b value) (value, bool)     { return numberValue(a.num * b.num), numbers(a, b) }
func divided(a, b value) (value, bool)   { return numberValue(a.num / b.num), numbers(a, b) }
func remainder(a, b value) (value, bool) { return numberValue(math.Mod(a.num, b.num)), numbers(a, b) }

func plus(a, b value) (value, bool) {
	if a.kind == numeric && b.kind == numeric {
		return numberValue(a.num + b.num), true
	}
	if a.kind != text && b.kind != text {
		return value{}, false
	}
	x, ok := asText(a)
	if !ok {
		return value{}, false
	}
	y, ok := asText(b)
	return value{kind: text, ref: x + y}, ok
}

func asText(v value) (string, bool) {
	switch {
	case v.kind == text:
		return v.ref.(string), true
	case v.kind == numeric:
		return NumberText(v.num), true
	}
	return "", false
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
func (s *ecmaStore) tryFast(e *Expr) (value, bool) {
	c, ok := e.prog.(*compiled)
	if !ok || c.fast == nil || s.all || s.slow || s.interrupted.Load() {
		return value{}, false
	}
	if len(s.changed) > 0 {
		for _, slot := range c.slots {
			if s.changed[s.vars.schema.names[slot]] {
				return value{}, false
			}
		}
	}
	if c.form.cost > smallCost && !s.spend(c.form.cost) {
		return value{}, false
	}
	return c.fast(s)
}
