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

// jsonVersion is the first member of every readable session snapshot.
const jsonVersion = 1

// The readable session snapshot is one JSON object with its members in this order; those
// that have the zero value are left out. Data are written as
// datamodel.AppendCanonical does.
type snapshot struct {
	Version int    `json:"v"`
	Session string `json:"session"`
	// Name is what differs from the name of the document.
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
	Seq    uint64          `json:"seq"`
	Due    int64           `json:"due"`
	Delay  time.Duration   `json:"delay"`
	Resume Resumption      `json:"resume,omitempty"`
	Send   json.RawMessage `json:"send"`
}

type savedInvocation struct {
	ID string `json:"id"`
	// State and Index find the <invoke> in the chart.
	State string `json:"state"`
	Index int    `json:"index,omitempty"`
}

// AppendJSON appends the session snapshot in a form that people and other
// programs can read: one JSON object. It says the same as [Interpreter.AppendSnapshot],
// at several times the length, and [Restore] reads both.
func (ip *Interpreter) AppendJSON(dst []byte) ([]byte, error) {
	r := ip.rare
	if r == nil {
		r = &rare{}
	}
	s := snapshot{
		Version:       jsonVersion,
		Session:       ip.sessionID,
		Name:          r.name,
		InvokeID:      r.invokeID,
		Processors:    r.processors,
		Configuration: ip.configuration.ids,
		Sends:         r.sends,
		Delays:        r.delays,
		Invokes:       r.invokes,
		Done:          ip.done,
	}
	if !ip.now.IsZero() {
		s.Now = ip.now.UnixNano()
	}
	for h, states := range r.history {
		if s.History == nil {
			s.History = map[string][]string{}
		}
		s.History[h.id] = idsOf(states)
	}
	if r.entered != nil {
		for _, t := range ip.chart.states {
			if r.entered.has(t.order) {
				s.Entered = append(s.Entered, t.id)
			}
		}
	}
	for _, v := range r.invocations {
		s.Invocations = append(s.Invocations, savedInvocation{v.id, v.decl.state.id, v.decl.index})
	}
	return s.append(dst, ip)
}

func idsOf(states []*state) []string {
	ids := make([]string, len(states))
	for i, t := range states {
		ids[i] = t.id
	}
	return ids
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
	if pending := ip.pending(); len(pending) > 0 {
		dst = append(dst, `,"pending":[`...)
		for i, d := range pending {
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
	saved := map[string]any{
		"seq": strconv.FormatUint(d.Seq, 10), "due": strconv.FormatInt(d.Due.UnixNano(), 10),
		"delay": strconv.FormatInt(int64(d.Delay), 10),
		"id":    d.Send.SendID, "target": d.Send.Target, "type": d.Send.Type, "content": d.Send.Content,
		"params": params,
		"event": map[string]any{
			"name": ev.Name, "type": string(ev.Type), "sendid": ev.SendID, "origin": ev.Origin,
			"origintype": ev.OriginType, "invokeid": ev.InvokeID, "data": ev.Data,
		},
	}
	if d.Resume != "" {
		saved["resume"] = string(d.Resume)
	}
	return datamodel.AppendCanonical(dst, saved)
}

// restoreJSON reads what AppendJSON wrote.
func restoreJSON(c *Chart, b []byte) (*Interpreter, error) {
	bad := func(err error) (*Interpreter, error) { return nil, fmt.Errorf("%w: %w", ErrBadSnapshot, err) }
	var s struct {
		snapshot
		Data    json.RawMessage   `json:"data"`
		Pending []json.RawMessage `json:"pending"`
		Done    json.RawMessage   `json:"done"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return bad(err)
	}
	if s.Version != jsonVersion {
		return bad(fmt.Errorf("version %d is not known", s.Version))
	}
	ip := newInterpreter(c, Input{SessionID: s.Session, Name: s.Name, InvokeID: s.InvokeID, IOProcessors: s.Processors})
	if s.Sends|s.Delays|s.Invokes != 0 {
		r := ip.seldom()
		r.sends, r.delays, r.invokes = s.Sends, s.Delays, s.Invokes
	}
	if s.Now != 0 {
		ip.now = time.Unix(0, s.Now).UTC()
	}
	if err := ip.restoreStates(&s.snapshot); err != nil {
		return nil, err
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
		ip.seldom().pending = append(ip.seldom().pending, d)
	}
	if len(s.Done) > 0 {
		d, err := canonicalObject(s.Done)
		if err != nil {
			return bad(err)
		}
		ip.done = &Done{State: str(d, "state"), Fault: str(d, "fault"), Data: d["data"]}
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
	set := newBitset(len(ip.chart.states))
	for _, id := range s.Configuration {
		t, err := find(id)
		if err != nil {
			return err
		}
		set.add(t.order)
	}
	if err := ip.setConfiguration(set); err != nil {
		return err
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
			recorded = append(recorded, t)
		}
		ip.setHistory(h, recorded)
	}
	for _, id := range s.Entered {
		t, err := find(id)
		if err != nil {
			return err
		}
		ip.firstEntry(t)
	}
	for _, v := range s.Invocations {
		t, err := find(v.State)
		if err != nil {
			return err
		}
		if err := ip.addInvocation(v.ID, t, v.Index); err != nil {
			return err
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
	if d.Send.Content && d.Send.Event.Data == nil {
		d.Send.Event.Data = datamodel.NullValue{}
	}
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
	if d.Resume, err = Resumption(str(m, "resume")).check(); err != nil {
		return d, err
	}
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
