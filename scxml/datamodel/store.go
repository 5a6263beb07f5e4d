// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/dop251/goja"
)

// ecmaStore keeps data as canonical values. While a step runs and has needed a
// machine, the machine holds the truth about what it may have changed.
type ecmaStore struct {
	sys     System
	scripts []*Expr
	vars    variables

	event *Event
	m     *machine

	// loaded says that the scripts of the chart were run, all that any location may have
	// changed in the machine, slow that every expression goes to it.
	loaded, all, slow bool
	// shared are the places of objects that were assigned without a machine in
	// this step; placed says that one was put there otherwise.
	placed bool
	shared []int

	interrupted atomic.Bool

	// changed names locations that may have changed in the machine.
	changed map[string]bool
	// touched are the expressions and scripts of this step that may have made
	// variables.
	touched []*compiled
	// orders are the objects of this step whose keys are not sorted, by address.
	orders  map[uintptr]ordered
	running atomic.Pointer[goja.Runtime]
	random  *rand.Rand
	// meter is that of the call that runs, once it was asked for.
	meter *Meter
}

func (s *ecmaStore) Declare(id string) error {
	if !identifier.MatchString(id) || reserved[id] || fixed[id] || system.MatchString(id) {
		return fmt.Errorf("SyntaxError: %q is not the name of a variable", id)
	}
	if s.vars.has(id) {
		return nil
	}
	if s.m != nil && s.m.has(id) {
		return nil
	}
	s.vars.set(id, Undefined{}, 0)
	if s.m != nil {
		s.m.set(id, Undefined{})
	}
	return nil
}

func (s *ecmaStore) Eval(e *Expr) (any, error) {
	if c, ok := e.prog.(*compiled); ok && c.isConstant {
		return c.constant, nil
	}
	if v, ok := s.tryFast(e); ok {
		if v.kind == object {
			if !s.handle(v, costGive) {
				return nil, ErrWork
			}
			return normalize(v.ref, 0)
		}
		return v.plain(), nil
	}
	v, err := s.run(e)
	if err != nil {
		return nil, err
	}
	return s.m.export(v, s.sys.DataBytes())
}

func (s *ecmaStore) Bool(e *Expr) (bool, error) {
	if c, ok := e.prog.(*compiled); ok && c.isConstant {
		if b, ok := c.constant.(bool); ok {
			return b, nil
		}
	}
	if v, ok := s.tryFast(e); ok {
		return v.truth(), nil
	}
	v, err := s.run(e)
	if err != nil {
		return false, err
	}
	return v.ToBoolean(), nil
}

func (s *ecmaStore) Assign(loc, e *Expr) error {
	if loc.Err != nil {
		return loc.Err
	}
	if c, ok := e.prog.(*compiled); ok && c.isConstant {
		return s.Put(loc, c.constant)
	}
	if v, ok := s.tryFast(e); ok {
		if v.primitive() || s.m == nil && e.prog.(*compiled).fresh {
			return s.put(loc, v)
		}
		if done, err := s.refer(loc, v); done {
			return err
		}
	}
	v, err := s.run(e)
	if err != nil {
		return err
	}
	return s.store(loc, v)
}

func (s *ecmaStore) Put(loc *Expr, v any) error {
	if loc.Err != nil {
		return loc.Err
	}
	x := valueOf(v)
	if x.kind == object {
		// It may be the same in Go as another value, and is not in JavaScript.
		s.placed = true
		if len(s.shared) > 0 {
			if _, err := s.machine(); err != nil {
				return err
			}
		}
	}
	return s.put(loc, x)
}

