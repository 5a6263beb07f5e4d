// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
)

// Sizes are the steps of a group that are measured.
var Sizes = []int{1, 64, 256}

// BenchGroup is a group of n steps, each of another instance: a record of 1 kB
// and a log entry of 200 B, which is what a container's step comes to.
func BenchGroup(f store.Fence, shard uint32, number uint64, n int) store.Group {
	g := store.Group{Shard: shard, Fence: f, Number: number, Steps: make([]store.Step, n)}
	for i := range g.Steps {
		id := fmt.Sprintf("container-%03d@host-1", i)
		g.Steps[i] = store.Step{
			Instance: id,
			Record:   &store.Record{View: text(id, number, 600), Session: text(id, number, 300), State: text(id, number, 100)},
			Log:      []store.LogRow{{Sequence: number, Snapshot: number%100 == 0, Body: text(id, number, 200)}},
		}
	}
	return g
}

// text is n bytes as compressible as views are.
func text(id string, number uint64, n int) []byte {
	b := make([]byte, 0, n+80)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%s state running %x since %d; ", id, (number*31+uint64(i))*0x9e3779b97f4a7c15, number)
	}
	return b[:n]
}

// Yardstick writes the records and log entries of a group durably in the
// barest way that the medium has.
type Yardstick func(g *store.Group) error

// Bench measures Commit of one group at a time, and of eight shards at once,
// against a yardstick that is run in the same minute. It reports steps a second
// and how many times slower than the yardstick that is.
func Bench(b *testing.B, s store.Store, yardstick Yardstick) {
	shard := uint32(0)
	for _, n := range Sizes {
		b.Run(fmt.Sprintf("steps=%d", n), func(b *testing.B) {
			shard++
			f := Own(b, s, "bench", shard)
			number := load(b, s, shard, f).Head.LastGroup
			took := time.Duration(0)
			groups := make([]store.Group, 0, b.N)
			for range b.N {
				number++
				groups = append(groups, BenchGroup(f, shard, number, n))
			}
			b.ResetTimer()
			start := time.Now()
			for i := range groups {
				mustCommit(b, s, groups[i])
			}
			took = time.Since(start)
			b.StopTimer()
			start = time.Now()
			for i := range groups {
				if err := yardstick(&groups[i]); err != nil {
					b.Fatal(err)
				}
			}
			bare := time.Since(start)
			b.ReportMetric(float64(n*b.N)/took.Seconds(), "steps/s")
			b.ReportMetric(float64(n*b.N)/bare.Seconds(), "bare-steps/s")
			b.ReportMetric(took.Seconds()/bare.Seconds(), "x-bare")
		})
	}
	b.Run("shards=8/steps=64", func(b *testing.B) {
		const shards, n = 8, 64
		start := time.Now()
		var wg sync.WaitGroup
		for i := range uint32(shards) {
			f := Own(b, s, "bench", 100+i)
			number := load(b, s, 100+i, f).Head.LastGroup
			wg.Go(func() {
				for range b.N {
					number++
					mustCommit(b, s, BenchGroup(f, 100+i, number, n))
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(shards*n*b.N)/time.Since(start).Seconds(), "steps/s")
	})
}

func mustCommit(b *testing.B, s store.Store, g store.Group) {
	rs, err := s.Commit(b.Context(), []store.Group{g})
	if err != nil || rs[0].Status != store.Applied {
		b.Errorf("group %d of shard %d: %+v, %v", g.Number, g.Shard, rs, err)
	}
}
