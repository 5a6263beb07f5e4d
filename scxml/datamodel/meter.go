// SPDX-License-Identifier: Apache-2.0

package datamodel

import "errors"

// Meter counts the work of one call, in units of about 10 ns. It counts by the sizes
// that data and texts have, so that the same call counts the same wherever and whenever
// it is made: live or restored, with or without what was remembered.
type Meter struct {
	// Spent is the work so far; beyond Limit nothing more is evaluated.
	Spent, Limit int
}

// Spend counts n units and says whether the limit still holds.
func (m *Meter) Spend(n int) bool {
	m.Spent += n
	return m.Spent <= m.Limit
}

// ErrWork is returned by an evaluation that the [Meter] ended.
var ErrWork = errors.New("too much work in one step")

// smallCost is what evaluating an expression may cost that is not counted by itself:
// whoever has it evaluated counts as much for what it does besides.
const smallCost = 10

// What things cost, in units. The dearest recipes of BenchmarkWork in package scxml
// take up to twice as long as that, most others less.
const (
	// A machine is made, and has each variable twice.
	costMachine, costVariable = 3000, 80
	// An expression is run by the machine, or something is stored in it.
	costRun, costStore = 40, 60
	// An element is taken out of an array of the machine, and given to the body.
	costItem, costIteration = 25, 40
	// A letter of a name is looked at.
	costLetter = 4
	// An array becomes text, beside its elements.
	costJoin = 50
	// An element of XML becomes an object.
	costNode = 1000
	// A value is taken out of the machine; the same of a list or an object, beside its
	// elements, and of a member, beside its value.
	costExport, costContainer, costMember = 30, 40, 60
	// Of the weight of data: to measure them and to copy them, to copy them for
	// somebody else, and to take them into a machine.
	costKeep, costGive, costCarry = 1, 4, 16
	// An operator has an operand that is no number.
	costText = 30
	// Characters that are compared or copied for one unit.
	charsAUnit = 16
)

// large is the number of members from which each costs more.
const large = 1000

// spend counts work and says whether there may be more.
func (s *ecmaStore) spend(n int) bool {
	if s.meter == nil {
		s.meter = s.sys.Meter()
	}
	return s.meter.Spend(n)
}

// handle counts what is done with an object, by its weight.
func (s *ecmaStore) handle(v value, cost int) bool {
	if v.kind != object {
		return true
	}
	weight, _ := weigh(v.ref)
	return s.spend(weight * cost)
}

// weighVariables gives the weight of all data, and the length of their longest text.
func (s *ecmaStore) weighVariables() (weight, longest int) {
	for _, name := range s.vars.names() {
		x, _ := s.vars.get(name)
		w, l := weigh(x)
		weight, longest = weight+w, max(longest, l)
		s.spend(costVariable + costLetter*len(name))
	}
	return weight, longest
}

// foresee gives what an expression costs at most that the machine is about to run.
// Of code beyond the pure subset nobody can tell: a chart that has any is not bounded
// (see [Expr.Bounded]), and nothing but its being run is counted.
func (m *machine) foresee(e *Expr, c *compiled) int {
	s, work := m.store, costRun
	if e.usesEvent && s.event != nil && m.event == nil {
		weight, longest := weigh(s.event.Data)
		work += weight * costCarry
		m.longest = max(m.longest, longest)
		if !s.spend(0) {
			return work
		}
	}
	if c.fast != nil && !s.vars.schema.unbounded {
		m.joins = c.form.joins
		_ = m.guard(func() error { work += m.most(&c.form); return nil })
	}
	return work
}

// weigh gives the weight of data, about what it takes to look at all of them once, and
// the length of their longest text. It looks at all of them, whatever they are: the
// order of a map must not show.
func weigh(v any) (weight, longest int) {
	switch v := v.(type) {
	case string:
		return 1 + len(v)/charsAUnit, len(v)
	case XML:
		return 1 + len(v), len(v)
	case []any:
		weight = 8 + len(v)
		for _, e := range v {
			w, l := weigh(e)
			weight, longest = weight+w, max(longest, l)
		}
	case map[string]any:
		weight = 8 + 8*len(v)
		if len(v) > large {
			weight += 8 * len(v)
		}
		for k, e := range v {
			w, l := weigh(e)
			weight, longest = weight+w+len(k)/charsAUnit, max(longest, l, len(k))
		}
	default:
		weight = 1
	}
	return weight, longest
}
