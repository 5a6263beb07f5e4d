// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
)

// ECMAScript is the ECMAScript datamodel (SCXML B.2).
//
// What it returns serves one chart: it gives each variable that the expressions
// mention a place.
func ECMAScript() Language { return &ecmascript{schema: newSchema()} }

type ecmascript struct{ schema *schema }

// compiled is Expr.prog of this language.
type compiled struct {
	program *goja.Program
	// repeated is a script for the machines after the first, once there was one.
	repeated atomic.Pointer[goja.Program]
	// constant is the value of a literal, which needs no machine.
	constant   any
	isConstant bool
	// fast, if not nil, often gives the value without a machine; form says what that
	// may cost, slots are the places of the variables that it reads.
	fast  fast
	form  form
	slots []int
	// literals says that the fast form makes objects or arrays, fresh that its
	// value is one that nothing else refers to.
	literals, fresh bool
	// words are the names that the text could make variables of; dynamic says
	// that it could make any.
	words   []string
	dynamic bool
	// inherited says that a script may change what all objects inherit, and so what a
	// missing property means.
	inherited bool
	// name is set for a location that is one identifier, slot is its place.
	name string
	slot int
}

var (
	identifier = regexp.MustCompile(`^[\p{L}_$][\p{L}\p{N}_$]*$`)
	number     = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	plainQuote = regexp.MustCompile(`^'[^'\\\n]*'$|^"[^"\\\n]*"$`)
	system     = regexp.MustCompile(`^\s*(_event|_sessionid|_name|_ioprocessors|_x)\b`)
	eventName  = regexp.MustCompile(`\b_event\b`)
	// impure finds what might change something: calls other than of In and
	// Math, assignments, and the words and signs that lead to either.
	impure        = regexp.MustCompile("[\\w$\\])]\\s*\\(|\\?\\.\\s*\\(|(\\*/|//.*\n)\\s*\\(|\\+\\+|--|=>|`|\\b(new|delete|function|class)\\b|[^=!<>]=[^=]|>>=|<<=")
	builtinChange = regexp.MustCompile(`prototype|getPrototypeOf|__proto__|defineProperty|defineProperties|Reflect|setPrototypeOf|\beval\b|\bFunction\b`)
	word          = regexp.MustCompile(`[\p{L}_$][\p{L}\p{N}_$]*`)
	dynamic       = regexp.MustCompile(`\bthis\b|\bglobalThis\b|\beval\b|\bFunction\b|\bwith\b|\\u`)
	place         = regexp.MustCompile(`^(SyntaxError: )?[^:\n]*: Line [0-9]+:[0-9]+ `)
	harmless      = regexp.MustCompile(`\b(In|Math\.(abs|ceil|floor|max|min|round))\s*\(`)
)

var reserved = map[string]bool{}

// fixed are names whose meaning the global object does not let anyone change.
var fixed = map[string]bool{"NaN": true, "Infinity": true, "undefined": true, "In": true}

func init() {
	for _, w := range strings.Fields(`break case catch class const continue debugger default delete do else enum
		export extends false finally for function if implements import in instanceof interface let new null package
		private protected public return static super switch this throw true try typeof var void while with yield`) {
		reserved[w] = true
	}
}

// maxSource bounds one expression or script in bytes. The parser of goja and
// its compiler call themselves for every nesting, and a Go stack that is used up
// ends the process: no recover sees it.
const maxSource = 64 << 10

// tooLong refuses a source beyond maxSource.
func tooLong(src string) error {
	if len(src) > maxSource {
		return fmt.Errorf("SyntaxError: the code has %d bytes, more than %d", len(src), maxSource)
	}
	return nil
}

