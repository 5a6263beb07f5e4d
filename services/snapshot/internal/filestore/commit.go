// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
)

// prepared is what can be made of a group without the lock.
type prepared struct {
	group   *store.Group
	digest  [32]byte
	changes []byte
	bodies  map[string][]byte // packed, by SHA-256
}

func prepare(g *store.Group) prepared {
	p := prepared{group: g, digest: g.Digest(), changes: store.EncodeChanges(g.Changes())}
	for i := range g.Steps {
		for _, b := range g.Steps[i].Blobs {
			if p.bodies == nil {
				p.bodies = make(map[string][]byte)
			}
			p.bodies[b.SHA256] = blob.Pack(b.Body)
		}
	}
	return p
}

// Commit implements store.Store: one batch and one sync for all groups.
func (s *Store) Commit(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	if err := store.Validate(groups); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	ps := make([]prepared, len(groups))
	for i := range groups {
		ps[i] = prepare(&groups[i])
	}

	s.mu.Lock()
	results, applied, batch, err := s.apply(ps)
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if batch == nil {
		// A group that was there before may still be on its way to the disk.
		if err := s.barrier(); err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
		return results, nil
	}
	err = s.settle(batch, applied)
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return results, nil
}

// apply checks the groups and applies those that pass, under mu. The batch is
// nil when none passed; else it is not yet on disk.
func (s *Store) apply(ps []prepared) ([]store.Result, []prepared, *pebble.Batch, error) {
	results := make([]store.Result, len(ps))
	t := &tx{s: s, batch: s.db.NewBatch(), now: s.opts.Now()}
	var applied []prepared
	for i := range ps {
		p := &ps[i]
		m := s.metas[p.group.Shard]
		results[i] = t.check(m, p)
		if results[i].Status != store.Applied {
			continue
		}
		if err := t.group(m, p); err != nil {
			return nil, nil, nil, errors.Join(err, t.batch.Close())
		}
		applied = append(applied, *p)
		results[i].LastGroup = p.group.Number
	}
	if len(applied) == 0 {
		return results, nil, nil, t.batch.Close()
	}
	if err := t.finish(); err != nil {
		return nil, nil, nil, errors.Join(err, t.batch.Close())
	}
	if err := s.start(t.batch); err != nil {
		return nil, nil, nil, err
	}
	for _, p := range applied {
		m := s.metas[p.group.Shard]
		m.group, m.digest = p.group.Number, p.digest
		s.changes[p.group.Shard].grow(p.group.Number, len(p.changes)+8, s.opts)
	}
	return results, applied, t.batch, nil
}

// check says whether p may be applied after the groups before it in the call;
// Applied means it may. It reads only what the group refers to.
func (t *tx) check(m *meta, p *prepared) store.Result {
	s := t.s
	g := p.group
	refuse := func(status store.Status, format string, args ...any) store.Result {
		return store.Result{Status: status, Epoch: m.epoch, LastGroup: m.group, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case m.epoch != g.Fence.Epoch || m.nonce != g.Fence.Nonce:
		return refuse(store.Fenced, "shard %d is at epoch %d, not %d with this nonce", g.Shard, m.epoch, g.Fence.Epoch)
	case m.group == g.Number && m.digest == p.digest:
		return store.Result{Status: store.AlreadyApplied, Epoch: m.epoch, LastGroup: m.group}
	case m.group+1 != g.Number:
		return refuse(store.OutOfOrder, "group %d; the last of shard %d is %d", g.Number, g.Shard, m.group)
	}
	seen := make(map[string]bool)
	for i := range g.Steps {
		st := &g.Steps[i]
		for _, sha := range st.BlobAdd {
			if _, ok := t.refs[sha]; !ok && p.bodies[sha] == nil && !s.has(globalKey(kBlob, sha)) {
				return refuse(store.BlobMissing, "instance %s: body %s is not stored", st.Instance, sha)
			}
		}
		if len(st.Log) > 0 && !seen[st.Instance] {
			b, err := s.get(s.db, shardKey(kLogState, g.Shard, st.Instance))
			if last := store.ParseLogState(b).Last; err != nil || st.Log[0].Sequence <= last {
				return refuse(store.OutOfOrder, "instance %s: log entry %d after %d", st.Instance, st.Log[0].Sequence, last)
			}
		}
		if len(st.Log) > 0 || st.Remove {
			seen[st.Instance] = true
		}
	}
	return store.Result{Status: store.Applied, Epoch: m.epoch, LastGroup: m.group}
}

func (s *Store) has(key []byte) bool {
	_, closer, err := s.db.Get(key)
	if err != nil {
		return false
	}
	return closer.Close() == nil
}

// start applies a batch in memory and sends it on its way to the disk, under
// mu.
func (s *Store) start(b *pebble.Batch) error {
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.inflight++
	return nil
}

// settle waits for the disk, without mu, then lets readers see the groups.
func (s *Store) settle(b *pebble.Batch, applied []prepared) error {
	err := b.SyncWait()
	s.mu.Lock()
	s.inflight--
	if err == nil {
		for _, p := range applied {
			// A later group of the shard may have come by.
			if d := &s.changes[p.group.Shard].durable; p.group.Number > d.Sequence {
				*d = position(p.group.Number, p.digest[:])
			}
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	for _, p := range applied {
		s.hub.Mark(p.group.Shard)
	}
	return b.Close()
}

func position(seq uint64, incarnation []byte) store.Position {
	return store.Position{Sequence: seq, Incarnation: [8]byte(incarnation)}
}

// grow takes in a change of size bytes.
func (c *changeLog) grow(seq uint64, size int, o store.Options) {
	if len(c.sizes) == 0 {
		c.first = seq
	}
	c.sizes = append(c.sizes, size)
	c.bytes += size
	drop := c.excess(0, o)
	for _, n := range c.sizes[:drop] {
		c.bytes -= n
	}
	c.sizes = append(c.sizes[:0], c.sizes[drop:]...)
	c.first += uint64(drop)
}

// excess is how many of the oldest changes are too many once one of more
// bytes has come (0: none comes). The newest is never too many.
func (c *changeLog) excess(more int, o store.Options) int {
	count, bytes, drop := len(c.sizes), c.bytes, 0
	if more > 0 {
		count, bytes = count+1, bytes+more
	}
	for count > 1 && drop < len(c.sizes) && (count > o.ChangeRetention || bytes > o.ChangeBytes) {
		bytes -= c.sizes[drop]
		count--
		drop++
	}
	return drop
}

// extent is the changeLog of a shard, read when first asked for; under mu.
func (s *Store) extent(shard uint32) (*changeLog, error) {
	if c := s.changes[shard]; c != nil && c.sizes != nil {
		return c, nil
	}
	c := &changeLog{sizes: []int{}}
	var last uint64
	err := scan(s.db, shardKey(kChange, shard, ""), func(rest, value []byte) error {
		last = u64(rest)
		if c.first == 0 {
			c.first = last
		}
		c.sizes = append(c.sizes, len(value))
		c.bytes += len(value)
		c.durable = position(last, value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read changes of shard %d: %w", shard, err)
	}
	s.changes[shard] = c
	return c, nil
}
