// SPDX-License-Identifier: AGPL-3.0-or-later

// Package observe turns what an engine says (events, which may be lost, repeated
// and reordered; lists; inspects) into observations that are never wrong for long.
//
// It has two parts. [Core] is a pure state machine: inputs and the time go in,
// observations and questions come out; it has no goroutine, clock or I/O, and is
// what the generated tests drive. [Observer] runs it: it subscribes first, then
// lists and inspects, again on every reconnect and at least every 10 s, and reads
// the stream in a goroutine of its own that never waits.
//
// Guarantees: after the last event, whatever was dropped, doubled or reordered, the
// observations end where inspect says. What was missed is told as inferred
// observations after a gap marker. An inspect answer counts only if no event of
// that container arrived since it was asked for. Absence means destroyed only on
// the same engine. A die, a start and a create are held back until inspect has
// answered or 250 ms have passed (5 ms for the death of a run that nobody signalled), and
// later events of that container wait behind them.
//
// An engine that shuts down stops its containers with the same events as a person
// does. What tells them apart: it has stopped listening by then. So a death after a
// stop signal that no command of ours explains is held until the engine has answered
// a question put after the signal: the one that sent it (a person asked it to), or
// its successor (nobody did: evidence.engineShutdown).
package observe

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
)

const (
	// holdTime bounds how long a die waits for inspect, and with it for a stop
	// event, when the engine was seen to send a signal or a command of ours is under way.
	holdTime = 250 * time.Millisecond
	// crashTime bounds it for a death out of the blue: a stop is always preceded
	// by a kill event, so nothing can come that changes the verdict, and engines before
	// 23 answer no inspect until the network is cleaned up (50–150 ms), during
	// which a start can be on its way already.
	crashTime = 5 * time.Millisecond
	// settleTime is the quiet after a burst before inspect is told.
	settleTime = 50 * time.Millisecond
	// doubtTime is how long a difference must last, without an event, before
	// something is inferred: the event may be on its way (28 ms were measured).
	doubtTime = 100 * time.Millisecond
	// overlap is how far a new subscription reaches back: with less, events were lost.
	overlap = 200 * time.Millisecond
	// attribution is how long after a command's end its events may arrive.
	attribution = 2 * time.Second
	// restartOverlap is the same for an agent that comes back: an event that was held
	// when it ended is older than those of other containers that were told.
	restartOverlap = 10 * time.Second
	// forgotten is after how long a command without an end no longer counts as under
	// way: its server may never send it again.
	forgotten = 3 * time.Minute
	// shutdownTime is how long an engine takes at most to stop its containers, unless
	// told otherwise.
	shutdownTime = 15 * time.Second
	// rememberEvents and rememberGone bound what is kept against repetition.
	rememberEvents = 4096
	rememberGone   = 1024
	// rememberParked bounds the containers of engines that are away.
	rememberParked = 1024
	// rememberCommands bounds the commands of ours whose events may still come.
	rememberCommands = 8
)

// EventRelisted is the event of an observation about the host that says that
// everything the engine has was told.
const EventRelisted = "host.relisted"

// Told is what somebody who follows the observations believes of a container.
// It is kept in the journal, so that an agent that comes back knows what it said.
type Told struct {
	Instance   string    `json:"instance"`
	Name       string    `json:"name"`
	Image      string    `json:"image"`
	Status     string    `json:"status"`
	StartedAt  string    `json:"startedAt,omitempty"`
	FinishedAt string    `json:"finishedAt,omitempty"`
	ExitCode   int       `json:"exitCode,omitempty"`
	OOMKilled  bool      `json:"oomKilled,omitempty"`
	Health     string    `json:"health,omitempty"`
	Target     string    `json:"target,omitempty"` // its JSON, to notice changes
	Approx     bool      `json:"approx,omitempty"` // StartedAt is Stamp, not inspect's
	Stamp      string    `json:"stamp,omitempty"`  // of the event by which the run was told, when inspect did not answer
	LastEvent  time.Time `json:"lastEvent,omitzero"`
	// Engine is the one that has it, while another answers; else empty.
	Engine string `json:"engine,omitempty"`
	// StartedBy is the command of ours that a start was put down to last.
	StartedBy string `json:"startedBy,omitempty"`
	// Ready and Cursor are the channel's: the run whose application was ready.
	Ready string `json:"ready,omitempty"`
}

func (t Told) live() bool { return t.Status == "running" || t.Status == "paused" }

