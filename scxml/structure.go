// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// rule says what an SCXML element may have (SCXML 3 to 6).
type rule struct {
	// children are the names of the SCXML elements allowed inside.
	children []string
	// text says that character data is meaningful inside.
	text bool
	// required are attributes that must be there; of a group written "a|b"
	// exactly one.
	required []string
	// exclusive are groups of attributes, written "a|b", of which at most one
	// may be there.
	exclusive []string
	// nonempty are attributes that have one of some words, or a name.
	nonempty []string
}

var executables = []string{"raise", "if", "foreach", "log", "assign", "script", "send", "cancel"}

var rules = map[string]rule{
	// <transition> here is an extension that other engines have, too.
	"scxml":      {children: []string{"state", "parallel", "final", "datamodel", "script", "transition"}, nonempty: []string{"binding", "datamodel"}},
	"state":      {children: []string{"onentry", "onexit", "transition", "initial", "state", "parallel", "final", "history", "datamodel", "invoke"}},
	"parallel":   {children: []string{"onentry", "onexit", "transition", "state", "parallel", "history", "datamodel", "invoke"}},
	"final":      {children: []string{"onentry", "onexit", "donedata"}},
	"history":    {children: []string{"transition"}, nonempty: []string{"type"}},
	"initial":    {children: []string{"transition"}},
	"transition": {children: executables, nonempty: []string{"type"}},
	"onentry":    {children: executables},
	"onexit":     {children: executables},
	"finalize":   {children: executables},
	"datamodel":  {children: []string{"data"}},
	"data":       {text: true, required: []string{"id"}, exclusive: []string{"src|expr"}},
	"donedata":   {children: []string{"content", "param"}},
	"content":    {text: true},
	"param":      {required: []string{"name", "expr|location"}, nonempty: []string{"name"}},
	"raise":      {required: []string{"event"}},
	"if":         {children: append([]string{"elseif", "else"}, executables...), required: []string{"cond"}},
	"elseif":     {required: []string{"cond"}},
	"else":       {},
	"foreach":    {children: executables, required: []string{"array", "item"}},
	"log":        {},
	"assign":     {text: true, required: []string{"location"}},
	"script":     {text: true},
	"send": {children: []string{"content", "param"}, exclusive: []string{
		"event|eventexpr", "target|targetexpr", "type|typeexpr", "id|idlocation", "delay|delayexpr"}},
	"cancel": {required: []string{"sendid|sendidexpr"}, nonempty: []string{"sendid"}},
	"invoke": {children: []string{"content", "param", "finalize"}, exclusive: []string{
		"type|typeexpr", "src|srcexpr", "id|idlocation"}},
}

// builder turns elements into states and checks the structure.
type builder struct {
	name string
	doc  *Document
	// pending transitions wait for all ids to be known.
	pending []pendingTransition
	data    map[string]bool
}

type pendingTransition struct {
	t       *Transition
	targets string
}

func (b *builder) fail(p Position, format string, args ...any) error {
	return &SyntaxError{Name: b.name, Position: p, Message: fmt.Sprintf(format, args...)}
}

func (b *builder) build(root *Element) (*Document, error) {
	switch {
	case root.Name != "scxml":
		return nil, b.fail(root.Position, "the root element is <%s>, not <scxml>", root.Name)
	case root.Space == "":
		return nil, b.fail(root.Position, "the root element is in no namespace: write <scxml xmlns=%q>", Namespace)
	case root.Space != Namespace:
		return nil, b.fail(root.Position, "the root element is in namespace %q, not in %q", root.Space, Namespace)
	}
	root.collapse()
	if v, ok := root.Attribute("", "version"); ok && v != "1.0" {
		return nil, b.fail(root.Position, "version %q is not supported, only 1.0", v)
	}
	d := b.doc
	d.Name, d.Datamodel = root.attr("name"), root.attr("datamodel")
	switch v := root.attr("binding"); v {
	case "", "early", "late":
		if v != "" {
			d.Binding = v
		}
	default:
		return nil, b.fail(root.Position, "binding %q is neither early nor late", v)
	}
	b.data = map[string]bool{}
	if err := b.check(root); err != nil {
		return nil, err
	}
	d.Root = &State{Kind: KindRoot, Element: root, Position: root.Position}
	if err := b.children(d.Root); err != nil {
		return nil, err
	}
	b.nameAnonymous()
	if len(d.Root.Children) == 0 {
		return nil, b.fail(root.Position, "<scxml> has no state")
	}
	for _, p := range b.pending {
		if err := b.resolve(p); err != nil {
			return nil, err
		}
	}
	for _, s := range append([]*State{d.Root}, d.States...) {
		if err := b.defaults(s); err != nil {
			return nil, err
		}
	}
	return d, b.circles()
}

