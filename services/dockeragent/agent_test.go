// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// appSpec are the arguments of a create of the simulated application.
func appSpec(name string) map[string]any {
	return map[string]any{
		"image": "app:1", "environment": []string{"CHARTROOM_SOCKET=/run/chartroom/" + name + ".sock"},
		"mounts": []string{"chartroom-run:/run/chartroom"},
	}
}

// created makes a container by a command and returns its id.
func created(c *centre, name string, spec map[string]any) string {
	c.t.Helper()
	c.done(c.command(name, "", "create", spec))
	return c.find(name, "docker.create", 1).GetContainerId()
}

func deliver(sequence uint64, name, startedAt string) func(*agentv1.Command) {
	return func(m *agentv1.Command) {
		m.Delivery = &agentv1.Delivery{Sequence: sequence, Name: name, DataJson: []byte(`{"n":1}`)}
		m.RunTime = runTime(startedAt)
	}
}

// TestCrashAndRestore is the main job, seen from the agent: create, start,
// events, death with its evidence, start from the last snapshot, replay.
func TestCrashAndRestore(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	target := c.find("web", "docker.create", 1).GetTarget()
	if !target.GetManaged() || target.GetChannel() != "socket" || len(target.GetFindings()) != 0 {
		t.Fatalf("target: %v", target)
	}
	first := c.command("web", id, "start", nil)
	c.done(first)
	began := c.find("web", "docker.start", 1)
	if field(began, "commandId") != first || began.GetCommandId() != first {
		t.Errorf("docker.start: %s, want it caused by %s", began.GetDataJson(), first)
	}
	ready := c.find("web", "app.ready", 1)
	if field(ready, "run") != field(began, "startedAt") || field(ready, "sequence") != 0.0 || field(ready, "snapshot") != 0.0 {
		t.Errorf("app.ready: %s", ready.GetDataJson())
	}
	run1 := field(began, "startedAt").(string)
	for n := range uint64(3) {
		id := c.command("web", id, "deliver", nil, deliver(n+1, fmt.Sprintf("e%d", n+1), run1))
		c.done(id)
		if a := c.find("web", "app.answer", int(n)+1); field(a, "sequence") != float64(n+1) || a.GetCommandId() != id {
			t.Errorf("app.answer: %s of %s", a.GetDataJson(), a.GetCommandId())
		}
	}
	snapshot := c.find("web", "app.snapshot", 3).GetSnapshot()
	if snapshot.GetContainedSequence() != 3 || !snapshot.GetRunTime().AsTime().Equal(runTime(run1).AsTime()) {
		t.Errorf("snapshot: %v", snapshot)
	}
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	die := c.find("web", "docker.die", 1)
	evidence, _ := field(die, "evidence").(map[string]any)
	if field(die, "exitCode") != 137.0 || evidence["hostSignal"] != true || evidence["stopEvent"] != false || evidence["command"] != "" {
		t.Errorf("docker.die: %s", die.GetDataJson())
	}
	c.done(c.command("web", id, "start", map[string]any{"snapshot": 3}, func(m *agentv1.Command) { m.Snapshot = snapshot }))
	ready = c.find("web", "app.ready", 2)
	if field(ready, "sequence") != 3.0 || field(ready, "snapshot") != 3.0 {
		t.Errorf("app.ready after the restore: %s", ready.GetDataJson())
	}
	if s, _ := f.AppState(id); s.Count != 3 {
		t.Errorf("state after the restore: %+v", s)
	}
	// A late delivery for the run before is refused.
	if o := c.outcome(c.command("web", id, "deliver", nil, deliver(4, "e4", run1))); o.GetEvent() != "error.outcome_stale.deliver" {
		t.Errorf("delivery for another run: %s", o.GetEvent())
	}
	// app.ready never comes before docker.start of its run, docker.die after all the run said.
	events := c.events("web")
	for i, e := range events {
		if e == "app.ready" && !slices.Contains(events[:i], "docker.start") {
			t.Errorf("order: %v", events)
		}
	}
}

