// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// snapshotVersion is the first byte of every packed session snapshot; a readable
// one begins with "{". A kernel reads the versions it knows and refuses others.
const snapshotVersion = 2

// The second byte says what is there, in this order, after the session's id.
// Numbers are varints, texts have their length before them, states are named by
// id: a chart that was edited elsewhere still restores. Only innermost active
// states are named; the others follow from them.
const (
	hasNow = 1 << iota
	hasDone
	hasData
	hasCounters
	hasPending
	hasInvocations
	hasPlace // name, invokeid, ioprocessors
	hasPast  // history, states entered
)

// AppendSnapshot appends the session snapshot to dst: configuration, history,
// datamodel, delayed sends, invocations and counters, packed, in canonical form.
// Equal sessions give equal bytes. The error is for broken invariants only.
func (ip *Interpreter) AppendSnapshot(dst []byte) ([]byte, error) {
	r := ip.rare
	if r == nil {
		r = &none
	}
	dst = append(dst, snapshotVersion, 0)
	flags := len(dst) - 1
	flag := func(bit byte, present bool) bool {
		if present {
			dst[flags] |= bit
		}
		return present
	}
	dst = appendText(dst, ip.sessionID)
	dst = binary.AppendUvarint(dst, uint64(len(ip.configuration.leaves)))
	for _, s := range ip.configuration.leaves {
		dst = appendText(dst, s.id)
	}
	if flag(hasNow, !ip.now.IsZero()) {
		dst = binary.AppendVarint(dst, ip.now.UnixNano())
	}
	if flag(hasDone, ip.done != nil) {
		dst = appendText(dst, ip.done.State)
		dst = appendText(dst, ip.done.Fault)
		dst = appendValue(dst, ip.done.Data)
	}
	if data := ip.data.Data(); flag(hasData, len(data) > 0) {
		dst = appendValue(dst, data)
	}
	if flag(hasCounters, r.sends|r.delays|r.invokes != 0) {
		dst = binary.AppendUvarint(dst, r.sends)
		dst = binary.AppendUvarint(dst, r.delays)
		dst = binary.AppendUvarint(dst, r.invokes)
	}
	if flag(hasPending, len(r.pending) > 0) {
		dst = binary.AppendUvarint(dst, uint64(len(r.pending)))
		for _, d := range r.pending {
			at := len(dst)
			dst = appendDelayed(dst, d)
			dst = lengthBefore(dst, at)
		}
	}
	if flag(hasInvocations, len(r.invocations) > 0) {
		dst = binary.AppendUvarint(dst, uint64(len(r.invocations)))
		for _, v := range r.invocations {
			dst = appendText(dst, v.id)
			dst = appendText(dst, v.decl.state.id)
			dst = binary.AppendUvarint(dst, uint64(v.decl.index))
		}
	}
	if flag(hasPlace, r.name != "" || r.invokeID != "" || len(r.processors) > 0) {
		dst = appendText(dst, r.name)
		dst = appendText(dst, r.invokeID)
		dst = binary.AppendUvarint(dst, uint64(len(r.processors)))
		for _, name := range slices.Sorted(maps.Keys(r.processors)) {
			dst = appendText(dst, name)
			dst = appendText(dst, r.processors[name])
		}
	}
	if flag(hasPast, len(r.history) > 0 || r.entered != nil) {
		dst = binary.AppendUvarint(dst, uint64(len(r.history)))
		for _, h := range slices.SortedFunc(maps.Keys(r.history), entryOrder) {
			dst = appendText(dst, h.id)
			dst = appendStates(dst, r.history[h])
		}
		var entered []*state
		for _, s := range ip.chart.states {
			if r.entered != nil && r.entered.has(s.order) {
				entered = append(entered, s)
			}
		}
		dst = appendStates(dst, entered)
	}
	return dst, nil
}

// none is the rare part of a session that has none.
var none rare

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStates(dst []byte, states []*state) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(states)))
	for _, s := range states {
		dst = appendText(dst, s.id)
	}
	return dst
}

func appendValue(dst []byte, v any) []byte {
	at := len(dst)
	return lengthBefore(datamodel.AppendCanonical(dst, v), at)
}