// collapse drops the white space around the attributes of e whose types in the schema
// are words or URIs: it does not belong to the value (XML Schema, 4.3.6).
func (e *Element) collapse() {
	for i, a := range e.Attrs {
		switch a.Name {
		case "autoforward", "binding", "datamodel", "id", "name", "sendid", "src", "target", "type", "version":
			if a.Space == "" {
				e.Attrs[i].Value = strings.TrimSpace(a.Value)
			}
		}
	}
}

// check tests e and everything SCXML inside it against rules.
func (b *builder) check(e *Element) error {
	e.collapse()
	r := rules[e.Name]
	for _, group := range r.required {
		n := 0
		for name := range strings.SplitSeq(group, "|") {
			if e.hasAttr(name) {
				n++
			}
		}
		switch {
		case n == 0:
			return b.fail(e.Position, "<%s> needs the attribute %s", e.Name, strings.ReplaceAll(group, "|", " or "))
		case n > 1:
			return b.fail(e.Position, "<%s> has more than one of the attributes %s", e.Name, strings.ReplaceAll(group, "|", ", "))
		}
	}
	for _, group := range r.exclusive {
		n := 0
		for name := range strings.SplitSeq(group, "|") {
			if e.hasAttr(name) {
				n++
			}
		}
		if n > 1 {
			return b.fail(e.Position, "<%s> has more than one of the attributes %s", e.Name, strings.ReplaceAll(group, "|", ", "))
		}
	}
	for _, name := range r.nonempty {
		if e.hasAttr(name) && e.attr(name) == "" {
			return b.fail(e.Position, "the attribute %s is empty", name)
		}
	}
	for _, a := range e.Attrs {
		if a.Space == Namespace {
			return b.fail(e.Position, "attribute %q has the prefix of SCXML: those of SCXML have none", a.Name)
		}
	}
	if id := e.attr("id"); e.hasAttr("id") && (id == "" || strings.ContainsFunc(id, unicode.IsSpace)) {
		return b.fail(e.Position, "%q is not an id", id)
	}
	if err := b.checkContent(e); err != nil {
		return err
	}
	// What is inside <content> and <data> is data, even if it is SCXML.
	if e.Name == "content" || e.Name == "data" || e.Name == "assign" {
		return nil
	}
	seenElse := false
	for _, c := range e.Children {
		if c.Element == nil {
			if !blank(c.Text) && !r.text {
				return b.fail(e.Position, "text %q is not allowed inside <%s>", shorten(strings.Trim(c.Text, blanks)), e.Name)
			}
			continue
		}
		switch c.Element.Space {
		case Namespace:
		case "":
			return b.fail(c.Element.Position, "<%s> is in no namespace", c.Element.Name)
		default:
			continue
		}
		if _, known := rules[c.Element.Name]; !known {
			return b.fail(c.Element.Position, "unknown element <%s>", c.Element.Name)
		}
		if !slices.Contains(r.children, c.Element.Name) {
			return b.fail(c.Element.Position, "<%s> is not allowed inside <%s>", c.Element.Name, e.Name)
		}
		switch c.Element.Name {
		case "else", "elseif":
			if seenElse {
				return b.fail(c.Element.Position, "<%s> after <else>", c.Element.Name)
			}
			seenElse = c.Element.Name == "else"
		}
		if err := b.check(c.Element); err != nil {
			return err
		}
	}
	return nil
}