// TestRepeatedCommandActsOnce is law 4: it sends every command again, with every stream.
func TestRepeatedCommandActsOnce(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	start := c.command("web", id, "start", nil)
	c.done(start)
	c.find("web", "app.ready", 1)
	again := func(command string) {
		c.mu.Lock()
		row := &agentv1.Command{CommandId: command, Fence: c.fence, Instance: "web", ContainerId: id, Verb: "start"}
		c.mu.Unlock()
		c.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Command{Command: row}})
	}
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	c.find("web", "docker.die", 1)
	// It is answered each time, unless the answer before is still on its way …
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for outcomes := 0; outcomes < 4; <-tick.C {
		again(start)
		outcomes = 0
		for _, e := range c.events("web") {
			if e == "done.command.start" {
				outcomes++
			}
		}
	}
	// … and carried out once.
	if n := strings.Count(strings.Join(f.Calls(), "\n"), "start "); n != 1 {
		t.Errorf("the engine was called %d times: %v", n, f.Calls())
	}
	if s := c.events("web"); slices.Index(s, "docker.start") != lastIndex(s, "docker.start") {
		t.Errorf("started again: %v", s)
	}
}

func lastIndex(s []string, v string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			return i
		}
	}
	return -1
}

// TestUnmanagedIsNeverTouched is law 9.
func TestUnmanagedIsNeverTouched(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	id, err := f.Create(t.Context(), engine.Spec{Name: "other", Image: "x:1"})
	if err != nil {
		t.Fatal(err)
	}
	start(t, c, t.TempDir(), f)
	c.find("other", "docker.create", 1)
	before := len(f.Calls())
	for _, verb := range []string{"start", "stop", "kill", "pause", "remove"} {
		if o := c.outcome(c.command("other", id, verb, nil)); o.GetEvent() != "error.docker."+verb || field(o, "status") != 403.0 {
			t.Errorf("%s: %s %s", verb, o.GetEvent(), o.GetDataJson())
		}
	}
	if calls := f.Calls(); len(calls) != before {
		t.Errorf("the engine was called: %v", calls[before:])
	}
}

// TestAgentComesBack: what happened while the agent was away is told, what it told
// before is not, and a running application is resumed, not restored.
func TestAgentComesBack(t *testing.T) {
	t.Parallel()
	c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
	stop := start(t, c, state, f)
	web, dies := created(c, "web", appSpec("web")), created(c, "dies", appSpec("dies"))
	c.done(c.command("web", web, "start", nil))
	c.done(c.command("dies", dies, "start", nil))
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.find("web", "app.ready", 1)
	c.find("dies", "app.ready", 1)
	c.done(c.command("web", web, "deliver", nil, deliver(1, "e1", run1)))
	c.find("web", "app.answer", 1)
	stop()
	if err := f.HostKill(dies); err != nil {
		t.Fatal(err)
	}
	f.SetDown(true) // The ring is gone, as after a restart of the engine.
	f.SetDown(false)
	start(t, c, state, f)
	if die := c.find("dies", "docker.die", 1); !die.GetInferred() || field(die, "exitCode") != 137.0 {
		t.Errorf("docker.die: inferred %t, %s", die.GetInferred(), die.GetDataJson())
	}
	ready := c.find("web", "app.ready", 2)
	if field(ready, "resumed") != true || field(ready, "sequence") != 1.0 {
		t.Errorf("app.ready: %s, want a resume with cursor 1", ready.GetDataJson())
	}
	c.done(c.command("web", web, "deliver", nil, deliver(2, "e2", run1)))
	c.find("web", "app.answer", 2)
	if s, _ := f.AppState(web); s.Count != 2 {
		t.Errorf("state: %+v", s)
	}
	c.find("", "agent.gap", 1)
	for _, e := range []string{"docker.create", "docker.start"} {
		if s := c.events("web"); slices.Index(s, e) != lastIndex(s, e) {
			t.Errorf("%s was told again: %v", e, s)
		}
	}
}

// TestEngineShutsDown: what the engine stopped because it shut down is told so, what
// a person stopped before is not.
func TestEngineShutsDown(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	web, quits := created(c, "web", appSpec("web")), created(c, "quits", appSpec("quits"))
	for name, id := range map[string]string{"web": web, "quits": quits} {
		c.done(c.command(name, id, "start", nil))
		c.find(name, "app.ready", 1)
	}
	shutdown := func(name string) any {
		e, _ := field(c.find(name, "docker.die", 1), "evidence").(map[string]any)
		return e["engineShutdown"]
	}
	if err := f.Stop(t.Context(), quits, time.Second); err != nil {
		t.Fatal(err)
	}
	if got := shutdown("quits"); got != false {
		t.Errorf("stopped by a person: engineShutdown %v", got)
	}
	f.BeginShutdown()
	c.find("web", "docker.kill", 1)
	f.SetDown(true)
	f.SetDown(false)
	if got := shutdown("web"); got != true {
		t.Errorf("stopped by the engine: engineShutdown %v", got)
	}
	c.find("web", "docker.stop", 1)
	c.done(c.command("web", web, "start", nil))
	c.find("web", "app.ready", 2)
}

