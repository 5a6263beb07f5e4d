// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// exitFindings is that of doctor when there is something to mend.
const exitFindings = 8

// finding returns the finding of that code; nil when there is none.
func finding(i *fleetv1.Instance, code string) *fleetv1.Finding {
	for _, f := range i.GetFindings() {
		if f.GetCode() == code {
			return f
		}
	}
	return nil
}

// until waits until an instance is as it should be.
func until(t *testing.T, f *rig.Fleet, id, what string, ok func(*fleetv1.Instance) bool) *fleetv1.Instance {
	t.Helper()
	var i *fleetv1.Instance
	rig.Eventually(t, 30*time.Second, what, func() (err error) {
		if i, err = f.Instance(t, id); err == nil && !ok(i) {
			err = fmt.Errorf("%s: %s; findings %v; snapshots %v", i.GetState(), i.GetWhy(), i.GetFindings(), i.GetSnapshots())
		}
		return err
	})
	return i
}

// A snapshot over 4 MiB is a finding everywhere until a smaller one comes; the
// channel holds, and a death in between loses nothing that was accepted.
func TestOversizedSnapshot(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.Create(t, rig.UnrulyImage(t), nil, "oversized")
	f.TellStory(t, app.ID)
	cli := func(arguments ...string) (string, int) {
		out, said, exit := rig.Run(t, nil, "chartroom", append([]string{"--server", f.Address}, arguments...)...)
		return out + said, exit
	}
	f.Send(t, app.ID, "tick", nil, "e1", 10*time.Second)
	until(t, f, app.ID, "event 1 is contained", func(i *fleetv1.Instance) bool { return i.GetQueue().GetContainedSequence() == 1 })
	// There may be something to mend about containers of somebody else.
	if said, exit := cli("doctor"); strings.Contains(said, app.ID) {
		t.Fatalf("doctor before: exit code %d, %s", exit, said)
	}

	f.Send(t, app.ID, "grow", map[string]any{"bytes": 5 << 20}, "e2", 10*time.Second)
	f.Send(t, app.ID, "tick", nil, "e3", 10*time.Second)
	i := until(t, f, app.ID, "the finding, and all answered", func(i *fleetv1.Instance) bool {
		return finding(i, "snapshot.too-large") != nil && i.GetQueue().GetDeliveredSequence() == 3
	})
	if i.GetState() != "running" || i.GetQueue().GetContainedSequence() != 1 || i.GetSeverity() != fleetv1.Severity_SEVERITY_ERROR {
		t.Errorf("%s, severity %v, contained %d; want running, error, 1", i.GetState(), i.GetSeverity(), i.GetQueue().GetContainedSequence())
	}
	if want := "its snapshot of 5.1 MiB is larger than the 4 MiB that a message may have"; !strings.Contains(i.GetWhy(), want) {
		t.Errorf("why %q, want %q in it", i.GetWhy(), want)
	}
	for _, command := range []struct {
		exit      int
		arguments []string
	}{{exitFindings, []string{"doctor"}}, {0, []string{"describe", app.ID}}} {
		if said, exit := cli(command.arguments...); exit != command.exit || !strings.Contains(said, "5.1 MiB") {
			t.Errorf("chartroom %v: exit code %d, want %d: %s", command.arguments, exit, command.exit, said)
		}
	}
	rig.Wrote(t, app.Name, "that it was connected to once", func(logs string) bool { return strings.Count(logs, "connected") == 1 })

	// It dies: what came after the snapshot is replayed.
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "it is back and has taken everything", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && i.GetQueue().GetDeliveredSequence() == 3 && strings.Count(rig.Logs(t, app.Name), "took 3 ") == 2
	})
	rig.Wrote(t, app.Name, "that it was restored from the snapshot of event 1", func(logs string) bool {
		return strings.Contains(logs, "restored [1]") && strings.Count(logs, "took 1 ") == 1
	})

	// And it mends itself.
	f.Send(t, app.ID, "grow", map[string]any{"bytes": 0}, "e4", 10*time.Second)
	until(t, f, app.ID, "no finding is left", func(i *fleetv1.Instance) bool {
		return len(i.GetFindings()) == 0 && i.GetQueue().GetContainedSequence() == 4
	})
	if said, exit := cli("doctor"); strings.Contains(said, app.ID) {
		t.Errorf("doctor afterwards: exit code %d, %s", exit, said)
	}
}

