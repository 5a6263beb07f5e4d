// SPDX-License-Identifier: AGPL-3.0-or-later

// Package readmodel keeps what the gateway answers lists and watches from: the
// newest view of every instance, host and chart, fed by the snapshot service's
// list and watch. It holds no truth; it can be thrown away at any time.
//
// # Concurrency
//
// One [Model] serves any number of readers. A single goroutine, [Model.Run],
// writes; readers take a read lock for the time of one answer. No reader is
// ever waited for.
//
// # Revisions
//
// Every change gets the next revision. A view stands in one list ordered by
// the revision of its newest change, so that a watcher is nothing but a
// revision: what it has not seen is what stands behind it. A slow watcher
// therefore skips superseded views by itself and costs no memory. Log entries,
// of which none may be skipped, stand in a ring bounded in count and bytes; a
// watcher that falls behind the ring is told so.
//
// # Unknown
//
// Whether a host is unknown is derived whenever it is read, never stored
// (law 7): it was not heard of for longer than the limit, by its own
// stamp or by our clock, or the model itself is cut off from the store. Each
// second Run looks again and tells the watchers.
//
// Views are the messages of the wire: the gateway hands on what it was given
// and looks at few fields, so a second set of types would only be copied to
// and from. A view is never changed once it is in the model.
package readmodel

import (
	"container/list"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// Bounds of what is remembered for watchers that are behind.
const (
	// logLimit and logBytesLimit bound the ring of log entries.
	logLimit      = 16384
	logBytesLimit = 32 << 20
	// goneLimit bounds the remembered removals.
	goneLimit = 16384
)

// Model is the read model. Make one with [New]; it answers [ErrNotReady] until
// Run has listed the store once.
type Model struct {
	hostLimit time.Duration

	mu          sync.RWMutex
	ready       bool
	incarnation string // random: a token of an earlier process is foreign
	rev         uint64
	heard       time.Time        // when the store was last heard of
	finding     *fleetv1.Finding // what it said last of itself
	full        chan struct{}    // closed while there is a finding
	stale       bool             // as last told to the watchers

	items  *list.List // of *item, by revision
	byKey  map[key]*list.Element
	ids    []string // instance ids, sorted
	byHost map[string]map[string]struct{}

	gone      int    // removals in items
	goneFloor uint64 // highest revision of a removal that was forgotten

	log      []logItem
	logBytes int
	logFloor uint64 // highest revision of a log entry that was forgotten

	changed chan struct{} // closed at the next change
}

// kind tells the kinds of views apart.
type kind uint8

const (
	kindInstance kind = iota
	kindHost
	kindChart
)

// key identifies a view.
type key struct {
	kind kind
	id   string
}

// item is a view, or that there is none any more.
type item struct {
	key
	rev      uint64
	instance *fleetv1.Instance // of kindInstance; nil once removed
	host     *hostView         // of kindHost
	chart    *fleetv1.Chart    // of kindChart
}

// hostView is a host and when its stamp last moved.
type hostView struct {
	view     *fleetv1.Host
	advanced time.Time // by our clock
	told     hostState // to the watchers of its instances
}

// hostState is what of a host decides whether its instances are unknown.
type hostState struct {
	unknown, reachable bool
	engineID           string
}

// logItem is a log entry in the ring.
type logItem struct {
	rev   uint64
	size  int
	entry *fleetv1.LogEntry
}

// New makes an empty model. hostLimit is how long a host may be silent before
// it is unknown; 0 means 8 s.
func New(hostLimit time.Duration) *Model {
	if hostLimit <= 0 {
		hostLimit = 8 * time.Second
	}
	return &Model{
		hostLimit:   hostLimit,
		incarnation: rand.Text()[:10],
		items:       list.New(),
		byKey:       map[key]*list.Element{},
		byHost:      map[string]map[string]struct{}{},
		changed:     make(chan struct{}),
		full:        make(chan struct{}),
	}
}

// Finding is what keeps the store from taking anything new, as it said itself; nil
// when nothing does. It is not to be changed.
func (m *Model) Finding() *fleetv1.Finding {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.finding
}

// Full is closed as soon as the store takes nothing new: while [Model.Finding] gives
// why. When it takes something again, the next call gives another channel.
func (m *Model) Full() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.full
}

// hear takes in what the store says of itself.
func (m *Model) hear(f *fleetv1.Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.finding == nil && f != nil:
		close(m.full)
	case m.finding != nil && f == nil:
		m.full = make(chan struct{})
	}
	m.finding = f
}

// Ready says whether the store was listed and is still heard of.
func (m *Model) Ready() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.ready && !m.isStale(time.Now())
}

// contents is everything that a list of the store gave.
type contents struct {
	instances []*fleetv1.Instance
	hosts     []*fleetv1.Host
	charts    []*fleetv1.Chart
}

