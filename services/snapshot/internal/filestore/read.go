// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
)

// settled returns when everything applied so far is on disk. It costs a sync
// only while a commit is in progress.
func (s *Store) settled() error {
	s.mu.Lock()
	busy := s.inflight > 0
	s.mu.Unlock()
	if !busy {
		return nil
	}
	return s.barrier()
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, shard uint32, f store.Fence, head func(store.ShardState) error, each func(store.Instance) error) error {
	if err := store.CheckShards(shard); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	s.mu.Lock()
	m := *s.metas[shard]
	snap := s.db.NewSnapshot()
	s.mu.Unlock()
	defer snap.Close()
	if m.epoch != f.Epoch || m.nonce != f.Nonce {
		return fmt.Errorf("load shard %d at epoch %d: %w", shard, m.epoch, store.ErrFenced)
	}
	err := s.settled()
	if err == nil {
		err = loadHead(snap, shard, m.group, head)
	}
	if err == nil {
		err = loadInstances(ctx, snap, shard, each)
	}
	if err != nil {
		return fmt.Errorf("load shard %d: %w", shard, err)
	}
	return nil
}

func loadHead(snap *pebble.Snapshot, shard uint32, group uint64, head func(store.ShardState) error) error {
	st := store.ShardState{LastGroup: group}
	err := scan(snap, shardKey(kMark, shard, ""), func(rest, v []byte) error {
		st.Marks = append(st.Marks, store.Mark{Source: string(rest), Sequence: u64(v), Incarnation: string(v[8:])})
		return nil
	})
	if err != nil {
		return err
	}
	err = scan(snap, shardKey(kHost, shard, ""), func(rest, v []byte) error {
		st.Hosts = append(st.Hosts, store.Row{ID: string(rest), Body: bytes.Clone(v)})
		return nil
	})
	if err != nil {
		return err
	}
	return head(st)
}

// loadInstances walks the records, the outbox and the queue side by side: all
// are sorted by instance.
func loadInstances(ctx context.Context, snap *pebble.Snapshot, shard uint32, each func(store.Instance) error) error {
	type ordered struct {
		order uint64
		row   store.Row
	}
	outbox, queue := make(map[string][]ordered), make(map[string][]store.QueueRow)
	err := scan(snap, shardKey(kOutbox, shard, ""), func(rest, v []byte) error {
		id, cmd, _ := bytes.Cut(rest, []byte{0})
		outbox[string(id)] = append(outbox[string(id)], ordered{u64(v), store.Row{ID: string(cmd), Body: bytes.Clone(v[8:])}})
		return nil
	})
	if err != nil {
		return err
	}
	err = scan(snap, shardKey(kQueue, shard, ""), func(rest, v []byte) error {
		id, seq, _ := bytes.Cut(rest, []byte{0})
		queue[string(id)] = append(queue[string(id)], store.QueueRow{Sequence: u64(seq), Body: bytes.Clone(v)})
		return nil
	})
	if err != nil {
		return err
	}
	return scan(snap, shardKey(kView, shard, ""), func(rest, v []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := store.Instance{ID: string(rest), Queue: queue[string(rest)]}
		in.Record.View = bytes.Clone(v)
		private, closer, err := snap.Get(shardKey(kPrivate, shard, in.ID))
		if err != nil {
			return err
		}
		private = bytes.Clone(private)
		if err := errors.Join(store.ParseRecord(private, &in.Record), closer.Close()); err != nil {
			return err
		}
		rows := outbox[in.ID]
		slices.SortFunc(rows, func(a, b ordered) int { return cmp.Compare(a.order, b.order) })
		for _, r := range rows {
			in.Outbox = append(in.Outbox, r.row)
		}
		return each(in)
	})
}

// Request implements store.Store.
func (s *Store) Request(_ context.Context, shard uint32, id string) ([]byte, error) {
	if err := store.CheckShards(shard); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	v, err := s.get(s.db, shardKey(kRequest, shard, id))
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", id, err)
	}
	if len(v) < 8 || u64(v) <= uint64(s.opts.Now().UnixMilli()) {
		return nil, fmt.Errorf("request %s: %w", id, store.ErrNotFound)
	}
	if err := s.settled(); err != nil {
		return nil, fmt.Errorf("request %s: %w", id, err)
	}
	return v[8:], nil
}

