// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/filestore"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// gatedFS holds every sync of the write-ahead log while gate is locked.
type gatedFS struct {
	vfs.FS
	gate *sync.RWMutex
}

func (g gatedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return gatedFile{f, g.gate}, nil
}

type gatedFile struct {
	vfs.File
	gate *sync.RWMutex
}

func (f gatedFile) pass() {
	f.gate.RLock()
	//lint:ignore SA2001 passing the gate is all
	f.gate.RUnlock()
}

func (f gatedFile) Sync() error {
	f.pass()
	return f.File.Sync()
}

func (f gatedFile) SyncData() error {
	f.pass()
	return f.File.SyncData()
}

// While the disk has not taken a commit, nobody sees it: some readers answer
// with what was before, the others wait.
func TestReadersSeeOnlyWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	var gate sync.RWMutex
	s, err := filestore.OpenFS("store", gatedFS{vfs.NewMem(), &gate}, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := storetest.Own(t, s, "a", 1)
	commit := func(n uint64) {
		rs, err := s.Commit(t.Context(), []store.Group{storetest.CrashGroup(1, f, n)})
		if err != nil || rs[0].Status != store.Applied {
			t.Errorf("group %d: %+v, %v", n, rs, err)
		}
	}
	commit(1)
	gate.Lock()
	var wg sync.WaitGroup
	wg.Go(func() { commit(2) })
	for filestore.Inflight(s) == 0 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // polls until it is applied in memory
	}

	heads, err := s.Heads(t.Context())
	if err != nil || heads[1].Sequence != 1 {
		t.Errorf("head is %d, %v; want 1", heads[1].Sequence, err)
	}
	sets, err := s.Changes(t.Context(), 1, store.Position{}, 10)
	if err != nil || len(sets) != 1 {
		t.Errorf("%d groups of changes, %v; want 1", len(sets), err)
	}
	answered := make(chan string, 5)
	for what, read := range map[string]func() error{
		"List": func() error {
			_, err := s.List(t.Context(), func(store.Change) error { return nil })
			return err
		},
		"Load": func() error {
			return s.Load(t.Context(), 1, f, func(store.ShardState) error { return nil }, func(store.Instance) error { return nil })
		},
		"Log": func() error {
			_, err := s.Log(t.Context(), store.LogQuery{Shard: 1, Instance: "i", Limit: 9})
			return err
		},
		"Request": func() error {
			_, err := s.Request(t.Context(), 1, "r2")
			return err
		},
		"Commit of the same again": func() error {
			_, err := s.Commit(t.Context(), []store.Group{storetest.CrashGroup(1, f, 2)})
			return err
		},
	} {
		wg.Go(func() {
			if err := read(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			answered <- what
		})
	}
	select {
	case what := <-answered:
		t.Errorf("%s answered before the disk did", what)
	case <-time.After(100 * time.Millisecond): // none does: there is nothing to wait on
	}
	gate.Unlock()
	wg.Wait()
	if heads, err = s.Heads(t.Context()); err != nil || heads[1].Sequence != 2 {
		t.Errorf("head is %d, %v; want 2", heads[1].Sequence, err)
	}
}
