// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// executable is one element of executable content (SCXML 4). An error ends the
// block that it stands in.
type executable interface {
	execute(ip *Interpreter) error
}

// fault is an error of the chart on its way to the internal queue.
type fault struct {
	event   string
	element string
	sendID  string
	at      Position
	err     error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

const (
	errorExecution     = "error.execution"
	errorCommunication = "error.communication"
)

// node is what every executable knows of its place.
type node struct {
	element string
	state   string
	at      Position
}

func (n node) fail(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{event: errorExecution, element: n.element, at: n.at, err: err}
}

// block compiles the children of e.
func (k *compiler) block(e *Element, state string) []executable {
	var out []executable
	for _, c := range e.elements() {
		if x := k.executable(c, state); x != nil {
			out = append(out, x)
		}
	}
	return out
}

func (k *compiler) executable(e *Element, state string) executable {
	n := node{e.Name, state, e.Position}
	switch e.Name {
	case "raise":
		event := strings.TrimSpace(e.attr("event"))
		return &raise{n, event, []string{event}}
	case "if":
		return k.conditional(n, e, state)
	case "foreach":
		return &foreach{n, k.expr(e, "array"), e.attr("item"), e.attr("index"), k.block(e, state)}
	case "log":
		return &logging{n, e.attr("label"), k.expr(e, "expr")}
	case "assign":
		a := &assign{node: n, loc: k.location(e, "location"), expr: k.expr(e, "expr")}
		a.alone = []string{strings.TrimSpace(a.loc.Source)}
		if a.expr == nil {
			a.expr, a.value = k.content(e)
		}
		return a
	case "script":
		return &script{n, k.script(e)}
	case "send":
		return k.send(n, e)
	case "cancel":
		return &cancel{n, e.attr("sendid"), k.expr(e, "sendidexpr")}
	}
	return nil
}

// executeContent runs a block. The first error ends it (SCXML 3.12.2).
func (ip *Interpreter) executeContent(block []executable) {
	if err := ip.execute(block); err != nil {
		ip.raiseFault(err)
	}
}

func (ip *Interpreter) execute(block []executable) error {
	for _, x := range block {
		if ip.spend(costElement); ip.broken() {
			return nil
		}
		if err := x.execute(ip); err != nil {
			return err
		}
	}
	return nil
}

// raiseFault puts the event of err into the internal queue and into the trace.
func (ip *Interpreter) raiseFault(err error) {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{event: errorExecution, err: err}
	}
	if errors.Is(err, datamodel.ErrWork) {
		if ip.broken() {
			return // one place is told, not all that come after it
		}
		ip.overspent()
	}
	ip.count(costFault)
	r := ip.record()
	r.Faults = append(r.Faults, Fault{Event: f.event, Element: f.element, Line: f.at.Line, Message: f.Error()})
	ip.enqueueInternal(Event{Name: f.event, Type: Platform, SendID: f.sendID, Data: map[string]any{
		"tagname": f.element, "line": float64(f.at.Line), "column": float64(f.at.Column), "reason": f.Error(),
	}})
}

type raise struct {
	node
	event string
	// alone is what the trace says if nothing else was raised.
	alone []string
}

func (x *raise) execute(ip *Interpreter) error {
	if r := ip.record(); r.Raised == nil {
		r.Raised = x.alone
	} else {
		r.Raised = append(r.Raised, x.event)
	}
	ip.enqueueInternal(Event{Name: x.event, Type: Internal})
	return nil
}

type branch struct {
	cond *datamodel.Expr // nil for else
	at   Position
	body []executable
}

type conditional struct {
	node
	branches []branch
}

func (k *compiler) conditional(n node, e *Element, state string) executable {
	x := &conditional{node: n}
	cur := branch{cond: k.note(k.chart.lang.Cond, e.attr("cond"), e.Position, "cond"), at: e.Position}
	for _, c := range e.elements() {
		switch c.Name {
		case "elseif":
			x.branches = append(x.branches, cur)
			cur = branch{cond: k.note(k.chart.lang.Cond, c.attr("cond"), c.Position, "cond"), at: c.Position}
		case "else":
			x.branches = append(x.branches, cur)
			cur = branch{at: c.Position}
		default:
			if s := k.executable(c, state); s != nil {
				cur.body = append(cur.body, s)
			}
		}
	}
	x.branches = append(x.branches, cur)
	return x
}

// execute takes the first branch whose cond is true; a cond that fails counts
// as false and raises error.execution (SCXML 5.9.1).
func (x *conditional) execute(ip *Interpreter) error {
	for _, b := range x.branches {
		ip.count(costGuard)
		if b.cond != nil && !ip.condition(b.cond, x.element, b.at) {
			continue
		}
		return ip.execute(b.body)
	}
	return nil
}

// condition evaluates a boolean expression.
func (ip *Interpreter) condition(e *datamodel.Expr, element string, at Position) bool {
	ok, err := ip.data.Bool(e)
	if err != nil {
		ip.raiseFault(&fault{event: errorExecution, element: element, at: at, err: err})
		return false
	}
	return ok
}

type foreach struct {
	node
	array       *datamodel.Expr
	item, index string
	body        []executable
}

func (x *foreach) execute(ip *Interpreter) error {
	return x.fail(ip.data.Each(x.array, x.item, x.index, func() error {
		if ip.work.iterations++; ip.work.iterations > ip.chart.limits.Iterations {
			return fmt.Errorf("more than %d iterations", ip.chart.limits.Iterations)
		}
		return ip.execute(x.body)
	}))
}

