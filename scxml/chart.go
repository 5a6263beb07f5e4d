// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// Chart is a compiled document: immutable, safe for concurrent use, identified
// by [Chart.Name] and [Chart.Digest]. One chart serves any number of sessions.
type Chart struct {
	doc     *Document
	options Options
	limits  Limits
	lang    datamodel.Language
	root    *state
	// states in document order, the root first: state.order is the index.
	states   []*state
	byID     map[string]*state
	scripts  []*datamodel.Expr
	scriptAt []Position
	problems []Problem
	// ids are those that authors gave to <send> and <invoke>.
	ids map[string]bool
	// unbounded says that an expression may take any time and memory.
	unbounded bool
	// dataless says that the chart has neither data nor expressions.
	dataless bool
	memory   *memory
}

// state is a compiled State.
type state struct {
	id       string
	kind     Kind
	order    int
	parent   *state
	children []*state // history excluded
	// history has the first of each kind, which records for the others.
	history []*state
	// recorder is, of a history, the one that records for it.
	recorder *state
	// last is the order of the last state inside; its own when there is none.
	last    int
	initial *transition
	// transitions in document order.
	transitions     []*transition
	onentry, onexit [][]executable
	data            []dataItem
	invokes         []*invoke
	donedata        *payload
	src             *State
}

func (s *state) isAtomic() bool {
	return s.kind == KindFinal || s.kind == KindState && len(s.children) == 0
}

func (s *state) isCompound() bool {
	return (s.kind == KindState || s.kind == KindRoot) && len(s.children) > 0
}

// transition is a compiled Transition.
type transition struct {
	source  *state
	targets []*state
	events  []string
	cond    *datamodel.Expr
	// internal says type="internal".
	internal bool
	content  []executable
	order    int
	at       Position
	taken    Taken
}

// dataItem is a compiled <data>.
type dataItem struct {
	id   string
	loc  *datamodel.Expr
	expr *datamodel.Expr
	// value is used when expr is nil; err is why the src could not be loaded.
	value any
	err   error
	at    Position
}

// Compile makes a chart of d. It refuses with a *[SyntaxError] what cannot run
// at all: an unknown datamodel, a <script src> that cannot be loaded.
// Expressions that are wrong raise error.execution when they are evaluated
// (SCXML 5.9) and are listed by [Chart.Problems].
func Compile(d *Document, o Options) (*Chart, error) {
	if d == nil {
		return nil, errors.New("compile chart: no document")
	}
	c := &Chart{doc: d, options: o, limits: o.Limits.resolved(), byID: make(map[string]*state, len(d.States))}
	name := d.Datamodel
	if name == "" {
		name = o.Datamodel
	}
	switch name {
	case "", "ecmascript":
		c.lang = datamodel.ECMAScript()
	case "null":
		c.lang = datamodel.Null()
	default:
		return nil, &SyntaxError{d.Source, d.Root.Position, fmt.Sprintf("datamodel %q is not supported, only ecmascript and null", name)}
	}
	if o.ReadOnly {
		c.lang, c.unbounded = datamodel.Withheld(), true
	}
	k := compiler{chart: c, doc: d}
	if err := k.compile(); err != nil {
		return nil, err
	}
	c.dataless = k.expressions == 0
	if o.ReadOnly {
		c.problems = nil // nothing is known of the expressions
	}
	c.memory = newMemory(c)
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return c, nil
}

// Name is the name attribute of the document, or the name given to [Parse].
func (c *Chart) Name() string {
	if c.doc.Name != "" {
		return c.doc.Name
	}
	return c.doc.Source
}

// Digest identifies the bytes of the document: "sha256:" and hexadecimal digits.
// What Options.Load fetched is not part of it.
func (c *Chart) Digest() string { return c.doc.digest }

// Document is the document that the chart was made of, for drawing.
func (c *Chart) Document() *Document { return c.doc }

// Problem is something in a chart that will fail when it is reached.
type Problem struct {
	Position
	Message string `json:"message"`
}

// Problems lists expressions and scripts that do not compile, in document
// order. A chart with problems runs: they raise error.execution when reached.
func (c *Chart) Problems() []Problem { return slices.Clone(c.problems) }

// Bounded says that it can be told of every expression of the chart what it takes at
// most, by its text and the data, and that its states and transitions are so
// few (4,096) that to compare each with each is nothing: so that [Limits] bound a
// session altogether. A chart with scripts, or with calls of functions other than In,
// is not: run it where it can be ended, if it is not trusted.
func (c *Chart) Bounded() bool { return !c.unbounded }

