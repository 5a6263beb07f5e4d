// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

func (r *rig) push(name, document string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := r.api.PushChart(ctx, &statemachinev1.PushChartRequest{Request: &fleetv1.PushChartRequest{Name: name, Document: document}})
	return err
}

func (r *rig) create(q *fleetv1.CreateInstanceRequest) (*fleetv1.Instance, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := r.api.CreateInstance(ctx, &statemachinev1.CreateInstanceRequest{Request: q})
	return out.GetResponse().GetInstance(), err
}

// running gives a rig with web@h1 running.
func running(t *testing.T) (*rig, *agent) {
	t.Helper()
	r := newRig(t)
	a := newAgent(t, "h1")
	r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	if _, err := r.send("web@h1", "system.start", "", nil); err != nil {
		t.Fatal(err)
	}
	r.inState("web@h1", "running")
	return r, a
}

// TestRefusals checks the code and the reason of everything that is refused.
func TestRefusals(t *testing.T) {
	t.Parallel()
	r, a := running(t)
	a.mu.Lock()
	a.mute = true
	a.mu.Unlock()
	if err := r.push("door", door); err != nil {
		t.Fatal(err)
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "d1", Chart: "door"}); err != nil {
		t.Fatal(err)
	}
	large := structpb.NewStringValue(strings.Repeat("x", session.MaxEventBytes))
	for _, c := range []struct {
		name     string
		instance string
		event    string
		data     *structpb.Value
		code     codes.Code
		reason   fleetv1.Reason
		allowed  string
	}{
		{"no such instance", "nobody@h1", "x", nil, codes.NotFound, fleetv1.Reason_REASON_INSTANCE_UNKNOWN, ""},
		{"intent the state does not take", "web@h1", "system.start", nil, codes.FailedPrecondition, fleetv1.Reason_REASON_STATE_REFUSES, "system.stop"},
		{"intent that no chart knows", "web@h1", "system.dance", nil, codes.FailedPrecondition, fleetv1.Reason_REASON_STATE_REFUSES, "system.kill"},
		{"name of chartroom's own", "web@h1", "docker.die", nil, codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, ""},
		{"no name", "web@h1", "", nil, codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, ""},
		{"empty token", "web@h1", "a..b", nil, codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, ""},
		{"too large", "web@h1", "x", large, codes.ResourceExhausted, fleetv1.Reason_REASON_TOO_LARGE, ""},
		{"no such snapshot", "web@h1", "system.restore", structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"snapshot": structpb.NewNumberValue(7)}}), codes.NotFound, fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN, ""},
		{"admission fails", "d1", "knock", nil, codes.FailedPrecondition, fleetv1.Reason_REASON_NOT_ADMITTED, "system.remove"},
	} {
		_, err := r.send(c.instance, c.event, "", c.data)
		if got := status.Code(err); got != c.code {
			t.Errorf("%s: code %v, want %v (%v)", c.name, got, c.code, err)
			continue
		}
		refusal := reason(t, err)
		if refusal.GetReason() != c.reason {
			t.Errorf("%s: reason %v, want %v", c.name, refusal.GetReason(), c.reason)
		}
		if c.allowed != "" && !slices.Contains(refusal.GetAllowedIntents(), c.allowed) {
			t.Errorf("%s: allowed %v, want %s among them", c.name, refusal.GetAllowedIntents(), c.allowed)
		}
	}
}

// TestQueueFull fills a queue whose head is not answered.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	a.mute = true
	a.spec.OptionsJson = []byte(strings.Replace(string(a.spec.GetOptionsJson()), `"queue":1000`, `"queue":5`, 1))
	r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	if _, err := r.send("web@h1", "system.start", "", nil); err != nil {
		t.Fatal(err)
	}
	r.inState("web@h1", "running")
	for n := range 5 {
		if out, err := r.send("web@h1", "x", "", nil); err != nil || n > 0 && (out.GetOutcome() != fleetv1.Outcome_OUTCOME_QUEUED || out.GetPosition() != uint32(n)) {
			t.Fatalf("event %d: %v, %v", n+1, out, err)
		}
	}
	_, err := r.send("web@h1", "x", "", nil)
	if status.Code(err) != codes.ResourceExhausted || reason(t, err).GetReason() != fleetv1.Reason_REASON_QUEUE_FULL || reason(t, err).GetRetryAfter() == nil {
		t.Errorf("sixth event: %v, want QUEUE_FULL with a retry-after", err)
	}
}

