// SPDX-License-Identifier: Apache-2.0

package datamodel

import "github.com/dop251/goja/ast"

// maxLiteral is how deep a literal may be nested in the fast form.
const maxLiteral = 32

func isLiteral(e ast.Expression) bool {
	switch e.(type) {
	case *ast.ObjectLiteral, *ast.ArrayLiteral:
		return true
	}
	return false
}

// member compiles what stands in a literal: a primitive value, or a literal again.
// A reference to an object would be an alias, which only the machine can show.
func (c *fastCompiler) member(e ast.Expression) fast {
	x := c.expr(e)
	if x == nil || isLiteral(e) {
		return x
	}
	return func(s *ecmaStore) (value, bool) {
		v, ok := x(s)
		return v, ok && v.primitive()
	}
}

// nested counts a literal; false when it is nested too deeply.
func (c *fastCompiler) nested() bool {
	c.literals = true
	c.depth++
	return c.depth <= maxLiteral
}

func (c *fastCompiler) array(e *ast.ArrayLiteral) fast {
	defer func() { c.depth-- }()
	if !c.nested() {
		return nil
	}
	var members []fast
	for _, m := range e.Value {
		if m == nil {
			return nil // a hole
		}
		f := c.member(m)
		if f == nil {
			return nil
		}
		members = append(members, f)
	}
	return func(s *ecmaStore) (value, bool) {
		list := make([]any, len(members))
		for i, f := range members {
			v, ok := f(s)
			if !ok {
				return value{}, false
			}
			list[i] = v.plain()
		}
		return valueOf(list), true
	}
}

func (c *fastCompiler) object(e *ast.ObjectLiteral) fast {
	defer func() { c.depth-- }()
	if !c.nested() {
		return nil
	}
	var names []string
	var members []fast
	for _, p := range e.Value {
		name, m := keyed(p)
		if m == nil || name == "__proto__" {
			return nil
		}
		f := c.member(m)
		if f == nil {
			return nil
		}
		names, members = append(names, name), append(members, f)
	}
	return func(s *ecmaStore) (value, bool) {
		object := make(map[string]any, len(members))
		for i, f := range members {
			v, ok := f(s)
			if !ok {
				return value{}, false
			}
			object[names[i]] = v.plain()
		}
		return valueOf(object), true
	}
}

// keyed gives name and value of a plain property; nil for what is computed, a
// method, an accessor or spread.
func keyed(p ast.Property) (string, ast.Expression) {
	switch p := p.(type) {
	case *ast.PropertyShort:
		if p.Initializer == nil {
			return p.Name.Name.String(), &p.Name
		}
	case *ast.PropertyKeyed:
		if key, ok := p.Key.(*ast.StringLiteral); ok && !p.Computed && p.Kind == ast.PropertyKindValue {
			return key.Value.String(), p.Value
		}
	}
	return "", nil
}
