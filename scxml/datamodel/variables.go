// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"maps"
	"slices"
)

// kind tells what a value is. Kinds up to kindText are primitive.
type kind uint8

const (
	absent kind = iota
	undefined
	null
	boolean
	numeric
	text
	object // also arrays and XML
)

// value is a canonical value that needs no memory of its own for numbers and
// booleans. The zero value is no value at all.
type value struct {
	kind kind
	num  float64 // of a number; 1 or 0 for a boolean
	ref  any     // of a text or an object: the canonical value
}

// variable is a value with its size, as measure gives it.
type variable struct {
	value
	size int
}

func (v value) truth() bool {
	switch v.kind {
	case boolean:
		return v.num != 0
	case numeric:
		return v.num != 0 && v.num == v.num
	case text:
		return v.ref.(string) != ""
	}
	return v.kind == object
}

func (v value) primitive() bool { return v.kind != object && v.kind != absent }

// chars is the work of looking at the characters of a text, 0 for other values.
func (v value) chars() int {
	if v.kind != text {
		return 0
	}
	return len(v.ref.(string)) / charsAUnit
}

func truthValue(b bool) value {
	if b {
		return value{kind: boolean, num: 1}
	}
	return value{kind: boolean}
}

func numberValue(f float64) value { return value{kind: numeric, num: f} }

// valueOf packs a canonical value, plain unpacks it.
func valueOf(v any) value {
	switch x := v.(type) {
	case nil, NullValue:
		return value{kind: null}
	case Undefined:
		return value{kind: undefined}
	case bool:
		return truthValue(x)
	case float64:
		return numberValue(x)
	case string:
		return value{kind: text, ref: v}
	}
	return value{kind: object, ref: v}
}

func (v value) plain() any {
	switch v.kind {
	case null:
		return nil
	case boolean:
		return v.num != 0
	case numeric:
		return v.num
	case text, object:
		return v.ref
	}
	return Undefined{}
}

// measure is the size of v, or an error beyond limit.
func (v value) measure(limit int) (int, error) {
	if v.kind >= text {
		return measure(v.ref, limit)
	}
	return measure(nil, limit)
}

// schema gives the variables that a chart mentions their places. It grows while
// the chart is compiled.
type schema struct {
	places map[string]int
	names  []string
	// sorted are the places in the order of their names.
	sorted []int
	// greedy are the functions named that have to be bounded.
	greedy map[string]bool
	// unbounded says that there is code that is not [Expr.Bounded].
	unbounded bool
}

func newSchema() *schema { return &schema{places: map[string]int{}} }

func (c *schema) slot(name string) int {
	i, ok := c.places[name]
	if !ok {
		i = len(c.names)
		c.places[name] = i
		c.names = append(c.names, name)
		at, _ := slices.BinarySearchFunc(c.sorted, name, func(p int, n string) int {
			switch o := c.names[p]; {
			case o < n:
				return -1
			case o > n:
				return 1
			}
			return 0
		})
		c.sorted = slices.Insert(c.sorted, at, i)
	}
	return i
}

// variables are the data of a session: those that the chart mentions by place,
// others, made by scripts, by name.
type variables struct {
	schema *schema
	slots  []variable
	others map[string]variable
	// total is the sum of all sizes.
	total int
}

func newVariables(c *schema) variables {
	return variables{schema: c, slots: make([]variable, len(c.names))}
}

// at gives the value at a place.
func (v *variables) at(slot int) value {
	if slot >= len(v.slots) {
		v.grow()
	}
	return v.slots[slot].value
}

// grow makes room for what the schema has got since the session began, as
// happens where expressions are compiled one by one.
func (v *variables) grow() {
	v.slots = append(v.slots, make([]variable, len(v.schema.names)-len(v.slots))...)
	for name, x := range v.others {
		if i, ok := v.schema.places[name]; ok {
			v.slots[i] = x
			delete(v.others, name)
		}
	}
}

// put sets the value at a place, of size bytes.
func (v *variables) put(slot int, x value, size int) {
	if slot >= len(v.slots) {
		v.grow()
	}
	v.total += size - v.slots[slot].size
	v.slots[slot] = variable{x, size}
}

func (v *variables) find(name string) variable {
	i, ok := v.schema.places[name]
	if !ok {
		return v.others[name]
	}
	if i >= len(v.slots) {
		v.grow()
	}
	return v.slots[i]
}

func (v *variables) has(name string) bool { return v.find(name).kind != absent }

func (v *variables) get(name string) (any, bool) {
	x := v.find(name)
	return x.plain(), x.kind != absent
}

func (v *variables) set(name string, x any, size int) {
	if i, ok := v.schema.places[name]; ok {
		v.put(i, valueOf(x), size)
		return
	}
	v.total += size - v.others[name].size
	if v.others == nil {
		v.others = map[string]variable{}
	}
	v.others[name] = variable{valueOf(x), size}
}

func (v *variables) remove(name string) {
	if i, ok := v.schema.places[name]; ok {
		v.put(i, value{}, 0)
		return
	}
	v.total -= v.others[name].size
	delete(v.others, name)
}

// names are sorted.
func (v *variables) names() []string {
	var out []string
	for _, i := range v.schema.sorted {
		if v.at(i).kind != absent {
			out = append(out, v.schema.names[i])
		}
	}
	if len(v.others) > 0 {
		out = append(out, slices.Collect(maps.Keys(v.others))...)
		slices.Sort(out)
	}
	return out
}

func (v *variables) all() map[string]any {
	out := make(map[string]any, len(v.slots)+len(v.others))
	for i, x := range v.slots {
		if x.kind != absent {
			out[v.schema.names[i]] = x.plain()
		}
	}
	for name, x := range v.others {
		out[name] = x.plain()
	}
	return out
}
