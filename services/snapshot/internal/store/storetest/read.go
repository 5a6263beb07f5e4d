// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/google/go-cmp/cmp"
)

func headsOf(t testing.TB, s store.Store) *store.Token {
	t.Helper()
	h, err := s.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// logOf reads the whole log of an instance.
func logOf(t testing.TB, s store.Store, shard uint32, id string) []string {
	t.Helper()
	return query(t, s, store.LogQuery{Shard: shard, Instance: id, Limit: 100_000})
}

func query(t testing.TB, s store.Store, q store.LogQuery) []string {
	t.Helper()
	bodies, err := s.Log(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range bodies {
		out = append(out, string(b))
	}
	return out
}

func testLogQuery(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 5)
	st := Put("i", "1")
	st.Log = Entries("", 1, 300)
	other := Put("i.x", "1")
	other.Log = Entries("x", 1, 2)
	apply(t, s, 5, f, 1, st, other)
	for _, tt := range []struct {
		name string
		q    store.LogQuery
		want string
	}{
		{"oldest", store.LogQuery{Limit: 3}, " 1, 2, 3"},
		{"newest", store.LogQuery{Limit: 3, Descending: true}, " 300, 299, 298"},
		{"after", store.LogQuery{After: 255, Limit: 2}, " 256, 257"},
		{"before", store.LogQuery{Before: 3, Limit: 9}, " 1, 2"},
		{"before, newest first", store.LogQuery{Before: 258, Limit: 3, Descending: true}, " 257, 256, 255"},
		{"between", store.LogQuery{After: 9, Before: 12, Limit: 9}, " 10, 11"},
		{"nothing between", store.LogQuery{After: 9, Before: 10, Limit: 9}, ""},
		{"upside down", store.LogQuery{After: 12, Before: 9, Limit: 9}, ""},
		{"behind the end", store.LogQuery{After: 300, Limit: 9}, ""},
	} {
		tt.q.Shard, tt.q.Instance = 5, "i"
		if got := strings.Join(query(t, s, tt.q), ","); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := logOf(t, s, 5, "nobody"); len(got) != 0 {
		t.Errorf("log of nobody: %q", got)
	}
}

func testLogRetention(t *testing.T, open Open) {
	s := open(t, store.Options{LogRetention: 10})
	f := Own(t, s, "a", 5)
	for n := uint64(1); n <= 60; n++ {
		with, without := Put("with", "1"), Put("without", "1")
		with.Log = Entries("with", n, n, n/7*7) // every seventh carries one
		without.Log = Entries("without", n, n)
		apply(t, s, 5, f, n, with, without)
		got := logOf(t, s, 5, "with")
		// The cut is at the newest entry with a snapshot that leaves ten.
		first := uint64(1)
		for c := uint64(7); c+9 <= n; c += 7 {
			first = c
		}
		if want := fmt.Sprintf("with %d", first); got[0] != want || len(got) != int(n-first+1) {
			t.Fatalf("after entry %d: %d entries from %q, want from %q", n, len(got), got[0], want)
		}
		if l := len(logOf(t, s, 5, "without")); l > 40 {
			t.Fatalf("without snapshots the log has %d entries", l)
		}
	}
	if l := len(logOf(t, s, 5, "without")); l < 10 {
		t.Errorf("without snapshots the log has only %d entries", l)
	}
}

func testLogOrder(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 5)
	st := Put("i", "1")
	st.Log = Entries("i", 1, 4)
	apply(t, s, 5, f, 1, st)
	st.Log = Entries("i", 4, 5)
	if r := commit(t, s, store.Group{Shard: 5, Fence: f, Number: 2, Steps: []store.Step{Put("i", "2"), st}}); r.Status != store.OutOfOrder {
		t.Errorf("an entry that is there: %+v", r)
	}
	st.Log = Entries("i", 5, 5)
	apply(t, s, 5, f, 2, Put("i", "2"), st)
}

func testBlobMissing(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 5)
	b := Body(1, 200_000)
	st := Put("i", "1")
	st.BlobAdd = []string{b.SHA256}
	if r := commit(t, s, store.Group{Shard: 5, Fence: f, Number: 1, Steps: []store.Step{st}}); r.Status != store.BlobMissing || !strings.Contains(r.Message, b.SHA256) {
		t.Errorf("%+v", r)
	}
	if err := s.PutBlob(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	apply(t, s, 5, f, 1, st)
	wrong := b
	wrong.Body = wrong.Body[1:]
	if err := s.PutBlob(t.Context(), wrong); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a body with another's name: %v", err)
	}
	if _, err := s.Blob(t.Context(), Body(9, 10).SHA256); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown body: %v", err)
	}
}

