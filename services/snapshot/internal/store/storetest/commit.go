// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testFence(t *testing.T, open Open) {
	s := open(t, store.Options{})
	if r := commit(t, s, store.Group{Shard: 3, Fence: store.Fence{Nonce: "n"}, Number: 1}); r.Status != store.Fenced {
		t.Errorf("a shard that nobody owns: %v", r.Status)
	}
	old := Own(t, s, "a", 3)
	apply(t, s, 3, old, 1, Put("i", "1"))
	now := Own(t, s, "a", 3) // the same owner, started again
	if now.Epoch != old.Epoch+1 {
		t.Errorf("epoch %d after %d", now.Epoch, old.Epoch)
	}
	for name, f := range map[string]store.Fence{
		"stale":                        old,
		"equal epoch, other nonce":     {Epoch: now.Epoch, Nonce: "other"},
		"equal nonce, other epoch":     {Epoch: now.Epoch + 1, Nonce: now.Nonce},
		"equal epoch, earlier's nonce": {Epoch: now.Epoch, Nonce: old.Nonce},
	} {
		r := commit(t, s, store.Group{Shard: 3, Fence: f, Number: 2, Steps: []store.Step{Put("i", "bad")}})
		want := store.Result{Status: store.Fenced, Epoch: now.Epoch, LastGroup: 1}
		if diff := cmp.Diff(want, r, cmpopts.IgnoreFields(store.Result{}, "Message")); diff != "" || r.Message == "" {
			t.Errorf("%s (-want +got):\n%s message %q", name, diff, r.Message)
		}
		err := s.Load(t.Context(), 3, f, func(store.ShardState) error { return nil }, func(store.Instance) error { return nil })
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s: Load: %v", name, err)
		}
	}
	apply(t, s, 3, now, 2, Put("i", "2"))
	if got := string(load(t, s, 3, now).Instances[0].Record.View); got != "view 2" {
		t.Errorf("view is %q", got)
	}
}

func testNumbering(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 0)
	one := apply(t, s, 0, f, 1, Put("i", "1"))
	if r := commit(t, s, one); r.Status != store.AlreadyApplied || r.LastGroup != 1 {
		t.Errorf("the same again: %+v", r)
	}
	changed := one
	changed.Steps = []store.Step{Put("i", "other")}
	for name, g := range map[string]store.Group{
		"same number, other content": changed,
		"one too far":                {Shard: 0, Fence: f, Number: 3, Steps: []store.Step{Put("i", "3")}},
	} {
		if r := commit(t, s, g); r.Status != store.OutOfOrder || r.LastGroup != 1 || r.Message == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	apply(t, s, 0, f, 2, Put("i", "2"))
	if r := commit(t, s, one); r.Status != store.OutOfOrder || r.LastGroup != 2 {
		t.Errorf("a group before the last: %+v", r)
	}
	// The number goes on with another owner.
	f = Own(t, s, "a", 0)
	if st := load(t, s, 0, f); st.Head.LastGroup != 2 {
		t.Errorf("last group is %d, want 2", st.Head.LastGroup)
	}
	apply(t, s, 0, f, 3, Put("i", "3"))
}

// A group that is refused leaves nothing behind.
func testAtomicity(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 9)
	apply(t, s, 9, f, 1, store.Step{Instance: "i", Record: record("1"), Log: Entries("i", 1, 5)})
	before, heads := load(t, s, 9, f), headsOf(t, s)
	missing := Body(1, 20_000)
	full := store.Step{
		Instance: "j", Record: record("2"),
		OutboxPut: []store.Row{{ID: "c", Body: []byte("c")}},
		QueuePut:  []store.QueueRow{{Sequence: 1, Body: []byte("q")}},
		Log:       Entries("j", 1, 1),
		Requests:  []store.Row{{ID: "r", Body: []byte("r")}},
		Blobs:     []store.Blob{Body(2, 10)}, BlobAdd: []string{Body(2, 10).SHA256},
	}
	bad := store.Step{Instance: "k", Record: record("2"), BlobAdd: []string{missing.SHA256}}
	badLog := store.Step{Instance: "i", Record: record("2"), Log: Entries("i", 5, 6)}
	for name, tt := range map[string]struct {
		step store.Step
		want store.Status
	}{"missing body": {bad, store.BlobMissing}, "log goes back": {badLog, store.OutOfOrder}} {
		g := store.Group{
			Shard: 9, Fence: f, Number: 2, Steps: []store.Step{full, tt.step},
			Marks: []store.Mark{{Source: "h", Incarnation: "j", Sequence: 1}}, Hosts: []store.Row{{ID: "h", Body: []byte("h")}},
		}
		if r := commit(t, s, g); r.Status != tt.want || r.LastGroup != 1 {
			t.Fatalf("%s: %+v", name, r)
		}
		if diff := cmp.Diff(before, load(t, s, 9, f)); diff != "" {
			t.Errorf("%s left something (-before +after):\n%s", name, diff)
		}
		if _, err := s.Request(t.Context(), 9, "r"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: request: %v", name, err)
		}
		if _, err := s.Blob(t.Context(), full.BlobAdd[0]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: body: %v", name, err)
		}
		if l := logOf(t, s, 9, "j"); len(l) != 0 {
			t.Errorf("%s: log: %q", name, l)
		}
	}
	if got := headsOf(t, s); *got != *heads {
		t.Error("the heads moved")
	}
}

