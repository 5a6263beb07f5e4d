// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chartroom/chartroom/services/snapshot/internal/filestore"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
)

func open(t testing.TB, o store.Options) store.Store {
	t.Helper()
	return openDir(t, t.TempDir(), o)
}

func openDir(t testing.TB, dir string, o store.Options) store.Store {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := filestore.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

func TestOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openDir(t, dir, store.Options{})
	if _, err := filestore.Open(dir, store.Options{}); !errors.Is(err, filestore.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
}

// TestOpensFast opens a store in memory: how long a disk takes is not ours. The bound
// is far above the 25 ms that it takes with the race detector, for a machine that has
// much else to do.
func TestOpensFast(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s, err := filestore.OpenFS("store", fs, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.Own(t, s, "a", 0)
	for n := range uint64(200) {
		st := storetest.Put("i", "1")
		if _, err := s.Commit(t.Context(), []store.Group{{Shard: 0, Fence: f, Number: n + 1, Steps: []store.Step{st}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s, err = filestore.OpenFS("store", fs, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("opening took %v", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
