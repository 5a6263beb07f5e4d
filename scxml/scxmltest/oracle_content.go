// SPDX-License-Identifier: Apache-2.0

package scxmltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/datamodel"
)

// oracleSystem is what expressions may know of an oracle.
type oracleSystem struct{ o *Oracle }

func (s oracleSystem) In(id string) bool {
	return slices.ContainsFunc(s.o.configuration, func(c *scxml.State) bool { return c.ID == id })
}
func (s oracleSystem) Now() time.Time    { return s.o.now }
func (s oracleSystem) Seed() uint64      { return s.o.seed }
func (s oracleSystem) SessionID() string { return s.o.id }
func (s oracleSystem) Name() string      { return s.o.doc.Name }
func (s oracleSystem) IOProcessors() map[string]string {
	return map[string]string{scxml.SCXMLProcessor: "#_scxml_" + s.o.id, "scxml": "#_scxml_" + s.o.id}
}
func (s oracleSystem) CallDepth() int {
	return or(s.o.limits.ScriptDepth, scxml.DefaultLimits().ScriptDepth)
}
func (s oracleSystem) DataBytes() int {
	return or(s.o.limits.DataBytes, scxml.DefaultLimits().DataBytes)
}

// Meter has no limit: the oracle is slow, and its work another.
func (s oracleSystem) Meter() *datamodel.Meter { return &datamodel.Meter{Limit: math.MaxInt} }

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// oracleFault is an error of the chart.
type oracleFault struct {
	event, element, sendID string
	at                     scxml.Position
	err                    error
}

func (f *oracleFault) Error() string { return f.err.Error() }

func execution(element string, at scxml.Position, err error) *oracleFault {
	return &oracleFault{event: "error.execution", element: element, at: at, err: err}
}

// failed makes a fault of err, unless it is one.
func failed(e *scxml.Element, err error) error {
	if f, ok := errors.AsType[*oracleFault](err); ok {
		return f
	}
	return execution(e.Name, e.Position, err)
}

func (o *Oracle) raiseFault(err error) {
	f, _ := errors.AsType[*oracleFault](err)
	r := o.current()
	r.Faults = append(r.Faults, scxml.Fault{Event: f.event, Element: f.element, Line: f.at.Line, Message: f.Error()})
	o.internalQueue = append(o.internalQueue, scxml.Event{Name: f.event, Type: scxml.Platform, SendID: f.sendID, Data: map[string]any{
		"tagname": f.element, "line": float64(f.at.Line), "column": float64(f.at.Column), "reason": f.Error(),
	}})
}

func (o *Oracle) record(ev *scxml.Event) {
	if ev != nil {
		traced := plainEvent(*ev)
		ev = &traced
	}
	o.step.Microsteps = append(o.step.Microsteps, scxml.Microstep{Event: ev})
	if most := or(o.limits.Microsteps, scxml.DefaultLimits().Microsteps); o.microsteps >= most {
		o.fault = fmt.Sprintf("more than %d microsteps in one step", most)
	}
	o.microsteps++
}

func (o *Oracle) current() *scxml.Microstep {
	if len(o.step.Microsteps) == 0 {
		o.step.Microsteps = append(o.step.Microsteps, scxml.Microstep{})
	}
	return &o.step.Microsteps[len(o.step.Microsteps)-1]
}

func (o *Oracle) emit(e scxml.Effect) { o.step.Effects = append(o.step.Effects, e) }

func (o *Oracle) raise(ev scxml.Event) {
	r := o.current()
	r.Raised = append(r.Raised, ev.Name)
	o.internalQueue = append(o.internalQueue, ev)
}

// compile keeps expressions, which are dear to compile.
func (o *Oracle) compile(kind, src string) *datamodel.Expr {
	key := kind + src
	if o.exprs[key] == nil {
		switch kind {
		case "cond":
			o.exprs[key] = o.lang.Cond(src)
		case "location":
			o.exprs[key] = o.lang.Location(src)
		case "script":
			o.exprs[key] = o.lang.Script(src)
		default:
			o.exprs[key] = o.lang.Expr(src)
		}
	}
	return o.exprs[key]
}

func (o *Oracle) condition(src, element string, at scxml.Position) bool {
	ok, err := o.data.Bool(o.compile("cond", src))
	if err != nil {
		o.raiseFault(execution(element, at, err))
	}
	return ok && err == nil
}

// initialize gives the <data> of s their values.
func (o *Oracle) initialize(s *scxml.State) {
	for _, e := range s.Data {
		loc := o.compile("location", attr(e, "id"))
		var err error
		if has(e, "expr") {
			err = o.data.Assign(loc, o.compile("expr", attr(e, "expr")))
		} else if text := strings.TrimSpace(textOf(e)); text != "" {
			err = o.data.Put(loc, datamodel.ParseContent(text))
		}
		if err != nil {
			o.raiseFault(execution("data", e.Position, err))
		}
	}
}

