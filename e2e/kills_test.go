// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A sender sends numbered events one after another, each under a request id of its
// own and as often as it takes until it is acknowledged. It owns its goroutine
// from startSending to stop.
type sender struct {
	cancel context.CancelFunc
	done   chan struct{}
	next   int // number of the next event; read after done
}

func startSending(t *testing.T, f *rig.Fleet, app *rig.App) *sender {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sender{cancel: cancel, done: make(chan struct{}), next: 1}
	go func() {
		defer close(s.done)
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for {
			if trySend(ctx, f, app.ID, s.next) == nil {
				s.next++
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
	return s.next - 1
}

// checkGreeted compares what the application says it processed with what was
// acknowledged: everything, once, in order. One more than acknowledged is no
// fault: its acknowledgement was under way.
func checkGreeted(t *testing.T, app *rig.App, acknowledged int) {
	t.Helper()
	app.Drained(t, 60*time.Second)
	got := app.Greeted(t, 30*time.Second)
	if len(got) < acknowledged || len(got) > acknowledged+1 {
		t.Errorf("acknowledged %d events, the application processed %d", acknowledged, len(got))
	}
	for i, number := range got {
		if number != i+1 {
			t.Fatalf("the application's list at %d: got %d, want %d (of %d): lost, doubled or out of order", i, number, i+1, len(got))
		}
	}
	t.Logf("%d acknowledged, %d processed, in order", acknowledged, len(got))
}

// Not parallel, as no test here: a fault in one would be seen by another.
func TestNothingIsLostWhateverIsKilled(t *testing.T) {
	redis := rig.StartRedis(t)
	f := rig.StartFleet(t, redis.URL)
	app := f.CreateApp(t, "kills", "chartroom.restart.max", "100")

	for _, fault := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"the application", func(t *testing.T) { rig.KillTarget(t, app.Name) }},
		{"statemachine", func(t *testing.T) { f.Statemachine.Kill(); f.Statemachine.Restart(t) }},
		{"the agent", func(t *testing.T) { f.Agent.Kill(); f.Agent.Restart(t) }},
		{"the snapshot service", func(t *testing.T) { f.Snapshot.Kill(); f.Snapshot.Restart(t) }},
		{"redis", func(t *testing.T) { redis.Kill(t); redis.Restart(t) }},
		{"the gateway", func(t *testing.T) { f.Gateway.Kill(); f.Gateway.Restart(t) }},
		{"the application while the agent is away", func(t *testing.T) {
			f.Agent.Kill()
			rig.KillTarget(t, app.Name)
			f.Agent.Restart(t)
		}},
		{"statemachine and the application at once", func(t *testing.T) {
			rig.KillTarget(t, app.Name)
			f.Statemachine.Kill()
			f.Statemachine.Restart(t)
		}},
	} {
		before := 0
		if !t.Run(fault.name, func(t *testing.T) {
			s := startSending(t, f, app)
			// In the middle of the sending, not before it.
			rig.Eventually(t, 30*time.Second, "events arrive", func() error {
				i, err := f.Instance(t, app.ID)
				if err == nil && i.GetQueue().GetDeliveredSequence() < 5 {
					err = fmt.Errorf("delivered %d", i.GetQueue().GetDeliveredSequence())
				}
				return err
			})
			fault.do(t)
			f.InState(t, app.ID, "running", 60*time.Second)
			acknowledged := s.stop()
			if acknowledged == before {
				t.Error("nothing was acknowledged")
			}
			checkGreeted(t, app, acknowledged)
		}) {
			return // what follows would be its aftermath
		}
		// The next fault meets a fresh application, which counts from one.
		app = f.CreateApp(t, fmt.Sprintf("kills-%d", len(fault.name)), "chartroom.restart.max", "100")
	}
}

// The agent is killed as soon as the engine says that a container has started:
// most often after its call and before its record of it. The start must be
// neither repeated nor forgotten.
func TestAgentKilledBetweenCallAndRecord(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "record")
	for round := range 5 {
		starts := rig.CountEvents(t, app.Name, "start")
		started := rig.OnEvent(t, app.Name, "start", f.Agent.Kill)
		rig.KillTarget(t, app.Name)
		select {
		case <-started:
		case <-time.After(60 * time.Second):
			t.Fatalf("round %d: the application was not started again", round)
		}
		f.Agent.Restart(t)
		rig.Eventually(t, 30*time.Second, "the fleet knows that it runs", func() error {
			i, err := f.Instance(t, app.ID)
			if err != nil {
				return err
			}
			if want := rig.Inspect(t, app.Name).State.StartedAt; i.GetTarget().GetStartedTime().AsTime().Format(time.RFC3339Nano) != want {
				return fmt.Errorf("started %v, the engine says %s", i.GetTarget().GetStartedTime().AsTime(), want)
			}
			return nil
		})
		f.InState(t, app.ID, "running", 30*time.Second)
		if now := rig.CountEvents(t, app.Name, "start"); now != starts+1 {
			t.Errorf("round %d: one death, and the engine started it %d times", round, now-starts)
		}
	}
}
