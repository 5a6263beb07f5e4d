// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// socket is a client of the WebSocket.
type socket struct {
	*websocket.Conn
}

func (r *rig) socket(t testing.TB) *socket { return r.socketAt(t, "/v1/stream") }

func (r *rig) socketAt(t testing.TB, path string) *socket {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), "ws://"+r.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{conn}
}

func (s *socket) say(t testing.TB, message string) {
	t.Helper()
	if err := s.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// frame reads a frame that says something.
func (s *socket) frame(t testing.TB) string {
	t.Helper()
	for {
		if text := s.next(t); text != alive {
			return text
		}
	}
}

// alive is the frame that only says that the connection is.
const alive = "{}"

// next reads a frame.
func (s *socket) next(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	_, b, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// change reads a frame of a watch.
func (s *socket) change(t testing.TB) *fleetv1.WatchResponse {
	t.Helper()
	text := s.frame(t)
	r := &fleetv1.WatchResponse{}
	if err := protojson.Unmarshal([]byte(text), r); err != nil {
		t.Fatalf("frame %s: %v", text, err)
	}
	return r
}

// until reads changes up to one, which it returns, in words.
func (s *socket) until(t testing.TB, last string) (words []string, token string) {
	t.Helper()
	for {
		c := s.change(t)
		if c.GetToken() != "" {
			token = c.GetToken()
		}
		words = append(words, word(c))
		if word(c) == last {
			return words, token
		}
	}
}

func word(c *fleetv1.WatchResponse) string {
	switch c := c.GetChange().(type) {
	case *fleetv1.WatchResponse_Instance:
		return "instance " + c.Instance.GetInstanceId()
	case *fleetv1.WatchResponse_RemovedInstanceId:
		return "removed " + c.RemovedInstanceId
	case *fleetv1.WatchResponse_Host:
		return "host " + c.Host.GetHostId()
	case *fleetv1.WatchResponse_Log:
		return fmt.Sprintf("log %s %d", c.Log.GetInstanceId(), c.Log.GetSequence())
	case *fleetv1.WatchResponse_Chart:
		return "chart " + c.Chart.GetName()
	case *fleetv1.WatchResponse_Synced:
		return "synced"
	case *fleetv1.WatchResponse_Reset_:
		return "reset"
	default:
		return "nothing"
	}
}

// TestSocketResumes: a client that comes back with its token is told what
// changed since and nothing else; a token of another process is reset.
func TestSocketResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.socket(t)
	s.say(t, `{"watch":{}}`)
	words, token := s.until(t, "synced")
	want := []string{"host h1", "instance bot0@h1", "instance bot1@h1", "instance bot2@h1", "synced"}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("first list (-want +got):\n%s", diff)
	}
	_ = s.CloseNow()

	r.store.PutInstance(instance("bot1@h1", 1, "stopped"), entry("bot1@h1", 1))
	r.store.Remove("bot2@h1")
	r.store.PutInstance(instance("bot3@h1", 1, "created"), entry("bot3@h1", 1))
	s = r.socket(t)
	s.say(t, `{"watch":{"token":"`+token+`"}}`)
	words, _ = s.until(t, "instance bot3@h1")
	if diff := cmp.Diff([]string{"instance bot1@h1", "removed bot2@h1", "instance bot3@h1"}, words); diff != "" {
		t.Errorf("after resuming (-want +got):\n%s", diff)
	}

	s.say(t, `{"watch":{"token":"elsewhere-1"}}`)
	if c := s.change(t); !c.GetReset_() {
		t.Errorf("a foreign token gave %v", c)
	}
	s.say(t, `{"watch":{}}`) // the socket is still of use
	s.until(t, "synced")
}

// TestSocketLog: the log of an instance comes from where it was asked for,
// from the store and then live, without a hole or repetition, also when the
// gateway loses the store meanwhile.
func TestSocketLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const id = "bot0@h1"
	commit := func(n uint64) { r.store.PutInstance(instance(id, n, "started"), entry(id, n)) }
	for n := range uint64(5) {
		commit(n + 1)
	}
	s := r.socket(t)
	s.say(t, `{"watch":{"instanceId":"bot0","log":true,"afterLogSequence":"2"}}`)
	next := uint64(3)
	expect := func(last uint64) {
		t.Helper()
		for next <= last {
			c := s.change(t)
			if c.GetLog() == nil {
				continue
			}
			if got := c.GetLog().GetSequence(); got != next {
				t.Fatalf("log entry %d, want %d", got, next)
			}
			next++
		}
	}
	expect(5)
	commit(6)
	expect(6)
	r.store.Away(true)
	for n := uint64(7); n < 2000; n++ {
		commit(n)
	}
	r.store.Trim() // the gateway has to list again, which shows no log
	r.store.Away(false)
	commit(2000)
	expect(2000)
}

