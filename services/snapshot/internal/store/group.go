// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// maxIDBytes bounds every id; keys are built of ids.
const maxIDBytes = 512

// Validate checks what no store may take, before anything is written. The
// error wraps ErrInvalid.
func Validate(groups []Group) error {
	steps := 0
	seen := make(map[uint32]bool, len(groups))
	for i := range groups {
		g := &groups[i]
		if seen[g.Shard] {
			return fmt.Errorf("%w: two groups for shard %d", ErrInvalid, g.Shard)
		}
		seen[g.Shard] = true
		if steps += len(g.Steps); steps > MaxSteps {
			return fmt.Errorf("%w: more than %d steps", ErrInvalid, MaxSteps)
		}
		if err := g.validate(); err != nil {
			return fmt.Errorf("%w: group %d of shard %d: %w", ErrInvalid, g.Number, g.Shard, err)
		}
	}
	return nil
}

// CheckShards refuses shards that there are not. The error wraps ErrInvalid.
func CheckShards(shards ...uint32) error {
	for _, s := range shards {
		if s >= Shards {
			return fmt.Errorf("%w: shard %d of %d", ErrInvalid, s, Shards)
		}
	}
	return nil
}

// CheckID refuses an id that cannot be part of a key. The error wraps
// ErrInvalid.
func CheckID(what, id string) error {
	if id == "" || len(id) > maxIDBytes || strings.IndexByte(id, 0) >= 0 {
		return fmt.Errorf("%w: %s %.40q: want 1 to %d bytes without NUL", ErrInvalid, what, id, maxIDBytes)
	}
	return nil
}

// CheckSHA256 refuses what is not a SHA-256 in lower-case hex. The error wraps
// ErrInvalid.
func CheckSHA256(s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size || s != strings.ToLower(s) {
		return fmt.Errorf("%w: %.80q is not a SHA-256 in lower-case hex", ErrInvalid, s)
	}
	return nil
}

// Check refuses a body that is not what its name says. The error wraps
// ErrInvalid.
func (b Blob) Check() error {
	if err := CheckSHA256(b.SHA256); err != nil {
		return err
	}
	if len(b.Body) > MaxBlobBytes {
		return fmt.Errorf("%w: body of %d bytes; at most %d", ErrInvalid, len(b.Body), MaxBlobBytes)
	}
	if sum := sha256.Sum256(b.Body); hex.EncodeToString(sum[:]) != b.SHA256 {
		return fmt.Errorf("%w: body does not have the SHA-256 %s", ErrInvalid, b.SHA256)
	}
	return nil
}

func (g *Group) validate() error {
	if err := CheckShards(g.Shard); err != nil {
		return err
	}
	if err := CheckID("nonce", g.Fence.Nonce); err != nil {
		return err
	}
	if g.Number == 0 {
		return fmt.Errorf("number 0")
	}
	for _, m := range g.Marks {
		if err := CheckID("source", m.Source); err != nil {
			return err
		}
		if len(m.Incarnation) > maxIDBytes {
			return fmt.Errorf("incarnation of source %s: too long", m.Source)
		}
	}
	for _, h := range g.Hosts {
		if err := CheckID("host", h.ID); err != nil {
			return err
		}
	}
	last := make(map[string]uint64)
	for i := range g.Steps {
		s := &g.Steps[i]
		if err := s.validate(last); err != nil {
			return fmt.Errorf("instance %s: %w", s.Instance, err)
		}
	}
	return nil
}

