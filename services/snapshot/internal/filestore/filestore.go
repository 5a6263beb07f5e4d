// SPDX-License-Identifier: AGPL-3.0-or-later

// Package filestore keeps the store in a directory of this computer, in
// Pebble. It needs no other process, and one process at a time has it open.
//
// A commit is one batch of Pebble, synced before it is answered: it survives
// the loss of power as far as the disk does not lie about fdatasync. Batches of
// concurrent commits share a sync: a commit is checked and applied in memory
// under one mutex, then waits for the disk outside of it. Readers wait for
// the disk as well before they hand out what they read, so nobody ever sees
// what a power failure could take back.
package filestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	cacheBytes    = 16 << 20
	memTableBytes = 16 << 20
)

// Store implements store.Store.
type Store struct {
	opts store.Options
	db   *pebble.DB
	hub  store.Hub

	// mu guards everything below and the order of batches: what a batch was
	// checked against is what it is applied to.
	mu      sync.Mutex
	metas   [store.Shards]*meta
	changes [store.Shards + 1]*changeLog
	// inflight counts batches applied and not yet on disk.
	inflight int
	// charts counts pushes, for the order within a name.
	charts uint64
}

// meta is what the store keeps of a shard. It is read once and then kept in
// memory.
type meta struct {
	epoch  uint64
	nonce  string
	owner  string
	addr   string
	expire int64 // ms
	group  uint64
	digest [32]byte
}

// changeLog is the extent of a shard's changes.
type changeLog struct {
	first uint64 // sequence of the oldest kept
	sizes []int  // of each kept, oldest first
	bytes int
	// durable is the newest position that is on disk; readers see no further.
	durable store.Position
}

// ErrLocked says that another process has the directory open.
var ErrLocked = errors.New("another process has the store open: stop it (chartroom up, or snapshot), or name another directory")

// Open opens the store in dir, which is made when missing.
func Open(dir string, opts store.Options) (*Store, error) {
	return open(dir, vfs.Default, opts)
}

func open(dir string, fs vfs.FS, opts store.Options) (*Store, error) {
	opts = opts.WithDefaults()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{
		FS:                 fs,
		Cache:              cache,
		MemTableSize:       memTableBytes,
		MaxOpenFiles:       256,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             logger{opts.Log},
	})
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EWOULDBLOCK), err != nil && isLockHeld(err):
		return nil, fmt.Errorf("open store %s: %w", dir, ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := &Store{opts: opts, db: db}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), db.Close())
	}
	return s, nil
}

// recover reads what is kept in memory: the metas of all shards and the
// extent of the chart changes. Extents of shards are read when first needed.
func (s *Store) recover() error {
	for shard := range uint32(store.Shards) {
		v, err := s.get(s.db, shardKey(kMeta, shard, ""))
		if err != nil {
			return err
		}
		if s.metas[shard], err = parseMeta(v); err != nil {
			return fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	c, err := s.extent(store.ChartShard)
	if err != nil {
		return err
	}
	s.charts = c.durable.Sequence
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping implements store.Store; a database in this process always answers.
func (s *Store) Ping(context.Context) error { return nil }

// Hub implements store.Store.
func (s *Store) Hub() *store.Hub { return &s.hub }

// barrier returns when everything that was applied before is on disk.
func (s *Store) barrier() error {
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// get reads a key; nil when it is not there.
func (s *Store) get(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, v...)
	return out, closer.Close()
}

// scan calls each with the rest of every key that begins with prefix, and its
// value; both are valid during the call.
func scan(r pebble.Reader, prefix []byte, each func(rest, value []byte) error) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := each(it.Key()[len(prefix):], v); err != nil {
			return err
		}
	}
	return it.Error()
}

func (m *meta) marshal() []byte {
	b := binary.AppendUvarint(nil, m.epoch)
	b = binary.AppendUvarint(b, m.group)
	b = binary.AppendVarint(b, m.expire)
	b = append(b, m.digest[:]...)
	for _, s := range []string{m.nonce, m.owner, m.addr} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// parseMeta unpacks a meta; nothing is a shard that nobody ever owned.
func parseMeta(b []byte) (*meta, error) {
	m := &meta{}
	if len(b) == 0 {
		return m, nil
	}
	bad := errors.New("meta is damaged")
	num := func(p *uint64) bool {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		*p, b = v, b[n:]
		return true
	}
	if !num(&m.epoch) || !num(&m.group) {
		return nil, bad
	}
	v, n := binary.Varint(b)
	if n <= 0 || len(b) < n+len(m.digest) {
		return nil, bad
	}
	m.expire, b = v, b[n:]
	b = b[copy(m.digest[:], b):]
	for _, p := range []*string{&m.nonce, &m.owner, &m.addr} {
		var l uint64
		if !num(&l) || l > uint64(len(b)) {
			return nil, bad
		}
		*p, b = string(b[:l]), b[l:]
	}
	return m, nil
}

// isLockHeld recognises Pebble's own words for a directory that this very
// process has open already.
func isLockHeld(err error) bool {
	return err != nil && strings.Contains(err.Error(), "lock held by current process")
}

// logger gives Pebble's words to slog: its chatter is for debugging.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "err", fmt.Sprintf(format, args...))
}

// Fatalf is called when the write-ahead log cannot be written: nothing more
// can be promised, so the process ends rather than go on.
func (l logger) Fatalf(format string, args ...any) {
	l.log.Error("pebble cannot go on", "err", fmt.Sprintf(format, args...))
	panic("filestore: " + fmt.Sprintf(format, args...))
}
