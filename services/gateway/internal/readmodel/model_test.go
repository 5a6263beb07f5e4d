// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/fakestore"
)

// feed runs a model on a fake store; stop waits for its end.
func feed(t interface{ Fatal(...any) }, store *fakestore.Store) (m *Model, stop func()) {
	lis := bufconn.Listen(1 << 16)
	srv := grpc.NewServer()
	snapshotv1.RegisterSnapshotServiceServer(srv, store)
	conn, err := grpc.NewClient("passthrough:///store", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	m = New(0)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = srv.Serve(lis) })
	all.Go(func() {
		_ = m.Run(ctx, snapshotv1.NewSnapshotServiceClient(conn), slog.New(slog.DiscardHandler))
	})
	return m, func() {
		cancel()
		_ = conn.Close()
		srv.Stop()
		all.Wait()
	}
}

// follower is a client: it keeps what it was told, as the dashboard does.
type follower struct {
	sel   Selection
	token string
	rows  map[string]*fleetv1.Instance
	hosts map[string]*fleetv1.Host
	log   map[string][]uint64
	seen  map[string]bool
	reset int
}

// follow takes in changes until it has nothing new, or a number of batches.
func (f *follower) follow(m *Model, batches int) error {
	w, err := m.Watch(f.sel, f.token)
	if errors.Is(err, ErrNotReady) {
		return nil
	}
	f.seen = map[string]bool{}
	for range batches {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		b, err := w.Next(ctx)
		cancel()
		if err != nil {
			return nil
		}
		if b.Reset || b.LogLost {
			f.token = ""
			f.reset++
			f.log = map[string][]uint64{}
			return nil
		}
		for _, c := range b.Changes {
			if err := f.take(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *follower) take(c *fleetv1.WatchResponse) error {
	if c.GetToken() != "" {
		f.token = c.GetToken()
	}
	switch c := c.GetChange().(type) {
	case *fleetv1.WatchResponse_Instance:
		f.rows[c.Instance.GetInstanceId()] = c.Instance
		f.seen[c.Instance.GetInstanceId()] = true
	case *fleetv1.WatchResponse_RemovedInstanceId:
		delete(f.rows, c.RemovedInstanceId)
		delete(f.log, c.RemovedInstanceId)
	case *fleetv1.WatchResponse_Host:
		f.hosts[c.Host.GetHostId()] = c.Host
	case *fleetv1.WatchResponse_Log:
		id, n := c.Log.GetInstanceId(), c.Log.GetSequence()
		if seen := f.log[id]; len(seen) > 0 && n != seen[len(seen)-1]+1 && n != 1 {
			return fmt.Errorf("log of %s: %d after %d", id, n, seen[len(seen)-1])
		}
		f.log[id] = append(f.log[id], n)
	case *fleetv1.WatchResponse_Synced:
		maps.DeleteFunc(f.rows, func(id string, _ *fleetv1.Instance) bool { return !f.seen[id] })
	}
	return nil
}

// TestModelEqualsTruth: whatever is committed, and however often the store's
// watch breaks, is trimmed or is away, the model and every client that follows
// it, with breaks and resumes of its own, end with the truth; and no client
// sees a hole in a log unless it is told to start again.
func TestModelEqualsTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		// A generator of our own: rapid prefers small numbers, which would be
		// commits only.
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		steps := make([]int, rapid.IntRange(5, 200).Draw(rt, "steps"))
		for i := range steps {
			steps[i] = random.IntN(110)
		}
		var err error
		synctest.Test(t, func(t *testing.T) { err = play(t, steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func play(t *testing.T, steps []int) error {
	store := &fakestore.Store{}
	store.PutHost(&fleetv1.Host{HostId: "h", LastSeenTime: timestamppb.Now()})
	m, stop := feed(t, store)
	defer stop()
	clients := []*follower{{}, {sel: Selection{Log: true}}, {sel: Selection{Instance: "i1@h", Log: true}}}
	for _, f := range clients {
		f.rows, f.hosts, f.log = map[string]*fleetv1.Instance{}, map[string]*fleetv1.Host{}, map[string][]uint64{}
	}
	lives := 0
	for _, step := range steps {
		id := fmt.Sprintf("i%d@h", step%7)
		switch {
		case step < 50:
			old := store.Instances()[id]
			v := &fleetv1.Instance{InstanceId: id, HostId: "h", State: fmt.Sprint(step), CreateTime: old.GetCreateTime()}
			if old == nil {
				lives++
				v.CreateTime = timestamppb.New(time.Unix(int64(lives), 0))
			}
			var entries []*fleetv1.LogEntry
			for n := range step%3 + 1 {
				v.LogSequence = old.GetLogSequence() + uint64(n) + 1
				entries = append(entries, &fleetv1.LogEntry{InstanceId: id, Sequence: v.LogSequence})
			}
			store.PutInstance(v, entries...)
		case step < 58:
			if store.Instances()[id] != nil {
				store.Remove(id)
			}
		case step < 64:
			store.Break()
		case step < 68:
			store.Trim()
			store.Break()
		case step < 71:
			store.Away(true)
		case step < 76:
			store.Away(false)
		case step < 84:
			time.Sleep(time.Duration(step-75) * 100 * time.Millisecond) // virtual
		default:
			if err := clients[step%3].follow(m, step%4+1); err != nil {
				return err
			}
		}
	}
	store.Away(false)
	store.PutHost(&fleetv1.Host{HostId: "h", LastSeenTime: timestamppb.Now(), JournalSequence: 9})
	time.Sleep(5 * time.Second) // virtual; reconnecting is over
	synctest.Wait()

	truth := maps.Clone(store.Instances())
	if truth == nil {
		truth = map[string]*fleetv1.Instance{}
	}
	page, err := m.Instances(Filter{}, 1000, "")
	if err != nil {
		return err
	}
	got := map[string]*fleetv1.Instance{}
	for _, v := range page.Instances {
		got[v.GetInstanceId()] = plainView(v)
	}
	if diff := cmp.Diff(truth, got, protocmp.Transform()); diff != "" {
		return fmt.Errorf("model is not the truth (-truth +model):\n%s", diff)
	}
	for i, f := range clients {
		for range 3 { // a reset, a list, the rest
			if err := f.follow(m, 1000); err != nil {
				return err
			}
		}
		rows := map[string]*fleetv1.Instance{}
		for id, v := range f.rows {
			rows[id] = plainView(v)
		}
		want := maps.Clone(truth)
		if f.sel.Instance != "" {
			maps.DeleteFunc(want, func(id string, _ *fleetv1.Instance) bool { return id != f.sel.Instance })
		}
		if diff := cmp.Diff(want, rows, protocmp.Transform()); diff != "" {
			return fmt.Errorf("client %d is not the truth (-truth +client):\n%s", i, diff)
		}
	}
	return nil
}

// plainView takes out what is derived when read.
func plainView(v *fleetv1.Instance) *fleetv1.Instance {
	v = proto.CloneOf(v)
	v.Unknown, v.UnknownReason, v.LastSeenTime = false, "", nil
	return v
}

// TestUnknownByTime is law 7: a host that says nothing becomes unknown with its
// instances within 10 s, watchers are told although nothing was committed, and
// told again when it is back. Free instances stay as they are.
func TestUnknownByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakestore.Store{}
		seen := timestamppb.Now()
		store.PutHost(&fleetv1.Host{HostId: "h", LastSeenTime: seen})
		store.PutInstance(&fleetv1.Instance{InstanceId: "a@h", HostId: "h", Configuration: []string{"running"}})
		store.PutInstance(&fleetv1.Instance{InstanceId: "b@nowhere", HostId: "nowhere"})
		store.PutInstance(&fleetv1.Instance{InstanceId: "free", Configuration: []string{"running"}})
		m, stop := feed(t, store)
		defer stop()
		synctest.Wait()
		check := func(state string, want ...string) {
			t.Helper()
			p, err := m.Instances(Filter{State: state}, 10, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range p.Instances {
				got = append(got, v.GetInstanceId())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("in state %s (-want +got):\n%s", state, diff)
			}
		}
		check("running", "a@h", "free")
		check(StateUnknown, "b@nowhere")
		w, err := m.Watch(Selection{}, "")
		if err != nil {
			t.Fatal(err)
		}
		until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetSynced() })

		start := time.Now()
		told := until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetInstance().GetInstanceId() == "a@h" })
		if v := told.GetInstance(); !v.GetUnknown() || v.GetUnknownReason() != "the agent of h is not heard of" || !proto.Equal(v.GetLastSeenTime(), seen) {
			t.Errorf("watcher was told %v", v)
		}
		if took := time.Since(start); took < 8*time.Second || took > 10*time.Second {
			t.Errorf("unknown after %v", took)
		}
		check("running", "free")
		check(StateUnknown, "a@h", "b@nowhere")

		store.PutHost(&fleetv1.Host{HostId: "h", LastSeenTime: timestamppb.Now()})
		told = until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetInstance().GetInstanceId() == "a@h" })
		if v := told.GetInstance(); v.GetUnknown() || v.GetUnknownReason() != "" {
			t.Errorf("host is back, instance still unknown: %v", v)
		}
		check("running", "a@h", "free")

		// Without the store nothing is known, free instances included.
		store.Away(true)
		until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetInstance().GetInstanceId() == "free" })
		if m.Ready() {
			t.Error("model says that it is ready")
		}
		check(StateUnknown, "a@h", "b@nowhere", "free")
	})
}

