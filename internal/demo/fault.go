// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	kind   string
	event  string // the event that it concerns
	after  uint64 // the sequence from which on it strikes, once
	inner  string // where the application really listens
	listen net.Listener

	mu    sync.Mutex
	done  bool            // drop and twice strike once
	first json.RawMessage // the snapshot that stale restores
}

// newFault listens at the path that the agent dials.
func newFault(ctx context.Context, kind, event, outer, inner string) (*fault, error) {
	_ = os.Remove(outer)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", outer)
	if err != nil {
		return nil, fmt.Errorf("build the fault in: %w", err)
	}
	return &fault{kind: kind, event: event, after: 20, inner: inner, listen: l}, nil
}

// run passes connections through until ctx ends.
func (f *fault) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = f.listen.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		agent, err := f.listen.Accept()
		if err != nil {
			return
		}
		open.Go(func() { f.pass(ctx, agent) })
	}
}

// pass joins one connection of the agent to the application, which may take a
// moment to listen after a start.
func (f *fault) pass(ctx context.Context, agent net.Conn) {
	defer agent.Close()
	var app net.Conn
	for end := time.Now().Add(20 * time.Second); ; {
		var err error
		if app, err = net.Dial("unix", f.inner); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(end) {
			return
		}
	}
	defer app.Close()
	stop := context.AfterFunc(ctx, func() { _ = agent.Close(); _ = app.Close() })
	defer stop()
	l := &link{fault: f, agent: agent, app: app}
	var both sync.WaitGroup
	both.Go(func() { copyLines(agent, l.toApplication); _ = app.Close() })
	both.Go(func() { copyLines(app, l.toAgent); _ = agent.Close() })
	both.Wait()
}

// copyLines gives each line to f until the connection ends.
func copyLines(from io.Reader, f func(line []byte) error) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadBytes('\n')
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
