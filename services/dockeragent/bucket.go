// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"sync"
	"time"
)

// buckets damp a mass crash: of the containers of one image the first starts
// at once, as the canary, the others one after the other.
type buckets struct {
	every time.Duration

	mu   sync.Mutex
	next map[string]time.Time
}

func newBuckets(every time.Duration) *buckets {
	return &buckets{every: every, next: map[string]time.Time{}}
}

// wait returns when a container of the image may start, or ctx ended.
func (b *buckets) wait(ctx context.Context, image string) {
	now := time.Now()
	b.mu.Lock()
	for i, at := range b.next { // The map holds only images that are busy now.
		if at.Before(now) {
			delete(b.next, i)
		}
	}
	at, busy := b.next[image]
	if !busy {
		at = now
	}
	b.next[image] = at.Add(b.every)
	b.mu.Unlock()
	if d := at.Sub(now); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
}
