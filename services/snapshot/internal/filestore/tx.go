// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
)

// tx builds the batch of one Commit call. What it reads and changes again and
// again it keeps beside the batch: the batch itself is never read.
type tx struct {
	s     *Store
	batch *pebble.Batch
	now   time.Time

	instances map[instanceKey]*instance
	// refs counts references to bodies, of all instances.
	refs map[string]uint64
}

type instanceKey struct {
	shard uint32
	id    string
}

// instance is what a tx knows of an instance.
type instance struct {
	log  *store.LogState   // nil: not read
	refs map[string]uint64 // nil: not read
	// queued are sequences that this batch put, for a trim in it.
	queued []uint64
}

// group writes a group that check has passed.
func (t *tx) group(m *meta, p *prepared) error {
	g := p.group
	for sha, packed := range p.bodies {
		if err := t.body(sha, packed); err != nil {
			return err
		}
	}
	for i := range g.Steps {
		if err := t.step(g, i); err != nil {
			return fmt.Errorf("instance %s: %w", g.Steps[i].Instance, err)
		}
	}
	for _, mk := range g.Marks {
		v := binary.BigEndian.AppendUint64(nil, mk.Sequence)
		t.set(shardKey(kMark, g.Shard, mk.Source), append(v, mk.Incarnation...))
	}
	for _, h := range g.Hosts {
		t.set(shardKey(kHost, g.Shard, h.ID), h.Body)
	}
	next := *m
	next.group, next.digest = g.Number, p.digest
	t.set(shardKey(kMeta, g.Shard, ""), next.marshal())
	return t.change(g.Shard, g.Number, p.digest[:8], p.changes)
}

// change writes a row of the change log and deletes those too many.
func (t *tx) change(shard uint32, seq uint64, incarnation, changes []byte) error {
	c, err := t.s.extent(shard)
	if err != nil {
		return err
	}
	v := append(append(make([]byte, 0, 8+len(changes)), incarnation[:8]...), changes...)
	t.set(changeKey(shard, seq), v)
	for i := range c.excess(len(v), t.s.opts) {
		t.del(changeKey(shard, c.first+uint64(i)))
	}
	return nil
}

func (t *tx) step(g *store.Group, index int) error {
	st, shard, id := &g.Steps[index], g.Shard, g.Steps[index].Instance
	for _, r := range st.Requests {
		t.request(shard, r)
	}
	if st.Remove {
		return t.remove(shard, id)
	}
	in := t.instance(shard, id)
	t.set(shardKey(kView, shard, id), st.Record.View)
	t.set(shardKey(kPrivate, shard, id), store.AppendRecord(nil, st.Record))
	for i, r := range st.OutboxPut {
		// Ordered by group, step and place within it.
		order := g.Number<<24 | uint64(index)<<12 | uint64(min(i, 1<<12-1))
		t.set(append(rowPrefix(kOutbox, shard, id), r.ID...), append(binary.BigEndian.AppendUint64(nil, order), r.Body...))
	}
	for _, cmd := range st.OutboxDelete {
		t.del(append(rowPrefix(kOutbox, shard, id), cmd...))
	}
	for _, q := range st.QueuePut {
		in.queued = append(in.queued, q.Sequence)
		t.set(seqKey(kQueue, shard, id, q.Sequence), q.Body)
	}
	if err := t.trim(shard, id, in, st.QueueTrim); err != nil {
		return err
	}
	for _, seq := range st.QueueDelete {
		t.del(seqKey(kQueue, shard, id, seq))
	}
	if err := t.log(shard, id, in, st.Log); err != nil {
		return err
	}
	for _, sha := range st.BlobAdd {
		if err := t.refer(shard, id, in, sha, 1); err != nil {
			return err
		}
	}
	for _, sha := range st.BlobRemove {
		if err := t.refer(shard, id, in, sha, -1); err != nil {
			return err
		}
	}
	return nil
}

// trim deletes queue entries one by one: a range deletion for each answered
// event would slow every later read of the queue.
func (t *tx) trim(shard uint32, id string, in *instance, upTo uint64) error {
	if upTo == 0 {
		return nil
	}
	prefix := rowPrefix(kQueue, shard, id)
	err := scanTo(t.s.db, prefix, after(seqKey(kQueue, shard, id, upTo)), func(rest, _ []byte) error {
		t.del(append(append([]byte(nil), prefix...), rest...))
		return nil
	})
	for _, seq := range in.queued {
		if seq <= upTo {
			t.del(seqKey(kQueue, shard, id, seq))
		}
	}
	return err
}

