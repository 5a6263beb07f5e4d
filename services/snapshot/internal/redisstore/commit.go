// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
)

// Commit implements store.Store: one call of one script for all groups.
func (s *Store) Commit(ctx context.Context, groups []store.Group) ([]store.Result, error) {
	if err := store.Validate(groups); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if len(groups) == 0 {
		return nil, nil
	}
	now := s.opts.Now()
	w := &writer{expiry: now.Add(store.RequestTime)}
	w.num(uint64(now.UnixMilli()))
	w.num(uint64(s.opts.LogRetention))
	w.num(uint64(s.opts.ChangeRetention))
	w.num(uint64(s.opts.ChangeBytes))
	shards := make([]uint32, len(groups))
	for i := range groups {
		shards[i] = groups[i].Shard
		w.group(&groups[i])
	}
	reply, err := commitScript.Run(ctx, s.client, metaKeys(shards), w.args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("commit: %w", fail(ctx, err))
	}
	results := make([]store.Result, len(groups))
	for i := range results {
		f, err := fields(reply, i, 4)
		if err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
		results[i] = store.Result{Status: store.Status(f.int(0)), Epoch: f.uint(1), LastGroup: f.uint(2), Message: f.str(3)}
		if results[i].Status == store.Applied {
			s.hub.Mark(shards[i])
		}
	}
	return results, nil
}

// writer makes the arguments of the commit script; see there.
type writer struct {
	args   []any
	expiry time.Time
	prefix string
	ops    int
}

func (w *writer) str(s ...string) {
	for _, v := range s {
		w.args = append(w.args, v)
	}
}
func (w *writer) bytes(b []byte) { w.args = append(w.args, b) }
func (w *writer) num(n uint64)   { w.args = append(w.args, strconv.FormatUint(n, 10)) }

// hole reserves a place for a number that is known later.
func (w *writer) hole() int {
	w.args = append(w.args, nil)
	return len(w.args) - 1
}

func (w *writer) fill(hole, n int) { w.args[hole] = strconv.Itoa(n) }

// op begins an operation with n arguments.
func (w *writer) op(kind string, n int) {
	w.ops++
	w.str(kind, strconv.Itoa(n))
}

// command is an operation that is a command of Redis, with one body at its
// end.
func (w *writer) command(body []byte, words ...string) {
	w.op("c", len(words)+1)
	w.str(words...)
	w.bytes(body)
}

func (w *writer) group(g *store.Group) {
	length := w.hole()
	begin := len(w.args)
	w.prefix = shardPrefix(g.Shard)
	digest := g.Digest()
	w.str(w.prefix, strconv.Itoa(int(g.Shard)))
	w.num(g.Fence.Epoch)
	w.str(g.Fence.Nonce)
	w.num(g.Number)
	w.bytes(digest[:])
	w.bytes(store.EncodeChanges(g.Changes()))
	w.checks(g)

	ops := w.hole()
	w.ops = 0
	w.records(g)
	for i := range g.Steps {
		w.step(g, i)
	}
	for _, m := range g.Marks {
		w.command(append(be(m.Sequence), m.Incarnation...), "HSET", w.prefix+"k", m.Source)
	}
	for _, h := range g.Hosts {
		w.command(h.Body, "HSET", w.prefix+"h", h.ID)
	}
	w.fill(ops, w.ops)
	w.fill(length, len(w.args)-begin)
}

// checks writes what the script must know before it writes.
func (w *writer) checks(g *store.Group) {
	bodies, n := w.hole(), 0
	for i := range g.Steps {
		for _, b := range g.Steps[i].Blobs {
			n++
			w.str(b.SHA256)
			w.bytes(blob.Pack(b.Body))
		}
	}
	w.fill(bodies, n)
	adds, n := w.hole(), 0
	for i := range g.Steps {
		for _, sha := range g.Steps[i].BlobAdd {
			n++
			w.str(sha, g.Steps[i].Instance)
		}
	}
	w.fill(adds, n)
	logs, n := w.hole(), 0
	seen := make(map[string]bool, len(g.Steps))
	for i := range g.Steps {
		st := &g.Steps[i]
		if len(st.Log) > 0 && !seen[st.Instance] {
			n++
			w.str(st.Instance)
			w.num(st.Log[0].Sequence)
		}
		// After a removal the log begins anew.
		if len(st.Log) > 0 || st.Remove {
			seen[st.Instance] = true
		}
	}
	w.fill(logs, n)
}

// records writes the records of a group that removes nothing in two commands:
// only the last of each instance counts.
func (w *writer) records(g *store.Group) {
	last := make(map[string]int, len(g.Steps))
	for i := range g.Steps {
		if g.Steps[i].Remove {
			return
		}
		last[g.Steps[i].Instance] = i
	}
	if len(last) == 0 {
		return
	}
	for _, kind := range []string{"v", "p"} {
		w.op("c", 2+2*len(last))
		w.str("HSET", w.prefix+kind)
		for i := range g.Steps {
			st := &g.Steps[i]
			if last[st.Instance] != i {
				continue
			}
			w.str(st.Instance)
			if kind == "v" {
				w.bytes(st.Record.View)
			} else {
				w.bytes(store.AppendRecord(nil, st.Record))
			}
		}
	}
}

