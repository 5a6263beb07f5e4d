// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// What an application dies of, a snapshot or an event, is found out and put out of
// the way, and the application goes on. Each case has an application of its own.
func TestPoison(t *testing.T) {
	witness := rig.Watch(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	image := rig.UnrulyImage(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *rig.Fleet, *rig.App, *rig.Witness)
	}{{"snapshot", poisonSnapshot}, {"event", poisonEvent}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := f.Create(t, image, nil, "poison-"+test.name)
			f.TellStory(t, app.ID)
			test.run(t, f, app, witness)
		})
	}
}

// The runs that get snapshots 3 and 2 end; the one that gets snapshot 1 lives.
func poisonSnapshot(t *testing.T, f *rig.Fleet, app *rig.App, witness *rig.Witness) {
	f.Send(t, app.ID, "tick", nil, app.Name+"-1", 10*time.Second)
	f.Send(t, app.ID, "spoil", nil, app.Name+"-2", 10*time.Second)
	f.Send(t, app.ID, "tick", nil, app.Name+"-3", 10*time.Second)
	until(t, f, app.ID, "event 3 is contained", func(i *fleetv1.Instance) bool { return i.GetQueue().GetContainedSequence() == 3 })
	rig.KillTarget(t, app.Name)
	i := until(t, f, app.ID, "snapshot 1 is proven", func(i *fleetv1.Instance) bool {
		return verdicts(i)[1] == fleetv1.Verdict_VERDICT_PROVEN
	})
	if v := verdicts(i); v[2] != fleetv1.Verdict_VERDICT_SUSPECT || v[3] != fleetv1.Verdict_VERDICT_SUSPECT {
		t.Errorf("snapshots %v, want 2 and 3 suspect", i.GetSnapshots())
	}
	if i.GetState() != "running" || i.GetQueue().GetDeliveredSequence() != 3 {
		t.Errorf("%s: %s; queue %v", i.GetState(), i.GetWhy(), i.GetQueue())
	}
	wrote(t, app, "restored []", "took 1 tick", "took 2 spoil", "took 3 tick",
		"restored [1 2 3]", "restored [1 2]", "restored [1]", "took 2 spoil", "took 3 tick")
	checkActs(t, witness, app, 3)
}

// Event 2 ends every run that gets it. After three it is set aside, no snapshot is
// blamed, and what waited behind it is delivered.
func poisonEvent(t *testing.T, f *rig.Fleet, app *rig.App, witness *rig.Witness) {
	f.Send(t, app.ID, "tick", nil, app.Name+"-1", 10*time.Second)
	f.Send(t, app.ID, "die", nil, app.Name+"-2", 10*time.Second)
	f.Send(t, app.ID, "tick", nil, app.Name+"-3", 10*time.Second)
	i := until(t, f, app.ID, "the run after it is proven", func(i *fleetv1.Instance) bool {
		return i.GetQueue().GetContainedSequence() == 3 && verdicts(i)[1] == fleetv1.Verdict_VERDICT_PROVEN
	})
	for number, verdict := range verdicts(i) {
		if verdict == fleetv1.Verdict_VERDICT_SUSPECT {
			t.Errorf("snapshot %d is suspect", number)
		}
	}
	wrote(t, app, "restored []", "took 1 tick", "took 2 die", "restored [1]", "took 2 die", "restored [1]", "took 2 die",
		"restored [1]", "took 3 tick")
	checkActs(t, witness, app, 3)

	said, _, exit := rig.Run(t, nil, "chartroom", "--server", f.Address, "log", app.ID, "--problems")
	if exit != 0 || !strings.Contains(said, "event.dead_letter") {
		t.Errorf("chartroom log --problems does not tell of it: exit code %d\n%s", exit, said)
	}
}

// verdicts are those of the snapshots kept, by number.
func verdicts(i *fleetv1.Instance) map[uint64]fleetv1.Verdict {
	all := map[uint64]fleetv1.Verdict{}
	for _, s := range i.GetSnapshots() {
		all[s.GetNumber()] = s.GetVerdict()
	}
	return all
}

// wrote compares what an application wrote over all its runs, save for connections.
func wrote(t *testing.T, app *rig.App, want ...string) {
	t.Helper()
	rig.Wrote(t, app.Name, strings.Join(want, ", "), func(logs string) bool {
		var got []string
		for line := range strings.Lines(logs) {
			if line = strings.TrimSpace(line); line != "connected" {
				got = append(got, line)
			}
		}
		return slices.Equal(got, want)
	})
}
