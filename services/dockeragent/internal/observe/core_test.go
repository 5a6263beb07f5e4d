// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/recordings"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// follower believes what the observations say, as the simplest chart would.
type follower map[string]belief

type belief struct{ Status, StartedAt string }

func (f follower) apply(outs []Out) (events []string) {
	for _, o := range outs {
		ob := o.Observation
		if ob.Event == "" {
			continue
		}
		events = append(events, strings.TrimPrefix(ob.Event, "docker."))
		var data struct{ Status, StartedAt string }
		_ = json.Unmarshal(ob.Data, &data)
		b := f[ob.ContainerID]
		switch ob.Event {
		case "docker.create":
			b = belief{Status: "created"}
		case "docker.start":
			b = belief{"running", data.StartedAt}
		case "docker.die":
			b.Status, b.StartedAt = "exited", data.StartedAt
		case "docker.pause":
			b.Status = "paused"
		case "docker.unpause":
			b.Status = "running"
		case "docker.inspect":
			b = belief{data.Status, data.StartedAt}
		case "docker.destroy":
			delete(f, ob.ContainerID)
			continue
		default:
			continue
		}
		f[ob.ContainerID] = b
	}
	return events
}

// world is a Core with a follower and the truth that inspect answers from.
type world struct {
	core   *Core
	now    time.Time
	truth  map[string]*engine.Container
	belief follower
	events []string
	out    []Out
	asks   []Ask
	next   time.Time
}

func newWorld() *world {
	return &world{core: NewCore("", nil), now: time.Unix(1_800_000_000, 0), truth: map[string]*engine.Container{}, belief: follower{}}
}

func (w *world) take() {
	out, asks, next := w.core.Take()
	w.events = append(w.events, w.belief.apply(out)...)
	w.out = append(w.out, out...)
	w.asks = append(w.asks, asks...)
	w.next = next
}

// answer answers the first question with the truth of this moment.
func (w *world) answer() {
	a := w.asks[0]
	w.asks = w.asks[1:]
	c, ok := w.truth[a.ID]
	in := engine.Container{}
	if ok {
		in = *c
	}
	w.core.Inspected(w.now, a, in, ok, false)
	w.take()
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.core.Tick(w.now)
	w.take()
}

func (w *world) list() {
	var list []engine.Summary
	for id, c := range w.truth {
		list = append(list, engine.Summary{ID: id, Name: c.Name, Status: c.State.Status})
	}
	slices.SortFunc(list, func(a, b engine.Summary) int { return strings.Compare(a.ID, b.ID) })
	w.core.Listed(w.now, list)
	w.take()
}

// settle answers everything until nothing is due any more.
func (w *world) settle() {
	for range 1000 {
		switch {
		case len(w.asks) > 0:
			w.answer()
		case !w.next.IsZero():
			if w.next.After(w.now) {
				w.now = w.next
			}
			w.core.Tick(w.now)
			w.take()
		default:
			return
		}
	}
	panic("does not settle")
}

// check compares what the follower believes with inspect.
func (w *world) check(t interface {
	Helper()
	Errorf(string, ...any)
}) {
	t.Helper()
	want := follower{}
	for id, c := range w.truth {
		if !unnamed(c) {
			want[id] = belief{c.State.Status, c.State.StartedAt}
		}
	}
	if diff := cmp.Diff(want, w.belief); diff != "" {
		t.Errorf("belief differs from inspect (-inspect +belief):\n%s\nobservations: %v", diff, w.events)
	}
}