func (s *ecmaStore) put(loc *Expr, v value) error {
	c := loc.prog.(*compiled)
	if c.name != "" && s.m == nil {
		if v.kind == object && !s.handle(v, costKeep) {
			return ErrWork
		}
		if s.vars.at(c.slot).kind != absent {
			n, err := v.measure(s.sys.DataBytes() - s.vars.total + s.vars.slots[c.slot].size)
			if err == nil {
				s.vars.put(c.slot, v, n)
			}
			return err
		}
	}
	m, err := s.machine()
	if err != nil {
		return err
	}
	if !s.handle(v, costCarry) {
		return ErrWork
	}
	return s.store(loc, m.toJS(v.plain()))
}

// store writes v to the location loc in the machine.
func (s *ecmaStore) store(loc *Expr, v goja.Value) error {
	c := loc.prog.(*compiled)
	if !s.spend(costStore) {
		return ErrWork
	}
	// Aliases grow without taking memory: x = [x, x] a hundred times is small
	// until something turns it into text; x = x + x does as well. So the size is taken now, not only at
	// the end of the step.
	if text, isString := v.(goja.String); isString {
		if text.Length() > s.sys.DataBytes() {
			return errTooLarge
		}
		s.m.longest = max(s.m.longest, text.Length())
	} else if _, isObject := v.(*goja.Object); isObject {
		if _, err := s.m.export(v, s.sys.DataBytes()); errors.Is(err, errTooLarge) || errors.Is(err, ErrWork) {
			return err
		}
	}
	if c.name != "" {
		if !s.m.has(c.name) {
			return fmt.Errorf("ReferenceError: %s is not defined", c.name)
		}
		if s.changed == nil {
			s.changed = map[string]bool{}
		}
		s.changed[c.name] = true
		return s.m.guard(func() error { return s.m.vm.GlobalObject().Set(c.name, v) })
	}
	s.all = true
	return s.m.guard(func() error {
		f, err := s.m.vm.RunProgram(c.program)
		if err != nil {
			return err
		}
		call, _ := goja.AssertFunction(f)
		_, err = call(goja.Undefined(), v)
		return err
	})
}

func (s *ecmaStore) Run(e *Expr) error {
	s.all = true
	_, err := s.run(e)
	return err
}

func (s *ecmaStore) run(e *Expr) (goja.Value, error) {
	if e.Err != nil {
		return nil, e.Err
	}
	m, err := s.machine()
	if err != nil {
		return nil, err
	}
	c := e.prog.(*compiled)
	if !s.spend(m.foresee(e, c)) {
		return nil, ErrWork
	}
	if c.isConstant {
		return m.toJS(c.constant), nil
	}
	if !e.pure || len(s.scripts) > 0 {
		// With functions of the chart about, a conversion may call one.
		s.all = true
		s.touched = append(s.touched, c)
	}
	var v goja.Value
	err = m.guard(func() error {
		v, err = m.vm.RunProgram(c.program)
		return err
	})
	if !s.spend(0) {
		return nil, ErrWork
	}
	return v, err
}

func (s *ecmaStore) Load() []error {
	s.loaded = true
	errs := make([]error, len(s.scripts))
	if len(s.scripts) == 0 {
		return errs
	}
	s.all = true
	if s.m == nil {
		if s.m = s.bare(); s.interrupted.Load() {
			return errs
		}
	}
	for i, e := range s.scripts {
		errs[i] = s.Run(e)
	}
	s.m.keepOwned()
	return errs
}