// Began reports whether at is the time that names the run: its StartedAt, or the
// stamp by which it was told before that was known.
func (t Told) Began(at time.Time) bool { return sameTime(t.StartedAt, at) || sameTime(t.Stamp, at) }

// is reports whether run is the StartedAt of the run that was told last. One that is
// known by a stamp alone began no later than that, and after the end of the run before.
func (t Told) is(run string) bool {
	if !t.Approx {
		return run != "" && run == t.StartedAt
	}
	at, err := time.Parse(time.RFC3339Nano, run)
	if stamped, err2 := time.Parse(time.RFC3339Nano, t.Stamp); err != nil || err2 != nil || at.After(stamped) {
		return false
	}
	before, err := time.Parse(time.RFC3339Nano, t.FinishedAt)
	return err != nil || !t.live() || at.After(before)
}

func sameTime(stamp string, at time.Time) bool {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	return err == nil && t.Equal(at)
}

// Out is an observation with what the agent needs to act on it.
type Out struct {
	// Observation has no sequence yet.
	Observation journal.Observation
	// Told is what is believed after it; nil after docker.destroy and for the host. Without
	// an event that is all: the container is forgotten (nil), its engine has gone or is back.
	Told *Told
	// Container is inspect's answer when one was used; else nil.
	Container *engine.Container
	// EngineID, when it is not empty, is all that there is: what follows is of that engine.
	// It is kept in the journal beside what was told.
	EngineID string
}

// Ask is a wish for an inspect; Token goes back with the answer.
type Ask struct {
	ID    string
	Token uint64
}

// Core is the state machine. It is not safe for concurrent use.
type Core struct {
	engineID   string
	containers map[string]*container
	parked     map[string]Told     // of engines that do not answer now
	pending    map[string]struct{} // those with a timer or a held event
	out        []Out
	asks       []Ask
	seen       map[eventKey]struct{}
	seenRing   []eventKey
	gone       []string
	lastSeen   time.Time
	restored   bool
	gapFrom    time.Time
	gapReason  string
	gapTold    bool
	listed     bool // since the stream was lost
	relisting  bool // EventRelisted is owed
	now        time.Time
	// restoredSeen is lastSeen as the journal had it: what an unknown container did
	// up to then was told, or is found by listing.
	restoredSeen time.Time
	// lastCut is when the last run ended that did not outlive the engine.
	lastCut time.Time
}

type eventKey struct {
	id, action string
	nano       int64
}

type container struct {
	id     string
	exists bool
	told   Told
	// restoredAt is told.LastEvent as the journal had it, or how far an inspect reached
	// on first sight: events up to it are told, or contained in what was told.
	restoredAt time.Time
	seq        uint64 // events so far
	held       []engine.Event
	heldSince  time.Time
	heldFor    time.Duration
	asking     bool
	wish       bool // ask again as soon as the outstanding answer is in
	settleAt   time.Time
	settling   bool
	doubtAt    time.Time
	doubtSeq   uint64
	doubt      bool
	evidence
	stopSignal int
	commands   []ownCommand // of ours, the newest last; at most rememberCommands
}

// Command is one of ours on a container.
type Command struct {
	ID, Verb string
	// Run is the StartedAt that inspect named before it was carried out: it can end no other
	// run than that. Empty for a container that was never started.
	Run string
}

type ownCommand struct {
	Command
	began time.Time
	ended time.Time // zero while in flight
}

// NewCore makes a Core that has told known before, of the engine with that id (empty
// when it has told nothing).
func NewCore(engineID string, known map[string]Told) *Core {
	c := &Core{
		engineID: engineID, containers: map[string]*container{}, parked: map[string]Told{},
		pending: map[string]struct{}{}, seen: map[eventKey]struct{}{},
	}
	for id, t := range known {
		if t.Engine != "" && t.Engine != engineID {
			c.parked[id] = t
			continue
		}
		c.containers[id] = restored(id, t)
		if t.LastEvent.After(c.lastSeen) {
			c.lastSeen = t.LastEvent
		}
		c.restored = true
	}
	if c.restored {
		c.gapFrom, c.gapReason = c.lastSeen, "the agent was not running"
		c.restoredSeen = c.lastSeen
	}
	return c
}

// restored is a container of which t was told before.
func restored(id string, t Told) *container {
	t.Engine = ""
	return &container{id: id, exists: true, told: t, restoredAt: t.LastEvent, stopSignal: 15}
}

