// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// The procedures of Appendix D give the same answer whenever the same
// transitions are taken in the same configuration, unless history has a say. A
// chart therefore remembers the answers: each configuration that a session of
// it was in is kept once, with the transitions that each class of events
// selects there, and what is left and entered when they are taken. A session
// holds a pointer to its configuration and nothing else about it.
//
// The memory is shared by all sessions of the chart and grows without locks.
// It is bounded (maxConfigurations, maxMoves); beyond the bound answers
// are worked out each time. What is remembered never changes a result.

// memory is what a chart remembers.
type memory struct {
	// classes numbers the descriptors of the chart from 1. The class of an
	// event is the longest descriptor that matches its name; 0 is for names
	// that only "*" matches.
	classes map[string]int
	names   []string
	empty   *configuration
	buckets []atomic.Pointer[configuration]
	count   atomic.Int64
	limit   int64
	works   sync.Pool
}

const (
	// maxConfigurations and maxCells bound the configurations remembered for a
	// chart and the memory that they take, in words.
	maxConfigurations = 1 << 12
	maxCells          = 1 << 20
	// maxMoves bounds the sets of transitions remembered for one class of
	// events in one configuration.
	maxMoves = 16
)

func newMemory(c *Chart) *memory {
	// No descriptor but "*" matches a blank.
	m := &memory{classes: map[string]int{}, names: []string{" "}}
	m.works.New = func() any { return &work{meter: datamodel.Meter{Limit: c.limits.Work}} }
	for _, s := range c.states {
		for _, t := range s.transitions {
			for _, d := range t.events {
				if _, known := m.classes[d]; !known && d != "*" {
					m.classes[d] = len(m.names)
					m.names = append(m.names, d)
				}
			}
		}
	}
	cells := len(m.names) + 2*len(c.states) + 16
	m.limit = int64(min(maxConfigurations, max(16, maxCells/cells)))
	m.buckets = make([]atomic.Pointer[configuration], 1<<bits.Len(uint(min(4*len(c.states), 1024))))
	m.empty = m.configuration(c, newBitset(len(c.states)))
	return m
}

// class gives the class of an event. A descriptor matches a name if it is equal
// to it or to what stands before one of its dots (SCXML 3.12.1), so the
// longest one decides which others match.
func (m *memory) class(name string) int {
	for {
		if c, ok := m.classes[name]; ok {
			return c
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return 0
		}
		name = name[:i]
	}
}

// nameMatch says whether one of the descriptors matches the name (SCXML 3.12.1).
func nameMatch(descriptors []string, name string) bool {
	for _, d := range descriptors {
		if d == "*" || d == name || len(name) > len(d) && name[len(d)] == '.' && strings.HasPrefix(name, d) {
			return true
		}
	}
	return false
}

// longName is the length up to which it does not matter.
const longName = 256

// classWork is what it takes to find the class of an event: a name with many dots is
// looked up as often.
func classWork(name string) int {
	return strings.Count(name, ".") * len(name) / 64
}

// bitset is a set of states by their order.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitset) add(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) remove(i int)   { b[i>>6] &^= 1 << (i & 63) }

func (b bitset) hash() uint64 {
	h := uint64(14695981039346656037)
	for _, w := range b {
		h = (h ^ w) * 1099511628211
		h ^= h >> 29
	}
	return h
}

// configuration is a set of active states (SCXML 3.11), without the root.
type configuration struct {
	set bitset
	// states are in document order; atomic are those that transitions are
	// selected for, leaves those without active children: a <parallel> without
	// any is no atomic state.
	states, atomic, leaves []*state
	ids                    []string
	// plans are by class of event; eventless is for transitions without one.
	plans     []atomic.Pointer[plan]
	eventless atomic.Pointer[plan]
	next      *configuration // in the same bucket
}

// inside lists the states of the configuration that are descendants of s.
func (k *configuration) inside(s *state) []*state {
	from, _ := slices.BinarySearchFunc(k.states, s.order+1, func(s *state, order int) int { return cmp.Compare(s.order, order) })
	to, _ := slices.BinarySearchFunc(k.states, s.last+1, func(s *state, order int) int { return cmp.Compare(s.order, order) })
	return k.states[from:to]
}

