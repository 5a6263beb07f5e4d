// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/dop251/goja"
)

// machine is a goja runtime for the length of a step.
type machine struct {
	vm    *goja.Runtime
	store *ecmaStore
	event goja.Value
	// owned are the functions, and the objects holding functions, that the
	// scripts of the chart made: they are made anew in every machine.
	owned     map[string]owned
	domByNode map[*node]*goja.Object
	domText   map[*goja.Object]func() XML
	// longest is the length of the longest text that was carried in or stored,
	// documents that of all XML, joins how often the expression that runs may copy.
	longest, documents, joins int
	// made are the objects made so far while data are carried in that may be
	// aliases, by the address of the value.
	made map[uintptr]goja.Value
	// rangeError is its constructor, when functions are bounded.
	rangeError goja.Value
}

// builtins are the names that a fresh global object has.
var builtins = func() map[string]bool {
	names := map[string]bool{"__proto__": true, "In": true, "_event": true, "_sessionid": true, "_name": true, "_ioprocessors": true, "_x": true}
	for _, n := range goja.New().GlobalObject().GetOwnPropertyNames() {
		names[n] = true
	}
	return names
}()

// machine returns the machine of this step, made on first use: data, then the
// scripts of the chart for their functions, which may need data, then data again,
// because those scripts also initialise variables.
func (s *ecmaStore) machine() (*machine, error) {
	if s.interrupted.Load() {
		return nil, ErrInterrupted
	}
	if s.m != nil {
		return s.m, nil
	}
	weight, longest := s.weighVariables()
	if !s.spend(costMachine + weight*costCarry) {
		return nil, ErrWork
	}
	m := s.bare()
	m.longest = max(m.longest, longest)
	s.m = m
	if s.loaded && len(s.scripts) > 0 {
		for _, e := range s.scripts {
			if e.Err == nil {
				// What fails is no fault: the data may be others than when the session started.
				_ = m.guard(func() error {
					program, err := e.prog.(*compiled).again(e.Source)
					if err == nil {
						_, err = m.vm.RunProgram(program)
					}
					return err
				})
			}
		}
		m.keepOwned()
		_ = m.guard(func() error {
			g := m.vm.GlobalObject()
			for _, name := range m.variables(nil) {
				if !s.vars.has(name) && m.owned[name].value == nil {
					// var makes properties that cannot be deleted.
					if g.Delete(name) != nil {
						_ = g.Set(name, goja.Undefined())
					}
				}
			}
			return nil
		})
		m.carry()
	}
	return m, nil
}

// bare makes a machine with system variables and data.
func (s *ecmaStore) bare() *machine {
	vm := goja.New()
	m := &machine{vm: vm, store: s}
	s.running.Store(vm)
	vm.SetMaxCallStackSize(s.sys.CallDepth())
	vm.SetTimeSource(func() time.Time { return s.sys.Now() })
	vm.SetRandSource(s.float)

	m.bound()
	m.seal()
	in := vm.ToValue(func(id string) bool { return s.sys.In(id) })
	m.system("In", func() goja.Value { return in })
	m.system("_event", func() goja.Value {
		if s.event == nil {
			return goja.Undefined()
		}
		if m.event == nil {
			m.event = m.eventObject(s.event)
		}
		return m.event
	})
	m.system("_sessionid", func() goja.Value { return vm.ToValue(s.sys.SessionID()) })
	m.system("_name", func() goja.Value { return vm.ToValue(s.sys.Name()) })
	var ioprocessors goja.Value
	m.system("_ioprocessors", func() goja.Value {
		if ioprocessors == nil {
			all := m.protected("_ioprocessors")
			processors := s.sys.IOProcessors()
			for _, name := range slices.Sorted(maps.Keys(processors)) {
				one := m.protected("_ioprocessors." + name)
				one.put("location", vm.ToValue(processors[name]))
				all.put(name, one.object())
			}
			ioprocessors = all.object()
		}
		return ioprocessors
	})
	x := m.protected("_x").object()
	m.system("_x", func() goja.Value { return x })
	m.carry()
	return m
}

// seal lets no script of the chart give all objects a property, unless the store
// knows of one that may: what an object lacks is then undefined, as the fast path
// says, however the script hides what it does.
func (m *machine) seal() {
	if len(m.store.scripts) == 0 || m.store.slow {
		return
	}
	_ = m.guard(func() error {
		prevent, _ := goja.AssertFunction(m.vm.Get("Object").ToObject(m.vm).Get("preventExtensions"))
		_, err := prevent(goja.Undefined(), m.vm.NewObject().Prototype())
		return err
	})
}