// TestEngineAway: the host is known, but a container's engine is not there, or does
// not answer: its instance is unknown until that engine is back.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakestore.Store{}
		answered := timestamppb.New(time.Now().Add(-time.Second))
		host := func(engine string, reachable bool) {
			store.PutHost(&fleetv1.Host{
				HostId: "h", LastSeenTime: timestamppb.Now(), EngineId: engine, EngineReachable: reachable, EngineSeenTime: answered,
			})
		}
		host("own", true)
		for id, target := range map[string]*fleetv1.Target{
			"a@h": {ContainerId: "c1", EngineId: "own"}, "removed@h": {EngineId: "own"}, "old@h": {ContainerId: "c2"},
		} {
			store.PutInstance(&fleetv1.Instance{InstanceId: id, HostId: "h", Target: target})
		}
		m, stop := feed(t, store)
		defer stop()
		synctest.Wait()
		w, err := m.Watch(Selection{}, "")
		if err != nil {
			t.Fatal(err)
		}
		until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetSynced() })
		for _, step := range []struct {
			engine             string
			reachable, unknown bool
			reason             string
		}{
			{"another", true, true, "another engine answers on h than the one that has the container"}, {"own", true, false, ""},
			{"own", false, true, "the engine of h does not answer"}, {"own", true, false, ""},
		} {
			host(step.engine, step.reachable)
			told := until(t, w, func(c *fleetv1.WatchResponse) bool { return c.GetInstance().GetInstanceId() == "a@h" })
			if v := told.GetInstance(); v.GetUnknown() != step.unknown || v.GetUnknownReason() != step.reason {
				t.Errorf("%+v: unknown %v: %s", step, v.GetUnknown(), v.GetUnknownReason())
			}
			// While it does not answer, the heartbeats of its agent say nothing of it.
			if seen := told.GetInstance().GetLastSeenTime(); proto.Equal(seen, answered) == step.reachable {
				t.Errorf("%+v: last seen %v", step, seen.AsTime())
			}
			// One without a container has nothing that could be unknown; that of an older
			// agent, which named no engine, is taken to be this one's.
			for id, unknown := range map[string]bool{"removed@h": false, "old@h": !step.reachable} {
				if v, err := m.Instance(id); err != nil || v.GetUnknown() != unknown {
					t.Errorf("%+v: %s unknown %v, %v", step, id, v.GetUnknown(), err)
				}
			}
		}
	})
}