// TestRequestIDs checks law 2 for requests: that a repeated request_id is answered with the first
// answer, by the same process and by the next, and acts once.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	r, a := running(t)
	first, err := r.send("web@h1", "x", "r1", nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		again, err := r.send("web@h1", "x", "r1", nil)
		if err != nil || again.GetSequence() != first.GetSequence() || again.GetRequestId() != "r1" {
			t.Errorf("%s: %v, %v, want sequence %d", when, again, err, first.GetSequence())
		}
		if _, err := r.send("web@h1", "y", "r1", nil); status.Code(err) != codes.AlreadyExists || reason(t, err).GetReason() != fleetv1.Reason_REASON_REQUEST_ID_REUSED {
			t.Errorf("%s: another request with the same id: %v", when, err)
		}
	}
	check("the same process")
	r.stop()
	r.start()
	check("the next process")
	r.connect(a)
	r.eventually("event 1 answered", func() bool { return r.view("web@h1").GetQueue().GetDeliveredSequence() == 1 })
	if got := r.view("web@h1").GetQueue().GetAcceptedSequence(); got != 1 {
		t.Errorf("%d events accepted, want 1", got)
	}
}

// TestRequestIDAnsweredMeanwhile checks that a request which was looked up too
// early acts only once all the same: the same one is answered, and the shard taken
// over, between the look-up and the step.
func TestRequestIDAnsweredMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stop()
	var lookups atomic.Int32
	r.store.LookedUp = func(id string) {
		if lookups.Add(1) > 1 {
			return
		}
		if _, err := r.send("web@h1", "x", id, nil); err != nil {
			t.Errorf("the same request meanwhile: %v", err)
		}
		if err := r.takeOver("h1"); err != nil {
			t.Errorf("take over: %v", err)
		}
	}
	r.start()
	a := newAgent(t, "h1")
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	if _, err := r.send("web@h1", "system.start", "", nil); err != nil {
		t.Fatal(err)
	}
	r.inState("web@h1", "running")
	disconnect()
	out, err := r.send("web@h1", "x", "r1", nil)
	if err != nil || out.GetSequence() != 1 {
		t.Errorf("answer %v, %v; want sequence 1", out, err)
	}
	if got := r.view("web@h1").GetQueue().GetAcceptedSequence(); got != 1 || lookups.Load() != 3 {
		t.Errorf("%d events accepted after %d look-ups, want 1 after 3", got, lookups.Load())
	}
}

// takeOver has the shard of a host loaded anew, as when an agent has seen a fence
// above the shard's, and waits until it is.
func (r *rig) takeOver(host string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(r.link).Connect(ctx)
	if err != nil {
		return err
	}
	above := r.store.Epoch(session.ShardOf(host)) + 1
	if err := stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
		HostId: host, DisplayName: host, JournalId: "journal-" + host, Fence: &agentv1.Fence{Epoch: above, Nonce: "n"},
	}}}); err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		raised := r.store.Epoch(session.ShardOf(host)) > above // before it is asked, or the former owner may have answered
		_, err := r.send("nobody@"+host, "x", "", nil)
		if status.Code(err) == codes.NotFound && raised {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// TestUnmanagedIsNeverTouched checks that a container without the label is
// shown, and that nothing is commanded.
func TestUnmanagedIsNeverTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	a.spec.Managed = false
	r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	a.do(func() { a.start("", nil) })
	r.inState("web@h1", "started")
	for _, event := range []string{"system.stop", "x"} {
		_, err := r.send("web@h1", event, "", nil)
		if status.Code(err) != codes.FailedPrecondition || reason(t, err).GetReason() != fleetv1.Reason_REASON_UNMANAGED {
			t.Errorf("%s: %v, want UNMANAGED", event, err)
		}
	}
	if got := r.view("web@h1").GetAllowedIntents(); len(got) > 0 {
		t.Errorf("allowed intents %v, want none", got)
	}
	a.die()
	r.inState("web@h1", "stopped")
	a.do(func() {
		if len(a.acts) > 0 {
			t.Errorf("acts %v, want none", a.acts)
		}
	})
}

