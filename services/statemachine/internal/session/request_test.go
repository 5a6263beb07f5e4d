// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"strings"
	"testing"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
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
	b.say("docker.destroy", `{"containerId":"c1"}`)
	if r := b.ask(t, "x"); r == nil || r.RetryAfter != 0 || !strings.HasSuffix(r.Message, "takes no events: it has no container") {
		t.Errorf("an event for what is gone: %v, to be tried again in %v", r, r.RetryAfter)
	}
	b.say("docker.create", `{"containerId":"c1"}`)
	if r := b.ask(t, "x"); r == nil || r.RetryAfter != 0 {
		t.Errorf("an event for what waits to be started: %v", r)
	}
}
