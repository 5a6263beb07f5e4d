// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"reflect"
	"slices"

	"github.com/dop251/goja"
)

// In JavaScript `x = y` makes x and y names of one object until the end of the step,
// when aliases split. Without a machine x gets the canonical value of y itself: as
// nobody changes canonical values that cannot be told from a copy. When the step
// needs a machine later, values that are the same one in Go become one object in
// it. For that, no others may be the same: what was assigned so is copied when the
// step ends.

// refer assigns an object without a machine, if the machine could tell later what
// it is an alias of.
func (s *ecmaStore) refer(loc *Expr, v value) (done bool, err error) {
	c := loc.prog.(*compiled)
	if s.m != nil || s.placed || c.name == "" || s.vars.at(c.slot).kind == absent || !shareable(v.ref, 0) {
		return false, nil
	}
	if err := s.put(loc, v); err != nil {
		return true, err
	}
	s.shared = append(s.shared, c.slot)
	return true, nil
}

// shareable says whether v is the same in Go when it is the same in JavaScript:
// empty arrays have no address, and the DOM is made of text.
func shareable(v any, depth int) bool {
	if depth >= maxDepth {
		return false
	}
	switch v := v.(type) {
	case XML:
		return false
	case []any:
		for _, e := range v {
			if !shareable(e, depth+1) {
				return false
			}
		}
		return len(v) > 0
	case map[string]any:
		for _, e := range v {
			if !shareable(e, depth+1) {
				return false
			}
		}
	}
	return true
}

// address tells values apart that are objects in JavaScript; 0 for others.
func address(v any) uintptr {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			return reflect.ValueOf(v).Pointer()
		}
	case map[string]any:
		return reflect.ValueOf(v).Pointer()
	}
	return 0
}

// split ends what refer and order began.
func (s *ecmaStore) split() {
	if len(s.shared) > 0 {
		s.unshare()
	}
	s.shared, s.placed, s.orders = s.shared[:0], false, nil
}

func (s *ecmaStore) unshare() {
	slices.Sort(s.shared) // one may have been assigned again and again
	for _, slot := range slices.Compact(s.shared) {
		if v := s.vars.at(slot); v.kind == object {
			v.ref, _ = normalize(v.ref, 0)
			s.vars.put(slot, v, s.vars.slots[slot].size)
		}
	}
}

// carry takes the data into the machine, and the event if something may be an
// alias of it.
func (m *machine) carry() {
	s := m.store
	if len(s.shared) > 0 {
		m.made = map[uintptr]goja.Value{}
	}
	m.setAll(&s.vars)
	if m.made != nil && s.event != nil {
		m.event = m.eventObject(s.event)
	}
	m.made = nil
}
