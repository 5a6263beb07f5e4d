// SPDX-License-Identifier: AGPL-3.0-or-later

package application

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Snapshot is a snapshot of an [Application] for people. It says what the
// snapshot itself names: without the chart's document nobody knows more.
type Snapshot struct {
	// Chart is the digest of the chart.
	Chart   string  `json:"chart"`
	Session Session `json:"session"`
	// Invoked are the sessions that it invoked, and those that they did.
	Invoked []Invoked `json:"invoked,omitempty"`
	// Ordinal is the number of events sent out so far.
	Ordinal uint64 `json:"ordinal"`
}

// Session is one session in a [Snapshot].
type Session struct {
	Configuration Configuration              `json:"configuration"`
	Data          map[string]json.RawMessage `json:"data,omitempty"`
	// History has the states that each history would go back to.
	History map[string]Configuration `json:"history,omitempty"`
	Pending []Delayed                `json:"pending,omitempty"`
	// Time is that of the last step.
	Time time.Time `json:"time"`
	// Done is how it ended; nil while it runs.
	Done json.RawMessage `json:"done,omitempty"`
}

// Delayed is a send that waits for its time.
type Delayed struct {
	Event string    `json:"event"`
	Due   time.Time `json:"due"`
}

// Invoked is an invoked session in a [Snapshot].
type Invoked struct {
	InvokeID string  `json:"invokeid"`
	Parent   string  `json:"parent"`
	Session  Session `json:"session"`
}

// Configuration are ids of states in the order of the document; as text they are
// one line.
type Configuration []string

// MarshalText implements encoding.TextMarshaler.
func (c Configuration) MarshalText() ([]byte, error) { return []byte(strings.Join(c, " ")), nil }

// ReadSnapshot reads what an Application sent as its snapshot. An error means that
// it is of another application, or of another version of this one.
func ReadSnapshot(body []byte) (Snapshot, error) {
	var s state
	if err := json.Unmarshal(body, &s); err != nil {
		return Snapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	session, err := readSession(s.Session)
	if err != nil {
		return Snapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	out := Snapshot{Chart: s.Chart, Session: session, Ordinal: s.Ordinal}
	for _, one := range s.Invoked {
		session, err := readSession(one.Snapshot)
		if err != nil {
			return Snapshot{}, fmt.Errorf("read snapshot: invoked as %s: %w", one.InvokeID, err)
		}
		out.Invoked = append(out.Invoked, Invoked{InvokeID: one.InvokeID, Parent: one.Parent, Session: session})
	}
	return out, nil
}

// readSession reads what [scxml.Interpreter.AppendJSON] wrote.
func readSession(b []byte) (Session, error) {
	var saved struct {
		Version       int                        `json:"v"`
		Configuration []string                   `json:"configuration"`
		Data          map[string]json.RawMessage `json:"data"`
		History       map[string][]string        `json:"history"`
		Pending       []struct {
			Due   int64 `json:"due,string"`
			Event struct {
				Name string `json:"name"`
			} `json:"event"`
		} `json:"pending"`
		Now  int64           `json:"now"`
		Done json.RawMessage `json:"done"`
	}
	if err := json.Unmarshal(b, &saved); err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	if saved.Version != 1 {
		return Session{}, fmt.Errorf("session: its version is %d, and 1 is known", saved.Version)
	}
	s := Session{Configuration: saved.Configuration, Data: saved.Data, Time: time.Unix(0, saved.Now).UTC(), Done: saved.Done}
	for id, states := range saved.History {
		if s.History == nil {
			s.History = map[string]Configuration{}
		}
		s.History[id] = states
	}
	for _, p := range saved.Pending {
		s.Pending = append(s.Pending, Delayed{Event: p.Event.Name, Due: time.Unix(0, p.Due).UTC()})
	}
	return s, nil
}