func removes(g *store.Group) bool {
	for i := range g.Steps {
		if g.Steps[i].Remove {
			return true
		}
	}
	return false
}

func (w *writer) step(g *store.Group, index int) {
	st := &g.Steps[index]
	for _, r := range st.Requests {
		body := append(be(uint64(w.expiry.UnixMilli())), r.Body...)
		w.op("c", 5)
		w.str("SET", w.prefix+"x:"+r.ID)
		w.bytes(body)
		w.str("PX", strconv.FormatInt(store.RequestTime.Milliseconds(), 10))
	}
	if st.Remove {
		w.op("x", 1)
		w.str(st.Instance)
		return
	}
	if removes(g) {
		w.command(st.Record.View, "HSET", w.prefix+"v", st.Instance)
		w.command(store.AppendRecord(nil, st.Record), "HSET", w.prefix+"p", st.Instance)
	}
	outbox, queue := w.prefix+"o:"+st.Instance, w.prefix+"q:"+st.Instance
	for i, r := range st.OutboxPut {
		order := g.Number<<24 | uint64(index)<<12 | uint64(min(i, 1<<12-1))
		w.command(append(be(order), r.Body...), "HSET", outbox, r.ID)
	}
	for _, id := range st.OutboxDelete {
		w.op("c", 3)
		w.str("HDEL", outbox, id)
	}
	for _, q := range st.QueuePut {
		w.queueDelete(queue, q.Sequence, q.Sequence)
		w.command(append(be(q.Sequence), q.Body...), "ZADD", queue, strconv.FormatUint(q.Sequence, 10))
	}
	if st.QueueTrim > 0 {
		w.queueDelete(queue, 0, st.QueueTrim)
	}
	for _, seq := range st.QueueDelete {
		w.queueDelete(queue, seq, seq)
	}
	if len(st.Log) > 0 {
		w.op("l", 1+3*len(st.Log))
		w.str(st.Instance)
		for _, l := range st.Log {
			w.num(l.Sequence)
			if l.Snapshot {
				w.str("1")
			} else {
				w.str("")
			}
			w.bytes(l.Body)
		}
	}
	for _, sha := range st.BlobAdd {
		w.op("+", 2)
		w.str(st.Instance, sha)
	}
	for _, sha := range st.BlobRemove {
		w.op("-", 2)
		w.str(st.Instance, sha)
	}
}

func (w *writer) queueDelete(key string, from, upTo uint64) {
	w.op("c", 4)
	w.str("ZREMRANGEBYSCORE", key, strconv.FormatUint(from, 10), strconv.FormatUint(upTo, 10))
}

// be is n in eight bytes, with room for what follows.
func be(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 64), n) }

// row is an answer of a script for one group or shard.
type row []any

// fields takes the i-th row of n fields out of an answer.
func fields(reply []any, i, n int) (row, error) {
	if i >= len(reply) {
		return nil, fmt.Errorf("the script answered %d rows", len(reply))
	}
	r, ok := reply[i].([]any)
	if !ok || len(r) < n {
		return nil, fmt.Errorf("the script answered %T", reply[i])
	}
	return r, nil
}

func (r row) int(i int) int64 {
	n, _ := r[i].(int64)
	return n
}

func (r row) str(i int) string {
	s, _ := r[i].(string)
	return s
}

func (r row) uint(i int) uint64 {
	n, _ := strconv.ParseUint(r.str(i), 10, 64)
	return n
}

// Acquire implements store.Store.
func (s *Store) Acquire(ctx context.Context, o store.Owner, shards []uint32) ([]store.Lease, error) {
	if err := store.CheckID("nonce", o.Nonce); err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	if err := store.CheckID("owner", o.Name); err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return s.lease(ctx, "acquire", o, shards)
}

// Renew implements store.Store.
func (s *Store) Renew(ctx context.Context, o store.Owner, shards []uint32) ([]store.Lease, error) {
	return s.lease(ctx, "renew", o, shards)
}

// Release implements store.Store.
func (s *Store) Release(ctx context.Context, o store.Owner, shards []uint32) error {
	_, err := s.lease(ctx, "release", o, shards)
	return err
}

func (s *Store) lease(ctx context.Context, what string, o store.Owner, shards []uint32) ([]store.Lease, error) {
	if err := store.CheckShards(shards...); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(shards) == 0 {
		return nil, nil
	}
	now := s.opts.Now()
	reply, err := leaseScript.Run(ctx, s.client, metaKeys(shards), what, now.UnixMilli(),
		now.Add(store.LeaseTime).UnixMilli(), o.Name, o.Nonce, o.Address).Slice()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, fail(ctx, err))
	}
	out := make([]store.Lease, len(shards))
	for i, shard := range shards {
		f, err := fields(reply, i, 6)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out[i] = store.Lease{Shard: shard, Held: f.int(0) == 1, Epoch: f.uint(1), LastGroup: f.uint(2), Owner: f.str(3), Address: f.str(4)}
		if ms := f.uint(5); ms > 0 {
			out[i].Expire = time.UnixMilli(int64(ms))
		}
	}
	return out, nil
}
