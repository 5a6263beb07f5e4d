// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"pgregory.net/rapid"
)

const modelRetention = 5

// model is a store as one would write it without care for speed or crashes.
type model struct {
	s     store.Store
	clock *Clock

	shards   map[uint32]*modelShard
	bodies   map[string]time.Time // last touch
	requests map[string]string
	// seen is what a watch has taken in so far; pending what it must still see.
	seen    store.Token
	pending map[uint32][]store.ChangeSet
	serial  int
}

type modelShard struct {
	fence     store.Fence
	last      store.Group // the last applied
	head      store.ShardState
	instances map[string]*modelInstance
}

type modelInstance struct {
	store.Instance
	log  []store.LogRow
	next uint64 // log sequence
	refs map[string]int
}

// testModel compares the store with the model after every step of a random
// schedule of owners, commits, repeats and mistakes.
func testModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := NewClock()
		sc := &scope{TB: t}
		defer sc.end()
		m := &model{
			clock:  clock,
			s:      open(sc, store.Options{Now: clock.Now, LogRetention: modelRetention}),
			shards: make(map[uint32]*modelShard), bodies: make(map[string]time.Time),
			requests: make(map[string]string), pending: make(map[uint32][]store.ChangeSet),
		}
		for _, shard := range []uint32{0, 17, 255} {
			m.shards[shard] = &modelShard{instances: make(map[string]*modelInstance)}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"own":     m.own,
			"commit":  m.commit,
			"commit2": m.commit,
			"repeat":  m.repeat,
			"collect": m.collect,
			"":        m.check,
		})
	})
}

// scope closes the store of a schedule when that ends, not with the test.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup implements testing.TB.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

func (m *model) shard(t *rapid.T, label string) uint32 {
	return rapid.SampledFrom([]uint32{0, 17, 255}).Draw(t, label)
}

func (m *model) own(t *rapid.T) {
	shard := m.shard(t, "shard")
	m.serial++
	o := store.Owner{Name: "a", Nonce: fmt.Sprint("n", m.serial)}
	ls, err := m.s.Acquire(t.Context(), o, []uint32{shard})
	if err != nil {
		t.Fatal(err)
	}
	sh := m.shards[shard]
	sh.fence = store.Fence{Epoch: sh.fence.Epoch + 1, Nonce: o.Nonce}
	if !ls[0].Held || ls[0].Epoch != sh.fence.Epoch || ls[0].LastGroup != sh.head.LastGroup {
		t.Fatalf("lease %+v, want epoch %d, group %d", ls[0], sh.fence.Epoch, sh.head.LastGroup)
	}
}

func (m *model) commit(t *rapid.T) {
	var groups []store.Group
	var want []store.Status
	for _, shard := range []uint32{255, 0, 17} {
		if !rapid.Bool().Draw(t, "with shard") {
			continue
		}
		sh := m.shards[shard]
		g := store.Group{Shard: shard, Fence: sh.fence, Number: sh.head.LastGroup + 1}
		status := store.Applied
		if sh.fence.Nonce == "" {
			g.Fence, status = store.Fence{Epoch: 1, Nonce: "early"}, store.Fenced
		}
		switch rapid.IntRange(0, 19).Draw(t, "mistake") {
		case 0:
			g.Fence.Epoch++
			status = store.Fenced
		case 1:
			g.Number++
			if status == store.Applied {
				status = store.OutOfOrder
			}
		}
		inGroup := make(map[string]bool)
		logs := make(map[string]uint64)
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			g.Steps = append(g.Steps, m.step(t, sh, inGroup, logs))
		}
		for i := range g.Steps {
			for _, sha := range g.Steps[i].BlobAdd {
				if _, there := m.bodies[sha]; !there && !inGroup[sha] && status == store.Applied {
					status = store.BlobMissing
				}
			}
		}
		if rapid.Bool().Draw(t, "mark") {
			g.Marks = []store.Mark{{Source: rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "source"), Incarnation: "j", Sequence: g.Number}}
			g.Hosts = []store.Row{{ID: g.Marks[0].Source, Body: fmt.Append(nil, "host ", g.Number)}}
		}
		groups, want = append(groups, g), append(want, status)
		if status == store.Applied {
			m.apply(sh, g)
		}
	}
	rs, err := m.s.Commit(t.Context(), groups)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Status != want[i] {
			t.Fatalf("shard %d group %d: %v (%s), want %v", groups[i].Shard, groups[i].Number, r.Status, r.Message, want[i])
		}
		if r.LastGroup != m.shards[groups[i].Shard].head.LastGroup {
			t.Fatalf("shard %d: last group %d", groups[i].Shard, r.LastGroup)
		}
	}
}

