// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"

	"github.com/chartroom/chartroom/scxml"
)

const xinclude = "http://www.w3.org/2001/XInclude"

// attributes are those that SCXML knows, by element.
var attributes = map[string]string{
	"scxml": "initial name version datamodel binding exmode", "state": "id initial", "parallel": "id", "final": "id",
	"history": "id type", "initial": "", "transition": "event cond target type", "onentry": "", "onexit": "", "finalize": "",
	"datamodel": "", "data": "id src expr", "donedata": "", "content": "expr", "param": "name expr location",
	"raise": "event", "if": "cond", "elseif": "cond", "else": "", "foreach": "array item index", "log": "label expr",
	"assign": "location expr type attr", "script": "src",
	"send":   "event eventexpr target targetexpr type typeexpr id idlocation delay delayexpr namelist",
	"cancel": "sendid sendidexpr", "invoke": "type typeexpr src srcexpr id idlocation namelist autoforward",
}

// expressions are the attributes that hold one.
var expressions = []string{"expr", "cond", "eventexpr", "targetexpr", "typeexpr", "delayexpr", "srcexpr", "sendidexpr", "array", "location"}

var (
	inCall = regexp.MustCompile(`\bIn\(\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\)`)
	// nullIn is the whole condition of the null datamodel (SCXML B.1).
	nullIn    = regexp.MustCompile(`^\s*In\s*\(\s*(?:'([^']*)'|"([^"]*)"|([^\s'"()]+))\s*\)\s*$`)
	variable  = regexp.MustCompile(`^[\p{L}_$][\p{L}\p{N}_$]*$`)
	firstName = regexp.MustCompile(`^\s*([\p{L}_$][\p{L}\p{N}_$]*)`)
	words     = regexp.MustCompile(`[\p{L}_$][\p{L}\p{N}_$]*`)
)

