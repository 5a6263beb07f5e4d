// SPDX-License-Identifier: Apache-2.0

// Package lint finds mistakes in SCXML documents that the parser accepts: parts
// that can never run, expressions that will fail, data that cannot be saved.
//
// It looks at the text only and runs nothing of it, so that a document of a
// stranger can be looked at; it is one pass without goroutines, and functions
// may be called by many goroutines at once. A finding of [Error] is certain: what
// it names fails, or has no effect, whenever it is reached. A [Warning] may be
// meant. No finding does not mean that the chart is right.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/chartroom/chartroom/scxml"
)

// Severity of a finding.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// The rules, as they are named in [Finding.Rule].
const (
	// RuleSyntax: the document is refused, such as for an unknown target.
	RuleSyntax = "syntax"
	// RuleScript: an expression or script does not compile.
	RuleScript = "script"
	// RuleUnreachable: a state that no transition leads to.
	RuleUnreachable = "unreachable"
	// RuleDead: a transition that is never taken.
	RuleDead = "dead"
	// RuleConflict: transitions that cannot be taken together.
	RuleConflict = "conflict"
	// RuleEndless: eventless transitions that follow each other for ever.
	RuleEndless = "endless"
	// RuleUnsaved: a value that no snapshot can hold.
	RuleUnsaved = "unsaved"
	// RuleUnknown: a name that stands for nothing: a state, a location, an
	// attribute.
	RuleUnknown = "unknown"
	// RuleAdmit: a wrong value of the attribute admit in [Namespace].
	RuleAdmit = "admit"
	// RuleActivity: a wrong value of the attribute activity in [Namespace].
	RuleActivity = "activity"
	// RuleValue: an attribute whose value means nothing.
	RuleValue = "value"
)

// Namespace is that of chartroom's own attributes.
const Namespace = scxml.Extension

// Finding is one mistake.
type Finding struct {
	File string `json:"file"`
	scxml.Position
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"`
	// Message says what is wrong, lower case, on one line.
	Message string `json:"message"`
}

// String gives "file:line:column: severity: message".
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", f.File, f.Line, f.Column, f.Severity, f.Message)
}

// Document looks at the document doc. name is used for [Finding.File]. The
// findings are in the order of the document.
func Document(name string, doc []byte, o scxml.Options) []Finding {
	l := linter{file: name, parallelLCCA: o.ParallelLCCA}
	d, err := scxml.Parse(name, doc, o.Limits)
	var chart *scxml.Chart
	if err == nil {
		chart, err = scxml.Compile(d, o)
	}
	if syntax, ok := errors.AsType[*scxml.SyntaxError](err); ok {
		l.find(syntax.Position, Error, RuleSyntax, "%s", syntax.Message)
	} else if err != nil {
		l.find(scxml.Position{Line: 1, Column: 1}, Error, RuleSyntax, "%v", err)
	}
	if d != nil {
		l.doc = d
		l.ecmascript = d.Datamodel == "ecmascript" || d.Datamodel == "" && o.Datamodel != "null"
		if chart != nil {
			for _, p := range chart.Problems() {
				l.find(p.Position, Error, RuleScript, "%s", p.Message)
			}
		}
		l.transitions()
		l.endless()
		l.unreachable()
		l.conflicts()
		l.names()
		if l.ecmascript {
			l.hidden()
		}
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(l.found)
}

// linter is one look at one document.
type linter struct {
	file       string
	doc        *scxml.Document
	ecmascript bool
	// parallelLCCA is [scxml.Options.ParallelLCCA].
	parallelLCCA bool
	// dead are transitions that are never taken.
	dead  map[*scxml.Transition]bool
	found []Finding
}

func (l *linter) find(p scxml.Position, s Severity, rule, format string, args ...any) {
	l.found = append(l.found, Finding{l.file, p, s, rule, oneLine(fmt.Sprintf(format, args...))})
}

// states are all states, the root first.
func (l *linter) states() []*scxml.State {
	return append([]*scxml.State{l.doc.Root}, l.doc.States...)
}

// within says whether s is p or inside it.
func within(s, p *scxml.State) bool {
	for ; s != nil; s = s.Parent {
		if s == p {
			return true
		}
	}
	return false
}

// name is how a state is named in messages.
func name(s *scxml.State) string {
	switch {
	case s.Kind == scxml.KindRoot:
		return "<scxml>"
	case s.Anonymous:
		return "<" + s.Element.Name + "> without id"
	}
	return fmt.Sprintf("%q", s.ID)
}
