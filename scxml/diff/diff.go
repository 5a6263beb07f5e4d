// SPDX-License-Identifier: Apache-2.0

// Package diff tells in words how two SCXML documents differ: states and
// transitions added, removed and changed. States are the same if their ids are; a
// transition is the same if its state, its event and its condition are. Layout of
// the text, comments, the order of attributes and that of states do not count. Order
// counts where it decides: that of the transitions of a state and of the regions of a
// parallel state, and that in which data get their values.
//
// Functions are pure and may be called by many goroutines at once.
package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// Kind of a change.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one difference.
type Change struct {
	Kind Kind `json:"kind"`
	// State is the id of the state that it concerns; empty for the document.
	State string `json:"state,omitempty"`
	// Text is the change in words, without its kind.
	Text string `json:"text"`
	// Line is where it stands: in the new document, or in the old one for what
	// was removed.
	Line int `json:"line,omitempty"`
}

// String gives a sign, as in a patch, and the text.
func (c Change) String() string {
	sign := map[Kind]string{Added: "+", Removed: "-", Changed: "~"}[c.Kind]
	return sign + " " + c.Text
}

// Documents compares two documents. What is equal in both gives nothing.
func Documents(a, b *scxml.Document) []Change {
	d := differ{late: a.Binding == "late" && b.Binding == "late"}
	d.value(b.Root, "", "name", a.Name, b.Name)
	d.value(b.Root, "", "datamodel", a.Datamodel, b.Datamodel)
	d.value(b.Root, "", "binding", a.Binding, b.Binding)
	d.inside(a.Root, b.Root)
	if old, now := scripts(a.Root), scripts(b.Root); old != now {
		d.add(Changed, b.Root, "the scripts of the document changed")
	}
	// Early, those of all states get their values at the start, in document order.
	if !d.late && reordered(ids(allData(a.Root)), ids(allData(b.Root))) {
		d.add(Changed, b.Root, "the data get their initial values in another order")
	}
	for _, s := range b.States {
		old := match(a, s)
		if old == nil {
			d.add(Added, s, "%s added inside %s", called(s), called(s.Parent))
			continue
		}
		if called(old.Parent) != called(s.Parent) {
			d.add(Changed, s, "%s moved from %s into %s", called(s), called(old.Parent), called(s.Parent))
		}
		if old.Kind != s.Kind {
			d.add(Changed, s, "%s is a <%s> now, and was a <%s>", called(s), s.Kind, old.Kind)
		}
		d.inside(old, s)
	}
	for _, s := range a.States {
		if match(b, s) == nil {
			d.add(Removed, s, "%s removed from %s", called(s), called(s.Parent))
		}
	}
	return d.changes
}

// match finds the state of another document that s is.
func match(d *scxml.Document, s *scxml.State) *scxml.State {
	other := d.State(s.ID)
	if other == nil || other.Anonymous != s.Anonymous {
		return nil
	}
	return other
}

type differ struct {
	// late says that the data of each state get their values when it is entered.
	late    bool
	changes []Change
}

func (d *differ) add(k Kind, s *scxml.State, format string, args ...any) {
	d.at(k, s, s.Line, format, args...)
}

func (d *differ) at(k Kind, s *scxml.State, line int, format string, args ...any) {
	d.changes = append(d.changes, Change{Kind: k, State: s.ID, Text: fmt.Sprintf(format, args...), Line: line})
}

// value tells that an attribute changed.
func (d *differ) value(s *scxml.State, of, name, old, now string) {
	if of != "" {
		name += " of " + of
	}
	if old != now {
		d.add(Changed, s, "%s", revalued(name, old, now))
	}
}

// revalued tells from what to what something changed; empty is not set.
func revalued(name, old, now string) string {
	switch {
	case old == "":
		return fmt.Sprintf("%s is %q now, and was not set", name, now)
	case now == "":
		return fmt.Sprintf("%s is not set any more, and was %q", name, old)
	}
	return fmt.Sprintf("%s is %q now, and was %q", name, now, old)
}