func (l *ecmascript) expr(src string, kind exprKind) *Expr {
	e := &Expr{Source: src, kind: kind}
	if e.Err = tooLong(src); e.Err != nil {
		return e
	}
	e.usesEvent = eventName.MatchString(src)
	trimmed := strings.TrimSpace(strings.TrimRight(strings.TrimSpace(src), ";"))
	if v, ok := literal(trimmed); ok {
		e.pure = true
		e.prog = &compiled{constant: v, isConstant: true}
		return e
	}
	l.schema.mentions(src)
	e.pure = !impure.MatchString(harmless.ReplaceAllString(src, "("))
	// The line break ends a comment at the end of the expression.
	program, err := goja.Compile("expression", "("+trimmed+"\n)", false)
	if err == nil && strings.Contains(trimmed, ")") {
		// 1) + (2 would use the parentheses that were put around it.
		_, err = parser.ParseFile(nil, "", "["+trimmed+"\n]", 0, parser.WithDisableSourceMaps)
	}
	if err != nil {
		// Said of what the author wrote, not of what was put around it.
		if _, alone := parser.ParseFile(nil, "", trimmed, 0, parser.WithDisableSourceMaps); alone != nil {
			err = alone
		}
		err = errors.New(place.ReplaceAllString(err.Error(), ""))
	}
	if trimmed == "" {
		err = errors.New("SyntaxError: empty expression")
	}
	if err != nil {
		e.Err = syntaxError(err)
		return e
	}
	c := &compiled{program: program}
	if e.pure {
		c.compileFast(trimmed, l.schema)
	} else {
		c.scan(src)
	}
	e.prog = c
	return e
}

func literal(s string) (any, bool) {
	switch {
	case s == "true":
		return true, true
	case s == "false":
		return false, true
	case s == "null":
		return nil, true
	case s == "undefined":
		return Undefined{}, true
	case number.MatchString(s):
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	case plainQuote.MatchString(s):
		return s[1 : len(s)-1], true
	}
	return nil, false
}

func (l *ecmascript) Expr(src string) *Expr     { return l.note(l.expr(src, kindExpr)) }
func (l *ecmascript) Cond(src string) *Expr     { return l.note(l.expr(src, kindCond)) }
func (l *ecmascript) Location(src string) *Expr { return l.note(l.location(src)) }
func (l *ecmascript) Value(src string) *Expr    { return l.note(l.value(src)) }
func (l *ecmascript) Script(src string) *Expr   { return l.note(l.script(src)) }

// note keeps in mind whether all code of the chart is bounded.
func (l *ecmascript) note(e *Expr) *Expr {
	l.schema.unbounded = l.schema.unbounded || !e.Bounded()
	return e
}

func (l *ecmascript) location(src string) *Expr {
	e := &Expr{Source: src, kind: kindLocation}
	if e.Err = tooLong(src); e.Err != nil {
		return e
	}
	l.schema.mentions(src)
	e.usesEvent = eventName.MatchString(src)
	if m := system.FindStringSubmatch(src); m != nil {
		e.Err = fmt.Errorf("TypeError: the system variable %s cannot be assigned to", m[1])
		return e
	}
	name := strings.TrimSpace(src)
	c := &compiled{}
	if identifier.MatchString(name) {
		if reserved[name] {
			e.Err = fmt.Errorf("SyntaxError: %q is not a location", name)
			return e
		}
		c.name, c.slot = name, l.schema.slot(name)
	}
	program, err := goja.Compile("location", "(function(v){'use strict';"+src+"\n=v})", false)
	if c.name == "" {
		if none := isLocation(src); none != nil {
			err = none
		}
	}
	if name == "" {
		err = errors.New("SyntaxError: empty location")
	}
	if err != nil {
		e.Err = syntaxError(err)
		return e
	}
	c.program = program
	e.prog = c
	return e
}

// value compiles like expr what could be assigned to.
func (l *ecmascript) value(src string) *Expr {
	e := l.expr(src, kindExpr)
	if e.Err == nil {
		if err := isLocation(src); err != nil {
			return &Expr{Source: src, Err: err}
		}
	}
	return e
}

// isLocation says why src is no location (SCXML 5.9.2): only names and members are.
// Before "=v" more would compile, such as x=y.
func isLocation(src string) error {
	if identifier.MatchString(src) && !reserved[src] {
		return nil
	}
	tree, err := parser.ParseFile(nil, "", src, 0, parser.WithDisableSourceMaps)
	if err == nil && len(tree.Body) == 1 {
		if s, ok := tree.Body[0].(*ast.ExpressionStatement); ok {
			switch s.Expression.(type) {
			case *ast.Identifier, *ast.DotExpression, *ast.BracketExpression:
				return nil
			}
		}
	}
	return fmt.Errorf("SyntaxError: %q is not a location", strings.TrimSpace(src))
}

