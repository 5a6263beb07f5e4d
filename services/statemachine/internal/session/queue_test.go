// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// bench holds one hosted instance outside any loop, and the rows that a store
// would have of it.
type bench struct {
	w     *Worker
	shard *Shard
	i     *Instance
	now   time.Time
	queue map[uint64]bool
	blobs map[string]bool
	// trimmed is book.Trimmed at the last check.
	trimmed uint64
}

func newBench(t interface{ Fatal(...any) }, limit int) *bench {
	chart, err := containerChart()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		w:     NewWorker(Config{Log: slog.New(slog.DiscardHandler)}),
		shard: NewShard(ShardOf("h1"), Fence{Epoch: 1, Nonce: "n"}),
		now:   time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), queue: map[uint64]bool{}, blobs: map[string]bool{},
	}
	b.i = &Instance{id: "web@h1", chart: chart, view: &fleetv1.Instance{
		InstanceId: "web@h1", Name: "web", HostId: "h1", Managed: true,
		Target: &fleetv1.Target{Kind: "container", Channel: "socket", ContainerId: "c1", StartedTime: timestamppb.New(b.now)},
	}}
	h := b.shard.host("h1")
	h.conn, h.consumed = &worldConn{}, true
	b.i.book.Options = fmt.Appendf(nil, `{"breaker":{"queue":%d}}`, limit)
	b.do(func(t *turn) { _ = t.begin(map[string]any{"managed": true}) })
	return b
}

// do takes one turn and gives its rows to the store.
func (b *bench) do(f func(*turn)) *snapshotv1.Step {
	b.now = b.now.Add(time.Second)
	batch := newBatch()
	f(b.w.turn(b.shard, batch, b.i, b.now, ""))
	out := &snapshotv1.Step{}
	for _, g := range batch.groups {
		for _, st := range g.steps {
			out = st.out
			given := map[string]bool{}
			for _, blob := range out.GetBlobs() {
				given[blob.GetSha256()] = true
			}
			for _, e := range out.GetQueuePut() {
				b.queue[e.GetSequence()] = true
			}
			for n := range b.queue {
				if n <= out.GetQueueTrim() || slices.Contains(out.GetQueueDelete(), n) {
					delete(b.queue, n)
				}
			}
			for _, sha := range out.GetBlobAdd() {
				b.blobs[sha] = true
			}
			for _, sha := range out.GetBlobRemove() {
				delete(b.blobs, sha)
			}
		}
	}
	return out
}

// away makes commands wait, as before a host has told everything anew; sent of the
// instance lets the one in flight go.
func (b *bench) away() { b.shard.host("h1").conn = nil }

// say lets the agent tell something of the container.
func (b *bench) say(event, data string, fill ...func(*agentv1.Observation)) *snapshotv1.Step {
	o := &agentv1.Observation{ContainerId: "c1", Event: event, DataJson: []byte(data)}
	for _, f := range fill {
		f(o)
	}
	return b.do(func(t *turn) { t.observe(&Observation{Host: "h1", Fact: o}) })
}

// TestQueueAndSnapshots compares the queue and the kept snapshots with what
// the documents promise, under generated accepts, answers, dumps, deaths,
// rewinds and verdicts.
func TestQueueAndSnapshots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const limit = 12
		data := make([]byte, MaxEventBytes) // 64 of them fill the queue
		b := newBench(rt, limit)
		i := b.i
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"accept", "accept", "answer", "answer", "dump", "dump", "verdict", "restore", "letter"}).Draw(rt, "what") {
			case "accept":
				b.do(func(t *turn) {
					if t.room(stimulus{event: "x"}) == nil {
						t.enqueue("x", data[:rapid.IntRange(0, len(data)).Draw(rt, "bytes")], "")
					}
				})
			case "answer":
				b.do(func(t *turn) { t.answered(min(i.book.Delivered+1, i.book.Accepted)) })
			case "dump":
				contained := i.book.Delivered
				body := fmt.Sprintf("%d-%d", contained, rapid.IntRange(0, 3).Draw(rt, "body"))
				b.do(func(t *turn) {
					t.keep(&agentv1.Snapshot{Sha256: body, Inline: []byte(body), ContainedSequence: contained, RunTime: i.view.GetTarget().GetStartedTime()}, b.now)
				})
			case "verdict":
				if kept := i.view.GetSnapshots(); len(kept) > 0 {
					s := rapid.SampledFrom(kept).Draw(rt, "snapshot")
					verdict := rapid.SampledFrom([]string{"proven", "suspect", "quarantined"}).Draw(rt, "verdict")
					b.do(func(t *turn) { _ = t.judge(s.GetNumber(), verdict) })
				}
			case "restore":
				usable := slices.DeleteFunc(slices.Clone(i.view.GetSnapshots()), func(s *fleetv1.ApplicationSnapshot) bool {
					return s.GetVerdict() == fleetv1.Verdict_VERDICT_QUARANTINED
				})
				if len(usable) > 0 {
					s := rapid.SampledFrom(usable).Draw(rt, "snapshot")
					i.book.Restored = s.GetNumber()
					b.do(func(t *turn) { t.rewind(s.GetContainedSequence()) })
				}
			case "letter":
				b.do(func(t *turn) { t.deadLetter(i.book.Delivered + 1) })
			}
			b.check(rt, limit)
		}
	})
}