// TestEngineReplaced: another engine at the address is said in a new hello, at once
// and after a restart of the agent, and the containers of the old one are not
// told as destroyed.
func TestEngineReplaced(t *testing.T) {
	t.Parallel()
	c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
	stop := start(t, c, state, f)
	c.done(c.command("web", created(c, "web", appSpec("web")), "start", nil))
	engines := map[string]bool{}
	c.until("the first engine is named", func() bool {
		engines[c.hello.GetEngine().GetEngineId()] = true
		return true
	})
	replaced := func(name string) {
		t.Helper()
		before := len(engines)
		c.until("another engine is named, and why the containers are not there", func() bool {
			engines[c.hello.GetEngine().GetEngineId()] = true
			gaps := 0
			for _, o := range c.got {
				if o.GetEvent() == "agent.gap" && field(o, "reason") == "another engine answers at this address" {
					gaps++
				}
			}
			return len(engines) > before && gaps == before
		})
		if slices.Contains(c.events(name), "docker.destroy") {
			t.Errorf("%s: %v", name, c.events(name))
		}
	}
	f.Replace()
	replaced("web")
	created(c, "other", appSpec("other"))
	stop()
	f.Replace()
	start(t, c, state, f)
	replaced("other")
}

// TestEngineAway: that the engine does not answer is said at once, and that it does again.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	created(c, "web", appSpec("web"))
	for _, down := range []bool{true, false} {
		f.SetDown(down)
		c.until(fmt.Sprintf("a heartbeat that says down: %v", down), func() bool { return c.beat != nil && c.beat.GetEngineReachable() == !down })
	}
}

// TestStaleOwner is law 5.
func TestStaleOwner(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	c.fence = &agentv1.Fence{Epoch: 5, Nonce: "right"}
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	for _, stale := range []*agentv1.Fence{{Epoch: 4, Nonce: "old"}, {Epoch: 5, Nonce: "other"}} {
		c.command("web", id, "start", nil, func(m *agentv1.Command) { m.Fence = stale })
	}
	c.done(c.command("web", id, "pause", nil, func(m *agentv1.Command) { m.Verb = "remove" }))
	for _, call := range f.Calls() {
		if strings.HasPrefix(call, "start") {
			t.Errorf("a stale owner's command was carried out: %v", f.Calls())
		}
	}
}

// TestLargeSnapshot goes by way of the disk and PutBlob, and comes back by GetBlob.
func TestLargeSnapshot(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.find("web", "app.ready", 1)
	big := strings.Repeat("x", 100_000)
	c.done(c.command("web", id, "deliver", nil, deliver(1, big, run1)))
	s := c.find("web", "app.snapshot", 1).GetSnapshot()
	if len(s.GetInline()) != 0 || s.GetSizeBytes() < 100_000 {
		t.Fatalf("snapshot: %d bytes inline of %d", len(s.GetInline()), s.GetSizeBytes())
	}
	c.find("web", "app.answer", 1)
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	c.find("web", "docker.die", 1)
	c.done(c.command("web", id, "start", map[string]any{"snapshot": 1}, func(m *agentv1.Command) { m.Snapshot = s }))
	c.find("web", "app.ready", 2)
	if st, _ := f.AppState(id); st.Count != 1 {
		t.Errorf("state after the restore: %d events", st.Count)
	}
}