// content tells how executable content changed: which attributes, where that is all, and
// else only that it did, in the words of otherwise.
func (d *differ) content(s *scxml.State, line int, of, otherwise string, old, now []*scxml.Element) {
	edits, ok := revised(old, now)
	if !ok || len(edits) == 0 {
		d.at(Changed, s, line, "%s", otherwise)
		return
	}
	for _, e := range edits {
		d.at(Changed, s, e.line, "%s: %s", of, e.text)
	}
}

// edit is an attribute of executable content that changed.
type edit struct {
	line int
	text string
}

// revised are the attributes in which two lists of elements differ; it is false when they
// differ in anything else.
func revised(old, now []*scxml.Element) (edits []edit, ok bool) {
	if len(old) != len(now) {
		return nil, false
	}
	for n, e := range now {
		was := old[n]
		if was.Space != e.Space || was.Name != e.Name || plain(was) != plain(e) {
			return nil, false
		}
		for _, a := range attributes(was, e) {
			x, _ := was.Attribute(a.Space, a.Name)
			y, _ := e.Attribute(a.Space, a.Name)
			if x != y {
				edits = append(edits, edit{e.Line, revalued(a.Name+" of "+tag(was, a.Name), x, y)})
			}
		}
		inside, same := revised(elements(was), elements(e))
		if !same {
			return nil, false
		}
		edits = append(edits, inside...)
	}
	return edits, true
}

// tag names an element by what it is about, such as <send event="wind">, beside the
// attribute that changed.
func tag(e *scxml.Element, but string) string {
	for _, name := range []string{"event", "eventexpr", "id", "sendid", "location", "name", "cond", "label"} {
		if v, ok := e.Attribute("", name); ok && name != but {
			return fmt.Sprintf("<%s %s=%q>", e.Name, name, v)
		}
	}
	return "<" + e.Name + ">"
}

// inside compares two forms of a state, without its children.
func (d *differ) inside(old, now *scxml.State) {
	d.initial(old, now)
	d.foreign(now, called(now), old.Element, now.Element)
	if old.Kind == scxml.KindParallel && now.Kind == scxml.KindParallel && reordered(regions(old), regions(now)) {
		d.add(Changed, now, "the regions of %s are in another order", called(now))
	}
	content := func(what string, a, b []*scxml.Element) {
		switch x, y := texts(a), texts(b); {
		case x == y:
		case x == "":
			d.add(Added, now, "%s added to %s", what, called(now))
		case y == "":
			d.add(Removed, now, "%s removed from %s", what, called(now))
		default:
			of := what + " of " + called(now)
			d.content(now, now.Line, of, of+" changed", a, b)
		}
	}
	content("<onentry>", old.OnEntry, now.OnEntry)
	content("<onexit>", old.OnExit, now.OnExit)
	content("<invoke>", old.Invokes, now.Invokes)
	content("<donedata>", one(old.DoneData), one(now.DoneData))
	d.data(old, now)
	d.transitions(old, now)
}

// initial compares where a state begins, or where a history leads without a
// record, and what is done on the way.
func (d *differ) initial(old, now *scxml.State) {
	what := "initial state"
	if now.Kind.IsHistory() {
		what = "default"
	}
	d.value(now, called(now), what, initial(old), initial(now))
	if old.Initial == nil || now.Initial == nil {
		return
	}
	a, b := old.Initial.Element, now.Initial.Element
	if x, y := inner(a), inner(b); x != y && x != "" && y != "" {
		of := what + " of " + called(now)
		d.content(now, now.Initial.Line, of, of+": what is done on the way changed", elements(a), elements(b))
	}
	d.foreign(now, "the "+what+" of "+called(now), a, b)
}

// foreign compares the attributes of other namespaces.
func (d *differ) foreign(s *scxml.State, of string, old, now *scxml.Element) {
	for _, n := range foreign(old, now) {
		a, _ := old.Attribute(n.Space, n.Name)
		b, _ := now.Attribute(n.Space, n.Name)
		d.value(s, of, n.Name, a, b)
	}
}

// regions are the ids of the children that are entered together.
func regions(s *scxml.State) []string {
	var out []string
	for _, c := range s.Children {
		if !c.Kind.IsHistory() && !c.Anonymous {
			out = append(out, c.ID)
		}
	}
	return out
}