// TestSkewedClock: a stamp that lies in the future does not keep a host known.
func TestSkewedClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakestore.Store{}
		store.PutHost(&fleetv1.Host{HostId: "h", LastSeenTime: timestamppb.New(time.Now().Add(time.Hour))})
		m, stop := feed(t, store)
		defer stop()
		time.Sleep(9 * time.Second) // virtual
		hosts, err := m.Hosts()
		if err != nil {
			t.Fatal(err)
		}
		if !hosts[0].GetUnknown() {
			t.Error("host of the future is known")
		}
	})
}

func until(t *testing.T, w *Watcher, f func(*fleetv1.WatchResponse) bool) *fleetv1.WatchResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(b.Changes, f); i >= 0 {
			return b.Changes[i]
		}
	}
}

// TestRepeatedChanges: what the store's watch repeats of a list is not told
// again, and views do not go back.
func TestRepeatedChanges(t *testing.T) {
	t.Parallel()
	m := New(0)
	step := func(n uint64) *snapshotv1.Change {
		return &snapshotv1.Change{Change: &snapshotv1.Change_Instance{Instance: &snapshotv1.InstanceChange{
			Instance: &fleetv1.Instance{InstanceId: "a", LogSequence: n},
			Log:      []*fleetv1.LogEntry{{InstanceId: "a", Sequence: n}},
		}}}
	}
	m.replace(contents{instances: []*fleetv1.Instance{{InstanceId: "a", LogSequence: 5}}})
	w, err := m.Watch(Selection{Log: true}, m.token(m.rev))
	if err != nil {
		t.Fatal(err)
	}
	m.apply([]*snapshotv1.Change{step(4), step(5), step(6)})
	var logs, views []uint64
	b, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Changes {
		if c.GetLog() != nil {
			logs = append(logs, c.GetLog().GetSequence())
		} else {
			views = append(views, c.GetInstance().GetLogSequence())
		}
	}
	if diff := cmp.Diff([]uint64{6}, logs); diff != "" {
		t.Errorf("log entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{6}, views); diff != "" {
		t.Errorf("views (-want +got):\n%s", diff)
	}
	m.apply([]*snapshotv1.Change{step(2)})
	if v, err := m.Instance("a"); err != nil || v.GetLogSequence() != 6 {
		t.Errorf("the view went back: %v, %v", v, err)
	}
}

// TestSlowWatcher: what changes again while a watcher is away is seen once, at
// its newest; log entries beyond the ring are told as lost.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	m := New(0)
	m.replace(contents{instances: []*fleetv1.Instance{{InstanceId: "a"}, {InstanceId: "b"}}})
	views, err := m.Watch(Selection{}, "")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := m.Watch(Selection{Log: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Watcher{views, logs} {
		if b, err := w.Next(t.Context()); err != nil || len(b.Changes) != 3 {
			t.Fatalf("first batch %v, %v", b, err)
		}
	}
	const n = logLimit + 10
	for i := range uint64(n) {
		m.apply([]*snapshotv1.Change{{Change: &snapshotv1.Change_Instance{Instance: &snapshotv1.InstanceChange{
			Instance: &fleetv1.Instance{InstanceId: "a", LogSequence: i + 1},
			Log:      []*fleetv1.LogEntry{{InstanceId: "a", Sequence: i + 1}},
		}}}})
	}
	b, err := views.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Changes) != 1 || b.Changes[0].GetInstance().GetLogSequence() != n {
		t.Errorf("slow watcher got %d changes, the first %v", len(b.Changes), b.Changes[0])
	}
	if b, err = logs.Next(t.Context()); err != nil || !b.LogLost {
		t.Errorf("watcher of the log was not told of the loss: %v, %v", b.LogLost, err)
	}
	if got := len(m.log); got > logLimit {
		t.Errorf("the ring holds %d entries", got)
	}
}

// TestForgottenRemovals: a watcher that was away for more removals than are
// remembered has to start again, for it cannot know what is gone.
func TestForgottenRemovals(t *testing.T) {
	t.Parallel()
	m := New(0)
	var many []*fleetv1.Instance
	for i := range goneLimit + 1 {
		many = append(many, &fleetv1.Instance{InstanceId: fmt.Sprintf("i%05d", i)})
	}
	m.replace(contents{instances: many})
	w, err := m.Watch(Selection{}, m.token(m.rev))
	if err != nil {
		t.Fatal(err)
	}
	m.replace(contents{})
	if b, err := w.Next(t.Context()); err != nil || !b.Reset {
		t.Errorf("got %+v, %v", b, err)
	}
	if m.gone > goneLimit || m.items.Len() > goneLimit {
		t.Errorf("%d removals are remembered", m.gone)
	}
	w, err = m.Watch(Selection{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := w.Next(t.Context()); err != nil || len(b.Changes) != 1 || !b.Changes[0].GetSynced() {
		t.Errorf("a new watcher got %+v, %v", b, err)
	}
}

// TestPages: pages hold every instance once, in order, also while others come
// and go between them.
func TestPages(t *testing.T) {
	t.Parallel()
	m := New(0)
	var all []*fleetv1.Instance
	for i := range 25 {
		all = append(all, &fleetv1.Instance{InstanceId: fmt.Sprintf("bot-%02d@h", i), Managed: i%2 == 0})
	}
	m.replace(contents{instances: all})
	var got []string
	token := ""
	for {
		p, err := m.Instances(Filter{Managed: true, Query: "BOT"}, 4, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Instances {
			got = append(got, v.GetInstanceId())
		}
		if token = p.Next; token == "" {
			break
		}
		m.removeInstance(got[0])
	}
	if len(got) != 13 || !slices.IsSorted(got) {
		t.Errorf("got %d: %v", len(got), got)
	}
	if _, err := m.Instances(Filter{}, 4, "bot-03@h"); !errors.Is(err, ErrPageToken) {
		t.Errorf("a foreign token gave %v", err)
	}
}

// BenchmarkList10000 measures a page of a fleet of 10,000 and the first batch
// of a watcher.
func BenchmarkList10000(b *testing.B) {
	m := New(0)
	var all []*fleetv1.Instance
	for i := range 10000 {
		all = append(all, &fleetv1.Instance{InstanceId: fmt.Sprintf("bot-%05d@h%d", i, i%10), HostId: fmt.Sprint("h", i%10), Configuration: []string{"started", "running"}})
	}
	m.replace(contents{instances: all})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.Instances(Filter{Query: "bot-09"}, 100, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first list", func(b *testing.B) {
		for b.Loop() {
			w, err := m.Watch(Selection{}, "")
			if err != nil {
				b.Fatal(err)
			}
			for w.listing {
				if _, err := w.Next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// What the watch repeats after the list is no change: whoever resumes from a
// token of the list is not told of it again.
func TestRepetitionIsNoChange(t *testing.T) {
	t.Parallel()
	m := New(0)
	v := &fleetv1.Instance{InstanceId: "i@h", HostId: "h", LogSequence: 3}
	m.replace(contents{instances: []*fleetv1.Instance{v}})
	repeat := func(v *fleetv1.Instance) {
		m.apply([]*snapshotv1.Change{{Change: &snapshotv1.Change_Instance{Instance: &snapshotv1.InstanceChange{Instance: v}}}})
	}
	before := m.rev
	repeat(proto.CloneOf(v))
	if m.rev != before {
		t.Errorf("a repetition moved the revision from %d to %d", before, m.rev)
	}
	changed := proto.CloneOf(v)
	changed.State = "running"
	repeat(changed)
	if m.rev == before {
		t.Error("a change without a log entry is lost")
	}
}