// xmlID is what XML takes for an id (SCXML 3.14).
var xmlID = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}\p{M}_.·-]*$`)

// names walks all elements of SCXML and looks at what they name.
func (l *linter) names() {
	declared, sendIDs, dynamicSend := map[string]bool{}, map[string]bool{}, false
	walk(l.doc.Root.Element, func(e *scxml.Element) {
		switch e.Name {
		case "data":
			declared[attr(e, "id")] = true
		case "foreach":
			declared[attr(e, "item")], declared[attr(e, "index")] = true, true
		case "script":
			_, external := e.Attribute("", "src")
			declared["*"] = declared["*"] || external
			for _, w := range words.FindAllString(text(e), -1) {
				declared[w] = true
			}
		case "send":
			sendIDs[attr(e, "id")] = true
			dynamicSend = dynamicSend || attr(e, "idlocation") != ""
		}
	})
	if _, ok := l.doc.Root.Element.Attribute("", "version"); !ok {
		l.find(l.doc.Root.Position, Warning, RuleValue, "version=\"1.0\" is missing")
	}
	walk(l.doc.Root.Element, func(e *scxml.Element) {
		l.attributesOf(e)
		for _, c := range e.Children {
			if c.Element != nil && c.Element.Space == xinclude && e.Name != "content" && e.Name != "data" && e.Name != "assign" {
				l.find(c.Element.Position, Error, RuleUnknown, "XInclude is not resolved: put what it includes in its place")
			}
		}
		if l.ecmascript {
			l.expressionsOf(e, declared)
			l.variablesOf(e)
		} else if m := nullIn.FindStringSubmatch(attr(e, "cond")); m != nil {
			l.unknownState(e, m[1]+m[2]+m[3])
		}
		switch id := attr(e, "id"); e.Name {
		case "state", "parallel", "final", "history":
			if id != "" && !xmlID.MatchString(id) {
				l.find(e.Position, Warning, RuleValue, "%q is no id for XML, so that other engines may refuse it: it begins with a letter or _, and has letters, digits and ._- only", id)
			}
		case "cancel":
			if id, ok := e.Attribute("", "sendid"); ok && !sendIDs[id] && !dynamicSend {
				l.find(e.Position, Warning, RuleUnknown, "no <send> has the id %q", id)
			}
		case "transition":
			for d := range strings.FieldsSeq(attr(e, "event")) {
				if id, ok := strings.CutPrefix(d, "done.state."); ok && l.doc.State(strings.TrimSuffix(strings.TrimSuffix(id, ".*"), ".")) == nil && id != "*" {
					l.find(e.Position, Warning, RuleUnknown, "there is no state %q to be done", id)
				}
			}
		}
	})
}

// attributesOf looks at attributes that nothing reads, and at chartroom's own.
func (l *linter) attributesOf(e *scxml.Element) {
	known := strings.Fields(attributes[e.Name])
	for _, a := range e.Attrs {
		switch {
		case a.Space == "" && !slices.Contains(known, a.Name):
			l.find(e.Position, Error, RuleUnknown, "<%s> has no attribute %s", e.Name, a.Name)
		case a.Name == "admit" && a.Space != "" && a.Space != "xmlns" && a.Space != Namespace:
			l.find(e.Position, Warning, RuleAdmit, "admit is in namespace %q and has no effect: %q is the one that means something", a.Space, Namespace)
		case a.Space != Namespace:
		case a.Name == "resume" && e.Name != "send" && e.Name != "scxml":
			l.find(e.Position, Warning, RuleUnknown, "resume has no effect on <%s>, only on <send> and <scxml>", e.Name)
		case a.Name == "resume": // a wrong value is a problem of the chart
		case a.Name == "activity" && !stateElement(e):
			l.find(e.Position, Warning, RuleActivity, "activity has no effect on <%s>, only on states", e.Name)
		case a.Name == "activity" && !slices.Contains([]string{"running", "busy", "paused", "idle"}, a.Value):
			l.find(e.Position, Error, RuleActivity, "activity %q is none of running, busy, paused and idle", a.Value)
		case a.Name == "activity":
		case a.Name != "admit":
			l.find(e.Position, Warning, RuleUnknown, "there is no attribute %s in namespace %q", a.Name, Namespace)
		case !stateElement(e):
			l.find(e.Position, Warning, RuleAdmit, "admit has no effect on <%s>, only on states", e.Name)
		case a.Value != "forward" && a.Value != "queue" && a.Value != "fail":
			l.find(e.Position, Error, RuleAdmit, "admit %q is none of forward, queue and fail", a.Value)
		}
	}
}

// stateElement says whether an element is a state that can be active.
func stateElement(e *scxml.Element) bool {
	return e.Name == "state" || e.Name == "parallel" || e.Name == "final"
}

func (l *linter) expressionsOf(e *scxml.Element, declared map[string]bool) {
	for _, n := range expressions {
		v, ok := e.Attribute("", n)
		if !ok {
			continue
		}
		for _, m := range inCall.FindAllStringSubmatch(v, -1) {
			l.unknownState(e, m[1]+m[2])
		}
	}
	for _, n := range []string{"location", "idlocation"} {
		v, ok := e.Attribute("", n)
		if m := firstName.FindStringSubmatch(v); ok && m != nil && !declared["*"] && !declared[m[1]] && !strings.HasPrefix(m[1], "_") {
			l.find(e.Position, Warning, RuleUnknown, "%s %q: nothing declares %s", n, v, m[1])
		}
	}
	for n := range strings.FieldsSeq(attr(e, "namelist")) {
		if m := firstName.FindStringSubmatch(n); m != nil && !declared["*"] && !declared[m[1]] && !strings.HasPrefix(m[1], "_") {
			l.find(e.Position, Warning, RuleUnknown, "namelist: nothing declares %s", m[1])
		}
	}
	if e.Name == "data" || e.Name == "assign" {
		source := attr(e, "expr")
		if source == "" {
			source = strings.TrimSpace(text(e))
		}
		if what := unsaved(source); what != "" {
			l.find(e.Position, Error, RuleUnsaved, "%s cannot be saved: it becomes undefined, with error.execution", what)
		}
	}
}

// unknownState looks at a state that In() asks for.
func (l *linter) unknownState(e *scxml.Element, id string) {
	if l.doc.State(id) == nil {
		l.find(e.Position, Error, RuleUnknown, "In(%q): there is no such state", id)
	}
}

// variablesOf looks at the names that a loop gives to variables.
func (l *linter) variablesOf(e *scxml.Element) {
	if e.Name != "foreach" {
		return
	}
	for _, n := range []string{"item", "index"} {
		name := attr(e, n)
		if name == "" && n == "index" {
			continue
		}
		if parse("'use strict'; var "+name) == nil || !variable.MatchString(name) || slices.Contains(taken, name) {
			l.find(e.Position, Error, RuleScript, "%s %q is not the name of a variable: the loop fails, with error.execution", n, name)
		}
	}
}

// taken are names that no chart can give a value: the system variables (SCXML 5.10), In, and
// the constants of ECMAScript.
var taken = []string{"_event", "_sessionid", "_name", "_ioprocessors", "_x", "In", "NaN", "Infinity", "undefined"}

// unsaved names the part of an expression's value that no snapshot can hold;
// empty if there is none for certain.
func unsaved(source string) string {
	if source == "" {
		return ""
	}
	program := parse("(" + source + "\n)")
	if program == nil || len(program.Body) != 1 {
		return ""
	}
	statement, ok := program.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return ""
	}
	return unsavedValue(statement.Expression)
}

// maxSource bounds the code that is read; what is longer does not compile either. The
// parser calls itself for each nesting, and a stack that is used up ends the process.
const maxSource = 64 << 10

// parse reads code; nil if it cannot be read, which is a finding of its own.
func parse(source string) *ast.Program {
	if len(source) > maxSource {
		return nil
	}
	program, err := parser.ParseFile(nil, "", source, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return nil
	}
	return program
}

func unsavedValue(e ast.Expression) string {
	switch e := e.(type) {
	case *ast.FunctionLiteral, *ast.ArrowFunctionLiteral:
		return "a function"
	case *ast.ClassLiteral:
		return "a class"
	case *ast.RegExpLiteral:
		return "a regular expression"
	case *ast.NewExpression:
		if id, ok := e.Callee.(*ast.Identifier); ok {
			switch n := id.Name.String(); n {
			case "Map", "Set", "WeakMap", "WeakSet", "Date", "RegExp", "Promise", "Function", "Error", "Proxy", "ArrayBuffer", "DataView",
				"Uint8Array", "Int8Array", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array", "Float32Array", "Float64Array":
				return "a " + n
			}
		}
	case *ast.CallExpression:
		if id, ok := e.Callee.(*ast.Identifier); ok && (id.Name == "Symbol" || id.Name == "BigInt") {
			return "a " + id.Name.String()
		}
	case *ast.ObjectLiteral:
		for _, p := range e.Value {
			if keyed, ok := p.(*ast.PropertyKeyed); ok {
				if keyed.Kind == ast.PropertyKindMethod {
					return "a function"
				}
				if what := unsavedValue(keyed.Value); what != "" {
					return what
				}
			}
		}
	case *ast.ArrayLiteral:
		for _, v := range e.Value {
			if v == nil {
				continue
			}
			if what := unsavedValue(v); what != "" {
				return what
			}
		}
	}
	return ""
}

// walk calls f for e and the SCXML elements inside, without what is data.
func walk(e *scxml.Element, f func(*scxml.Element)) {
	f(e)
	if e.Name == "content" || e.Name == "data" || e.Name == "assign" {
		return
	}
	for _, c := range e.Children {
		if c.Element != nil && c.Element.Space == scxml.Namespace {
			walk(c.Element, f)
		}
	}
}

func attr(e *scxml.Element, name string) string {
	v, _ := e.Attribute("", name)
	return v
}

func text(e *scxml.Element) string {
	var b strings.Builder
	for _, c := range e.Children {
		b.WriteString(c.Text)
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