// boundedStates is the number of states and transitions of a chart that is Bounded.
const boundedStates = 4096

// compiler holds what is needed while compiling.
type compiler struct {
	chart       *Chart
	doc         *Document
	transitions int
	// expressions counts what needs data.
	expressions int
	// resume holds for every <send> that says nothing else; resumeErr is why
	// such a one cannot be executed.
	resume    Resumption
	resumeErr error
	// unloaded is why a script could not be loaded: nil, or a *SyntaxError.
	unloaded error
}

func (k *compiler) compile() error {
	c := k.chart
	all := append([]*State{k.doc.Root}, k.doc.States...)
	c.states = make([]*state, len(all))
	for i, s := range all {
		c.states[i] = &state{id: s.ID, kind: s.Kind, order: i, src: s}
		if i > 0 {
			c.byID[s.ID] = c.states[i]
		}
	}
	c.root = c.states[0]
	k.resume, k.resumeErr = k.resumption(k.doc.Root.Element)
	for i, s := range all {
		t := c.states[i]
		if s.Parent != nil {
			t.parent = c.states[s.Parent.Order]
		}
		for _, child := range s.Children {
			if child.Kind.IsHistory() {
				h := c.states[child.Order]
				i := slices.IndexFunc(t.history, func(other *state) bool { return other.kind == h.kind })
				if i < 0 {
					i, t.history = len(t.history), append(t.history, h)
				}
				h.recorder = t.history[i]
			} else {
				t.children = append(t.children, c.states[child.Order])
			}
		}
	}
	for i, s := range slices.Backward(c.states) {
		s.last = max(s.last, i)
		if s.parent != nil {
			s.parent.last = max(s.parent.last, s.last)
		}
	}
	for i, s := range all {
		k.state(c.states[i], s)
	}
	c.unbounded = c.unbounded || len(c.states)+k.transitions > boundedStates
	for _, e := range k.doc.scripts {
		c.scripts = append(c.scripts, k.script(e))
		c.scriptAt = append(c.scriptAt, e.Position)
	}
	return k.unloaded
}

func (k *compiler) state(t *state, s *State) {
	if s.Initial != nil {
		t.initial = k.transition(s.Initial)
	}
	for _, tr := range s.Transitions {
		t.transitions = append(t.transitions, k.transition(tr))
	}
	for _, e := range s.OnEntry {
		t.onentry = append(t.onentry, k.block(e, s.ID))
	}
	for _, e := range s.OnExit {
		t.onexit = append(t.onexit, k.block(e, s.ID))
	}
	for _, e := range s.Data {
		t.data = append(t.data, k.data(e))
	}
	for _, e := range s.Invokes {
		t.invokes = append(t.invokes, k.invoke(e, t))
	}
	if s.DoneData != nil {
		t.donedata = k.payload(s.DoneData)
	}
}

func (k *compiler) transition(t *Transition) *transition {
	k.transitions++
	out := &transition{
		source:   k.chart.states[t.Source.Order],
		events:   t.Events,
		internal: t.Internal,
		order:    k.transitions,
		at:       t.Position,
		taken:    Taken{Source: t.Source.ID, Event: t.Event, Cond: t.Cond, Line: t.Line},
	}
	for _, s := range t.Targets {
		out.targets = append(out.targets, k.chart.states[s.Order])
		out.taken.Targets = append(out.taken.Targets, s.ID)
	}
	if t.Element != nil {
		if t.Element.hasAttr("cond") {
			out.cond = k.note(k.chart.lang.Cond, t.Cond, t.Position, "cond")
		}
		out.content = k.block(t.Element, t.Source.ID)
	}
	return out
}

// note compiles src and keeps its error as a problem of the chart.
func (k *compiler) note(compile func(string) *datamodel.Expr, src string, p Position, what string) *datamodel.Expr {
	k.begin(p)
	e := compile(src)
	k.chart.unbounded = k.chart.unbounded || !e.Bounded()
	k.expressions++
	if e.Err != nil {
		k.problem(p, "%s %q: %v", what, shorten(e.Source), e.Err)
	}
	return e
}

// begin says where the expression is that is compiled next.
func (k *compiler) begin(p Position) {
	if f := k.chart.options.Compiling; f != nil {
		f(p)
	}
}

func (k *compiler) problem(p Position, format string, args ...any) {
	k.chart.problems = append(k.chart.problems, Problem{p, fmt.Sprintf(format, args...)})
}