func testBlobCollect(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, store.Options{Now: clock.Now})
	f := Own(t, s, "a", 5)
	kept, dropped, orphan, touched := Body(1, 50), Body(2, 60_000), Body(3, 70_000), Body(4, 70_000)
	for _, b := range []store.Blob{dropped, orphan, touched} {
		if err := s.PutBlob(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	st := Put("i", "1")
	st.Blobs = []store.Blob{kept, Body(5, 10)} // the last is never referred to
	st.BlobAdd = []string{kept.SHA256, kept.SHA256, dropped.SHA256}
	apply(t, s, 5, f, 1, st)
	collect := func(want int) {
		t.Helper()
		if n, err := s.Collect(t.Context()); n != want || err != nil {
			t.Errorf("collected %d, %v; want %d", n, err, want)
		}
	}
	is := func(b store.Blob, there bool) {
		t.Helper()
		got, err := s.Blob(t.Context(), b.SHA256)
		if there && (err != nil || !bytes.Equal(got, b.Body)) || !there && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("body of %d bytes: %d bytes, %v; want there = %v", len(b.Body), len(got), err, there)
		}
	}
	collect(0)
	clock.T = clock.T.Add(store.BlobTime - time.Minute)
	if err := s.PutBlob(t.Context(), touched); err != nil {
		t.Fatal(err)
	}
	collect(0)
	clock.T = clock.T.Add(2 * time.Minute)
	collect(2) // the orphans
	is(orphan, false)
	is(touched, true)
	is(kept, true)
	is(dropped, true)

	// Added twice, removed once: still referred to. Removed what it does not
	// refer to: nothing happens.
	st = Put("i", "2")
	st.BlobRemove = []string{kept.SHA256, dropped.SHA256, touched.SHA256, dropped.SHA256}
	apply(t, s, 5, f, 2, st)
	is(dropped, true) // an hour from now
	collect(0)
	clock.T = clock.T.Add(store.BlobTime + time.Minute)
	collect(2)
	is(dropped, false)
	is(touched, false)
	is(kept, true)
	st.BlobRemove = []string{kept.SHA256}
	apply(t, s, 5, f, 3, st)
	st = Put("i", "3")
	st.BlobAdd = []string{kept.SHA256} // in time again
	apply(t, s, 5, f, 4, st)
	clock.T = clock.T.Add(10 * store.BlobTime)
	collect(0)
	is(kept, true)
}