// executeContent runs the children of e; the first error ends them.
func (o *Oracle) executeContent(e *scxml.Element, s *scxml.State) {
	if e == nil {
		return
	}
	if err := o.block(elements(e), s); err != nil {
		o.raiseFault(err)
	}
}

func (o *Oracle) block(list []*scxml.Element, s *scxml.State) error {
	for _, e := range list {
		if o.fault != "" {
			return nil
		}
		if err := o.execute(e, s); err != nil {
			return failed(e, err)
		}
	}
	return nil
}

func (o *Oracle) execute(e *scxml.Element, s *scxml.State) error {
	switch e.Name {
	case "raise":
		o.raise(scxml.Event{Name: attr(e, "event"), Type: scxml.Internal})
	case "assign":
		if err := o.data.Assign(o.compile("location", attr(e, "location")), o.compile("expr", attr(e, "expr"))); err != nil {
			return err
		}
		r := o.current()
		r.Assigned = append(r.Assigned, strings.TrimSpace(attr(e, "location")))
	case "script":
		return o.data.Run(o.compile("script", textOf(e)))
	case "log":
		l := scxml.Log{Label: attr(e, "label"), State: s.ID, Line: e.Line}
		if has(e, "expr") {
			v, err := o.data.Eval(o.compile("expr", attr(e, "expr")))
			if err != nil {
				return err
			}
			l.Value = datamodel.Plain(v)
		}
		r := o.current()
		r.Log = append(r.Log, l)
		o.emit(l)
	case "if":
		return o.conditional(e, s)
	case "foreach":
		return o.data.Each(o.compile("expr", attr(e, "array")), attr(e, "item"), attr(e, "index"), func() error {
			most := or(o.limits.Iterations, scxml.DefaultLimits().Iterations)
			if o.iterations++; o.iterations > most {
				return fmt.Errorf("more than %d iterations", most)
			}
			return o.block(elements(e), s)
		})
	case "send":
		return o.send(e)
	case "cancel":
		kept := []scxml.Delayed{}
		for _, d := range o.pending {
			if d.Send.SendID == attr(e, "sendid") {
				o.emit(scxml.Cancel{SendID: d.Send.SendID, Seq: d.Seq})
			} else {
				kept = append(kept, d)
			}
		}
		o.pending = kept
	}
	return nil
}

func (o *Oracle) conditional(e *scxml.Element, s *scxml.State) error {
	var body []*scxml.Element
	chosen := o.condition(attr(e, "cond"), "if", e.Position)
	for _, c := range elements(e) {
		switch {
		case c.Name == "else" && !chosen:
			chosen, body = true, nil
		case c.Name == "elseif" && !chosen:
			if o.condition(attr(c, "cond"), "if", c.Position) {
				chosen = true
			}
			body = nil
		case c.Name == "else" || c.Name == "elseif":
			return o.block(body, s)
		case chosen:
			body = append(body, c)
		}
	}
	return o.block(body, s)
}

// payload gives parameters and data of <send>, <donedata> and <invoke>.
func (o *Oracle) payload(e *scxml.Element, lenient bool) (params []scxml.Param, data any, err error) {
	eval := func(name, src string, at scxml.Position) error {
		v, err := o.data.Eval(o.compile("expr", src))
		if err == nil {
			params = append(params, scxml.Param{Name: name, Value: v})
			return nil
		}
		f := execution(e.Name, at, fmt.Errorf("%s: %w", name, err))
		if lenient {
			o.raiseFault(f)
			return nil
		}
		return f
	}
	for _, c := range elements(e) {
		if c.Name != "param" {
			continue
		}
		src := attr(c, "expr")
		if !has(c, "expr") {
			src = attr(c, "location")
		}
		if err := eval(attr(c, "name"), src, c.Position); err != nil {
			return nil, nil, err
		}
	}
	for name := range strings.FieldsSeq(attr(e, "namelist")) {
		if err := eval(name, name, e.Position); err != nil {
			return nil, nil, err
		}
	}
	if content := child(e, "content"); content != nil {
		if data, err = o.data.Eval(o.compile("expr", attr(content, "expr"))); err != nil {
			err = execution(e.Name, e.Position, err)
			if lenient {
				o.raiseFault(err)
				err = nil
			}
		} else if data == nil {
			data = datamodel.NullValue{}
		}
		return params, data, err
	}
	if len(params) > 0 {
		m := map[string]any{}
		for _, p := range params {
			m[p.Name] = p.Value
		}
		data = m
	}
	return params, data, nil
}

