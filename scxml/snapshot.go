// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// snapshotVersion is the first member of every session snapshot. A kernel reads
// the versions it knows and refuses others.
const snapshotVersion = 1

// The session snapshot is one JSON object with its members in this order; those
// that have the zero value are left out. Data are written as
// datamodel.AppendCanonical does.
type snapshot struct {
	Version       int                 `json:"v"`
	Session       string              `json:"session"`
	Name          string              `json:"name,omitempty"`
	InvokeID      string              `json:"invokeid,omitempty"`
	Processors    map[string]string   `json:"ioprocessors,omitempty"`
	Configuration []string            `json:"configuration,omitempty"`
	History       map[string][]string `json:"history,omitempty"`
	Entered       []string            `json:"entered,omitempty"`
	Data          map[string]any      `json:"data,omitempty"`
	Pending       []savedDelayed      `json:"pending,omitempty"`
	Invocations   []savedInvocation   `json:"invocations,omitempty"`
	Sends         uint64              `json:"sends,omitempty"`
	Delays        uint64              `json:"delays,omitempty"`
	Invokes       uint64              `json:"invokes,omitempty"`
	// Now is the time of the last step, in nanoseconds since 1970, UTC; 0 for
	// the zero time.
	Now  int64 `json:"now,omitempty"`
	Done *Done `json:"done,omitempty"`
}

type savedDelayed struct {
	Seq   uint64          `json:"seq"`
	Due   int64           `json:"due"`
	Delay time.Duration   `json:"delay"`
	Send  json.RawMessage `json:"send"`
}

type savedInvocation struct {
	ID string `json:"id"`
	// State and Index find the <invoke> in the chart.
	State string `json:"state"`
	Index int    `json:"index,omitempty"`
}

// AppendSnapshot appends the session snapshot to dst: configuration, history,
// datamodel, delayed sends, invocations and counters, in canonical form. Equal
// sessions give equal bytes. The error is for broken invariants only.
func (ip *Interpreter) AppendSnapshot(dst []byte) ([]byte, error) {
	s := snapshot{
		Version:       snapshotVersion,
		Session:       ip.sys.SessionID,
		InvokeID:      ip.invokeID,
		Processors:    ip.processors,
		Configuration: ip.Configuration(),
		Sends:         ip.sends,
		Delays:        ip.delays,
		Invokes:       ip.invokes,
		Done:          ip.done,
	}
	if ip.sys.Name != ip.chart.doc.Name {
		s.Name = ip.sys.Name
	}
	if !ip.now.IsZero() {
		s.Now = ip.now.UnixNano()
	}
	for h, states := range ip.historyValue {
		if s.History == nil {
			s.History = map[string][]string{}
		}
		ids := make([]string, len(states))
		for i, t := range states {
			ids[i] = t.id
		}
		s.History[h.id] = ids
	}
	for i, entered := range ip.entered {
		if entered {
			s.Entered = append(s.Entered, ip.chart.states[i].id)
		}
	}
	for _, v := range ip.invocations {
		s.Invocations = append(s.Invocations, savedInvocation{v.id, v.decl.state.id, v.decl.index})
	}
	return s.append(dst, ip)
}

func (s *snapshot) append(dst []byte, ip *Interpreter) ([]byte, error) {
	var err error
	member := func(name string, v any, present bool) {
		if !present || err != nil {
			return
		}
		dst = append(dst, `,"`+name+`":`...)
		var b []byte
		if b, err = json.Marshal(v); err == nil {
			dst = append(dst, b...)
		}
	}
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, int64(s.Version), 10)
	member("session", s.Session, true)
	member("name", s.Name, s.Name != "")
	member("invokeid", s.InvokeID, s.InvokeID != "")
	member("ioprocessors", s.Processors, len(s.Processors) > 0)
	member("configuration", s.Configuration, len(s.Configuration) > 0)
	member("history", s.History, len(s.History) > 0)
	member("entered", s.Entered, len(s.Entered) > 0)
	if data := ip.data.Data(); len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = datamodel.AppendCanonical(dst, data)
	}
	if len(ip.pending) > 0 {
		dst = append(dst, `,"pending":[`...)
		for i, d := range ip.pending {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDelayed(dst, d)
		}
		dst = append(dst, ']')
	}
	member("invocations", s.Invocations, len(s.Invocations) > 0)
	member("sends", s.Sends, s.Sends > 0)
	member("delays", s.Delays, s.Delays > 0)
	member("invokes", s.Invokes, s.Invokes > 0)
	member("now", s.Now, s.Now != 0)
	if s.Done != nil {
		dst = append(dst, `,"done":`...)
		dst = datamodel.AppendCanonical(dst, map[string]any{"state": s.Done.State, "fault": s.Done.Fault, "data": s.Done.Data})
	}
	if err != nil {
		return dst, fmt.Errorf("snapshot session %s: %w", s.Session, err)
	}
	return append(dst, '}'), nil
}