// Since is from when a new subscription should replay: 200 ms before the newest
// event seen, or before now when none was; for an agent that comes back, 10 s.
func (c *Core) Since(now time.Time) time.Time {
	if c.lastSeen.IsZero() {
		return now.Add(-overlap)
	}
	if c.restored {
		return c.lastSeen.Add(-restartOverlap)
	}
	return c.lastSeen.Add(-overlap)
}

// Told returns what is believed of all containers, by id, those of engines that are
// away included.
func (c *Core) Told() map[string]Told {
	out := map[string]Told{}
	for id, k := range c.containers {
		if k.exists {
			out[id] = k.told
		}
	}
	maps.Copy(out, c.parked)
	return out
}

// Retell has docker.inspect told of every container, with its target, although
// nothing has changed: for a server that has lost what it was told.
// [EventRelisted] follows when all has been told.
func (c *Core) Retell() {
	c.relisting = true
	for _, k := range c.containers {
		if k.exists {
			k.settling, k.told.Target = true, ""
			c.ask(k)
		}
	}
}

// SetReady notes the run whose application was ready, to be kept with Told.
func (c *Core) SetReady(id, run string) {
	if k, ok := c.containers[id]; ok {
		k.told.Ready = run
	}
}

// Take returns what has come out since the last call, and when Tick is due next
// (zero: not before another input).
func (c *Core) Take() (out []Out, asks []Ask, next time.Time) {
	c.relisted()
	out, asks, c.out, c.asks = c.out, c.asks, nil, nil
	for id := range c.pending {
		k := c.containers[id]
		if k == nil {
			delete(c.pending, id)
			continue
		}
		none := true
		due := func(t time.Time) {
			none = false
			if next.IsZero() || t.Before(next) {
				next = t
			}
		}
		if len(k.held) > 0 {
			none = false
			if !k.doubtful(c.now) {
				due(k.heldSince.Add(k.heldFor))
			}
		} else if !k.settleAt.IsZero() && k.idle(c.now) {
			due(k.settleAt)
		}
		if !k.settleAt.IsZero() {
			none = false
		}
		if !k.doubtAt.IsZero() {
			due(k.doubtAt)
		}
		if none {
			delete(c.pending, id)
		}
	}
	return out, asks, next
}

// relisted says so when everything that Retell asked for has been told.
func (c *Core) relisted() {
	if !c.relisting || !c.listed {
		return
	}
	for _, k := range c.containers {
		if k.asking || k.settling {
			return
		}
	}
	c.relisting = false
	c.out = append(c.out, Out{Observation: journal.Observation{Time: c.now, Event: EventRelisted}})
}

// idle reports whether no command of ours is under way.
func (k *container) idle(now time.Time) bool {
	return !slices.ContainsFunc(k.commands, func(o ownCommand) bool { return o.ended.IsZero() && now.Sub(o.began) < forgotten })
}

// Listed takes a list of all containers, made after the subscription, and asks
// for an inspect of all those in it and of those told before.
func (c *Core) Listed(now time.Time, list []engine.Summary) {
	c.now = now
	if c.listed {
		// The gap was worked off by the list before.
		c.gapReason, c.gapTold, c.restored = "", false, false
	}
	c.listed = true
	for _, s := range list {
		if slices.Contains(c.gone, s.ID) {
			continue
		}
		c.ask(c.get(s.ID))
	}
	for _, k := range c.containers {
		if k.exists {
			c.ask(k)
		}
		// The second list was asked for after the signal, in case inspect hangs.
		k.lists++
		k.vouched = k.vouched || k.asked != 0 && !k.cut && k.lists > 1
	}
}

func (c *Core) get(id string) *container {
	k, ok := c.containers[id]
	if !ok {
		k = &container{id: id, stopSignal: 15}
		c.containers[id] = k
	}
	return k
}

func (c *Core) ask(k *container) {
	if k.asking {
		k.wish = true
		return
	}
	k.asking, k.wish = true, false
	c.asks = append(c.asks, Ask{ID: k.id, Token: k.seq})
}

// Command says that a command of ours begins or has ended on a container.
func (c *Core) Command(now time.Time, id string, own Command, begin bool) {
	k := c.get(id)
	k.commands = slices.DeleteFunc(k.commands, func(o ownCommand) bool {
		return begin && o.ID == own.ID || !o.ended.IsZero() && now.Sub(o.ended) > attribution
	})
	if begin {
		k.commands = append(k.commands, ownCommand{Command: own, began: now})
		if len(k.commands) > rememberCommands {
			k.commands = k.commands[1:]
		}
		return
	}
	for i := range k.commands {
		if k.commands[i].ID == own.ID {
			k.commands[i].ended = now
			if !k.settleAt.IsZero() {
				k.settleAt = now.Add(settleTime)
			}
		}
	}
}

