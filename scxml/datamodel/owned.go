// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"slices"

	"github.com/dop251/goja"
)

// owned is what a script of the chart made that is no data: a function, or what has
// one inside. It is made anew in every machine, so that nothing that is written into it
// would last.
type owned struct {
	value goja.Value
	// holds is what it held when the script had made it.
	holds []goja.Value
}

// keepOwned notes what the scripts of the chart made that is no data.
func (m *machine) keepOwned() {
	m.owned = map[string]owned{}
	for _, name := range m.variables(nil) {
		if v := m.get(name); v != nil {
			if _, err := m.export(v, m.store.sys.DataBytes()); errors.Is(err, errNotData) {
				m.owned[name] = owned{v, m.holds(v)}
			}
		}
	}
}

func (m *machine) isOwned(name string, v goja.Value) bool {
	o, ok := m.owned[name]
	return ok && o.value.SameAs(v)
}

var errWritten = errors.New("it belongs to a script, which makes it anew without what was written into it")

// written says that something was written into what a script made.
func (m *machine) written(name string) error {
	o := m.owned[name]
	if !slices.EqualFunc(o.holds, m.holds(o.value), goja.Value.SameAs) {
		return errWritten
	}
	return nil
}

// holds lists what can be seen in v: names, primitive values, functions, and how much
// there is in each object. Equal lists are of equal objects.
func (m *machine) holds(v goja.Value) (list []goja.Value) {
	seen := map[*goja.Object]bool{}
	most := m.store.sys.DataBytes()
	var walk func(v goja.Value, depth int)
	walk = func(v goja.Value, depth int) {
		if v == nil {
			v = goja.Undefined()
		}
		o, ok := v.(*goja.Object)
		if !ok || seen[o] || depth > maxDepth || len(list) >= most {
			list = append(list, v)
			return
		}
		seen[o] = true
		keys := o.Keys()
		list = append(list, m.vm.ToValue(len(keys)))
		switch classOf(o) {
		case "Object", "Array":
		case "Map", "Set":
			m.vm.ForOf(o, func(v goja.Value) bool {
				walk(v, depth+1)
				return len(list) < most
			})
		case "Date":
			list = append(list, o.ToNumber())
		default:
			list = append(list, o)
		}
		for _, k := range keys {
			list = append(list, m.vm.ToValue(k))
			walk(o.Get(k), depth+1)
		}
	}
	_ = m.guard(func() error { walk(v, 0); return nil })
	return list
}