func (b *bench) check(t *rapid.T, limit int) {
	i := b.i
	kept := i.view.GetSnapshots()
	if len(kept) > snapshotsKept {
		t.Fatalf("%d snapshots kept, at most %d", len(kept), snapshotsKept)
	}
	want := map[string]bool{}
	for _, s := range kept {
		want[s.GetSha256()] = true
	}
	if fmt.Sprint(want) != fmt.Sprint(b.blobs) {
		t.Fatalf("the store holds bodies %v for snapshots of %v", b.blobs, want)
	}
	var memory []uint64
	for _, e := range i.queue {
		memory = append(memory, e.GetSequence())
		if !b.queue[e.GetSequence()] {
			t.Fatalf("entry %d is in memory and not stored (%v)", e.GetSequence(), b.queue)
		}
	}
	if len(memory) != len(b.queue) {
		t.Fatalf("memory has %v, the store %v", memory, b.queue)
	}
	if !slices.IsSorted(memory) || len(memory) > limit {
		t.Fatalf("queue %v", memory)
	}
	bytes := 0
	for _, e := range i.queue {
		bytes += sizeOf(e)
	}
	if i.queueBytes != bytes {
		t.Fatalf("%d bytes are counted of a queue of %d", i.queueBytes, bytes)
	}
	// What could be restored can be replayed: nothing is trimmed that a kept
	// snapshot does not contain, but for a last proven one that alone would
	// hold more than half of the queue.
	if i.book.Trimmed > b.trimmed {
		proven := i.lastProven()
		for _, s := range kept {
			if s.GetVerdict() != fleetv1.Verdict_VERDICT_QUARANTINED && s != proven && i.book.Trimmed > s.GetContainedSequence() {
				t.Fatalf("trimmed to %d, but snapshot %d contains up to %d", i.book.Trimmed, s.GetNumber(), s.GetContainedSequence())
			}
		}
	}
	b.trimmed = i.book.Trimmed
}

// TestQueueIsBoundedInBytes checks law 8: that large events fill a queue before its
// number of entries does: a snapshot is asked for in time, the one too many is
// refused, what is loaded again is counted the same, and a snapshot makes room.
func TestQueueIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1000)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	data := make([]byte, MaxEventBytes-entryOverhead-len("x"))
	full := MaxQueueBytes / MaxEventBytes
	accept := func() (err error) {
		b.do(func(t *turn) { _, err = t.admit(stimulus{event: "x", dataJSON: data}) })
		return err
	}
	for n := range full {
		if err := accept(); err != nil {
			t.Fatalf("event %d of %d: %v", n+1, full, err)
		}
		if forced := b.i.book.Forced != ""; forced != (4*(n+1) >= 3*full) {
			t.Fatalf("event %d of %d: a snapshot is asked for: %v", n+1, full, forced)
		}
		b.say("app.answer", fmt.Sprintf(`{"sequence":%d}`, n+1))
	}
	r, ok := errors.AsType[*Refusal](accept())
	if !ok || r.Reason != fleetv1.Reason_REASON_QUEUE_FULL || r.RetryAfter == 0 {
		t.Errorf("event %d: %v, want QUEUE_FULL with a retry-after", full+1, r)
	}
	again, err := load(&snapshotv1.InstanceState{Record: b.i.record(), Queue: b.i.queue}, b.i.chart)
	if err != nil || again.queueBytes != MaxQueueBytes {
		t.Errorf("loaded again: %d bytes, %v; want %d", again.queueBytes, err, MaxQueueBytes)
	}
	b.do(func(t *turn) {
		t.keep(&agentv1.Snapshot{Sha256: "s", ContainedSequence: uint64(full), RunTime: b.i.view.GetTarget().GetStartedTime()}, b.now)
	})
	if b.i.queueBytes != 0 || accept() != nil {
		t.Errorf("%d bytes are kept after a snapshot with everything, want room", b.i.queueBytes)
	}
}

