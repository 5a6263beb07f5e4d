// SPDX-License-Identifier: AGPL-3.0-or-later

package application_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/internal/application"
	"github.com/chartroom/chartroom/internal/application/contracttest"
	"github.com/chartroom/chartroom/scxml"
)

// patience bounds each wait for something that comes by itself.
const patience = 20 * time.Second

func TestProgramKeepsTheContract(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "chartroom-scxml")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/chartroom/chartroom/cmd/chartroom-scxml")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build chartroom-scxml: %v\n%s", err, out)
	}
	contracttest.Check(t, contracttest.Program{
		Command: []string{binary},
		Event:   "hello", Data: func(n int) any { return map[string]any{"number": n} },
		Comparable: comparable,
	})
}

// comparable opens the session in a snapshot of ours and leaves its time out:
// the same events at another time make the same state.
func comparable(snapshot any) any {
	s, ok := snapshot.(map[string]any)
	if !ok {
		return snapshot
	}
	text, _ := s["session"].(string)
	body, err := base64.StdEncoding.DecodeString(text)
	var session map[string]any
	if err != nil || json.Unmarshal(body, &session) != nil {
		return snapshot
	}
	delete(session, "now")
	return map[string]any{"chart": s["chart"], "ordinal": s["ordinal"], "session": session}
}

// A session that sends out, waits, fails and ends.
const story = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="story" datamodel="ecmascript" initial="a">
  <datamodel><data id="n" expr="0"/></datamodel>
  <state id="a">
    <transition event="add"><assign location="n" expr="n + 1"/>
      <send type="chartroom" event="added"><param name="n" expr="n"/></send></transition>
    <transition event="slow"><send event="waited" delay="60s"/></transition>
    <transition event="soon"><send event="waited" delay="20ms"/></transition>
    <transition event="waited"><assign location="n" expr="n + 100"/></transition>
    <transition event="bad"><assign location="n" expr="nothing.at.all"/></transition>
    <transition event="tell"><log label="n" expr="n"/></transition>
    <transition event="call" target="calling"/>
    <transition event="end" target="done"/>
  </state>
  <state id="calling"><invoke type="docker" id="child" src="x"/>
    <transition event="error.communication" target="a"><log label="refused" expr="_event.invokeid"/></transition></state>
  <final id="done"/>
