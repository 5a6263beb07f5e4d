// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/cockroachdb/pebble/v2"
)

// collectBatch bounds the deletions of one turn of Collect, so that commits
// never wait long for it.
const collectBatch = 256

// PutBlob implements store.Store.
func (s *Store) PutBlob(_ context.Context, b store.Blob) error {
	if err := b.Check(); err != nil {
		return fmt.Errorf("put body: %w", err)
	}
	packed := blob.Pack(b.Body)
	s.mu.Lock()
	t := &tx{s: s, batch: s.db.NewBatch(), now: s.opts.Now()}
	err := t.body(b.SHA256, packed)
	if err == nil {
		err = t.finish()
	}
	if err == nil {
		err = s.start(t.batch)
	}
	s.mu.Unlock()
	if err == nil {
		err = s.settle(t.batch, nil)
	}
	if err != nil {
		return fmt.Errorf("put body %s: %w", b.SHA256, err)
	}
	return nil
}

// Blob implements store.Store.
func (s *Store) Blob(_ context.Context, sha256 string) ([]byte, error) {
	packed, err := s.get(s.db, globalKey(kBlob, sha256))
	if err != nil {
		return nil, fmt.Errorf("body %s: %w", sha256, err)
	}
	if packed == nil {
		return nil, fmt.Errorf("body %s: %w", sha256, store.ErrNotFound)
	}
	return blob.Unpack(packed, sha256)
}

// Collect implements store.Store.
func (s *Store) Collect(ctx context.Context) (int, error) {
	total := 0
	for {
		n, more, err := s.collect()
		total += n
		if err != nil {
			return total, fmt.Errorf("collect: %w", err)
		}
		if !more || ctx.Err() != nil {
			return total, ctx.Err()
		}
	}
}

func (s *Store) collect() (blobs int, more bool, err error) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	full := errors.New("full")
	old := uint64(now.Add(-store.BlobTime).UnixMilli())
	err = scan(s.db, []byte{kFree}, func(rest, v []byte) error {
		if u64(v) > old {
			return nil
		}
		if blobs == collectBatch {
			return full
		}
		blobs++
		sha := string(rest)
		return errors.Join(batch.Delete(globalKey(kBlob, sha), nil), batch.Delete(globalKey(kFree, sha), nil))
	})
	if err != nil && !errors.Is(err, full) {
		return 0, false, err
	}
	more = err != nil
	requests := 0
	upper := binary.BigEndian.AppendUint64([]byte{kExpiry}, uint64(now.UnixMilli())+1)
	err = scanTo(s.db, []byte{kExpiry}, upper, func(rest, _ []byte) error {
		if requests == collectBatch {
			return full
		}
		requests++
		key := append([]byte{kRequest}, rest[8:]...)
		v, err := s.get(s.db, key)
		if err != nil {
			return err
		}
		// The same id may have been written again since, with a later expiry.
		if u64(v) == u64(rest) {
			err = batch.Delete(key, nil)
		}
		return errors.Join(err, batch.Delete(append([]byte{kExpiry}, rest...), nil))
	})
	if err != nil && !errors.Is(err, full) {
		return 0, false, err
	}
	more = more || err != nil
	// Not synced: what comes back after a crash is collected again.
	return blobs, more, s.db.Apply(batch, pebble.NoSync)
}

// PutChart implements store.Store.
func (s *Store) PutChart(_ context.Context, c store.Chart) (bool, error) {
	if err := errors.Join(store.CheckSHA256(c.Digest), store.CheckID("chart", c.Name)); err != nil {
		return false, fmt.Errorf("put chart: %w", err)
	}
	key := chartKey(c.Digest, c.Name)
	changes := store.EncodeChanges([]store.Change{{Kind: store.ChartChanged, ID: c.Digest, View: c.Head}})
	s.mu.Lock()
	if s.has(key) {
		s.mu.Unlock()
		return false, s.settled()
	}
	var incarnation [8]byte
	_, _ = rand.Read(incarnation[:])
	t := &tx{s: s, batch: s.db.NewBatch()}
	seq := s.charts + 1
	v := binary.BigEndian.AppendUint64(nil, seq)
	v = append(binary.AppendUvarint(v, uint64(len(c.Head))), c.Head...)
	t.set(key, append(v, c.Document...))
	err := t.change(store.ChartShard, seq, incarnation[:], changes)
	if err == nil {
		err = s.db.Apply(t.batch, pebble.Sync) // rare: the lock may be held
	}
	if err == nil {
		s.charts = seq
		cl := s.changes[store.ChartShard]
		cl.grow(seq, len(changes)+8, s.opts)
		cl.durable = position(seq, incarnation[:])
	}
	s.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("put chart %s: %w: %w", c.Name, store.ErrUnavailable, err)
	}
	s.hub.Mark(store.ChartShard)
	return true, nil
}

func chartKey(digest, name string) []byte {
	return append(append(globalKey(kChart, digest), 0), name...)
}

// orderedChart is a chart with the number of its push.
type orderedChart struct {
	store.Chart
	order uint64
}

func parseChart(rest, v []byte) (orderedChart, error) {
	digest, name, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(v) < 9 {
		return orderedChart{}, errors.New("chart is damaged")
	}
	c := orderedChart{store.Chart{Name: string(name), Digest: string(digest)}, u64(v)}
	n, k := binary.Uvarint(v[8:])
	v = v[8+max(k, 0):]
	if k <= 0 || n > uint64(len(v)) {
		return orderedChart{}, errors.New("chart is damaged")
	}
	c.Head, c.Document = bytes.Clone(v[:n]), bytes.Clone(v[n:])
	return c, nil
}

// Chart implements store.Store.
func (s *Store) Chart(_ context.Context, digest, name string) (store.Chart, error) {
	var found orderedChart
	prefix := []byte{kChart}
	if digest != "" {
		prefix = append(globalKey(kChart, digest), 0)
	}
	err := scan(s.db, prefix, func(rest, v []byte) error {
		c, err := parseChart(append(prefix[1:len(prefix):len(prefix)], rest...), v)
		if err != nil {
			return err
		}
		if (digest != "" || c.Name == name) && c.order > found.order {
			found = c
		}
		return nil
	})
	if err != nil {
		return store.Chart{}, fmt.Errorf("chart %s%s: %w", digest, name, err)
	}
	if found.order == 0 {
		return store.Chart{}, fmt.Errorf("chart %s%s: %w", digest, name, store.ErrNotFound)
	}
	return found.Chart, nil
}

// Charts implements store.Store.
func (s *Store) Charts(context.Context) ([]store.Chart, error) {
	var all []orderedChart
	err := scan(s.db, []byte{kChart}, func(rest, v []byte) error {
		c, err := parseChart(rest, v)
		c.Document = nil
		all = append(all, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("charts: %w", err)
	}
	slices.SortFunc(all, func(a, b orderedChart) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.order, a.order))
	})
	out := make([]store.Chart, len(all))
	for i := range all {
		out[i] = all[i].Chart
	}
	return out, nil
}