// TestDeadLetter checks that a poisonous event leaves the queue for good, in
// memory and in the store, and that delivery goes on behind it.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	for range 3 {
		b.do(func(t *turn) { t.enqueue("x", nil, "") })
	}
	b.do(func(t *turn) { t.answered(1) })
	out := b.do(func(t *turn) {
		if err := t.tell("event.dead_letter", map[string]any{"sequence": 2.0}); err != nil {
			panic(err)
		}
	})
	if len(out.GetLog()) != 1 || out.GetLog()[0].GetSeverity() != fleetv1.Severity_SEVERITY_ERROR {
		t.Errorf("log %v, want one error", out.GetLog())
	}
	if k := b.i.firstAfter(b.i.book.Delivered); b.i.queue[k].GetSequence() != 3 {
		t.Errorf("next is %d, want 3", b.i.queue[k].GetSequence())
	}
	if b.queue[2] {
		t.Error("event 2 is still stored")
	}
}

// An answer to an event that is not out skips none, and leaves the chart waiting
// for the one that is.
func TestWrongAnswerMovesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	say := b.say
	say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	say("docker.inspect", `{"status":"running","running":true,"startedAt":"2026-01-02T00:00:00Z"}`)
	say("app.ready", `{"sequence":0,"snapshot":0}`)
	for range 3 {
		b.do(func(t *turn) { t.enqueue("x", nil, ""); t.settleHead() })
	}
	for _, n := range []int{3, 8, 2} {
		out := say("app.answer", fmt.Sprintf(`{"sequence":%d}`, n))
		if len(out.GetLog()) != 1 || out.GetLog()[0].GetSeverity() != fleetv1.Severity_SEVERITY_WARNING {
			t.Errorf("answer %d: log %v, want one warning", n, out.GetLog())
		}
	}
	if b.i.book.Flight != 1 || b.i.book.Delivered != 0 || !b.i.ip.In("breaker.waiting") {
		t.Errorf("in flight %d, delivered %d, in %v; want 1, 0, waiting", b.i.book.Flight, b.i.book.Delivered, b.i.ip.Configuration())
	}
	say("app.answer", `{"sequence":1}`)
	say("app.answer", `{"sequence":1}`) // told again
	if b.i.book.Flight != 2 || b.i.book.Delivered != 1 || !b.i.ip.In("breaker.waiting") {
		t.Errorf("in flight %d, delivered %d, in %v; want 2, 1, waiting", b.i.book.Flight, b.i.book.Delivered, b.i.ip.Configuration())
	}
}