func appendDelayed(dst []byte, d Delayed) []byte {
	params := make([]any, len(d.Send.Params))
	for i, p := range d.Send.Params {
		params[i] = []any{p.Name, p.Value}
	}
	ev := d.Send.Event
	return datamodel.AppendCanonical(dst, map[string]any{
		"seq": strconv.FormatUint(d.Seq, 10), "due": strconv.FormatInt(d.Due.UnixNano(), 10),
		"delay": strconv.FormatInt(int64(d.Delay), 10),
		"id":    d.Send.SendID, "target": d.Send.Target, "type": d.Send.Type, "content": d.Send.Content,
		"params": params,
		"event": map[string]any{
			"name": ev.Name, "type": string(ev.Type), "sendid": ev.SendID, "origin": ev.Origin,
			"origintype": ev.OriginType, "invokeid": ev.InvokeID, "data": ev.Data,
		},
	})
}

// Restore makes the session that [Interpreter.AppendSnapshot] wrote. No content
// runs and no effect comes out. Delayed sends keep their deadline: those that
// are late are due at once. The error wraps [ErrBadSnapshot], or
// [ErrUnknownState] when the snapshot is of a chart with other states.
func Restore(c *Chart, snapshotBytes []byte) (*Interpreter, error) {
	bad := func(err error) (*Interpreter, error) {
		return nil, fmt.Errorf("restore session of %s: %w: %w", c.Name(), ErrBadSnapshot, err)
	}
	var s struct {
		snapshot
		Data    json.RawMessage   `json:"data"`
		Pending []json.RawMessage `json:"pending"`
		Done    json.RawMessage   `json:"done"`
	}
	if err := json.Unmarshal(snapshotBytes, &s); err != nil {
		return bad(err)
	}
	if s.Version != snapshotVersion {
		return bad(fmt.Errorf("version %d is not known", s.Version))
	}
	ip := newInterpreter(c, Input{SessionID: s.Session, Name: s.Name, InvokeID: s.InvokeID, IOProcessors: s.Processors})
	ip.sends, ip.delays, ip.invokes = s.Sends, s.Delays, s.Invokes
	if s.Now != 0 {
		ip.now = time.Unix(0, s.Now).UTC()
	}
	if err := ip.restoreStates(&s.snapshot); err != nil {
		return nil, fmt.Errorf("restore session of %s: %w", c.Name(), err)
	}
	if data, err := canonicalObject(s.Data); err != nil {
		return bad(err)
	} else {
		if data == nil {
			data = map[string]any{}
		}
		ip.data.Restore(data)
	}
	for _, raw := range s.Pending {
		d, err := restoreDelayed(raw)
		if err != nil {
			return bad(err)
		}
		ip.pending = append(ip.pending, d)
	}
	if !slices.IsSortedFunc(ip.pending, compareDelayed) {
		return bad(fmt.Errorf("delayed sends are not in order"))
	}
	if len(s.Done) > 0 {
		d, err := canonicalObject(s.Done)
		if err != nil {
			return bad(err)
		}
		ip.done = &Done{State: str(d, "state"), Fault: str(d, "fault"), Data: d["data"]}
	}
	if err := ip.checkLegal(); err != nil {
		return bad(err)
	}
	return ip, nil
}