type logging struct {
	node
	label string
	expr  *datamodel.Expr
}

func (x *logging) execute(ip *Interpreter) error {
	l := Log{Label: x.label, State: x.state, Line: x.at.Line}
	if x.expr != nil {
		v, err := ip.data.Eval(x.expr)
		if err != nil {
			return x.fail(err)
		}
		l.Value = plain(v)
	}
	r := ip.record()
	r.Log = append(r.Log, l)
	ip.emit(l)
	return nil
}

type assign struct {
	node
	loc, expr *datamodel.Expr
	value     any
	// alone is what the trace says if nothing else was assigned.
	alone []string
}

func (x *assign) execute(ip *Interpreter) error {
	var err error
	if x.expr != nil {
		err = ip.data.Assign(x.loc, x.expr)
	} else {
		err = ip.data.Put(x.loc, x.value)
	}
	if err == nil {
		if r := ip.record(); r.Assigned == nil {
			r.Assigned = x.alone
		} else {
			r.Assigned = append(r.Assigned, x.alone[0])
		}
	}
	return x.fail(err)
}

type script struct {
	node
	source *datamodel.Expr
}

func (x *script) execute(ip *Interpreter) error { return x.fail(ip.data.Run(x.source)) }

type cancel struct {
	node
	sendID string
	expr   *datamodel.Expr
}

func (x *cancel) execute(ip *Interpreter) error {
	id := x.sendID
	if x.expr != nil {
		v, err := ip.text(x.expr)
		if err != nil {
			return x.fail(err)
		}
		id = v
	}
	if ip.rare == nil {
		return nil
	}
	ip.spend(len(ip.rare.pending))
	ip.rare.pending = slices.DeleteFunc(ip.rare.pending, func(d Delayed) bool {
		if d.Send.SendID == id {
			ip.emit(Cancel{SendID: id, Seq: d.Seq})
			return true
		}
		return false
	})
	return nil
}

// text evaluates an expression that gives a string.
func (ip *Interpreter) text(e *datamodel.Expr) (string, error) {
	v, err := ip.data.Eval(e)
	if err != nil {
		return "", err
	}
	switch v := plain(v).(type) {
	case string:
		return v, nil
	case nil:
		return "", fmt.Errorf("%s has no value", e.Source)
	case map[string]any, []any:
		return "", fmt.Errorf("%s is not a string", e.Source)
	case float64:
		return datamodel.NumberText(v), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// payload is the data of <send>, <donedata> and <invoke>.
type payload struct {
	params []param
	// names are the locations of a namelist.
	names []param
	// content says that there is a <content>: expr or value.
	content     bool
	contentExpr *datamodel.Expr
	contentBody any
	at          Position
	element     string
}

type param struct {
	name string
	expr *datamodel.Expr
	at   Position
}

func (k *compiler) payload(e *Element) *payload {
	p := &payload{at: e.Position, element: e.Name}
	for name := range strings.FieldsSeq(e.attr("namelist")) {
		p.names = append(p.names, param{name, k.note(k.chart.lang.Value, name, e.Position, "namelist"), e.Position})
	}
	for _, c := range e.elements() {
		switch c.Name {
		case "param":
			x := k.expr(c, "expr")
			if x == nil {
				x = k.note(k.chart.lang.Value, c.attr("location"), c.Position, "location")
			}
			p.params = append(p.params, param{c.attr("name"), x, c.Position})
		case "content":
			p.content = true
			if p.contentExpr = k.expr(c, "expr"); p.contentExpr == nil {
				if e.Name == "invoke" {
					p.contentBody = c.inner()
				} else {
					p.contentExpr, p.contentBody = k.content(c)
				}
			}
		}
	}
	return p
}

// evaluate gives the parameters in order and, as a map or from <content>, the
// data. With lenient a parameter that fails is left out (SCXML 5.7.1);
// otherwise the first error is returned.
func (p *payload) evaluate(ip *Interpreter, lenient bool) (params []Param, data any, err error) {
	for _, q := range slices.Concat(p.params, p.names) {
		ip.count(costParam)
		v, err := ip.data.Eval(q.expr)
		if err != nil {
			f := &fault{event: errorExecution, element: p.element, at: q.at, err: fmt.Errorf("%s: %w", q.name, err)}
			if !lenient {
				return nil, nil, f
			}
			ip.raiseFault(f)
			continue
		}
		params = append(params, Param{q.name, v})
	}
	if p.content {
		data = p.contentBody
		if p.contentExpr != nil {
			if data, err = ip.data.Eval(p.contentExpr); err != nil {
				f := &fault{event: errorExecution, element: p.element, at: p.at, err: err}
				if !lenient {
					return nil, nil, f
				}
				// Nothing stands for what failed (SCXML 5.6.1, test 528).
				ip.raiseFault(f)
				return params, nil, nil
			}
		}
		if data == nil {
			data = datamodel.NullValue{}
		}
		return params, data, nil
	}
	if len(params) > 0 {
		m := make(map[string]any, len(params))
		for _, q := range params {
			m[q.Name] = q.Value
		}
		data = m
	}
	return params, data, nil
}

// elapsed gives the delay of a <send>.
func (ip *Interpreter) elapsed(literal string, expr *datamodel.Expr) (time.Duration, error) {
	if expr != nil {
		s, err := ip.text(expr)
		if err != nil {
			return 0, err
		}
		literal = s
	}
	if literal == "" {
		return 0, nil
	}
	return parseDelay(literal)
}