// A delivery names how far the application is, so that none goes to one that has lost
// its state; and no chart skips what is behind that.
func TestDeliveryNamesTheEventBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
	for range 3 {
		b.do(func(t *turn) { t.enqueue("x", nil, ""); t.settleHead() })
	}
	check := func(sequence, after uint64) {
		t.Helper()
		d := b.i.outbox[len(b.i.outbox)-1].GetCommand().GetDelivery()
		if d.GetSequence() != sequence || d.GetAfterSequence() != after {
			t.Errorf("delivery %v, want event %d after %d", d, sequence, after)
		}
	}
	check(1, 0)
	b.say("app.answer", `{"sequence":1}`)
	check(2, 1)
	b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0,"resumed":true}`)
	check(1, 0)
	b.do(func(t *turn) {
		if err := t.tell("queue.rewind", map[string]any{"sequence": 3.0}); err != nil {
			panic(err)
		}
	})
	if got := b.i.book.Delivered; got != 0 {
		t.Errorf("the chart moved it to %d, want 0", got)
	}
}

// TestProvenStays checks that the last proven snapshot is never evicted.
func TestProvenStays(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1000)
	dump := func(n int) {
		b.do(func(t *turn) {
			t.keep(&agentv1.Snapshot{Sha256: fmt.Sprint("sha", n), RunTime: b.i.view.GetTarget().GetStartedTime()}, b.now)
		})
	}
	dump(1)
	b.do(func(t *turn) { _ = t.judge(1, "proven") })
	for n := 2; n <= 20; n++ {
		dump(n)
	}
	if b.i.snapshot(1) == nil || b.i.snapshot(20) == nil || len(b.i.view.GetSnapshots()) != snapshotsKept {
		t.Errorf("kept %v", b.i.view.GetSnapshots())
	}
}

// What the container before left is kept while a new one counts from nothing.
func TestInheritedStays(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1000)
	b.i.view.Target.Channel = "file:/state"
	dump := func(n int) {
		b.do(func(t *turn) { t.keep(&agentv1.Snapshot{Sha256: fmt.Sprint("sha", n)}, b.now) })
	}
	dump(1)
	dump(2)
	b.do(func(t *turn) {
		t.observe(&Observation{Host: "h1", Fact: &agentv1.Observation{ContainerId: "c2", Event: "docker.create", DataJson: []byte("{}")}})
	})
	b.i.view.Target.Channel = "file:/state"
	for n := 3; n <= 20; n++ {
		dump(n)
	}
	if b.i.snapshot(1) != nil || b.i.snapshot(2) == nil || b.i.snapshot(20) == nil || len(b.i.view.GetSnapshots()) != snapshotsKept {
		t.Errorf("kept %v", b.i.view.GetSnapshots())
	}
}

// The start of a run may be told by the stamp of its event, which is later than
// the run's: what comes after corrects it, and commands are for the exact one.
func TestTheRunIsCorrectedByWhatComesAfterIt(t *testing.T) {
	t.Parallel()
	const stamp, exact = "2026-01-02T00:00:00.25Z", "2026-01-02T00:00:00.2Z"
	for event, data := range map[string]string{
		"docker.inspect": `{"status":"running","running":true,"startedAt":"` + exact + `"}`,
		"app.ready":      `{"run":"` + exact + `","sequence":0,"snapshot":0}`,
	} {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 10)
			say := func(event string, data string) {
				b.do(func(t *turn) {
					t.observe(&Observation{Host: "h1", Fact: &agentv1.Observation{ContainerId: "c1", Event: event, DataJson: []byte(data)}})
				})
			}
			say("docker.start", `{"startedAt":"`+stamp+`"}`)
			say(event, data)
			if got := b.i.view.GetTarget().GetStartedTime().AsTime().Format(time.RFC3339Nano); got != exact {
				t.Errorf("started %s, want %s", got, exact)
			}
		})
	}
}

// A store that was emptied, or is an older copy, numbers new events like those that
// it has lost. The application would answer them without acting: they are numbered
// after what it says it has processed, and none is lost.
func TestEventsAreNumberedAfterWhatTheApplicationHas(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		known, accepted int // events in the store, and since
		cursor          uint64
		flight          bool
		want            []uint64 // what waits
	}{
		"emptied":                 {known: 0, accepted: 2, cursor: 5, want: []uint64{6, 7}},
		"emptied, one under way":  {known: 0, accepted: 2, cursor: 1, flight: true, want: []uint64{2}},
		"older":                   {known: 3, accepted: 4, cursor: 5, want: []uint64{6, 7, 8, 9}},
		"nothing accepted since":  {known: 3, accepted: 0, cursor: 5, want: nil},
		"answers are on the way":  {known: 3, accepted: 1, cursor: 3, want: []uint64{1, 2, 3, 4}},
		"nothing that JSON keeps": {known: 1, accepted: 0, cursor: 1 << 60, want: []uint64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 20)
			say := func(event string, data string) *snapshotv1.Step {
				return b.do(func(t *turn) {
					t.observe(&Observation{Host: "h1", Fact: &agentv1.Observation{ContainerId: "c1", Event: event, DataJson: []byte(data)}})
				})
			}
			accept := func(n int) {
				for range n {
					b.do(func(t *turn) { t.enqueue("x", nil, "") })
				}
			}
			accept(tt.known)
			b.i.known = b.i.book.Accepted // as loaded
			accept(tt.accepted)
			if tt.flight {
				b.i.book.Flight, b.i.known = 1, 1 // sent, and processed
			}
			say("app.cursor", fmt.Sprintf(`{"run":"2026-01-01T00:00:00Z","sequence":%d}`, tt.cursor))
			if tt.flight {
				say("app.answer", `{"sequence":1}`)
			}
			var waiting []uint64
			for _, e := range b.i.queue[b.i.firstAfter(b.i.book.Delivered):] {
				waiting = append(waiting, e.GetSequence())
			}
			if !slices.Equal(waiting, tt.want) {
				t.Errorf("waiting %v, want %v", waiting, tt.want)
			}
			if len(b.queue) != len(b.i.queue) {
				t.Errorf("the store has %v, memory %d entries", b.queue, len(b.i.queue))
			}
			next := b.i.book.Accepted + 1
			if accept(1); b.i.queue[len(b.i.queue)-1].GetSequence() != next || next <= tt.cursor && tt.cursor < maxSequence {
				t.Errorf("the next event is %d after %d", next, tt.cursor)
			}
		})
	}
}

// The answer to the event in flight may have been told to a store that was replaced by
// an older copy, and does not come again: the application's cursor stands for it.
// Without that the chart waits for ever, and so does the queue.
func TestACursorBeyondTheFlightIsItsAnswer(t *testing.T) {
	t.Parallel()
	for _, timeouts := range []int{0, 1, 2} { // waiting, open, half open
		t.Run(fmt.Sprint(timeouts), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 10)
			b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
			b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
			b.away()
			for range 2 {
				b.do(func(t *turn) {
					t.enqueue("x", nil, "")
					t.advance()
					t.run(stimulus{origin: "runtime", event: "nothing"})
				})
			}
			for _, event := range []string{"breaker.timeout", "breaker.probe"}[:timeouts] {
				b.do(func(t *turn) { t.run(stimulus{origin: "timer", event: event}) })
			}
			if b.i.book.Flight != 1 || b.i.admission() == fleetv1.Admission_ADMISSION_FORWARD {
				t.Fatalf("%d is in flight, %v; want 1 to be, and the chart to wait", b.i.book.Flight, b.i.admission())
			}
			b.say("app.cursor", `{"run":"2026-01-02T00:00:00Z","sequence":5}`)
			// Event 1 was not answered as far as is known here: both go again.
			for want := uint64(6); want <= 7; want++ {
				if b.i.book.Flight != want {
					t.Fatalf("%d is in flight, want %d", b.i.book.Flight, want)
				}
				b.i.sent()
				b.say("app.answer", fmt.Sprintf(`{"run":"2026-01-02T00:00:00Z","sequence":%d}`, want))
			}
			if b.i.waiting() != 0 || b.i.admission() != fleetv1.Admission_ADMISSION_FORWARD {
				t.Errorf("%d wait, %v; want none, and events forwarded", b.i.waiting(), b.i.admission())
			}
		})
	}
}

// After an older copy of the store was put back the journal tells again what was
// answered since. Those answers are to events that are lost: none of them is taken
// for one to an event that was accepted meanwhile under the same number.
func TestOldAnswersAreNotOfNewEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
	accept := func() { b.do(func(t *turn) { t.enqueue("x", nil, ""); t.settleHead() }) }
	accept()
	accept()
	b.i.known = b.i.book.Accepted // as loaded: 1 is in flight, 2 waits
	b.away()
	accept()
	accept()
	for n := 1; n <= 5; n++ { // the application was given 1 to 5 by the store that is lost
		b.say("app.snapshot", fmt.Sprintf(`{"sequence":%d}`, n), func(o *agentv1.Observation) {
			o.Snapshot = &agentv1.Snapshot{Sha256: fmt.Sprintf("%064d", n), ContainedSequence: uint64(n), Inline: []byte("{}")}
		})
		if out := b.say("app.answer", fmt.Sprintf(`{"sequence":%d}`, n)); n > 2 && len(out.GetLog()) != 0 {
			t.Errorf("answer %d: log %v, want nothing", n, out.GetLog())
		}
	}
	if b.i.book.Delivered != 2 || b.i.waiting() != 2 {
		t.Errorf("delivered %d, %d wait; want 2 and the 2 that the application has not seen", b.i.book.Delivered, b.i.waiting())
	}
	b.say("docker.die", `{"exitCode":1,"startedAt":"2026-01-02T00:00:00Z"}`)
	if e := b.i.queue[b.i.firstAfter(2)]; e.GetDeaths() != 0 {
		t.Errorf("event %d has %d deaths, want none: it was not sent", e.GetSequence(), e.GetDeaths())
	}
	b.say("docker.start", `{"startedAt":"2026-01-03T00:00:00Z"}`)
	b.say("app.ready", `{"run":"2026-01-03T00:00:00Z","sequence":2,"snapshot":0}`)
	if got := b.i.view.GetSnapshots()[0].GetContainedSequence(); got != 2 {
		t.Errorf("the newest snapshot contains %d, want 2: it has not seen what came later", got)
	}
	b.say("app.cursor", `{"run":"2026-01-03T00:00:00Z","sequence":5}`)
	for want := uint64(6); want <= 7; want++ {
		if b.i.book.Flight != want {
			t.Fatalf("%d is in flight, want %d", b.i.book.Flight, want)
		}
		b.i.sent()
		b.say("app.answer", fmt.Sprintf(`{"sequence":%d}`, want))
	}
}
