// SPDX-License-Identifier: AGPL-3.0-or-later

package application

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
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
	case a.root == nil:
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
	if m.Resume && a.root != nil {
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
	if err := a.load(m.Snapshot); err != nil {
		a.fault("%v", err)
		return err
	}
	a.done = a.root.Finished() != nil
	a.say("ready: restored, %d events contained", a.cursor)
	a.send(readyMessage{Type: "ready", Run: a.run, Sequence: a.cursor})
	return nil
}

// open makes an environment without sessions, whose clock shows now.
func (a *Application) open() {
	a.env = scxmlenv.New(scxmlenv.Config{
		Now: time.Now(), Seed: rand.Uint64, NoHTTP: true, Observe: a.observe, Perform: a.perform,
	})
}

// start begins a new session. Its first snapshot keeps the deadlines of delayed
// sends that the initial states made.
func (a *Application) start() error {
	a.say("ready: clean start")
	a.send(readyMessage{Type: "ready", Run: a.run, Sequence: a.cursor})
	a.open()
	a.ordinal = 0
	root, err := a.env.Start(a.cfg.Chart, scxml.Input{SessionID: a.cfg.Chart.Name()})
	if root == nil {
		return fmt.Errorf("start chart %s: %w", a.cfg.Chart.Name(), err)
	}
	a.root = root
	a.check(err)
	a.policySnapshot()
	return nil
}

// load takes the sessions up from a snapshot of ours.
func (a *Application) load(body json.RawMessage) error {
	var s state
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("restore: the snapshot is not one of this application: %w", err)
	}
	if s.Chart != a.cfg.Chart.Digest() {
		return fmt.Errorf("restore: the snapshot is of the chart %s, this is %s", s.Chart, a.cfg.Chart.Digest())
	}
	a.open()
	saved := scxmlenv.Saved{Count: max(s.Count, 1), Sessions: append([]scxmlenv.SavedSession{{Snapshot: s.Session}}, s.Invoked...)}
	sessions, err := a.env.Load(a.cfg.Chart, saved)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	a.root, a.ordinal = sessions[0], s.Ordinal
	// An application that was not running had an outage, whatever the reason.
	for _, session := range sessions {
		if session.Resume(time.Time{}, a.env.Now()) {
			a.dirty = true
		}
	}
	return nil
}

// event gives an event to the chart, unless its effect is already contained.
func (a *Application) event(m inbound) {
	answer := answerMessage{Type: "answer", Run: a.run, Sequence: m.Sequence}
	if m.Sequence <= a.cursor {
		a.send(answer)
		return
	}
	a.catchUp()
	a.cursor = m.Sequence
	if a.done {
		answer.Error = "the chart has ended"
	} else {
		a.check(a.env.Deliver(a.root, scxml.Event{Name: m.Name, Data: m.Data}))
	}
	a.policySnapshot()
	a.send(answer)
}

// observe tells what a step wrote, and what went wrong in it.
func (a *Application) observe(s *scxmlenv.Session, step scxml.Macrostep) {
	a.dirty = true
	for _, effect := range step.Effects {
		if e, ok := effect.(scxml.Log); ok {
			a.log(e)
		}
	}
	for _, m := range step.Microsteps {
		for _, f := range m.Faults {
			a.fault("%s in <%s>, line %d: %s", f.Event, f.Element, f.Line, f.Message)
		}
	}
	if step.Done == nil {
		return
	}
	if step.Done.Fault != "" {
		a.fault("the chart was ended: %s", step.Done.Fault)
	}
	if s.Parent == nil {
		a.done = true
		a.say("done: %s", step.Done.State)
	}
}

// perform sends an event out. What sessions of the engine's own types want of each
// other has been done, or cannot be.
func (a *Application) perform(_ *scxmlenv.Session, effect scxml.Effect) bool {
	e, ok := effect.(scxml.Send)
	if !ok || e.Type == scxml.SCXMLProcessor || e.Type == scxml.BasicHTTPProcessor {
		return false
	}
	a.ordinal++
	a.send(eventMessage{
		Type: "event", Run: a.run, Ordinal: a.ordinal, Cause: a.cursor,
		Name: e.Event.Name, Data: e.Event.Data,
	})
	return true
}

func (a *Application) policySnapshot() {
	if a.cfg.Policy == PolicyEvent && a.dirty {
		a.snapshot()
	}
}

// snapshot sends the state.
func (a *Application) snapshot() {
	saved, err := a.env.Save()
	body := state{Chart: a.cfg.Chart.Digest(), Ordinal: a.ordinal, Count: saved.Count}
	if err == nil {
		body.Session, err = a.root.AppendJSON(nil)
	}
	if err != nil {
		a.fault("snapshot: %v", err)
		return
	}
	for _, s := range saved.Sessions {
		if s.Parent != "" {
			body.Invoked = append(body.Invoked, s)
		}
	}
	a.dirty = false
	a.send(snapshotMessage{Type: "snapshot", Run: a.run, Sequence: a.cursor, Snapshot: body})
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
