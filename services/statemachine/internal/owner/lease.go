// SPDX-License-Identifier: AGPL-3.0-or-later

package owner

import (
	"context"
	"fmt"
	"time"

	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// releaseTime bounds the giving up of all shards at the end.
const releaseTime = time.Second

// renew extends the leases, and gives up what cannot be extended in time.
func (o *Owner) renew(ctx context.Context) error {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for nonce, numbers := range o.held() {
			if err := o.extend(ctx, nonce, numbers); err != nil && ctx.Err() == nil {
				o.c.Log.Warn("leases cannot be renewed", "shards", len(numbers), "err", err)
			}
		}
		o.expire(time.Now())
	}
}

// held lists the shards that are held, by nonce.
func (o *Owner) held() map[string][]uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	byNonce := map[string][]uint32{}
	for n, l := range o.leases {
		if l.held {
			byNonce[l.nonce] = append(byNonce[l.nonce], uint32(n))
		}
	}
	return byNonce
}

func (o *Owner) extend(ctx context.Context, nonce string, numbers []uint32) error {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	response, err := o.c.Snapshot.Renew(ctx, &snapshotv1.RenewRequest{Owner: o.c.Name, Nonce: nonce, Shards: numbers})
	if err != nil {
		return fmt.Errorf("renew %d shards: %w", len(numbers), err)
	}
	for _, l := range response.GetLeases() {
		o.mu.Lock()
		mine := &o.leases[l.GetShard()]
		current := mine.held && mine.nonce == nonce
		if current && l.GetHeld() {
			mine.until = asked.Add(leaseTime)
		}
		o.mu.Unlock()
		if current && !l.GetHeld() {
			o.giveUp(l.GetShard(), true)
		}
	}
	return nil
}

// expire gives up what was not renewed in time, by our own clock.
func (o *Owner) expire(now time.Time) {
	var late []uint32
	o.mu.Lock()
	for n, l := range o.leases {
		if l.held && !now.Before(l.until) {
			late = append(late, uint32(n))
		}
	}
	o.mu.Unlock()
	for _, n := range late {
		o.giveUp(n, false)
	}
	if len(late) > 0 {
		o.c.Log.Warn("leases ran out before they could be renewed", "shards", len(late))
	}
}

// giveUp lets go of a shard and has it acquired again. check says that
// somebody else has it.
func (o *Owner) giveUp(n uint32, check bool) {
	o.mu.Lock()
	o.leases[n].held, o.leases[n].check = false, check
	o.mu.Unlock()
	drop := &session.Drop{Number: n}
	if !o.TryPost(drop) {
		o.c.Log.Warn("worker is too busy to drop a shard; its fence keeps it from harm", "shard", n)
	}
	o.want()
}

// checkReplaced finds out who has the shards that we were refused for. When it
// is a process of our own name, that one is our successor, and fighting it
// would starve both.
func (o *Owner) checkReplaced(ctx context.Context, numbers []uint32) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for _, n := range numbers {
		o.mu.Lock()
		l := o.leases[n]
		o.leases[n].check = false
		o.mu.Unlock()
		if !l.check {
			continue
		}
		response, err := o.c.Snapshot.Renew(ctx, &snapshotv1.RenewRequest{Owner: o.c.Name, Nonce: l.nonce, Shards: []uint32{n}})
		if err != nil {
			return fmt.Errorf("ask for the owner of shard %d: %w", n, err)
		}
		for _, other := range response.GetLeases() {
			if !other.GetHeld() && other.GetOwner() == o.c.Name {
				return fmt.Errorf("shard %d: %w", n, ErrReplaced)
			}
		}
	}
	return nil
}

// release gives everything up, so that a successor need not wait.
func (o *Owner) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	for nonce, numbers := range o.held() {
		if _, err := o.c.Snapshot.Release(ctx, &snapshotv1.ReleaseRequest{Owner: o.c.Name, Nonce: nonce, Shards: numbers}); err != nil {
			o.c.Log.Warn("shards cannot be released; their leases run out", "shards", len(numbers), "err", err)
		}
	}
}
