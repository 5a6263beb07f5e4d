// SPDX-License-Identifier: AGPL-3.0-or-later

// Package chartwork is what is done with charts that are not trusted: tests,
// sessions that somebody tries out, and single steps of the fleet's sessions. Each
// is an operation that runs either in this process ([Direct]) or in a child of
// package sandbox, whose handler is [Host.Handle].
//
// A Host belongs to one goroutine.
package chartwork

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/conformance"
	"github.com/chartroom/chartroom/scxml/lint"
)

// Caller does operations: *sandbox.Worker or *Direct.
type Caller interface {
	Call(ctx context.Context, op string, in, out any) error
}

// The operations.
const (
	// OpLint takes a LintRequest and gives []lint.Finding.
	OpLint = "lint"
	// OpTest takes a conformance.Case and gives a conformance.Result.
	OpTest = "test"
	// OpJudge takes a manual conformance.Case and gives a conformance.Judgement.
	OpJudge = "judge"
	// OpOpen takes an OpenRequest, OpInput an InputRequest; both give a Report.
	OpOpen  = "open"
	OpInput = "input"
	// OpStep takes a StepRequest and gives a StepResponse.
	OpStep = "step"
	// OpCheck takes a CheckRequest and gives a CheckResponse.
	OpCheck = "check"
)

// LintRequest is a document to look at.
type LintRequest struct {
	Name     string `json:"name"`
	Document []byte `json:"document"`
	// Folder is where `src` is loaded from; empty refuses it.
	Folder string `json:"folder,omitempty"`
}

// Host does operations and remembers what they left. The zero value is usable.
type Host struct {
	trial  *trial
	charts map[string]*scxml.Chart
}

// Handle does one operation. It notes the place in the document that it is at,
// which [Where] reads.
func (h *Host) Handle(op string, body json.RawMessage, note func(any)) (any, error) {
	at := func(p scxml.Position) { note(p) }
	switch op {
	case OpLint:
		return handle(body, func(r LintRequest) ([]lint.Finding, error) {
			return lint.Document(r.Name, r.Document, scxml.Options{Load: loader(r.Folder), Compiling: at}), nil
		})
	case OpTest:
		return handle(body, func(c conformance.Case) (conformance.Result, error) { return c.Run(), nil })
	case OpJudge:
		return handle(body, func(c conformance.Case) (conformance.Judgement, error) { return c.Judge(), nil })
	case OpOpen:
		return handle(body, func(r OpenRequest) (Report, error) { return h.open(r, at) })
	case OpInput:
		return handle(body, h.input)
	case OpStep:
		return handle(body, h.step)
	case OpCheck:
		return handle(body, func(r CheckRequest) (CheckResponse, error) { return r.check(at) })
	}
	return nil, fmt.Errorf("unknown operation %q", op)
}

func handle[In, Out any](body json.RawMessage, do func(In) (Out, error)) (any, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return do(in)
}

func loader(folder string) func(string) ([]byte, error) {
	if folder == "" {
		return nil
	}
	return conformance.Beside(folder)
}

// Direct does operations in this process, for charts that are trusted.
type Direct struct{ host Host }

// Call implements [Caller]. It cannot be interrupted.
func (d *Direct) Call(_ context.Context, op string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	result, err := d.host.Handle(op, body, func(any) {})
	if err != nil {
		return err
	}
	if body, err = json.Marshal(result); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}