// annotations change no state; they are told at once, unless something is held.
func annotation(word string) bool {
	switch word {
	case "create", "start", "die", "pause", "unpause", "destroy", "rename", "update", "health_status", "stop", "kill", "oom", "restart":
		return false
	}
	return true
}

// split separates the word of an action from its text.
func split(action string) (word, text string) {
	word, text, _ = strings.Cut(action, ":")
	return word, strings.TrimSpace(text)
}

// Event takes one event of the stream.
func (c *Core) Event(now time.Time, ev engine.Event) {
	c.now = now
	key := eventKey{ev.ContainerID, ev.Action, ev.Time.UnixNano()}
	if _, twice := c.seen[key]; twice || slices.Contains(c.gone, ev.ContainerID) {
		return
	}
	c.remember(key)
	if ev.Time.After(c.lastSeen) {
		c.lastSeen = ev.Time
	}
	if _, known := c.containers[ev.ContainerID]; !known && !ev.Time.After(c.restoredSeen) {
		return
	}
	k := c.get(ev.ContainerID)
	k.seq++
	k.doubt = false
	word, _ := split(ev.Action)
	c.pending[k.id] = struct{}{}
	if !annotation(word) {
		k.settleAt, k.settling = now.Add(settleTime), false
	}
	if word == "kill" && k.told.live() && !k.old(ev) && k.stops(ev) && k.idle(now) && !k.vouched {
		k.asked, k.lists = k.seq, 0
		c.ask(k)
	}
	hold := !k.exists || word == "create" || word == "start" || word == "die"
	if len(k.held) == 0 && !hold {
		c.play(now, k, ev, nil, nil)
		return
	}
	if len(k.held) == 0 {
		k.heldSince, k.heldFor = now, holdTime
		if word == "die" && k.exists && len(k.signals) == 0 && k.idle(now) {
			k.heldFor = crashTime
		}
	} else if word != "die" {
		k.heldFor = holdTime
	}
	k.held = append(k.held, ev)
	if hold {
		c.ask(k)
	}
}

func (c *Core) remember(key eventKey) {
	c.seen[key] = struct{}{}
	c.seenRing = append(c.seenRing, key)
	if len(c.seenRing) > rememberEvents {
		delete(c.seen, c.seenRing[0])
		c.seenRing = c.seenRing[1:]
	}
}

// Inspected takes the answer to an Ask: a container, or found false when the
// engine said that there is none, or failed true when it could not be asked.
func (c *Core) Inspected(now time.Time, a Ask, in engine.Container, found, failed bool) {
	c.now = now
	k, ok := c.containers[a.ID]
	if !ok {
		return
	}
	k.asking = false
	if failed {
		return // The next relist asks again; held events have their deadline.
	}
	k.answered(a, in)
	if at, err := time.Parse(time.RFC3339Nano, in.State.FinishedAt); err == nil && k.cut && at.After(c.lastCut) {
		c.lastCut = at
	}
	if a.Token != k.seq || k.wish && len(k.held) > 0 {
		// An event arrived since: the answer may be older than it.
		c.ask(k)
		return
	}
	k.wish = false
	var answer *engine.Container
	if found {
		answer = &in
		k.stopSignal = 15
		if n, ok := engine.SignalNumber(in.StopSignal); ok {
			k.stopSignal = n
		}
	}
	if len(k.held) > 0 {
		c.flush(now, k, answer, true)
		return
	}
	c.compare(now, k, answer)
}

// old reports whether an event was told before this agent started, or is contained
// in what was told.
func (k *container) old(ev engine.Event) bool {
	return !k.restoredAt.IsZero() && !ev.Time.After(k.restoredAt)
}

// Tick does what is due.
func (c *Core) Tick(now time.Time) {
	c.now = now
	for id := range c.pending {
		k := c.containers[id]
		if k == nil {
			continue
		}
		if len(k.held) > 0 && !now.Before(k.heldSince.Add(k.heldFor)) && !k.doubtful(now) {
			c.flush(now, k, nil, false)
		}
		if len(k.held) == 0 && !k.settleAt.IsZero() && !now.Before(k.settleAt) && k.idle(now) {
			k.settleAt, k.settling = time.Time{}, true
			c.ask(k)
		}
		if !k.doubtAt.IsZero() && !now.Before(k.doubtAt) {
			k.doubtAt = time.Time{}
			c.ask(k)
		}
	}
}