// find looks up the configuration with the states of set; nil if it is new.
func (m *memory) find(set bitset) *configuration {
	for k := m.buckets[set.hash()&uint64(len(m.buckets)-1)].Load(); k != nil; k = k.next {
		if slices.Equal(k.set, set) {
			return k
		}
	}
	return nil
}

// configuration finds the configuration with the states of set, which it keeps
// if it is new.
func (m *memory) configuration(c *Chart, set bitset) *configuration {
	bucket := &m.buckets[set.hash()&uint64(len(m.buckets)-1)]
	for {
		head := bucket.Load()
		for k := head; k != nil; k = k.next {
			if slices.Equal(k.set, set) {
				return k
			}
		}
		k := &configuration{set: slices.Clone(set), next: head}
		for i, w := range set {
			for ; w != 0; w &= w - 1 {
				s := c.states[i<<6+bits.TrailingZeros64(w)]
				k.states = append(k.states, s)
				k.ids = append(k.ids, s.id)
				if s.isAtomic() {
					k.atomic = append(k.atomic, s)
				}
				if len(s.children) == 0 {
					k.leaves = append(k.leaves, s)
				}
			}
		}
		if m.count.Load() >= m.limit {
			k.next = nil
			return k
		}
		k.plans = make([]atomic.Pointer[plan], len(m.names))
		if bucket.CompareAndSwap(head, k) {
			m.count.Add(1)
			return k
		}
	}
}

// plan is what may be selected in a configuration by the events of a class.
type plan struct {
	// stages has each active state with matching transitions once; begins is where
	// the way outwards begins for each atomic state that has any on its way.
	stages []stage
	begins []int
	// guarded says that a candidate has a condition; without one the first
	// candidate of each atomic state is selected.
	guarded bool
	// first is what is selected without conditions.
	first []*transition
	// cost is the work of finding all this out, and of going through it.
	cost  int
	moves atomic.Pointer[[]*move]
}

// stage is a state on the way from an atomic state outwards.
type stage struct {
	// transitions are those of the state that match, up to the first without a
	// condition.
	transitions []*transition
	// next is the index of the stage around it, -1 when nothing further out can be
	// selected.
	next int
}

// plan gives the plan for events of a class, or for eventless transitions.
func (k *configuration) plan(m *memory, class int, eventless bool) *plan {
	cell := &k.eventless
	if !eventless {
		if k.plans == nil {
			return k.makePlan(m, class, false)
		}
		cell = &k.plans[class]
	}
	p := cell.Load()
	if p == nil {
		p = k.makePlan(m, class, eventless)
		cell.Store(p)
	}
	return p
}

func (k *configuration) makePlan(m *memory, class int, eventless bool) *plan {
	p := &plan{}
	known := map[*state]int{}
	// from gives the first stage at s or around it, -1 for none.
	var from func(s *state) int
	from = func(s *state) int {
		if s == nil {
			return -1
		}
		if at, ok := known[s]; ok {
			return at
		}
		var here stage
		ends := false
		p.cost += costState
		for _, t := range s.transitions {
			p.cost += costGuard + len(t.events)
			if eventless && len(t.events) == 0 || !eventless && nameMatch(t.events, m.names[class]) {
				here.transitions = append(here.transitions, t)
				if ends = t.cond == nil; ends {
					break // nothing after it can be reached
				}
				p.guarded = true
			}
		}
		at := -1
		if !ends {
			at = from(s.parent)
		}
		if len(here.transitions) > 0 {
			here.next, at = at, len(p.stages)
			p.stages = append(p.stages, here)
		}
		known[s] = at
		return at
	}
	for _, atomic := range k.atomic {
		p.cost += costVisit
		if at := from(atomic); at >= 0 {
			p.begins = append(p.begins, at)
		}
	}
	if !p.guarded {
		taken := make([]bool, len(p.stages))
		for _, at := range p.begins {
			if !taken[at] {
				taken[at] = true
				p.first = append(p.first, p.stages[at].transitions[0])
			}
		}
	}
	return p
}

