// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// The queue of an instance is a log of accepted application events with two
// cursors:
//
//	 trimmed      contained      delivered  flight          accepted
//	────┴─────────────┴──────────────┴────────┴─────────────────┴────▶
//	 gone   kept for a restore          answered     waiting
//
// A restore rewinds the delivered cursor to what the snapshot contains, and
// what follows is delivered again.

const (
	// MaxQueueBytes bounds what the queue of an instance takes. An instance is
	// loaded as one message, which must hold its queue.
	MaxQueueBytes = 16 << 20
	// maxSequence is the largest number that JSON keeps exactly.
	maxSequence = 1 << 53
	// entryOverhead is about what an entry takes beside its content.
	entryOverhead = 256
)

// entrySize is about what an entry takes in memory and in the store.
func entrySize(name string, data []byte) int { return len(name) + len(data) + entryOverhead }

func sizeOf(e *snapshotv1.QueueEntry) int { return entrySize(e.GetName(), e.GetDataJson()) }

// room refuses an event that the queue has no room for. Entries are not dropped by
// age: they were acknowledged (docs/decisions/0008-queues-are-not-bounded-by-age.md).
func (t *turn) room(s stimulus) error {
	i := t.instance
	if len(i.queue) < i.queueLimit() && i.queueBytes+entrySize(s.event, s.dataJSON) <= MaxQueueBytes {
		return nil
	}
	until := "they are delivered"
	if i.hosted() {
		until = "a snapshot contains them"
	}
	r := t.because(fleetv1.Reason_REASON_QUEUE_FULL, "the queue of %s is full: %d events of %d KiB are kept until %s, at most %d and %d KiB",
		i.id, len(i.queue), i.queueBytes>>10, until, i.queueLimit(), MaxQueueBytes>>10)
	r.RetryAfter = time.Second
	return r
}

// fill is how full the queue is, from 0 to 1.
func (i *Instance) fill() float64 {
	return max(float64(len(i.queue))/float64(i.queueLimit()), float64(i.queueBytes)/MaxQueueBytes)
}

// waiting is the number of entries accepted and not yet answered.
func (i *Instance) waiting() int { return len(i.queue) - i.firstAfter(i.book.Delivered) }

// firstAfter is the place of the first entry after a sequence.
func (i *Instance) firstAfter(sequence uint64) int {
	return sort.Search(len(i.queue), func(k int) bool { return i.queue[k].GetSequence() > sequence })
}

// enqueue accepts an event; the caller has admitted it.
func (t *turn) enqueue(event string, data []byte, requestID string) *snapshotv1.QueueEntry {
	i := t.instance
	i.book.Accepted++
	t.news(i.book.Accepted)
	e := &snapshotv1.QueueEntry{
		Sequence: i.book.Accepted, Name: event, DataJson: data,
		AcceptTime: timestamppb.New(t.now), RequestId: requestID,
	}
	i.queue = append(i.queue, e)
	i.queueBytes += sizeOf(e)
	t.step().put(e)
	entry := t.entry(stimulus{origin: "event", event: event, dataJSON: data, requestID: requestID}, 0)
	entry.Severity = fleetv1.Severity_SEVERITY_INFO
	entry.Summary = fmt.Sprintf("Event %d (%s) accepted; %d before it.", e.GetSequence(), event, i.waiting()-1)
	t.finish(entry)
	t.forceSnapshot()
	return e
}

// forceSnapshot asks for a snapshot when the queue is three quarters full of
// entries that only a snapshot can free.
func (t *turn) forceSnapshot() {
	i := t.instance
	if !i.hosted() || !i.book.Ready || i.book.Forced != "" || i.fill() < 0.75 {
		return
	}
	if i.book.Delivered <= i.book.Trimmed {
		return // a snapshot would free nothing
	}
	i.book.Forced = t.command("take_snapshot", nil, nil).GetCommandId()
}

