// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// Times of the feed.
const (
	// silenceLimit is how long the store's watch may be silent before it is
	// opened again; the store sends a keep-alive every 2 s.
	silenceLimit = 6 * time.Second
	retryFirst   = 50 * time.Millisecond
	retryMost    = 2 * time.Second
)

// errReset says that the store cannot go on from our token.
var errReset = errors.New("the store asks for a new list")

// Run feeds the model until ctx ends: it lists the store, watches from the
// list's token, resumes a broken watch where it was, and lists again when the
// store cannot resume it. It returns ctx's error.
func (m *Model) Run(ctx context.Context, store snapshotv1.SnapshotServiceClient, logger *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				m.tick(now)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	g.Go(func() error { return m.feed(ctx, store, logger) })
	return g.Wait()
}

func (m *Model) feed(ctx context.Context, store snapshotv1.SnapshotServiceClient, logger *slog.Logger) error {
	var token []byte
	wait := retryFirst
	for {
		before := m.heardTime()
		err := m.follow(ctx, store, &token)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errReset) {
			logger.Info("list the store again", "err", err)
			token = nil
		} else {
			logger.Warn("store is away", "err", transport.Advised(err))
		}
		if m.heardTime() != before {
			wait = retryFirst
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, retryMost)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *Model) heardTime() time.Time {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.heard
}

// follow lists, unless there is a token, and watches until something breaks.
func (m *Model) follow(ctx context.Context, store snapshotv1.SnapshotServiceClient, token *[]byte) error {
	if *token == nil {
		t, err := m.listStore(ctx, store)
		if err != nil {
			return err
		}
		*token = t
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := store.Watch(ctx, &snapshotv1.WatchRequest{Token: *token})
	if err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	silence := time.AfterFunc(silenceLimit, func() { cancel(errors.New("the store is silent")) })
	defer silence.Stop()
	for {
		r, err := stream.Recv()
		switch {
		case status.Code(err) == codes.InvalidArgument || status.Code(err) == codes.OutOfRange:
			return fmt.Errorf("%w: %w", errReset, err)
		case err != nil:
			return fmt.Errorf("watch the store: %w", errors.Join(err, context.Cause(ctx)))
		case r.GetReset_():
			return errReset
		}
		silence.Reset(silenceLimit)
		m.hear(r.GetFinding())
		m.apply(r.GetChanges())
		if len(r.GetToken()) > 0 {
			*token = r.GetToken()
		}
	}
}

// listStore reads everything and takes it in at once.
func (m *Model) listStore(ctx context.Context, store snapshotv1.SnapshotServiceClient) (token []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stream, err := store.List(ctx, &snapshotv1.ListRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	var c contents
	token = []byte{}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the store: %w", err)
		}
		c.instances = append(c.instances, r.GetInstances()...)
		c.hosts = append(c.hosts, r.GetHosts()...)
		if len(r.GetToken()) > 0 {
			token = r.GetToken()
		}
	}
	// After the list: a chart pushed meanwhile is in here or in the watch.
	charts, err := store.ListCharts(ctx, &snapshotv1.ListChartsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the charts: %w", err)
	}
	c.charts = charts.GetCharts()
	m.replace(c)
	return token, nil
}
