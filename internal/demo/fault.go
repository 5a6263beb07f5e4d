// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A fault is built in between the agent and the application, on the socket
// where the contract is spoken: neither side knows. What it does is what a
// supervisor with that fault would do:
//
//	drop   an event is acknowledged and never reaches the application
//	twice  an event is delivered twice, under two numbers, so that the
//	       application cannot tell the repeat
//	stale  a restart restores the first snapshot instead of the last
//
// The witnesses of the demonstration must find each of them out.
type fault struct {
	kind  string
	event string // the event that it concerns
	after uint64 // the sequence from which on it strikes, once
	outer string // where the agent dials
	inner string // where the application really listens

	mu    sync.Mutex
	done  bool            // drop and twice strike once
	first json.RawMessage // the snapshot that stale restores
}

// newFault is a fault between the path that the agent dials, outer, and the one where
// the application listens, inner.
func newFault(ctx context.Context, kind, event, outer, inner string) (*fault, error) {
	f := &fault{kind: kind, event: event, after: 20, outer: outer, inner: inner}
	l, err := f.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("build the fault in: %w", err)
	}
	return f, l.Close()
}

func (f *fault) listen(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "unix", f.outer)
}

// run passes one connection after the other through until ctx ends.
func (f *fault) run(ctx context.Context) {
	for ctx.Err() == nil {
		var dialer net.Dialer
		app, err := dialer.DialContext(ctx, "unix", f.inner)
		if err == nil {
			err = f.pass(ctx, app)
		}
		if err != nil { // The application does not listen yet, or has died again.
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// pass joins the application to the agent's next connection. It listens only while
// this process of the application lives: who reaches it has reached that process, as
// without the proxy, and nothing waits here for the one after it.
func (f *fault) pass(ctx context.Context, app net.Conn) error {
	defer app.Close()
	listener, err := f.listen(ctx)
	if err != nil {
		return err
	}
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { _ = app.Close() })
	defer stop()
	said, speaks := bufio.NewReader(app), make(chan struct{})
	go func() {
		defer close(speaks)
		if _, err := said.Peek(1); err != nil {
			_ = listener.Close()
		}
	}()
	agent, err := listener.Accept()
	if err != nil {
		return err
	}
	_ = listener.Close() // one connection at a time
	l := &link{fault: f, agent: agent, app: app}
	var both sync.WaitGroup
	both.Go(func() { copyLines(bufio.NewReader(agent), l.toApplication); _ = app.Close() })
	both.Go(func() { <-speaks; copyLines(said, l.toAgent); _ = agent.Close() })
	both.Wait()
	return nil
}

// copyLines gives each line to f until the connection ends.
func copyLines(from *bufio.Reader, f func(line []byte) error) {
	for {
		line, err := from.ReadBytes('\n')
		if err != nil || f(line) != nil {
			return
		}
	}
}

// link is one connection; shift is how far the application's numbers are ahead
// of the agent's after an event was delivered twice.
type link struct {
	fault      *fault
	agent, app net.Conn

	mu     sync.Mutex
	shift  uint64
	struck uint64 // the event that was delivered twice
}

// fields of a message that a fault looks at; the others are passed on as they
// are.
type fields map[string]json.RawMessage

func (m fields) text(name string) (s string) {
	_ = json.Unmarshal(m[name], &s)
	return s
}

func (m fields) number(name string) (n uint64) {
	_ = json.Unmarshal(m[name], &n)
	return n
}

func (m fields) set(name string, v any) {
	if b, err := json.Marshal(v); err == nil {
		m[name] = b
	}
}

func write(to net.Conn, m fields) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = to.Write(append(b, '\n'))
	return err
}

// strike says whether the fault is to act on this event, once.
func (f *fault) strike(kind string, m fields) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done || f.kind != kind || m.text("name") != f.event || m.number("sequence") < f.after {
		return false
	}
	f.done = true
	return true
}

func (l *link) toApplication(line []byte) error {
	var m fields
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	switch m.text("type") {
	case "restore":
		l.fault.mu.Lock()
		if l.fault.kind == "stale" && l.fault.first != nil && string(m["snapshot"]) != "null" {
			m["snapshot"] = l.fault.first
		}
		l.fault.mu.Unlock()
	case "event":
		sequence := m.number("sequence")
		if l.fault.strike("drop", m) {
			return write(l.agent, fields{"type": json.RawMessage(`"answer"`), "run": m["run"], "sequence": m["sequence"]})
		}
		l.mu.Lock()
		m.set("sequence", sequence+l.shift)
		l.mu.Unlock()
		if l.fault.strike("twice", m) {
			if err := write(l.app, m); err != nil {
				return err
			}
			l.mu.Lock()
			l.struck, l.shift = sequence, 1
			l.mu.Unlock()
			m.set("sequence", sequence+1)
		}
	}
	return write(l.app, m)
}

func (l *link) toAgent(line []byte) error {
	var m fields
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	kind := m.text("type")
	if _, numbered := m["sequence"]; numbered {
		l.mu.Lock()
		n, repeat := m.number("sequence"), false
		if l.shift > 0 && n > l.struck {
			repeat = n == l.struck+1
			m.set("sequence", n-l.shift)
		}
		l.mu.Unlock()
		if repeat && kind == "answer" {
			return nil // the agent asked once and has its answer
		}
	}
	if kind == "snapshot" && m.number("sequence") > 0 {
		l.fault.mu.Lock()
		if l.fault.first == nil {
			l.fault.first = m["snapshot"]
		}
		l.fault.mu.Unlock()
	}
	return write(l.agent, m)
}

// errFound is the end of a demonstration that found something out.
var errFound = errors.New("a claim does not hold")