// script compiles statements. Top-level let, const and class become var: a
// script's variables are data, and only what is a property of the global
// object can be found and saved.
func (l *ecmascript) script(src string) *Expr {
	e := &Expr{Source: src, kind: kindScript}
	if e.Err = tooLong(src); e.Err != nil {
		return e
	}
	l.schema.mentions(src)
	e.usesEvent = eventName.MatchString(src)
	tree, err := statements(src)
	if err != nil {
		e.Err = syntaxError(err)
		return e
	}
	program, err := goja.CompileAST(tree, false)
	if err != nil {
		e.Err = syntaxError(err)
		return e
	}
	c := &compiled{program: program, inherited: builtinChange.MatchString(src)}
	c.scan(src)
	e.prog = c
	return e
}

// statements parses a script.
func statements(src string) (*ast.Program, error) {
	tree, err := parser.ParseFile(nil, "script", src, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	for i, s := range tree.Body {
		switch s := s.(type) {
		case *ast.LexicalDeclaration:
			tree.Body[i] = &ast.VariableStatement{Var: s.Idx, List: s.List}
		case *ast.ClassDeclaration:
			b := &ast.Binding{Target: s.Class.Name, Initializer: s.Class}
			tree.Body[i] = &ast.VariableStatement{Var: s.Class.Class, List: []*ast.Binding{b}}
			tree.DeclarationList = append(tree.DeclarationList, &ast.VariableDeclaration{Var: s.Class.Class, List: []*ast.Binding{b}})
			continue
		default:
			continue
		}
		v := tree.Body[i].(*ast.VariableStatement)
		tree.DeclarationList = append(tree.DeclarationList, &ast.VariableDeclaration{Var: v.Var, List: v.List})
	}
	return tree, nil
}

// again is a script to be run over other data than when the session began: a statement
// that throws ends itself alone, so that the functions after it are made.
func (c *compiled) again(src string) (*goja.Program, error) {
	if p := c.repeated.Load(); p != nil {
		return p, nil
	}
	tree, err := statements(src)
	if err != nil {
		return nil, err
	}
	for i, s := range tree.Body {
		switch s := s.(type) {
		case *ast.FunctionDeclaration:
			continue
		case *ast.ExpressionStatement:
			if _, directive := s.Expression.(*ast.StringLiteral); directive {
				continue
			}
		}
		at := s.Idx0()
		tree.Body[i] = &ast.TryStatement{
			Try:   at,
			Body:  &ast.BlockStatement{LeftBrace: at, List: []ast.Statement{s}, RightBrace: s.Idx1()},
			Catch: &ast.CatchStatement{Catch: s.Idx1(), Body: &ast.BlockStatement{LeftBrace: s.Idx1(), RightBrace: s.Idx1()}},
		}
	}
	program, err := goja.CompileAST(tree, false)
	if err == nil {
		c.repeated.Store(program)
	}
	return program, err
}

// scan finds the names that code could declare or assign to. Asking the global
// object for all of its names would make goja build every built-in first.
func (c *compiled) scan(src string) {
	c.dynamic = dynamic.MatchString(src)
	seen := map[string]bool{}
	for _, w := range word.FindAllString(src, -1) {
		if !seen[w] && !reserved[w] && !builtins[w] {
			seen[w] = true
			c.words = append(c.words, w)
		}
	}
}

func syntaxError(err error) error {
	msg, _, _ := strings.Cut(err.Error(), "\n")
	if !strings.Contains(msg, "SyntaxError") {
		msg = "SyntaxError: " + msg
	}
	return errors.New(msg)
}

func (l *ecmascript) NewStore(sys System, scripts []*Expr) Store {
	s := &ecmaStore{sys: sys, scripts: scripts, vars: newVariables(l.schema)}
	for _, e := range scripts {
		if c, ok := e.prog.(*compiled); ok { // else it does not compile and never runs
			s.slow = s.slow || c.inherited
		}
	}
	return s
}