// TestSocketAnswers: events sent through a socket are answered under their id,
// refusals as everywhere; what is not understood is said, and the socket lives.
func TestSocketAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.socket(t)
	tests := []struct{ say, want string }{
		{`{"send":{"instanceId":"bot0","event":"go"},"id":"1"}`, `"id":"1","response":{"outcome":"OUTCOME_QUEUED"`},
		{`{"send":{"instanceId":"bot0","event":"system.stop"},"id":"2"}`, `"reason":"STATE_REFUSES"`},
		{`{"send":{"instanceId":"bot0","event":"full"},"id":"3"}`, `"retryAfterSeconds":1.5`},
		{`{"send":{"bogus":1},"id":"4"}`, `{"error":{"code":"INVALID_ARGUMENT"`},
		{`{"watch":{"instanceId":"nobody"}}`, `"reason":"INSTANCE_UNKNOWN"`},
		{`{}`, `neither`},
		{`not JSON`, `{"error":{"code":"INVALID_ARGUMENT"`},
	}
	for _, test := range tests {
		s.say(t, test.say)
		if got := strings.ReplaceAll(s.frame(t), " ", ""); !strings.Contains(got, strings.ReplaceAll(test.want, " ", "")) {
			t.Errorf("%s\ngave %s\nwithout %s", test.say, got, test.want)
		}
	}
}

// TestSocketIsAlive: a socket is never silent for the 8 s after which a page takes
// it for dead, also when it watches nothing.
func TestSocketIsAlive(t *testing.T) {
	t.Parallel()
	s := newRig(t).socket(t)
	start := time.Now()
	if text := s.next(t); text != alive || time.Since(start) >= 8*time.Second {
		t.Errorf("got %s after %v", text, time.Since(start))
	}
}

// TestSocketReplacesWatch: nothing of the old watch comes after the first
// frame of the new one.
func TestSocketReplacesWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.socket(t)
	s.say(t, `{"watch":{"instanceId":"bot0"}}`)
	s.until(t, "synced")
	s.say(t, `{"watch":{"instanceId":"bot1"}}`)
	s.until(t, "synced")
	r.store.PutInstance(instance("bot0@h1", 1, "stopped"))
	r.store.PutInstance(instance("bot1@h1", 1, "stopped"))
	if words, _ := s.until(t, "instance bot1@h1"); len(words) != 1 {
		t.Errorf("got %v", words)
	}
}

// TestSlowSocket: a client that does not read is sent, when it reads again,
// the newest view of an instance and not every one; others are not held up.
func TestSlowSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow, quick := r.socket(t), r.socket(t)
	slow.say(t, `{"watch":{}}`)
	slow.until(t, "synced")
	quick.say(t, `{"watch":{}}`)
	quick.until(t, "synced")
	const last = 3000
	filler := strings.Repeat("x", 8<<10) // more than the kernel buffers
	for n := uint64(1); n <= last; n++ {
		v := instance("bot0@h1", n, "started")
		v.Why = filler
		r.store.PutInstance(v)
	}
	read := func(s *socket) (frames int) {
		for {
			frames++
			if s.change(t).GetInstance().GetLogSequence() == last {
				return frames
			}
		}
	}
	read(quick)
	if n := read(slow); n > last/2 {
		t.Errorf("the slow client was sent %d of %d views", n, last)
	}
}

// TestSocketOrigin: a page of another site is not let in, nor may it write.
func TestSocketOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, resp, err := websocket.Dial(t.Context(), "ws://"+r.address+"/v1/stream", &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"https://evil.example"}},
	})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a socket of another origin: %v", err)
	}
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	evil := func(req *http.Request) { req.Header.Set("Origin", "https://evil.example") }
	if code, _, _ := r.call(t, http.MethodPost, "/v1/instances/bot0:send", `{"event":"a"}`, evil); code != http.StatusForbidden {
		t.Errorf("a write of another origin: %d", code)
	}
	rebound := func(req *http.Request) { req.Host = "evil.example" }
	if code, _, _ := r.call(t, http.MethodGet, "/v1/instances", "", rebound); code != http.StatusForbidden {
		t.Errorf("a rebound name: %d", code)
	}
}

