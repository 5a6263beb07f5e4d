// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork

import (
	"errors"
	"fmt"
	"time"

	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/datamodel"
)

// UnknownChart is the message of the failure of a step without a document whose
// digest the Host does not know: ask again with the document.
const UnknownChart = "the chart is not known here"

// StepRequest is one step of a session whose state is elsewhere. The same
// request gives the same response.
type StepRequest struct {
	// Name and Document are the chart, compiled once for a Digest; the Document
	// may be left out once it is known.
	Name     string        `json:"name"`
	Digest   string        `json:"digest"`
	Document []byte        `json:"document,omitempty"`
	Options  CompileOption `json:"options"`
	// Snapshot is the session; empty starts one.
	Snapshot []byte `json:"snapshot,omitempty"`
	Input    Input  `json:"input"`
	// Event is delivered; without one the delayed send Fire is done, and with
	// neither only Enabled is found out.
	Event *scxml.Event `json:"event,omitempty"`
	Fire  uint64       `json:"fire,omitempty"`
	// Within is how much processor time the step may take, see [sandbox.Spend]. To
	// compile the Document is not part of it.
	Within time.Duration `json:"within,omitempty"`
}

// Input is the part of scxml.Input that can be sent.
type Input struct {
	Now                       time.Time
	Seed                      uint64
	SessionID, Name, InvokeID string
	Data                      map[string]any
	IOProcessors              map[string]string
}

// InputOf gives the part of in that can be sent.
func InputOf(in scxml.Input) Input {
	return Input{in.Now, in.Seed, in.SessionID, in.Name, in.InvokeID, in.Data, in.IOProcessors}
}

func (in Input) input() scxml.Input {
	return scxml.Input{Now: in.Now, Seed: in.Seed, SessionID: in.SessionID, Name: in.Name, InvokeID: in.InvokeID, Data: in.Data, IOProcessors: in.IOProcessors}
}

// CompileOption is the part of scxml.Options that the fleet's sessions use.
type CompileOption struct {
	SendTypes, SendTargets, InvokeTypes []string
}

// Options are those to compile with.
func (o CompileOption) Options() scxml.Options {
	return scxml.Options{SendTypes: o.SendTypes, SendTargets: o.SendTargets, InvokeTypes: o.InvokeTypes}
}

// StepResponse is what came of it.
type StepResponse struct {
	Microsteps []scxml.Microstep `json:"microsteps"`
	Effects    []Effect          `json:"effects"`
	Snapshot   []byte            `json:"snapshot"`
	Enabled    []string          `json:"enabled"`
}

// Macrostep gives the step.
func (r StepResponse) Macrostep() scxml.Macrostep {
	step := scxml.Macrostep{Microsteps: r.Microsteps}
	for _, e := range r.Effects {
		step.Effects = append(step.Effects, e.Effect)
		if done, ok := e.Effect.(scxml.Done); ok {
			step.Done = &done
		}
	}
	return step
}

// maxCharts bounds how many compiled charts a Host keeps.
const maxCharts = 64

func (h *Host) chart(r StepRequest) (*scxml.Chart, error) {
	if c := h.charts[r.Digest]; c != nil {
		return c, nil
	}
	if len(r.Document) == 0 {
		return nil, errors.New(UnknownChart)
	}
	d, err := scxml.Parse(r.Name, r.Document, scxml.Limits{})
	if err != nil {
		return nil, err
	}
	c, err := scxml.Compile(d, r.Options.Options())
	if err != nil {
		return nil, err
	}
	if h.charts == nil || len(h.charts) >= maxCharts {
		h.charts = map[string]*scxml.Chart{}
	}
	h.charts[r.Digest] = c
	return c, nil
}

func (h *Host) step(r StepRequest) (StepResponse, error) {
	c, err := h.chart(r)
	if err != nil {
		return StepResponse{}, err
	}
	defer sandbox.Spend(r.Within)()
	var ip *scxml.Interpreter
	var step scxml.Macrostep
	if len(r.Snapshot) == 0 {
		ip, step, err = scxml.Start(c, r.Input.input())
	} else if ip, err = scxml.Restore(c, r.Snapshot); err == nil {
		switch {
		case r.Event != nil:
			step, err = ip.Deliver(*r.Event, r.Input.input())
		case r.Fire != 0:
			step, err = ip.Fire(r.Fire, r.Input.input())
		}
	}
	if err != nil {
		return StepResponse{}, fmt.Errorf("step in the sandbox: %w", err)
	}
	out := StepResponse{Microsteps: step.Microsteps}
	for i, m := range out.Microsteps {
		if m.Event != nil {
			ev := plainEvent(*m.Event)
			out.Microsteps[i].Event = &ev
		}
		for k, l := range m.Log {
			out.Microsteps[i].Log[k].Value = datamodel.Plain(l.Value)
		}
	}
	for _, e := range step.Effects {
		out.Effects = append(out.Effects, Effect{e})
	}
	if out.Snapshot, err = ip.AppendSnapshot(nil); err != nil {
		return StepResponse{}, err
	}
	if ip.Finished() == nil {
		out.Enabled = ip.Enabled()
	}
	return out, nil
}
