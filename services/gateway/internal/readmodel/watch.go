// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// batchLimit is the most changes that one call of [Watcher.Next] returns.
const batchLimit = 256

// Selection says what a watcher wants.
type Selection struct {
	// Instance is the id of the only instance wanted; empty for everything.
	Instance string
	// Log wants log entries too.
	Log bool
}

// Watcher follows the model. It is only a place in the order of revisions:
// while its user is slow, views that change again are seen once, at their
// newest. It is for one goroutine and needs no closing.
type Watcher struct {
	m       *Model
	sel     Selection
	rev     uint64 // every change up to here was returned, or is in list
	logFrom uint64 // log entries up to here are not wanted
	listing bool
	list    []*item // of the first list, what was not returned yet
}

// Batch is what a watcher has not seen.
type Batch struct {
	// Changes in order of their revision, each with its token.
	Changes []*fleetv1.WatchResponse
	// LogLost says that log entries were skipped before this batch; the caller
	// reads them from the store or gives up.
	LogLost bool
	// Reset says that the watcher cannot go on; start again without a token.
	Reset bool
}

// Watch starts to follow. Without a token the watcher first returns everything
// selected and then a synced change; with one it goes on where that token was
// given, or its first batch is a reset. It returns [ErrNotReady].
func (m *Model) Watch(sel Selection, token string) (*Watcher, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ready {
		return nil, ErrNotReady
	}
	if token != "" {
		rev, ok := m.revision(token)
		if !ok {
			return &Watcher{}, nil
		}
		return &Watcher{m: m, sel: sel, rev: rev, logFrom: rev}, nil
	}
	return &Watcher{m: m, sel: sel, rev: m.rev, logFrom: m.rev, listing: true, list: m.selected(sel)}, nil
}

// selected lists what a first list is made of: hosts, charts, then instances,
// each by id.
func (m *Model) selected(sel Selection) []*item {
	if sel.Instance != "" {
		if e := m.byKey[key{kindInstance, sel.Instance}]; e != nil {
			return []*item{e.Value.(*item)}
		}
		return nil
	}
	items := make([]*item, 0, len(m.byKey))
	for _, e := range m.byKey {
		items = append(items, e.Value.(*item))
	}
	order := [...]int{kindHost: 0, kindChart: 1, kindInstance: 2}
	slices.SortFunc(items, func(a, b *item) int {
		return cmp.Or(cmp.Compare(order[a.kind], order[b.kind]), cmp.Compare(a.id, b.id))
	})
	return items
}

// token names a revision of this model.
func (m *Model) token(rev uint64) string { return m.incarnation + "-" + strconv.FormatUint(rev, 36) }

func (m *Model) revision(token string) (uint64, bool) {
	digits, ok := strings.CutPrefix(token, m.incarnation+"-")
	if !ok {
		return 0, false
	}
	rev, err := strconv.ParseUint(digits, 36, 64)
	return rev, err == nil && rev <= m.rev
}

// Next waits until there is something that the watcher has not seen and
// returns it. It returns an error only when ctx ends. After a reset it must
// not be called again.
func (w *Watcher) Next(ctx context.Context) (Batch, error) {
	if w.m == nil {
		return Batch{Reset: true}, nil
	}
	for {
		b, changed := w.collect()
		if b.Reset || b.LogLost || len(b.Changes) > 0 {
			return b, nil
		}
		if w.listing {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Batch{}, fmt.Errorf("watch the fleet: %w", ctx.Err())
		}
	}
}

// collect reads one batch, and the channel that is closed at the next change.
func (w *Watcher) collect() (Batch, <-chan struct{}) {
	m := w.m
	m.mu.RLock()
	defer m.mu.RUnlock()
	now := time.Now()
	var b Batch
	if m.goneFloor > w.rev {
		return Batch{Reset: true}, nil
	}
	if w.listing {
		w.collectList(&b, now)
		return b, m.changed
	}
	from := max(w.rev, w.logFrom)
	if w.sel.Log && m.logFloor > from {
		b.LogLost = true
		w.logFrom = m.logFloor
		from = m.logFloor
	}

	// The first view that is new to the watcher.
	e := m.items.Back()
	for e != nil && e.Value.(*item).rev > w.rev {
		e = e.Prev()
	}
	if e == nil {
		e = m.items.Front()
	} else {
		e = e.Next()
	}
	// And its first log entry.
	at := len(m.log)
	if w.sel.Log {
		at, _ = slices.BinarySearchFunc(m.log, from+1, func(l logItem, rev uint64) int {
			return cmp.Compare(l.rev, rev)
		})
	}

	for len(b.Changes) < batchLimit {
		switch {
		case at < len(m.log) && (e == nil || m.log[at].rev < e.Value.(*item).rev):
			l := m.log[at]
			at++
			w.rev = l.rev
			if w.sel.Instance == "" || w.sel.Instance == l.entry.GetInstanceId() {
				b.add(m, l.rev, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Log{Log: l.entry}})
			}
		case e != nil:
			it := e.Value.(*item)
			e = e.Next()
			w.rev = it.rev
			if r := w.show(it, now); r != nil {
				b.add(m, it.rev, r)
			}
		default:
			w.rev = m.rev
			return b, m.changed
		}
	}
	return b, m.changed
}

// collectList returns a part of the first list, and after the last the synced
// change, from whose token the watcher can be resumed. Before it no token is
// given, since what was not listed yet has no place in the order.
func (w *Watcher) collectList(b *Batch, now time.Time) {
	n := min(len(w.list), batchLimit)
	for _, it := range w.list[:n] {
		if it.kind == kindInstance && it.instance == nil {
			continue // gone before, or told as a removal after the list
		}
		b.Changes = append(b.Changes, w.show(it, now))
	}
	w.list = w.list[n:]
	if len(w.list) == 0 {
		w.list, w.listing = nil, false
		b.add(w.m, w.rev, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Synced{Synced: true}})
	}
}

// show makes the message of a view; nil when it is not selected.
func (w *Watcher) show(it *item, now time.Time) *fleetv1.WatchResponse {
	switch it.kind {
	case kindInstance:
		if w.sel.Instance != "" && w.sel.Instance != it.id {
			return nil
		}
		if it.instance != nil {
			v := w.m.shownInstance(it.instance, now)
			return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Instance{Instance: v}}
		}
		return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_RemovedInstanceId{RemovedInstanceId: it.id}}
	case kindHost:
		if w.sel.Instance != "" {
			return nil
		}
		return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Host{Host: w.m.shownHost(it.host, now)}}
	default:
		if w.sel.Instance != "" {
			return nil
		}
		return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Chart{Chart: it.chart}}
	}
}

func (b *Batch) add(m *Model, rev uint64, r *fleetv1.WatchResponse) {
	r.Token = m.token(rev)
	b.Changes = append(b.Changes, r)
}
