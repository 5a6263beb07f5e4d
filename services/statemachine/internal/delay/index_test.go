// SPDX-License-Identifier: AGPL-3.0-or-later

package delay

import (
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestIndexAgainstList compares the index with a sorted list under generated
// sets and removes.
func TestIndexAgainstList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		epoch := time.Unix(0, 0)
		want := map[string]Timer{}
		var x Index
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			key := fmt.Sprint("k", rapid.IntRange(0, 9).Draw(t, "key"))
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				x.Remove(key)
				delete(want, key)
				continue
			}
			timer := Timer{Key: key, Number: rapid.Uint64().Draw(t, "number"), Due: epoch.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "due")))}
			x.Set(timer)
			want[key] = timer
		}
		sorted := make([]Timer, 0, len(want))
		for _, timer := range want {
			sorted = append(sorted, timer)
		}
		sort.Slice(sorted, func(i, j int) bool {
			a, b := sorted[i], sorted[j]
			return a.Due.Before(b.Due) || a.Due.Equal(b.Due) && a.Key < b.Key
		})
		got := make([]Timer, 0, len(want))
		for {
			timer, ok := x.Due(epoch.Add(time.Hour))
			if !ok {
				break
			}
			got = append(got, timer)
			x.Remove(timer.Key)
		}
		if diff := cmp.Diff(sorted, got); diff != "" {
			t.Fatalf("order (-want +got):\n%s", diff)
		}
	})
}

// TestDueWaits checks that a timer is not due before its time.
func TestDueWaits(t *testing.T) {
	t.Parallel()
	now := time.Unix(10, 0)
	var x Index
	x.Set(Timer{Key: "a", Due: now.Add(time.Nanosecond)})
	if timer, ok := x.Due(now); ok {
		t.Fatalf("due too early: %v", timer)
	}
	if _, ok := x.Due(now.Add(time.Nanosecond)); !ok {
		t.Fatal("not due in time")
	}
}
