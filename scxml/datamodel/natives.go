// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"maps"
	"math"
	"regexp"
	"slices"

	"github.com/dop251/goja"
)

// Some functions of the language take any time and memory in one call, which no
// interrupt reaches, and memory that is used up ends the process. Those that a
// chart names are replaced by ones that throw a RangeError first, as browsers do
// somewhat later. Data are far smaller than these bounds. A script can reach the
// others, by a computed name for one: a chart that is not trusted belongs into a
// process of its own.
const (
	maxText = 1 << 24 // UTF-16 units that one call makes
	maxList = 1 << 20 // elements that one call walks over
)

// greedy are the names of these functions, by what gives their cost.
var greedy = map[string]func(m *machine, self *goja.Value, args []goja.Value){
	"repeat": boundRepeat, "padStart": boundPad, "padEnd": boundPad,
	"fill": boundList, "join": boundJoin, "sort": boundList, "reverse": boundList, "indexOf": boundList, "lastIndexOf": boundList,
	"includes": boundList, "slice": boundList, "splice": boundList, "copyWithin": boundList, "unshift": boundList, "flat": boundList, "concat": boundConcat,
}

var greedyName = regexp.MustCompile(`\b(repeat|padStart|padEnd|fill|join|sort|reverse|indexOf|lastIndexOf|includes|slice|splice|copyWithin|unshift|flat|concat)\b`)

// mentions notes the greedy functions that a source names.
func (c *schema) mentions(src string) {
	for _, name := range greedyName.FindAllString(src, -1) {
		if c.greedy == nil {
			c.greedy = map[string]bool{}
		}
		c.greedy[name] = true
	}
}

// bound replaces the greedy functions that the chart names, and join: every array
// that becomes text comes by it. Arrays that are one inside the other again and again
// become a text that is longer than any memory.
func (m *machine) bound() {
	names, classes := []string{"join"}, []string{"Array"}
	if named := m.store.vars.schema.greedy; len(named) > 0 {
		names, classes = slices.Sorted(maps.Keys(named)), []string{"String", "Array"}
		if !named["join"] {
			names = append(names, "join")
		}
	}
	_ = m.guard(func() error {
		m.rangeError = m.vm.Get("RangeError")
		for _, class := range classes {
			prototype := m.vm.Get(class).ToObject(m.vm).Get("prototype").ToObject(m.vm)
			for _, name := range names {
				native, ok := goja.AssertFunction(prototype.Get(name))
				if !ok || class == "String" && name != "repeat" && name != "padStart" && name != "padEnd" {
					continue // strings are no longer than what made them
				}
				bounded := m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
					greedy[name](m, &c.This, c.Arguments)
					v, err := native(c.This, c.Arguments...)
					if err != nil {
						panic(err)
					}
					if text, ok := v.(goja.String); ok && name == "join" {
						m.charge(text.Length() / charsAUnit * (1 + m.joins))
					}
					return v
				}).ToObject(m.vm)
				_ = bounded.DefineDataProperty("name", m.vm.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
				_ = bounded.DefineDataProperty("length", prototype.Get(name).ToObject(m.vm).Get("length"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
				_ = prototype.DefineDataProperty(name, bounded, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
			}
		}
		return nil
	})
}

// tooLong throws what browsers throw.
func (m *machine) tooLong(what string) {
	x, err := m.vm.New(m.rangeError, m.vm.ToValue("Invalid "+what+" length"))
	if err != nil {
		panic(err)
	}
	panic(x)
}

// The bounds convert what they look at, once: a conversion may have effects.

func (m *machine) text(v *goja.Value) float64 {
	if goja.IsUndefined(*v) || goja.IsNull(*v) {
		return 0 // the function itself says what is wrong
	}
	s := (*v).ToString()
	*v = s
	if text, ok := s.(goja.String); ok {
		return float64(text.Length())
	}
	return 0
}

func (m *machine) number(args []goja.Value) float64 {
	if len(args) == 0 {
		return 0
	}
	args[0] = args[0].ToNumber()
	return args[0].ToFloat()
}

func boundRepeat(m *machine, self *goja.Value, args []goja.Value) {
	if n := m.text(self); n*m.number(args) > maxText && !math.IsInf(args[0].ToFloat(), 0) {
		m.tooLong("string")
	}
}

func boundPad(m *machine, self *goja.Value, args []goja.Value) {
	m.text(self)
	if m.number(args) > maxText {
		m.tooLong("string")
	}
}

// length is that of what an array function is called on.
func (m *machine) length(self goja.Value) float64 {
	if goja.IsUndefined(self) || goja.IsNull(self) {
		return 0
	}
	v := self.ToObject(m.vm).Get("length")
	if v == nil {
		return 0
	}
	return v.ToFloat()
}

func boundList(m *machine, self *goja.Value, _ []goja.Value) {
	if m.length(*self) > maxList {
		m.tooLong("array")
	}
}

func boundJoin(m *machine, self *goja.Value, args []goja.Value) {
	n := m.length(*self)
	if n > maxList {
		m.tooLong("array")
	}
	if len(args) > 0 && !goja.IsUndefined(args[0]) && n*m.text(&args[0]) > maxText {
		m.tooLong("string")
	}
	m.charge(costJoin + int(n)*costItem)
}

// charge counts the work of a function that runs, and ends it at the limit.
func (m *machine) charge(n int) {
	if !m.store.spend(n) {
		panic(m.vm.ToValue(ErrWork.Error()))
	}
}

func boundConcat(m *machine, self *goja.Value, args []goja.Value) {
	n := m.length(*self)
	for _, v := range args {
		if o, ok := v.(*goja.Object); ok && o.ClassName() == "Array" {
			n += m.length(o)
		}
	}
	if n > maxList {
		m.tooLong("array")
	}
}
