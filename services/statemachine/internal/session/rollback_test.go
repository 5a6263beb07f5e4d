// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// Law 5: an agent that saw more commits than the store had when the shard was loaded
// lists everything anew, however much was committed since.
func TestAnOlderStoreIsFoundOut(t *testing.T) {
	t.Parallel()
	const loaded, now = 5, 15 // groups
	for name, tt := range map[string]struct {
		seen   *agentv1.Fence
		relist bool
	}{
		"a new agent":              {},
		"saw what was loaded":      {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: loaded}},
		"saw what is lost":         {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: loaded + 1}, relist: true},
		"saw more than there is":   {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: now + 1}, relist: true},
		"saw commits of the owner": {seen: &agentv1.Fence{Epoch: 2, Nonce: "b", CommitSequence: now}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := NewWorker(Config{Log: slog.New(slog.DiscardHandler)})
			s := NewShard(ShardOf("h1"), Fence{Epoch: 2, Nonce: "b"})
			s.Restore(&snapshotv1.ShardState{LastGroup: loaded, Hosts: []*fleetv1.Host{{HostId: "h1"}}})
			b := newBatch()
			w.adopt(b, s, time.Now())
			s.fence.Group = now
			w.join(s, b, &HostJoined{Conn: &worldConn{}, Hello: &agentv1.Hello{HostId: "h1", JournalId: "j", Fence: tt.seen}}, time.Now())
			var welcome *Welcome
			for _, e := range b.group(s).effects {
				if e, ok := e.(*Welcome); ok {
					welcome = e
				}
			}
			if welcome == nil || welcome.Message.GetRelist() != tt.relist {
				t.Errorf("welcome %v, want relist %v", welcome, tt.relist)
			}
		})
	}
}

// The journal tells of a crash and a start that an older store does not know of, and
// then of a stop that somebody asked for: the start that the chart commands for the
// crash is not carried out when the host has told everything.
func TestStartedBeforeItIsCommanded(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
	b.away()
	b.say("docker.die", `{"exitCode":1,"startedAt":"2026-01-02T00:00:00Z"}`)
	if len(b.i.outbox) != 1 || b.i.outbox[0].GetCommand().GetVerb() != "start" {
		t.Fatalf("outbox %v, want a start", b.i.outbox)
	}
	b.say("docker.start", `{"startedAt":"2026-01-03T00:00:00Z","commandId":"web@h1/lost/1"}`)
	b.say("docker.die", `{"exitCode":0,"startedAt":"2026-01-03T00:00:00Z","evidence":{"command":"stop"}}`)
	if len(b.i.outbox) != 0 || !b.i.ip.In("user_requested") {
		t.Errorf("outbox %v in %v, want nothing in user_requested", b.i.outbox, b.i.ip.Configuration())
	}
}

