// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// ask lets somebody send an event, and gives the refusal.
func (b *bench) ask(t *testing.T, event string) *Refusal {
	t.Helper()
	var err error
	b.do(func(t *turn) { _, err = t.accept(stimulus{origin: "event", event: event}) })
	r, _ := errors.AsType[*Refusal](err)
	if err != nil && r == nil {
		t.Fatalf("%s: %v is no refusal", event, err)
	}
	return r
}

// TestRefusalsSayWhatIsUnderWay checks what a second stop is told, and that only
// those are told to try again whom it may help.
func TestRefusalsSayWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.create", `{"containerId":"c1"}`)
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	if r := b.ask(t, "system.stop"); r != nil {
		t.Fatalf("the first stop: %v", r)
	}
	if r := b.ask(t, "system.stop"); r == nil || !strings.HasSuffix(r.Message, "does not take system.stop now: its take_snapshot is under way") {
		t.Errorf("a second stop: %v", r)
	}
	b.say("error.docker.take_snapshot", `{}`, func(o *agentv1.Observation) { o.CommandId = b.i.outbox[0].GetCommand().GetCommandId() })
	if r := b.ask(t, "system.stop"); r == nil || !strings.HasSuffix(r.Message, "does not take system.stop now: its stop is under way") {
		t.Errorf("a third stop: %v", r)
	}
	b.say("docker.die", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z","exitCode":0}`) // before the call comes back
	if r := b.ask(t, "system.stop"); r == nil || !strings.HasSuffix(r.Message, "does not take system.stop now: it is in stopped user_requested") {
		t.Errorf("a stop of what has stopped: %v", r)
	}
	b.say("docker.destroy", `{"containerId":"c1"}`)
	if r := b.ask(t, "x"); r == nil || r.RetryAfter != 0 || !strings.HasSuffix(r.Message, "takes no events: it has no container") {
		t.Errorf("an event for what is gone: %v, to be tried again in %v", r, r.RetryAfter)
	}
	b.say("docker.create", `{"containerId":"c1"}`)
	if r := b.ask(t, "x"); r == nil || r.RetryAfter != 0 {
		t.Errorf("an event for what waits to be started: %v", r)
	}
}

// TestRefusalsNameTheState checks that whoever is refused reads which states of the
// chart did it, in the words of the container's chart where it is that.
func TestRefusalsNameTheState(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	refused := func(event, want string) {
		t.Helper()
		if r := b.ask(t, event); r == nil || r.Message != want {
			t.Errorf("%s\n got %v\nwant %s", event, r, want)
		}
	}
	b.say("docker.create", `{"containerId":"c1"}`)
	refused("x", "web@h1 takes no events: it is not running (created)")
	refused("system.stop", "web@h1 does not take system.stop now: it is in created")
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	refused("system.start", "web@h1 does not take system.start now: it is in started running")
	if r := b.ask(t, "x"); r != nil {
		t.Fatal(r)
	}
	b.do(func(t *turn) { t.run(stimulus{origin: "timer", event: "breaker.timeout"}) })
	b.now = b.now.Add(-time.Second) // the bench lets one pass with each turn, and the breaker is tried after one
	refused("x", "web@h1 takes no events: its breaker is open: it did not answer event 1 within 250 ms (chartroom.breaker.timeout); tried again in about 1 s")
	b.say("app.answer", `{"sequence":1}`)
	b.say("docker.die", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z","exitCode":0}`)
	refused("x", "web@h1 takes no events: it is not running (stopped completed)")

	for _, c := range []struct{ states, want string }{
		{`<state id="shut" cr:admit="fail"><state id="locked"/></state>`, `the state shut refuses events (cr:admit="fail")`},
		{`<parallel id="all"><state id="a" cr:admit="fail"/><state id="b" cr:admit="queue"/><state id="c" cr:admit="fail"/></parallel>`, `the states a, c refuse events (cr:admit="fail")`},
		{`<state id="started"><state id="lifecycle"><state id="idle" cr:admit="fail"/></state></state>`, `the state idle refuses events (cr:admit="fail")`},
	} {
		chart, err := Compile("user", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0">`+c.states+`</scxml>`))
		if err != nil {
			t.Fatal(err)
		}
		b.i.chart = chart
		b.do(func(t *turn) { _ = t.begin(nil) })
		refused("x", "web@h1 takes no events: "+c.want)
	}
}

// TestEventsWaitForTheEndOfAStop checks that an event for what is being stopped is
// queued, and goes out in the next run.
func TestEventsWaitForTheEndOfAStop(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.create", `{"containerId":"c1"}`)
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	if r := b.ask(t, "system.stop"); r != nil {
		t.Fatal(r)
	}
	send := func() (out *fleetv1.SendEventResponse) {
		b.do(func(t *turn) { out, _ = t.accept(stimulus{origin: "event", event: "x"}) })
		return out
	}
	if got := send().GetOutcome(); got != fleetv1.Outcome_OUTCOME_QUEUED {
		t.Errorf("while the application is asked for its state: %v", got)
	}
	b.do(func(t *turn) { t.run(stimulus{origin: "timer", event: "intent.enough"}) })
	if got := send(); got.GetOutcome() != fleetv1.Outcome_OUTCOME_QUEUED || got.GetPosition() != 1 {
		t.Errorf("while it is stopped: %v", got)
	}
	b.say("docker.die", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z","exitCode":0,"evidence":{"command":"stop"}}`)
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:01:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	if b.i.book.Flight != 1 {
		t.Errorf("in the next run event %d is out, want 1", b.i.book.Flight)
	}
}