// advance makes the head of the queue move when it may: for a hosted instance
// one entry into flight, for a free one into the chart. It reports whether
// something was added to what this turn has to do.
func (t *turn) advance() {
	i := t.instance
	if len(i.queue) == 0 || i.admission() != fleetv1.Admission_ADMISSION_FORWARD {
		return
	}
	k := i.firstAfter(i.book.Delivered)
	if k == len(i.queue) {
		return
	}
	e := i.queue[k]
	if !i.hosted() {
		i.book.Delivered = e.GetSequence()
		t.trim()
		t.later(stimulus{origin: "event", event: e.GetName(), dataJSON: e.GetDataJson(), requestID: e.GetRequestId()})
		return
	}
	if i.book.Flight != 0 || i.book.Stalled || !i.book.Ready || i.container() == "" {
		return
	}
	i.book.Flight = e.GetSequence()
	c := t.command("deliver", nil, func(c *agentv1.Command) {
		c.Delivery = &agentv1.Delivery{Sequence: e.GetSequence(), Name: e.GetName(), DataJson: e.GetDataJson(), AfterSequence: i.book.Delivered}
	})
	i.book.FlightCommand = c.GetCommandId()
	if t.shard.commandable(i.view.GetHostId()) {
		i.sent()
	}
	t.later(stimulus{origin: "runtime", event: "breaker.dispatched", data: map[string]any{"sequence": float64(e.GetSequence())},
		summary: fmt.Sprintf("Event %d (%s) sent to the application.", e.GetSequence(), e.GetName())})
}

// answered takes in that the application has processed an event.
func (t *turn) answered(sequence uint64) {
	i := t.instance
	if sequence > i.book.Accepted || sequence <= i.book.Delivered {
		return // of another life of the instance, or told again
	}
	i.book.Delivered = sequence
	if i.book.Flight <= sequence {
		t.land()
	}
	i.book.Stalled = false
	t.trim()
}

// unasked says whether the application answers another event than the one that
// it was sent. Believing it would skip events, and close the chart's breaker
// over one that stays without an answer. That may be one of its number in a store
// that was replaced by an older copy.
func (t *turn) unasked(sequence uint64) bool {
	i := t.instance
	if sequence > i.known {
		return true
	}
	if i.book.Flight != 0 {
		return sequence != i.book.Flight
	}
	k := i.firstAfter(i.book.Delivered)
	return k < len(i.queue) && sequence > i.queue[k].GetSequence()
}

// land empties the flight.
func (t *turn) land() {
	i := t.instance
	if id := i.book.FlightCommand; id != "" {
		t.settle(id)
	}
	i.book.Flight, i.book.FlightCommand = 0, ""
}

// rewind makes delivery go on after a sequence.
func (t *turn) rewind(sequence uint64) {
	i := t.instance
	t.land()
	sequence = min(sequence, i.book.Accepted)
	if sequence < i.book.Trimmed {
		t.remark(fleetv1.Severity_SEVERITY_WARNING, "queue.gap", fmt.Sprintf(
			"Events %d to %d are no longer kept and cannot be replayed.", sequence+1, i.book.Trimmed))
	}
	i.book.Delivered = sequence
	i.book.Stalled = false
	t.trim()
}

// sent notes that the event in flight is on its way to the application: from then on
// it may have been processed.
func (i *Instance) sent() { i.known = max(i.known, i.book.Flight) }

// overtaken takes in that the application has processed all events up to n. When
// it was never sent so many, the store has lost what it knew (it was emptied, or is
// an older copy), and the application would take what is numbered up to n for what it
// has processed already, and answer it without acting. So what was accepted since is
// numbered anew, after n, and true is given. Nothing was sent under such a number
// yet: commands wait until the host has listed all that it has.
func (t *turn) overtaken(n uint64) bool {
	i := t.instance
	known := max(i.known, i.book.Delivered)
	if n <= known || n > maxSequence {
		return false
	}
	t.land()
	out, k := t.step().out, i.firstAfter(known)
	later := i.queue[k:]
	i.queue = i.queue[:k:k]
	for _, e := range later {
		if e.GetSequence() > n+uint64(len(later)) || e.GetSequence() <= n {
			out.QueueDelete = append(out.QueueDelete, e.GetSequence())
		}
		out.QueuePut = slices.DeleteFunc(out.QueuePut, func(p *snapshotv1.QueueEntry) bool { return p.GetSequence() == e.GetSequence() })
	}
	for k, e := range later {
		e = proto.CloneOf(e)
		e.Sequence = n + uint64(k) + 1
		i.queue = append(i.queue, e)
		t.step().put(e)
	}
	sentence := fmt.Sprintf("The application has processed %d events, the store knows of %d: it has lost some, or is an older copy.", n, known)
	if len(later) > 0 {
		sentence += fmt.Sprintf(" The %d that wait are numbered from %d on.", len(later), n+1)
	}
	i.book.Delivered, i.book.Accepted, i.known, i.book.News = n, n+uint64(len(later)), n, nil
	if len(later) > 0 {
		t.news(n + 1)
	}
	i.book.Trimmed, i.book.Stalled = max(i.book.Trimmed, n), false
	t.remark(fleetv1.Severity_SEVERITY_WARNING, "queue.renumbered", sentence)
	return true
}

