// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// Config says what an environment is given. The zero value is usable.
type Config struct {
	// Now is where a virtual clock starts; zero means 2000-01-01 UTC.
	Now time.Time
	// Seed gives the seed of a step; nil means 1, 2, 3 … on a virtual clock, and a
	// random one in a [Live].
	Seed func() uint64
	// NoHTTP leaves out the Basic HTTP event I/O processor of a virtual clock.
	NoHTTP bool
	// Base is what relative URIs are relative to in charts that were given to
	// Start; those of invoked documents are relative to where the document came
	// from. Empty leaves them as they are written.
	Base string
	// Load fetches what src of <invoke>, <script> and <data> names; nil refuses
	// everything. A [Live] calls it from many goroutines and has one of its own.
	Load func(uri string) ([]byte, error)
	// Options are used by [Env.Compile] and for invoked documents.
	Options scxml.Options
	// Accept, if not nil, is asked about every chart that is invoked, and says
	// why it may not run. A [Live] calls it from many goroutines.
	Accept func(c *scxml.Chart) error
	// Observe, if not nil, is told of every step right after it was made.
	Observe func(s *Session, step scxml.Macrostep)
	// Perform, if not nil, is given sends and invokes of types that the
	// environment does not know, and sends that reach nobody. false means that it
	// does not know them either: the session then gets error.communication.
	Perform func(s *Session, e scxml.Effect) bool
	// Restore saves and restores every session after every step, as a runtime
	// does that crashes all the time. Nothing must change by it.
	Restore bool
	// MaxSteps bounds the steps of one call of Advance or Settle; zero means
	// 100,000. A Live has no such calls.
	MaxSteps int
	// MaxSessions bounds the sessions at a time; zero means 1,000. An <invoke>
	// beyond it fails.
	MaxSessions int
	// MaxQueue bounds the events that wait; zero means 100,000. One that is sent
	// beyond it fails.
	MaxQueue int
}

