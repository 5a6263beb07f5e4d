// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/redis/go-redis/v9"
)

const (
	// loadBatch is how many instances' rows are asked for at once.
	loadBatch = 256
	// loadTries bounds how often a load starts anew because the shard changed
	// under it, as when a commit whose outcome was unknown lands late.
	loadTries = 5
)

// fenceOf reads the fence and the last group of a shard.
func (s *Store) fenceOf(ctx context.Context, shard uint32) (f store.Fence, group uint64, err error) {
	v, err := s.client.HMGet(ctx, shardPrefix(shard)+"m", "e", "n", "g").Result()
	if err != nil {
		return f, 0, fail(ctx, err)
	}
	r := row(v)
	return store.Fence{Epoch: r.uint(0), Nonce: r.str(1)}, r.uint(2), nil
}

// Load implements store.Store. It reads the whole shard before it hands out
// anything, and again when the shard changed meanwhile.
func (s *Store) Load(ctx context.Context, shard uint32, f store.Fence, head func(store.ShardState) error, each func(store.Instance) error) error {
	if err := store.CheckShards(shard); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for range loadTries {
		st, instances, same, err := s.load(ctx, shard, f)
		if err != nil {
			return fmt.Errorf("load shard %d: %w", shard, err)
		}
		if !same {
			continue
		}
		if err := head(st); err != nil {
			return err
		}
		for _, in := range instances {
			if err := each(in); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("load shard %d: %w: it changes all the time", shard, store.ErrUnavailable)
}

func (s *Store) load(ctx context.Context, shard uint32, f store.Fence) (st store.ShardState, ins []store.Instance, same bool, err error) {
	now, group, err := s.fenceOf(ctx, shard)
	if err != nil {
		return st, nil, false, err
	}
	if now != f {
		return st, nil, false, fmt.Errorf("epoch %d: %w", now.Epoch, store.ErrFenced)
	}
	p := shardPrefix(shard)
	pipe := s.client.Pipeline()
	marks, hosts, views, private := pipe.HGetAll(ctx, p+"k"), pipe.HGetAll(ctx, p+"h"), pipe.HGetAll(ctx, p+"v"), pipe.HGetAll(ctx, p+"p")
	if _, err := pipe.Exec(ctx); err != nil {
		return st, nil, false, fail(ctx, err)
	}
	st.LastGroup = group
	for _, source := range sorted(marks.Val()) {
		v := marks.Val()[source]
		st.Marks = append(st.Marks, store.Mark{Source: source, Sequence: u64(v), Incarnation: v[8:]})
	}
	for _, id := range sorted(hosts.Val()) {
		st.Hosts = append(st.Hosts, store.Row{ID: id, Body: []byte(hosts.Val()[id])})
	}
	for ids := range slices.Chunk(sorted(views.Val()), loadBatch) {
		rows, err := s.loadRows(ctx, p, ids)
		if err != nil {
			return st, nil, false, err
		}
		for i := range rows {
			rows[i].Record.View = []byte(views.Val()[rows[i].ID])
			if err := store.ParseRecord([]byte(private.Val()[rows[i].ID]), &rows[i].Record); err != nil {
				return st, nil, false, fmt.Errorf("instance %s: %w", rows[i].ID, err)
			}
		}
		ins = append(ins, rows...)
	}
	after, last, err := s.fenceOf(ctx, shard)
	if err == nil && after != f {
		err = fmt.Errorf("epoch %d: %w", after.Epoch, store.ErrFenced)
	}
	return st, ins, last == group, err
}

// loadRows reads outbox and queue of instances.
func (s *Store) loadRows(ctx context.Context, p string, ids []string) ([]store.Instance, error) {
	pipe := s.client.Pipeline()
	outbox, queue := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.StringSliceCmd, len(ids))
	for i, id := range ids {
		outbox[i] = pipe.HGetAll(ctx, p+"o:"+id)
		queue[i] = pipe.ZRange(ctx, p+"q:"+id, 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	out := make([]store.Instance, len(ids))
	for i, id := range ids {
		out[i].ID = id
		rows := outbox[i].Val()
		commands := slices.SortedFunc(maps.Keys(rows), func(a, b string) int { return cmp.Compare(u64(rows[a]), u64(rows[b])) })
		for _, c := range commands {
			out[i].Outbox = append(out[i].Outbox, store.Row{ID: c, Body: []byte(rows[c][8:])})
		}
		for _, q := range queue[i].Val() {
			out[i].Queue = append(out[i].Queue, store.QueueRow{Sequence: u64(q), Body: []byte(q[8:])})
		}
	}
	return out, nil
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func u64(s string) uint64 {
	if len(s) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(s[:8]))
}

// Request implements store.Store.
func (s *Store) Request(ctx context.Context, shard uint32, id string) ([]byte, error) {
	if err := store.CheckShards(shard); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	v, err := s.client.Get(ctx, shardPrefix(shard)+"x:"+id).Result()
	switch {
	case errors.Is(err, redis.Nil), err == nil && u64(v) <= uint64(s.opts.Now().UnixMilli()):
		return nil, fmt.Errorf("request %s: %w", id, store.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("request %s: %w", id, fail(ctx, err))
	}
	return []byte(v[8:]), nil
}

// Heads implements store.Store.
func (s *Store) Heads(ctx context.Context) (*store.Token, error) {
	m, err := s.client.HGetAll(ctx, "cr:heads").Result()
	if err != nil {
		return nil, fmt.Errorf("heads: %w", fail(ctx, err))
	}
	token := &store.Token{}
	for field, v := range m {
		shard, err := strconv.Atoi(field)
		if err != nil || shard < 0 || shard >= len(token) {
			continue
		}
		token[shard] = parseHead(v)
	}
	return token, nil
}

// parseHead reads "group incarnation".
func parseHead(v string) store.Position {
	number, id, _ := strings.Cut(v, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || len(id) != 8 {
		return store.Position{}
	}
	return store.Position{Sequence: n, Incarnation: [8]byte([]byte(id))}
}

// List implements store.Store: one transaction a shard, so that the views of
// a shard and its place in the token are of one moment.
func (s *Store) List(ctx context.Context, each func(store.Change) error) (*store.Token, error) {
	heads, err := s.Heads(ctx)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	token := &store.Token{}
	token[store.ChartShard] = heads[store.ChartShard]
	for shard := range uint32(store.Shards) {
		// A shard that gets its first group after this is watched from its
		// beginning.
		if heads[shard].Sequence == 0 {
			continue
		}
		p := shardPrefix(shard)
		tx := s.client.TxPipeline()
		head, hosts, views := tx.HGet(ctx, "cr:heads", strconv.Itoa(int(shard))), tx.HGetAll(ctx, p+"h"), tx.HGetAll(ctx, p+"v")
		if _, err := tx.Exec(ctx); err != nil {
			return nil, fmt.Errorf("list: %w", fail(ctx, err))
		}
		token[shard] = parseHead(head.Val())
		for id, v := range hosts.Val() {
			if err := each(store.Change{Kind: store.HostChanged, ID: id, View: []byte(v)}); err != nil {
				return nil, err
			}
		}
		for id, v := range views.Val() {
			if err := each(store.Change{Kind: store.InstanceChanged, ID: id, View: []byte(v)}); err != nil {
				return nil, err
			}
		}
	}
	return token, nil
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, shard uint32, after store.Position, limit int) ([]store.ChangeSet, error) {
	if shard > store.ChartShard {
		return nil, fmt.Errorf("changes: %w", store.CheckShards(shard))
	}
	from := "-"
	if after.Sequence > 0 {
		from = strconv.FormatUint(after.Sequence, 10)
	}
	messages, err := s.client.XRangeN(ctx, shardPrefix(shard)+"c", from, "+", int64(limit)+1).Result()
	if err != nil {
		return nil, fmt.Errorf("changes of shard %d: %w", shard, fail(ctx, err))
	}
	rows := make([]store.ChangeSet, 0, len(messages))
	for _, m := range messages {
		seq, err := streamSequence(m.ID)
		id, _ := m.Values["i"].(string)
		if err != nil || len(id) != 8 {
			return nil, fmt.Errorf("changes of shard %d: entry %s is damaged", shard, m.ID)
		}
		row := store.ChangeSet{Shard: shard, Position: store.Position{Sequence: seq, Incarnation: [8]byte([]byte(id))}}
		if row.Position != after {
			packed, _ := m.Values["c"].(string)
			if row.Changes, err = store.DecodeChanges([]byte(packed)); err != nil {
				return nil, fmt.Errorf("changes of shard %d: %w", shard, err)
			}
		}
		rows = append(rows, row)
	}
	if rows, err = store.Resume(rows, after); err != nil {
		return nil, fmt.Errorf("changes of shard %d after %d: %w", shard, after.Sequence, err)
	}
	return rows[:min(limit, len(rows))], nil
}

// streamSequence reads the sequence out of the id of a stream's entry.
func streamSequence(id string) (uint64, error) {
	n, _, _ := strings.Cut(id, "-")
	return strconv.ParseUint(n, 10, 64)
}

// Log implements store.Store.
func (s *Store) Log(ctx context.Context, q store.LogQuery) ([][]byte, error) {
	if err := store.CheckShards(q.Shard); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	key, from, upTo := shardPrefix(q.Shard)+"l:"+q.Instance, strconv.FormatUint(q.After+1, 10), "+"
	if q.Before != 0 {
		if q.Before <= q.After+1 {
			return nil, nil
		}
		upTo = strconv.FormatUint(q.Before-1, 10)
	}
	var messages []redis.XMessage
	var err error
	if q.Descending {
		messages, err = s.client.XRevRangeN(ctx, key, upTo, from, int64(q.Limit)).Result()
	} else {
		messages, err = s.client.XRangeN(ctx, key, from, upTo, int64(q.Limit)).Result()
	}
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", q.Instance, fail(ctx, err))
	}
	out := make([][]byte, 0, len(messages))
	for _, m := range messages {
		body, _ := m.Values["b"].(string)
		out = append(out, []byte(body))
	}
	return out, nil
}