// TestEndsWhereInspectSays generates what containers do, and loses, doubles and
// reorders the events and delays the answers on the way.
func TestEndsWhereInspectSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		if rapid.Bool().Draw(t, "listed before") {
			w.list()
			w.settle()
		}
		var stream []engine.Event
		emit := func(c *engine.Container, action string, attributes map[string]string) {
			if attributes == nil {
				attributes = map[string]string{}
			}
			stream = append(stream, engine.Event{Action: action, ContainerID: c.ID, Name: c.Name, Time: w.now, Attributes: attributes})
		}
		born := map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.now.Add(time.Millisecond)
			id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "container")
			c := w.truth[id]
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case what < 4: // the container does something
				if c == nil {
					if !born[id] { // Ids are never used twice.
						born[id] = true
						name := rapid.SampledFrom([]string{id, "0123456789ab_" + id}).Draw(t, "name")
						c = &engine.Container{ID: id, Name: name, Created: w.now, State: engine.State{Status: "created"}}
						w.truth[id] = c
						emit(c, "create", nil)
					}
					break
				}
				act(w, c, rapid.IntRange(0, 5).Draw(t, "act"), emit)
			case what < 7 && len(stream) > 0: // an event arrives, or is lost, doubled, or a later one overtakes
				n := 0
				if rapid.IntRange(0, 3).Draw(t, "overtakes") == 0 {
					n = rapid.IntRange(0, len(stream)-1).Draw(t, "which")
				}
				ev := stream[n]
				fate := rapid.IntRange(0, 9).Draw(t, "fate")
				if fate != 1 { // 1: comes again later
					stream = slices.Delete(stream, n, n+1)
				}
				if fate != 0 { // 0: lost
					w.core.Event(w.now, ev)
					w.take()
				}
			case what < 9 && len(w.asks) > 0:
				w.answer()
			default:
				w.advance(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond)
			}
		}
		// The rest arrives or not; then the next two lists are worked off.
		for _, ev := range stream {
			if rapid.Bool().Draw(t, "arrives") {
				w.core.Event(w.now, ev)
				w.take()
			}
		}
		w.settle()
		w.list()
		w.settle()
		w.check(t)
	})
}

func act(w *world, c *engine.Container, n int, emit func(*engine.Container, string, map[string]string)) {
	s := &c.State
	switch {
	case n <= 1 && !s.Running:
		*s = engine.State{Status: "running", Running: true, StartedAt: stamp(w.now), FinishedAt: s.FinishedAt}
		emit(c, "start", nil)
	case n <= 2 && s.Running:
		*s = engine.State{Status: "exited", ExitCode: 137, StartedAt: s.StartedAt, FinishedAt: stamp(w.now)}
		emit(c, "kill", map[string]string{"signal": "9"})
		emit(c, "die", map[string]string{"exitCode": "137"})
	case n == 3 && s.Running && !s.Paused:
		s.Paused, s.Status = true, "paused"
		emit(c, "pause", nil)
	case n == 3 && s.Paused:
		s.Paused, s.Status = false, "running"
		emit(c, "unpause", nil)
	case n == 4:
		old := c.Name
		if c.Name = strings.TrimPrefix(old, "0123456789ab_"); c.Name == old {
			c.Name += "x"
		}
		emit(c, "rename", map[string]string{"oldName": "/" + old})
	case n == 5 && !s.Running:
		emit(c, "destroy", nil)
		delete(w.truth, c.ID)
	}
}

func run(w *world, ev ...engine.Event) {
	for _, e := range ev {
		w.core.Event(w.now, e)
		w.take()
	}
}