// system defines a variable that cannot be assigned to, neither in strict code
// nor in other code, where a merely read-only property would ignore it
// silently (SCXML 5.10).
func (m *machine) system(name string, get func() goja.Value) {
	vm := m.vm
	getter := vm.ToValue(func(goja.FunctionCall) goja.Value { return get() })
	setter := vm.ToValue(func(goja.FunctionCall) goja.Value {
		panic(vm.NewTypeError("%s cannot be assigned to", name))
	})
	_ = vm.GlobalObject().DefineAccessorProperty(name, getter, setter, goja.FLAG_FALSE, goja.FLAG_FALSE)
}

func (m *machine) eventObject(ev *Event) goja.Value {
	o := m.protected("_event")
	text := func(name, v string) {
		if v == "" {
			o.put(name, goja.Undefined())
		} else {
			o.put(name, m.vm.ToValue(v))
		}
	}
	text("name", ev.Name)
	text("type", string(ev.Type))
	text("sendid", ev.SendID)
	text("origin", ev.Origin)
	text("origintype", ev.OriginType)
	text("invokeid", ev.InvokeID)
	if ev.Raw != "" {
		text("raw", ev.Raw)
	}
	if ev.Data == nil {
		o.put("data", goja.Undefined())
	} else {
		o.put("data", m.toJS(ev.Data))
	}
	return o.object()
}

// get gives the value of a variable; nil if there is none. What the global object
// inherits is no variable, though a script that says toString mentions its name;
// one that the session has is there, whatever was done to its prototype.
func (m *machine) get(name string) goja.Value {
	var v goja.Value
	_ = m.guard(func() error {
		g := m.vm.GlobalObject()
		found := g.Get(name)
		if p := g.Prototype(); found != nil && p != nil && !m.store.vars.has(name) {
			if inherited := p.Get(name); inherited != nil && inherited.SameAs(found) {
				return nil
			}
		}
		v = found
		return nil
	})
	return v
}

// variables are the names that the scripts of the chart and the given code may
// have made properties of the global object; not all of them need exist.
func (m *machine) variables(code []*compiled) []string {
	var names []string
	for _, e := range m.store.scripts {
		if c, ok := e.prog.(*compiled); ok {
			code = append(code, c)
		}
	}
	for _, c := range code {
		if c.dynamic {
			_ = m.guard(func() error { names = m.vm.GlobalObject().Keys(); return nil })
			return names
		}
		names = append(names, c.words...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// has says whether name is a variable of the chart.
func (m *machine) has(name string) bool {
	if m.store.vars.has(name) {
		return true
	}
	return !builtins[name] && m.get(name) != nil
}

func (m *machine) set(name string, v any) {
	_ = m.guard(func() error {
		return m.vm.GlobalObject().DefineDataProperty(name, m.toJS(v), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	})
	// A property made by var is not configurable; then only its value changes.
	_ = m.guard(func() error { return m.vm.GlobalObject().Set(name, m.toJS(v)) })
}

func (m *machine) setAll(v *variables) {
	for _, name := range v.names() {
		x, _ := v.get(name)
		m.set(name, x)
	}
}

// guard turns whatever comes out of goja into an error with one line.
func (m *machine) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			switch r := r.(type) {
			case *goja.InterruptedError:
				err = ErrInterrupted
			case error:
				err = r
			default:
				err = fmt.Errorf("%v", r)
			}
		}
	}()
	if x := m.vm.Try(func() { err = f() }); x != nil {
		err = x
	}
	var (
		thrown      *goja.Exception
		interrupted *goja.InterruptedError
		overflow    *goja.StackOverflowError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &interrupted):
		return ErrInterrupted
	case errors.As(err, &overflow):
		return errors.New("RangeError: too many nested calls")
	case errors.As(err, &thrown):
		return m.message(thrown)
	}
	return err
}

func (m *machine) message(x *goja.Exception) error {
	text := "exception"
	// The value may be an object whose toString throws again.
	_ = m.vm.Try(func() { text = x.Value().String() })
	// goja prints Go structures, with addresses, in some messages; those would
	// make equal steps differ.
	text = structures.ReplaceAllString(text, "an object")
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return errors.New(text)
}

var structures = regexp.MustCompile(`(?s)&\{.*\}|0x[0-9a-f]{6,}`)

// toJS makes the value of v in the machine.
func (m *machine) toJS(v any) goja.Value {
	if m.made == nil {
		return m.object(v)
	}
	at := address(v)
	if o, ok := m.made[at]; ok && at != 0 {
		return o
	}
	o := m.object(v)
	m.made[at] = o
	return o
}