// lengthBefore puts the length of dst[at:] before it.
func lengthBefore(dst []byte, at int) []byte {
	var b [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(b[:], uint64(len(dst)-at))
	return slices.Insert(dst, at, b[:n]...)
}

// Restore makes the session that [Interpreter.AppendSnapshot] or
// [Interpreter.AppendJSON] wrote. No content runs and no effect comes out.
// Delayed sends keep their deadline: those that are late are due at once, unless
// [Interpreter.Resume] is called and moves those that ask for it. The error wraps [ErrBadSnapshot], or [ErrUnknownState] when the snapshot is of a
// chart with other states.
func Restore(c *Chart, snapshot []byte) (*Interpreter, error) {
	if c == nil {
		return nil, errors.New("restore session: no chart")
	}
	var ip *Interpreter
	var err error
	if len(snapshot) > 0 && snapshot[0] == '{' {
		ip, err = restoreJSON(c, snapshot)
	} else {
		ip, err = restorePacked(c, snapshot)
	}
	if err == nil {
		err = ip.check()
	}
	if err != nil {
		return nil, fmt.Errorf("restore session of %s: %w", c.Name(), err)
	}
	return ip, nil
}

func restorePacked(c *Chart, b []byte) (*Interpreter, error) {
	r := reader{chart: c, rest: b}
	if version := r.byte(); version != snapshotVersion && r.err == nil {
		return nil, fmt.Errorf("%w: version %d is not known", ErrBadSnapshot, version)
	}
	flags := r.byte()
	ip := newInterpreter(c, Input{SessionID: r.text()})
	set := newBitset(len(c.states))
	for range r.count() {
		s := r.state()
		if s != nil && len(s.children) > 0 && r.err == nil {
			r.err = fmt.Errorf("%w: %q has states inside", ErrBadSnapshot, s.id)
		}
		for ; s != nil && s != c.root; s = s.parent {
			set.add(s.order)
		}
	}
	if r.err == nil {
		r.err = ip.setConfiguration(set)
	}
	if flags&hasNow != 0 {
		ip.now = time.Unix(0, r.varint()).UTC()
	}
	if flags&hasDone != 0 {
		ip.done = &Done{State: r.text(), Fault: r.text(), Data: r.value()}
	}
	if flags&hasData != 0 {
		data, ok := r.value().(map[string]any)
		if !ok && r.err == nil {
			r.err = fmt.Errorf("%w: the data are no object", ErrBadSnapshot)
		}
		ip.data.Restore(data)
	} else {
		ip.data.Restore(nil)
	}
	if flags&(hasCounters|hasPending|hasInvocations|hasPlace|hasPast) != 0 {
		r.rare(ip, flags)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w: %d bytes too many", ErrBadSnapshot, len(r.rest))
	}
	return ip, r.err
}

func (r *reader) rare(ip *Interpreter, flags byte) {
	x := ip.seldom()
	if flags&hasCounters != 0 {
		x.sends, x.delays, x.invokes = r.uvarint(), r.uvarint(), r.uvarint()
	}
	if flags&hasPending != 0 {
		for range r.count() {
			d, err := restoreDelayed([]byte(r.text()))
			if err != nil && r.err == nil {
				r.err = fmt.Errorf("%w: delayed send: %w", ErrBadSnapshot, err)
			}
			x.pending = append(x.pending, d)
		}
	}
	if flags&hasInvocations != 0 {
		for range r.count() {
			id, s, index := r.text(), r.state(), r.uvarint()
			if r.err == nil {
				r.err = ip.addInvocation(id, s, int(min(index, 1<<30)))
			}
		}
	}
	if flags&hasPlace != 0 {
		x.name, x.invokeID = r.text(), r.text()
		for range r.count() {
			if x.processors == nil {
				x.processors = map[string]string{}
			}
			name := r.text()
			x.processors[name] = r.text()
		}
	}
	if flags&hasPast != 0 {
		for range r.count() {
			h := r.state()
			states := []*state{}
			for range r.count() {
				states = append(states, r.state())
			}
			if r.err == nil {
				ip.setHistory(h, states)
			}
		}
		for range r.count() {
			if s := r.state(); r.err == nil {
				ip.firstEntry(s)
			}
		}
	}
}

// reader reads a packed snapshot. After an error it gives zero values.
type reader struct {
	chart *Chart
	rest  []byte
	err   error
}

var errCut = fmt.Errorf("%w: it is cut off", ErrBadSnapshot)

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errCut)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many things follow; each takes a byte at least.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail(errCut)
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) state() *state {
	id := r.bytes()
	if r.err != nil {
		return nil
	}
	s := r.chart.byID[string(id)]
	if s == nil {
		r.fail(fmt.Errorf("%w %q", ErrUnknownState, id))
	}
	return s
}