// TestDieWaitsForInspect: the evidence is complete, the exit code inspect's, and
// nothing overtakes.
func TestDieWaitsForInspect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := &engine.Container{ID: "a", Name: "web", StopSignal: "SIGUSR1", State: engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:00Z"}}
	w.truth["a"] = c
	w.list()
	w.settle()
	w.out, w.events = nil, nil
	w.core.Command(w.now, "a", Command{ID: "web@h/n/1", Verb: "stop", Run: c.State.StartedAt}, true)
	attr := func(k, v string) map[string]string { return map[string]string{"name": "web", k: v} }
	run(w, engine.Event{Action: "kill", ContainerID: "a", Name: "web", Time: w.now, Attributes: attr("signal", "10")})
	run(w, engine.Event{Action: "die", ContainerID: "a", Name: "web", Time: w.now.Add(1), Attributes: attr("exitCode", "7")})
	run(w, engine.Event{Action: "stop", ContainerID: "a", Name: "web", Time: w.now.Add(2), Attributes: attr("x", "y")})
	if diff := cmp.Diff([]string{"kill"}, w.events); diff != "" {
		t.Fatalf("before inspect (-want +got):\n%s", diff)
	}
	c.State = engine.State{Status: "exited", ExitCode: 7, StartedAt: c.State.StartedAt, FinishedAt: "2026-11-22T05:01:00Z"}
	for len(w.asks) > 0 {
		w.answer()
	}
	if diff := cmp.Diff([]string{"kill", "die", "stop"}, w.events); diff != "" {
		t.Fatalf("after inspect (-want +got):\n%s", diff)
	}
	var data struct {
		ExitCode   int
		FinishedAt string
		CommandID  string
		Evidence   struct {
			Command    string
			StopEvent  bool
			Signal     []int
			HostSignal bool
			StopSignal int
		}
	}
	if err := json.Unmarshal(w.out[1].Observation.Data, &data); err != nil {
		t.Fatal(err)
	}
	e := data.Evidence
	if data.ExitCode != 7 || data.FinishedAt != "2026-11-22T05:01:00Z" || data.CommandID != "web@h/n/1" || e.Command != "stop" || !e.StopEvent ||
		!slices.Equal(e.Signal, []int{10}) || e.HostSignal || e.StopSignal != 10 {
		t.Errorf("die: %+v", data)
	}
}