// step draws a step. inGroup collects the bodies that the group brings, logs
// the next log sequence of instances that the group has touched.
func (m *model) step(t *rapid.T, sh *modelShard, inGroup map[string]bool, logs map[string]uint64) store.Step {
	id := rapid.SampledFrom([]string{"a", "a.b", "b", "c@h"}).Draw(t, "instance")
	if _, ok := logs[id]; !ok {
		logs[id] = 1
		if in := sh.instances[id]; in != nil {
			logs[id] = in.next
		}
	}
	m.serial++
	st := store.Step{Instance: id}
	if rapid.IntRange(0, 9).Draw(t, "remove") == 0 {
		st.Remove = true
		logs[id] = 1
	} else {
		st.Record = record(fmt.Sprint(id, " ", m.serial))
	}
	if rapid.Bool().Draw(t, "request") {
		st.Requests = []store.Row{{ID: fmt.Sprint("r", rapid.IntRange(0, 3).Draw(t, "request id")), Body: fmt.Append(nil, m.serial)}}
	}
	if st.Remove {
		return st
	}
	command := rapid.SampledFrom([]string{"c1", "c2", "c3"})
	for _, c := range rapid.SliceOfNDistinct(command, 0, 3, rapid.ID[string]).Draw(t, "outbox put") {
		st.OutboxPut = append(st.OutboxPut, store.Row{ID: c, Body: fmt.Append(nil, c, m.serial)})
	}
	st.OutboxDelete = rapid.SliceOfN(command, 0, 1).Draw(t, "outbox delete")
	entry := rapid.Uint64Range(1, 6)
	for _, q := range rapid.SliceOfNDistinct(entry, 0, 3, rapid.ID[uint64]).Draw(t, "queue put") {
		st.QueuePut = append(st.QueuePut, store.QueueRow{Sequence: q, Body: fmt.Append(nil, q, "-", m.serial)})
	}
	st.QueueTrim = rapid.SampledFrom([]uint64{0, 0, 1, 3}).Draw(t, "queue trim")
	st.QueueDelete = rapid.SliceOfN(entry, 0, 1).Draw(t, "queue delete")
	for range rapid.IntRange(0, 3).Draw(t, "log") {
		l := store.LogRow{Sequence: logs[id], Snapshot: rapid.IntRange(0, 3).Draw(t, "cut") == 0, Body: fmt.Append(nil, id, " entry ", logs[id], " ", m.serial)}
		logs[id]++
		st.Log = append(st.Log, l)
	}
	body := rapid.Map(rapid.IntRange(1, 3), func(n int) store.Blob { return Body(n, 40) })
	for _, b := range rapid.SliceOfN(body, 0, 2).Draw(t, "inline") {
		st.Blobs = append(st.Blobs, b)
		inGroup[b.SHA256] = true
	}
	for _, b := range rapid.SliceOfN(body, 0, 2).Draw(t, "add") {
		st.BlobAdd = append(st.BlobAdd, b.SHA256)
	}
	for _, b := range rapid.SliceOfN(body, 0, 1).Draw(t, "drop") {
		st.BlobRemove = append(st.BlobRemove, b.SHA256)
	}
	return st
}

