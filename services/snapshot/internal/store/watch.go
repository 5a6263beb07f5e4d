// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"
)

// watchBatch is how many groups are read at once, so that one busy shard does
// not starve the others.
const watchBatch = 64

// Watch calls send for every group of changes after from, in order within a
// shard, and with no changes once an idle passed without a call. The token
// given to send is where to go on after it; send must not keep the pointer. A
// nil from starts at the present end. Watch ends with the error of ctx, of
// send or of the store; ErrReset means that the caller must list again.
//
// Changes are always read from the store: the hub only says when to look.
func Watch(ctx context.Context, s Store, from *Token, idle time.Duration, send func([]Change, *Token) error) error {
	hint := s.Hub().Subscribe()
	defer hint.Close()
	if from == nil {
		var err error
		if from, err = s.Heads(ctx); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	at := *from
	tick := time.NewTicker(idle)
	defer tick.Stop()
	quiet := true // since the last tick
	tell := func(changes []Change, t *Token) error {
		quiet = false
		return send(changes, t)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if quiet {
				if err := send(nil, &at); err != nil {
					return err
				}
			}
			quiet = true
		case <-hint.C():
			if err := catchUp(ctx, s, hint, &at, tell); err != nil {
				return err
			}
		}
	}
}

// catchUp reads what the hint tells of until nothing more is there.
func catchUp(ctx context.Context, s Store, hint *Hint, at *Token, send func([]Change, *Token) error) error {
	shards, all := hint.Take()
	if all {
		heads, err := s.Heads(ctx)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		shards = shards[:0]
		for shard := range heads {
			if heads[shard] != at[shard] {
				shards = append(shards, uint32(shard))
			}
		}
	}
	for len(shards) > 0 {
		more := shards[:0]
		for _, shard := range shards {
			sets, err := s.Changes(ctx, shard, at[shard], watchBatch)
			if err != nil {
				return fmt.Errorf("watch shard %d: %w", shard, err)
			}
			for i := range sets {
				at[shard] = sets[i].Position
				if len(sets[i].Changes) == 0 {
					continue
				}
				if err := send(sets[i].Changes, at); err != nil {
					return err
				}
			}
			if len(sets) == watchBatch {
				more = append(more, shard)
			}
		}
		shards = more
	}
	return nil
}