// Groups of one call are applied or refused each alone.
func testGroupsAlone(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f1, f2, f3 := Own(t, s, "a", 1), Own(t, s, "a", 2), Own(t, s, "a", 250)
	shared := Body(3, 100)
	add := func(id string, inline bool) store.Step {
		st := store.Step{Instance: id, Record: record("1"), BlobAdd: []string{shared.SHA256}}
		if inline {
			st.Blobs = []store.Blob{shared}
		}
		return st
	}
	rs, err := s.Commit(t.Context(), []store.Group{
		{Shard: 1, Fence: f1, Number: 2, Steps: []store.Step{add("a", true)}},
		{Shard: 250, Fence: f3, Number: 1, Steps: []store.Step{add("c", false)}}, // the body came with a refused group
		{Shard: 2, Fence: f2, Number: 1, Steps: []store.Step{add("b", true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []store.Status
	for _, r := range rs {
		got = append(got, r.Status)
	}
	if diff := cmp.Diff([]store.Status{store.OutOfOrder, store.BlobMissing, store.Applied}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if n := len(load(t, s, 1, f1).Instances) + len(load(t, s, 250, f3).Instances); n != 0 {
		t.Errorf("refused groups left %d instances", n)
	}
	if n := len(load(t, s, 2, f2).Instances); n != 1 {
		t.Errorf("the applied group left %d instances", n)
	}
	if rs, err := s.Commit(t.Context(), nil); err != nil || len(rs) != 0 {
		t.Errorf("no groups: %v, %v", rs, err)
	}
}

func testInvalid(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 1)
	group := func(steps ...store.Step) []store.Group {
		return []store.Group{{Shard: 1, Fence: f, Number: 1, Steps: steps}}
	}
	wrong := Body(1, 10)
	wrong.Body = []byte("something else")
	for name, groups := range map[string][]store.Group{
		"no such shard":         {{Shard: 256, Fence: f, Number: 1}},
		"two for one shard":     append(group(Put("i", "1")), group(Put("j", "1"))...),
		"no nonce":              {{Shard: 1, Fence: store.Fence{Epoch: 1}, Number: 1}},
		"number 0":              {{Shard: 1, Fence: f}},
		"no instance":           group(Put("", "1")),
		"NUL in instance":       group(Put("a\x00b", "1")),
		"long instance":         group(Put(strings.Repeat("x", 513), "1")),
		"no record":             group(store.Step{Instance: "i"}),
		"record and remove":     group(store.Step{Instance: "i", Remove: true, Record: record("1")}),
		"queue entry 0":         group(store.Step{Instance: "i", Record: record("1"), QueuePut: []store.QueueRow{{}}}),
		"log goes back":         group(store.Step{Instance: "i", Record: record("1"), Log: Entries("i", 2, 2)}, store.Step{Instance: "i", Record: record("1"), Log: Entries("i", 1, 1)}),
		"body has another name": group(store.Step{Instance: "i", Record: record("1"), Blobs: []store.Blob{wrong}}),
		"inline body too large": group(store.Step{Instance: "i", Record: record("1"), Blobs: []store.Blob{Body(1, 16<<10+1)}}),
		"no SHA-256":            group(store.Step{Instance: "i", Record: record("1"), BlobAdd: []string{"abc"}}),
		"too many steps":        group(make([]store.Step, 257)...),
	} {
		if _, err := s.Commit(t.Context(), groups); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := load(t, s, 1, f); st.Head.LastGroup != 0 || len(st.Instances) != 0 {
		t.Errorf("something was written: %+v", st)
	}
}

func testRows(t *testing.T, open Open) {
	s := open(t, store.Options{})
	f := Own(t, s, "a", 200)
	row := func(id string) store.Row { return store.Row{ID: id, Body: []byte("body " + id)} }
	entry := func(n uint64) store.QueueRow { return store.QueueRow{Sequence: n, Body: []byte{byte(n)}} }
	g := store.Group{
		Shard: 200, Fence: f, Number: 1,
		Steps: []store.Step{
			{
				Instance: "i", Record: record("1"),
				OutboxPut: []store.Row{row("z"), row("y"), row("x")},
				QueuePut:  []store.QueueRow{entry(1), entry(2), entry(300), entry(301)},
			},
			{Instance: "i.j", Record: &store.Record{}, OutboxPut: []store.Row{row("own")}},
			// Trimmed and deleted in the group that put them.
			{Instance: "i", Record: record("2"), OutboxPut: []store.Row{row("gone")}, OutboxDelete: []string{"gone", "never there"}, QueueTrim: 1},
		},
		Marks: []store.Mark{{Source: "h", Incarnation: "j1", Sequence: 7}, {Source: "g", Incarnation: "", Sequence: 1 << 50}},
		Hosts: []store.Row{{ID: "h", Body: []byte("host")}},
	}
	if r := commit(t, s, g); r.Status != store.Applied {
		t.Fatalf("%+v", r)
	}
	want := state{
		Head: store.ShardState{
			LastGroup: 1,
			Marks:     []store.Mark{{Source: "g", Sequence: 1 << 50}, {Source: "h", Incarnation: "j1", Sequence: 7}},
			Hosts:     []store.Row{{ID: "h", Body: []byte("host")}},
		},
		Instances: []store.Instance{
			{ID: "i", Record: *record("2"), Outbox: []store.Row{row("z"), row("y"), row("x")}, Queue: []store.QueueRow{entry(2), entry(300), entry(301)}},
			{ID: "i.j", Outbox: []store.Row{row("own")}},
		},
	}
	diffState(t, "after the first group", want, load(t, s, 200, f))

	changed := row("z")
	changed.Body = []byte("again")
	died := entry(301)
	died.Body = []byte("died once")
	g = store.Group{
		Shard: 200, Fence: f, Number: 2,
		Steps: []store.Step{{
			Instance: "i", Record: record("3"),
			OutboxPut: []store.Row{changed}, OutboxDelete: []string{"y"},
			QueuePut: []store.QueueRow{died}, QueueDelete: []uint64{300, 999}, QueueTrim: 2,
		}},
		Marks: []store.Mark{{Source: "h", Incarnation: "j2", Sequence: 1}},
	}
	if r := commit(t, s, g); r.Status != store.Applied {
		t.Fatalf("%+v", r)
	}
	want.Head.LastGroup, want.Head.Marks[1] = 2, g.Marks[0]
	want.Instances[0] = store.Instance{ID: "i", Record: *record("3"), Outbox: []store.Row{row("x"), changed}, Queue: []store.QueueRow{died}}
	diffState(t, "after the second group", want, load(t, s, 200, f))
}

func testRemove(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, store.Options{Now: clock.Now})
	f := Own(t, s, "a", 4)
	b := Body(1, 100)
	full := store.Step{
		Instance: "i", Record: record("1"),
		OutboxPut: []store.Row{{ID: "c", Body: []byte("c")}},
		QueuePut:  []store.QueueRow{{Sequence: 1, Body: []byte("q")}},
		Log:       Entries("i", 1, 3),
		Blobs:     []store.Blob{b}, BlobAdd: []string{b.SHA256},
	}
	neighbour := full
	neighbour.Instance, neighbour.Log = "i2", Entries("i2", 1, 3)
	apply(t, s, 4, f, 1, full, neighbour)
	answer := []store.Row{{ID: "r", Body: []byte("removed")}}
	apply(t, s, 4, f, 2, store.Step{Instance: "i", Remove: true, Requests: answer})
	st := load(t, s, 4, f)
	if len(st.Instances) != 1 || st.Instances[0].ID != "i2" || len(st.Instances[0].Outbox) != 1 || len(st.Instances[0].Queue) != 1 {
		t.Errorf("instances: %+v", st.Instances)
	}
	if l := logOf(t, s, 4, "i"); len(l) != 0 {
		t.Errorf("the log is still there: %q", l)
	}
	if got, err := s.Request(t.Context(), 4, "r"); err != nil || string(got) != "removed" {
		t.Errorf("request: %q, %v", got, err)
	}
	// It may come again under its name, from the beginning, also at once.
	again := full
	again.Blobs, again.BlobAdd, again.QueuePut, again.OutboxPut = nil, nil, nil, nil
	apply(t, s, 4, f, 3, full, store.Step{Instance: "i", Remove: true}, again)
	diffState(t, "made again", []store.Instance{{ID: "i", Record: *record("1")}}, load(t, s, 4, f).Instances[:1])
	if l := logOf(t, s, 4, "i"); len(l) != 3 {
		t.Errorf("log: %q", l)
	}
	// Its references are gone, the neighbour's is not.
	clock.T = clock.T.Add(store.BlobTime + time.Second)
	if n, err := s.Collect(t.Context()); n != 0 || err != nil {
		t.Errorf("collected %d, %v", n, err)
	}
	apply(t, s, 4, f, 4, store.Step{Instance: "i2", Remove: true})
	clock.T = clock.T.Add(store.BlobTime + time.Second)
	if n, err := s.Collect(t.Context()); n != 1 || err != nil {
		t.Errorf("collected %d, %v", n, err)
	}
}

func testRequests(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, store.Options{Now: clock.Now})
	f := Own(t, s, "a", 6)
	st := Put("i", "1")
	st.Requests = []store.Row{{ID: "r1", Body: []byte("one")}, {ID: "r2"}}
	apply(t, s, 6, f, 1, st)
	check := func(id string, want string, found bool) {
		t.Helper()
		got, err := s.Request(t.Context(), 6, id)
		if found && (err != nil || string(got) != want) || !found && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("request %s: %q, %v", id, got, err)
		}
	}
	check("r1", "one", true)
	check("r2", "", true)
	check("r3", "", false)
	if _, err := s.Request(t.Context(), 7, "r1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in another shard: %v", err)
	}
	clock.T = clock.T.Add(store.RequestTime - time.Minute)
	if _, err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("r1", "one", true)
	st.Requests = []store.Row{{ID: "r2", Body: []byte("two again")}}
	apply(t, s, 6, f, 2, st)
	clock.T = clock.T.Add(2 * time.Minute)
	check("r1", "", false)
	if _, err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("r1", "", false)
	check("r2", "two again", true)
}

func testLeases(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, store.Options{Now: clock.Now})
	a := store.Owner{Name: "a", Nonce: "a1", Address: "host-a:7402"}
	b := store.Owner{Name: "b", Nonce: "b1", Address: "host-b:7402"}
	type ask func() ([]store.Lease, error)
	acquire := func(o store.Owner) ask {
		return func() ([]store.Lease, error) { return s.Acquire(t.Context(), o, []uint32{0, 255}) }
	}
	renew := func(o store.Owner) ask {
		return func() ([]store.Lease, error) { return s.Renew(t.Context(), o, []uint32{0, 255}) }
	}
	expect := func(what string, do ask, held bool, epoch uint64, owner string) {
		t.Helper()
		got, err := do()
		if err != nil {
			t.Fatal(err)
		}
		var want []store.Lease
		for _, shard := range []uint32{0, 255} {
			l := store.Lease{Shard: shard, Held: held, Epoch: epoch, Owner: owner}
			if owner != "" {
				l.Address = "host-" + owner + ":7402"
			}
			want = append(want, l)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Lease{}, "Expire")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if left := got[0].Expire.Sub(clock.T); held && left != store.LeaseTime {
			t.Errorf("%s: lease for %v", what, left)
		}
	}
	expect("renewing what nobody owns", renew(a), false, 0, "")
	expect("the first owner", acquire(a), true, 1, "a")
	expect("another", acquire(b), false, 1, "a")
	clock.T = clock.T.Add(9 * time.Second)
	expect("renewing", renew(a), true, 1, "a")
	expect("renewing another's", renew(b), false, 1, "a")
	clock.T = clock.T.Add(9 * time.Second)
	expect("another within the renewed lease", acquire(b), false, 1, "a")
	a.Nonce = "a2"
	expect("the same owner started again", acquire(a), true, 2, "a")
	expect("its earlier self", renew(store.Owner{Name: "a", Nonce: "a1"}), false, 2, "a")
	clock.T = clock.T.Add(11 * time.Second)
	expect("renewing late, before anybody came", renew(a), true, 2, "a")
	clock.T = clock.T.Add(11 * time.Second)
	expect("another after the lease", acquire(b), true, 3, "b")
	expect("renewing too late", renew(a), false, 3, "b")
	if err := s.Release(t.Context(), a, []uint32{0, 255}); err != nil {
		t.Fatal(err)
	}
	expect("after a release by one who does not own it", acquire(a), false, 3, "b")
	if err := s.Release(t.Context(), b, []uint32{0, 255}); err != nil {
		t.Fatal(err)
	}
	expect("renewing what was released", renew(b), false, 3, "")
	expect("after the owner's release", acquire(a), true, 4, "a")
	apply(t, s, 255, store.Fence{Epoch: 4, Nonce: "a2"}, 1, Put("i", "1"))
	if ls, err := renew(a)(); err != nil || ls[0].LastGroup != 0 || ls[1].LastGroup != 1 {
		t.Errorf("last groups: %+v, %v", ls, err)
	}
	if _, err := s.Acquire(t.Context(), a, []uint32{256}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("shard 256: %v", err)
	}
	if _, err := s.Acquire(t.Context(), store.Owner{Name: "a"}, []uint32{1}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no nonce: %v", err)
	}
}

// diffState compares, taking nil and empty for the same.
func diffState(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := diffOf(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func diffOf(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }
