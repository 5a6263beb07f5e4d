// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// perform does what a step asks for.
func (e *Env) perform(s *Session, step scxml.Macrostep) {
	if e.config.Observe != nil {
		e.config.Observe(s, step)
	}
	if e.config.Restore {
		if err := s.restore(); err != nil && e.err == nil {
			e.err = err
		}
	}
	for _, effect := range step.Effects {
		switch x := effect.(type) {
		case scxml.Send:
			e.send(s, x)
		case scxml.Invoke:
			e.invoke(s, x)
		case scxml.Uninvoke:
			e.stop(s.children[x.ID])
		case scxml.Forward:
			// What is forwarded beyond the bound is lost, as is what is
			// forwarded to a service that could not be started.
			_ = e.queue(s.children[x.InvokeID], x.Event)
		case scxml.Done:
			e.done(s, x)
		}
	}
}

// restore replaces the session by what its snapshot says.
func (s *Session) restore() error {
	snapshot, err := s.AppendSnapshot(nil)
	if err != nil {
		return err
	}
	s.Interpreter, err = scxml.Restore(s.Chart(), snapshot)
	return err
}

// fail tells s that something that it asked for was not done (SCXML 6.2.3, 6.4.2).
func (e *Env) fail(s *Session, sendID, invokeID string, err error) {
	// A session that cannot take even this is told nothing.
	_ = e.queue(s, scxml.Event{
		Name: "error.communication", Type: scxml.Platform, SendID: sendID, InvokeID: invokeID,
		Data: map[string]any{"reason": err.Error()},
	})
}

// send brings a message to where it is addressed.
func (e *Env) send(s *Session, x scxml.Send) {
	failed := func(err error) {
		if err != nil {
			e.fail(s, x.SendID, "", fmt.Errorf("send to %q: %w", x.Target, err))
		}
	}
	err := errors.New("nobody can be reached there")
	switch {
	case x.Type == scxml.BasicHTTPProcessor:
		if e.world.post(s, x, failed) {
			return
		}
	case x.Type == scxml.SCXMLProcessor:
		if x.Target == "#_parent" && !s.isChild() {
			return // a child that was ended must not be heard any more (SCXML 6.4.3)
		}
		if err = e.queue(e.addressee(s, x.Target), x.Event); !errors.Is(err, errUnknown) {
			failed(err)
			return
		}
	}
	if e.config.Perform == nil || !e.config.Perform(s, x) {
		failed(err)
	}
}

// isChild says whether the parent of s still has it.
func (s *Session) isChild() bool {
	return s.Parent != nil && s.Parent.children[s.InvokeID] == s
}

// addressee is the session that a target of the SCXML event I/O processor names
// (SCXML C.1), or nil.
func (e *Env) addressee(s *Session, target string) *Session {
	if target == "#_parent" {
		return s.Parent
	}
	if id, ok := strings.CutPrefix(target, "#_scxml_"); ok {
		return e.sessions[id]
	}
	return s.children[strings.TrimPrefix(target, "#_")]
}

// invoke starts a session as a child of s, or says why it cannot.
func (e *Env) invoke(s *Session, x scxml.Invoke) {
	switch {
	case x.Type != scxml.SCXMLInvoke:
		if e.config.Perform == nil || !e.config.Perform(s, x) {
			e.fail(s, "", x.ID, fmt.Errorf("invoke type %q is not supported", x.Type))
		}
		return
	case len(e.order)+e.starting >= e.config.MaxSessions:
		e.fail(s, "", x.ID, fmt.Errorf("there are %d sessions already", e.config.MaxSessions))
		return
	}
	child := &Session{Parent: s, InvokeID: x.ID, base: s.base}
	s.children[x.ID] = child
	e.starting++
	var chart *scxml.Chart
	e.world.await(func() (err error) {
		chart, err = e.load(child, x)
		return err
	}, func(err error) {
		e.starting--
		if child.ended {
			return // its state was left meanwhile
		}
		if err == nil {
			err = e.start(child, chart, scxml.Input{Data: x.Data})
		}
		if err != nil {
			delete(s.children, x.ID)
			e.forget(child)
			e.fail(s, "", x.ID, fmt.Errorf("invoke %s: %w", x.ID, err))
		}
	})
}

// load makes the chart that x names, and notes in child where it came from.
func (e *Env) load(child *Session, x scxml.Invoke) (*scxml.Chart, error) {
	text, _ := x.Content.(string)
	child.doc, child.name = []byte(text), x.ID
	if x.Src != "" {
		src, err := resolve(child.base, x.Src)
		if err != nil {
			return nil, err
		}
		if e.config.Load == nil {
			return nil, errors.New("loading is not allowed")
		}
		if child.doc, err = e.config.Load(src); err != nil {
			return nil, err
		}
		if child.name = x.Src; child.base != "" {
			child.base = src
		}
	}
	return e.invoked(child)
}

// invoked makes the chart of an invoked session from its document.
func (e *Env) invoked(s *Session) (*scxml.Chart, error) {
	c, err := e.Compile(s.name, s.doc, s.base)
	if err == nil && e.config.Accept != nil {
		err = e.config.Accept(c)
	}
	return c, err
}

// stop ends an invoked session and all that it invoked.
func (e *Env) stop(s *Session) {
	if s == nil {
		return
	}
	delete(s.Parent.children, s.InvokeID)
	if s.Interpreter == nil {
		e.forget(s) // it is still being loaded
		return
	}
	// It hears nothing any more but what its own end brings about.
	_ = e.step(s, func(in scxml.Input, _ func(*scxml.Interpreter)) (scxml.Macrostep, error) { return s.Stop(in) })
}

// done ends s: its children with it, and its parent is told.
func (e *Env) done(s *Session, x scxml.Done) {
	e.forget(s)
	// A session that was interrupted could not end them itself.
	for _, id := range slices.Sorted(maps.Keys(s.children)) {
		e.stop(s.children[id])
	}
	if !s.isChild() {
		return
	}
	delete(s.Parent.children, s.InvokeID)
	if x.Fault != "" {
		e.fail(s.Parent, "", s.InvokeID, fmt.Errorf("invoke %s: it was ended: %s", s.InvokeID, x.Fault))
		return
	}
	_ = e.queue(s.Parent, scxml.Event{Name: "done.invoke." + s.InvokeID, InvokeID: s.InvokeID, Data: x.Data})
}