// TestUnmanagedInSpiteOfItsLabel checks that the refusal names what is in the
// way when the container may have the label.
func TestUnmanagedInSpiteOfItsLabel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ code, message, fix string }{
		{"restart-policy", "the engine's own restart policy is \"always\"", "docker update --restart=no web"},
		{"outside", "the agent here acts only on containers with the label team=a", "make it with the label team=a"},
	} {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := newAgent(t, "h1")
			a.spec.Managed = false
			a.spec.Findings = []*fleetv1.Finding{{Code: test.code, Message: test.message, Fix: test.fix}}
			r.connect(a)
			a.create()
			r.inState("web@h1", "created")
			_, err := r.send("web@h1", "system.stop", "", nil)
			want := "web@h1 is observed only and takes no system.stop; " + test.message + ": " + test.fix
			if got := status.Convert(err).Message(); got != want {
				t.Errorf("refused with %q, want %q", got, want)
			}
		})
	}
}

// TestUnknownChart checks that a container whose label names a chart that is not
// stored runs the default, and that the finding can be typed.
func TestUnknownChart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	a.spec.Chart = "mine"
	r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	findings := r.view("web@h1").GetFindings()
	if len(findings) != 1 || findings[0].GetCode() != "chart.unknown" || findings[0].GetFix() != "chartroom chart push FILE.scxml --name mine" {
		t.Errorf("findings %v, want how to push the chart", findings)
	}
}

// TestCreateContainer makes a container and starts it, then stops, removes and
// forgets it; and all of that again, which the agent must not take for repeats
// of the first commands.
func TestCreateContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	r.connect(a)
	r.eventually("the host is known", func() bool {
		state, _ := r.store.State(session.ShardOf("h1"))
		return len(state.GetHosts()) == 1
	})
	q := &fleetv1.CreateInstanceRequest{Name: "web", Container: &fleetv1.ContainerSpec{Image: "counter"}, Start: true, RequestId: "c1"}
	var i *fleetv1.Instance
	var err error
	// The stream is known a moment after the host is stored.
	r.eventually("the host takes commands", func() bool {
		i, err = r.create(q)
		return status.Code(err) != codes.NotFound
	})
	if err != nil || i.GetInstanceId() != "web@h1" || i.GetState() != "absent" {
		t.Fatalf("create: %v, %v", i, err)
	}
	r.inState("web@h1", "running")
	if again, err := r.create(q); err != nil || again.GetInstanceId() != "web@h1" {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "web", Container: &fleetv1.ContainerSpec{Image: "counter"}}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("another of that name: %v, want ALREADY_EXISTS", err)
	}
	for _, step := range []struct{ intent, state string }{{"system.stop", "stopped"}, {"system.remove", "destroyed"}} {
		if _, err := r.send("web@h1", step.intent, "", nil); err != nil {
			t.Fatalf("%s: %v", step.intent, err)
		}
		r.inState("web@h1", step.state)
	}
	a.do(func() {
		if want := []string{"create", "start", "take_snapshot", "stop", "remove"}; !slices.Equal(a.acts, want) {
			t.Errorf("acts %v, want %v", a.acts, want)
		}
	})
	r.eventually("it may be forgotten", func() bool { return slices.Contains(r.view("web@h1").GetAllowedIntents(), "system.remove") })
	if _, err := r.send("web@h1", "system.remove", "", nil); err != nil {
		t.Fatalf("forget: %v", err)
	}
	if v := r.view("web@h1"); v != nil {
		t.Errorf("still stored: %v", v.GetState())
	}
	a.do(func() { a.id = "c2" })
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "web", Container: &fleetv1.ContainerSpec{Image: "counter"}, Start: true}); err != nil {
		t.Fatalf("create again: %v", err)
	}
	r.inState("web@h1", "running")
}

