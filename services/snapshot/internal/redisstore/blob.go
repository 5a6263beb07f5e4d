// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/redis/go-redis/v9"
)

// collectBatch bounds the deletions of one call, during which Redis does
// nothing else.
const collectBatch = 256

// PutBlob implements store.Store.
func (s *Store) PutBlob(ctx context.Context, b store.Blob) error {
	if err := b.Check(); err != nil {
		return fmt.Errorf("put body: %w", err)
	}
	err := blobScript.Run(ctx, s.client, nil, "put", s.opts.Now().UnixMilli(), b.SHA256, blob.Pack(b.Body)).Err()
	if err != nil {
		return fmt.Errorf("put body %s: %w", b.SHA256, fail(ctx, err))
	}
	return nil
}

// Blob implements store.Store.
func (s *Store) Blob(ctx context.Context, sha256 string) ([]byte, error) {
	packed, err := s.client.Get(ctx, "cr:blob:"+sha256).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("body %s: %w", sha256, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("body %s: %w", sha256, fail(ctx, err))
	}
	return blob.Unpack(packed, sha256)
}

// Collect implements store.Store. Results of requests expire by themselves.
func (s *Store) Collect(ctx context.Context) (int, error) {
	total := 0
	for {
		until := s.opts.Now().Add(-store.BlobTime).UnixMilli()
		n, err := blobScript.Run(ctx, s.client, nil, "collect", until, collectBatch).Int()
		total += n
		if err != nil {
			return total, fmt.Errorf("collect: %w", fail(ctx, err))
		}
		if n < collectBatch {
			return total, nil
		}
	}
}

// PutChart implements store.Store.
func (s *Store) PutChart(ctx context.Context, c store.Chart) (bool, error) {
	if err := errors.Join(store.CheckSHA256(c.Digest), store.CheckID("chart", c.Name)); err != nil {
		return false, fmt.Errorf("put chart: %w", err)
	}
	changes := store.EncodeChanges([]store.Change{{Kind: store.ChartChanged, ID: c.Digest, View: c.Head}})
	id := make([]byte, 8)
	_, _ = rand.Read(id)
	n, err := chartScript.Run(ctx, s.client, []string{shardPrefix(store.ChartShard) + "c"},
		c.Digest, c.Name, c.Head, c.Document, changes, id, store.ChartShard, s.opts.ChangeRetention).Int()
	if err != nil {
		return false, fmt.Errorf("put chart %s: %w", c.Name, fail(ctx, err))
	}
	if n == 1 {
		s.hub.Mark(store.ChartShard)
	}
	return n == 1, nil
}

// orderedChart is a chart with the number of its push.
type orderedChart struct {
	store.Chart
	order uint64
}

// charts reads all, by name, newest first within one.
func (s *Store) charts(ctx context.Context) ([]orderedChart, error) {
	m, err := s.client.HGetAll(ctx, "cr:charts").Result()
	if err != nil {
		return nil, fail(ctx, err)
	}
	out := make([]orderedChart, 0, len(m))
	for field, v := range m {
		digest, name, _ := strings.Cut(field, "\x00")
		number, head, _ := strings.Cut(v, " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("chart %s is damaged", name)
		}
		out = append(out, orderedChart{store.Chart{Name: name, Digest: digest, Head: []byte(head)}, n})
	}
	slices.SortFunc(out, func(a, b orderedChart) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.order, a.order))
	})
	return out, nil
}

// Chart implements store.Store.
func (s *Store) Chart(ctx context.Context, digest, name string) (store.Chart, error) {
	all, err := s.charts(ctx)
	if err != nil {
		return store.Chart{}, fmt.Errorf("chart %s%s: %w", digest, name, err)
	}
	for _, c := range all {
		if digest == c.Digest || digest == "" && name == c.Name {
			if c.Document, err = s.client.Get(ctx, "cr:chart:"+c.Digest).Bytes(); err != nil {
				return store.Chart{}, fmt.Errorf("chart %s: %w", c.Digest, fail(ctx, err))
			}
			return c.Chart, nil
		}
	}
	return store.Chart{}, fmt.Errorf("chart %s%s: %w", digest, name, store.ErrNotFound)
}

// Charts implements store.Store.
func (s *Store) Charts(ctx context.Context) ([]store.Chart, error) {
	all, err := s.charts(ctx)
	if err != nil {
		return nil, fmt.Errorf("charts: %w", err)
	}
	out := make([]store.Chart, len(all))
	for i := range all {
		out[i] = all[i].Chart
	}
	return out, nil
}