func (o *Oracle) send(e *scxml.Element) error {
	id := attr(e, "id")
	if id == "" {
		o.sends++
		id = fmt.Sprintf("send.%d", o.sends)
	}
	params, data, err := o.payload(e, false)
	if err != nil {
		f := *failed(e, err).(*oracleFault)
		f.sendID = id
		return &f
	}
	s := scxml.Send{
		SendID: id, Target: attr(e, "target"), Type: attr(e, "type"), Params: params, Content: child(e, "content") != nil,
		Event: scxml.Event{Name: attr(e, "event"), Type: scxml.External, Data: data, SendID: attr(e, "id")},
	}
	if s.Type == "" {
		s.Type = scxml.SCXMLProcessor
		s.Event.OriginType, s.Event.Origin = s.Type, "#_scxml_"+o.id
	}
	if !has(e, "delay") {
		o.dispatch(s)
		return nil
	}
	delay, err := time.ParseDuration(attr(e, "delay"))
	if err != nil {
		return err
	}
	o.delays++
	d := scxml.Delayed{Seq: uint64(o.delays), Due: o.now.Add(delay), Delay: delay, Send: s}
	if r, _ := e.Attribute(scxml.Extension, "resume"); r != "deadline" {
		d.Resume = scxml.Resumption(r)
	}
	o.pending = append(o.pending, d)
	slices.SortStableFunc(o.pending, func(a, b scxml.Delayed) int { return a.Due.Compare(b.Due) })
	r := o.current()
	r.Delayed = append(r.Delayed, scxml.Scheduled{Seq: d.Seq, SendID: id, Event: s.Event.Name, Delay: delay})
	return nil
}

// plainSend is the send as it leaves the session: values that JSON can say.
func plainSend(s scxml.Send) scxml.Send {
	s.Event = plainEvent(s.Event)
	s.Params = slices.Clone(s.Params)
	for i, p := range s.Params {
		s.Params[i].Value = datamodel.Plain(p.Value)
	}
	return s
}

func plainEvent(ev scxml.Event) scxml.Event {
	ev.Data = datamodel.Plain(ev.Data)
	return ev
}

// duplicates tells the parameters if there are two of one name (6.2.3).
func duplicates(s scxml.Send) string {
	seen := map[string]bool{}
	for _, p := range s.Params {
		if seen[p.Name] {
			b, _ := json.Marshal(plainSend(s).Params)
			return string(b)
		}
		seen[p.Name] = true
	}
	return ""
}

func (o *Oracle) dispatch(s scxml.Send) {
	if s.Type == scxml.SCXMLProcessor {
		s.Event.Raw = duplicates(s)
	}
	switch {
	case s.Type != scxml.SCXMLProcessor:
		o.emit(plainSend(s))
	case s.Target == "#_internal":
		ev := s.Event
		ev.Type, ev.Origin, ev.OriginType = scxml.Internal, "", ""
		o.raise(ev)
	default:
		r := o.current()
		r.Raised = append(r.Raised, s.Event.Name)
		o.externalQueue = append(o.externalQueue, s.Event)
	}
}

func (o *Oracle) invoke(s *scxml.State, e *scxml.Element) {
	id := attr(e, "id")
	if id == "" {
		o.invokes++
		id = fmt.Sprintf("%s.%d", s.ID, o.invokes)
	}
	params, _, err := o.payload(e, false)
	if err != nil {
		o.raiseFault(failed(e, err))
		return
	}
	v := scxml.Invoke{ID: id, Type: attr(e, "type"), Src: attr(e, "src"), Autoforward: attr(e, "autoforward") == "true", State: s.ID}
	for _, p := range params {
		if v.Data == nil {
			v.Data = map[string]any{}
		}
		v.Data[p.Name] = datamodel.Plain(p.Value)
	}
	o.invocations = append(o.invocations, oracleInvocation{id, e, s})
	o.emit(v)
}

func (o *Oracle) cancelInvoke(s *scxml.State) {
	o.invocations = slices.DeleteFunc(slices.Clone(o.invocations), func(v oracleInvocation) bool {
		if v.state == s {
			o.emit(scxml.Uninvoke{ID: v.id})
		}
		return v.state == s
	})
}

// finalize runs <finalize>; an empty one takes over what <param> and namelist
// name (SCXML 6.5.2).
func (o *Oracle) finalize(v oracleInvocation, ev scxml.Event) {
	f := child(v.decl, "finalize")
	if f == nil {
		return
	}
	o.executeContent(f, v.state)
	data, ok := ev.Data.(map[string]any)
	if !ok || len(elements(f)) > 0 {
		return
	}
	for _, c := range elements(v.decl) {
		value, ok := data[attr(c, "name")]
		if c.Name != "param" || !has(c, "location") || !ok {
			continue
		}
		if err := o.data.Put(o.compile("location", attr(c, "location")), value); err != nil {
			o.raiseFault(execution("finalize", v.decl.Position, err))
		}
	}
}

func attr(e *scxml.Element, name string) string {
	v, _ := e.Attribute("", name)
	return v
}

func has(e *scxml.Element, name string) bool {
	_, ok := e.Attribute("", name)
	return ok
}

func elements(e *scxml.Element) []*scxml.Element {
	var out []*scxml.Element
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Element != nil && c.Element.Space == scxml.Namespace {
			out = append(out, c.Element)
		}
	}
	return out
}

func child(e *scxml.Element, name string) *scxml.Element {
	for _, c := range elements(e) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func textOf(e *scxml.Element) string {
	var b strings.Builder
	for _, c := range e.Children {
		b.WriteString(c.Text)
	}
	return b.String()
}