// checkContent tests what rules cannot say.
func (b *builder) checkContent(e *Element) error {
	count := func(name string) int {
		n := 0
		for _, c := range e.elements() {
			if c.Name == name {
				n++
			}
		}
		return n
	}
	if (e.Name == "raise" || e.Name == "send") && e.hasAttr("event") && len(strings.Fields(e.attr("event"))) != 1 {
		return b.fail(e.Position, "%q is not the name of an event", e.attr("event"))
	}
	hasText := !blank(e.text())
	for _, c := range e.Children {
		hasText = hasText || c.Element != nil
	}
	switch e.Name {
	case "send", "donedata", "invoke":
		if count("content") > 1 {
			return b.fail(e.Position, "<%s> has more than one <content>", e.Name)
		}
		if e.Name != "invoke" && count("content") > 0 && (count("param") > 0 || e.hasAttr("namelist")) {
			return b.fail(e.Position, "<%s> has both <content> and <param> or namelist", e.Name)
		}
		if e.Name == "donedata" && count("content") == 0 && count("param") == 0 {
			return b.fail(e.Position, "<donedata> needs <content> or <param>")
		}
		if e.Name == "invoke" && count("content") > 0 && (e.hasAttr("src") || e.hasAttr("srcexpr")) {
			return b.fail(e.Position, "<invoke> has both <content> and src")
		}
		if e.Name == "invoke" && count("param") > 0 && e.hasAttr("namelist") {
			return b.fail(e.Position, "<invoke> has both <param> and namelist")
		}
		if v := e.attr("autoforward"); e.hasAttr("autoforward") && v != "true" && v != "false" {
			return b.fail(e.Position, "autoforward %q is neither true nor false", v)
		}
		if e.Name == "invoke" && count("finalize") > 1 {
			return b.fail(e.Position, "<invoke> has more than one <finalize>")
		}
		if e.Name == "send" && canonicalType(e.attr("type")) == SCXMLProcessor && !e.hasAttr("typeexpr") && count("content") == 0 && !e.hasAttr("event") && !e.hasAttr("eventexpr") {
			return b.fail(e.Position, "<send> needs event, eventexpr or <content>")
		}
		if e.attr("target") == "#_internal" && (e.hasAttr("delay") || e.hasAttr("delayexpr")) {
			return b.fail(e.Position, "<send> to #_internal cannot be delayed")
		}
	case "content":
		if e.hasAttr("expr") && hasText {
			return b.fail(e.Position, "<content> has both expr and a body")
		}
	case "assign":
		if e.hasAttr("expr") && hasText {
			return b.fail(e.Position, "<assign> has both expr and a body")
		}
		if !e.hasAttr("expr") && !hasText {
			return b.fail(e.Position, "<assign> needs expr or a body")
		}
	case "data":
		if hasText && (e.hasAttr("expr") || e.hasAttr("src")) {
			return b.fail(e.Position, "<data> has both a body and %s", "expr or src")
		}
		id := e.attr("id")
		if strings.HasPrefix(id, "_") {
			return b.fail(e.Position, "data id %q begins with _, which is for system variables", id)
		}
		if b.data[id] {
			return b.fail(e.Position, "data id %q is not unique", id)
		}
		b.data[id] = true
	case "finalize":
		if c := e.find("raise", "send"); c != nil {
			return b.fail(c.Position, "<%s> is not allowed inside <finalize>, which raises no events", c.Name)
		}
	case "script":
		if hasText && e.hasAttr("src") {
			return b.fail(e.Position, "<script> has both src and a body")
		}
	case "scxml", "state", "parallel":
		if count("script") > 1 {
			return b.fail(e.Position, "<%s> has more than one <script>", e.Name)
		}
		if count("datamodel") > 1 {
			return b.fail(e.Position, "<%s> has more than one <datamodel>", e.Name)
		}
		if count("initial") > 1 {
			return b.fail(e.Position, "<%s> has more than one <initial>", e.Name)
		}
		if e.Name == "state" && e.hasAttr("initial") && count("initial") > 0 {
			return b.fail(e.Position, "<state> has both <initial> and the attribute initial")
		}
		if e.Name == "parallel" && e.hasAttr("initial") {
			return b.fail(e.Position, "<parallel> cannot have the attribute initial: all children are entered")
		}
	case "final":
		if count("donedata") > 1 {
			return b.fail(e.Position, "<final> has more than one <donedata>")
		}
	case "history", "initial":
		if n := count("transition"); n != 1 {
			return b.fail(e.Position, "<%s> needs exactly one <transition>, not %d", e.Name, n)
		}
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 30 {
		return s[:30] + "…"
	}
	return s
}
