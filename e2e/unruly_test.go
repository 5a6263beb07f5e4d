// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
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
	if said, exit := cli("doctor"); exit != 0 {
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
	if n := strings.Count(rig.Logs(t, app.Name), "connected"); n != 1 {
		t.Errorf("connected %d times, want 1", n)
	}

	// It dies: what came after the snapshot is replayed.
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "it is back and has taken everything", func(i *fleetv1.Instance) bool {
		return i.GetState() == "running" && i.GetQueue().GetDeliveredSequence() == 3 && strings.Count(rig.Logs(t, app.Name), "took 3 ") == 2
	})
	if logs := rig.Logs(t, app.Name); !strings.Contains(logs, "restored [1]") || strings.Count(logs, "took 1 ") != 1 {
		t.Errorf("it was not restored from the snapshot of event 1: %s", logs)
	}

	// And it mends itself.
	f.Send(t, app.ID, "grow", map[string]any{"bytes": 0}, "e4", 10*time.Second)
	until(t, f, app.ID, "no finding is left", func(i *fleetv1.Instance) bool {
		return len(i.GetFindings()) == 0 && i.GetQueue().GetContainedSequence() == 4
	})
	if said, exit := cli("doctor"); exit != 0 {
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
	if n := strings.Count(rig.Logs(t, app.Name), "connected"); n != 1 {
		t.Errorf("connected %d times, want 1", n)
	}
	rig.KillTarget(t, app.Name)
	until(t, f, app.ID, "the next run is without it", func(i *fleetv1.Instance) bool { return i.GetState() == "running" && len(i.GetFindings()) == 0 })
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