// diedInFlight counts a death against the entry in flight, if there is one that was
// sent, and empties the flight. It gives what docker.die tells the chart of it.
func (t *turn) diedInFlight() map[string]any {
	i := t.instance
	sequence := i.book.Flight
	t.land()
	k := i.firstAfter(sequence - 1)
	if sequence == 0 || sequence > i.known || k == len(i.queue) || i.queue[k].GetSequence() != sequence {
		return nil
	}
	e := proto.CloneOf(i.queue[k])
	e.Deaths++
	i.queue[k] = e
	t.step().put(e)
	return map[string]any{"sequence": float64(sequence), "deaths": float64(e.GetDeaths())}
}

// deadLetter takes one entry out of the queue for good.
func (t *turn) deadLetter(sequence uint64) {
	i := t.instance
	k := i.firstAfter(sequence - 1)
	if sequence == 0 || k == len(i.queue) || i.queue[k].GetSequence() != sequence {
		return
	}
	e := i.queue[k]
	i.queue = slices.Delete(slices.Clone(i.queue), k, k+1)
	i.queueBytes -= sizeOf(e)
	t.step().out.QueueDelete = append(t.step().out.QueueDelete, sequence)
	if i.book.Flight == sequence {
		t.land()
	}
	t.remark(fleetv1.Severity_SEVERITY_ERROR, "event.dead_letter", fmt.Sprintf(
		"Event %d (%s) was given up after %d deaths with it in flight.", sequence, e.GetName(), e.GetDeaths()))
}

// trim drops entries that no restore needs any more.
func (t *turn) trim() {
	i := t.instance
	floor := min(i.restoreFloor(), i.book.Delivered)
	k := i.firstAfter(floor)
	if k == 0 {
		return
	}
	i.book.Trimmed = max(i.book.Trimmed, i.queue[k-1].GetSequence())
	for _, gone := range i.queue[:k] {
		i.queueBytes -= sizeOf(gone)
	}
	i.queue = slices.Clone(i.queue[k:])
	out := t.step().out
	out.QueueTrim = max(out.QueueTrim, floor)
	out.QueuePut = slices.DeleteFunc(out.QueuePut, func(e *snapshotv1.QueueEntry) bool { return e.GetSequence() <= out.QueueTrim })
}

// restoreFloor is up to where every restore point that is kept contains the
// queue. The last proven snapshot stays kept when it is old, but once it holds
// more than half of the queue it no longer holds entries back: the queue is
// for the living, and a step back that far says what it misses.
func (i *Instance) restoreFloor() uint64 {
	if !i.hosted() || !i.takesEvents() {
		return i.book.Delivered
	}
	proven := i.lastProven()
	floor, others := i.book.Delivered, 0
	var held *fleetv1.ApplicationSnapshot
	for _, s := range i.view.GetSnapshots() {
		switch {
		case s.GetVerdict() == fleetv1.Verdict_VERDICT_QUARANTINED:
		case s == proven:
			held = s
		default:
			others++
			floor = min(floor, s.GetContainedSequence())
		}
	}
	if held != nil && (others == 0 || i.fill() <= 0.5) {
		return min(floor, held.GetContainedSequence())
	}
	if held == nil && others == 0 {
		return 0 // nothing to restore from: all is replayed on a clean start
	}
	return floor
}