// replace takes in a list of the store. Watchers see only what differs; log
// entries may have been missed, which watchers of the log are told.
func (m *Model) replace(c contents) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.heard = now // first: hosts are judged by it
	seen := make(map[string]struct{}, len(c.instances))
	for _, h := range c.hosts {
		m.putHost(h, now)
	}
	for _, v := range c.charts {
		m.putChart(v)
	}
	for _, v := range c.instances {
		seen[v.GetInstanceId()] = struct{}{}
		if old := m.instance(v.GetInstanceId()); old == nil || !proto.Equal(old, v) {
			m.putInstance(v)
		}
	}
	for _, id := range slices.Clone(m.ids) {
		if _, ok := seen[id]; !ok {
			m.removeInstance(id)
		}
	}
	if m.ready {
		m.log, m.logBytes = nil, 0
		m.rev++
		m.logFloor = m.rev
	}
	m.ready = true
	m.wake()
}

// apply takes in changes that the store's watch gave.
func (m *Model) apply(changes []*snapshotv1.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.heard = now
	for _, c := range changes {
		switch c := c.GetChange().(type) {
		case *snapshotv1.Change_Instance:
			m.applyInstance(c.Instance.GetInstance(), c.Instance.GetLog())
		case *snapshotv1.Change_RemovedInstanceId:
			m.removeInstance(c.RemovedInstanceId)
		case *snapshotv1.Change_Host:
			m.putHost(c.Host, now)
		case *snapshotv1.Change_Chart:
			m.putChart(c.Chart)
		}
	}
	if len(changes) > 0 {
		m.wake()
	}
}

// applyInstance takes in a step. The watch may repeat steps that the list had
// already shown: a view older than ours is left out, else rows would jump back, and
// one that is ours already is no change.
func (m *Model) applyInstance(v *fleetv1.Instance, entries []*fleetv1.LogEntry) {
	var known uint64
	if old := m.instance(v.GetInstanceId()); old != nil && sameLife(old, v) {
		known = old.GetLogSequence()
		if v.GetLogSequence() < known || v.GetLogSequence() == known && proto.Equal(old, v) {
			return
		}
	}
	for _, e := range entries {
		if e.GetSequence() > known {
			m.putLog(e)
		}
	}
	m.putInstance(v)
}

// sameLife says whether two views are of one life of an id, which may be
// removed and made again.
func sameLife(a, b *fleetv1.Instance) bool {
	return proto.Equal(a.GetCreateTime(), b.GetCreateTime())
}

func (m *Model) putInstance(v *fleetv1.Instance) {
	id := v.GetInstanceId()
	if old := m.instance(id); old != nil {
		m.unlinkHost(old)
	} else {
		at, _ := slices.BinarySearch(m.ids, id)
		m.ids = slices.Insert(m.ids, at, id)
	}
	if h := v.GetHostId(); h != "" {
		if m.byHost[h] == nil {
			m.byHost[h] = map[string]struct{}{}
		}
		m.byHost[h][id] = struct{}{}
	}
	it := m.touch(key{kindInstance, id})
	if it.instance == nil && it.rev > 0 {
		m.gone--
	}
	it.instance, it.rev = v, m.rev
}

func (m *Model) removeInstance(id string) {
	old := m.instance(id)
	if old == nil {
		return
	}
	m.unlinkHost(old)
	if at, ok := slices.BinarySearch(m.ids, id); ok {
		m.ids = slices.Delete(m.ids, at, at+1)
	}
	it := m.touch(key{kindInstance, id})
	it.instance, it.rev = nil, m.rev
	m.gone++
	if m.gone <= goneLimit {
		return
	}
	for e := m.items.Front(); e != nil; e = e.Next() {
		if it := e.Value.(*item); it.kind == kindInstance && it.instance == nil {
			m.goneFloor = it.rev
			m.items.Remove(e)
			delete(m.byKey, it.key)
			m.gone--
			return
		}
	}
}

func (m *Model) unlinkHost(v *fleetv1.Instance) {
	if set := m.byHost[v.GetHostId()]; set != nil {
		delete(set, v.GetInstanceId())
	}
}

func (m *Model) putHost(v *fleetv1.Host, now time.Time) {
	k := key{kindHost, v.GetHostId()}
	h := &hostView{view: v, advanced: now}
	if e := m.byKey[k]; e != nil {
		old := e.Value.(*item).host
		if proto.Equal(old.view, v) {
			return
		}
		if !v.GetLastSeenTime().AsTime().After(old.view.GetLastSeenTime().AsTime()) {
			h.advanced = old.advanced
		}
		h.told = old.told
	} else {
		h.told.unknown = true // so that its instances are told when it is known
	}
	it := m.touch(k)
	it.host, it.rev = h, m.rev
	m.judge(h, now)
}

