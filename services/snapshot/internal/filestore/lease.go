// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import (
	"context"
	"fmt"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
)

// Acquire implements store.Store.
func (s *Store) Acquire(_ context.Context, o store.Owner, shards []uint32) ([]store.Lease, error) {
	if err := store.CheckID("nonce", o.Nonce); err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	if err := store.CheckID("owner", o.Name); err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	leases, err := s.leases(shards, pebble.Sync, func(m *meta, now time.Time) (held, changed bool) {
		if m.owner != "" && m.owner != o.Name && m.expire > now.UnixMilli() {
			return false, false
		}
		m.epoch++
		m.nonce, m.owner, m.addr = o.Nonce, o.Name, o.Address
		m.expire = now.Add(store.LeaseTime).UnixMilli()
		return true, true
	})
	if err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return leases, nil
}

// Renew implements store.Store. It is not synced: a lease is about liveness,
// safety is the fence.
func (s *Store) Renew(_ context.Context, o store.Owner, shards []uint32) ([]store.Lease, error) {
	leases, err := s.leases(shards, pebble.NoSync, func(m *meta, now time.Time) (held, changed bool) {
		if m.owner != o.Name || m.nonce != o.Nonce {
			return false, false
		}
		m.expire = now.Add(store.LeaseTime).UnixMilli()
		return true, true
	})
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	return leases, nil
}

// Release implements store.Store.
func (s *Store) Release(_ context.Context, o store.Owner, shards []uint32) error {
	_, err := s.leases(shards, pebble.NoSync, func(m *meta, _ time.Time) (held, changed bool) {
		if m.owner != o.Name || m.nonce != o.Nonce {
			return false, false
		}
		m.owner, m.addr, m.expire = "", "", 0
		return false, true
	})
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// leases lets change work on a copy of each shard's meta and writes those
// changed.
func (s *Store) leases(shards []uint32, sync *pebble.WriteOptions, change func(*meta, time.Time) (held, changed bool)) ([]store.Lease, error) {
	if err := store.CheckShards(shards...); err != nil {
		return nil, err
	}
	now := s.opts.Now()
	out := make([]store.Lease, len(shards))
	next := make(map[uint32]*meta, len(shards))
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.db.NewBatch()
	defer batch.Close()
	for i, shard := range shards {
		m := *s.metas[shard]
		if n := next[shard]; n != nil {
			m = *n
		}
		held, changed := change(&m, now)
		if changed {
			next[shard] = &m
			if err := batch.Set(shardKey(kMeta, shard, ""), m.marshal(), nil); err != nil {
				return nil, err
			}
		}
		out[i] = store.Lease{Shard: shard, Held: held, Epoch: m.epoch, LastGroup: m.group}
		if m.owner != "" && m.expire > now.UnixMilli() {
			out[i].Owner, out[i].Address, out[i].Expire = m.owner, m.addr, time.UnixMilli(m.expire)
		}
	}
	if err := s.db.Apply(batch, sync); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	for shard, m := range next {
		s.metas[shard] = m
	}
	return out, nil
}