// TestEvents: server-sent events carry the token as id, and resume by it.
func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	open := func(query, id string) *bufio.Scanner {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/v1/events"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Last-Event-ID", id)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("content type %q", got)
		}
		return bufio.NewScanner(resp.Body)
	}
	next := func(sc *bufio.Scanner) (event, id, data string) {
		for sc.Scan() {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "event":
				event = value
			case "id":
				id = value
			case "data":
				data = value
			case "":
				if event != "" {
					return event, id, data
				}
			}
		}
		t.Fatal("the stream ended")
		return "", "", ""
	}
	sc := open("?instance_id=bot0&log=true", "")
	if event, _, data := next(sc); event != "instance" || !strings.Contains(data, "bot0@h1") {
		t.Errorf("first event %s %s", event, data)
	}
	event, id, _ := next(sc)
	if event != "synced" || id == "" {
		t.Errorf("second event %s with id %q", event, id)
	}
	r.store.PutInstance(instance("bot0@h1", 1, "stopped"), entry("bot0@h1", 1))
	sc = open("?instance_id=bot0&log=true", id)
	if event, _, data := next(sc); event != "log" || !json.Valid([]byte(data)) {
		t.Errorf("after resuming: %s %s", event, data)
	}
	if code, _, body := r.get(t, "/v1/events?instance_id=nobody"); code != http.StatusNotFound || !strings.Contains(body, "INSTANCE_UNKNOWN") {
		t.Errorf("events of nobody: %d %s", code, body)
	}
	if code, _, _ := r.get(t, "/v1/events?log=perhaps"); code != http.StatusBadRequest {
		t.Errorf("a bad query: %d", code)
	}
}

// A store without room says so itself: to whoever looks for what is wrong, and at once
// to whoever is refused because of it.
func TestStoreFull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	full := &fleetv1.Finding{Code: "store.full", Message: "Redis is full", Fix: "give it more"}
	hosts := func() string { _, _, body := r.get(t, "/v1/hosts"); return body }
	send := func(event string) string {
		_, _, body := r.call(t, "POST", "/v1/instances/bot1:send", `{"event":"`+event+`"}`)
		return body
	}
	tell := func(f *fleetv1.Finding, sequence uint64) {
		r.store.Find(f)
		r.store.PutInstance(instance("other@h1", sequence, "started")) // the next message
		eventually(t, "the gateway says what is wrong", func() bool { return strings.Contains(hosts(), "store.full") == (f != nil) })
	}
	submitted := func() int {
		r.statemachine.mu.Lock()
		defer r.statemachine.mu.Unlock()
		return len(r.statemachine.submitted)
	}
	const cause = "; Redis is full: give it more"
	if got := send("away"); strings.Contains(got, cause) || !strings.Contains(got, "UNAVAILABLE") {
		t.Errorf("with room: %s", got)
	}
	waiting := make(chan string)
	before := submitted()
	go func() { waiting <- send("endless") }()
	eventually(t, "it waits for the store", func() bool { return submitted() > before })
	tell(full, 1)
	if got := <-waiting; !strings.Contains(got, "may be done when there is room"+cause) || !strings.Contains(got, "UNAVAILABLE") {
		t.Errorf("what waited when there was no room any more: %s", got)
	}
	before = submitted()
	if got := send("hi"); !strings.Contains(got, "nothing was done"+cause) || !strings.Contains(got, "UNAVAILABLE") || submitted() != before {
		t.Errorf("without room: %s; asked for: %v", got, submitted() != before)
	}
	tell(nil, 2)
	if got := send("away"); strings.Contains(got, cause) {
		t.Errorf("with room again: %s", got)
	}
	if got := send("hi"); !strings.Contains(got, "OUTCOME_QUEUED") {
		t.Errorf("what is sent when there is room again: %s", got)
	}
}

// TestStoreAway: without the store everything is unknown and the gateway is
// not ready; it comes back by itself.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, limit(300*time.Millisecond))
	alive := func() {
		r.store.PutHost(&fleetv1.Host{HostId: "h1", LastSeenTime: timestamppb.Now()})
	}
	r.store.Away(true)
	eventually(t, "the instance is unknown", func() bool {
		v, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: "bot0"})
		return err == nil && v.GetInstance().GetUnknown()
	})
	eventually(t, "the gateway is not ready", func() bool {
		code, _, _ := r.get(t, "/readyz")
		return code == http.StatusServiceUnavailable
	})
	r.store.Away(false)
	eventually(t, "the instance is known", func() bool {
		alive()
		v, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: "bot0"})
		return err == nil && !v.GetInstance().GetUnknown()
	})
}

// BenchmarkSocket10000 measures how long a page waits for a fleet of 10,000.
func BenchmarkSocket10000(b *testing.B) {
	r := newRig(b)
	for i := range 10_000 {
		v := instance(fmt.Sprintf("i%05d@h1", i), 1, "started", "running")
		v.DataJson, v.Why = strings.Repeat("x", 1000), "Running since this morning."
		r.store.PutInstance(v)
	}
	eventually(b, "the fleet is read", func() bool {
		p, err := r.fleet.ListInstances(b.Context(), &fleetv1.ListInstancesRequest{})
		return err == nil && p.GetTotalSize() == 10_003
	})
	for b.Loop() {
		s := r.socket(b)
		s.say(b, `{"watch":{}}`)
		for !strings.Contains(s.frame(b), `"synced"`) {
			continue
		}
		_ = s.CloseNow()
	}
}
