// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// What compose does when an image or a label has changed: a new container under a name
// for the moment, the old one stopped and removed, the new one renamed and started. It
// is the same instance, with its state, and there never was another.
func TestRecreatedUnderAPassingName(t *testing.T) {
	t.Parallel()
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	name := "recreated-" + rig.RunID()
	passing := "0123456789ab_" + name
	rig.RemoveByName(t, name)
	rig.RemoveByName(t, passing)
	create := func(as string) {
		rig.Docker(t, "create", "--name", as, "-e", "CHARTROOM_SOCKET=/run/chartroom/app.sock", "-v", rig.Volume(t)+":/run/chartroom",
			"-l", rig.Label+"="+rig.RunID(), "-l", rig.Only(t), "-l", "chartroom.enable=true", rig.AppImage(t))
	}
	id := name + "@" + f.HostID
	create(name)
	rig.Docker(t, "start", name)
	f.InState(t, id, "running", 30*time.Second)
	f.TellStory(t, id)
	f.Send(t, id, "hello", map[string]any{"number": 7}, "e1", 10*time.Second)
	rig.Eventually(t, 10*time.Second, "event 1 is contained", func() error {
		i, err := f.Instance(t, id)
		if err == nil && i.GetQueue().GetContainedSequence() != 1 {
			err = fmt.Errorf("queue %v", i.GetQueue())
		}
		return err
	})

	create(passing)
	rig.Docker(t, "stop", name)
	rig.Docker(t, "rm", name)
	f.InState(t, id, "destroyed", 10*time.Second)
	rig.Docker(t, "rename", passing, name)
	rig.Docker(t, "start", name)
	i := f.InState(t, id, "running", 30*time.Second)
	if g, c := i.GetTarget().GetGeneration(), i.GetTarget().GetContainerId(); g != 2 || c != rig.Inspect(t, name).ID {
		t.Errorf("generation %d, container %s; want the second, %s", g, c, rig.Inspect(t, name).ID)
	}
	rig.Wrote(t, name, "that it was given the state", func(logs string) bool { return strings.Contains(logs, "restored, 1 events contained") })
	if other, err := f.Instance(t, passing+"@"+f.HostID); err == nil {
		t.Errorf("there is an instance of the name for the moment: %s", other.GetWhy())
	}
}

// A container that is removed and made anew, by compose down and up: the file that is its
// state is in the new one, with the directories above it, before it is started.
func TestFileIsThereBeforeTheStart(t *testing.T) {
	t.Parallel()
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	name := "anew-" + rig.RunID()
	rig.RemoveByName(t, name)
	const file = "/var/lib/bot/deep/state.json"
	id, run := name+"@"+f.HostID, rig.Volume(t)
	create := func() {
		rig.Docker(t, "create", "--name", name, "-e", "CHARTROOM_SOCKET=/run/chartroom/app.sock", "-v", run+":/run/chartroom", "-l", rig.Label+"="+rig.RunID(),
			"-l", rig.Only(t), "-l", "chartroom.enable=true", "-l", "chartroom.snapshot=file:"+file, "-l", "chartroom.snapshot.policy=1s", rig.AppImage(t))
	}
	create()
	state := filepath.Join(t.TempDir(), "var")
	if err := os.MkdirAll(filepath.Join(state, "lib/bot/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "lib/bot/deep/state.json"), []byte(`{"number": 57}`), 0o644); err != nil {
		t.Fatal(err)
	}
	rig.Docker(t, "cp", state, name+":/")
	rig.Docker(t, "start", name)
	until(t, f, id, "the file is a snapshot", func(i *fleetv1.Instance) bool { return len(i.GetSnapshots()) == 1 })
	rig.Docker(t, "stop", name)
	rig.Docker(t, "rm", name)
	f.InState(t, id, "destroyed", 10*time.Second)

	create()
	rig.Eventually(t, 10*time.Second, "the file is there", func() error {
		got, err := exec.CommandContext(t.Context(), "docker", "cp", name+":"+file, "-").Output()
		if err == nil && !strings.Contains(string(got), `{"number": 57}`) {
			err = fmt.Errorf("%q", got)
		}
		return err
	})
	rig.Docker(t, "start", name)
	until(t, f, id, "it says so", func(i *fleetv1.Instance) bool { return i.GetWhy() == "Running, resumed from snapshot #1." })
}