// List implements store.Store; it is of one moment for all shards.
func (s *Store) List(ctx context.Context, each func(store.Change) error) (*store.Token, error) {
	s.mu.Lock()
	token := &store.Token{}
	for shard, m := range s.metas {
		token[shard] = m.position()
	}
	token[store.ChartShard] = s.changes[store.ChartShard].durable
	snap := s.db.NewSnapshot()
	s.mu.Unlock()
	defer snap.Close()
	err := s.settled()
	for _, k := range []struct {
		key  byte
		kind store.Kind
	}{{kHost, store.HostChanged}, {kView, store.InstanceChanged}} {
		if err != nil {
			break
		}
		err = scan(snap, []byte{k.key}, func(rest, v []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return each(store.Change{Kind: k.kind, ID: string(rest[2:]), View: bytes.Clone(v)})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	s.advance(token)
	return token, nil
}

// advance lets readers see up to token, which is on disk. Without it, the
// token of a list could be ahead of what Changes knows to be there.
func (s *Store) advance(token *store.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for shard := range store.Shards {
		if c := s.changes[shard]; c != nil && token[shard].Sequence > c.durable.Sequence {
			c.durable = token[shard]
		}
	}
}

// position of the last group.
func (m *meta) position() store.Position {
	if m.group == 0 {
		return store.Position{}
	}
	return position(m.group, m.digest[:])
}

// Heads implements store.Store.
func (s *Store) Heads(context.Context) (*store.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := &store.Token{}
	for shard := range token {
		token[shard] = s.durable(uint32(shard))
	}
	return token, nil
}

// durable is the newest position of a shard that is on disk; under mu.
func (s *Store) durable(shard uint32) store.Position {
	if c := s.changes[shard]; c != nil {
		return c.durable
	}
	return s.metas[shard].position() // nothing was written since the start
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, shard uint32, after store.Position, limit int) ([]store.ChangeSet, error) {
	if shard > store.ChartShard {
		return nil, fmt.Errorf("changes: %w", store.CheckShards(shard))
	}
	s.mu.Lock()
	upTo := s.durable(shard)
	s.mu.Unlock()
	if upTo == after {
		return nil, ctx.Err()
	}
	from := after.Sequence
	var rows []store.ChangeSet
	stop := errors.New("stop")
	prefix := shardKey(kChange, shard, "")
	err := scanFrom(s.db, changeKey(shard, from), changeKey(shard, upTo.Sequence+1), func(key, v []byte) error {
		if len(rows) > limit {
			return stop
		}
		row := store.ChangeSet{Shard: shard, Position: position(u64(key[len(prefix):]), v)}
		if row.Position != after {
			var err error
			if row.Changes, err = store.DecodeChanges(v[8:]); err != nil {
				return err
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		return nil, fmt.Errorf("changes of shard %d: %w", shard, err)
	}
	rows, err = store.Resume(rows, after)
	if err != nil {
		return nil, fmt.Errorf("changes of shard %d after %d: %w", shard, after.Sequence, err)
	}
	return rows[:min(limit, len(rows))], nil
}

// Log implements store.Store.
func (s *Store) Log(_ context.Context, q store.LogQuery) (out [][]byte, err error) {
	if err := store.CheckShards(q.Shard); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	o := &pebble.IterOptions{
		LowerBound: seqKey(kLog, q.Shard, q.Instance, q.After+1),
		UpperBound: after(rowPrefix(kLog, q.Shard, q.Instance)),
	}
	if q.Before != 0 {
		o.UpperBound = seqKey(kLog, q.Shard, q.Instance, q.Before)
	}
	if bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil, nil
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", q.Instance, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	step, ok := it.Next, it.First()
	if q.Descending {
		step, ok = it.Prev, it.Last()
	}
	for ; ok && len(out) < q.Limit; ok = step() {
		out = append(out, bytes.Clone(it.Value()))
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("log of %s: %w", q.Instance, err)
	}
	return out, s.settled()
}

// scanTo is scan up to a key instead of to the end of the prefix.
func scanTo(r pebble.Reader, prefix, upper []byte, each func(rest, value []byte) error) error {
	return scanFrom(r, prefix, upper, func(key, v []byte) error { return each(key[len(prefix):], v) })
}

// scanFrom calls each with every key from lower up to upper and its value.
func scanFrom(r pebble.Reader, lower, upper []byte, each func(key, value []byte) error) (err error) {
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := each(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}
