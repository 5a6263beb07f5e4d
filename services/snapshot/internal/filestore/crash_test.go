// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chartroom/chartroom/services/snapshot/internal/filestore"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// childDir names the environment variable that makes this test binary the
// process that is killed: it commits to the store in that directory for ever.
const childDir = "CHARTROOM_FILESTORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child takes over every shard and says each acknowledged group on a line.
func child(dir string) error {
	s, err := filestore.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	leases, err := s.Acquire(ctx, store.Owner{Name: "child", Nonce: fmt.Sprint("pid", os.Getpid())}, storetest.CrashShards)
	if err != nil {
		return err
	}
	fences, next := make(map[uint32]store.Fence), make(map[uint32]uint64)
	for _, l := range leases {
		fences[l.Shard] = store.Fence{Epoch: l.Epoch, Nonce: fmt.Sprint("pid", os.Getpid())}
		next[l.Shard] = l.LastGroup + 1
	}
	var mu sync.Mutex
	_, err = storetest.Hammer(ctx, s, fences, next, func(shard uint32, n uint64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println("acked", shard, n) // one write to the pipe: it outlives the process
	})
	return err
}

// kill -9 at any moment loses nothing acknowledged and tears nothing.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acks storetest.Acks
	for round := range 4 {
		runChild(t, dir, &acks, int64(150+50*round))
		s, err := filestore.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range storetest.CrashShards {
			f := storetest.Own(t, s, "child", shard)
			storetest.CheckCrash(t, s, shard, f, acks.Last(shard))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d groups acknowledged", acks.Count.Load())
}

// runChild runs the child until it has acknowledged n more groups, kills it,
// and takes in what it still said.
func runChild(t *testing.T, dir string, acks *storetest.Acks, n int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	upTo := acks.Count.Load() + n
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var shard uint32
		var number uint64
		if _, err := fmt.Sscanf(lines.Text(), "acked %d %d", &shard, &number); err != nil {
			t.Errorf("the child said %q", lines.Text())
			continue
		}
		acks.Add(shard, number)
		if acks.Count.Load() == upTo {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if acks.Count.Load() < upTo {
		t.Fatalf("the child ended after %d groups", acks.Count.Load())
	}
}

// The loss of power, which takes back what was written and not synced, loses
// nothing acknowledged and nothing that a reader has seen.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			s, err := filestore.OpenFS("store", disk, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			fences, next := make(map[uint32]store.Fence), make(map[uint32]uint64)
			for _, shard := range storetest.CrashShards {
				fences[shard], next[shard] = storetest.Own(t, s, "a", shard), 1
			}
			var acks, seen storetest.Acks
			var lost *vfs.MemFS
			var ackedThen, seenThen map[uint32]uint64
			var once sync.Once
			// The power goes off between two readings of what is promised: first
			// the promises are noted, then the disk is copied.
			powerOff := func() {
				once.Do(func() {
					ackedThen, seenThen = lasts(&acks), lasts(&seen)
					lost = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed * 10), RNG: rand.New(rand.NewPCG(seed, 1))})
				})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				for ctx.Err() == nil {
					token, err := s.List(ctx, func(store.Change) error { return nil })
					if err != nil {
						if ctx.Err() == nil {
							t.Error(err)
						}
						return
					}
					for _, shard := range storetest.CrashShards {
						seen.Add(shard, token[shard].Sequence)
					}
				}
			})
			var total atomic.Int64
			if _, err := storetest.Hammer(ctx, s, fences, next, func(shard uint32, n uint64) {
				acks.Add(shard, n)
				if total.Add(1) == int64(100+37*seed) {
					powerOff()
					cancel()
				}
			}); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			again, err := filestore.OpenFS("store", lost, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			for _, shard := range storetest.CrashShards {
				f := storetest.Own(t, again, "a", shard)
				if f.Epoch != 2 {
					t.Errorf("shard %d: epoch %d after the power came back", shard, f.Epoch)
				}
				storetest.CheckCrash(t, again, shard, f, max(ackedThen[shard], seenThen[shard]))
			}
		})
	}
}

func lasts(a *storetest.Acks) map[uint32]uint64 {
	m := make(map[uint32]uint64)
	for _, shard := range storetest.CrashShards {
		m[shard] = a.Last(shard)
	}
	return m
}

func BenchmarkCommit(b *testing.B) {
	s := openDir(b, b.TempDir(), store.Options{})
	file, err := os.CreateTemp(b.TempDir(), "bare")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	storetest.Bench(b, s, bareFile(file))
}
