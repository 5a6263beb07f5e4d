// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A sender sends numbered events one after another, each under a request id of its
// own and as often as it takes until it is acknowledged. It has a goroutine from
// startSending to stop.
type sender struct {
	cancel       context.CancelFunc
	done         chan struct{}
	acknowledged atomic.Int64
}

func startSending(t *testing.T, f *rig.Fleet, id string) *sender {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sender{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for {
			if trySend(ctx, f, id, int(s.acknowledged.Load())+1) == nil {
				s.acknowledged.Add(1)
			}
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
		}
	}()
	return s
}

// reached waits until so many events are acknowledged.
func (s *sender) reached(t *testing.T, least int) {
	t.Helper()
	rig.Eventually(t, 60*time.Second, "events are acknowledged", func() error {
		if n := s.acknowledged.Load(); n < int64(least) {
			return fmt.Errorf("%d of %d", n, least)
		}
		return nil
	})
}

// trySend sends one numbered event once.
func trySend(ctx context.Context, f *rig.Fleet, id string, number int) error {
	// Not cancelled with the sender: the last call shall get its answer.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, err := f.API.SendEvent(call, &fleetv1.SendEventRequest{
		InstanceId: id, Event: "hello", RequestId: fmt.Sprintf("%s-%d", id, number),
		Data: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"number": structpb.NewNumberValue(float64(number))}}),
	})
	return err
}

// stop ends the sending and returns how many events were acknowledged. The next
// one may have been committed without its acknowledgement arriving.
func (s *sender) stop() (acknowledged int) {
	s.cancel()
	<-s.done
	return int(s.acknowledged.Load())
}

// checkGreeted compares what the application says it processed with what was
// acknowledged: everything, once, in order. One more than acknowledged is no
// fault: its acknowledgement was under way.
func checkGreeted(t *testing.T, app *rig.App, acknowledged int) {
	t.Helper()
	app.Drained(t, 60*time.Second)
	checkNumbers(t, app.Greeted(t, 30*time.Second), acknowledged)
}

// checkNumbers is checkGreeted for a list that is known.
func checkNumbers(t *testing.T, got []int, acknowledged int) {
	t.Helper()
	if len(got) < acknowledged || len(got) > acknowledged+1 {
		t.Errorf("acknowledged %d events, %d were processed", acknowledged, len(got))
	}
	for i, number := range got {
		if number != i+1 {
			t.Fatalf("the list at %d: got %d, want %d (of %d): lost, doubled or out of order", i, number, i+1, len(got))
		}
	}
	t.Logf("%d acknowledged, %d processed, in order", acknowledged, len(got))
}

// Not parallel, as no test here: a fault in one would be seen by another.
func TestNothingIsLostWhateverIsKilled(t *testing.T) {
	redis, witness := rig.StartRedis(t), rig.Watch(t)
	f := rig.StartFleet(t, redis.URL)
	app := f.CreateApp(t, "kills", "chartroom.restart.max", "100")

	for _, fault := range []struct {
		name   string
		deaths int // of the application
		do     func(t *testing.T)
	}{
		{"the application", 1, func(t *testing.T) { rig.KillTarget(t, app.Name) }},
		{"statemachine", 0, func(t *testing.T) { f.Statemachine.Kill(); f.Statemachine.Restart(t) }},
		{"the agent", 0, func(t *testing.T) { f.Agent.Kill(); f.Agent.Restart(t) }},
		{"the snapshot service", 0, func(t *testing.T) { f.Snapshot.Kill(); f.Snapshot.Restart(t) }},
		{"redis", 0, func(t *testing.T) { redis.Kill(t); redis.Restart(t) }},
		{"the gateway", 0, func(t *testing.T) { f.Gateway.Kill(); f.Gateway.Restart(t) }},
		{"the application while the agent is away", 1, func(t *testing.T) {
			f.Agent.Kill()
			rig.KillTarget(t, app.Name)
			f.Agent.Restart(t)
		}},
		{"statemachine and the application at once", 1, func(t *testing.T) {
			rig.KillTarget(t, app.Name)
			f.Statemachine.Kill()
			f.Statemachine.Restart(t)
		}},
	} {
		if !t.Run(fault.name, func(t *testing.T) {
			f.TellStory(t, app.ID)
			s := startSending(t, f, app.ID)
			delivered := func(least uint64) (reached uint64) {
				rig.Eventually(t, 60*time.Second, "events are delivered", func() error {
					i, err := f.Instance(t, app.ID)
					if reached = i.GetQueue().GetDeliveredSequence(); err == nil && reached < least {
						err = fmt.Errorf("%d of %d, %s", reached, least, i.GetWhy())
					}
					return err
				})
				return reached
			}
			// In the middle of the sending, neither before nor after it.
			before := delivered(5)
			fault.do(t)
			delivered(before + 10)
			f.InState(t, app.ID, "running", 60*time.Second)
			acknowledged := s.stop()
			checkGreeted(t, app, acknowledged)
			checkActs(t, witness, app, fault.deaths)
		}) {
			return // what follows would be its aftermath
		}
		// The next fault meets a fresh application, which counts from one.
		app = f.CreateApp(t, fmt.Sprintf("kills-%d", len(fault.name)), "chartroom.restart.max", "100")
	}
}

