// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/internal/application"
	"github.com/chartroom/chartroom/scxml"
)

func TestCompareFindsLostAndDoubled(t *testing.T) {
	t.Parallel()
	tl := newTally("x")
	tl.next.Store(5)
	for _, n := range []int{1, 2, 4, 5} { // 3 was never acknowledged
		tl.acknowledged[n] = time.Now()
	}
	for _, test := range []struct {
		name          string
		processed     []int
		lost, doubled []int
	}{
		{"all", []int{1, 2, 4, 5}, nil, nil},
		{"one more than acknowledged", []int{1, 2, 3, 4, 5}, nil, nil},
		{"lost", []int{1, 5}, []int{2, 4}, nil},
		{"doubled", []int{1, 2, 2, 4, 5, 2}, nil, []int{2, 2}},
		{"nothing processed", nil, []int{1, 2, 4, 5}, nil},
	} {
		lost, doubled := tl.compare(test.processed)
		if diff := cmp.Diff([][]int{test.lost, test.doubled}, [][]int{lost, doubled}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	ms := func(list ...int) (out []time.Duration) {
		for _, n := range list {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for want, samples := range map[float64][]time.Duration{0: nil, 2: ms(9, 1, 2), 2.5: ms(4, 3, 1, 2)} {
		if got := newTiming(samples).Median; got != want {
			t.Errorf("median of %v: got %v, want %v", samples, got, want)
		}
	}
}

// rig is helloworld behind the proxy, and the agent's end of the wire.
type rig struct {
	t     *testing.T
	outer string
	out   *output
	conn  net.Conn
	in    *bufio.Scanner
	stop  func()
	start func()
}

// output keeps what the application wrote.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// newRig starts helloworld and a proxy with the fault.
func newRig(t *testing.T, kind string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	document, err := charts.Document("helloworld")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := scxml.Parse("helloworld", document, scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	chart, err := scxml.Compile(parsed, scxml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, outer: filepath.Join(dir, "outer"), out: &output{}}
	inner := filepath.Join(dir, "inner")
	f, err := newFault(t.Context(), kind, "hello", r.outer, inner)
	if err != nil {
		t.Fatal(err)
	}
	f.after = 2
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	r.start = func() {
		app, err := application.New(application.Config{Chart: chart, Socket: inner, Stdout: r.out})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = app.Run(ctx) }()
		r.stop = func() { cancel(); <-ended }
		t.Cleanup(r.stop)
	}
	r.start()
	return r
}

// restore dials until it is answered, as the agent does while a container starts. A
// connection may end before that: the proxy had reached the application of the run
// before in the moment in which it died.
func (r *rig) restore(run string, snapshot json.RawMessage, sequence int) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		err := r.dial(map[string]any{"type": "restore", "run": run, "snapshot": snapshot, "sequence": sequence})
		if err == nil {
			_, _, err = r.hear("ready", sequence)
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.t.Fatal(err)
		}
	}
}

// dial makes a connection that begins with a message.
func (r *rig) dial(m map[string]any) error {
	conn, err := net.Dial("unix", r.outer)
	if err != nil {
		return err
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	r.conn, r.in = conn, bufio.NewScanner(conn)
	return r.say(m)
}

func (r *rig) say(m map[string]any) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = r.conn.Write(append(b, '\n'))
	return err
}

func (r *rig) send(m map[string]any) {
	r.t.Helper()
	if err := r.say(m); err != nil {
		r.t.Fatal(err)
	}
}

// hear reads up to a message with a sequence and gives the last snapshot on
// the way, with its sequence. An error means that the connection has ended.
func (r *rig) hear(kind string, sequence int) (snapshot json.RawMessage, contained int, err error) {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for r.in.Scan() {
		var m struct {
			Type     string
			Sequence int
			Snapshot json.RawMessage
		}
		if err := json.Unmarshal(r.in.Bytes(), &m); err != nil {
			r.t.Fatal(err)
		}
		if m.Type == "snapshot" {
			snapshot, contained = m.Snapshot, m.Sequence
		}
		if m.Type == kind {
			if m.Sequence != sequence {
				r.t.Fatalf("%s %d, want %d", kind, m.Sequence, sequence)
			}
			return snapshot, contained, nil
		}
	}
	err = r.in.Err()
	if err == nil {
		err = io.EOF
	}
	return nil, 0, fmt.Errorf("no %s %d: %w", kind, sequence, err)
}

func (r *rig) until(kind string, sequence int) (snapshot json.RawMessage, contained int) {
	r.t.Helper()
	snapshot, contained, err := r.hear(kind, sequence)
	if err != nil {
		r.t.Fatal(err)
	}
	return snapshot, contained
}

func (r *rig) event(run string, sequence int) (snapshot json.RawMessage) {
	r.t.Helper()
	r.send(map[string]any{"type": "event", "run": run, "sequence": sequence, "name": "hello", "data": map[string]any{"number": sequence}})
	snapshot, contained := r.until("answer", sequence)
	if snapshot != nil && contained != sequence {
		r.t.Fatalf("event %d: its snapshot contains %d", sequence, contained)
	}
	return snapshot
}

// greeted asks for the application's own list.
func (r *rig) greeted(run string, sequence int) string {
	r.t.Helper()
	r.send(map[string]any{"type": "event", "run": run, "sequence": sequence, "name": "report"})
	r.until("answer", sequence)
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	text := r.out.text.String()
	_, list, _ := strings.Cut(text[strings.LastIndex(text, "report: "):], "report: ")
	return strings.TrimSpace(list)
}

// Each fault must do what it says to an application that is without one, and
// nothing else: else the demonstration would find out something else.
func TestFaultsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"":      "[1,2,3,4]",
		"drop":  "[1,3,4]",
		"twice": "[1,2,2,3,4]",
		"stale": "[1,4]",
	} {
		t.Run("fault "+kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kind)
			r.restore("R1", json.RawMessage("null"), 0)
			var last json.RawMessage
			for n := 1; n <= 3; n++ {
				if s := r.event("R1", n); s != nil {
					last = s
				}
			}
			r.stop()
			r.start()
			r.restore("R2", last, 3)
			r.event("R2", 4)
			if got := r.greeted("R2", 5); got != want {
				t.Errorf("processed %s, want %s", got, want)
			}
		})
	}
}

// What an agent says to an application that is dead does not reach the next one, which
// would take a question for the old run for its own. Mostly nobody listens; who is
// connected in the moment of the death hears nothing.
func TestFaultListensWhileTheApplicationLives(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.restore("R1", json.RawMessage("null"), 0)
	r.stop()
	for r.in.Scan() { // to the end
	}
	dead := r.dial(map[string]any{"type": "restore", "run": "R1", "snapshot": nil, "sequence": 0, "resume": true})
	lines := r.in
	r.start()
	r.restore("R2", json.RawMessage("null"), 0)
	if dead == nil && lines.Scan() {
		t.Errorf("a connection to the dead application hears %s", lines.Text())
	}
}

// A reader that goes away ends the demonstration; a socket whose other end has died
// is no reader.
func TestAudienceGoneInterrupts(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	gone := false
	a := audience{to: w, gone: func() { gone = true }}
	go func() { _, _ = io.ReadFull(r, make([]byte, 4)); _ = r.Close() }()
	if _, err := a.Write([]byte("read")); err != nil || gone {
		t.Errorf("with a reader: %v, gone %v", err, gone)
	}
	if _, err := a.Write([]byte("not read")); err == nil || !gone {
		t.Errorf("without one: %v, gone %v", err, gone)
	}
}