func (t *tx) log(shard uint32, id string, in *instance, rows []store.LogRow) error {
	if len(rows) == 0 {
		return nil
	}
	if in.log == nil {
		b, err := t.s.get(t.s.db, shardKey(kLogState, shard, id))
		if err != nil {
			return err
		}
		state := store.ParseLogState(b)
		in.log = &state
	}
	first := in.log.First
	if first == 0 {
		first = rows[0].Sequence
	}
	for _, l := range rows {
		in.log.Append(l)
		t.set(seqKey(kLog, shard, id, l.Sequence), l.Body)
	}
	if cut := in.log.Cut(t.s.opts.LogRetention); cut > first {
		t.delRange(seqKey(kLog, shard, id, first), seqKey(kLog, shard, id, cut))
	}
	t.set(shardKey(kLogState, shard, id), in.log.MarshalState())
	return nil
}

func (t *tx) request(shard uint32, r store.Row) {
	expiry := uint64(t.now.Add(store.RequestTime).UnixMilli())
	t.set(shardKey(kRequest, shard, r.ID), append(binary.BigEndian.AppendUint64(nil, expiry), r.Body...))
	t.set(expiryKey(expiry, shard, r.ID), nil)
}

// remove deletes an instance with all its rows, those of this batch too.
func (t *tx) remove(shard uint32, id string) error {
	in := t.instance(shard, id)
	if err := t.readRefs(shard, id, in); err != nil {
		return err
	}
	for sha, n := range in.refs {
		if err := t.count(sha, -int64(n)); err != nil {
			return err
		}
	}
	for _, kind := range []byte{kView, kPrivate, kLogState} {
		t.del(shardKey(kind, shard, id))
	}
	for _, kind := range []byte{kLog, kOutbox, kQueue, kReference} {
		p := rowPrefix(kind, shard, id)
		t.delRange(p, after(p))
	}
	*in = instance{log: &store.LogState{}, refs: map[string]uint64{}}
	return nil
}

// refer counts a reference of an instance up (1) or down (-1).
func (t *tx) refer(shard uint32, id string, in *instance, sha string, by int64) error {
	if err := t.readRefs(shard, id, in); err != nil {
		return err
	}
	n := in.refs[sha]
	if by < 0 && n == 0 {
		return nil // nothing to give back
	}
	n += uint64(by)
	key := append(rowPrefix(kReference, shard, id), sha...)
	if n == 0 {
		delete(in.refs, sha)
		t.del(key)
	} else {
		in.refs[sha] = n
		t.set(key, binary.AppendUvarint(nil, n))
	}
	return t.count(sha, by)
}

func (t *tx) readRefs(shard uint32, id string, in *instance) error {
	if in.refs != nil {
		return nil
	}
	in.refs = make(map[string]uint64)
	return scan(t.s.db, rowPrefix(kReference, shard, id), func(rest, v []byte) error {
		in.refs[string(rest)], _ = binary.Uvarint(v)
		return nil
	})
}

// count adds by to the references to sha; finish writes the outcome.
func (t *tx) count(sha string, by int64) error {
	n, ok := t.refs[sha]
	if !ok {
		b, err := t.s.get(t.s.db, globalKey(kReferences, sha))
		if err != nil {
			return err
		}
		n, _ = binary.Uvarint(b)
	}
	if t.refs == nil {
		t.refs = make(map[string]uint64)
	}
	t.refs[sha] = uint64(max(0, int64(n)+by))
	return nil
}

// body stores a packed body unless it is there, and touches it.
func (t *tx) body(sha string, packed []byte) error {
	if _, ok := t.refs[sha]; !ok && !t.s.has(globalKey(kBlob, sha)) {
		t.set(globalKey(kBlob, sha), packed)
	}
	return t.count(sha, 0)
}

// finish writes the counts of references.
func (t *tx) finish() error {
	for sha, n := range t.refs {
		if n > 0 {
			t.set(globalKey(kReferences, sha), binary.AppendUvarint(nil, n))
			t.del(globalKey(kFree, sha))
		} else {
			t.del(globalKey(kReferences, sha))
			t.set(globalKey(kFree, sha), binary.BigEndian.AppendUint64(nil, uint64(t.now.UnixMilli())))
		}
	}
	return nil
}

func (t *tx) instance(shard uint32, id string) *instance {
	k := instanceKey{shard, id}
	in := t.instances[k]
	if in == nil {
		in = &instance{}
		if t.instances == nil {
			t.instances = make(map[instanceKey]*instance)
		}
		t.instances[k] = in
	}
	return in
}

// Writes to a batch fail only when the batch is misused, so the error of
// these is that of applying it.
func (t *tx) set(key, value []byte)      { _ = t.batch.Set(key, value, nil) }
func (t *tx) del(key []byte)             { _ = t.batch.Delete(key, nil) }
func (t *tx) delRange(from, upTo []byte) { _ = t.batch.DeleteRange(from, upTo, nil) }