// TestFileChannel: the file is copied out when the container dies, before its
// death is told, and copied in before it starts.
func TestFileChannel(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	spec := map[string]any{"image": "bot:1", "command": []string{"run"}, "labels": map[string]string{"chartroom.snapshot": "file:/data/state.json"}}
	id := created(c, "bot", spec)
	c.done(c.command("bot", id, "start", nil))
	c.find("bot", "docker.start", 1)
	c.find("bot", "app.ready", 1)
	if err := f.WriteFile(id, "/data/state.json", []byte("57")); err != nil {
		t.Fatal(err)
	}
	c.done(c.command("bot", id, "take_snapshot", nil))
	c.find("bot", "app.snapshot", 1)
	if err := f.WriteFile(id, "/data/state.json", []byte("58")); err != nil {
		t.Fatal(err)
	}
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	c.find("bot", "docker.die", 1)
	s := c.find("bot", "app.snapshot", 2)
	events := c.events("bot")
	if string(s.GetSnapshot().GetInline()) != "58" || slices.Index(events, "docker.die") < lastIndex(events, "app.snapshot") {
		t.Errorf("snapshot %q, events %v", s.GetSnapshot().GetInline(), events)
	}
	if err := f.WriteFile(id, "/data/state.json", []byte("spoilt")); err != nil {
		t.Fatal(err)
	}
	c.done(c.command("bot", id, "start", map[string]any{"snapshot": 2}, func(m *agentv1.Command) { m.Snapshot = s.GetSnapshot() }))
	if r := c.find("bot", "app.ready", 2); field(r, "snapshot") != 2.0 {
		t.Errorf("app.ready: %s", r.GetDataJson())
	}
	if got := f.ReadFile(id, "/data/state.json"); string(got) != "58" {
		t.Errorf("the file: %q, want 58", got)
	}
}

// hugeFile is an engine whose containers have but one, very large file.
type hugeFile struct{ *engine.Fake }

// CopyFrom implements engine.Engine.
func (hugeFile) CopyFrom(context.Context, string, string) (io.ReadCloser, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "state.json", Typeflag: tar.TypeReg, Size: 70 << 20})
	return io.NopCloser(&b), err
}

// A file that is too large is told, with the state of the command: it was carried out.
func TestFileTooLarge(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), hugeFile{f})
	spec := map[string]any{"image": "bot:1", "command": []string{"run"}, "labels": map[string]string{"chartroom.snapshot": "file:/data/state.json"}}
	id := created(c, "bot", spec)
	c.done(c.command("bot", id, "start", nil))
	c.find("bot", "app.ready", 1)
	c.done(c.command("bot", id, "take_snapshot", nil))
	o := c.find("bot", "app.refused", 1)
	if field(o, "code") != "snapshot.too-large" || field(o, "message") != "its snapshot of 70.0 MiB is larger than the 64 MiB that a file may have" {
		t.Errorf("app.refused: %s", o.GetDataJson())
	}
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	c.find("bot", "docker.die", 1)
	if events := c.events("bot"); slices.Index(events, "docker.die") < lastIndex(events, "app.refused") || slices.Contains(events, "app.snapshot") {
		t.Errorf("events %v", events)
	}
}

// A body for which the spool has no room is told as one.
func TestNoRoomForASnapshot(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f, func(conf *Config) { conf.SpoolBytes = 20 << 10 })
	id := created(c, "bot", map[string]any{"image": "bot:1", "command": []string{"run"}, "labels": map[string]string{"chartroom.snapshot": "file:/state"}})
	c.done(c.command("bot", id, "start", nil))
	c.find("bot", "app.ready", 1)
	if err := f.WriteFile(id, "/state", make([]byte, 30<<10)); err != nil {
		t.Fatal(err)
	}
	c.done(c.command("bot", id, "take_snapshot", nil))
	if o := c.find("bot", "app.refused", 1); field(o, "code") != "snapshot.no-room" || !strings.Contains(fmt.Sprint(field(o, "message")), "the limit is 20480") {
		t.Errorf("app.refused: %s", o.GetDataJson())
	}
}

// TestForeignStart: a run that somebody else started waits for restore.
func TestForeignStart(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	o := c.find("web", "docker.start", 1)
	if o.GetCommandId() != "" {
		t.Errorf("docker.start is said to be ours: %s", o.GetDataJson())
	}
	c.done(c.command("web", id, "restore", map[string]any{"snapshot": 7}, func(m *agentv1.Command) {
		m.RunTime = runTime(field(o, "startedAt").(string))
		m.Snapshot = &agentv1.Snapshot{Inline: []byte(`{"count":5,"list":[]}`), SizeBytes: 21, ContainedSequence: 5}
	}))
	if r := c.find("web", "app.ready", 1); field(r, "sequence") != 5.0 || field(r, "snapshot") != 7.0 {
		t.Errorf("app.ready: %s", r.GetDataJson())
	}
}

