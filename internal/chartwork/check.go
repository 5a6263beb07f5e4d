// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork

import (
	"encoding/json"
	"errors"

	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
)

// CheckRequest is a document of a stranger, to be read, compiled and started
// once. A document that is refused is a failure; one that breaks the sandbox's
// limits by any of it is not to be touched by another process.
type CheckRequest struct {
	Name     string        `json:"name"`
	Document []byte        `json:"document"`
	Options  CompileOption `json:"options"`
}

// CheckResponse is what is known of a document that passed.
type CheckResponse struct {
	// Bounded is [scxml.Chart.Bounded].
	Bounded bool `json:"bounded"`
}

func (r CheckRequest) check(at func(scxml.Position)) (CheckResponse, error) {
	d, err := scxml.Parse(r.Name, r.Document, scxml.Limits{})
	if err != nil {
		return CheckResponse{}, err
	}
	options := r.Options.Options()
	options.Compiling = at
	c, err := scxml.Compile(d, options)
	if err != nil {
		return CheckResponse{}, err
	}
	at(begins(d))
	if _, _, err := scxml.Start(c, scxml.Input{}); err != nil {
		return CheckResponse{}, err
	}
	return CheckResponse{Bounded: c.Bounded()}, nil
}

// begins is where a session of d begins: at its first script, else at the root.
func begins(d *scxml.Document) scxml.Position {
	for _, n := range d.Root.Element.Children {
		if n.Element.IsSCXML("script") {
			return n.Element.Position
		}
	}
	return d.Root.Position
}

// Prevents reports whether what was found keeps a chart from what its author
// wrote. A part that is never reached does not: the rest works.
func Prevents(f lint.Finding) bool {
	return f.Severity == lint.Error && f.Rule != lint.RuleUnreachable && f.Rule != lint.RuleDead
}

// Where tells the place in the document that an operation was at when it broke
// the sandbox's limits; false if it is not known.
func Where(err error) (scxml.Position, bool) {
	var at scxml.Position
	broken, ok := errors.AsType[*sandbox.Broken](err)
	return at, ok && broken.Note != nil && json.Unmarshal(broken.Note, &at) == nil && at.Line > 0
}
