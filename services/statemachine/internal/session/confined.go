// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
)

// Sandbox takes steps of charts that are not trusted in another process:
// *sandbox.Pool. It must be safe for concurrent use.
type Sandbox = chartwork.Caller

// Confined says whether sessions are stepped elsewhere.
func (c *Chart) Confined() bool { return c.sandbox != nil }

// running is a session that runs: *scxml.Interpreter, or *confined.
type running interface {
	Deliver(scxml.Event, scxml.Input) (scxml.Macrostep, error)
	Fire(uint64, scxml.Input) (scxml.Macrostep, error)
	Forget(seq uint64)
	Interrupt()
	Pending() []scxml.Delayed
	Configuration() []string
	In(string) bool
	Enabled() []string
	Attributes(namespace, local string) []string
	Data() map[string]any
	Value(path string) (any, bool)
	Finished() *scxml.Done
	AppendSnapshot([]byte) ([]byte, error)
}

// confined is a session whose content never runs in this process: each step is
// taken in the sandbox, from a snapshot to the next one. What is embedded is the
// session as of the last step, for reading.
//
// A step that breaks the sandbox's limits did not happen: the session is as it was
// before.
type confined struct {
	*scxml.Interpreter
	chart   *Chart
	enabled []string
	known   bool
	// instance is whose session it is.
	instance *Instance
}

// brokenError is the error of a step that broke a limit of the sandbox.
type brokenError struct{ reason string }

func (e *brokenError) Error() string { return e.reason }

// begin starts a session of the instance, here or in the sandbox.
func (i *Instance) begin(in scxml.Input) (running, scxml.Macrostep, error) {
	c := i.chart
	if !c.Confined() {
		return scxml.Start(c.Chart, in)
	}
	s := &confined{chart: c, instance: i}
	step, err := s.step(chartwork.StepRequest{Input: chartwork.InputOf(in)})
	return s, step, err
}

// resume restores a session of the instance. Nothing of the chart runs by that.
func (i *Instance) resume(snapshot []byte) (running, error) {
	c := i.chart
	ip, err := scxml.Restore(c.Chart, snapshot)
	if err != nil || !c.Confined() {
		return ip, err
	}
	return &confined{Interpreter: ip, chart: c, instance: i}, nil
}

// Deliver implements running.
func (s *confined) Deliver(ev scxml.Event, in scxml.Input) (scxml.Macrostep, error) {
	if s.Finished() != nil {
		return scxml.Macrostep{}, scxml.ErrFinished
	}
	return s.next(chartwork.StepRequest{Event: &ev, Input: chartwork.InputOf(in)})
}

// Fire implements running.
func (s *confined) Fire(seq uint64, in scxml.Input) (scxml.Macrostep, error) {
	if s.Finished() != nil {
		return scxml.Macrostep{}, scxml.ErrFinished
	}
	return s.next(chartwork.StepRequest{Fire: seq, Input: chartwork.InputOf(in)})
}

// Enabled implements running: guards are evaluated in the sandbox, once a step.
// If they break it, no event is known to be taken.
func (s *confined) Enabled() []string {
	if !s.known && s.Finished() == nil {
		_, _ = s.next(chartwork.StepRequest{})
	}
	s.known = true
	return s.enabled
}

// next takes a step from where the session is.
func (s *confined) next(r chartwork.StepRequest) (scxml.Macrostep, error) {
	snapshot, err := s.AppendSnapshot(nil)
	if err != nil {
		return scxml.Macrostep{}, err
	}
	r.Snapshot = snapshot
	return s.step(r)
}

// attempts is how often a sandbox that cannot be started is tried.
const attempts = 3

func (s *confined) step(r chartwork.StepRequest) (scxml.Macrostep, error) {
	r.Name, r.Digest = s.chart.Name, s.chart.Digest
	r.Options = CompileOptions()
	var out chartwork.StepResponse
	var err error
	r.Within = s.instance.grant()
	for n := range attempts {
		err = s.chart.sandbox.Call(context.Background(), chartwork.OpStep, r, &out)
		if failure, ok := errors.AsType[*sandbox.Failure](err); ok && failure.Message == chartwork.UnknownChart {
			r.Document = s.chart.document
			err = s.chart.sandbox.Call(context.Background(), chartwork.OpStep, r, &out)
		}
		if _, failed := errors.AsType[*sandbox.Failure](err); err == nil || failed {
			break
		}
		if errors.Is(err, sandbox.ErrBroken) {
			s.instance.strike()
			break
		}
		time.Sleep(time.Duration(n) * 50 * time.Millisecond) //nolint:forbidigo // before the next attempt
	}
	if err != nil {
		return scxml.Macrostep{}, &brokenError{err.Error()}
	}
	ip, err := scxml.Restore(s.chart.Chart, out.Snapshot)
	if err != nil {
		return scxml.Macrostep{}, &brokenError{fmt.Sprintf("the sandbox gave no session: %v", err)}
	}
	s.Interpreter, s.enabled, s.known = ip, out.Enabled, true
	return out.Macrostep(), nil
}
