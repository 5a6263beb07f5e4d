// SPDX-License-Identifier: Apache-2.0

// Package scxmlenv runs sessions of package scxml on a virtual clock: it routes
// events between sessions, starts invoked ones, and fires delayed sends in the
// order in which they are due, without waiting. It is the smallest environment
// that is complete for charts alone, made for tests, for trying charts out and
// for reading: it shows what a real one has to do.
//
// Nothing here is durable and nothing is concurrent: an [Env] has one owner and
// starts no goroutine. Equal calls give equal results.
package scxmlenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// Config says what an [Env] is given. The zero value is usable.
type Config struct {
	// Now is where the clock starts; zero means 2000-01-01 UTC.
	Now time.Time
	// Load fetches invoked documents; nil refuses everything.
	Load func(uri string) ([]byte, error)
	// Options are used to compile invoked documents.
	Options scxml.Options
	// Observe, if not nil, is told of every step right after it was made.
	Observe func(s *Session, step scxml.Macrostep)
	// Perform, if not nil, is given sends and invokes of types that Env does
	// not know. false means that it does not know them either: the session
	// then gets error.communication.
	Perform func(s *Session, e scxml.Effect) bool
	// Restore saves and restores every session after every step, as a runtime
	// does that crashes all the time. Nothing must change by it.
	Restore bool
	// MaxSteps bounds the steps of one call of Advance or Settle; zero means
	// 100,000.
	MaxSteps int
}

// Env is a set of sessions on one virtual clock. Not safe for concurrent use.
type Env struct {
	config   Config
	now      time.Time
	seed     uint64
	sessions map[string]*Session
	order    []*Session
	inbox    []message
	count    int
	// err is the first failure of Config.Restore.
	err error
}

// Session is a session in an [Env].
type Session struct {
	ID string
	*scxml.Interpreter
	// Parent and InvokeID are set for invoked sessions.
	Parent   *Session
	InvokeID string
	children map[string]*Session
}

type message struct {
	to *Session
	ev scxml.Event
}

// location begins the addresses of sessions for the Basic HTTP event I/O
// processor. No request is ever made: Env knows its sessions.
const location = "http://scxmlenv.invalid/"

