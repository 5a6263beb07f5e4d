// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// attribute is an attribute that has a form with a value and one with an
// expression, such as target and targetexpr.
type valueOrExpr struct {
	value string
	expr  *datamodel.Expr
}

func (k *compiler) either(e *Element, name, exprName string) valueOrExpr {
	return valueOrExpr{e.attr(name), k.expr(e, exprName)}
}

func (a valueOrExpr) evaluate(ip *Interpreter) (string, error) {
	if a.expr == nil {
		return a.value, nil
	}
	return ip.text(a.expr)
}

// send is a compiled <send> (SCXML 6.2).
type send struct {
	node
	id                        string
	idlocation                *datamodel.Expr
	event, target, typ, delay valueOrExpr
	payload                   *payload
	resume                    Resumption
	// misused is why the <send> fails whenever it is executed, or nil.
	misused error
}

func (k *compiler) send(n node, e *Element) executable {
	x := &send{
		node:       n,
		id:         k.given(e),
		idlocation: k.location(e, "idlocation"),
		event:      k.either(e, "event", "eventexpr"),
		target:     k.either(e, "target", "targetexpr"),
		typ:        k.either(e, "type", "typeexpr"),
		delay:      k.either(e, "delay", "delayexpr"),
		payload:    k.payload(e),
	}
	x.event.value = strings.TrimSpace(x.event.value)
	if x.delay.value != "" {
		if _, err := parseDelay(x.delay.value); err != nil {
			k.problem(e.Position, "%v", err)
		}
	}
	x.resume, x.misused = k.resumption(e)
	return x
}

// execute evaluates all arguments now, whatever the delay (SCXML 6.2.4), and
// hands the message on. If any of them fails nothing is sent.
func (x *send) execute(ip *Interpreter) error {
	ip.spend(costSend)
	id := x.id
	if id == "" {
		id = ip.chart.newID("send", &ip.seldom().sends)
	}
	err := x.send(ip, id)
	if err == nil {
		return nil
	}
	// Error events carry the id of the <send> that caused them (SCXML 5.10.1).
	f := *x.fail(err).(*fault)
	f.sendID = id
	return &f
}

func (x *send) send(ip *Interpreter, id string) error {
	if x.misused != nil {
		return x.misused
	}
	if x.idlocation != nil {
		if err := ip.data.Put(x.idlocation, id); err != nil {
			return err
		}
	}
	event, err := x.event.evaluate(ip)
	if err != nil {
		return err
	}
	target, err := x.target.evaluate(ip)
	if err != nil {
		return err
	}
	typ, err := x.typ.evaluate(ip)
	if err != nil {
		return err
	}
	delay, err := ip.elapsed(x.delay.value, x.delay.expr)
	if err != nil {
		return err
	}
	params, data, err := x.payload.evaluate(ip, false)
	if err != nil {
		return err
	}
	typ = canonicalType(typ)
	if err := ip.allowed(typ, target); err != nil {
		return err
	}
	// The parser has looked at names that are written. A message without one is for
	// processors that can do without (SCXML 6.2.1).
	if x.event.expr != nil && (event == "" || strings.ContainsAny(event, " \t\r\n")) || event == "" && typ == SCXMLProcessor {
		return fmt.Errorf("%q is not the name of an event", event)
	}
	s := Send{
		SendID:  id,
		Target:  target,
		Type:    typ,
		Params:  params,
		Content: x.payload.content,
		Event:   Event{Name: event, Type: External, Data: data},
	}
	if x.id != "" || x.idlocation != nil {
		s.Event.SendID = id
	}
	if typ == SCXMLProcessor {
		s.Event.OriginType = SCXMLProcessor
		s.Event.Origin = ip.origin()
	}
	if target == "#_parent" {
		s.Event.InvokeID = ip.invokeID()
	}
	if delay == 0 {
		return ip.dispatch(s, x.node)
	}
	// They are moved, and perhaps counted again.
	ip.spend(len(ip.pending()) * costVisit)
	if len(ip.pending()) >= ip.chart.limits.Pending {
		return fmt.Errorf("more than %d delayed sends", ip.chart.limits.Pending)
	}
	if most := ip.chart.limits.PendingBytes; ip.pendingBytes()+s.size() > most {
		return fmt.Errorf("more than %d bytes in delayed sends", most)
	}
	ip.seldom().delays++
	d := Delayed{Seq: ip.rare.delays, Due: ip.now.Add(delay), Delay: delay, Resume: x.resume, Send: s}
	ip.addPending(d)
	r := ip.record()
	r.Delayed = append(r.Delayed, Scheduled{d.Seq, id, event, delay})
	return nil
}

