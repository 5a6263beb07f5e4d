// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// invoke is a compiled <invoke> (SCXML 6.4).
type invoke struct {
	node
	state       *state
	index       int
	id          string
	idlocation  *datamodel.Expr
	typ, src    valueOrExpr
	payload     *payload
	autoforward bool
	finalize    []executable
	// implicit are the locations that an empty <finalize> updates from the
	// event (SCXML 6.5.2); nil without an empty <finalize>.
	implicit []implicitUpdate
}

type implicitUpdate struct {
	name string
	loc  *datamodel.Expr
}

func (k *compiler) invoke(e *Element, s *state) *invoke {
	x := &invoke{
		node:        node{"invoke", s.id, e.Position},
		state:       s,
		index:       len(s.invokes),
		id:          k.given(e),
		idlocation:  k.location(e, "idlocation"),
		typ:         k.either(e, "type", "typeexpr"),
		src:         k.either(e, "src", "srcexpr"),
		payload:     k.payload(e),
		autoforward: e.attr("autoforward") == "true",
	}
	k.invoked(e)
	f := e.child("finalize")
	if f == nil {
		return x
	}
	if x.finalize = k.block(f, s.id); len(x.finalize) > 0 {
		return x
	}
	for name := range strings.FieldsSeq(e.attr("namelist")) {
		k.begin(e.Position)
		x.implicit = append(x.implicit, implicitUpdate{name, k.chart.lang.Location(name)})
	}
	for _, c := range e.elements() {
		if c.Name == "param" && c.hasAttr("location") {
			k.begin(c.Position)
			x.implicit = append(x.implicit, implicitUpdate{c.attr("name"), k.chart.lang.Location(c.attr("location"))})
		}
	}
	return x
}

// invoked looks at the structure of the chart inside of e, if there is one, so that
// what is wrong with it is known before the invocation fails.
func (k *compiler) invoked(e *Element) {
	body := e.child("content")
	if body == nil || e.hasAttr("typeexpr") || invokeType(e.attr("type")) != SCXMLInvoke {
		return
	}
	i := slices.IndexFunc(body.Children, func(n Node) bool { return n.Element != nil })
	if i < 0 {
		return
	}
	root := body.Children[i].Element
	b := builder{name: k.doc.Source, doc: &Document{byID: map[string]*State{}, element: root}}
	d, err := b.build(root)
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		k.problem(syntax.Position, "in the chart to be invoked: %s", syntax.Message)
		return
	}
	for _, s := range d.States {
		for _, inner := range s.Invokes {
			k.invoked(inner)
		}
	}
}

// invokeType gives the one name of a type of service that has several.
func invokeType(typ string) string {
	switch typ {
	case "", "scxml", SCXMLInvoke, "http://www.w3.org/TR/scxml", SCXMLProcessor:
		return SCXMLInvoke
	}
	return typ
}

// invocation is a service that runs for a state.
type invocation struct {
	id   string
	decl *invoke
}

func (ip *Interpreter) invocation(id string) *invocation {
	if ip.rare == nil {
		return nil
	}
	ip.spend(len(ip.rare.invocations))
	for _, v := range ip.rare.invocations {
		if v.id == id {
			return v
		}
	}
	return nil
}

// invoke starts the service of x, at the end of a macrostep. If an argument
// fails it is not started (SCXML 6.4.2).
func (ip *Interpreter) invoke(x *invoke) {
	if err := ip.tryInvoke(x); err != nil {
		ip.raiseFault(x.fail(err))
	}
}

func (ip *Interpreter) tryInvoke(x *invoke) error {
	ip.spend(costSend)
	id := x.id
	if id == "" {
		id = ip.chart.newID(x.state.id, &ip.seldom().invokes)
	} else if ip.invocation(id) != nil {
		return fmt.Errorf("there is an invocation %q already", id)
	}
	if x.idlocation != nil {
		if err := ip.data.Put(x.idlocation, id); err != nil {
			return err
		}
	}
	typ, err := x.typ.evaluate(ip)
	if err != nil {
		return err
	}
	typ = invokeType(typ)
	if o := ip.chart.options; typ != SCXMLInvoke && o.InvokeTypes != nil && !slices.Contains(o.InvokeTypes, typ) {
		return fmt.Errorf("invoke type %q is not supported", typ)
	}
	src, err := x.src.evaluate(ip)
	if err != nil {
		return err
	}
	params, data, err := x.payload.evaluate(ip, false)
	if err != nil {
		return err
	}
	v := Invoke{ID: id, Type: typ, Src: src, Autoforward: x.autoforward, State: x.state.id}
	if x.payload.content {
		v.Content = plain(data)
		if x, ok := data.(datamodel.XML); ok {
			v.Content = string(x)
		}
	}
	if len(params) > 0 {
		v.Data = make(map[string]any, len(params))
		for _, p := range params {
			v.Data[p.Name] = plain(p.Value)
		}
	}
	ip.seldom().invocations = append(ip.seldom().invocations, &invocation{id, x})
	ip.emit(v)
	return nil
}

// cancelInvoke ends the services of a state that is left.
func (ip *Interpreter) cancelInvoke(s *state) {
	if ip.rare == nil || len(s.invokes) == 0 {
		return
	}
	ip.spend(len(ip.rare.invocations))
	ip.rare.invocations = slices.DeleteFunc(ip.rare.invocations, func(v *invocation) bool {
		if v.decl.state != s {
			return false
		}
		// Whatever limit was met: a service that was started must be ended.
		ip.work.step.Effects = append(ip.work.step.Effects, Uninvoke{v.id})
		return true
	})
}

// passToInvocations finalizes ev if an invocation sent it, forwards it where
// that is wanted, and forgets an invocation that is done.
func (ip *Interpreter) passToInvocations(ev Event) {
	for _, v := range slices.Clone(ip.rare.invocations) {
		if v.id == ev.InvokeID {
			ip.applyFinalize(v, ev)
			if ev.Name == "done.invoke."+v.id {
				ip.rare.invocations = slices.DeleteFunc(ip.rare.invocations, func(o *invocation) bool { return o == v })
				continue
			}
		}
		if v.decl.autoforward {
			ip.emit(Forward{v.id, ev.plain()})
		}
	}
}

func (ip *Interpreter) applyFinalize(v *invocation, ev Event) {
	ip.executeContent(v.decl.finalize)
	fields, ok := ev.Data.(map[string]any)
	if !ok {
		return
	}
	for _, u := range v.decl.implicit {
		if value, ok := fields[u.name]; ok {
			if err := ip.data.Put(u.loc, value); err != nil {
				ip.raiseFault(&fault{event: errorExecution, element: "finalize", at: v.decl.at, err: err})
			}
		}
	}
}