// TestEngineRefusal is data for the chart.
func TestEngineRefusal(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	o := c.outcome(c.command("web", id, "pause", nil))
	if o.GetEvent() != "error.docker.pause" || field(o, "status") != 409.0 || !strings.Contains(field(o, "message").(string), "is not running") {
		t.Errorf("%s %s", o.GetEvent(), o.GetDataJson())
	}
}

// TestStreamBreaks: nothing is lost or doubled when the stream breaks again and again.
func TestStreamBreaks(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.find("web", "app.ready", 1)
	for n := range uint64(10) {
		c.command("web", id, "deliver", nil, deliver(n+1, "e", run1))
		c.mu.Lock()
		c.cut()
		c.mu.Unlock()
		c.until("the answer", func() bool {
			for _, o := range c.got {
				if o.GetEvent() == "app.answer" && field(o, "sequence") == float64(n+1) {
					return true
				}
			}
			return false
		})
	}
	if s, _ := f.AppState(id); s.Count != 10 {
		t.Errorf("state: %+v", s)
	}
}

// TestRelist: a server that has lost what it was told hears of everything again.
func TestRelist(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	created(c, "web", appSpec("web"))
	c.find("web", "docker.inspect", 1)
	n := len(c.events("web"))
	c.mu.Lock()
	c.relist = true
	c.cut()
	c.mu.Unlock()
	c.find("", "host.relisted", 1)
	if events := c.events("web"); len(events) <= n || events[len(events)-1] != "docker.inspect" {
		t.Errorf("events: %v", events)
	}
	var last *agentv1.Observation
	c.mu.Lock()
	for _, o := range c.got {
		if o.GetEvent() == "docker.inspect" {
			last = o
		}
	}
	c.mu.Unlock()
	if last.GetTarget() == nil {
		t.Error("the target was not told again")
	}
}

func TestPipes(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	run1 := field(c.find("web", "docker.start", 1), "startedAt").(string)
	c.find("web", "app.ready", 1)
	c.done(c.command("web", id, "deliver", nil, deliver(1, "hello", run1)))
	c.find("web", "app.answer", 1)
	logs := c.open("p1", agentv1.PipeKind_PIPE_KIND_LOGS)
	c.until("the log line", func() bool { return strings.Contains(logs.out.String(), "processed 1 hello") })
	attach := c.open("p2", agentv1.PipeKind_PIPE_KIND_ATTACH)
	attach.input <- &agentv1.PipeResponse{Data: []byte("typed\n")}
	c.until("the echo", func() bool { return strings.Contains(attach.out.String(), "typed") })
	if err := f.HostKill(id); err != nil {
		t.Fatal(err)
	}
	<-logs.done
	<-attach.done
}

// Whoever asks for a pipe too many is told so, however many ask at once; they were
// told that the agent is away.
func TestPipesTooManyAreToldSo(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	run := field(c.find("web", "app.ready", 1), "run").(string)
	c.done(c.command("web", id, "deliver", nil, deliver(1, "hello", run)))
	c.find("web", "app.answer", 1)
	for n := range 64 {
		p := c.open(fmt.Sprint("open", n), agentv1.PipeKind_PIPE_KIND_LOGS)
		c.until("the log line", func() bool { return p.out.Len() > 0 })
	}
	var refused []*pipeEnd
	for n := range 64 {
		refused = append(refused, c.open(fmt.Sprint("refused", n), agentv1.PipeKind_PIPE_KIND_LOGS))
	}
	for _, p := range refused {
		c.until("the refusal", func() bool { return strings.Contains(p.err, "too many pipes") })
	}
}

// A server that has lost what it knew is told how far the application is, before
// it takes everything for told: what it accepts is numbered after that.
func TestRelistTellsTheCursor(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	c.done(c.command("web", id, "start", nil))
	run := field(c.find("web", "app.ready", 1), "run").(string)
	for n := range uint64(3) {
		c.done(c.command("web", id, "deliver", nil, deliver(n+1, "e", run)))
	}
	c.find("web", "app.answer", 3)
	c.mu.Lock()
	c.relist = true
	c.cut()
	c.mu.Unlock()
	end := c.find("", "host.relisted", 1)
	cursor := c.find("web", "app.cursor", 1)
	if field(cursor, "sequence") != 3.0 || field(cursor, "run") != run || cursor.GetSequence() > end.GetSequence() {
		t.Errorf("app.cursor %d: %s, host.relisted is %d", cursor.GetSequence(), cursor.GetDataJson(), end.GetSequence())
	}
}