func (m *Model) putChart(v *fleetv1.Chart) {
	k := key{kindChart, v.GetName() + "\x00" + v.GetDigest()}
	if e := m.byKey[k]; e != nil && proto.Equal(e.Value.(*item).chart, v) {
		return
	}
	it := m.touch(k)
	it.chart, it.rev = v, m.rev
}

func (m *Model) putLog(e *fleetv1.LogEntry) {
	// The session snapshot is for replays, which read the log from the store.
	e.SessionSnapshot = nil
	m.rev++
	size := proto.Size(e)
	m.log = append(m.log, logItem{rev: m.rev, size: size, entry: e})
	m.logBytes += size
	drop := 0
	for len(m.log)-drop > logLimit || m.logBytes > logBytesLimit && len(m.log)-drop > 1 {
		m.logBytes -= m.log[drop].size
		m.logFloor = m.log[drop].rev
		drop++
	}
	clear(m.log[:drop])
	m.log = m.log[drop:]
}

// touch moves a view to the end of the list under a new revision, which the
// caller stores in it.
func (m *Model) touch(k key) *item {
	m.rev++
	if e := m.byKey[k]; e != nil {
		m.items.MoveToBack(e)
		return e.Value.(*item)
	}
	it := &item{key: k}
	m.byKey[k] = m.items.PushBack(it)
	return it
}

// judge tells watchers of the host's instances when the host became unknown or
// known, or its engine went, came, or is another.
func (m *Model) judge(h *hostView, now time.Time) {
	state := hostState{m.hostUnknown(h, now), h.view.GetEngineReachable(), h.view.GetEngineId()}
	if state == h.told {
		return
	}
	h.told = state
	for id := range m.byHost[h.view.GetHostId()] {
		it := m.touch(key{kindInstance, id})
		it.rev = m.rev
	}
}

// tick looks whether time alone made a host unknown.
func (m *Model) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.rev
	if stale := m.isStale(now); stale != m.stale {
		m.stale = stale
		for _, id := range m.ids {
			it := m.touch(key{kindInstance, id})
			it.rev = m.rev
		}
	}
	for k, e := range m.byKey {
		if k.kind != kindHost {
			continue
		}
		h := e.Value.(*item).host
		if m.hostUnknown(h, now) != h.told.unknown {
			it := m.touch(k)
			it.rev = m.rev
			m.judge(h, now)
		}
	}
	if m.rev != before {
		m.wake()
	}
}

func (m *Model) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// isStale says whether the store was not heard of for longer than the limit;
// its watch sends a keep-alive every 2 s.
func (m *Model) isStale(now time.Time) bool { return now.Sub(m.heard) > m.hostLimit }

// hostUnknown asks both the host's stamp and our own clock, so that a skewed
// clock of the writer can only err towards unknown.
func (m *Model) hostUnknown(h *hostView, now time.Time) bool {
	return m.isStale(now) ||
		now.Sub(h.view.GetLastSeenTime().AsTime()) > m.hostLimit ||
		now.Sub(h.advanced) > m.hostLimit
}

func (m *Model) instance(id string) *fleetv1.Instance {
	if e := m.byKey[key{kindInstance, id}]; e != nil {
		return e.Value.(*item).instance
	}
	return nil
}

// shownInstance is v with what is derived when read.
func (m *Model) shownInstance(v *fleetv1.Instance, now time.Time) *fleetv1.Instance {
	out := shallow(v)
	out.UnknownReason, out.LastSeenTime = m.doubt(v, now)
	out.Unknown = out.UnknownReason != ""
	return out
}

// doubt derives why an instance is unknown, in words for a person (empty: it is
// known), and when what it depends on was last heard of: its engine while that does
// not answer, else its host. An instance of a host that nobody has heard of is
// unknown, and so is one with a container whose engine does not answer there, or
// another does.
func (m *Model) doubt(v *fleetv1.Instance, now time.Time) (reason string, seen *timestamppb.Timestamp) {
	host := v.GetHostId()
	var h *hostView
	if e := m.byKey[key{kindHost, host}]; e != nil {
		h = e.Value.(*item).host
		seen = h.view.GetLastSeenTime()
	}
	switch {
	case m.isStale(now):
		reason = "the gateway does not hear the store"
	case host == "":
	case h == nil:
		reason = "host " + host + " was never heard of"
	case m.hostUnknown(h, now):
		reason = "the agent of " + host + " is not heard of"
	case v.GetTarget().GetContainerId() == "" || h.view.GetEngineId() == "":
	case !h.view.GetEngineReachable():
		reason, seen = "the engine of "+host+" does not answer", h.view.GetEngineSeenTime()
	case v.GetTarget().GetEngineId() != "" && v.GetTarget().GetEngineId() != h.view.GetEngineId():
		reason = "another engine answers on " + host + " than the one that has the container"
	}
	return reason, seen
}

func (m *Model) shownHost(h *hostView, now time.Time) *fleetv1.Host {
	out := shallow(h.view)
	out.Unknown = m.hostUnknown(h, now)
	return out
}