func (m *model) apply(sh *modelShard, g store.Group) {
	now := m.clock.T
	for _, st := range g.Steps {
		for _, b := range st.Blobs {
			m.bodies[b.SHA256] = now
		}
	}
	for _, st := range g.Steps {
		for _, r := range st.Requests {
			m.requests[fmt.Sprint(g.Shard, r.ID)] = string(r.Body)
		}
		if st.Remove {
			if in := sh.instances[st.Instance]; in != nil {
				for sha := range in.refs {
					m.bodies[sha] = now
				}
			}
			delete(sh.instances, st.Instance)
			continue
		}
		in := sh.instances[st.Instance]
		if in == nil {
			in = &modelInstance{Instance: store.Instance{ID: st.Instance}, next: 1, refs: make(map[string]int)}
			sh.instances[st.Instance] = in
		}
		in.apply(st)
		for _, sha := range st.BlobAdd {
			in.refs[sha]++
		}
		for _, sha := range st.BlobRemove {
			if in.refs[sha] > 0 {
				m.bodies[sha] = now
				if in.refs[sha]--; in.refs[sha] == 0 {
					delete(in.refs, sha)
				}
			}
		}
	}
	for _, mk := range g.Marks {
		sh.head.Marks = slices.DeleteFunc(sh.head.Marks, func(o store.Mark) bool { return o.Source == mk.Source })
		sh.head.Marks = append(sh.head.Marks, mk)
	}
	slices.SortFunc(sh.head.Marks, func(a, b store.Mark) int { return cmp.Compare(a.Source, b.Source) })
	for _, h := range g.Hosts {
		sh.head.Hosts = slices.DeleteFunc(sh.head.Hosts, func(o store.Row) bool { return o.ID == h.ID })
		sh.head.Hosts = append(sh.head.Hosts, h)
	}
	slices.SortFunc(sh.head.Hosts, func(a, b store.Row) int { return cmp.Compare(a.ID, b.ID) })
	sh.head.LastGroup, sh.last = g.Number, g
	d := g.Digest()
	m.pending[g.Shard] = append(m.pending[g.Shard], store.ChangeSet{
		Shard: g.Shard, Position: store.Position{Sequence: g.Number, Incarnation: [8]byte(d[:8])}, Changes: g.Changes(),
	})
}

