// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// acts counts what was done to a container.
type acts map[events.Action]int

// add returns the sum of both.
func (a acts) add(b acts) acts {
	sum := acts{}
	for _, counts := range []acts{a, b} {
		for action, n := range counts {
			sum[action] += n
		}
	}
	return sum
}

// check compares what the engine did with a container with what should have been
// done to it, each act once.
func (a acts) check(t *testing.T, w *rig.Witness, name string) {
	t.Helper()
	saw := w.Saw(t, name)
	for _, action := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionRestart, events.ActionKill, events.ActionDie, events.ActionDestroy,
	} {
		if saw[action] != a[action] {
			t.Errorf("%s: the engine told %q %d times, want %d", name, action, saw[action], a[action])
		}
	}
}

// checkActs is for an application that died so many times by our hand, and of which
// nothing was asked: it was created once, started once and once after each death.
func checkActs(t *testing.T, w *rig.Witness, app *rig.App, deaths int) {
	t.Helper()
	acts{"create": 1, "start": 1 + deaths, "die": deaths}.check(t, w, app.Name)
}

// The agent is killed as soon as the engine tells of what it was asked for: most
// often after the agent's call and before its record of it. What was done must be
// neither repeated nor forgotten.
func TestAgentKilledBetweenCallAndRecord(t *testing.T) {
	witness := rig.Watch(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	var app *rig.App
	crash := func() { rig.KillTarget(t, app.Name) }
	intent := func(event string) func() {
		return func() { f.Send(t, app.ID, event, nil, event, 10*time.Second) }
	}
	var did acts
	for _, step := range []struct {
		name  string
		do    func()
		at    string // the agent is killed at this event of the engine
		state string // afterwards
		acts  acts
	}{
		{"create", func() { app = f.Order(t, rig.AppImage(t), nil, "record") }, "create", "running", acts{"create": 1, "start": 1}},
		{"a crash", crash, "start", "running", acts{"die": 1, "start": 1}},
		{"a second crash", crash, "start", "running", acts{"die": 1, "start": 1}},
		{"a third crash", crash, "start", "running", acts{"die": 1, "start": 1}},
		{"restart", intent("system.restart"), "die", "running", acts{"kill": 1, "die": 1, "start": 1}},
		{"stop", intent("system.stop"), "die", "user_requested", acts{"kill": 1, "die": 1}},
		{"start", intent("system.start"), "start", "running", acts{"start": 1}},
		{"kill", intent("system.kill"), "die", "user_requested", acts{"kill": 1, "die": 1}},
		{"remove", intent("system.remove"), "destroy", "destroyed", acts{"destroy": 1}},
	} {
		t.Log(step.name)
		done := rig.OnEvent(t, "record-"+rig.RunID(), step.at, f.Agent.Kill)
		step.do()
		select {
		case <-done:
		case <-time.After(60 * time.Second):
			t.Fatalf("the engine did not tell of %s", step.at)
		}
		f.Agent.Restart(t)
		if step.state == "running" {
			knowsTheRun(t, f, app)
		}
		f.InState(t, app.ID, step.state, 30*time.Second)
		did = did.add(step.acts)
		if did.check(t, witness, app.Name); t.Failed() {
			return // what follows would be its aftermath
		}
	}
}

// knowsTheRun waits until the fleet knows of the run that the engine tells of.
func knowsTheRun(t *testing.T, f *rig.Fleet, app *rig.App) {
	t.Helper()
	rig.Eventually(t, 30*time.Second, "the fleet knows that it runs", func() error {
		i, err := f.Instance(t, app.ID)
		if err != nil {
			return err
		}
		started := i.GetTarget().GetStartedTime().AsTime().Format(time.RFC3339Nano)
		if state := rig.Inspect(t, app.Name).State; !state.Running || state.StartedAt != started {
			return fmt.Errorf("started %s; the engine says running %v, started %s", started, state.Running, state.StartedAt)
		}
		return nil
	})
}