// allData are the <data> of a state and of those inside, in document order.
func allData(s *scxml.State) []*scxml.Element {
	all := slices.Clone(s.Data)
	for _, c := range s.Children {
		all = append(all, allData(c)...)
	}
	return all
}

func ids(data []*scxml.Element) []string {
	var out []string
	for _, e := range data {
		id, _ := e.Attribute("", "id")
		out = append(out, id)
	}
	return out
}

// reordered says whether what is in both lists is in another order.
func reordered(old, now []string) bool {
	both := slices.DeleteFunc(slices.Clone(now), func(s string) bool { return !slices.Contains(old, s) })
	return !slices.IsSortedFunc(both, func(a, b string) int { return slices.Index(old, a) - slices.Index(old, b) })
}

func one(e *scxml.Element) []*scxml.Element {
	if e == nil {
		return nil
	}
	return []*scxml.Element{e}
}

func (d *differ) data(old, now *scxml.State) {
	byID := func(list []*scxml.Element, id string) *scxml.Element {
		for _, e := range list {
			if v, _ := e.Attribute("", "id"); v == id {
				return e
			}
		}
		return nil
	}
	for _, e := range now.Data {
		id, _ := e.Attribute("", "id")
		before := byID(old.Data, id)
		switch {
		case before == nil:
			d.at(Added, now, e.Line, "data %q added to %s", id, called(now))
		case text(before) != text(e):
			d.at(Changed, now, e.Line, "data %q of %s has another initial value", id, called(now))
		}
	}
	if d.late && reordered(ids(old.Data), ids(now.Data)) {
		d.add(Changed, now, "the data of %s get their initial values in another order", called(now))
	}
	for _, e := range old.Data {
		if id, _ := e.Attribute("", "id"); byID(now.Data, id) == nil {
			d.at(Removed, old, e.Line, "data %q removed from %s", id, called(old))
		}
	}
}

func (d *differ) transitions(old, now *scxml.State) {
	rest := slices.Clone(old.Transitions)
	var kept []*scxml.Transition // of the old state, in the new order
	pairs := map[*scxml.Transition]*scxml.Transition{}
	take := func(t *scxml.Transition, same func(o *scxml.Transition) bool) bool {
		i := slices.IndexFunc(rest, same)
		if i < 0 {
			return false
		}
		pairs[t] = rest[i]
		rest = slices.Delete(rest, i, i+1)
		return true
	}
	for _, t := range now.Transitions {
		_ = take(t, func(o *scxml.Transition) bool { return key(o) == key(t) && goal(o) == goal(t) }) ||
			take(t, func(o *scxml.Transition) bool { return key(o) == key(t) })
	}
	// What is left is the same if only its condition is another.
	for _, t := range now.Transitions {
		if pairs[t] == nil {
			take(t, func(o *scxml.Transition) bool { return words(o.Event) == words(t.Event) && goal(o) == goal(t) })
		}
	}
	for _, t := range now.Transitions {
		o := pairs[t]
		if o == nil {
			d.at(Added, now, t.Line, "transition added: %s", sentence(t))
			continue
		}
		kept = append(kept, o)
		if words(o.Cond) != words(t.Cond) {
			d.at(Changed, now, t.Line, "transition %s: the condition is %q now, and was %q", sentence(t), t.Cond, o.Cond)
		}
		if goal(o) != goal(t) {
			d.at(Changed, now, t.Line, "transition %s: it led to %s", sentence(t), goal(o))
		}
		if o.Internal != t.Internal {
			d.at(Changed, now, t.Line, "transition %s: it is %s now", sentence(t), map[bool]string{true: "internal", false: "external"}[t.Internal])
		}
		d.foreign(now, "transition "+sentence(t), o.Element, t.Element)
		if inner(o.Element) != inner(t.Element) {
			of := "transition " + sentence(t)
			d.content(now, t.Line, of, of+": what it does changed", elements(o.Element), elements(t.Element))
		}
	}
	for _, o := range rest {
		d.at(Removed, old, o.Line, "transition removed: %s", sentence(o))
	}
	if !slices.IsSortedFunc(kept, func(a, b *scxml.Transition) int {
		return slices.Index(old.Transitions, a) - slices.Index(old.Transitions, b)
	}) {
		d.add(Changed, now, "the transitions of %s are in another order", called(now))
	}
}

