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

// laidToTheEngine counts the deaths of an instance for which a shutdown of the
// engine is the evidence.
func laidToTheEngine(t *testing.T, f *rig.Fleet, id string) (int, error) {
	t.Helper()
	r, err := f.API.ListLog(t.Context(), &fleetv1.ListLogRequest{InstanceId: id, PageSize: 1000})
	n := 0
	for _, e := range r.GetEntries() {
		if e.GetEvent() == "docker.die" && strings.Contains(e.GetDataJson(), `"engineShutdown":true`) {
			n++
		}
	}
	return n, err
}

// The engine is shut down as before a reboot, with the agent and without, and is
// killed and started over its running containers, which it then stops. Each time
// the application comes back with its state; what a person stopped stays stopped.
func TestEngineShutdown(t *testing.T) {
	engine := rig.StartEngine(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir(), engine.Environment()...)
	engine.RunApp(t, "sailor")
	engine.RunApp(t, "ashore")
	sailor, ashore := rig.AppOf(f, engine, "sailor"), rig.AppOf(f, engine, "ashore")
	f.TellStory(t, sailor.ID)
	f.InState(t, sailor.ID, "running", 30*time.Second)
	f.InState(t, ashore.ID, "running", 30*time.Second)
	engine.Docker(t, "stop", "ashore")
	f.InState(t, ashore.ID, "user_requested", 10*time.Second)

	sent := 0
	send := func() {
		for range 5 {
			sent++
			f.Send(t, sailor.ID, "hello", map[string]any{"number": sent}, fmt.Sprintf("shutdown-%d", sent), 30*time.Second)
		}
	}
	for round, way := range []struct {
		name string
		away func()
	}{
		{"shut down", func() { engine.Shutdown(t); engine.Start(t) }},
		{"killed over its containers", func() { engine.Abandon(); engine.Start(t) }},
		{"shut down while the agent was away", func() {
			f.Agent.Stop()
			engine.Shutdown(t)
			engine.Start(t)
			f.Agent.Restart(t)
		}},
	} {
		send()
		sailor.Drained(t, 30*time.Second)
		began := time.Now()
		way.away()
		back := time.Now()
		rig.Eventually(t, 30*time.Second, way.name+": the death is laid to the engine", func() error {
			n, err := laidToTheEngine(t, f, sailor.ID)
			if err == nil && n != round+1 {
				err = fmt.Errorf("%d deaths are, want %d", n, round+1)
			}
			return err
		})
		send()
		sailor.Drained(t, 30*time.Second)
		t.Logf("%s: the engine was away for %v, the application resumed %v after it answered",
			way.name, back.Sub(began).Round(10*time.Millisecond), time.Since(back).Round(10*time.Millisecond))
	}
	got := sailor.Greeted(t, 30*time.Second)
	for i, number := range got {
		if number != i+1 {
			t.Fatalf("the application's list: %v", got)
		}
	}
	if len(got) != sent {
		t.Errorf("the application processed %d events, want %d", len(got), sent)
	}
	i := f.InState(t, ashore.ID, "user_requested", time.Second)
	if n, err := laidToTheEngine(t, f, ashore.ID); n != 0 || err != nil {
		t.Errorf("stopped by a person: %d deaths are laid to the engine (%v), %s", n, err, i.GetWhy())
	}
}