// TestCreateAgainKeepsTheState makes a container under the name of one that was
// removed: it starts with the snapshot of its predecessor.
func TestCreateAgainKeepsTheState(t *testing.T) {
	t.Parallel()
	r, a := running(t)
	if _, err := r.send("web@h1", "x", "", nil); err != nil {
		t.Fatal(err)
	}
	r.eventually("a snapshot", func() bool { return len(r.view("web@h1").GetSnapshots()) == 1 })
	for _, step := range []struct{ intent, state string }{{"system.stop", "stopped"}, {"system.remove", "destroyed"}} {
		if _, err := r.send("web@h1", step.intent, "", nil); err != nil {
			t.Fatalf("%s: %v", step.intent, err)
		}
		r.inState("web@h1", step.state)
	}
	r.eventually("it may be made again", func() bool { return slices.Contains(r.view("web@h1").GetAllowedIntents(), "system.remove") })
	kept := r.view("web@h1").GetSnapshots()[0]
	a.do(func() { a.id = "c2" })
	again := &fleetv1.CreateInstanceRequest{Name: "web", Container: &fleetv1.ContainerSpec{Image: "counter"}, Start: true}
	if _, err := r.create(again); err != nil {
		t.Fatalf("create again: %v", err)
	}
	r.inState("web@h1", "running")
	a.do(func() {
		if got := a.starts[len(a.starts)-1].GetSnapshot().GetSha256(); got != kept.GetSha256() {
			t.Errorf("started with the snapshot %q, want %q", got, kept.GetSha256())
		}
	})
	if v := r.view("web@h1"); v.GetTarget().GetGeneration() != 2 || v.GetQueue().GetContainedSequence() != 1 {
		t.Errorf("generation %d, contained %d; want 2, 1", v.GetTarget().GetGeneration(), v.GetQueue().GetContainedSequence())
	}
	if _, err := r.create(again); status.Code(err) != codes.AlreadyExists {
		t.Errorf("a third: %v, want ALREADY_EXISTS", err)
	}
}

// TestBadCharts checks that nothing of a bad document is stored.
func TestBadCharts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, document := range map[string]string{
		"text":    "hello",
		"target":  `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="x" target="nowhere"/></state></scxml>`,
		"doctype": `<!DOCTYPE scxml [<!ENTITY a "b">]><scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"/></scxml>`,
		"deep":    `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">` + strings.Repeat(`<state>`, 1000) + strings.Repeat(`</state>`, 1000) + `</scxml>`,
		"large":   `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><!--` + strings.Repeat("x", 10<<20) + `--><state id="a"/></scxml>`,
	} {
		err := r.push("bad-"+name, document)
		if status.Code(err) != codes.InvalidArgument || reason(t, err).GetReason() != fleetv1.Reason_REASON_CHART_INVALID {
			t.Errorf("%s: %v, want CHART_INVALID", name, err)
			continue
		}
		if said := status.Convert(err).Message(); name == "target" && !strings.HasPrefix(said, "chart bad-target, line 1, column ") {
			t.Errorf("%s: %q, want the position in words", name, said)
		}
		if name != "large" && reason(t, err).GetLine() == 0 {
			t.Errorf("%s: no position in %v", name, err)
		}
		if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "i", Chart: "bad-" + name}); status.Code(err) != codes.NotFound {
			t.Errorf("%s was stored: %v", name, err)
		}
	}
}

// door is a free chart: events wait while it is closed, and are refused while
// it is locked.
const door = `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0" datamodel="ecmascript" initial="locked">
  <datamodel><data id="seen" expr="[]"/><data id="peer" expr="''"/></datamodel>
  <state id="locked" cr:admit="fail"><transition event="system.start" target="closed"/></state>
  <state id="closed" cr:admit="queue"><transition event="system.unpause" target="open"/></state>
  <state id="open">
    <transition event="system.pause" target="closed"/>
    <transition event="knock"><assign location="seen" expr="seen.concat([_event.data.n])"/></transition>
    <transition event="call"><send targetexpr="'#' + peer" event="knock"><param name="n" expr="_event.data.n"/></send></transition>
    <transition event="error.communication"><assign location="seen" expr="seen.concat(['error'])"/></transition>
    <transition event="later"><send event="ring" delay="3s"/></transition>
    <transition event="ring"><assign location="seen" expr="seen.concat(['ring'])"/></transition>
    <transition event="leave" target="gone"/>
  </state>
  <final id="gone"/>
</scxml>`

func number(name string, n float64) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{name: structpb.NewNumberValue(n)}})
}

