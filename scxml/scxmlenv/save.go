// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"errors"
	"fmt"

	"github.com/chartroom/chartroom/scxml"
)

// Saved is all that an environment has when nothing waits. It can be stored as
// JSON.
type Saved struct {
	// Count is how many sessions there ever were: ids are not given twice.
	Count int `json:"count"`
	// Sessions are those that run, in the order in which they started: parents
	// come before their children.
	Sessions []SavedSession `json:"sessions"`
}

// SavedSession is one session.
type SavedSession struct {
	// Parent is the id of the session that invoked it as InvokeID; both are empty
	// for one that was started.
	Parent   string `json:"parent,omitempty"`
	InvokeID string `json:"invokeid,omitempty"`
	// Name, Base and Document are what an invoked session was compiled from.
	Name     string `json:"name,omitempty"`
	Base     string `json:"base,omitempty"`
	Document []byte `json:"document,omitempty"`
	// Snapshot is that of [scxml.Interpreter.AppendJSON].
	Snapshot []byte `json:"snapshot"`
}

// Save gives what [Env.Load] needs to go on. It fails while something waits, as it
// may after an error, and in a [Live].
func (e *Env) Save() (Saved, error) {
	if len(e.inbox) > 0 || e.world.live() {
		return Saved{}, fmt.Errorf("%d events wait, or others may come", len(e.inbox))
	}
	saved := Saved{Count: e.count}
	for _, s := range e.order {
		one := SavedSession{InvokeID: s.InvokeID, Name: s.name, Document: s.doc}
		if s.Parent != nil {
			one.Parent, one.Base = s.Parent.ID, s.base
		}
		var err error
		if one.Snapshot, err = s.AppendJSON(nil); err != nil {
			return Saved{}, err
		}
		saved.Sessions = append(saved.Sessions, one)
	}
	return saved, nil
}

// Load takes up the sessions of another environment, with the same configuration,
// in one that has none, and gives them in their order; chart is that of those that
// were started. One that has finished is given, too, and does not run. Nothing
// happens by that, also if it fails: then there are no sessions. It does not call
// [scxml.Interpreter.Resume].
func (e *Env) Load(chart *scxml.Chart, saved Saved) ([]*Session, error) {
	if len(e.order) > 0 || e.world.live() {
		return nil, errors.New("load sessions: there are others")
	}
	var all []*Session
	for _, one := range saved.Sessions {
		s, err := e.take(chart, one)
		if err != nil {
			clear(e.sessions)
			e.order = nil
			return nil, fmt.Errorf("load sessions: %w", err)
		}
		all = append(all, s)
	}
	e.count = saved.Count
	return all, nil
}

// take restores one session.
func (e *Env) take(chart *scxml.Chart, one SavedSession) (s *Session, err error) {
	s = &Session{base: e.config.Base, children: map[string]*Session{}}
	if one.Parent != "" {
		s.Parent, s.InvokeID = e.sessions[one.Parent], one.InvokeID
		s.name, s.doc, s.base = one.Name, one.Document, one.Base
		if s.Parent == nil || s.Parent.children[s.InvokeID] != nil {
			return nil, fmt.Errorf("there is no session %s that misses an invocation %s", one.Parent, one.InvokeID)
		}
		if chart, err = e.invoked(s); err != nil {
			return nil, err
		}
	}
	if s.Interpreter, err = scxml.Restore(chart, one.Snapshot); err != nil {
		return nil, err
	}
	if s.ID = s.SessionID(); e.sessions[s.ID] != nil {
		return nil, fmt.Errorf("session %s is there twice", s.ID)
	}
	if s.ended = s.Finished() != nil; s.ended {
		return s, nil
	}
	if s.Parent != nil {
		s.Parent.children[s.InvokeID] = s
	}
	e.sessions[s.ID] = s
	e.order = append(e.order, s)
	return s, nil
}