// An application that writes garbage to its channel is told so, and goes on.
func TestGarbageOnTheChannel(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.Create(t, rig.UnrulyImage(t), nil, "garbage")
	f.TellStory(t, app.ID)
	f.Send(t, app.ID, "babble", nil, "e1", 10*time.Second)
	f.Send(t, app.ID, "tick", nil, "e2", 10*time.Second)
	i := until(t, f, app.ID, "the finding, and all contained", func(i *fleetv1.Instance) bool {
		return finding(i, "message.unknown") != nil && i.GetQueue().GetContainedSequence() == 2
	})
	if i.GetState() != "running" {
		t.Errorf("it is %s: %s", i.GetState(), i.GetWhy())
	}
	rig.Wrote(t, app.Name, "that it was connected to once", func(logs string) bool { return strings.Count(logs, "connected") == 1 })
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "the next run is without it", func(i *fleetv1.Instance) bool { return i.GetState() == "running" && len(i.GetFindings()) == 0 })
}

// When no snapshot helps, nor a clean start, the recovery profile takes over in a
// container of its own; the broken one stays, and somebody can go back to it.
func TestRecoveryProfile(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.Create(t, rig.UnrulyImage(t), nil, "recovered", "chartroom.recover.env.UNRULY", "safe", "chartroom.restart.backoff", "1ms")
	f.TellStory(t, app.ID)
	f.Send(t, app.ID, "tick", nil, "e1", 10*time.Second)
	old := until(t, f, app.ID, "event 1 is contained", func(i *fleetv1.Instance) bool { return i.GetQueue().GetContainedSequence() == 1 })

	// From now on it dies in every start, with any state.
	f.Send(t, app.ID, "rot", nil, "e2", 10*time.Second)
	until(t, f, app.ID, "event 2 is contained", func(i *fleetv1.Instance) bool { return i.GetQueue().GetContainedSequence() == 2 })
	rig.KillTarget(t, app.Name)
	replacement := app.Name + ".recovery.1"
	rig.RemoveByName(t, replacement)
	i := until(t, f, app.ID, "the replacement runs and has taken everything", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && i.GetTarget().GetGeneration() == 2 && i.GetQueue().GetDeliveredSequence() == 2
	})
	if finding(i, "recovery.active") == nil {
		t.Errorf("findings %v", i.GetFindings())
	}
	// Restored from #2, from #1, and clean, in the container that is broken.
	rig.Wrote(t, app.Name, "in each of three starts that it is broken", func(logs string) bool { return strings.Count(logs, "rotten") == 3 })
	was, is := rig.Inspect(t, app.Name), rig.Inspect(t, replacement)
	if was.ID != old.GetTarget().GetContainerId() || was.State.Running || !is.State.Running || is.ID != i.GetTarget().GetContainerId() {
		t.Errorf("%s running: %t; %s running: %t; the instance is %s", app.Name, was.State.Running, replacement, is.State.Running, i.GetTarget().GetContainerId())
	}
	if !slices.Contains(is.Config.Env, "UNRULY=safe") || is.Config.Image != was.Config.Image || len(is.Mounts) != len(was.Mounts) {
		t.Errorf("the replacement has %v, image %s, %d mounts", is.Config.Env, is.Config.Image, len(is.Mounts))
	}

	// Mended, and back, as the finding says.
	f.Send(t, app.ID, "mend", nil, "e3", 10*time.Second)
	until(t, f, app.ID, "event 3 is contained", func(i *fleetv1.Instance) bool { return i.GetQueue().GetContainedSequence() == 3 })
	rig.Docker(t, "stop", replacement)
	rig.Docker(t, "rm", replacement)
	rig.Docker(t, "start", app.Name)
	until(t, f, app.ID, "the first container is back, with the state", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && i.GetTarget().GetContainerId() == was.ID && finding(i, "recovery.active") == nil
	})
	// Event 1 was in every snapshot, so a clean start did not bring it back.
	rig.Wrote(t, app.Name, "last that it was restored with 2 and 3", func(logs string) bool {
		return strings.HasSuffix(strings.TrimSpace(logs), "restored [2 3]")
	})
}

// With the label a failing health check is a failure: stopped, and started with its state.
func TestUnhealthyIsRestarted(t *testing.T) {
	witness := rig.Watch(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.Create(t, rig.UnrulyImage(t), nil, "unhealthy", "chartroom.restart.unhealthy", "true", "chartroom.stop-timeout", "1s")
	f.TellStory(t, app.ID)
	if i, err := f.Instance(t, app.ID); err != nil || len(i.GetFindings()) != 0 {
		t.Errorf("findings %v, %v", i.GetFindings(), err)
	}
	f.Send(t, app.ID, "tick", nil, "e1", 10*time.Second)
	f.Send(t, app.ID, "ail", nil, "e2", 10*time.Second)
	until(t, f, app.ID, "it was restored and is healthy", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && strings.Contains(rig.Logs(t, app.Name), "restored [1 2]")
	})
	until(t, f, app.ID, "it has proven itself", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && strings.Contains(i.GetWhy(), "after a crash (its health check failed)")
	})
	if n := witness.Saw(t, app.Name)["restart"]; n != 0 {
		t.Errorf("the engine's own restart was used %d times", n)
	}
}