</scxml>`

func compile(t *testing.T, document string) *scxml.Chart {
	t.Helper()
	parsed, err := scxml.Parse("story.scxml", []byte(document), scxml.Limits{})
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	chart, err := scxml.Compile(parsed, scxml.Options{})
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return chart
}

// runner is an application in this process and the agent's side of it.
type runner struct {
	t      *testing.T
	socket string
	stop   func() error
	conn   net.Conn
	in     *bufio.Scanner
	out    lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, config application.Config) *runner {
	t.Helper()
	dir, err := os.MkdirTemp("", "app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &runner{t: t, socket: filepath.Join(dir, "s")}
	config.Socket, config.Stdout = r.socket, &r.out
	app, err := application.New(config)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = r.stop() })
	r.dial()
	return r
}

func (r *runner) dial() {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		conn, err := net.Dial("unix", r.socket)
		if err == nil {
			r.conn, r.in = conn, bufio.NewScanner(conn)
			r.in.Buffer(nil, 4<<20+1)
			r.t.Cleanup(func() { _ = conn.Close() })
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("dial: %v", err)
		}
	}
}

type line = map[string]any

func (r *runner) send(m line) {
	r.t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.conn.Write(append(b, '\n')); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// next gives the next line, nil at the end of the connection.
func (r *runner) next() line {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	if !r.in.Scan() {
		if err := r.in.Err(); err != nil {
			r.t.Fatalf("read: %v", err)
		}
		return nil
	}
	var m line
	if err := json.Unmarshal(r.in.Bytes(), &m); err != nil {
		r.t.Fatalf("not JSON: %s", r.in.Text())
	}
	return m
}

// until gives all lines up to the first of the type.
func (r *runner) until(kind string) []line {
	r.t.Helper()
	for got := []line(nil); ; {
		m := r.next()
		if m == nil {
			r.t.Fatalf("the connection ended; no %s after %v", kind, got)
		}
		got = append(got, m)
		if m["type"] == kind {
			return got
		}
	}
}

func (r *runner) restore(run string, snapshot any, sequence int) {
	r.t.Helper()
	r.send(line{"type": "restore", "run": run, "snapshot": snapshot, "sequence": sequence})
	r.until("ready")
}

func (r *runner) event(run string, sequence int, name string) []line {
	r.t.Helper()
	r.send(line{"type": "event", "run": run, "sequence": sequence, "name": name, "data": nil})
	return r.until("answer")
}

// kinds are the types of lines, without what a clean start says on its own.
func kinds(lines []line) (out []string) {
	for _, l := range lines {
		out = append(out, l["type"].(string))
	}
	return out
}

func find(lines []line, kind string) line {
	for _, l := range lines {
		if l["type"] == kind {
			return l
		}
	}
	return nil
}

func TestOrderAndOrdinals(t *testing.T) {
	t.Parallel()
	chart := compile(t, story)
	first := start(t, application.Config{Chart: chart})
	first.restore("R1", nil, 0)
	if got := find(first.until("snapshot"), "snapshot"); got["sequence"] != 0.0 {
		t.Errorf("the first snapshot contains %v, want 0", got["sequence"])
	}
	one := first.event("R1", 1, "add")
	if diff := cmp.Diff([]string{"event", "snapshot", "answer"}, kinds(one)); diff != "" {
		t.Errorf("order on the wire (-want +got):\n%s", diff)
	}
	two := first.event("R1", 2, "add")
	want := line{"type": "event", "run": "R1", "ordinal": 2.0, "cause": 2.0, "name": "added", "data": line{"n": 2.0}}
	if diff := cmp.Diff(want, two[0]); diff != "" {
		t.Errorf("what was sent out (-want +got):\n%s", diff)
	}
	// Restored from the snapshot of event 1, the replay of 2 sends the same.
	second := start(t, application.Config{Chart: chart})
	second.restore("R2", find(one, "snapshot")["snapshot"], 1)
	again := second.event("R2", 2, "add")
	want["run"] = "R2"
	if diff := cmp.Diff(want, again[0]); diff != "" {
		t.Errorf("what the replay sent out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(comparable(find(two, "snapshot")["snapshot"]), comparable(find(again, "snapshot")["snapshot"])); diff != "" {
		t.Errorf("state after the replay (-first +replay):\n%s", diff)
	}
	// A repeat is answered and that is all.
	if diff := cmp.Diff([]string{"answer"}, kinds(second.event("R2", 2, "add"))); diff != "" {
		t.Errorf("a repeat (-want +got):\n%s", diff)
	}
}

func TestDelayedSendsSurvive(t *testing.T) {
	t.Parallel()
	chart := compile(t, story)
	r := start(t, application.Config{Chart: chart})
	r.restore("R1", nil, 0)
	r.until("snapshot")
	body := find(r.event("R1", 1, "soon"), "snapshot")["snapshot"]
	// It fires on the clock, and what it changed is in a snapshot of its own.
	if got := find(r.until("snapshot"), "snapshot"); got["sequence"] != 1.0 {
		t.Errorf("the snapshot of the timer contains %v, want 1", got["sequence"])
	}
	r.event("R1", 2, "tell")
	if got, want := r.out.String(), "ready: clean start\nn: 100\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	// Restored before it fired, and late by then: it fires at once, once.
	again := start(t, application.Config{Chart: chart})
	again.restore("R2", body, 1)
	again.until("snapshot")
	again.event("R2", 2, "tell")
	if got, want := again.out.String(), "ready: restored, 1 events contained\nn: 100\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
}

// A delay that the chart wants to begin again does so when it is restored.
func TestDelayedSendsResume(t *testing.T) {
	t.Parallel()
	chart := compile(t, `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0">
  <state id="s"><onentry><send event="kept" delay="3600s"/><send event="again" delay="3600s" cr:resume="restart"/></onentry></state></scxml>`)
	r := start(t, application.Config{Chart: chart})
	r.send(line{"type": "restore", "run": "R1", "snapshot": nil, "sequence": 0})
	saved := find(r.until("snapshot"), "snapshot")["snapshot"]
	again := start(t, application.Config{Chart: chart})
	again.restore("R2", saved, 0)
	again.send(line{"type": "take_snapshot", "run": "R2"})
	before, after := deadlines(t, saved), deadlines(t, find(again.until("snapshot"), "snapshot")["snapshot"])
	if before["kept"] != after["kept"] || before["again"] >= after["again"] {
		t.Errorf("deadlines were %v and are %v, want the same for kept and a later one for again", before, after)
	}
}

// deadlines gives the delayed sends in a snapshot of ours, by event.
func deadlines(t *testing.T, snapshot any) map[string]string {
	t.Helper()
	text, _ := snapshot.(line)["session"].(string)
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	var session struct {
		Pending []struct {
			Due   string
			Event struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &session); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range session.Pending {
		out[d.Event.Name] = d.Due
	}
	return out
}

// What would not survive is refused, and said to the chart: nothing comes out.
func TestWhatAnApplicationCannotDo(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="s"><invoke id="loaded" src="other.scxml"/>
    <transition event="http"><send id="h" type="basichttp" target="http://localhost/" event="x"/></transition>
    <transition event="child"><send id="c" target="#_loaded" event="x"/></transition>
    <transition event="error.communication"><log label="refused" expr="(_event.invokeid || _event.sendid) + ': ' + _event.data.reason"/></transition>
  </state></scxml>`)})
	r.restore("R1", nil, 0)
	r.until("snapshot")
	for i, name := range []string{"http", "child"} {
		if got := kinds(r.event("R1", i+1, name)); !cmp.Equal(got, []string{"snapshot", "answer"}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	want := `ready: clean start
refused: loaded: invoke loaded: loading is not allowed
refused: h: send to "http://localhost/": nobody can be reached there
refused: c: send to "#_loaded": there is no such session
`
	if got := r.out.String(); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
}

// Invoked sessions are in the snapshot: they go on with their data, their delays and
// their own invocations, and what they send out is numbered as ever.
func TestInvokedSessionsSurvive(t *testing.T) {
	t.Parallel()
	chart := compile(t, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="s"><invoke id="child" autoforward="true"><param name="by" expr="10"/><content><scxml version="1.0" datamodel="ecmascript">
      <datamodel><data id="by"/><data id="n" expr="0"/></datamodel>
      <state id="t">
        <invoke id="grandchild"><content><scxml version="1.0"><state id="u"><transition event="end" target="f"/></state><final id="f"/></scxml></content></invoke>
        <transition event="add"><assign location="n" expr="n + by"/><send type="chartroom" event="sum"><param name="n" expr="n"/></send></transition>
        <transition event="end"><send target="#_grandchild" event="end"/></transition>
        <transition event="done.invoke.grandchild" target="g"/></state>
      <final id="g"><donedata><content expr="n"/></donedata></final></scxml></content></invoke>
    <transition event="done.invoke.child"><send type="chartroom" event="total"><param name="n" expr="_event.data"/></send></transition>
  </state></scxml>`)
	r := start(t, application.Config{Chart: chart})
	r.restore("R1", nil, 0)
	r.until("snapshot")
	told := func(got []line) string {
		e := find(got, "event")
		return fmt.Sprint(e["ordinal"], " ", e["cause"], " ", e["name"], " ", e["data"])
	}
	first := r.event("R1", 1, "add")
	if got, want := told(first), "1 1 sum map[n:10]"; got != want {
		t.Errorf("the child sends %s, want %s", got, want)
	}
	saved := find(first, "snapshot")["snapshot"]
	again := start(t, application.Config{Chart: chart})
	again.restore("R2", saved, 1)
	for i, want := range []string{"2 2 sum map[n:20]", "3 3 sum map[n:30]"} {
		if got := told(again.event("R2", i+2, "add")); got != want {
			t.Errorf("the restored child sends %s, want %s", got, want)
		}
	}
	if got, want := told(again.event("R2", 4, "end")), "4 4 total map[n:30]"; got != want {
		t.Errorf("the parent sends %s, want %s", got, want)
	}
	// A snapshot whose sessions do not belong together is refused.
	broken := saved.(line)
	broken["invoked"].([]any)[0].(line)["parent"] = "nobody"
	other := start(t, application.Config{Chart: chart})
	other.send(line{"type": "restore", "run": "R3", "snapshot": broken, "sequence": 1})
	if got := find(other.until("error"), "error")["message"]; !strings.Contains(fmt.Sprint(got), "there is no session nobody") {
		t.Errorf("a broken snapshot: %v", got)
	}
}

func TestFaultsAreSaidAndSurvived(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, story)})
	for _, test := range []struct {
		name, send, want string
	}{
		{"before restore", `{"type":"event","run":"R1","sequence":1,"name":"add"}`, "event came before restore"},
		{"not JSON", `hello`, "not a message"},
	} {
		if _, err := io.WriteString(r.conn, test.send+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := find(r.until("error"), "error")["message"].(string); !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q in it", test.name, got, test.want)
		}
	}
	r.restore("R1", nil, 0)
	r.until("snapshot")
	r.send(line{"type": "event", "run": "R0", "sequence": 1, "name": "add"})
	if got := find(r.until("error"), "error")["message"]; got != "event is for the run R0, this is R1" {
		t.Errorf("event of another run: %q", got)
	}
	// A later version of the contract may say more.
	r.send(line{"type": "something_new", "run": "R1"})
	if got := kinds(r.event("R1", 1, "bad")); !cmp.Equal(got, []string{"error", "snapshot", "answer"}) {
		t.Errorf("a fault of the chart: got %v", got)
	}
	r.event("R1", 2, "call")
	r.event("R1", 3, "tell")
	if got, want := r.out.String(), "refused: child\nn: 0\n"; !strings.HasSuffix(got, want) {
		t.Errorf("stdout %q, want it to end in %q", got, want)
	}
}

func TestEndOfTheChartEndsTheProgram(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, story)})
	r.restore("R1", nil, 0)
	r.until("snapshot")
	if got := kinds(r.event("R1", 1, "end")); !cmp.Equal(got, []string{"snapshot", "answer"}) {
		t.Errorf("the last event: got %v", got)
	}
	if m := r.next(); m != nil {
		t.Errorf("after the end: %v", m)
	}
	if err := r.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestStopSendsTheLastState(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, story), Policy: application.PolicyManual})
	r.restore("R1", nil, 0)
	if got := kinds(r.event("R1", 1, "add")); !cmp.Equal(got, []string{"event", "answer"}) {
		t.Errorf("policy manual: got %v", got)
	}
	go func() { _ = r.stop() }()
	if got := find(r.until("snapshot"), "snapshot"); got["sequence"] != 1.0 {
		t.Errorf("the last snapshot contains %v, want 1", got["sequence"])
	}
	if err := r.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := os.Stat(r.socket); err == nil {
		t.Error("the socket is still there")
	}
}

func TestBadSnapshotEndsTheProgram(t *testing.T) {
	t.Parallel()
	for name, snapshot := range map[string]any{
		"foreign":       line{"total": 7},
		"other chart":   line{"chart": "sha256:00", "session": ""},
		"not a session": line{"chart": compile(t, story).Digest(), "session": "AAAA"},
	} {
		r := start(t, application.Config{Chart: compile(t, story)})
		r.send(line{"type": "restore", "run": "R1", "snapshot": snapshot, "sequence": 3})
		if got := find(r.until("error"), "error"); got == nil {
			t.Errorf("%s: no error said", name)
		}
		if r.next() != nil {
			t.Errorf("%s: it goes on", name)
		}
		if err := r.stop(); err == nil || !strings.Contains(err.Error(), "restore") {
			t.Errorf("%s: run ended with %v, want an error about restore", name, err)
		}
	}
}

func TestSocketOfAnotherIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, story)})
	second, err := application.New(application.Config{Chart: compile(t, story), Socket: r.socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another program serves it") {
		t.Errorf("got %v", err)
	}
}
