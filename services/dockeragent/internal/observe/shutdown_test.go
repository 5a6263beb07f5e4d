// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// An engine that is shut down and started, or killed, under a Core: who wanted
// each run to end is known, and compared with what the Core has told.
type host struct {
	*world
	listening   bool // the engine answers
	connected   bool // the Core has its event stream
	liveRestore bool
	ring        []engine.Event
	starts      map[string]time.Time
	ended       map[string]string // by StartedAt: the person, the engine, itself
	read        int               // of out
}

func newHost() *host {
	return &host{
		world: newWorld(), listening: true, connected: true,
		starts: map[string]time.Time{}, ended: map[string]string{},
	}
}

func (h *host) emit(c *engine.Container, action string, attributes ...string) {
	h.now = h.now.Add(time.Millisecond)
	ev := engine.Event{Action: action, ContainerID: c.ID, Name: c.Name, Time: h.now, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		ev.Attributes[attributes[i]] = attributes[i+1]
	}
	h.ring = append(h.ring, ev)
	if h.connected {
		h.core.Event(h.now, ev)
		h.take()
	}
}

func (h *host) create(id string) {
	c := &engine.Container{ID: id, Name: id, Created: h.now, State: engine.State{Status: "created"}}
	h.truth[id] = c
	h.emit(c, "create")
	h.quiet()
}

func (h *host) start(id string) {
	c := h.truth[id]
	if c.State.Running || !h.listening {
		return
	}
	c.State = engine.State{Status: "running", Running: true, StartedAt: stamp(h.now), FinishedAt: c.State.FinishedAt}
	h.emit(c, "start")
	h.starts[id] = h.now
	h.quiet()
}

// ask begins a stop that the application ignores.
func (h *host) ask(id string) {
	if c := h.truth[id]; c.State.Running {
		h.ended[c.State.StartedAt] = "a person"
		h.emit(c, "kill", "signal", "15")
		h.quiet()
	}
}

// stop ends a run with the engine's events of a stop, by whom.
func (h *host) stop(id, who string, code int) {
	c := h.truth[id]
	if !c.State.Running {
		return
	}
	if h.ended[c.State.StartedAt] == "" {
		h.ended[c.State.StartedAt] = who
	}
	if who != "itself" {
		h.emit(c, "kill", "signal", "15")
	}
	if h.listening { // The question that followed the signal.
		h.quiet()
	}
	c.State = engine.State{Status: "exited", ExitCode: code, StartedAt: c.State.StartedAt, FinishedAt: stamp(h.now)}
	h.emit(c, "die", "exitCode", strconv.Itoa(code))
	if who != "itself" {
		h.emit(c, "stop")
	}
	h.quiet()
}

// quiet lets a second go by: an engine that listens answers, another refuses.
func (h *host) quiet() {
	for end := h.now.Add(time.Second); ; {
		switch {
		case !h.connected:
			h.asks = nil
			return
		case len(h.asks) > 0 && h.listening:
			h.answer()
		case len(h.asks) > 0:
			a := h.asks[0]
			h.asks = h.asks[1:]
			h.core.Inspected(h.now, a, engine.Container{}, false, true)
			h.take()
		case !h.next.IsZero() && h.next.Before(end):
			h.now = h.next
			h.core.Tick(h.now)
			h.take()
		default:
			h.now = end
			return
		}
	}
}

// lost ends the event stream.
func (h *host) lost() {
	if h.connected {
		h.core.Lost(h.now, "test")
		h.connected = false
		h.take()
		h.asks = nil
	}
}

// shutDown is SIGTERM: it stops listening, then its containers.
func (h *host) shutDown() {
	h.listening = false
	for _, id := range slices.Sorted(maps.Keys(h.truth)) {
		if !h.liveRestore {
			h.stop(id, "the engine", 0)
		}
	}
	h.lost()
}

// killed is SIGKILL: the containers run on, until the next engine stops them.
func (h *host) killed() {
	h.listening = false
	h.lost()
}

func (h *host) boot() {
	h.now = h.now.Add(2 * time.Second)
	h.ring, h.starts = nil, map[string]time.Time{}
	for _, id := range slices.Sorted(maps.Keys(h.truth)) {
		if !h.liveRestore {
			h.stop(id, "the engine", 0)
		}
	}
	h.listening = true
}

// connect is what an Observer does once the engine answers.
func (h *host) connect() {
	since := h.core.Since(h.now)
	h.connected = true
	h.core.Connected(h.now, engine.Info{ID: "engine", LiveRestore: h.liveRestore}, engine.Memory{Whole: len(h.ring) < 256, Starts: h.starts})
	h.list()
	for _, ev := range h.ring {
		if !ev.Time.Before(since) {
			h.core.Event(h.now, ev)
			h.take()
		}
	}
	h.quiet()
}

// newAgent is an agent that comes back with its journal.
func (h *host) newAgent() {
	h.core = NewCore("engine", h.core.Told())
	h.asks, h.next = nil, time.Time{}
}

// verdicts are the deaths told since the last call: "RUN by the engine".
func (h *host) verdicts() (got, want []string) {
	for _, o := range h.out[h.read:] {
		var data struct {
			StartedAt string
			Evidence  struct{ EngineShutdown bool }
		}
		if o.Observation.Event != "docker.die" {
			continue
		}
		_ = json.Unmarshal(o.Observation.Data, &data)
		got = append(got, fmt.Sprintf("%s: engine %v", data.StartedAt, data.Evidence.EngineShutdown))
		want = append(want, fmt.Sprintf("%s: engine %v", data.StartedAt, h.ended[data.StartedAt] == "the engine"))
	}
	h.read = len(h.out)
	return got, want
}