// pendingBytes is the size of the delayed sends. They are counted again when
// some have gone since.
func (ip *Interpreter) pendingBytes() int {
	r := ip.rare
	if r == nil {
		return 0
	}
	if len(r.pending) != r.counted {
		r.counted, r.bytes = len(r.pending), 0
		for _, d := range r.pending {
			r.bytes += d.Send.size()
		}
	}
	return r.bytes
}

// addPending keeps pending in the order in which sends are due.
func (ip *Interpreter) addPending(d Delayed) {
	r, bytes := ip.rare, ip.pendingBytes()+d.Send.size()
	i, _ := slices.BinarySearchFunc(r.pending, d, compareDelayed)
	r.pending = slices.Insert(r.pending, i, d)
	r.counted, r.bytes = len(r.pending), bytes
}

func compareDelayed(a, b Delayed) int {
	if c := a.Due.Compare(b.Due); c != 0 {
		return c
	}
	if a.Seq < b.Seq {
		return -1
	}
	return 1
}

// canonicalType gives the SCXML event I/O processor one name.
func canonicalType(t string) string {
	switch t {
	case "", "scxml", SCXMLProcessor, "http://www.w3.org/TR/scxml", "http://www.w3.org/TR/scxml/":
		return SCXMLProcessor
	case "basichttp":
		return BasicHTTPProcessor
	default:
		return t
	}
}

// allowed says whether a message may be sent at all (SCXML 6.2.3, C.1).
func (ip *Interpreter) allowed(typ, target string) error {
	o := ip.chart.options
	if typ != SCXMLProcessor {
		if o.SendTypes != nil && !slices.Contains(o.SendTypes, typ) {
			return fmt.Errorf("send type %q is not supported", typ)
		}
		return nil
	}
	switch {
	case target == "", target == "#_internal", target == "#_parent", strings.HasPrefix(target, "#_scxml_"):
		return nil
	case ip.listed(target):
		return nil
	case strings.HasPrefix(target, "#_") && len(target) > 2:
		return nil
	default:
		return fmt.Errorf("target %q is not a target of the SCXML event I/O processor", target)
	}
}

// listed says whether the runtime routes target.
func (ip *Interpreter) listed(target string) bool {
	return slices.ContainsFunc(ip.chart.options.SendTargets, func(p string) bool { return strings.HasPrefix(target, p) })
}

// dispatch hands a message on whose time has come: into a queue of the session
// or out as an effect. The error, if any, is an error.communication.
func (ip *Interpreter) dispatch(s Send, n node) error {
	unreachable := func(format string, args ...any) error {
		return &fault{event: errorCommunication, element: n.element, at: n.at, sendID: s.SendID, err: fmt.Errorf(format, args...)}
	}
	if s.Type == BasicHTTPProcessor {
		if s.Target == "" {
			return unreachable("a send by HTTP needs a target")
		}
		// What goes to the session's own address takes the short way, in
		// order with other sends to itself, as for the SCXML processor.
		if ip.rare != nil && s.Target == ip.rare.processors[BasicHTTPProcessor] {
			contentType, body := s.HTTPBody()
			ev := HTTPEvent("POST", s.Target, contentType, body)
			ip.noteRaised(ev.Name)
			ip.enqueueExternal(ev)
			return nil
		}
	}
	if s.Type != SCXMLProcessor {
		ip.emit(s.plain())
		return nil
	}
	// A name that was given twice has one value in the data; the message has both.
	if data, _ := s.Event.Data.(map[string]any); len(s.Params) > len(data) {
		ip.spend(s.size() * costMessage)
		s.Event.Raw = s.message()
	}
	switch {
	case s.Target == "#_internal":
		ev := s.Event
		ev.Type, ev.Origin, ev.OriginType = Internal, "", ""
		ip.noteRaised(ev.Name)
		ip.enqueueInternal(ev)
		return nil
	case s.Target == "", s.Target == ip.origin():
		ip.noteRaised(s.Event.Name)
		ip.enqueueExternal(s.Event)
		return nil
	case s.Target == "#_parent":
		if ip.invokeID() == "" {
			return unreachable("the session has no parent")
		}
	case ip.listed(s.Target), s.Target == ip.work.origin:
		// Whoever sent the event that is handled can be answered (SCXML C.1).
	case strings.HasPrefix(s.Target, "#_scxml_"):
		return unreachable("session %q cannot be reached", s.Target)
	case ip.invocation(strings.TrimPrefix(s.Target, "#_")) == nil:
		return unreachable("there is no invocation %q", s.Target)
	}
	ip.emit(s.plain())
	return nil
}

// origin is the address of this session.
func (ip *Interpreter) origin() string { return "#_scxml_" + ip.sessionID }

// invokeID is the id under which a parent invoked this session, or empty.
func (ip *Interpreter) invokeID() string {
	if ip.rare == nil {
		return ""
	}
	return ip.rare.invokeID
}