const tally = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="tally" datamodel="ecmascript" initial="counting">
  <datamodel><data id="seen" expr="[]"/></datamodel>
  <state id="counting">
    <transition event="hello"><assign location="seen" expr="seen.concat([_event.data.number])"/></transition>
  </state>
</scxml>`

// A free-standing chart keeps its state in the store alone: whatever of the centre
// is killed, it has seen every acknowledged event once, in order.
func TestFreeInstanceLosesNothingWhateverIsKilled(t *testing.T) {
	t.Run("pebble", func(t *testing.T) { freeInstanceLosesNothing(t, "pebble:"+t.TempDir(), nil) })
	t.Run("redis", func(t *testing.T) {
		redis := rig.StartRedis(t)
		freeInstanceLosesNothing(t, redis.URL, redis)
	})
}

// freeInstanceLosesNothing kills the centre's processes on a store; redis is nil
// when the store is not one.
func freeInstanceLosesNothing(t *testing.T, store string, redis *rig.Redis) {
	f := rig.StartCentre(t, store)
	if _, err := f.API.PushChart(t.Context(), &fleetv1.PushChartRequest{Name: "tally", Document: tally}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.API.CreateInstance(t.Context(), &fleetv1.CreateInstanceRequest{Name: "tally-1", Chart: "tally", RequestId: "tally-1"}); err != nil {
		t.Fatal(err)
	}
	seen := func() ([]int, error) {
		i, err := f.Instance(t, "tally-1")
		if err != nil {
			return nil, err
		}
		var data struct{ Seen []int }
		err = json.Unmarshal([]byte(i.GetDataJson()), &data)
		return data.Seen, err
	}
	s := startSending(t, f, "tally-1")
	for _, fault := range []struct {
		name string
		do   func()
	}{
		{"statemachine", func() { f.Statemachine.Kill(); f.Statemachine.Restart(t) }},
		{"snapshot", func() { f.Snapshot.Kill(); f.Snapshot.Restart(t) }},
		{"redis", func() {
			if redis != nil {
				redis.Kill(t)
				redis.Restart(t)
			}
		}},
		{"gateway", func() { f.Gateway.Kill(); f.Gateway.Restart(t) }},
		{"statemachine and snapshot", func() {
			f.Statemachine.Kill()
			f.Snapshot.Kill()
			f.Snapshot.Restart(t)
			f.Statemachine.Restart(t)
		}},
	} {
		var before int
		progress := func(least int) {
			rig.Eventually(t, 60*time.Second, "events are taken in around the kill of "+fault.name, func() error {
				now, err := seen()
				if err == nil && len(now) < before+least {
					err = fmt.Errorf("%d seen, %d before", len(now), before)
				}
				if err == nil {
					before = len(now)
				}
				return err
			})
		}
		progress(5)
		fault.do()
		progress(5)
	}
	acknowledged := s.stop()
	var got []int
	rig.Eventually(t, 20*time.Second, "the read model has caught up", func() (err error) {
		if got, err = seen(); err == nil && len(got) < acknowledged {
			err = fmt.Errorf("%d of %d", len(got), acknowledged)
		}
		return err
	})
	checkNumbers(t, got, acknowledged)
}