func (in *modelInstance) apply(st store.Step) {
	in.Record = *st.Record
	for _, r := range st.OutboxPut {
		in.Outbox = append(slices.DeleteFunc(in.Outbox, func(o store.Row) bool { return o.ID == r.ID }), r)
	}
	in.Outbox = slices.DeleteFunc(in.Outbox, func(o store.Row) bool { return slices.Contains(st.OutboxDelete, o.ID) })
	for _, q := range st.QueuePut {
		in.Queue = append(slices.DeleteFunc(in.Queue, func(o store.QueueRow) bool { return o.Sequence == q.Sequence }), q)
	}
	in.Queue = slices.DeleteFunc(in.Queue, func(o store.QueueRow) bool {
		return o.Sequence <= st.QueueTrim || slices.Contains(st.QueueDelete, o.Sequence)
	})
	slices.SortFunc(in.Queue, func(a, b store.QueueRow) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, l := range st.Log {
		in.log, in.next = append(in.log, l), l.Sequence+1
	}
	if len(st.Log) == 0 {
		return
	}
	for i := len(in.log) - modelRetention; i >= 0; i-- {
		if in.log[i].Snapshot {
			in.log = in.log[i:]
			break
		}
	}
	if len(in.log) > 4*modelRetention {
		in.log = in.log[len(in.log)-modelRetention:]
	}
}

// repeat commits the last group of a shard again, as after an unknown outcome.
func (m *model) repeat(t *rapid.T) {
	sh := m.shards[m.shard(t, "shard")]
	if sh.head.LastGroup == 0 {
		return
	}
	want := store.AlreadyApplied
	if sh.last.Fence != sh.fence {
		want = store.Fenced
	}
	rs, err := m.s.Commit(t.Context(), []store.Group{sh.last})
	if err != nil {
		t.Fatal(err)
	}
	if rs[0].Status != want {
		t.Fatalf("again: %v, want %v", rs[0].Status, want)
	}
}

func (m *model) collect(t *rapid.T) {
	m.clock.T = m.clock.T.Add(time.Duration(rapid.IntRange(1, 50).Draw(t, "minutes")) * time.Minute)
	want := 0
	for sha, touched := range m.bodies {
		if m.clock.T.Sub(touched) >= store.BlobTime && !m.referred(sha) {
			delete(m.bodies, sha)
			want++
		}
	}
	if got, err := m.s.Collect(t.Context()); err != nil || got != want {
		t.Fatalf("collected %d, %v; want %d", got, err, want)
	}
}

func (m *model) referred(sha string) bool {
	for _, sh := range m.shards {
		for _, in := range sh.instances {
			if in.refs[sha] > 0 {
				return true
			}
		}
	}
	return false
}

// check compares everything that can be read.
func (m *model) check(t *rapid.T) {
	views := make(map[string]string)
	for shard, sh := range m.shards {
		for _, h := range sh.head.Hosts {
			views[fmt.Sprintf("%d %s", store.HostChanged, h.ID)] = "" // hosts of shards share ids here
		}
		var want []store.Instance
		for _, id := range slices.Sorted(maps.Keys(sh.instances)) {
			in := sh.instances[id]
			want = append(want, in.Instance)
			m.checkLog(t, shard, in)
			views[fmt.Sprintf("%d %s", store.InstanceChanged, id)] = ""
		}
		if sh.fence.Nonce != "" {
			got := state{}
			err := m.s.Load(t.Context(), shard, sh.fence,
				func(h store.ShardState) error { got.Head = h; return nil },
				func(in store.Instance) error { got.Instances = append(got.Instances, in); return nil })
			if err != nil {
				t.Fatal(err)
			}
			m.diff(t, fmt.Sprint("load of shard ", shard), state{sh.head, want}, got)
		}
		got, err := m.s.Changes(t.Context(), shard, m.seen[shard], 100)
		if err != nil {
			t.Fatal(err)
		}
		m.diff(t, fmt.Sprint("changes of shard ", shard), m.pending[shard], got)
		if n := len(got); n > 0 {
			m.seen[shard] = got[n-1].Position
		}
		m.pending[shard] = nil
	}
	listed := make(map[string]string)
	token, err := m.s.List(t.Context(), func(c store.Change) error {
		listed[fmt.Sprintf("%d %s", c.Kind, c.ID)] = ""
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.diff(t, "list", views, listed)
	if m.seen != *token {
		m.diff(t, "token", m.seen, *token)
	}
	for key, want := range m.requests {
		var shard uint32
		var id string
		if _, err := fmt.Sscanf(key, "%dr", &shard); err != nil {
			t.Fatal(err)
		}
		id = key[len(fmt.Sprint(shard)):]
		if got, err := m.s.Request(t.Context(), shard, id); err == nil && string(got) != want {
			t.Fatalf("request %s of shard %d: %q, want %q", id, shard, got, want)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 3; n++ {
		b := Body(n, 40)
		_, there := m.bodies[b.SHA256]
		if _, err := m.s.Blob(t.Context(), b.SHA256); (err == nil) != there {
			t.Fatalf("body %d: %v, want there = %v", n, err, there)
		}
	}
}

func (m *model) checkLog(t *rapid.T, shard uint32, in *modelInstance) {
	got, err := m.s.Log(t.Context(), store.LogQuery{Shard: shard, Instance: in.ID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for _, l := range in.log {
		want = append(want, l.Body)
	}
	m.diff(t, "log of "+in.ID, want, got)
}

func (m *model) diff(t *rapid.T, what string, want, got any) {
	t.Helper()
	if d := diffOf(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