// Each walks a copy of the array, so that the body may change it (SCXML 4.6).
func (s *ecmaStore) Each(array *Expr, item, index string, body func() error) error {
	s.all = true
	if !s.spend(costStore + costLetter*(len(item)+len(index))) {
		return ErrWork
	}
	v, err := s.run(array)
	if err != nil {
		return err
	}
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		return fmt.Errorf("TypeError: %s is not an array", array.Source)
	}
	if err := s.Declare(item); err != nil {
		return err
	}
	if index != "" {
		if err := s.Declare(index); err != nil {
			return err
		}
	}
	var items []goja.Value
	err = s.m.guard(func() error {
		n := o.Get("length").ToInteger()
		if n > int64(s.sys.DataBytes()) {
			return errors.New("RangeError: array is too long")
		}
		if !s.spend(int(n) * costItem) {
			return ErrWork
		}
		for i := range n {
			e := o.Get(fmt.Sprint(i))
			if e == nil {
				e = goja.Undefined()
			}
			items = append(items, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	g := s.m.vm.GlobalObject()
	for i, e := range items {
		if !s.spend(costIteration) {
			return ErrWork
		}
		err := s.m.guard(func() error {
			if index != "" {
				if err := g.Set(index, i); err != nil {
					return err
				}
			}
			return g.Set(item, e)
		})
		if err != nil {
			return err
		}
		if err := body(); err != nil {
			return err
		}
	}
	return nil
}

func (s *ecmaStore) SetEvent(ev *Event) {
	if len(s.shared) > 0 && s.m == nil && ev != nil {
		// Something may be an alias of the data of the event that goes, and its
		// data may be bound again: then it is another object.
		_, _ = s.machine()
	}
	s.event = ev
	if s.m != nil {
		s.m.event = nil
	}
	if ev == nil && s.meter != nil {
		s.meter = nil // the call is over, or begins
	}
	if ev == nil {
		s.random = nil
	}
}

// Settle reads back what the machine may have changed and drops the machine.
func (s *ecmaStore) Settle() []error {
	defer s.drop()
	if s.m == nil {
		return nil
	}
	var faults []error
	if !s.all && len(s.changed) == 0 {
		return nil
	}
	names := map[string]bool{}
	if s.all {
		for _, name := range s.vars.names() {
			names[name] = true
		}
		for _, name := range s.m.variables(s.touched) {
			names[name] = true
		}
	} else {
		maps.Copy(names, s.changed)
	}
	if !s.spend(len(names) * costVariable) {
		return nil
	}
	total := s.vars.total
	for name := range names {
		total -= s.vars.find(name).size
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		v := s.m.get(name)
		if v == nil {
			s.vars.remove(name)
			continue
		}
		if s.m.isOwned(name, v) {
			if err := s.m.written(name); err != nil {
				faults = append(faults, fmt.Errorf("%s cannot be kept: %w", name, err))
			}
			s.vars.remove(name)
			continue
		}
		out, err := s.m.export(v, s.sys.DataBytes()-total)
		if !s.spend(0) {
			return faults
		}
		n := 0
		if err == nil {
			n, err = measure(out, s.sys.DataBytes()-total)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s cannot be kept: %w", name, err))
			out, n = Undefined{}, 0
		}
		total += n
		s.vars.set(name, out, n)
	}
	return faults
}

func (s *ecmaStore) Discard() {
	s.meter, s.random = nil, nil
	s.drop()
}

// drop drops the machine.
func (s *ecmaStore) drop() {
	s.split()
	if s.m == nil {
		return
	}
	s.m, s.all, s.changed, s.touched = nil, false, nil, nil
	s.running.Store(nil)
}

func (s *ecmaStore) Data() map[string]any { return s.vars.all() }

func (s *ecmaStore) Get(id string) (any, bool) { return s.vars.get(id) }

func (s *ecmaStore) Restore(data map[string]any) {
	s.vars, s.m, s.loaded = newVariables(s.vars.schema), nil, true
	s.shared, s.placed, s.orders = nil, false, nil
	for name, v := range data {
		n, _ := measure(v, math.MaxInt)
		s.vars.set(name, v, n)
	}
}

func (s *ecmaStore) Interrupt() {
	s.interrupted.Store(true)
	if vm := s.running.Load(); vm != nil {
		vm.Interrupt(ErrInterrupted)
	}
}

// float gives Math.random for this call.
func (s *ecmaStore) float() float64 {
	if s.random == nil {
		s.random = rand.New(rand.NewPCG(s.sys.Seed(), 0x9e3779b97f4a7c15))
	}
	return s.random.Float64()
}