// The journal tells of a run that somebody else started: the restore that the chart
// commands is not carried out when the application was ready in that run, and is when
// it was not.
func TestReadyBeforeItIsRestored(t *testing.T) {
	t.Parallel()
	const (
		start  = `{"startedAt":"2026-01-03T00:00:00Z","commandId":""}`
		ready  = `{"run":"2026-01-03T00:00:00Z","sequence":7,"snapshot":0}`
		cursor = `{"run":"2026-01-03T00:00:00Z","sequence":7}`
	)
	inspect := func(status, started string) string {
		return fmt.Sprintf(`{"status":%q,"running":true,"startedAt":%q}`, status, started)
	}
	for name, tt := range map[string]struct {
		told  [][2]string
		waits int // commands
		state string
	}{
		"never ready":      {[][2]string{{"docker.start", start}}, 1, "starting"},
		"ready":            {[][2]string{{"docker.start", start}, {"app.ready", ready}}, 0, "running"},
		"paused":           {[][2]string{{"docker.start", start}, {"docker.pause", "{}"}, {"app.ready", ready}}, 0, "paused"},
		"its end is known": {[][2]string{{"docker.start", start}, {"app.ready", ready}, {"docker.die", `{"exitCode":0,"startedAt":"2026-01-03T00:00:00Z"}`}}, 0, "completed"},
		// What follows is all that is left of a journal.
		"inspected":         {[][2]string{{"app.cursor", cursor}, {"docker.inspect", inspect("running", "2026-01-03T00:00:00Z")}}, 0, "running"},
		"inspected before":  {[][2]string{{"docker.inspect", inspect("running", "2026-01-03T00:00:00Z")}, {"app.cursor", cursor}}, 0, "running"},
		"inspected paused":  {[][2]string{{"app.cursor", cursor}, {"docker.inspect", inspect("paused", "2026-01-03T00:00:00Z")}}, 0, "paused"},
		"of another run":    {[][2]string{{"app.cursor", cursor}, {"docker.inspect", inspect("running", "2026-01-04T00:00:00Z")}}, 1, "starting"},
		"not ready, so far": {[][2]string{{"docker.inspect", inspect("running", "2026-01-03T00:00:00Z")}}, 1, "starting"},
	} {
		for _, snapshot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, snapshot %v", name, snapshot), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, 10)
				b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z"}`)
				b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
				if snapshot {
					b.say("app.snapshot", `{"sequence":0}`, func(o *agentv1.Observation) {
						o.Snapshot = &agentv1.Snapshot{Sha256: "a", Inline: []byte("a")}
					})
				}
				b.say("docker.die", `{"exitCode":0,"startedAt":"2026-01-02T00:00:00Z"}`)
				b.away()
				for _, o := range tt.told {
					b.say(o[0], o[1])
				}
				if len(b.i.outbox) != tt.waits || !b.i.ip.In(tt.state) {
					t.Errorf("outbox %v in %v, want %d commands in %s", b.i.outbox, b.i.ip.Configuration(), tt.waits, tt.state)
				}
				for _, row := range b.i.outbox {
					if c := row.GetCommand(); c.GetVerb() != "restore" || (c.GetSnapshot() != nil) != snapshot {
						t.Errorf("%v waits, want a restore with a snapshot: %v", c, snapshot)
					}
				}
				if at := b.i.book; tt.waits == 0 && (at.Delivered != 7 || at.Accepted != 7) {
					t.Errorf("%d events delivered of %d, want 7 of 7", at.Delivered, at.Accepted)
				}
			})
		}
	}
}

// A snapshot that is on its way into a container before it is started has an answer
// that the chart waits for.
func TestLaidBeforeItIsReady(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.away()
	b.do(func(t *turn) {
		t.target().StartedTime = nil
		if _, err := t.order("restore", nil); err != nil {
			panic(err)
		}
	})
	b.say("docker.start", `{"startedAt":"2026-01-02T00:00:00Z","commandId":"web@h1/lost/1"}`)
	b.say("app.ready", `{"run":"2026-01-02T00:00:00Z","sequence":0,"snapshot":0}`)
	if len(b.i.outbox) != 1 {
		t.Errorf("outbox %v, want the restore", b.i.outbox)
	}
}

// Only the end of the relisting that was asked for lets commands go, not one of an
// earlier time that the journal tells of, and no time that passes while it does.
func TestCommandsWaitForTheJournal(t *testing.T) {
	t.Parallel()
	w := NewWorker(Config{Log: slog.New(slog.DiscardHandler)})
	s := NewShard(ShardOf("h1"), Fence{Epoch: 2, Nonce: "b"})
	conn, now := &worldConn{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	join := func() {
		w.join(s, newBatch(), &HostJoined{Conn: conn, Hello: &agentv1.Hello{
			HostId: "h1", JournalId: "j", FirstSequence: 1, LastSequence: 2,
			Fence: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: 9},
		}}, now)
	}
	tell := func(sequence uint64, event string) {
		w.observe(s, newBatch(), &Observation{Host: "h1", Journal: "j", Conn: conn, Fact: &agentv1.Observation{Sequence: sequence, Event: event}}, now)
	}
	passes := func(d time.Duration) {
		now = now.Add(d)
		w.seen(s, newBatch(), &HostSeen{Host: "h1", Conn: conn, EngineReachable: true}, now)
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := s.commandable("h1"); got != want {
			t.Errorf("%s: commands go: %v, want %v", when, got, want)
		}
	}
	join()
	check("at first", false)
	tell(1, relisted)
	check("relisted once", false)
	passes(2 * relistPatience)
	check("the journal takes its time", false)
	tell(2, missed)
	check("the journal is taken in", false)
	passes(relistPatience - 1)
	check("listing takes its time", false)
	passes(1)
	check("listing takes too long", true)

	s.hosts["h1"].relisting = true
	tell(3, relisted)
	check("relisted", true)
}

