// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
)

// CrashShards are the shards that the crash tests write, each by a goroutine
// of its own.
var CrashShards = []uint32{0, 1, 17, 255}

// CrashGroup is group n of a history whose every row can be told from n: a
// group that was written in part, or lost, shows.
func CrashGroup(shard uint32, f store.Fence, n uint64) store.Group {
	body := func(n uint64) store.Blob { return Body(int(shard)*1000+int(n%500), 200) }
	st := store.Step{
		Instance: "i", Record: record(fmt.Sprint(n)),
		OutboxPut: []store.Row{{ID: fmt.Sprint("c", n), Body: fmt.Append(nil, "command ", n)}},
		QueuePut:  []store.QueueRow{{Sequence: n, Body: fmt.Append(nil, "event ", n)}},
		Log:       Entries("i", n, n, n/10*10),
		Requests:  []store.Row{{ID: fmt.Sprint("r", n), Body: fmt.Append(nil, "answer ", n)}},
		Blobs:     []store.Blob{body(n)}, BlobAdd: []string{body(n).SHA256},
	}
	if n > 1 {
		st.OutboxDelete = []string{fmt.Sprint("c", n-1)}
		st.QueueTrim = n - 1
		st.BlobRemove = []string{body(n - 1).SHA256}
	}
	return store.Group{
		Shard: shard, Fence: f, Number: n,
		Steps: []store.Step{st, Put("j", fmt.Sprint(n))},
		Marks: []store.Mark{{Source: "h", Incarnation: "j", Sequence: n}},
	}
}

// CheckCrash requires that shard holds group acked or a later one, whole, and
// answers its number.
func CheckCrash(t testing.TB, s store.Store, shard uint32, f store.Fence, acked uint64) uint64 {
	t.Helper()
	st := load(t, s, shard, f)
	n := st.Head.LastGroup
	if n < acked {
		t.Fatalf("shard %d: group %d was acknowledged, the last is %d", shard, acked, n)
	}
	if n == 0 {
		return 0
	}
	g := CrashGroup(shard, f, n)
	want := state{
		Head: store.ShardState{LastGroup: n, Marks: g.Marks},
		Instances: []store.Instance{
			{ID: "i", Record: *g.Steps[0].Record, Outbox: g.Steps[0].OutboxPut, Queue: g.Steps[0].QueuePut},
			{ID: "j", Record: *g.Steps[1].Record},
		},
	}
	diffState(t, fmt.Sprintf("shard %d after group %d", shard, n), want, st)
	log := query(t, s, store.LogQuery{Shard: shard, Instance: "i", Limit: 5, Descending: true})
	for i, got := range log {
		if want := fmt.Sprintf("i %d", n-uint64(i)); got != want {
			t.Errorf("shard %d: log has %q where %q should be", shard, got, want)
		}
	}
	if len(log) < int(min(n, 5)) {
		t.Errorf("shard %d: log has %d entries", shard, len(log))
	}
	for i := n; i > 0 && i+50 > n; i-- {
		if got, err := s.Request(t.Context(), shard, fmt.Sprint("r", i)); err != nil || string(got) != fmt.Sprint("answer ", i) {
			t.Errorf("shard %d: request %d: %q, %v", shard, i, got, err)
		}
	}
	if _, err := s.Blob(t.Context(), g.Steps[0].BlobAdd[0]); err != nil {
		t.Errorf("shard %d: %v", shard, err)
	}
	if head := headsOf(t, s)[shard]; head.Sequence != n {
		t.Errorf("shard %d: head is %d, want %d", shard, head.Sequence, n)
	}
	return n
}

// Hammer commits the history to every shard, each from its next number on,
// until ctx ends or the store fails, and calls acked after every answer. It
// answers the groups whose outcome is unknown.
func Hammer(ctx context.Context, s store.Store, fences map[uint32]store.Fence, next map[uint32]uint64, acked func(shard uint32, n uint64)) (unknown []store.Group, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for shard, f := range fences {
		n := next[shard]
		wg.Go(func() {
			for ; ctx.Err() == nil; n++ {
				g := CrashGroup(shard, f, n)
				rs, cerr := s.Commit(ctx, []store.Group{g})
				if cerr == nil && rs[0].Status == store.Applied {
					acked(shard, n)
					continue
				}
				mu.Lock()
				defer mu.Unlock()
				if cerr != nil {
					unknown = append(unknown, g)
				} else {
					err = fmt.Errorf("group %d of shard %d: %v: %s", n, shard, rs[0].Status, rs[0].Message)
				}
				return
			}
		})
	}
	wg.Wait()
	return unknown, err
}

// Acks keeps the last acknowledged group of each shard and counts them all.
// It is safe for concurrent use.
type Acks struct {
	Count atomic.Int64
	mu    sync.Mutex
	last  map[uint32]uint64
}

// Add takes in an acknowledgement.
func (a *Acks) Add(shard uint32, n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = make(map[uint32]uint64)
	}
	a.last[shard] = max(a.last[shard], n)
	a.Count.Add(1)
}

// Last is the last group acknowledged of a shard; 0 for none.
func (a *Acks) Last(shard uint32) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[shard]
}
