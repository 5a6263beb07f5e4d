// SPDX-License-Identifier: Apache-2.0

package datamodel

import "github.com/dop251/goja"

// protected is an object in a system variable. An attempt to change it throws, in
// code that is not strict too, where a merely read-only property would ignore it
// (SCXML 5.10). What is in a property, such as the data of an event, is not
// protected.
type protected struct {
	vm     *goja.Runtime
	name   string
	keys   []string
	values map[string]goja.Value
}

func (m *machine) protected(name string) *protected {
	return &protected{vm: m.vm, name: name, values: map[string]goja.Value{}}
}

func (p *protected) put(key string, v goja.Value) {
	p.keys = append(p.keys, key)
	p.values[key] = v
}

// object makes the value for scripts.
func (p *protected) object() goja.Value { return p.vm.NewDynamicObject(p) }

// Get implements [goja.DynamicObject].
func (p *protected) Get(key string) goja.Value { return p.values[key] }

// Has implements [goja.DynamicObject].
func (p *protected) Has(key string) bool { return p.values[key] != nil }

// Keys implements [goja.DynamicObject].
func (p *protected) Keys() []string { return p.keys }

// Set implements [goja.DynamicObject].
func (p *protected) Set(key string, _ goja.Value) bool {
	panic(p.vm.NewTypeError("%s.%s cannot be assigned to", p.name, key))
}

// Delete implements [goja.DynamicObject].
func (p *protected) Delete(key string) bool {
	if p.Has(key) {
		panic(p.vm.NewTypeError("%s.%s cannot be deleted", p.name, key))
	}
	return true
}
