// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// tally sends numbered events and remembers which were acknowledged, and when.
// It is safe for concurrent use.
type tally struct {
	prefix string
	next   atomic.Int64

	mu           sync.Mutex
	acknowledged map[int]time.Time
}

func newTally(prefix string) *tally {
	return &tally{prefix: prefix, acknowledged: map[int]time.Time{}}
}

// one sends the next number until it is acknowledged: a refusal for now (the
// breaker is open, the queue is full) is tried again under the same request id,
// so that an answer that was lost makes no second event.
func (t *tally) one(ctx context.Context, c fleetv1.FleetServiceClient, a *app) error {
	n := int(t.next.Add(1))
	data, err := structpb.NewValue(map[string]any{"number": n})
	if err != nil {
		return fmt.Errorf("number %d: %w", n, err)
	}
	request := &fleetv1.SendEventRequest{InstanceId: a.instance, Event: "hello", Data: data, RequestId: fmt.Sprintf("%s-%d", t.prefix, n)}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		r, err := c.SendEvent(ctx, request)
		switch status.Code(err) {
		case codes.OK:
			a.acknowledged(r.GetSequence())
			t.mu.Lock()
			t.acknowledged[n] = time.Now()
			t.mu.Unlock()
			return nil
		case codes.Unavailable, codes.ResourceExhausted, codes.FailedPrecondition, codes.Aborted, codes.DeadlineExceeded:
		default:
			return fmt.Errorf("send hello %d: %w", n, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("send hello %d: %w", n, err)
		}
	}
}

// send sends so many, one after the other.
func (t *tally) send(ctx context.Context, c fleetv1.FleetServiceClient, a *app, count int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range count {
		if err := t.one(ctx, c, a); err != nil {
			return err
		}
	}
	return nil
}

// flood sends from so many senders at once, at most so many events, until the
// function is called, which waits for the ones under way.
func (t *tally) flood(ctx context.Context, c fleetv1.FleetServiceClient, a *app, senders, most int) (stop func() error) {
	var done, left atomic.Int64
	left.Store(int64(most))
	faults := make(chan error, senders)
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, patience)
	for range senders {
		all.Go(func() {
			for done.Load() == 0 && left.Add(-1) >= 0 {
				if err := t.one(ctx, c, a); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	return func() error {
		done.Store(1)
		all.Wait()
		cancel()
		select {
		case err := <-faults:
			return err
		default:
			return nil
		}
	}
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.acknowledged)
}

// between counts the acknowledgements in a time.
func (t *tally) between(from, to time.Time) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range t.acknowledged {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// compare holds the list of what was processed against what was acknowledged:
// lost are acknowledged and not in the list, doubled are in it more than once,
// counted as often as too often.
func (t *tally) compare(processed []int) (lost, doubled []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[int]int{}
	for _, n := range processed {
		if seen[n]++; seen[n] > 1 {
			doubled = append(doubled, n)
		}
	}
	for n := 1; n <= int(t.next.Load()); n++ {
		if _, ok := t.acknowledged[n]; ok && seen[n] == 0 {
			lost = append(lost, n)
		}
	}
	return lost, doubled
}
