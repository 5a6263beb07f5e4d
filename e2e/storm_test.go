// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

const (
	stormFaults = 16
	stormApps   = 4 // one of them is made in the middle of the storm
)

// Several applications at once, and whatever is drawn is killed, also while
// the kill before is not got over. Nothing that was sent is lost, and no container
// is made or started twice. CHARTROOM_SEED repeats the order of the
// kills; their moments are the machine's.
func TestStormOfKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CHARTROOM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHARTROOM_SEED: %v", err)
		}
	}
	t.Logf("CHARTROOM_SEED=%d scripts/e2e -run %s", seed, t.Name())
	random := rand.New(rand.NewPCG(seed, 0))

	redis, witness := rig.StartRedis(t), rig.Watch(t)
	f := rig.StartFleet(t, redis.URL)
	var apps []*stormApp
	order := func() {
		app := f.Order(t, rig.AppImage(t), nil, fmt.Sprintf("storm-%d", len(apps)), "chartroom.restart.max", "1000")
		f.TellStory(t, app.ID)
		apps = append(apps, &stormApp{App: app, fleet: f, sender: startSending(t, f, app.ID)})
	}
	for range stormApps - 1 {
		order()
	}
	services := []struct {
		name string
		kill func()
	}{
		{"statemachine", func() { f.Statemachine.Kill(); f.Statemachine.Restart(t) }},
		{"the agent", func() { f.Agent.Kill(); f.Agent.Restart(t) }},
		{"snapshot", func() { f.Snapshot.Kill(); f.Snapshot.Restart(t) }},
		{"redis", func() { redis.Kill(t); redis.Restart(t) }},
		{"the gateway", func() { f.Gateway.Kill(); f.Gateway.Restart(t) }},
	}
	for n := range stormFaults {
		// Half of the kills meet a fleet that still works off those before.
		if random.IntN(2) == 0 {
			for _, a := range apps {
				a.goOn(t)
			}
		}
		if random.IntN(2) == 0 {
			a := apps[random.IntN(len(apps))]
			a.goOn(t)
			t.Logf("%2d  %s is killed", n, a.Name)
			a.kill(t)
		}
		s := services[random.IntN(len(services))]
		t.Logf("%2d  %s is killed", n, s.name)
		s.kill()
		if n == stormFaults/2 {
			order()
			t.Logf("%2d  %s is being created", n, apps[len(apps)-1].Name)
		}
	}
	for _, a := range apps {
		a.goOn(t)
		f.InState(t, a.ID, "running", 60*time.Second)
		acknowledged := a.sender.stop()
		checkGreeted(t, a.App, acknowledged)
		checkActs(t, witness, a.App, a.deaths)
	}
}

// stormApp is an application and who sends to it.
type stormApp struct {
	*rig.App
	fleet  *rig.Fleet
	sender *sender
	deaths int
	killed string // when the run was started that was killed last
}

// kill kills the application.
func (a *stormApp) kill(t *testing.T) {
	t.Helper()
	a.killed = rig.Inspect(t, a.Name).State.StartedAt
	rig.KillTarget(t, a.Name)
	a.deaths++
}

// goOn waits until the application has answered an event in a run that was not killed,
// the one that the engine tells of. Between two deaths one has to be answered, or the
// chart would have to take that event for the cause.
func (a *stormApp) goOn(t *testing.T) {
	t.Helper()
	var run string // the one in which it is ready
	var before uint64
	rig.Eventually(t, 60*time.Second, a.Name+" goes on", func() error {
		i, err := a.fleet.Instance(t, a.ID)
		if err != nil {
			return err
		}
		if !slices.Contains(i.GetConfiguration(), "running") {
			return errors.New(i.GetWhy())
		}
		started := i.GetTarget().GetStartedTime().AsTime().Format(time.RFC3339Nano)
		reached := i.GetQueue().GetDeliveredSequence()
		// For a moment after a kill the engine still says that it runs.
		state := rig.Inspect(t, a.Name).State
		if !state.Running || state.StartedAt == a.killed || state.StartedAt != started {
			return fmt.Errorf("started %s; the engine says running %v, started %s", started, state.Running, state.StartedAt)
		}
		if run != started {
			run, before = started, reached
		}
		if reached <= before {
			return fmt.Errorf("%d events, %d when it was ready, %s", reached, before, i.GetWhy())
		}
		return nil
	})
}