// move is an optimal enabled transition set (SCXML 3.13) with what follows from
// taking it in one configuration.
type move struct {
	// selected is the set before conflicts were removed; transitions after.
	selected, transitions []*transition
	// domains are those of transitions.
	domains []*state
	// exit is in exit order, enter in entry order.
	exit, enter []*state
	// entry says what else is run when a state is entered.
	entry entrySet
	// next is the configuration after it.
	next *configuration
	// The same for the trace.
	taken           []Taken
	exited, entered []string
	// exitWork and entryWork say that something is to be done but to note it.
	exitWork, entryWork bool
	// historic says that what is entered depends on history.
	historic bool
	// cost is the work of finding all this out.
	cost int
}

// find looks up the move for a set of selected transitions.
func (p *plan) find(selected []*transition) *move {
	if moves := p.moves.Load(); moves != nil {
		for _, m := range *moves {
			if slices.Equal(m.selected, selected) {
				return m
			}
		}
	}
	return nil
}

func (p *plan) keep(m *move) {
	for {
		old := p.moves.Load()
		var moves []*move
		if old != nil {
			moves = *old
		}
		if len(moves) >= maxMoves {
			return
		}
		moves = append(slices.Clone(moves), m)
		if p.moves.CompareAndSwap(old, &moves) {
			return
		}
	}
}

// move works out what follows from selected in the present configuration.
// consulted says that history had a say, so that it cannot be remembered; what
// is entered is then found out when all has been left.
func (ip *Interpreter) move(selected []*transition) (m *move, consulted bool) {
	w := ip.work
	w.consulted = false
	before := w.meter.Spent
	m = &move{selected: slices.Clone(selected)}
	m.transitions = ip.removeConflictingTransitions(m.selected)
	for _, t := range m.transitions {
		m.taken = append(m.taken, t.taken)
		m.domains = append(m.domains, ip.getTransitionDomain(t))
	}
	m.exit = ip.computeExitSet(m.domains)
	ip.count(len(m.exit) * costState)
	slices.SortFunc(m.exit, exitOrder)
	for _, s := range m.exit {
		m.exited = append(m.exited, s.id)
		m.exitWork = m.exitWork || len(s.onexit)+len(s.history)+len(s.invokes) > 0
	}
	// The trace hands these out: an append must never reach what is shared.
	m.taken, m.exited = slices.Clip(m.taken), slices.Clip(m.exited)
	ip.moveIn(m)
	m.historic = w.consulted
	m.cost = w.meter.Spent - before
	return m, w.consulted
}

// moveIn is the half of move about what is entered.
func (ip *Interpreter) moveIn(m *move) {
	m.entry, m.entered, m.entryWork = newEntrySet(ip.chart), nil, false
	ip.computeEntrySet(m.transitions, m.domains, &m.entry)
	m.enter = m.entry.statesToEnter
	m.entry.added, m.entry.reached, m.entry.descended = nil, nil, nil // not asked again
	slices.SortFunc(m.enter, entryOrder)
	set := slices.Clone(ip.configuration.set)
	for _, s := range m.exit {
		set.remove(s.order)
	}
	late := ip.chart.doc.Binding == "late"
	for _, s := range m.enter {
		set.add(s.order)
		m.entered = append(m.entered, s.id)
		m.entryWork = m.entryWork || len(s.onentry)+len(s.invokes) > 0 || s.kind == KindFinal || late && len(s.data) > 0 ||
			s.initial != nil && len(s.initial.content) > 0
	}
	m.entered = slices.Clip(m.entered)
	m.entryWork = m.entryWork || len(m.entry.defaultHistoryContent) > 0
	m.next = ip.chart.memory.configuration(ip.chart, set)
	ip.count(len(m.enter)*costState + len(m.next.states)*4*costVisit + len(set))
}

// entryOrder and exitOrder: ancestors before descendants and document order,
// and the reverse. Document order already puts ancestors first.
func entryOrder(a, b *state) int { return cmp.Compare(a.order, b.order) }
func exitOrder(a, b *state) int  { return cmp.Compare(b.order, a.order) }
