// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"slices"
	"sync"
	"testing"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// held lets the sink stop after an observation is on disk, until release is called:
// what happens meanwhile is told later, as by an engine that is slow to tell.
func held(event string) (change func(*Config), reached <-chan struct{}, release func()) {
	at, gate := make(chan struct{}), make(chan struct{})
	first := true // one goroutine journals
	return func(conf *Config) {
		conf.fault = func(point, what string) bool {
			if point == "journaled" && what == event && first {
				first = false
				close(at)
				<-gate
			}
			return false
		}
	}, at, sync.OnceFunc(func() { close(gate) })
}

func count(events []string, event string) (n int) {
	for _, e := range events {
		if e == event {
			n++
		}
	}
	return n
}

// What was journaled is known to statemachine before the agent itself goes by it: a
// start that follows a death at once gives the state back.
func TestStartOvertakesTheDeath(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	change, reached, release := held("docker.die")
	start(t, c, t.TempDir(), f, change)
	defer release() // else the agent would not end
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	c.find("web", "app.ready", 1)
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.done(c.command("web", id, "deliver", nil, deliver(1, "x", run1)))
	s := c.find("web", "app.snapshot", 1).GetSnapshot()
	c.find("web", "app.answer", 1)
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	c.find("web", "docker.die", 1)
	<-reached
	c.done(c.command("web", id, "start", map[string]any{"snapshot": 1}, func(m *agentv1.Command) { m.Snapshot = s }))
	release()
	c.find("web", "app.ready", 2)
	if st, _ := f.AppState(id); st.Count != 1 {
		t.Errorf("state after the restore: %d events, want 1", st.Count)
	}
}

// A container that was started anew before its death is told has another process at the
// same socket: that is not resumed, and nothing of it is taken for the run before.
func TestAnotherProcessIsNotResumed(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	change, reached, release := held("docker.pause")
	start(t, c, t.TempDir(), f, change)
	defer release() // else the agent would not end
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	c.find("web", "app.ready", 1)
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.done(c.command("web", id, "deliver", nil, deliver(1, "x", run1)))
	s := c.find("web", "app.snapshot", 1).GetSnapshot()
	c.find("web", "app.answer", 1)

	if err := f.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	<-reached // from now on nothing is told
	if err := f.Unpause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// The channel is found broken, and dialled again in vain.
	c.find("web", "app.lost", 1)
	release()
	c.find("web", "docker.die", 1)
	if got := count(c.events("web"), "app.ready"); got != 1 {
		t.Errorf("the other process was ready in the run that had ended")
	}
	c.find("web", "docker.start", 2)
	c.done(c.command("web", id, "restore", map[string]any{"snapshot": 1}, func(m *agentv1.Command) { m.Snapshot = s }))
	c.find("web", "app.ready", 2)
	if st, _ := f.AppState(id); st.Count != 1 {
		t.Errorf("state after the restore: %d events, want 1", st.Count)
	}
}

// An application that is started anew inside of its container is given its last snapshot
// again, and what it says before that is of no account.
func TestRestartedInsideIsReminded(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	c.find("web", "app.ready", 1)
	run := field(c.find("web", "docker.start", 1), "startedAt").(string)
	for n := uint64(1); n <= 3; n++ {
		c.done(c.command("web", id, "deliver", nil, deliver(n, "x", run)))
		c.find("web", "app.answer", int(n))
	}
	if err := f.RestartApp(id); err != nil {
		t.Fatal(err)
	}
	if got := field(c.find("web", "app.ready", 2), "sequence"); got != 3.0 {
		t.Errorf("it is ready with event %v contained, want 3", got)
	}
	if st, _ := f.AppState(id); st.Count != 3 {
		t.Errorf("its state has %d events, want 3", st.Count)
	}
	if got := count(c.events("web"), "app.snapshot"); got != 3 {
		t.Errorf("%d snapshots were taken, want the three from before", got)
	}
}

// An application that is started anew inside of its container while the agent is away
// is given its last snapshot again, wherever that is by then, and all that it says
// before is of no account.
func TestRestartedInsideWhileTheAgentIsAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		restored bool // the run began with the snapshot, and has dumped none
		deaf     bool // statemachine has not taken the snapshots in
		without  int  // how many times the body cannot be had
	}{
		"told":                  {},
		"not taken in":          {deaf: true},
		"out of reach at first": {without: 2},
		"restored":              {restored: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
			stop := start(t, c, state, f)
			id := created(c, "web", appSpec("web"))
			c.done(c.command("web", id, "start", nil))
			c.find("web", "app.ready", 1)
			run := field(c.find("web", "docker.start", 1), "startedAt").(string)
			c.mu.Lock()
			c.deaf = tt.deaf
			c.mu.Unlock()
			for n := uint64(1); n <= 3; n++ {
				c.command("web", id, "deliver", nil, deliver(n, "x", run))
				c.until("an answer", func() bool { return answered(c.got, n) || answered(c.unheard, n) })
			}
			ready := 1
			if tt.restored {
				s := c.find("web", "app.snapshot", 3).GetSnapshot()
				c.done(c.command("web", id, "kill", nil))
				c.find("web", "docker.die", 1)
				c.done(c.command("web", id, "start", map[string]any{"snapshot": 3}, func(m *agentv1.Command) { m.Snapshot = s }))
				ready++
				c.find("web", "app.ready", ready)
			}
			stop()
			if err := f.RestartApp(id); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.deaf, c.without, c.rows = false, tt.without, map[string]*agentv1.Command{}
			c.mu.Unlock()
			start(t, c, state, f)
			if got := field(c.find("web", "app.ready", ready+1), "sequence"); got != 3.0 {
				t.Errorf("it is ready with event %v contained, want 3", got)
			}
			if st, _ := f.AppState(id); st.Count != 3 {
				t.Errorf("its state has %d events, want 3", st.Count)
			}
		})
	}
}

// answered says whether an application has answered an event.
func answered(told []*agentv1.Observation, sequence uint64) bool {
	return slices.ContainsFunc(told, func(o *agentv1.Observation) bool {
		return o.GetEvent() == "app.answer" && field(o, "sequence") == float64(sequence)
	})
}