// New makes an environment without sessions.
func New(c Config) *Env {
	if c.Now.IsZero() {
		c.Now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if c.MaxSteps == 0 {
		c.MaxSteps = 100_000
	}
	return &Env{config: c, now: c.Now, sessions: map[string]*Session{}}
}

// Now is what the clock shows.
func (e *Env) Now() time.Time { return e.now }

// Sessions lists all sessions in the order in which they started, finished
// ones included.
func (e *Env) Sessions() []*Session { return slices.Clone(e.order) }

// Start starts a session and handles what follows from it at this moment. An
// empty SessionID is replaced by a unique one; Now and Seed are set by Env.
func (e *Env) Start(c *scxml.Chart, in scxml.Input) (*Session, error) {
	s, err := e.start(c, in, nil, "")
	if err != nil {
		return nil, err
	}
	return s, e.Settle()
}

func (e *Env) start(c *scxml.Chart, in scxml.Input, parent *Session, invokeID string) (*Session, error) {
	e.count++
	if in.SessionID == "" {
		in.SessionID = fmt.Sprintf("session%d", e.count)
	}
	if e.sessions[in.SessionID] != nil {
		return nil, fmt.Errorf("start session %s: the id is taken", in.SessionID)
	}
	in.InvokeID = invokeID
	in.IOProcessors = maps.Clone(in.IOProcessors)
	if in.IOProcessors == nil {
		in.IOProcessors = map[string]string{}
	}
	in.IOProcessors[scxml.BasicHTTPProcessor] = location + in.SessionID
	in.IOProcessors["basichttp"] = location + in.SessionID
	s := &Session{ID: in.SessionID, Parent: parent, InvokeID: invokeID, children: map[string]*Session{}}
	t := e.tick()
	in.Now, in.Seed = t.Now, t.Seed
	ip, step, err := scxml.Start(c, in)
	if err != nil {
		return nil, err
	}
	s.Interpreter = ip
	e.sessions[s.ID] = s
	e.order = append(e.order, s)
	if parent != nil {
		parent.children[invokeID] = s
	}
	e.perform(s, step)
	return s, nil
}

// tick gives the input of the next step.
func (e *Env) tick() scxml.Input {
	e.seed++
	return scxml.Input{Now: e.now, Seed: e.seed}
}

// Deliver delivers ev to s and handles what follows from it at this moment.
func (e *Env) Deliver(s *Session, ev scxml.Event) error {
	e.inbox = append(e.inbox, message{s, ev})
	return e.Settle()
}

// Settle handles waiting events and delayed sends that are due now, until there
// is none.
func (e *Env) Settle() error { return e.until(e.now) }

// Advance moves the clock by d; delayed sends fire on the way, each at its time.
func (e *Env) Advance(d time.Duration) error {
	end := e.now.Add(d)
	if err := e.until(end); err != nil {
		return err
	}
	e.now = end
	return nil
}

// Run advances until s has finished, nothing is left to happen, or d has passed.
func (e *Env) Run(s *Session, d time.Duration) error {
	end := e.now.Add(d)
	for s.Finished() == nil {
		_, due, ok := e.next()
		if !ok || due.After(end) {
			return nil
		}
		if err := e.until(due); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) until(end time.Time) error {
	for n := 0; ; n++ {
		if e.err != nil {
			return e.err
		}
		if n > e.config.MaxSteps {
			return fmt.Errorf("more than %d steps without an end", e.config.MaxSteps)
		}
		if len(e.inbox) > 0 {
			m := e.inbox[0]
			e.inbox = e.inbox[1:]
			if step, err := m.to.Deliver(m.ev, e.tick()); err == nil {
				e.perform(m.to, step)
			}
			continue
		}
		s, due, ok := e.next()
		if !ok || due.After(end) {
			return nil
		}
		if due.After(e.now) {
			e.now = due
		}
		step, err := s.Fire(s.Pending()[0].Seq, e.tick())
		if err != nil {
			return err
		}
		e.perform(s, step)
	}
}

// next finds the delayed send that is due first; sessions that started earlier
// come first at the same time.
func (e *Env) next() (s *Session, due time.Time, ok bool) {
	for _, o := range e.order {
		if p := o.Pending(); len(p) > 0 && (!ok || p[0].Due.Before(due)) {
			s, due, ok = o, p[0].Due, true
		}
	}
	return s, due, ok
}

func (e *Env) perform(s *Session, step scxml.Macrostep) {
	if e.config.Observe != nil {
		e.config.Observe(s, step)
	}
	if e.config.Restore {
		if err := s.restore(); err != nil {
			e.err = err
		}
	}
	for _, effect := range step.Effects {
		switch x := effect.(type) {
		case scxml.Send:
			if !e.send(s, x) {
				e.fail(s, "error.communication", x.SendID, "", fmt.Sprintf("send to %q cannot be delivered", x.Target))
			}
		case scxml.Invoke:
			if err := e.invoke(s, x); err != nil {
				e.fail(s, "error.communication", "", x.ID, err.Error())
			}
		case scxml.Uninvoke:
			e.stop(s.children[x.ID])
		case scxml.Forward:
			if c := s.children[x.InvokeID]; c != nil {
				e.inbox = append(e.inbox, message{c, x.Event})
			}
		case scxml.Done:
			if s.Parent != nil && s.Parent.children[s.InvokeID] == s {
				e.inbox = append(e.inbox, message{s.Parent, scxml.Event{
					Name: "done.invoke." + s.InvokeID, InvokeID: s.InvokeID, Data: x.Data,
				}})
				delete(s.Parent.children, s.InvokeID)
			}
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

func (e *Env) fail(s *Session, name, sendID, invokeID, text string) {
	e.inbox = append(e.inbox, message{s, scxml.Event{
		Name: name, Type: scxml.Platform, SendID: sendID, InvokeID: invokeID, Data: text,
	}})
}

func (e *Env) send(s *Session, x scxml.Send) bool {
	if id, ok := strings.CutPrefix(x.Target, location); ok && x.Type == scxml.BasicHTTPProcessor {
		to := e.sessions[id]
		if to == nil || to.Finished() != nil {
			return false
		}
		contentType, body := x.HTTPBody()
		e.inbox = append(e.inbox, message{to, scxml.HTTPEvent("POST", x.Target, contentType, body)})
		return true
	}
	if x.Type != scxml.SCXMLProcessor {
		return e.config.Perform != nil && e.config.Perform(s, x)
	}
	var to *Session
	switch {
	case x.Target == "#_parent":
		// A child that was ended must not be heard any more (SCXML 6.4.3).
		if s.Parent != nil && s.Parent.children[s.InvokeID] == s {
			to = s.Parent
		} else {
			return true
		}
	case strings.HasPrefix(x.Target, "#_scxml_"):
		to = e.sessions[strings.TrimPrefix(x.Target, "#_scxml_")]
	default:
		to = s.children[strings.TrimPrefix(x.Target, "#_")]
	}
	if to == nil || to.Finished() != nil {
		return e.config.Perform != nil && e.config.Perform(s, x)
	}
	e.inbox = append(e.inbox, message{to, x.Event})
	return true
}

func (e *Env) invoke(s *Session, x scxml.Invoke) error {
	if x.Type != scxml.SCXMLInvoke {
		if e.config.Perform == nil || !e.config.Perform(s, x) {
			return fmt.Errorf("invoke type %q is not supported", x.Type)
		}
		return nil
	}
	text, _ := x.Content.(string)
	doc := []byte(text)
	name := x.ID
	if x.Src != "" {
		if e.config.Load == nil {
			return fmt.Errorf("invoke %s: loading is not allowed", x.ID)
		}
		b, err := e.config.Load(x.Src)
		if err != nil {
			return err
		}
		doc, name = b, x.Src
	}
	d, err := scxml.Parse(name, doc, e.config.Options.Limits)
	if err != nil {
		return err
	}
	c, err := scxml.Compile(d, e.config.Options)
	if err != nil {
		return err
	}
	_, err = e.start(c, scxml.Input{Data: x.Data}, s, x.ID)
	return err
}

// stop ends an invoked session and all that it invoked.
func (e *Env) stop(s *Session) {
	if s == nil {
		return
	}
	delete(s.Parent.children, s.InvokeID)
	e.inbox = slices.DeleteFunc(e.inbox, func(m message) bool { return m.to == s })
	if step, err := s.Stop(e.tick()); err == nil {
		e.perform(s, step)
	}
}