// TestDieWithoutInspect: after 250 ms the event's own facts have to do.
func TestDieWithoutInspect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.truth["a"] = &engine.Container{ID: "a", Name: "web", State: engine.State{Status: "running", Running: true, StartedAt: "s"}}
	w.list()
	w.settle()
	w.events = nil
	// A signal was sent: a stop event may follow the death.
	run(w, engine.Event{Action: "kill", ContainerID: "a", Name: "web", Time: w.now, Attributes: map[string]string{"signal": "15"}})
	w.answer() // The engine is there; of the death it says nothing in time.
	run(w, engine.Event{Action: "die", ContainerID: "a", Name: "web", Time: w.now.Add(1), Attributes: map[string]string{"exitCode": "137"}})
	w.advance(holdTime - 1)
	if diff := cmp.Diff([]string{"kill"}, w.events); diff != "" {
		t.Fatalf("told before its time (-want +got):\n%s", diff)
	}
	w.advance(1)
	if diff := cmp.Diff([]string{"kill", "die"}, w.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestCrashIsToldAtOnce: nothing can come that changes the verdict on a death that
// nobody asked for, so a slow inspect does not delay the restart.
func TestCrashIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.truth["a"] = &engine.Container{ID: "a", Name: "web", State: engine.State{Status: "running", Running: true, StartedAt: "s"}}
	w.list()
	w.settle()
	w.events = nil
	run(w, engine.Event{Action: "die", ContainerID: "a", Name: "web", Time: w.now, Attributes: map[string]string{"exitCode": "137"}})
	w.advance(crashTime)
	if diff := cmp.Diff([]string{"die"}, w.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestNothingFollowsACrash is why a death that no signal preceded is not held long:
// in no recording something comes after it that changes the verdict. A stop that
// ends a back-off of the engine's own comes later than the longest hold.
func TestNothingFollowsACrash(t *testing.T) {
	t.Parallel()
	crashes := 0
	for _, row := range recordings.Rows() {
		signalled, died := map[string]bool{}, map[string]int64{}
		for _, e := range row.Events {
			switch at, open := died[e.ContainerID]; e.Action {
			case "start":
				delete(signalled, e.ContainerID)
				delete(died, e.ContainerID)
			case "kill", "stop":
				if signalled[e.ContainerID] = true; open && e.ReceivedNano-at < int64(holdTime) {
					t.Errorf("%s, %s: %s %v after a death without a signal", row.Engine, row.Scenario, e.Action, time.Duration(e.ReceivedNano-at))
				}
			case "die":
				if !signalled[e.ContainerID] {
					crashes++
					died[e.ContainerID] = e.ReceivedNano
				}
			}
		}
	}
	if crashes < 150 {
		t.Errorf("%d deaths without a signal in the recordings, want at least 150", crashes)
	}
}

// TestMissed: what was missed is inferred, after a gap marker, and only when the
// difference lasts.
func TestMissed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := &engine.Container{ID: "a", Name: "web", State: engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:00Z"}}
	w.truth["a"] = c
	w.list()
	w.settle()
	w.events, w.out = nil, nil
	w.core.Lost(w.now, "test")
	c.State = engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:02:00Z"}
	w.list()
	w.settle()
	if diff := cmp.Diff([]string{"agent.gap", "die", "start", "inspect"}, w.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !w.out[1].Observation.Inferred || !w.out[2].Observation.Inferred {
		t.Error("not marked as inferred")
	}
}

// TestRestartedAgent: what was told before is not told again, what happened
// meanwhile is.
func TestRestartedAgent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := &engine.Container{ID: "a", Name: "web", State: engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:00Z"}}
	w.truth["a"] = c
	w.list()
	w.settle()
	start := engine.Event{Action: "start", ContainerID: "a", Name: "web", Time: w.now, Attributes: map[string]string{}}
	kill := engine.Event{Action: "kill", ContainerID: "a", Name: "web", Time: w.now, Attributes: map[string]string{"signal": "1"}}
	run(w, start, kill)
	w.settle()
	w.core, w.events = NewCore("engine", w.core.Told()), nil
	w.list()
	run(w, start, kill)
	w.settle()
	if diff := cmp.Diff([]string{"inspect"}, w.events); diff != "" {
		t.Errorf("told again (-want +got):\n%s", diff)
	}
	w.core, w.events = NewCore("engine", w.core.Told()), nil
	c.State = engine.State{Status: "exited", ExitCode: 1, StartedAt: c.State.StartedAt, FinishedAt: "2026-11-22T05:03:00Z"}
	w.list()
	w.settle()
	if diff := cmp.Diff([]string{"agent.gap", "die", "inspect"}, w.events); diff != "" {
		t.Errorf("told of what happened (-want +got):\n%s", diff)
	}
}

// connect begins a session with an engine that remembers everything.
func (w *world) connect(engineID string) {
	w.core.Lost(w.now, "test")
	w.core.Connected(w.now, engine.Info{ID: engineID, LiveRestore: true}, engine.Memory{Whole: true})
	w.list()
	w.settle()
}

// TestAnotherEngine: its containers are not those of the old one, which are
// unknown, not destroyed, and known again when their engine is back; also to an agent that
// is away when the engines change.
func TestAnotherEngine(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		w := newWorld()
		w.connect("own")
		own := map[string]*engine.Container{
			"a": {ID: "a", Name: "web", State: engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:00Z"}},
			"b": {ID: "b", Name: "db", State: engine.State{Status: "created"}},
		}
		w.truth = own
		w.connect("own")
		current := "own"
		change := func(engineID string, truth map[string]*engine.Container) {
			t.Helper()
			if restarts {
				w.core = NewCore(current, w.core.Told())
			}
			w.events, w.out, w.truth, current = nil, nil, truth, engineID
			w.connect(engineID)
			if !slices.ContainsFunc(w.out, func(o Out) bool { return o.EngineID == engineID }) {
				t.Errorf("restarts %v: the engine %s is not named", restarts, engineID)
			}
		}
		change("another", map[string]*engine.Container{"c": {ID: "c", Name: "new", State: engine.State{Status: "created"}}})
		if diff := cmp.Diff([]string{"agent.gap", "create", "inspect"}, w.events); diff != "" {
			t.Errorf("restarts %v: another (-want +got):\n%s", restarts, diff)
		}
		for id := range own {
			if got := w.core.Told()[id].Engine; got != "own" {
				t.Errorf("restarts %v: %s is told to be of engine %q", restarts, id, got)
			}
		}
		own["a"].State = engine.State{Status: "exited", ExitCode: 1, StartedAt: own["a"].State.StartedAt, FinishedAt: "2026-11-22T06:00:00Z"}
		change("own", own)
		delete(w.belief, "c")
		w.check(t)
		if diff := cmp.Diff([]string{"agent.gap", "die", "inspect"}, w.events); diff != "" {
			t.Errorf("restarts %v: back (-want +got):\n%s", restarts, diff)
		}
	}
}
