// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestToken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want store.Token
		for _, shard := range rapid.SliceOfDistinct(rapid.IntRange(0, store.ChartShard), rapid.ID[int]).Draw(t, "shards") {
			want[shard].Sequence = rapid.Uint64Min(1).Draw(t, "sequence")
			copy(want[shard].Incarnation[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "incarnation"))
		}
		b := want.Marshal()
		got, err := store.ParseToken(b)
		if err != nil || *got != want {
			t.Fatalf("parsed %v, %v", got, err)
		}
		// Whatever comes from outside is a token or a reset.
		i := rapid.IntRange(0, len(b)-1).Draw(t, "damaged byte")
		b[i] ^= 0xff
		for _, bad := range [][]byte{b, b[:i]} {
			if _, err := store.ParseToken(bad); err != nil && !errors.Is(err, store.ErrReset) {
				t.Fatalf("damaged: %v", err)
			}
		}
	})
	if _, err := store.ParseToken(nil); !errors.Is(err, store.ErrReset) {
		t.Errorf("nothing: %v", err)
	}
}

func TestDecodeChangesFindsDamage(t *testing.T) {
	t.Parallel()
	changes := []store.Change{
		{Kind: store.InstanceChanged, ID: "i", View: []byte("view"), Log: [][]byte{[]byte("one"), nil}},
		{Kind: store.InstanceRemoved, ID: "j"},
	}
	packed := store.EncodeChanges(changes)
	got, err := store.DecodeChanges(packed)
	if err != nil || len(got) != 2 || string(got[0].Log[0]) != "one" || got[1].View != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range packed {
		if _, err := store.DecodeChanges(packed[:i]); err == nil {
			t.Errorf("%d of %d bytes: no error", i, len(packed))
		}
	}
}

// Every field is in the digest: two groups that differ anywhere must not be
// taken for one another.
func TestDigestTellsGroupsApart(t *testing.T) {
	t.Parallel()
	base := func() store.Group {
		return store.Group{
			Shard: 1, Fence: store.Fence{Epoch: 1, Nonce: "n"}, Number: 2,
			Steps: []store.Step{{
				Instance: "i", Record: &store.Record{View: []byte("v"), Session: []byte("s"), State: []byte("t")},
				OutboxPut: []store.Row{{ID: "c", Body: []byte("b")}}, OutboxDelete: []string{"d"},
				QueuePut: []store.QueueRow{{Sequence: 1, Body: []byte("q")}}, QueueTrim: 3, QueueDelete: []uint64{4},
				Log: []store.LogRow{{Sequence: 5, Body: []byte("l")}}, Requests: []store.Row{{ID: "r", Body: []byte("x")}},
				BlobAdd: []string{"a"}, BlobRemove: []string{"b"}, Blobs: []store.Blob{{SHA256: "a"}},
			}},
			Marks: []store.Mark{{Source: "h", Incarnation: "j", Sequence: 6}}, Hosts: []store.Row{{ID: "h", Body: []byte("y")}},
		}
	}
	a, b := base(), base()
	if a.Digest() != b.Digest() {
		t.Fatal("equal groups differ")
	}
	for name, change := range map[string]func(*store.Group){
		"shard":        func(g *store.Group) { g.Shard++ },
		"nonce":        func(g *store.Group) { g.Fence.Nonce = "o" },
		"number":       func(g *store.Group) { g.Number++ },
		"instance":     func(g *store.Group) { g.Steps[0].Instance = "j" },
		"view":         func(g *store.Group) { g.Steps[0].Record.View = []byte("w") },
		"session":      func(g *store.Group) { g.Steps[0].Record.Session = []byte("w") },
		"state":        func(g *store.Group) { g.Steps[0].Record.State = []byte("w") },
		"moved byte":   func(g *store.Group) { g.Steps[0].Record = &store.Record{View: []byte("vs"), State: []byte("t")} },
		"removal":      func(g *store.Group) { g.Steps[0].Record, g.Steps[0].Remove = nil, true },
		"outbox":       func(g *store.Group) { g.Steps[0].OutboxPut[0].Body = []byte("w") },
		"outbox less":  func(g *store.Group) { g.Steps[0].OutboxDelete = nil },
		"queue":        func(g *store.Group) { g.Steps[0].QueuePut[0].Sequence++ },
		"queue body":   func(g *store.Group) { g.Steps[0].QueuePut[0].Body = nil },
		"trim":         func(g *store.Group) { g.Steps[0].QueueTrim++ },
		"queue less":   func(g *store.Group) { g.Steps[0].QueueDelete[0]++ },
		"log":          func(g *store.Group) { g.Steps[0].Log[0].Body = []byte("w") },
		"log sequence": func(g *store.Group) { g.Steps[0].Log[0].Sequence++ },
		"log snapshot": func(g *store.Group) { g.Steps[0].Log[0].Snapshot = true },
		"request":      func(g *store.Group) { g.Steps[0].Requests[0].Body = []byte("w") },
		"body added":   func(g *store.Group) { g.Steps[0].BlobAdd[0] = "w" },
		"body removed": func(g *store.Group) { g.Steps[0].BlobRemove = nil },
		"body":         func(g *store.Group) { g.Steps[0].Blobs = nil },
		"mark":         func(g *store.Group) { g.Marks[0].Sequence++ },
		"journal":      func(g *store.Group) { g.Marks[0].Incarnation = "k" },
		"host":         func(g *store.Group) { g.Hosts[0].Body = []byte("w") },
	} {
		g := base()
		change(&g)
		if g.Digest() == a.Digest() {
			t.Errorf("%s is not in the digest", name)
		}
	}
}

func TestHub(t *testing.T) {
	t.Parallel()
	var hub store.Hub
	hub.Mark(1) // nobody listens
	hint := hub.Subscribe()
	<-hint.C()
	if _, all := hint.Take(); !all {
		t.Error("a new subscriber is not told to look everywhere")
	}
	hub.Mark(7, store.ChartShard, 0)
	hub.Mark(7, 64) // the reader has not come yet: nothing blocks, nothing is lost
	<-hint.C()
	shards, all := hint.Take()
	if diff := cmp.Diff([]uint32{0, 7, 64, store.ChartShard}, shards); diff != "" || all {
		t.Errorf("all = %v (-want +got):\n%s", all, diff)
	}
	hint.Close()
	hub.Mark(3)
	select {
	case <-hint.C():
		t.Error("told after Close")
	default:
	}
}

func TestLogState(t *testing.T) {
	t.Parallel()
	var s store.LogState
	for n := uint64(1); n <= 30; n++ {
		s.Append(store.LogRow{Sequence: n, Snapshot: n%10 == 0})
		s.Cut(12)
		got := store.ParseLogState(s.MarshalState())
		if diff := cmp.Diff(s, got); diff != "" && !(len(s.Cuts) == 0 && len(got.Cuts) == 0) {
			t.Fatalf("after its bytes (-want +got):\n%s", diff)
		}
	}
	if s.First != 10 || s.Last != 30 || !slices.Equal(s.Cuts, []uint64{10, 20, 30}) {
		t.Errorf("%+v", s)
	}
}
