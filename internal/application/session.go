// SPDX-License-Identifier: AGPL-3.0-or-later

package application

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// handle does one message of the agent. Only a restore that fails is an error:
// the process then ends, so that the snapshot is blamed and not the next event.
func (a *Application) handle(line []byte) error {
	var m inbound
	if err := json.Unmarshal(line, &m); err != nil {
		a.fault("not a message: %v", err)
		return nil
	}
	if m.Type == "restore" {
		return a.restore(m)
	}
	switch {
	case a.session == nil:
		a.fault("%s came before restore", m.Type)
		return nil
	case m.Run != a.run:
		a.fault("%s is for the run %s, this is %s", m.Type, m.Run, a.run)
		return nil
	}
	switch m.Type {
	case "event":
		a.event(m)
	case "take_snapshot":
		a.snapshot()
	default:
		// A later version of the contract may say more; what is not known
		// must not stop what is.
		a.cfg.Logger.Debug("message of an unknown type", "type", m.Type)
	}
	return nil
}

// restore starts the session or takes it up from a snapshot. With resume a
// session that runs goes on, and says how far it is.
func (a *Application) restore(m inbound) error {
	a.run = m.Run
	if m.Resume && a.session != nil {
		a.say("ready: still running, %d events contained", a.cursor)
		a.send(readyMessage{Type: "ready", Run: a.run, Sequence: a.cursor})
		// The connection may have broken before the last snapshot got through.
		a.dirty = true
		a.policySnapshot()
		return nil
	}
	a.cursor, a.dirty = m.Sequence, false
	if len(m.Snapshot) == 0 || string(m.Snapshot) == "null" {
		return a.start()
	}
	session, ordinal, err := a.decode(m.Snapshot)
	if err != nil {
		a.fault("%v", err)
		return err
	}
	// An application that was not running had an outage, whatever the reason.
	a.dirty = session.Resume(time.Time{}, time.Now())
	a.session, a.ordinal = session, ordinal
	a.done = session.Finished() != nil
	a.say("ready: restored, %d events contained", a.cursor)
	a.send(readyMessage{Type: "ready", Run: a.run, Sequence: a.cursor})
	return nil
}

// start begins a new session. Its first snapshot keeps the deadlines of delayed
// sends that the initial states made.
func (a *Application) start() error {
	in := input()
	in.SessionID = a.cfg.Chart.Name()
	session, step, err := scxml.Start(a.cfg.Chart, in)
	if err != nil {
		return fmt.Errorf("start chart %s: %w", a.cfg.Chart.Name(), err)
	}
	a.session, a.ordinal = session, 0
	a.say("ready: clean start")
	a.send(readyMessage{Type: "ready", Run: a.run, Sequence: a.cursor})
	a.perform(step)
	a.policySnapshot()
	return nil
}

// decode reads a snapshot of ours.
func (a *Application) decode(body json.RawMessage) (*scxml.Interpreter, uint64, error) {
	var s state
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, 0, fmt.Errorf("restore: the snapshot is not one of this application: %w", err)
	}
	if s.Chart != a.cfg.Chart.Digest() {
		return nil, 0, fmt.Errorf("restore: the snapshot is of the chart %s, this is %s", s.Chart, a.cfg.Chart.Digest())
	}
	session, err := scxml.Restore(a.cfg.Chart, s.Session)
	if err != nil {
		return nil, 0, fmt.Errorf("restore: %w", err)
	}
	return session, s.Ordinal, nil
}

// event gives an event to the chart, unless its effect is already contained.
func (a *Application) event(m inbound) {
	if m.Sequence <= a.cursor {
		a.send(answerMessage{Type: "answer", Run: a.run, Sequence: m.Sequence})
		return
	}
	step, err := a.session.Deliver(scxml.Event{Name: m.Name, Data: m.Data}, input())
	a.cursor = m.Sequence
	answer := answerMessage{Type: "answer", Run: a.run, Sequence: m.Sequence}
	if err != nil {
		// Only scxml.ErrFinished: the event is done with, whatever comes.
		answer.Error = err.Error()
		if errors.Is(err, scxml.ErrFinished) {
			answer.Error = "the chart has ended"
		}
	}
	a.perform(step)
	a.policySnapshot()
	a.send(answer)
}

// perform does what the step asks of the world.
func (a *Application) perform(step scxml.Macrostep) {
	a.dirty = true
	var refused []scxml.Event
	for _, effect := range step.Effects {
		switch e := effect.(type) {
		case scxml.Log:
			a.log(e)
		case scxml.Send:
			if e.Type == scxml.BasicHTTPProcessor || strings.HasPrefix(e.Target, "#_") {
				refused = append(refused, scxml.Event{
					Name: "error.communication", SendID: e.SendID,
					Data: map[string]any{"message": fmt.Sprintf("an application cannot send to %s", e.Target)},
				})
				continue
			}
			a.ordinal++
			a.send(eventMessage{
				Type: "event", Run: a.run, Ordinal: a.ordinal, Cause: a.cursor,
				Name: e.Event.Name, Data: e.Event.Data,
			})
		case scxml.Invoke:
			refused = append(refused, scxml.Event{
				Name: "error.communication", InvokeID: e.ID,
				Data: map[string]any{"message": "an application cannot invoke " + e.Type},
			})
		case scxml.Done:
			a.done = true
			if e.Fault != "" {
				a.fault("the chart was ended: %s", e.Fault)
			}
			a.say("done: %s", e.State)
		}
	}
	for _, m := range step.Microsteps {
		for _, f := range m.Faults {
			a.fault("%s in <%s>, line %d: %s", f.Event, f.Element, f.Line, f.Message)
		}
	}
	for _, ev := range refused {
		if a.done {
			return
		}
		if next, err := a.session.Deliver(ev, input()); err == nil {
			a.perform(next)
		}
	}
}

func (a *Application) policySnapshot() {
	if a.cfg.Policy == PolicyEvent && a.dirty {
		a.snapshot()
	}
}

// snapshot sends the state.
func (a *Application) snapshot() {
	body, err := a.session.AppendJSON(nil)
	if err != nil {
		a.fault("snapshot: %v", err)
		return
	}
	a.dirty = false
	a.send(snapshotMessage{
		Type: "snapshot", Run: a.run, Sequence: a.cursor,
		Snapshot: state{Chart: a.cfg.Chart.Digest(), Session: body, Ordinal: a.ordinal},
	})
}

// log writes "label: value", the value as JSON unless it is text.
func (a *Application) log(e scxml.Log) {
	value := ""
	switch v := e.Value.(type) {
	case nil:
	case string:
		value = v
	default:
		if b, err := json.Marshal(v); err == nil {
			value = string(b)
		}
	}
	if e.Label != "" && value != "" {
		value = e.Label + ": " + value
	} else if value == "" {
		value = e.Label
	}
	a.say("%s", value)
}

// say writes a line for people, and for docker logs.
func (a *Application) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.cfg.Stdout, format+"\n", args...)
}
