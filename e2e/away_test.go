// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// hello sends an application a number and waits until it has answered.
func hello(t *testing.T, f *rig.Fleet, app *rig.App, number int) {
	t.Helper()
	f.Send(t, app.ID, "hello", map[string]any{"number": number}, fmt.Sprintf("%s-%d", app.ID, number), 30*time.Second)
	app.Drained(t, 30*time.Second)
}

// remembers checks that the application has processed the numbers from 1 to n.
func remembers(t *testing.T, app *rig.App, n int) {
	t.Helper()
	got := app.Greeted(t, 30*time.Second)
	for i, number := range got {
		if number != i+1 || len(got) != n {
			t.Fatalf("the list of %s: %v, want 1 to %d", app.ID, got, n)
		}
	}
	if len(got) != n {
		t.Fatalf("the list of %s: %v, want 1 to %d", app.ID, got, n)
	}
}

// While the agent is away a container is renamed, one is replaced by another with
// other labels, and one is paused. Its return shows all three, each with its state.
func TestChangedWhileTheAgentWasAway(t *testing.T) {
	engine := rig.StartEngine(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir(), engine.Environment()...)
	apps := map[string]*rig.App{}
	for _, name := range []string{"renamed", "replaced", "paused"} {
		engine.RunApp(t, name)
		apps[name] = rig.AppOf(f, engine, name)
		f.TellStory(t, apps[name].ID)
		f.InState(t, apps[name].ID, "running", 30*time.Second)
		hello(t, f, apps[name], 1)
	}
	f.Agent.Kill()
	engine.Docker(t, "rename", "renamed", "elsewhere")
	engine.Docker(t, "rm", "--force", "replaced")
	engine.RunApp(t, "replaced", "chartroom.restart.max=3")
	engine.Docker(t, "pause", "paused")
	f.Agent.Restart(t)

	f.InState(t, apps["paused"].ID, "paused", 30*time.Second)
	engine.Docker(t, "unpause", "paused")
	f.InState(t, apps["paused"].ID, "running", 30*time.Second)
	rig.Eventually(t, 30*time.Second, "the new container has taken over with its labels", func() error {
		i, err := f.Instance(t, apps["replaced"].ID)
		if err == nil && (i.GetTarget().GetGeneration() != 2 || i.GetState() != "running" || !strings.Contains(i.GetDataJson(), `"max":3`)) {
			err = fmt.Errorf("generation %d is %s with %s", i.GetTarget().GetGeneration(), i.GetState(), i.GetDataJson())
		}
		return err
	})
	apps["renamed"].Name = "elsewhere"
	rig.Eventually(t, 30*time.Second, "the new name is known", func() error {
		i, err := f.Instance(t, apps["renamed"].ID)
		if err == nil && !strings.Contains(i.GetDataJson(), `"name":"elsewhere"`) {
			err = errors.New(i.GetDataJson())
		}
		return err
	})
	for _, app := range apps {
		hello(t, f, app, 2)
		remembers(t, app, 2)
	}
}

// The engine comes up with an empty data directory, as when its disk was not
// mounted: its containers are unknown, not removed, whether the agent saw it or
// not. When the data are back, so is the application, with its state.
func TestEngineWithoutItsData(t *testing.T) {
	engine := rig.StartEngine(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir(), engine.Environment()...)
	engine.RunApp(t, "sailor")
	app := rig.AppOf(f, engine, "sailor")
	f.TellStory(t, app.ID)
	f.InState(t, app.ID, "running", 30*time.Second)
	hello(t, f, app, 1)

	engine.Shutdown(t)
	engine.SwapData(t)
	engine.Start(t)
	unknown := func() {
		t.Helper()
		rig.Eventually(t, 30*time.Second, "its instance is unknown, on a host that is not", func() error {
			h, err := host(t, f, f.HostID)
			if err != nil {
				return err
			}
			i, err := f.Instance(t, app.ID)
			if err == nil && (!i.GetUnknown() || h.GetUnknown() || !h.GetConnected() || h.GetEngineId() == i.GetTarget().GetEngineId()) {
				err = fmt.Errorf("unknown %v (%s), host %v", i.GetUnknown(), i.GetState(), h)
			}
			return err
		})
	}
	unknown()
	f.Agent.Kill()
	f.Agent.Restart(t)
	f.Connected(t, f.HostID)
	unknown()
	if i, err := f.Instance(t, app.ID); err != nil || i.GetTarget().GetContainerId() == "" {
		t.Fatalf("taken for removed: %v, %v", i.GetWhy(), err)
	}

	engine.Shutdown(t)
	engine.SwapData(t)
	engine.Start(t)
	rig.Eventually(t, 60*time.Second, "its instance is known again", func() error {
		i, err := f.Instance(t, app.ID)
		if err == nil && (i.GetUnknown() || i.GetState() != "running") {
			err = fmt.Errorf("unknown %v, %s", i.GetUnknown(), i.GetWhy())
		}
		return err
	})
	hello(t, f, app, 2)
	remembers(t, app, 2)
}

// A container that is restarted by hand while the agent hangs: when that goes on its
// channel is broken, and another process listens at the same path, which knows nothing.
// It is given the state, and not taken for the one before.
func TestRestartedWhileTheAgentHangs(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "blind")
	f.TellStory(t, app.ID)
	s := startSending(t, f, app.ID)
	s.reached(t, 50)
	f.Agent.Signal(t, syscall.SIGSTOP)
	rig.Docker(t, "restart", "--time", "0", app.Name)
	rig.Eventually(t, 20*time.Second, "the new process listens", func() error {
		sockets, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", rig.Inspect(t, app.Name).State.Pid))
		if err == nil && !strings.Contains(string(sockets), "/run/chartroom/app.sock") {
			err = fmt.Errorf("the sockets of its network:\n%s", sockets)
		}
		return err
	})
	f.Agent.Signal(t, syscall.SIGCONT)
	s.reached(t, int(s.acknowledged.Load())+20)
	checkGreeted(t, app, s.stop())
}
