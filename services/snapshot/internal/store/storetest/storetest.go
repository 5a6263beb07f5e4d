// SPDX-License-Identifier: AGPL-3.0-or-later

// Package storetest is the suite that every store.Store passes: what the
// interface promises, a comparison with a model under random schedules, and
// the checks of a crash. It has no state of its own.
package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
)

// Open makes an empty store that ends with the test.
type Open func(t testing.TB, o store.Options) store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"Fence", testFence},
		{"Numbering", testNumbering},
		{"Atomicity", testAtomicity},
		{"GroupsAlone", testGroupsAlone},
		{"Invalid", testInvalid},
		{"Rows", testRows},
		{"Remove", testRemove},
		{"Requests", testRequests},
		{"Leases", testLeases},
		{"LogQuery", testLogQuery},
		{"LogRetention", testLogRetention},
		{"LogOrder", testLogOrder},
		{"BlobMissing", testBlobMissing},
		{"BlobCollect", testBlobCollect},
		{"BlobLarge", testBlobLarge},
		{"Charts", testCharts},
		{"ListAndChanges", testListAndChanges},
		{"TokenReset", testTokenReset},
		{"WatchChart", testWatchChart},
		{"WatchNoGap", testWatchNoGap},
		{"Model", testModel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open)
		})
	}
}

// Clock is a clock that only moves when told to. It is not safe for use while
// it is moved.
type Clock struct{ T time.Time }

// Now is the time.
func (c *Clock) Now() time.Time { return c.T }

// NewClock starts a clock near now, because databases expire by their own.
func NewClock() *Clock { return &Clock{time.Now().Truncate(time.Millisecond)} }

// Own acquires a shard and fails the test when it does not get it.
func Own(t testing.TB, s store.Store, name string, shard uint32) store.Fence {
	t.Helper()
	nonce := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	ls, err := s.Acquire(t.Context(), store.Owner{Name: name, Nonce: nonce, Address: name + ":1"}, []uint32{shard})
	if err != nil {
		t.Fatal(err)
	}
	if len(ls) != 1 || !ls[0].Held {
		t.Fatalf("shard %d was not acquired: %+v", shard, ls)
	}
	return store.Fence{Epoch: ls[0].Epoch, Nonce: nonce}
}

// Put is a step that writes an instance's record and nothing else.
func Put(id, content string) store.Step {
	return store.Step{Instance: id, Record: record(content)}
}

func record(content string) *store.Record {
	return &store.Record{View: []byte("view " + content), Session: []byte("session " + content), State: []byte("state " + content)}
}

// Entries makes log entries from first to last; those in snapshots carry one.
func Entries(id string, first, last uint64, snapshots ...uint64) []store.LogRow {
	var rows []store.LogRow
	for n := first; n <= last; n++ {
		l := store.LogRow{Sequence: n, Body: fmt.Appendf(nil, "%s %d", id, n)}
		for _, s := range snapshots {
			l.Snapshot = l.Snapshot || s == n
		}
		rows = append(rows, l)
	}
	return rows
}

// Body makes a body of n bytes, different for each seed.
func Body(seed, n int) store.Blob {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + seed*13 + i*i*seed)
	}
	return store.Blob{SHA256: blob.Sum(b), Body: b}
}

// commit commits one group and answers its result.
func commit(t testing.TB, s store.Store, g store.Group) store.Result {
	t.Helper()
	rs, err := s.Commit(t.Context(), []store.Group{g})
	if err != nil {
		t.Fatal(err)
	}
	return rs[0]
}

// apply commits one group of steps and requires that it is applied.
func apply(t testing.TB, s store.Store, shard uint32, f store.Fence, number uint64, steps ...store.Step) store.Group {
	t.Helper()
	g := store.Group{Shard: shard, Fence: f, Number: number, Steps: steps}
	if r := commit(t, s, g); r.Status != store.Applied {
		t.Fatalf("group %d of shard %d: %v: %s", number, shard, r.Status, r.Message)
	}
	return g
}

// state is all that Load gives.
type state struct {
	Head      store.ShardState
	Instances []store.Instance
}

// Load loads a shard whole.
func load(t testing.TB, s store.Store, shard uint32, f store.Fence) state {
	t.Helper()
	var st state
	err := s.Load(t.Context(), shard, f,
		func(h store.ShardState) error { st.Head = h; return nil },
		func(in store.Instance) error { st.Instances = append(st.Instances, in); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return st
}
