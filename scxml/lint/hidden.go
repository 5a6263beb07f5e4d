// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"reflect"
	"slices"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// hidden looks at the scripts at the top, whose functions stay, for what only functions
// can see. Nothing finds it out in a step, as it finds out other values that no snapshot
// can hold.
func (l *linter) hidden() {
	for _, c := range l.doc.Root.Element.Children {
		if !c.Element.IsSCXML("script") {
			continue
		}
		program := parse(text(c.Element))
		if program == nil {
			continue
		}
		var h hiding
		h.walk(program.Body, false)
		for _, what := range h.found {
			l.find(c.Element.Position, Warning, RuleUnsaved, "%s is seen by functions alone, so that it cannot be saved: what is written there does not outlive the step", what)
		}
	}
}

// hiding looks at one script.
type hiding struct {
	in    *function
	found []string
}

// function is one that the script declares, inside of another or at the top.
type function struct {
	outer *function
	// names are its variables, local those of them that are functions.
	names map[string]bool
	local map[string]*function
	// given are names of what may be there when it has returned, writes the variables
	// of outer that it changes; kept says that it may be there when outer has returned.
	given, writes []string
	kept          bool
}

// changing are methods that change what they are called for.
var changing = []string{"push", "pop", "shift", "unshift", "splice", "sort", "reverse", "fill", "copyWithin", "set", "add", "delete", "clear"}

// walk looks at a part of the program. kept says that its value may outlive the
// function around it.
func (h *hiding) walk(part any, kept bool) {
	switch n := part.(type) {
	case *ast.FunctionLiteral:
		h.function(n.Name, n.ParameterList, n.Body, kept)
	case *ast.ArrowFunctionLiteral:
		h.function(nil, n.ParameterList, n.Body, kept)
	case *ast.FunctionDeclaration:
		h.name(n.Function.Name, h.function(n.Function.Name, n.Function.ParameterList, n.Function.Body, false))
	case *ast.ExpressionBody:
		h.walk(n.Expression, true)
	case *ast.ReturnStatement:
		h.walk(n.Argument, true)
	case *ast.PropertyKeyed:
		h.walk(n.Key, false)
		h.walk(n.Value, true)
	case *ast.PropertyShort:
		h.walk(&n.Name, true)
	case *ast.MethodDefinition:
		h.walk(n.Body, true)
	case *ast.FieldDefinition:
		if private, ok := n.Key.(*ast.PrivateIdentifier); ok {
			h.find("#" + private.Name.String())
		}
		h.walk(n.Initializer, true)
	case *ast.Binding:
		h.value(n.Target, n.Initializer, false)
	case *ast.AssignExpression:
		h.write(n.Left)
		h.walk(n.Left, false)
		target, variable := n.Left.(*ast.Identifier)
		h.value(n.Left, n.Right, !variable || h.in != nil && !h.in.names[target.Name.String()])
	case *ast.UnaryExpression:
		if n.Operator == token.INCREMENT || n.Operator == token.DECREMENT {
			h.write(n.Operand)
		}
		h.walk(n.Operand, false)
	case *ast.CallExpression:
		if method, ok := n.Callee.(*ast.DotExpression); ok && slices.Contains(changing, method.Identifier.Name.String()) {
			h.write(method.Left)
		}
		h.walk(n.Callee, false)
		h.walk(n.ArgumentList, false)
	case *ast.NewExpression:
		if id, ok := n.Callee.(*ast.Identifier); ok && (id.Name == "WeakMap" || id.Name == "WeakSet") {
			h.find("what a " + id.Name.String() + " holds")
		}
		h.walk(n.ArgumentList, false)
	case *ast.Identifier:
		if n != nil && kept && h.in != nil {
			h.in.given = append(h.in.given, n.Name.String())
		}
	case *ast.ObjectLiteral, *ast.ArrayLiteral, *ast.ConditionalExpression, *ast.SequenceExpression, *ast.BinaryExpression, []ast.Expression:
		parts(part, func(p any) { h.walk(p, kept) })
	default:
		parts(part, func(p any) { h.walk(p, false) })
	}
}