func (ip *Interpreter) restoreStates(s *snapshot) error {
	find := func(id string) (*state, error) {
		if t := ip.chart.byID[id]; t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("%w %q", ErrUnknownState, id)
	}
	for _, id := range s.Configuration {
		t, err := find(id)
		if err != nil {
			return err
		}
		if t.kind.IsHistory() {
			return fmt.Errorf("%w: history %q cannot be active", ErrBadSnapshot, id)
		}
		ip.activate(t)
	}
	for _, id := range slices.Sorted(maps.Keys(s.History)) {
		h, err := find(id)
		if err != nil {
			return err
		}
		if !h.kind.IsHistory() {
			return fmt.Errorf("%w: %q is no history", ErrBadSnapshot, id)
		}
		recorded := make([]*state, 0, len(s.History[id]))
		for _, id := range s.History[id] {
			t, err := find(id)
			if err != nil {
				return err
			}
			if !isDescendant(t, h.parent) {
				return fmt.Errorf("%w: history %q holds %q, which is not inside its parent", ErrBadSnapshot, h.id, id)
			}
			recorded = append(recorded, t)
		}
		ip.historyValue[h] = recorded
	}
	for _, id := range s.Entered {
		t, err := find(id)
		if err != nil {
			return err
		}
		ip.entered[t.order] = true
	}
	for _, v := range s.Invocations {
		t, err := find(v.State)
		if err != nil {
			return err
		}
		if v.Index < 0 || v.Index >= len(t.invokes) {
			return fmt.Errorf("%w: state %q has no invoke %d", ErrBadSnapshot, v.State, v.Index)
		}
		ip.invocations = append(ip.invocations, &invocation{v.ID, t.invokes[v.Index]})
	}
	return nil
}

// checkLegal tests that the configuration is one that SCXML 3.11 allows.
func (ip *Interpreter) checkLegal() error {
	if ip.done != nil {
		if len(ip.configuration) > 0 {
			return fmt.Errorf("a finished session has active states")
		}
		return nil
	}
	for _, s := range append([]*state{ip.chart.root}, ip.configuration...) {
		if s.parent != nil && s.parent != ip.chart.root && !ip.active[s.parent.order] {
			return fmt.Errorf("%q is active and its parent is not", s.id)
		}
		n := 0
		for _, c := range s.children {
			if ip.active[c.order] {
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

// canonicalObject reads a canonical object; none for empty input.
func canonicalObject(raw []byte) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	v, err := datamodel.FromCanonical(v)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T where an object should be", v)
	}
	return m, nil
}

func restoreDelayed(raw []byte) (Delayed, error) {
	m, err := canonicalObject(raw)
	if err != nil {
		return Delayed{}, err
	}
	ev, _ := m["event"].(map[string]any)
	d := Delayed{Send: Send{
		SendID: str(m, "id"), Target: str(m, "target"), Type: str(m, "type"), Content: m["content"] == true,
		Event: Event{
			Name: str(ev, "name"), Type: EventType(str(ev, "type")), SendID: str(ev, "sendid"), Origin: str(ev, "origin"),
			OriginType: str(ev, "origintype"), InvokeID: str(ev, "invokeid"), Data: ev["data"],
		},
	}}
	if d.Seq, err = strconv.ParseUint(str(m, "seq"), 10, 64); err != nil {
		return d, err
	}
	due, err := strconv.ParseInt(str(m, "due"), 10, 64)
	if err != nil {
		return d, err
	}
	d.Due = time.Unix(0, due).UTC()
	delay, err := strconv.ParseInt(str(m, "delay"), 10, 64)
	if err != nil {
		return d, err
	}
	d.Delay = time.Duration(delay)
	params, _ := m["params"].([]any)
	for _, p := range params {
		if p, ok := p.([]any); ok && len(p) == 2 {
			name, _ := p[0].(string)
			d.Send.Params = append(d.Send.Params, Param{name, p[1]})
		}
	}
	return d, nil
}

func str(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}