// open makes an open door.
func (r *rig) open(id, peer string) {
	r.t.Helper()
	data := &structpb.Struct{Fields: map[string]*structpb.Value{"peer": structpb.NewStringValue(peer)}}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: id, Chart: "door", Data: data}); err != nil {
		r.t.Fatal(err)
	}
	for _, intent := range []string{"system.start", "system.unpause"} {
		if _, err := r.send(id, intent, "", nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestFreeInstances checks admission, the queue, sends between instances and
// the end of free instances.
func TestFreeInstances(t *testing.T) {
	t.Parallel()
	freeInstances(t, newRig(t))
}

func freeInstances(t *testing.T, r *rig) {
	t.Helper()
	if err := r.push("door", door); err != nil {
		t.Fatal(err)
	}
	r.open("d1", "d2")
	r.open("d2", "nobody")
	if _, err := r.send("d1", "system.pause", "", nil); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if out, err := r.send("d1", "knock", "", number("n", float64(n))); err != nil || out.GetOutcome() != fleetv1.Outcome_OUTCOME_QUEUED || out.GetPosition() != uint32(n) {
			t.Fatalf("knock %d: %v, %v", n, out, err)
		}
	}
	if _, err := r.send("d1", "system.unpause", "", nil); err != nil {
		t.Fatal(err)
	}
	if got := r.view("d1").GetDataJson(); !strings.Contains(got, `"seen":[0,1,2]`) {
		t.Errorf("data %s, want what waited, in order", got)
	}
	for n := range 5 {
		if _, err := r.send("d1", "call", "", number("n", float64(10+n))); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("d2 heard every call once, in order", func() bool {
		return strings.Contains(r.view("d2").GetDataJson(), `"seen":[10,11,12,13,14]`)
	})
	if _, err := r.send("d2", "call", "", number("n", 1)); err != nil {
		t.Fatal(err)
	}
	r.eventually("a send to nobody is error.communication", func() bool { return strings.Contains(r.view("d2").GetDataJson(), `"error"`) })
	for _, id := range []string{"d1", "d2"} {
		r.eventually("the outbox of "+id+" is empty", func() bool {
			i, _ := r.store.Instance(session.ShardOf(id), id)
			return len(i.GetOutbox()) == 0
		})
	}
	if _, err := r.send("d2", "leave", "", nil); err != nil {
		t.Fatal(err)
	}
	if v := r.view("d2"); !v.GetFinished() || v.GetState() != "gone" {
		t.Errorf("finished %v in %q, want true in gone", v.GetFinished(), v.GetState())
	}
	if _, err := r.send("d2", "knock", "", nil); status.Code(err) != codes.FailedPrecondition || reason(t, err).GetReason() != fleetv1.Reason_REASON_FINISHED {
		t.Errorf("event after the end: %v, want FINISHED", err)
	}
	if _, err := r.send("d2", "system.remove", "", nil); err != nil || r.view("d2") != nil {
		t.Errorf("remove: %v; stored %v", err, r.view("d2"))
	}
}

// TestTimerSurvivesRestart checks that a delayed send fires once, on time,
// though the process was replaced while it waited.
func TestTimerSurvivesRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if err := r.push("door", door); err != nil {
			t.Fatal(err)
		}
		r.open("d1", "")
		asked := time.Now()
		if _, err := r.send("d1", "later", "", nil); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r.start()
		rings := func() int { return strings.Count(r.view("d1").GetDataJson(), "ring") }
		r.eventually("it rings", func() bool { return rings() > 0 })
		if took := time.Since(asked); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("rang after %v, want 3 s", took)
		}
		if _, err := r.send("d1", "knock", "", number("n", 1)); err != nil || rings() != 1 {
			t.Errorf("%d rings, want 1 (%v)", rings(), err)
		}
		_, log := r.store.Instance(session.ShardOf("d1"), "d1")
		if i := slices.IndexFunc(log, func(e *fleetv1.LogEntry) bool { return e.GetOrigin() == "timer" }); i < 0 || log[i].GetEvent() != "ring" {
			t.Errorf("no log entry of the timer in %v", fmt.Sprint(len(log)))
		}
	})
}

// A write that the store finds wrong is not asked for again and again: its shard is
// loaded anew, the request that was in it fails, and the next one is served.
func TestWrongWriteIsNotAskedForForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stop()
	var wrong atomic.Bool
	r.store.Before = func(c *snapshotv1.CommitRequest) error {
		for _, g := range c.GetGroups() {
			if g.GetShard() == session.ShardOf("h1") && wrong.CompareAndSwap(true, false) {
				return status.Error(codes.InvalidArgument, "two groups for one shard")
			}
		}
		return nil
	}
	r.start()
	a := newAgent(t, "h1")
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	disconnect()
	wrong.Store(true)
	if _, err := r.send("web@h1", "system.start", "r1", nil); status.Code(err) != codes.Unavailable {
		t.Errorf("the request in the wrong write: %v, want UNAVAILABLE", err)
	}
	r.eventually("the same request again is served", func() bool {
		_, err := r.send("web@h1", "system.start", "r1", nil)
		return err == nil
	})
}