func (m *machine) object(v any) goja.Value {
	switch v := v.(type) {
	case nil, NullValue:
		return goja.Null()
	case Undefined:
		return goja.Undefined()
	case XML:
		m.documents += len(v)
		n, err := parseXML(string(v))
		if err != nil {
			return m.vm.ToValue(string(v))
		}
		return m.domObject(n, string(v))
	case []any:
		items := make([]any, len(v))
		for i, e := range v {
			items[i] = m.toJS(e)
		}
		return m.vm.NewArray(items...)
	case map[string]any:
		o := m.vm.NewObject()
		for _, k := range m.store.keys(v) {
			if k == "__proto__" {
				_ = o.DefineDataProperty(k, m.toJS(v[k]), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
			} else {
				_ = o.Set(k, m.toJS(v[k]))
			}
		}
		return o
	default:
		return m.vm.ToValue(v)
	}
}

var errNotData = errors.New("it is no data")

var errTooLarge = errors.New("the data grow beyond the limit")

// export gives the canonical value of v, of about limit bytes at most.
func (m *machine) export(v goja.Value, limit int) (out any, err error) {
	budget := limit
	var path []*goja.Object
	var walk func(v goja.Value) (any, error)
	walk = func(v goja.Value) (any, error) {
		if budget -= 2; budget < 0 {
			return nil, errTooLarge
		}
		if !m.store.spend(costExport) {
			return nil, ErrWork
		}
		if v == nil || goja.IsUndefined(v) {
			return Undefined{}, nil
		}
		if goja.IsNull(v) {
			return nil, nil
		}
		o, ok := v.(*goja.Object)
		if !ok {
			if _, symbol := v.(*goja.Symbol); symbol {
				return nil, fmt.Errorf("%w: it is or contains a Symbol", errNotData)
			}
			switch p := v.Export().(type) {
			case bool:
				return p, nil
			case string:
				budget -= len(p)
				m.store.spend(len(p) / charsAUnit)
				return p, nil
			case int64:
				return float64(p), nil
			case float64:
				return p, nil
			default:
				return nil, fmt.Errorf("%w: %T", errNotData, p)
			}
		}
		if text, ok := m.domText[o]; ok {
			x := text()
			budget -= len(x)
			m.store.spend(len(x))
			return x, nil
		}
		if len(path) >= maxDepth || slices.Contains(path, o) {
			return nil, fmt.Errorf("%w: it is cyclic or nested too deeply", errNotData)
		}
		path = append(path, o)
		defer func() { path = path[:len(path)-1] }()
		switch class := classOf(o); {
		case class == "Array":
			n := o.Get("length").ToInteger()
			if n > int64(budget) {
				return nil, errTooLarge
			}
			m.store.spend(costContainer)
			list := make([]any, n)
			for i := range list {
				e, err := walk(o.Get(strconv.Itoa(i)))
				if err != nil {
					return nil, err
				}
				list[i] = e
			}
			return list, nil
		case class == "Object":
			object, keys := map[string]any{}, o.Keys()
			each := costMember
			if len(keys) > large {
				each += costMember
			}
			m.store.spend(costContainer)
			for _, k := range keys {
				budget -= len(k)
				m.store.spend(each)
				e, err := walk(o.Get(k))
				if err != nil {
					return nil, err
				}
				object[k] = e
			}
			return object, nil
		default:
			return nil, fmt.Errorf("%w: it is or contains a %s", errNotData, class)
		}
	}
	err = m.guard(func() error { out, err = walk(v); return err })
	return out, err
}

// measure gives the number of canonical bytes of v, or an error beyond limit.
func measure(v any, limit int) (int, error) {
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v) + 2
	case XML:
		n = len(v) + 10
	case []any:
		n = 2 + len(v)
		for _, e := range v {
			k, err := measure(e, limit-n)
			if err != nil {
				return 0, err
			}
			n += k
		}
	case map[string]any:
		n = 2
		for k, e := range v {
			l, err := measure(e, limit-n-len(k))
			if err != nil {
				return 0, err
			}
			n += l + len(k) + 4
		}
	default:
		n = 8
	}
	if n > limit {
		return 0, errTooLarge
	}
	return n, nil
}

// Size is about what v takes in canonical form, in bytes; more than most when it
// is larger than that.
func Size(v any, most int) int {
	n, err := measure(v, most)
	if err != nil {
		return most + 1
	}
	return n
}