func key(t *scxml.Transition) string { return words(t.Event) + "\x00" + words(t.Cond) }

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// goal is where a transition leads.
func goal(t *scxml.Transition) string {
	if len(t.Targets) == 0 {
		return "nowhere"
	}
	var out []string
	for _, s := range t.Targets {
		out = append(out, called(s))
	}
	return strings.Join(out, " and ")
}

// sentence tells a transition.
func sentence(t *scxml.Transition) string {
	var b strings.Builder
	b.WriteString("from " + called(t.Source))
	if t.Event != "" {
		b.WriteString(" on " + words(t.Event))
	}
	if t.Cond != "" {
		b.WriteString(" if " + words(t.Cond))
	}
	if len(t.Targets) > 0 {
		b.WriteString(" to " + goal(t))
	}
	return b.String()
}

func called(s *scxml.State) string {
	switch {
	case s.Kind == scxml.KindRoot:
		return "the document"
	case s.Anonymous:
		return "a <" + s.Element.Name + "> without id"
	}
	return s.ID
}

func initial(s *scxml.State) string {
	if s.Initial == nil {
		return ""
	}
	t := goal(s.Initial)
	if s.Initial.Element != nil && inner(s.Initial.Element) != "" {
		t += " with content"
	}
	return t
}

// attributes are those that either element has.
func attributes(elements ...*scxml.Element) []scxml.Attr {
	var out []scxml.Attr
	for _, e := range elements {
		if e == nil {
			continue
		}
		for _, a := range e.Attrs {
			if a.Space != "xmlns" && !slices.ContainsFunc(out, func(o scxml.Attr) bool { return o.Space == a.Space && o.Name == a.Name }) {
				out = append(out, a)
			}
		}
	}
	return out
}

// foreign are those of other namespaces.
func foreign(elements ...*scxml.Element) []scxml.Attr {
	return slices.DeleteFunc(attributes(elements...), func(a scxml.Attr) bool { return a.Space == "" })
}

// elements are the children of an element that are no text.
func elements(e *scxml.Element) []*scxml.Element {
	if e == nil {
		return nil
	}
	var out []*scxml.Element
	for _, c := range e.Children {
		if c.Element != nil {
			out = append(out, c.Element)
		}
	}
	return out
}

// plain is the text of an element, without that of its children.
func plain(e *scxml.Element) string {
	var b strings.Builder
	for _, c := range e.Children {
		if c.Element == nil {
			b.WriteString(strings.TrimSpace(c.Text))
		}
	}
	return b.String()
}

func scripts(root *scxml.State) string {
	var b strings.Builder
	for _, c := range root.Element.Children {
		if c.Element.IsSCXML("script") {
			b.WriteString(text(c.Element))
		}
	}
	return b.String()
}

func texts(list []*scxml.Element) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(text(e))
	}
	return b.String()
}

// text is an element in a form that does not depend on layout.
func text(e *scxml.Element) string {
	var b strings.Builder
	attrs := slices.Clone(e.Attrs)
	slices.SortFunc(attrs, func(a, b scxml.Attr) int { return strings.Compare(a.Space+" "+a.Name, b.Space+" "+b.Name) })
	fmt.Fprintf(&b, "<%s %s", e.Space, e.Name)
	for _, a := range attrs {
		if a.Space != "xmlns" {
			fmt.Fprintf(&b, " %s:%s=%q", a.Space, a.Name, a.Value)
		}
	}
	b.WriteString(">" + inner(e) + "</>")
	return b.String()
}

// inner is what stands inside an element.
func inner(e *scxml.Element) string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	for _, c := range e.Children {
		if c.Element != nil {
			b.WriteString(text(c.Element))
		} else {
			b.WriteString(strings.TrimSpace(c.Text))
		}
	}
	return b.String()
}