func (c Config) resolved() Config {
	if c.Now.IsZero() {
		c.Now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	for _, f := range []struct {
		value *int
		usual int
	}{{&c.MaxSteps, 100_000}, {&c.MaxSessions, 1_000}, {&c.MaxQueue, 100_000}} {
		if *f.value == 0 {
			*f.value = f.usual
		}
	}
	return c
}

// Env is a set of sessions on one clock, a virtual one if it comes from [New]. Not
// safe for concurrent use.
type Env struct {
	config   Config
	world    world
	now      time.Time
	sessions map[string]*Session
	order    []*Session
	inbox    []message
	// count are the sessions that were ever made, starting those being loaded.
	count, starting int
	// err is the first failure of Config.Restore.
	err error
}

// world is how an Env reaches what is not its own.
type world interface {
	// location is the address of a session for the Basic HTTP event I/O
	// processor; empty if there is none.
	location(sessionID string) string
	// post does a send of that processor and calls done with what became of it.
	// false means that it cannot.
	post(from *Session, x scxml.Send, done func(error)) bool
	// await does work, which does not touch the Env, and calls done with its
	// error when the Env may be touched again.
	await(work func() error, done func(error))
	// guard makes a step and ends it when it takes too long; begun is to be
	// called with the session. It says whether it had to.
	guard(step func(begun func(*scxml.Interpreter))) (interrupted bool)
	// live says that somebody else calls Env.turn.
	live() bool
}

// Session is a session in an [Env].
type Session struct {
	ID string
	*scxml.Interpreter
	// Parent and InvokeID are set for invoked sessions.
	Parent   *Session
	InvokeID string
	children map[string]*Session
	// name, doc and base are those of the document of an invoked session.
	name, base string
	doc        []byte
	ended      bool
	// lost is set when a step was interrupted.
	lost *scxml.Done
}

// Finished says whether the session has ended, and how. The pointer is nil while
// it has not.
func (s *Session) Finished() *scxml.Done {
	if s.lost != nil {
		done := *s.lost
		return &done
	}
	return s.Interpreter.Finished()
}

// message is an event that waits.
type message struct {
	to *Session
	ev scxml.Event
	at time.Time
}

var (
	errUnknown = errors.New("there is no such session")
	errFull    = errors.New("too many events wait")
)

// New makes an environment on a virtual clock, without sessions.
func New(c Config) *Env {
	e := newEnv(c)
	e.world = &virtual{env: e}
	return e
}

func newEnv(c Config) *Env {
	c = c.resolved()
	if c.Seed == nil {
		seed := uint64(0)
		c.Seed = func() uint64 { seed++; return seed }
	}
	return &Env{config: c, now: c.Now, sessions: map[string]*Session{}}
}

// Now is what the clock shows.
func (e *Env) Now() time.Time { return e.now }

// Sessions lists the sessions that run, in the order in which they started.
func (e *Env) Sessions() []*Session { return slices.Clone(e.order) }

// Compile makes a chart of a document that came from base, or from Config.Base if
// that is empty, with the options and the access of the environment.
func (e *Env) Compile(name string, doc []byte, base string) (*scxml.Chart, error) {
	if base == "" {
		base = e.config.Base
	}
	d, err := scxml.Parse(name, doc, e.config.Options.Limits)
	if err != nil {
		return nil, err
	}
	o := e.config.Options
	if e.config.Load != nil {
		o.Load = func(uri string) ([]byte, error) {
			uri, err := resolve(base, uri)
			if err != nil {
				return nil, err
			}
			return e.config.Load(uri)
		}
	}
	return scxml.Compile(d, o)
}

// resolve makes an absolute URI of ref if base is one.
func resolve(base, ref string) (string, error) {
	if base == "" {
		return ref, nil
	}
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	// "file:name" is no URI, but what documents say for a file beside them.
	if name, ok := strings.CutPrefix(ref, "file:"); ok && !strings.HasPrefix(name, "/") {
		ref = name
	}
	r, err := b.Parse(ref)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

// Start starts a session and handles what follows from it at this moment. An
// empty SessionID is replaced by a unique one; Now and Seed are set by Env, and so
// is the location of the Basic HTTP event I/O processor unless "basichttp" is in
// IOProcessors: then the session is known by that, such as behind a proxy.
func (e *Env) Start(c *scxml.Chart, in scxml.Input) (*Session, error) {
	s := &Session{base: e.config.Base}
	if err := e.start(s, c, in); err != nil {
		return nil, err
	}
	return s, e.Settle()
}

// start makes the first step of s.
func (e *Env) start(s *Session, c *scxml.Chart, in scxml.Input) error {
	e.count++
	if in.SessionID == "" {
		in.SessionID = fmt.Sprintf("session%d", e.count)
	}
	if e.sessions[in.SessionID] != nil {
		return fmt.Errorf("start session %s: the id is taken", in.SessionID)
	}
	s.ID, s.children = in.SessionID, map[string]*Session{}
	in.InvokeID = s.InvokeID
	in.IOProcessors = maps.Clone(in.IOProcessors)
	if at := e.world.location(s.ID); at != "" && in.IOProcessors["basichttp"] == "" {
		if in.IOProcessors == nil {
			in.IOProcessors = map[string]string{}
		}
		in.IOProcessors[scxml.BasicHTTPProcessor], in.IOProcessors["basichttp"] = at, at
	}
	e.sessions[s.ID] = s
	e.order = append(e.order, s)
	err := e.step(s, func(now scxml.Input, begun func(*scxml.Interpreter)) (step scxml.Macrostep, err error) {
		in.Now, in.Seed, in.Begun = now.Now, now.Seed, begun
		s.Interpreter, step, err = scxml.Start(c, in)
		return step, err
	})
	if err != nil {
		e.forget(s)
	}
	return err
}

// step makes a step of s and does what it asks for.
func (e *Env) step(s *Session, take func(scxml.Input, func(*scxml.Interpreter)) (scxml.Macrostep, error)) (err error) {
	var step scxml.Macrostep
	interrupted := e.world.guard(func(begun func(*scxml.Interpreter)) {
		if s.Interpreter != nil {
			begun(s.Interpreter)
		}
		step, err = take(scxml.Input{Now: e.now, Seed: e.config.Seed()}, begun)
	})
	if interrupted {
		// What the session is now depends on when it was interrupted.
		s.lost = &scxml.Done{Fault: "a step took too long and was interrupted"}
		step, err = scxml.Macrostep{Effects: []scxml.Effect{*s.lost}, Done: s.Finished()}, nil
	}
	if err == nil {
		e.perform(s, step)
	}
	return err
}

// forget takes a session out that has ended.
func (e *Env) forget(s *Session) {
	s.ended = true
	delete(e.sessions, s.ID)
	e.order = slices.DeleteFunc(e.order, func(o *Session) bool { return o == s })
	e.inbox = slices.DeleteFunc(e.inbox, func(m message) bool { return m.to == s })
}

// Deliver delivers ev to s and handles what follows from it at this moment. An
// event for a session that has ended is lost.
func (e *Env) Deliver(s *Session, ev scxml.Event) error {
	if err := e.queue(s, ev); err != nil && !errors.Is(err, errUnknown) {
		return err
	}
	return e.Settle()
}

// queue lets ev wait for s.
func (e *Env) queue(s *Session, ev scxml.Event) error {
	switch {
	case s == nil || s.ended:
		return errUnknown
	case len(e.inbox) >= e.config.MaxQueue:
		return errFull
	}
	e.inbox = append(e.inbox, message{s, ev, e.now})
	return nil
}

// Due is when the next delayed send is due; ok is false without one.
func (e *Env) Due() (due time.Time, ok bool) {
	_, due, ok = e.next()
	return due, ok
}

// Settle handles waiting events and delayed sends that are due now, until there
// is none. In a [Live], whose goroutine does that, it does nothing.
func (e *Env) Settle() error { return e.until(e.now) }

// Advance moves the clock by d; delayed sends fire on the way, each at its time.
// It is not for a [Live].
func (e *Env) Advance(d time.Duration) error {
	end := e.now.Add(d)
	if err := e.until(end); err != nil {
		return err
	}
	e.now = end
	return nil
}

// Run advances until s has finished, nothing is left to happen, or d has passed.
// It is not for a [Live].
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
	if e.world.live() {
		return nil
	}
	for range e.config.MaxSteps {
		if did, err := e.turn(end); err != nil || !did {
			return err
		}
	}
	return fmt.Errorf("more than %d steps without an end", e.config.MaxSteps)
}

// turn handles what comes first: an event that waits, or a delayed send that is due
// until end. It says whether there was one.
func (e *Env) turn(end time.Time) (bool, error) {
	s, due, pending := e.next()
	// Events for a session that is being loaded wait for it.
	i := slices.IndexFunc(e.inbox, func(m message) bool { return m.to.Interpreter != nil })
	if i >= 0 && !(pending && due.Before(e.inbox[i].at)) {
		m := e.inbox[i]
		if i == 0 {
			e.inbox = e.inbox[1:]
		} else {
			e.inbox = slices.Delete(e.inbox, i, i+1)
		}
		// An error is about data that no session can take.
		_ = e.step(m.to, func(in scxml.Input, _ func(*scxml.Interpreter)) (scxml.Macrostep, error) {
			return m.to.Deliver(m.ev, in)
		})
		return true, e.err
	}
	if !pending || due.After(end) {
		return false, nil
	}
	if due.After(e.now) {
		e.now = due
	}
	err := e.step(s, func(in scxml.Input, _ func(*scxml.Interpreter)) (scxml.Macrostep, error) {
		first, _ := s.Next()
		return s.Fire(first.Seq, in)
	})
	return true, errors.Join(e.err, err)
}

// next finds the delayed send that is due first; sessions that started earlier
// come first at the same time.
func (e *Env) next() (s *Session, due time.Time, ok bool) {
	for _, o := range e.order {
		if first, some := o.Next(); some && (!ok || first.Due.Before(due)) {
			s, due, ok = o, first.Due, true
		}
	}
	return s, due, ok
}