// What was accepted before an agent was heard is news, but for what is a copy of what it
// has heard of since.
func TestNews(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		owners  string // under each one event is accepted
		unheard uint64
		seen    string
		known   uint64 // of 2 from before, and these
	}{
		"nothing accepted":            {unheard: 5, seen: "z", known: 2},
		"seen before":                 {owners: "abc", unheard: 5, seen: "z", known: 2},
		"never seen":                  {owners: "abc", unheard: 5, known: 2},
		"seen the first since":        {owners: "aabc", unheard: 5, seen: "a", known: 4},
		"seen the last since":         {owners: "abc", unheard: 5, seen: "c", known: 5},
		"seen, and not heard out":     {owners: "abc", unheard: 1, seen: "b", known: 2},
		"too many to be told apart":   {owners: "abcdefghi", unheard: 5, seen: "b", known: 2},
		"told apart of too many":      {owners: "abcdefghi", unheard: 5, seen: "c", known: 5},
		"nothing is news when heard":  {owners: "abc", known: 5},
		"as many as can be told":      {owners: "abcdefgh", unheard: 5, seen: "a", known: 3},
		"more than can be told apart": {owners: "abcdefghijkl", unheard: 5, seen: "l", known: 14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 100)
			b.shard.instances[b.i.id] = b.i
			b.i.book.Accepted = 2
			h := b.shard.host("h1")
			h.unheard = tt.unheard
			for _, owner := range tt.owners {
				b.shard.fence.Nonce = string(owner)
				b.do(func(t *turn) { t.enqueue("x", nil, "") })
			}
			b.i.known = b.i.book.known() // as loaded
			b.shard.seenBefore(newBatch(), h, tt.seen)
			if b.i.known != tt.known {
				t.Errorf("known %d, want %d: %+v", b.i.known, tt.known, b.i.book.News)
			}
			b.shard.heard(newBatch(), h)
			if got := b.i.book.known(); got != b.i.book.Accepted || h.unheard != 0 {
				t.Errorf("once heard %d are known of %d", got, b.i.book.Accepted)
			}
		})
	}
}

// TestOlderStoreAnywhere is law 5: at any moment a copy of the store is made, and put
// back at any later one, under a worker that lives, while workers and the application
// die, too, and somebody else restarts it. What was accepted before the copy, and
// from the return of it on, is processed once, and no application that has its state
// is given another. Only what was accepted before an agent was heard, and is in the
// copy so, may be processed twice.
func TestOlderStoreAnywhere(t *testing.T) {
	t.Parallel()
	replaced := 0
	for seed := range seeds() {
		s := newOlder(seed)
		older, wrong := playOlder(t, s)
		if len(wrong) > 0 {
			t.Fatalf("seed %d (go test -run %s -crash.seed=%d): %+v\n%s", seed, t.Name(), seed, s, strings.Join(wrong, "\n"))
		}
		replaced += older
	}
	t.Logf("the store was replaced in %d schedules", replaced)
	if replaced == 0 && *crashSeed == 0 {
		t.Fatal("no schedule replaced the store")
	}
}