// TestWhoEndedIt generates what people, containers and engines do, and agents
// that are there or away: each death is laid to the engine if it was the engine's.
// Left out is what cannot be told: a stop that nobody watched, before a shutdown
// that nobody watched either.
func TestWhoEndedIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHost()
		h.liveRestore = rapid.Bool().Draw(t, "live-restore")
		h.list()
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			h.create(id)
			h.start(id)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			id := rapid.SampledFrom(ids).Draw(t, "container")
			watched := rapid.Bool().Draw(t, "watched")
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				h.start(id)
			case 1: // the stream breaks, an engine that is there stops one meanwhile
				if !watched {
					h.lost()
				}
				h.stop(id, "a person", 0)
			case 2:
				h.stop(id, "itself", rapid.SampledFrom([]int{0, 1}).Draw(t, "code"))
			case 3:
				if !watched {
					h.lost()
					h.newAgent()
				}
				h.shutDown()
				h.boot()
			case 4:
				h.killed()
				h.boot()
			case 5:
				h.lost()
				h.newAgent()
			case 6:
				h.now = h.now.Add(time.Hour)
			case 7: // the engine ends in the grace of a stop
				h.ask(id)
				if watched {
					h.shutDown()
				} else {
					h.killed()
				}
				h.boot()
			}
			if !h.connected {
				h.connect()
			}
			got, want := h.verdicts()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("who ended it (-want +got):\n%s", diff)
			}
		}
		if len(h.ended) > 0 && len(h.out) == 0 {
			t.Fatal("nothing was told")
		}
		for id, c := range h.truth {
			if told := h.core.Told()[id]; told.live() != c.State.Live() {
				t.Fatalf("%s: told %s, is %s", id, told.Status, c.State.Status)
			}
		}
	})
}

// TestShutdownIsToldByTheNextEngine: until it is known who stopped it, a death is
// held, and then it is told before the stop that came with it.
func TestShutdownIsToldByTheNextEngine(t *testing.T) {
	t.Parallel()
	h := newHost()
	h.create("a")
	h.start("a")
	h.events = nil
	h.shutDown()
	if diff := cmp.Diff([]string{"kill"}, h.events); diff != "" {
		t.Fatalf("told while it shuts down (-want +got):\n%s", diff)
	}
	h.boot()
	h.connect()
	if diff := cmp.Diff([]string{"kill", "die", "stop", "inspect"}, h.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got, want := h.verdicts(); len(got) != 1 || !cmp.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}

// TestStoppedLongBeforeTheShutdown: nobody watched either, but another container
// ended much later, with the engine.
func TestStoppedLongBeforeTheShutdown(t *testing.T) {
	t.Parallel()
	h := newHost()
	for _, id := range []string{"a", "b"} {
		h.create(id)
		h.start(id)
	}
	h.lost()
	h.newAgent()
	h.stop("a", "a person", 0)
	h.now = h.now.Add(time.Minute)
	h.shutDown()
	h.boot()
	h.connect()
	if got, want := h.verdicts(); len(got) != 2 || !cmp.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}

// TestOutlives: a run that is seen alive after its engine has ended is not cut off
// by it, whatever the engine says of itself.
func TestOutlives(t *testing.T) {
	t.Parallel()
	h := newHost()
	h.create("a")
	h.start("a")
	h.killed()
	h.liveRestore = true
	h.boot()
	h.liveRestore = false
	h.connect()
	h.stop("a", "a person", 0)
	if got, want := h.verdicts(); len(got) != 1 || !cmp.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}

// TestForgetfulEngine: one that remembers its last 256 events and no start of the
// run may be the old one or a new one; then it counts whether the old one answered
// after the signal.
func TestForgetfulEngine(t *testing.T) {
	t.Parallel()
	for _, watched := range []bool{true, false} {
		h := newHost()
		h.create("a")
		h.start("a")
		if !watched {
			h.lost()
		}
		h.shutDown()
		h.boot()
		for range 256 {
			h.emit(h.truth["a"], "top")
		}
		h.connect()
		var data struct{ Evidence struct{ EngineShutdown bool } }
		for _, o := range h.out {
			if o.Observation.Event == "docker.die" {
				_ = json.Unmarshal(o.Observation.Data, &data)
			}
		}
		if data.Evidence.EngineShutdown != watched {
			t.Errorf("watched %v: laid to the engine %v", watched, data.Evidence.EngineShutdown)
		}
	}
}

// TestInspectHangs: an engine that answers lists but never this inspect is there,
// so a stop is told as one, two lists later at most.
func TestInspectHangs(t *testing.T) {
	t.Parallel()
	h := newHost()
	h.create("a")
	h.start("a")
	h.events = nil
	c := h.truth["a"]
	h.emit(c, "kill", "signal", "15")
	h.emit(c, "die", "exitCode", "0")
	h.asks = nil // never answered
	for n := range 2 {
		h.advance(10 * time.Second)
		if diff := cmp.Diff([]string{"kill"}, h.events); diff != "" {
			t.Fatalf("after %d lists (-want +got):\n%s", n, diff)
		}
		h.list()
	}
	h.advance(time.Millisecond)
	if diff := cmp.Diff([]string{"kill", "die"}, h.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got, want := h.verdicts(); len(got) != 1 || !cmp.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
}
