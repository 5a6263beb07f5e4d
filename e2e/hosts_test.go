// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// host reads one host.
func host(t *testing.T, f *rig.Fleet, id string) (*fleetv1.Host, error) {
	t.Helper()
	r, err := f.API.ListHosts(t.Context(), &fleetv1.ListHostsRequest{})
	if err != nil {
		return nil, err
	}
	for _, h := range r.GetHosts() {
		if h.GetHostId() == id {
			return h, nil
		}
	}
	return nil, fmt.Errorf("no host %s among %d", id, len(r.GetHosts()))
}

// Two agents with certificates and token, each with an engine of its own; one
// is killed. Its rows become unknown within ten seconds, the other's stay; when
// it returns, what happened meanwhile is taken in and the gap is shown.
func TestAKilledAgentsRowsAreUnknown(t *testing.T) {
	rig.Secure(t)
	other := rig.StartEngine(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "first")
	second := f.StartAgent(t, "second", other.Environment()...)
	other.RunApp(t, "stays")
	f.InState(t, "stays@second", "running", 30*time.Second)

	second.Kill()
	killed := time.Now()
	rig.Eventually(t, 10*time.Second, "the second agent's rows are unknown", func() error {
		i, err := f.Instance(t, "stays@second")
		if err == nil && !i.GetUnknown() {
			err = errors.New("still known")
		}
		return err
	})
	t.Logf("unknown %v after the kill", time.Since(killed).Round(100*time.Millisecond))
	if h, err := host(t, f, "second"); err != nil || !h.GetUnknown() || h.GetLastSeenTime() == nil {
		t.Errorf("host %v, %v", h, err)
	}
	if i, err := f.Instance(t, app.ID); err != nil || i.GetUnknown() {
		t.Errorf("the first agent's instance: unknown %v, %v", i.GetUnknown(), err)
	}

	other.Docker(t, "stop", "--time", "1", "stays") // nobody sees it happen
	second.Restart(t)
	f.InState(t, "stays@second", "stopped", 30*time.Second)
	rig.Eventually(t, 10*time.Second, "the gap is shown and closed", func() error {
		h, err := host(t, f, "second")
		if err != nil {
			return err
		}
		for _, g := range h.GetGaps() {
			if to := g.GetToTime(); to != nil && to.AsTime().After(killed) {
				return nil
			}
		}
		return fmt.Errorf("gaps %v", h.GetGaps())
	})
}

// The engine is killed with everything in it, and comes back: the application
// resumes where it was. What is sent meanwhile is refused or kept, and never lost.
func TestEngineGone(t *testing.T) {
	engine := rig.StartEngine(t)
	f := rig.StartFleet(t, "pebble:"+t.TempDir(), engine.Environment()...)
	engine.RunApp(t, "sailor")
	app := rig.AppOf(f, engine, "sailor")
	f.TellStory(t, app.ID)
	f.InState(t, app.ID, "running", 30*time.Second)
	s := startSending(t, f, app.ID)
	s.reached(t, 10)
	engine.Kill(t)
	rig.Eventually(t, 15*time.Second, "the fleet sees that the engine is away", func() error {
		h, err := host(t, f, f.HostID)
		if err == nil && h.GetEngineReachable() {
			err = errors.New("still said to be reachable")
		}
		return err
	})
	if i, err := f.Instance(t, app.ID); err != nil || i.GetUnknownReason() != "the engine of "+f.HostID+" does not answer" {
		t.Errorf("the engine is away: unknown %v (%s), %v", i.GetUnknown(), i.GetUnknownReason(), err)
	}
	away := int(s.acknowledged.Load())
	engine.Start(t)
	witness := engine.Watch(t)
	f.InState(t, app.ID, "running", 60*time.Second)
	s.reached(t, away+10)
	checkGreeted(t, app, s.stop())
	// This engine has not made it, and found it dead.
	acts{"start": 1}.check(t, witness, app.Name)
}
