// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// codes are those of the findings as readers see them.
func (b *bench) codes() []string {
	var out []string
	for _, f := range b.i.render().GetFindings() {
		out = append(out, f.GetCode())
	}
	return out
}

// A snapshot that could not be taken is a finding until one is kept, and nothing
// that was accepted is let go because of it.
func TestRefusedSnapshot(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	run := timestamppb.New(b.i.view.GetTarget().GetStartedTime().AsTime())
	dumped := func(sha string, contained uint64) func(*agentv1.Observation) {
		return func(o *agentv1.Observation) {
			o.Snapshot = &agentv1.Snapshot{Sha256: sha, Inline: []byte(sha), ContainedSequence: contained, RunTime: run}
		}
	}
	for range 2 {
		b.do(func(t *turn) { t.enqueue("x", nil, ""); t.settleHead() })
	}
	b.say("app.snapshot", `{"sequence":1}`, dumped("a", 1))
	b.say("app.answer", `{"sequence":1}`)
	out := b.say("app.refused", `{"code":"snapshot.too-large","message":"its snapshot of 5.2 MiB is larger than the 4 MiB that a message may have"}`)
	if len(out.GetLog()) != 1 || out.GetLog()[0].GetSeverity() != fleetv1.Severity_SEVERITY_ERROR {
		t.Errorf("log %v, want one error", out.GetLog())
	}
	b.say("app.answer", `{"sequence":2}`)
	if q := b.i.render().GetQueue(); q.GetContainedSequence() != 1 || !b.queue[2] {
		t.Errorf("contained %d, stored %v; want 1, with event 2 kept", q.GetContainedSequence(), b.queue)
	}
	f := b.i.render().GetFindings()
	if len(f) != 1 || f[0].GetCode() != "snapshot.too-large" || !strings.HasSuffix(f[0].GetMessage(), "may have; the newest that is kept is #1") || f[0].GetFix() == "" {
		t.Fatalf("findings %v", f)
	}
	if why := b.i.render().GetWhy(); !strings.Contains(why, "after a crash it would start from snapshot #1") {
		t.Errorf("why: %s", why)
	}

	// It is in the record, so another owner shows it, too.
	i := b.i.record()
	b.say("app.refused", `{"code":"snapshot.too-large","message":"again"}`)
	if diff := cmp.Diff([]string{"snapshot.too-large"}, b.codes()); diff != "" || !strings.Contains(string(i.GetRuntimeState()), "5.2 MiB") {
		t.Errorf("findings (-want +got):\n%s\n%s", diff, i.GetRuntimeState())
	}
	b.say("app.snapshot", `{"sequence":2}`, dumped("b", 2))
	if codes := b.codes(); codes != nil {
		t.Errorf("findings after a snapshot was kept: %v", codes)
	}
}

// A file that is not there is a finding until it has been read.
func TestFailedSnapshot(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.i.view.Target.Channel = "file:/data/none.json"
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	for range 2 {
		b.say("error.docker.take_snapshot", `{"status":404,"message":"there is no file /data/none.json"}`)
	}
	f := b.i.render().GetFindings()
	if want := "no snapshot could be taken: there is no file /data/none.json; none is kept, so it would come back without its state"; len(f) != 1 || f[0].GetMessage() != want || f[0].GetFix() == "" {
		t.Fatalf("findings %v, want %q", f, want)
	}
	b.say("app.snapshot", `{}`, func(o *agentv1.Observation) {
		o.Snapshot = &agentv1.Snapshot{Sha256: "a", Inline: []byte("a"), RunTime: timestamppb.New(b.i.view.GetTarget().GetStartedTime().AsTime())}
	})
	if codes := b.codes(); codes != nil {
		t.Errorf("findings after the file was read: %v", codes)
	}
}

// What is wrong with a message is a finding until the next run; none outlives its container.
func TestRefusedMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.refused", `{"code":"message.unknown","message":"it says what is no message"}`)
	b.say("app.refused", `{"code":"snapshot.no-room","message":"its snapshot finds no room"}`)
	if diff := cmp.Diff([]string{"message.unknown", "snapshot.no-room"}, b.codes()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	b.say("docker.die", `{"startedAt":"2026-01-02T00:00:00Z","exitCode":1}`)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:01Z"}`)
	if diff := cmp.Diff([]string{"snapshot.no-room"}, b.codes()); diff != "" {
		t.Errorf("findings of the next run (-want +got):\n%s", diff)
	}
	b.say("docker.destroy", `{}`)
	if codes := b.codes(); codes != nil {
		t.Errorf("findings of a container that is gone: %v", codes)
	}
}

// That a run is not ready yet is a warning until one is, also when it has ended, and
// changes nothing of what the chart says.
func TestUnready(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	const data = `{"message":"nobody listens: dial /run/chartroom/web.sock"}`
	begin := func(at string) {
		b.i.view.Target.Channel = "socket"
		b.say("docker.start", `{"startedAt":"`+at+`"}`)
	}
	begin("2026-01-02T00:00:00Z")
	why := b.i.render().GetWhy()
	log := b.say("app.unready", data).GetLog()
	if len(log) != 1 || log[0].GetSeverity() != fleetv1.Severity_SEVERITY_WARNING || log[0].GetSummary() != "Not ready yet: nobody listens: dial /run/chartroom/web.sock." {
		t.Errorf("log %v", log)
	}
	if now := b.i.render().GetWhy(); now != why {
		t.Errorf("it was %q and is %q", why, now)
	}
	f := b.i.render().GetFindings()
	if len(f) != 1 || f[0].GetCode() != "start.unready" || f[0].GetSeverity() != fleetv1.Severity_SEVERITY_WARNING ||
		f[0].GetMessage() != "the application is not ready: nobody listens: dial /run/chartroom/web.sock" || f[0].GetFix() == "" {
		t.Fatalf("findings %v", f)
	}
	b.say("docker.die", `{"startedAt":"2026-01-02T00:00:00Z","exitCode":1}`)
	begin("2026-01-02T00:00:01Z")
	if diff := cmp.Diff([]string{"start.unready"}, b.codes()); diff != "" {
		t.Errorf("findings of the next run (-want +got):\n%s", diff)
	}
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	if late := b.say("app.unready", data).GetLog(); len(late) != 1 || late[0].GetSeverity() != fleetv1.Severity_SEVERITY_INFO {
		t.Errorf("the log of one that is ready: %v", late)
	}
	if codes := b.codes(); codes != nil {
		t.Errorf("findings of one that is ready: %v", codes)
	}
	b.say("docker.die", `{"startedAt":"2026-01-02T00:00:01Z","exitCode":1}`)
	begin("2026-01-02T00:00:02Z")
	b.say("app.unready", data)
	b.i.view.Target.Channel = "none"
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:03Z"}`)
	if codes := b.codes(); codes != nil {
		t.Errorf("findings of one without a channel: %v", codes)
	}
}
