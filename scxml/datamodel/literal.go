// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"maps"
	"slices"

	"github.com/dop251/goja/ast"
)

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
	sorted := slices.IsSorted(names)
	return func(s *ecmaStore) (value, bool) {
		object := make(map[string]any, len(members))
		for i, f := range members {
			v, ok := f(s)
			if !ok {
				return value{}, false
			}
			object[names[i]] = v.plain()
		}
		return valueOf(object), sorted || s.order(object, names)
	}
}

// ordered is an object made in this step without a machine whose keys are not in
// the order that canonical data have.
type ordered struct {
	object map[string]any // so that no other comes to its address
	names  []string
}

// maxOrdered bounds what is noted in one step. Beyond it literals go to the machine.
const maxOrdered = 1000

// order notes the order of the keys of object for a machine that may be made later in
// the step: a script can ask for it. When the step ends it is forgotten. False when it
// cannot be noted.
func (s *ecmaStore) order(object map[string]any, names []string) bool {
	if s.m != nil {
		return true // what is evaluated beside a machine does not come into it
	}
	if len(s.orders) >= maxOrdered {
		return false
	}
	if s.orders == nil {
		s.orders = map[uintptr]ordered{}
	}
	s.orders[address(object)] = ordered{object, names}
	return true
}

// keys are those of object in the order that scripts see.
func (s *ecmaStore) keys(object map[string]any) []string {
	if o, ok := s.orders[address(object)]; ok {
		return o.names
	}
	return slices.Sorted(maps.Keys(object))
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
