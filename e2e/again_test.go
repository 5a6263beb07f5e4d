// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// An application that dies soon after it was restarted on request has crashed, also
// when nobody was there to see it: what stopped the run before is no request to stop
// this one.
func TestCrashSoonAfterARestart(t *testing.T) {
	t.Parallel()
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "again")
	back := func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && strings.Contains(i.GetWhy(), "after a crash")
	}
	restart := func(id string) {
		t.Helper()
		before := rig.Inspect(t, app.Name).State.StartedAt
		f.Send(t, app.ID, "system.restart", nil, id, 10*time.Second)
		until(t, f, app.ID, "it was restarted", func(i *fleetv1.Instance) bool {
			return i.GetState() == "running" && !back(i) && rig.Inspect(t, app.Name).State.StartedAt != before
		})
	}
	restart("first")
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "it comes back", back)

	restart("second")
	f.Agent.Kill()
	rig.KillTarget(t, app.Name)
	f.Agent.Restart(t)
	until(t, f, app.ID, "it comes back although nobody saw it die", back)
}

// A stop that comes when its run has ended by itself ends nothing, and is no request to
// stop the run after it either.
func TestCrashSoonAfterALateStop(t *testing.T) {
	t.Parallel()
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "late")
	f.TellStory(t, app.ID)
	f.Agent.Signal(t, syscall.SIGSTOP)
	f.Send(t, app.ID, "system.stop", nil, "stop", 10*time.Second)
	until(t, f, app.ID, "the stop is on its way to the agent", func(i *fleetv1.Instance) bool {
		return slices.Contains(i.GetConfiguration(), "intent.stopping")
	})
	rig.KillTarget(t, app.Name)
	rig.Eventually(t, 10*time.Second, "its run has ended", func() error {
		if s := rig.Inspect(t, app.Name).State; s.Running {
			return fmt.Errorf("it is %s", s.Status)
		}
		return nil
	})
	f.Agent.Signal(t, syscall.SIGCONT)
	f.InState(t, app.ID, "user_requested", 10*time.Second)
	f.Send(t, app.ID, "system.start", nil, "start", 10*time.Second)
	f.InState(t, app.ID, "running", 20*time.Second)
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "it comes back", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && strings.Contains(i.GetWhy(), "after a crash")
	})
}
