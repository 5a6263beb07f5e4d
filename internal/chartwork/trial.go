// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/datamodel"
	"github.com/chartroom/chartroom/scxml/scenario"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// OpenRequest starts a session that somebody tries out. What it sends to others
// is shown, and nothing is done about it.
type OpenRequest struct {
	Name     string         `json:"name"`
	Document []byte         `json:"document"`
	Folder   string         `json:"folder,omitempty"`
	Now      time.Time      `json:"now,omitzero"`
	Data     map[string]any `json:"data,omitempty"`
}

// InputRequest moves the clock, then delivers the event if there is one.
type InputRequest struct {
	Advance time.Duration `json:"advance,omitempty"`
	Event   *Event        `json:"event,omitempty"`
}

// Event is an event from outside.
type Event struct {
	Name string `json:"name"`
	Data any    `json:"data,omitempty"`
}

// Report is what came of a request.
type Report struct {
	Steps []Step `json:"steps"`
	// Configuration is the one at the end, Enabled the descriptors of events
	// that have a transition then.
	Configuration []string `json:"configuration"`
	Enabled       []string `json:"enabled"`
	// Due is when the next delayed send is; zero without one.
	Due      time.Time `json:"due,omitzero"`
	Finished bool      `json:"finished"`
}

// Step is one macrostep as it is printed.
type Step struct {
	// Session is set for sessions that the chart invoked.
	Session string    `json:"session,omitempty"`
	Time    time.Time `json:"time"`
	// Event is the one that was taken from outside; empty for the start.
	Event         string         `json:"event,omitempty"`
	Transitions   []scxml.Taken  `json:"transitions,omitempty"`
	Exited        []string       `json:"exited,omitempty"`
	Entered       []string       `json:"entered,omitempty"`
	Raised        []string       `json:"raised,omitempty"`
	Delayed       []Delayed      `json:"delayed,omitempty"`
	Log           []scxml.Log    `json:"log,omitempty"`
	Faults        []scxml.Fault  `json:"faults,omitempty"`
	Effects       []Effect       `json:"effects,omitempty"`
	Configuration []string       `json:"configuration"`
	Data          map[string]any `json:"data,omitempty"`
	Done          *scxml.Done    `json:"done,omitempty"`
	// Text is the step in the form of scenarios; it is not printed as JSON.
	Text string `json:"text,omitempty"`
}

// Delayed is a send that waits, as it is printed.
type Delayed struct {
	Seq    uint64 `json:"seq"`
	SendID string `json:"sendid"`
	Event  string `json:"event"`
	// Delay is written as a chart writes it (SCXML 6.2.4), such as "3s".
	Delay string `json:"delay"`
}

// written is d as the delay of a <send>.
func written(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64) + "ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// trial is a session being tried out, with those that it invoked.
type trial struct {
	env   *scxmlenv.Env
	root  *scxmlenv.Session
	steps []Step
}

func (h *Host) open(r OpenRequest, at func(scxml.Position)) (Report, error) {
	options := scxml.Options{Load: loader(r.Folder), Compiling: at}
	d, err := scxml.Parse(r.Name, r.Document, options.Limits)
	if err != nil {
		return Report{}, err
	}
	c, err := scxml.Compile(d, options)
	if err != nil {
		return Report{}, err
	}
	at(begins(d))
	t := &trial{}
	t.env = scxmlenv.New(scxmlenv.Config{
		Now: r.Now, Load: options.Load, Options: options,
		Observe: t.observe,
		Perform: func(*scxmlenv.Session, scxml.Effect) bool { return true },
	})
	h.trial = t
	t.root, err = t.env.Start(c, scxml.Input{Data: r.Data})
	if err != nil {
		return Report{}, err
	}
	return t.report(), nil
}

func (h *Host) input(r InputRequest) (Report, error) {
	t := h.trial
	if t == nil {
		return Report{}, errors.New("no session was started")
	}
	if r.Advance > 0 {
		if err := t.env.Advance(r.Advance); err != nil {
			return t.report(), err
		}
	}
	if r.Event != nil {
		if err := t.env.Deliver(t.root, scxml.Event{Name: r.Event.Name, Data: r.Event.Data}); err != nil {
			return t.report(), err
		}
	}
	return t.report(), nil
}

func (t *trial) observe(s *scxmlenv.Session, step scxml.Macrostep) {
	out := Step{Time: t.env.Now(), Configuration: s.Configuration(), Data: s.Data(), Done: step.Done, Text: scenario.Format(step)}
	if s.Parent != nil {
		out.Session = s.InvokeID
	}
	for i, m := range step.Microsteps {
		// A delayed send first comes out of where it waited.
		fired := i == 1 && len(step.Microsteps[0].Entered) == 0 && len(step.Microsteps[0].Transitions) == 0 && out.Event == ""
		if m.Event != nil && (i == 0 || fired) {
			out.Event = m.Event.Name
		}
		out.Transitions = append(out.Transitions, m.Transitions...)
		out.Exited = append(out.Exited, m.Exited...)
		out.Entered = append(out.Entered, m.Entered...)
		out.Raised = append(out.Raised, m.Raised...)
		for _, d := range m.Delayed {
			out.Delayed = append(out.Delayed, Delayed{Seq: d.Seq, SendID: d.SendID, Event: d.Event, Delay: written(d.Delay)})
		}
		for _, l := range m.Log {
			l.Value = datamodel.Plain(l.Value)
			out.Log = append(out.Log, l)
		}
		out.Faults = append(out.Faults, m.Faults...)
	}
	for _, e := range step.Effects {
		switch e.(type) {
		case scxml.Log, scxml.Done: // told above
		default:
			out.Effects = append(out.Effects, Effect{Effect: e})
		}
	}
	if out.Done != nil {
		done := *out.Done
		done.Data = datamodel.Plain(done.Data)
		out.Done = &done
	}
	if out.Configuration == nil {
		out.Configuration = []string{}
	}
	t.steps = append(t.steps, out)
}

func (t *trial) report() Report {
	r := Report{Steps: t.steps, Finished: t.root == nil || t.root.Finished() != nil}
	t.steps = nil
	if r.Finished {
		return r
	}
	r.Configuration, r.Enabled = t.root.Configuration(), t.root.Enabled()
	slices.Sort(r.Enabled)
	for _, s := range t.env.Sessions() {
		for _, p := range s.Pending() {
			if r.Due.IsZero() || p.Due.Before(r.Due) {
				r.Due = p.Due
			}
		}
	}
	return r
}