// newOlder is a schedule with a copy of the store that is put back.
func newOlder(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 2))
	s := schedule{events: 4 + r.IntN(12), fatal: map[uint64]int{}}
	s.faults = []fault{{"copy", 1 + r.IntN(20)}, {"older", 1 + r.IntN(20)}}
	if s.emptied = r.IntN(4) == 0; s.emptied {
		s.faults = s.faults[1:]
	}
	for range r.IntN(3) {
		s.faults = append(s.faults, fault{"again", 1 + r.IntN(6)})
	}
	points := []string{"before", "after", "dispatch", "lost", "late"}
	for range r.IntN(3) {
		s.faults = append(s.faults, fault{points[r.IntN(len(points))], 1 + r.IntN(25)})
	}
	s.pause = time.Duration(r.IntN(3)) * 50 * time.Millisecond
	s.late = time.Duration(r.IntN(3)) * 100 * time.Millisecond
	for range r.IntN(3) {
		s.fatal[uint64(1+r.IntN(s.events))] = r.IntN(3)
	}
	s.restart = r.IntN(s.events + 1)
	return s
}

// playOlder runs a schedule and gives how often the store was replaced, and what was
// wrong at its end.
func playOlder(t *testing.T, s schedule) (older int, wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, s.fatal)
		w.late = s.late
		if s.emptied {
			w.copied = w.store.Copy()
		}
		ctx, cancel := context.WithCancel(context.Background())
		var life sync.WaitGroup
		life.Go(func() { w.live(ctx) })
		defer life.Wait()
		defer cancel()
		w.mu.Lock()
		w.say("docker.create", nil, func(o *agentv1.Observation) { o.Target = worldSpec() })
		w.mu.Unlock()
		if _, err := w.ask("system.start", "start"); err != nil {
			wrong = append(wrong, "start: "+err.Error())
			return
		}
		w.mu.Lock()
		w.faults = slices.Clone(s.faults)
		w.mu.Unlock()
		kept, sequence := map[string]bool{}, map[string]uint64{} // of events that must not be lost
		for n := 1; n <= s.events; n++ {
			before, _ := w.past()
			name := fmt.Sprint("count.", n)
			out, err := w.ask(name, name)
			if err != nil {
				wrong = append(wrong, name+": "+err.Error())
				return
			}
			after, copied := w.past()
			if n == s.restart {
				w.restart()
			}
			time.Sleep(s.pause) // virtual
			kept[name] = before == after && (after > 0 || !copied)
			sequence[name] = out.GetSequence()
		}
		for range 100 {
			if q := w.view().GetQueue(); q.GetWaiting() == 0 && q.GetInFlightSequence() == 0 && w.quiet() && w.heardOut() {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		older = w.older
		times := map[string]int{}
		for _, p := range w.memory {
			times[p.Name]++
		}
		for n := 1; n <= s.events; n++ {
			name := fmt.Sprint("count.", n)
			most := 1
			if w.news > 0 && sequence[name] >= w.news {
				most = 2
			}
			if got := times[name]; (kept[name] || older == 0) && (got < 1 || got > most) {
				w.violation("%s was processed %d times, want 1 (%v, queue %v)", name, got, w.memory, w.view().GetQueue())
			}
		}
		if w.starts != w.deaths+1 {
			w.violation("%d starts after %d deaths", w.starts, w.deaths)
		}
		wrong = append(wrong, w.wrong...)
	})
	return older, wrong
}

// heardOut says whether the store has all that the agent has told, and need not ask.
func (w *world) heardOut() bool {
	state, _ := w.store.State(ShardOf(worldHost))
	w.mu.Lock()
	defer w.mu.Unlock()
	told := false
	for _, m := range state.GetMarks() {
		if m.GetSource() == unheardSource(worldHost) && m.GetSequence() != 0 {
			return false
		}
		told = told || m.GetSource() == worldHost && m.GetSequence() == uint64(len(w.facts))
	}
	return told
}

// past says how often the store was replaced, and whether the copy is made.
func (w *world) past() (older int, copied bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.older, w.copied != nil
}
