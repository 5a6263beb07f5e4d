// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

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

func TestOpensFast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := time.Now()
	s, err := filestore.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("new: %v", time.Since(start))
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
	start = time.Now()
	openDir(t, dir, store.Options{})
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("opening took %v", d)
	} else {
		t.Logf("again: %v", d)
	}
}