// given notes the id that the author gave to e; it is empty if there is none.
func (k *compiler) given(e *Element) string {
	id := e.attr("id")
	if id != "" {
		if k.chart.ids == nil {
			k.chart.ids = map[string]bool{}
		}
		k.chart.ids[id] = true
	}
	return id
}

// newID makes an id that no author gave: the next number after prefix (SCXML 3.14).
func (c *Chart) newID(prefix string, number *uint64) string {
	for {
		*number++
		if id := prefix + "." + strconv.FormatUint(*number, 10); !c.ids[id] {
			return id
		}
	}
}

// expr compiles the attribute name of e; nil if there is none.
func (k *compiler) expr(e *Element, name string) *datamodel.Expr {
	v, ok := e.Attribute("", name)
	if !ok {
		return nil
	}
	return k.note(k.chart.lang.Expr, v, e.Position, name)
}

func (k *compiler) location(e *Element, name string) *datamodel.Expr {
	v, ok := e.Attribute("", name)
	if !ok {
		return nil
	}
	return k.note(k.chart.lang.Location, v, e.Position, name)
}

// script compiles a <script>. One that cannot be loaded keeps the document from
// being run, wherever it stands (SCXML 5.8).
func (k *compiler) script(e *Element) *datamodel.Expr {
	src := e.text()
	if uri, ok := e.Attribute("", "src"); ok {
		b, err := k.load(uri)
		if err != nil && k.unloaded == nil {
			k.unloaded = &SyntaxError{k.doc.Source, e.Position, fmt.Sprintf("script src %q: %v", uri, err)}
		}
		src = string(b)
	}
	return k.note(k.chart.lang.Script, src, e.Position, "script")
}

func (k *compiler) load(uri string) ([]byte, error) {
	if k.chart.options.Load == nil {
		return nil, fmt.Errorf("loading is not allowed")
	}
	return k.chart.options.Load(uri)
}

func (k *compiler) data(e *Element) dataItem {
	d := dataItem{id: e.attr("id"), at: e.Position, value: datamodel.Undefined{}}
	d.loc = k.note(k.chart.lang.Location, d.id, e.Position, "id")
	d.expr = k.expr(e, "expr")
	if uri, ok := e.Attribute("", "src"); ok {
		b, err := k.load(strings.TrimSpace(uri))
		if err != nil {
			d.err = fmt.Errorf("src %q: %w", uri, err)
			k.problem(e.Position, "%v", d.err)
			return d
		}
		d.value = datamodel.ParseContent(string(b))
	} else if body := e.inner(); body != "" {
		d.expr, d.value = k.content(e)
	}
	return d
}

// content makes a value of the body of <data>, <assign> or <content>. Text
// that is neither JSON nor XML but an expression in the form of an object or
// an array is evaluated (SCXML B.2.3 leaves it open; charts rely on it).
func (k *compiler) content(e *Element) (*datamodel.Expr, any) {
	onlyText := !slices.ContainsFunc(e.Children, func(n Node) bool { return n.Element != nil })
	if !onlyText {
		return nil, datamodel.ParseContent(e.inner())
	}
	text := strings.TrimSpace(e.text())
	v := datamodel.ParseContent(text)
	if _, isString := v.(string); isString && text != "" && strings.ContainsAny(text[:1], "[{") {
		k.begin(e.Position)
		if x := k.chart.lang.Expr(text); x.Err == nil {
			k.chart.unbounded = k.chart.unbounded || !x.Bounded()
			k.expressions++
			return x, nil
		}
	}
	return nil, v
}

// delayForm is a time as CSS2 writes it, units in any case, and with the units that
// only the schema of SCXML has (Duration.datatype: m, h, d).
var delayForm = regexp.MustCompile(`^\+?([0-9]*\.?[0-9]+)(ms|s|m|h|d)$`)

var delayUnits = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// parseDelay reads a delay (SCXML 6.2.4): "1.5s", "200ms".
func parseDelay(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "0" {
		return 0, nil
	}
	if len(s) > 100 {
		return 0, fmt.Errorf("delay %q is too long to be a time", shorten(s))
	}
	m := delayForm.FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return 0, fmt.Errorf("delay %q is no time such as 1.5s or 200ms", shorten(s))
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if f *= float64(delayUnits[m[2]]); err != nil || f >= float64(maxDelay) {
		return 0, fmt.Errorf("delay %q is too long", shorten(s))
	}
	return time.Duration(f), nil
}