// validate checks a step; last holds the last log sequence of each instance
// in the group so far.
func (s *Step) validate(last map[string]uint64) error {
	if err := CheckID("instance", s.Instance); err != nil {
		return err
	}
	if (s.Record == nil) != s.Remove {
		return fmt.Errorf("a step has a record or removes the instance")
	}
	for _, rows := range [][]Row{s.OutboxPut, s.Requests} {
		for _, r := range rows {
			if err := CheckID("row", r.ID); err != nil {
				return err
			}
		}
	}
	for _, id := range s.OutboxDelete {
		if err := CheckID("command", id); err != nil {
			return err
		}
	}
	for _, q := range s.QueuePut {
		if q.Sequence == 0 {
			return fmt.Errorf("queue entry 0")
		}
	}
	for _, l := range s.Log {
		if l.Sequence <= last[s.Instance] {
			return fmt.Errorf("log entry %d after %d", l.Sequence, last[s.Instance])
		}
		last[s.Instance] = l.Sequence
	}
	for _, b := range s.Blobs {
		if len(b.Body) > MaxInlineBytes {
			return fmt.Errorf("inline body of %d bytes; at most %d", len(b.Body), MaxInlineBytes)
		}
		if err := b.Check(); err != nil {
			return err
		}
	}
	for _, shas := range [][]string{s.BlobAdd, s.BlobRemove} {
		for _, sha := range shas {
			if err := CheckSHA256(sha); err != nil {
				return err
			}
		}
	}
	if s.Remove {
		delete(last, s.Instance)
	}
	return nil
}

// Digest names the content of the group: everything but the epoch, which the
// fence compares by itself. Equal groups have equal digests.
func (g *Group) Digest() [sha256.Size]byte {
	d := digester{h: sha256.New(), buf: make([]byte, 0, 4096)}
	d.num(uint64(g.Shard))
	d.str(g.Fence.Nonce)
	d.num(g.Number)
	d.num(uint64(len(g.Steps)))
	for i := range g.Steps {
		d.step(&g.Steps[i])
	}
	d.num(uint64(len(g.Marks)))
	for _, m := range g.Marks {
		d.str(m.Source)
		d.str(m.Incarnation)
		d.num(m.Sequence)
	}
	d.rows(g.Hosts)
	d.flush()
	return [sha256.Size]byte(d.h.Sum(nil))
}

// digester writes length-prefixed values to a hash, through a buffer because
// a hash is slow with small writes.
type digester struct {
	h   hash.Hash
	buf []byte
}

func (d *digester) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *digester) num(n uint64) {
	if len(d.buf) > 4000 {
		d.flush()
	}
	d.buf = binary.AppendUvarint(d.buf, n)
}

func (d *digester) str(s string) {
	d.num(uint64(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *digester) bytes(b []byte) {
	d.num(uint64(len(b)))
	if len(b) > 1024 {
		d.flush()
		d.h.Write(b)
		return
	}
	d.buf = append(d.buf, b...)
}

func (d *digester) rows(rows []Row) {
	d.num(uint64(len(rows)))
	for _, r := range rows {
		d.str(r.ID)
		d.bytes(r.Body)
	}
}

func (d *digester) strs(ss []string) {
	d.num(uint64(len(ss)))
	for _, s := range ss {
		d.str(s)
	}
}

func (d *digester) step(s *Step) {
	d.str(s.Instance)
	if s.Remove {
		d.num(1)
	} else {
		d.num(0)
		d.bytes(s.Record.View)
		d.bytes(s.Record.Session)
		d.bytes(s.Record.State)
	}
	d.rows(s.OutboxPut)
	d.strs(s.OutboxDelete)
	d.num(uint64(len(s.QueuePut)))
	for _, q := range s.QueuePut {
		d.num(q.Sequence)
		d.bytes(q.Body)
	}
	d.num(s.QueueTrim)
	d.num(uint64(len(s.QueueDelete)))
	for _, n := range s.QueueDelete {
		d.num(n)
	}
	d.num(uint64(len(s.Log)))
	for _, l := range s.Log {
		d.num(l.Sequence)
		if l.Snapshot {
			d.num(1)
		} else {
			d.num(0)
		}
		d.bytes(l.Body)
	}
	d.rows(s.Requests)
	d.strs(s.BlobAdd)
	d.strs(s.BlobRemove)
	d.num(uint64(len(s.Blobs)))
	for _, b := range s.Blobs {
		d.str(b.SHA256)
	}
}
