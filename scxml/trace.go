// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"slices"
	"time"
)

// Macrostep is all that one call of [Start], [Interpreter.Deliver],
// [Interpreter.Fire] or [Interpreter.Stop] did, as data. Logs, spans, the
// dashboard and goldens render this one record.
//
// The zero value means that nothing happened. Microsteps belong to the
// interpreter and are good until its next call: keep a [Macrostep.Clone]. What
// is in them is not to be changed. Effects and Done may be kept.
type Macrostep struct {
	// Microsteps are the events taken from a queue and the sets of transitions
	// taken, in order. An event that no transition wanted is there too, with
	// no Transitions.
	Microsteps []Microstep `json:"microsteps,omitempty"`
	// Effects are to be performed in order, after the step was made durable.
	Effects []Effect `json:"effects,omitempty"`
	// Done is not nil when this step ended the session. It repeats the last
	// effect.
	Done *Done `json:"done,omitempty"`
}

// Clone gives a copy that may be kept.
func (m Macrostep) Clone() Macrostep {
	m.Microsteps = slices.Clone(m.Microsteps)
	for i := range m.Microsteps {
		if ev := m.Microsteps[i].Event; ev != nil {
			kept := *ev
			m.Microsteps[i].Event = &kept
		}
	}
	return m
}

// Microstep is one event taken from a queue, or one set of eventless
// transitions, and what followed from it (SCXML 3.13).
type Microstep struct {
	// Event is what was taken from a queue. nil means eventless transitions or
	// the entry into the initial configuration.
	Event *Event `json:"event,omitempty"`
	// Transitions that were taken, in the order of their content.
	Transitions []Taken `json:"transitions,omitempty"`
	// Exited and Entered are ids of states, in the order in which it happened.
	Exited  []string `json:"exited,omitempty"`
	Entered []string `json:"entered,omitempty"`
	// Assigned are the locations written by <assign>, in order.
	Assigned []string `json:"assigned,omitempty"`
	// Raised are the names of events put into the internal queue, or into the
	// session's own external queue, in order.
	Raised []string `json:"raised,omitempty"`
	// Delayed are the sends that went to [Interpreter.Pending].
	Delayed []Scheduled `json:"delayed,omitempty"`
	// Log are the outputs of <log>; they are also effects.
	Log []Log `json:"log,omitempty"`
	// Faults are the errors of the chart (SCXML 3.12.2): each has also been
	// put into the internal queue as an event.
	Faults []Fault `json:"faults,omitempty"`
}

// Taken is a transition that was taken.
type Taken struct {
	// Source is the id of the state that holds the transition; empty for the
	// initial transition of the document.
	Source string `json:"source,omitempty"`
	// Targets are as written; empty means a targetless transition.
	Targets []string `json:"targets,omitempty"`
	// Event is the event attribute as written; empty means eventless.
	Event string `json:"event,omitempty"`
	// Cond is the cond attribute as written.
	Cond string `json:"cond,omitempty"`
	// Line is the line of the <transition> in the document.
	Line int `json:"line,omitempty"`
}

// Scheduled is the record of a send that was delayed.
type Scheduled struct {
	Seq    uint64        `json:"seq"`
	SendID string        `json:"sendid"`
	Event  string        `json:"event"`
	Delay  time.Duration `json:"delay"`
}

// Fault is an error of the chart. It is data, never a Go error (SCXML 3.12.2).
type Fault struct {
	// Event is "error.execution" or "error.communication".
	Event string `json:"event"`
	// Element is the name of the element that failed, such as "assign".
	Element string `json:"element,omitempty"`
	// Line is the line of that element in the document.
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}