// value looks at what a variable or a member becomes.
func (h *hiding) value(target, value ast.Node, kept bool) {
	id, _ := target.(*ast.Identifier)
	switch v := value.(type) {
	case *ast.FunctionLiteral:
		h.name(id, h.function(v.Name, v.ParameterList, v.Body, kept))
	case *ast.ArrowFunctionLiteral:
		h.name(id, h.function(nil, v.ParameterList, v.Body, kept))
	default:
		h.walk(value, kept)
	}
}

// name notes which variable is a function.
func (h *hiding) name(id *ast.Identifier, f *function) {
	if id != nil && h.in != nil {
		h.in.local[id.Name.String()] = f
	}
}

// function looks into one.
func (h *hiding) function(name *ast.Identifier, parameters *ast.ParameterList, body any, kept bool) *function {
	f := &function{outer: h.in, names: map[string]bool{}, local: map[string]*function{}, kept: kept}
	if name != nil {
		f.names[name.Name.String()] = true
	}
	declared(parameters, f.names)
	declared(body, f.names)
	h.in = f
	h.walk(parameters, false)
	h.walk(body, false)
	h.in = f.outer
	for _, name := range f.given {
		if inner := f.local[name]; inner != nil {
			inner.kept = true
			h.report(inner)
		}
	}
	if kept {
		h.report(f)
	}
	return f
}

func (h *hiding) report(f *function) {
	for _, name := range f.writes {
		h.find(name)
	}
}

// find notes what is hidden, once.
func (h *hiding) find(what string) {
	if !slices.Contains(h.found, what) {
		h.found = append(h.found, what)
	}
}

// write notes that a variable is changed, or something in it: of another function, if
// it is one that this one is inside of.
func (h *hiding) write(to ast.Expression) {
	for {
		switch n := to.(type) {
		case *ast.DotExpression:
			to = n.Left
			continue
		case *ast.BracketExpression:
			to = n.Left
			continue
		case *ast.Identifier:
			name := n.Name.String()
			for f := h.in; f != nil && !f.names[name]; f = f.outer {
				if f.outer != nil && f.outer.names[name] {
					f.writes = append(f.writes, name)
				}
			}
		}
		return
	}
}

// declared adds the variables that a function declares, without those of functions
// inside of it.
func declared(part any, names map[string]bool) {
	switch n := part.(type) {
	case *ast.FunctionLiteral, *ast.ArrowFunctionLiteral, *ast.ClassLiteral:
		return
	case *ast.FunctionDeclaration:
		names[n.Function.Name.Name.String()] = true
		return
	case *ast.ClassDeclaration:
		names[n.Class.Name.Name.String()] = true
		return
	case *ast.Binding:
		identifiers(n.Target, names)
	case *ast.ForDeclaration:
		identifiers(n.Target, names)
	case *ast.CatchStatement:
		identifiers(n.Parameter, names)
	}
	parts(part, func(p any) { declared(p, names) })
}

// identifiers adds all names in a target.
func identifiers(part any, names map[string]bool) {
	if id, ok := part.(*ast.Identifier); ok && id != nil {
		names[id.Name.String()] = true
		return
	}
	parts(part, func(p any) { identifiers(p, names) })
}

// parts calls f for the parts of a node, or of a list of them.
func parts(of any, f func(part any)) {
	v := reflect.Indirect(reflect.ValueOf(of))
	each := func(p reflect.Value) {
		switch p.Kind() {
		case reflect.Struct:
			f(p.Addr().Interface())
		case reflect.Pointer, reflect.Interface, reflect.Slice:
			if !p.IsNil() {
				f(p.Interface())
			}
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			// It repeats what is in the body.
			if v.Type().Field(i).Name != "DeclarationList" {
				each(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			each(v.Index(i))
		}
	}
}