func (r *reader) value() any {
	b := r.bytes()
	if r.err != nil {
		return nil
	}
	var v any
	err := json.Unmarshal(b, &v)
	if err == nil {
		v, err = datamodel.FromCanonical(v)
	}
	if err != nil {
		r.fail(fmt.Errorf("%w: %w", ErrBadSnapshot, err))
	}
	return v
}

// setConfiguration takes over a set of active states that a snapshot gave.
func (ip *Interpreter) setConfiguration(set bitset) error {
	k := ip.chart.memory.find(set)
	if k == nil {
		for i, s := range ip.chart.states {
			if set.has(i) && (i == 0 || s.kind.IsHistory()) {
				return fmt.Errorf("%w: %s %q cannot be active", ErrBadSnapshot, s.kind, s.id)
			}
		}
		if err := ip.checkLegal(set); err != nil {
			return fmt.Errorf("%w: %w", ErrBadSnapshot, err)
		}
		k = ip.chart.memory.configuration(ip.chart, set)
	}
	ip.configuration = k
	return nil
}

func (ip *Interpreter) addInvocation(id string, s *state, index int) error {
	if index < 0 || index >= len(s.invokes) {
		return fmt.Errorf("%w: state %q has no invoke %d", ErrBadSnapshot, s.id, index)
	}
	ip.seldom().invocations = append(ip.seldom().invocations, &invocation{id, s.invokes[index]})
	return nil
}

// check tests what the parts of a snapshot say together.
func (ip *Interpreter) check() error {
	if err := ip.checkParts(); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSnapshot, err)
	}
	return nil
}

func (ip *Interpreter) checkParts() error {
	if (ip.done != nil) != (len(ip.configuration.states) == 0) {
		return errors.New("a session has active states until it has finished")
	}
	if ip.rare == nil {
		return nil
	}
	if !slices.IsSortedFunc(ip.rare.pending, compareDelayed) {
		return errors.New("delayed sends are not in order")
	}
	numbers := map[uint64]bool{}
	for _, d := range ip.rare.pending {
		if d.Seq == 0 || d.Seq > ip.rare.delays || numbers[d.Seq] {
			return fmt.Errorf("delayed send %d is not one of the %d that were made, or is there twice", d.Seq, ip.rare.delays)
		}
		numbers[d.Seq] = true
	}
	running := map[*invoke]bool{}
	for _, v := range ip.rare.invocations {
		if !ip.configuration.set.has(v.decl.state.order) || running[v.decl] {
			return fmt.Errorf("invocation %q is there twice, or its state %q is not active", v.id, v.decl.state.id)
		}
		running[v.decl] = true
	}
	for h, states := range ip.rare.history {
		if !h.kind.IsHistory() {
			return fmt.Errorf("%q is no history", h.id)
		}
		for _, s := range states {
			if !isDescendant(s, h.parent) || s.kind.IsHistory() {
				return fmt.Errorf("history %q holds %q, which is not inside its parent", h.id, s.id)
			}
		}
	}
	return nil
}

// checkLegal tests that a set of states is one that SCXML 3.11 allows; the
// empty one is that of a finished session.
func (ip *Interpreter) checkLegal(set bitset) error {
	if !slices.ContainsFunc(set, func(w uint64) bool { return w != 0 }) {
		return nil
	}
	for _, s := range ip.chart.states {
		if s != ip.chart.root && !set.has(s.order) {
			continue
		}
		if s.parent != nil && s.parent != ip.chart.root && !set.has(s.parent.order) {
			return fmt.Errorf("%q is active and its parent is not", s.id)
		}
		n := 0
		for _, c := range s.children {
			if set.has(c.order) {
				n++
			}
		}
		switch {
		case s.isCompound() && n != 1:
			return fmt.Errorf("%q has %d active children", s.id, n)
		case s.kind == KindParallel && n != len(s.children):
			return fmt.Errorf("%q has %d of %d regions active", s.id, n, len(s.children))
		}
	}
	return nil
}