func testBlobLarge(t *testing.T, open Open) {
	s := open(t, store.Options{})
	for _, n := range []int{0, 1, 16 << 10, 16<<10 + 1, 5 << 20} {
		b := Body(n+1, n)
		if err := s.PutBlob(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := s.PutBlob(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got, err := s.Blob(t.Context(), b.SHA256)
		if err != nil || !bytes.Equal(got, b.Body) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

func testCharts(t *testing.T, open Open) {
	s := open(t, store.Options{})
	chart := func(name string, seed int) store.Chart {
		b := Body(seed, 30)
		return store.Chart{Name: name, Digest: b.SHA256, Head: []byte(name + "'s head"), Document: b.Body}
	}
	old, young, other := chart("order", 1), chart("order", 2), chart("bot", 3)
	for _, c := range []store.Chart{old, young, other} {
		for _, want := range []bool{true, false} {
			if created, err := s.PutChart(t.Context(), c); err != nil || created != want {
				t.Errorf("put %s: %v, %v; want %v", c.Name, created, err, want)
			}
		}
	}
	for _, tt := range []struct {
		digest, name string
		want         store.Chart
	}{{"", "order", young}, {old.Digest, "", old}, {old.Digest, "bot", old}, {"", "bot", other}} {
		got, err := s.Chart(t.Context(), tt.digest, tt.name)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("chart %q %q: %v (-want +got):\n%s", tt.digest, tt.name, err, diff)
		}
	}
	for _, q := range [][2]string{{"", "nobody"}, {Body(9, 9).SHA256, ""}, {"", ""}} {
		if _, err := s.Chart(t.Context(), q[0], q[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("chart %q: %v", q, err)
		}
	}
	want := []store.Chart{other, young, old}
	for i := range want {
		want[i].Document = nil
	}
	got, err := s.Charts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diffState(t, "charts", want, got)
	if _, err := s.PutChart(t.Context(), store.Chart{Name: "x", Digest: "y"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a bad digest: %v", err)
	}
}

func list(t testing.TB, s store.Store) (map[string]string, *store.Token) {
	t.Helper()
	views := make(map[string]string)
	token, err := s.List(t.Context(), func(c store.Change) error {
		views[fmt.Sprintf("%d %s", c.Kind, c.ID)] = string(c.View)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return views, token
}

func testListAndChanges(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f, g := Own(t, s, "a", 5), Own(t, s, "a", 6)
	empty := headsOf(t, s)
	one := Put("i", "1")
	one.Log = Entries("i", 1, 2)
	apply(t, s, 5, f, 1, one, Put("j", "1"))
	if r := commit(t, s, store.Group{Shard: 6, Fence: g, Number: 1, Hosts: []store.Row{{ID: "h", Body: []byte("host")}}}); r.Status != store.Applied {
		t.Fatalf("%+v", r)
	}
	views, token := list(t, s)
	diffState(t, "list", map[string]string{"1 i": "view 1", "1 j": "view 1", "3 h": "host"}, views)
	if *token != *headsOf(t, s) {
		t.Error("the token of a list is not the heads")
	}
	apply(t, s, 5, f, 2, Put("i", "2"), Put("i", "3"), store.Step{Instance: "j", Remove: true})

	got, err := s.Changes(t.Context(), 5, empty[5], 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.ChangeSet{
		{Shard: 5, Position: token[5], Changes: []store.Change{
			{Kind: store.InstanceChanged, ID: "i", View: []byte("view 1"), Log: [][]byte{[]byte("i 1"), []byte("i 2")}},
			{Kind: store.InstanceChanged, ID: "j", View: []byte("view 1")},
		}},
		{Shard: 5, Position: headsOf(t, s)[5], Changes: []store.Change{
			{Kind: store.InstanceChanged, ID: "i", View: []byte("view 2")},
			{Kind: store.InstanceChanged, ID: "i", View: []byte("view 3")},
			{Kind: store.InstanceRemoved, ID: "j"},
		}},
	}
	diffState(t, "changes from the beginning", want, got)
	for name, tt := range map[string]struct {
		shard uint32
		after store.Position
		limit int
		want  []store.ChangeSet
	}{
		"after the list":    {5, token[5], 10, want[1:]},
		"one at a time":     {5, empty[5], 1, want[:1]},
		"at the end":        {5, headsOf(t, s)[5], 10, nil},
		"of a silent shard": {77, store.Position{}, 10, nil},
	} {
		got, err := s.Changes(t.Context(), tt.shard, tt.after, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		diffState(t, name, tt.want, got)
	}
	views, _ = list(t, s)
	diffState(t, "list at the end", map[string]string{"1 i": "view 3", "3 h": "host"}, views)
}

func testTokenReset(t *testing.T, open Open) {
	s := open(t, store.Options{ChangeRetention: 8})
	f := Own(t, s, "a", 5)
	var at []store.Position
	for n := range uint64(20) {
		at = append(at, headsOf(t, s)[5])
		apply(t, s, 5, f, n+1, Put("i", fmt.Sprint(n)))
	}
	// Positions 13 to 20 are kept; at[13] names group 13.
	for i, p := range at {
		sets, err := s.Changes(t.Context(), 5, p, 100)
		if i >= 13 {
			if err != nil || len(sets) != 20-i {
				t.Errorf("after %d: %d groups, %v", p.Sequence, len(sets), err)
			}
		} else if !errors.Is(err, store.ErrReset) {
			t.Errorf("after %d: %v, want a reset", p.Sequence, err)
		}
	}
	foreign := headsOf(t, s)[5]
	foreign.Incarnation[0]++
	future := headsOf(t, s)[5]
	future.Sequence++
	for name, p := range map[string]store.Position{"foreign at the head": foreign, "behind the head": future, "foreign": {Sequence: 15}} {
		if _, err := s.Changes(t.Context(), 5, p, 10); !errors.Is(err, store.ErrReset) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Changes(t.Context(), 6, future, 10); !errors.Is(err, store.ErrReset) {
		t.Error("a position in a shard without changes")
	}
	token := headsOf(t, s)
	token[5] = at[2]
	err := store.Watch(t.Context(), s, token, time.Hour, func([]store.Change, *store.Token) error { return nil })
	if !errors.Is(err, store.ErrReset) {
		t.Errorf("watch from a trimmed token: %v", err)
	}

	big := open(t, store.Options{ChangeBytes: 50_000})
	f = Own(t, big, "a", 5)
	for n := range uint64(10) {
		apply(t, big, 5, f, n+1, store.Step{Instance: "i", Record: &store.Record{View: noise(n, 20_000)}})
	}
	if _, err := big.Changes(t.Context(), 5, store.Position{}, 100); !errors.Is(err, store.ErrReset) {
		t.Errorf("200 kB of changes are kept: %v", err)
	}
}

// noise is n bytes that do not compress.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	x := seed*2 + 1
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

func testWatchChart(t *testing.T, open Open) {
	s := open(t, store.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b := Body(1, 10)
	started := make(chan struct{})
	go func() {
		<-started
		_, err := s.PutChart(ctx, store.Chart{Name: "n", Digest: b.SHA256, Head: []byte("head"), Document: b.Body})
		if err != nil {
			t.Error(err)
		}
	}()
	// A keep-alive comes first: then the watch is at the present end.
	var keepAlive sync.Once
	done := errors.New("done")
	err := store.Watch(ctx, s, nil, 10*time.Millisecond, func(cs []store.Change, _ *store.Token) error {
		keepAlive.Do(func() { close(started) })
		if len(cs) == 0 {
			return nil
		}
		diffState(t, "change", []store.Change{{Kind: store.ChartChanged, ID: b.SHA256, View: []byte("head")}}, cs)
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
}

// Whoever lists and then watches sees every step exactly once in all, while
// several owners commit.
func testWatchNoGap(t *testing.T, open Open) {
	s := open(t, store.Options{})
	const shards, groups = 4, 60
	var wg sync.WaitGroup
	for shard := range uint32(shards) {
		f := Own(t, s, "a", shard)
		wg.Go(func() {
			for n := uint64(1); n <= groups; n++ {
				st := Put(fmt.Sprintf("i%d", shard), fmt.Sprint(n))
				if _, err := s.Commit(t.Context(), []store.Group{{Shard: shard, Fence: f, Number: n, Steps: []store.Step{st}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := errors.New("done")
	for range 6 {
		wg.Go(func() {
			seen := make(map[string]int)
			token, err := s.List(ctx, func(c store.Change) error {
				_, err := fmt.Sscanf(string(c.View), "view %d", ptr(seen, c.ID))
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			for shard := range shards {
				if got := seen[fmt.Sprintf("i%d", shard)]; uint64(got) != token[shard].Sequence {
					t.Errorf("shard %d: view %d is listed with token %d", shard, got, token[shard].Sequence)
				}
			}
			// The token goes through its bytes, as it does over the wire.
			if token, err = store.ParseToken(token.Marshal()); err != nil {
				t.Error(err)
				return
			}
			all := func() bool {
				for shard := range shards {
					if seen[fmt.Sprintf("i%d", shard)] != groups {
						return false
					}
				}
				return true
			}
			if all() {
				return
			}
			err = store.Watch(ctx, s, token, time.Second, func(cs []store.Change, _ *store.Token) error {
				for _, c := range cs {
					if want, got := fmt.Sprintf("view %d", seen[c.ID]+1), string(c.View); got != want {
						return fmt.Errorf("instance %s: %s comes where %s should", c.ID, got, want)
					}
					seen[c.ID]++
				}
				if all() {
					return done
				}
				return nil
			})
			if !errors.Is(err, done) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// scanInto lets Sscanf write into a map.
type scanInto struct {
	m  map[string]int
	id string
}

func ptr(m map[string]int, id string) *scanInto { return &scanInto{m, id} }

// Scan implements fmt.Scanner.
func (s *scanInto) Scan(st fmt.ScanState, _ rune) error {
	var n int
	_, err := fmt.Fscan(st, &n)
	s.m[s.id] = n
	return err
}
