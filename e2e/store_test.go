// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

const (
	// storeLease is how long a shard belongs to its owner in the store.
	storeLease = 10 * time.Second
	// patience is a timeout of the breaker that only an outage of ours can use up: with
	// the usual one a busy machine may have the next event refused.
	patience = 10 * time.Second
)

// A store that loses everything under a running fleet, twice: the fleet lists itself
// anew, the second time with statemachine killed meanwhile. Applications keep their
// state, whoever started them, and what is acknowledged from then on is processed,
// although the store counts from one and they do not.
func TestEmptiedStore(t *testing.T) {
	redis := rig.StartRedis(t)
	f := rig.StartFleet(t, redis.URL)
	ours, theirs := f.CreateApp(t, "emptied"), runApp(t, f, "emptied-theirs")
	apps := []*rig.App{ours, theirs}
	send := func(from, to int) {
		t.Helper()
		for _, app := range apps {
			for n := from; n <= to; n++ {
				rig.Eventually(t, 20*time.Second, "the event is accepted", func() error { return trySend(t.Context(), f, app.ID, n) })
			}
			app.Drained(t, 20*time.Second)
		}
	}
	empty := func(then func()) {
		t.Helper()
		made := map[*rig.App]time.Time{}
		for _, app := range apps {
			i, err := f.Instance(t, app.ID)
			if err != nil {
				t.Fatal(err)
			}
			made[app] = i.GetCreateTime().AsTime()
		}
		redis.Empty(t)
		for _, app := range apps {
			rig.Eventually(t, 30*time.Second, "the fleet lists itself anew", func() error {
				i, err := f.Instance(t, app.ID)
				if err == nil && !i.GetCreateTime().AsTime().After(made[app]) {
					err = errors.New("it is still the one from before")
				}
				return err
			})
			then()
			f.InState(t, app.ID, "running", 30*time.Second)
		}
	}
	for _, app := range apps {
		f.TellStory(t, app.ID)
	}
	send(1, 10)
	empty(func() {})
	send(11, 20)
	rig.Docker(t, "restart", theirs.Name)
	send(21, 30)
	empty(func() {
		f.Statemachine.Kill()
		f.Statemachine.Restart(t)
	})
	send(31, 40)
	for _, app := range apps {
		checkGreeted(t, app, 40)
	}
}

// runApp starts the application by "docker run", and waits until it is ready.
func runApp(t *testing.T, f *rig.Fleet, name string) *rig.App {
	t.Helper()
	app := rig.AppOf(f, nil, name+"-"+rig.RunID())
	rig.RemoveByName(t, app.Name)
	rig.Docker(t, "run", "--detach", "--name", app.Name, "--env", "CHARTROOM_SOCKET=/run/chartroom/app.sock", "--volume", rig.Volume(t)+":/run/chartroom",
		"--label", rig.Label+"="+rig.RunID(), "--label", rig.Only(t), "--label", "chartroom.enable=true", rig.AppImage(t))
	f.InState(t, app.ID, "running", 30*time.Second)
	return app
}

// Redis hangs for longer than a lease, with an event in flight and others on their
// way, and the application answers meanwhile. When Redis goes on it finds everything
// that was asked of it in vain, and carries it out: all that was acknowledged is
// processed once all the same, and nothing is held against the application.
func TestRedisHangs(t *testing.T) {
	redis := rig.StartRedis(t)
	f := rig.StartFleet(t, redis.URL)
	app := f.CreateApp(t, "hangs", "chartroom.breaker.timeout", patience.String())
	f.TellStory(t, app.ID)
	s := startSending(t, f, app.ID)
	s.reached(t, 20)

	release := hold(t, app)
	inFlight(t, f, app)
	redis.Hang(t)
	hung := time.Now()
	release()
	rig.Unhealthy(t, f.StatemachineAddress)
	rig.Eventually(t, 2*storeLease, "the leases have run out in the store, too", func() error {
		if since := time.Since(hung); since < storeLease+time.Second {
			return fmt.Errorf("it hangs for %v", since)
		}
		return nil
	})
	redis.GoOn(t)

	s.reached(t, int(s.acknowledged.Load())+20)
	rig.Healthy(t, f.StatemachineAddress)
	acknowledged := s.stop()
	checkGreeted(t, app, acknowledged)
	for _, e := range problems(t, f, app) {
		t.Errorf("held against the application: %s: %s", e.GetEvent(), e.GetSummary())
	}
}

// An older copy of its data is put back under Redis, made while an event was in
// flight. The fleet goes on, says what the store does not know any more, and
// processes once what is accepted from then on, also before the agent is back, and
// before statemachine is killed. Later the application dies, and comes back with
// everything.
func TestOlderStore(t *testing.T) {
	redis := rig.StartRedis(t)
	f := rig.StartFleet(t, redis.URL)
	app := f.CreateApp(t, "older", "chartroom.breaker.timeout", patience.String())
	f.TellStory(t, app.ID)
	send := func(from, to int) {
		t.Helper()
		for n := from; n <= to; n++ {
			f.Send(t, app.ID, "hello", map[string]any{"number": n}, fmt.Sprintf("%s-%d", app.ID, n), 60*time.Second)
		}
	}
	send(1, 10)
	app.Drained(t, 60*time.Second)
	release := hold(t, app)
	send(11, 14)
	inFlight(t, f, app)
	copied := redis.Copy(t)
	release()
	send(15, 30)
	app.Drained(t, 60*time.Second)

	// The agent is back only when new events have the numbers of those that are lost.
	f.Agent.Signal(t, syscall.SIGSTOP)
	redis.PutBack(t, copied)
	send(31, 35)
	f.Statemachine.Kill()
	f.Statemachine.Restart(t)
	send(36, 40)
	f.Agent.Signal(t, syscall.SIGCONT)
	const lost = "The application has processed 30 events, the store knows of 14"
	rig.Eventually(t, 60*time.Second, "the log says what the store has lost", func() error {
		for _, e := range problems(t, f, app) {
			if strings.HasPrefix(e.GetSummary(), lost) {
				return nil
			}
		}
		return fmt.Errorf("no entry %q", lost)
	})
	app.Drained(t, 60*time.Second)
	rig.KillTarget(t, app.Name)
	send(41, 50)
	checkGreeted(t, app, 50)
}

// hold stops the process of an application, until release is called. The engine does
// not know of it.
func hold(t *testing.T, app *rig.App) (release func()) {
	t.Helper()
	rig.SignalTarget(t, app.Name, syscall.SIGSTOP)
	return func() { rig.SignalTarget(t, app.Name, syscall.SIGCONT) }
}

// inFlight waits until an event is in flight and others wait for it.
func inFlight(t *testing.T, f *rig.Fleet, app *rig.App) {
	t.Helper()
	rig.Eventually(t, 30*time.Second, "an event is in flight and others wait", func() error {
		i, err := f.Instance(t, app.ID)
		if q := i.GetQueue(); err == nil && (q.GetInFlightSequence() == 0 || q.GetWaiting() < 3) {
			err = fmt.Errorf("queue %v", q)
		}
		return err
	})
}

// problems are the warnings and errors in the log of an application.
func problems(t *testing.T, f *rig.Fleet, app *rig.App) []*fleetv1.LogEntry {
	t.Helper()
	var log *fleetv1.ListLogResponse
	rig.Eventually(t, 30*time.Second, "the log is read", func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		log, err = f.API.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: app.ID, PageSize: 1000, ProblemsOnly: true})
		return err
	})
	return log.GetEntries()
}
