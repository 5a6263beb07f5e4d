// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/delay"
)

// Store is where groups are written.
type Store interface {
	// Commit writes groups of different shards, each atomically. An error means
	// that the outcome is not known, InvalidArgument and ResourceExhausted (for a
	// message that is too large) that nothing was written.
	Commit(context.Context, *snapshotv1.CommitRequest) (*snapshotv1.CommitResponse, error)
}

// Dispatcher lets effects out.
type Dispatcher interface {
	// Dispatch performs the effects of a written group in order, under its
	// fence. It does not block; what cannot be sent now is sent again later.
	Dispatch(shard uint32, fence Fence, effects []Effect)
}

// Config is what a worker needs.
type Config struct {
	Store      Store
	Dispatcher Dispatcher
	// Lost is told of a shard that the worker can no longer go on with. It
	// must not block, and has the shard loaded again and given back with
	// [Adopt].
	Lost func(Loss)
	// Inbox is how many inputs wait at most; default 1024.
	Inbox int
	// Retain is how long an instance is kept after its target was destroyed
	// or its chart ended; default 24 h, negative for ever. A container that was
	// only observed is kept for 10 min at most.
	Retain time.Duration
	// Log is never nil.
	Log *slog.Logger
}

// Loss is why a worker cannot go on with a shard.
type Loss struct {
	Shard uint32
	// Status is that of the refused group; unspecified when none was refused.
	Status snapshotv1.GroupStatus
	// Above is the highest epoch that an agent has seen, when the store fell
	// behind it: the shard needs a higher one, and has to recover.
	Above uint64
}

// Worker runs the instances of the shards that it was given. Make one with
// [NewWorker], then call Run once.
type Worker struct {
	store      Store
	dispatcher Dispatcher
	lost       func(Loss)
	retain     time.Duration
	log        *slog.Logger

	// inbox has many senders and one receiver, and is never closed.
	inbox chan Input
	// gone is closed when nothing takes from the inbox any more.
	gone chan struct{}
	// requests and results join the loop and the writer: one at a time.
	requests chan pendingWrite
	results  chan []*snapshotv1.GroupResult

	// The rest belongs to the goroutine of Run.
	shards  map[uint32]*Shard
	watch   *watch
	free    delay.Index
	held    delay.Index
	bodies  bodies
	missing map[string]bool // bodies that a group was refused for
	random  *mathrand.Rand
	writing *Batch                    // being written; nil when the writer is idle
	written []*snapshotv1.GroupResult // of writing, when it is done
	alarm   *time.Timer
	ticker  *time.Ticker
	// yield is how many inputs a due held timer still waits for; -1 when none
	// is due.
	yield int
	fired bool // the last input was a timer: others come first
	swept time.Time
}

// NewWorker makes a worker without shards.
func NewWorker(c Config) *Worker {
	if c.Inbox <= 0 {
		c.Inbox = 1024
	}
	if c.Retain == 0 {
		c.Retain = 24 * time.Hour
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	return &Worker{
		store: c.Store, dispatcher: c.Dispatcher, lost: c.Lost, retain: c.Retain, log: c.Log,
		inbox:    make(chan Input, c.Inbox),
		gone:     make(chan struct{}),
		requests: make(chan pendingWrite, 1),
		results:  make(chan []*snapshotv1.GroupResult, 1),
		shards:   map[uint32]*Shard{},
		watch:    newWatch(),
		missing:  map[string]bool{},
		random:   mathrand.New(mathrand.NewChaCha8(seed)),
		yield:    -1,
	}
}

// Post gives an input to the worker. It waits while the inbox is full, until
// ctx ends. What a worker gets that has ended is refused. It is safe for concurrent use.
func (w *Worker) Post(ctx context.Context, in Input) error {
	if w.TryPost(in) {
		return nil
	}
	select {
	case w.inbox <- in:
		w.refuseLate()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("inbox is full: %w", ctx.Err())
	}
}

// TryPost is Post that does not wait; it reports whether there was room.
func (w *Worker) TryPost(in Input) bool {
	select {
	case w.inbox <- in:
		w.refuseLate()
		return true
	default:
		return false
	}
}

// refuseLate does what the worker does at its end, for what came after that.
func (w *Worker) refuseLate() {
	select {
	case <-w.gone:
		w.refuseInbox()
	default:
	}
}

// Run is the way of every event: it delivers inputs to sessions, commits what
// changed, and dispatches what the commit allows out, until ctx ends.
//
//  1. Deliver steps in memory, and performs nothing.
//  2. Commit hands the batch to the writer and gives the batch before it, which
//     is durable by then or refused.
//  3. Dispatch lets out what the written batch caused. After a crash between
//     2 and 3 the outbox is dispatched again.
//
// No line may move up: a command sent before its commit acts twice when the
// commit is lost, and an answer given before it may be a lie.
func (w *Worker) Run(ctx context.Context) error {
	defer w.open(ctx)()
	for {
		batch := newBatch()
		for !batch.full() {
			input, ok := w.next(ctx, batch)
			if !ok {
				break
			}
			w.Deliver(batch, input)
		}
		written, err := w.Commit(ctx, batch)
		if err != nil {
			return err
		}
		w.Dispatch(written)
	}
}

// Deliver steps one input in memory.
func (w *Worker) Deliver(b *Batch, in Input) {
	now := time.Now().UTC()
	switch in := in.(type) {
	case *Adopt:
		w.adopt(b, in.Shard, now)
		return
	case *Drop:
		w.drop(in.Number)
		return
	case *tick:
		w.second(b, now)
		return
	}
	s, ok := w.shards[in.shard()]
	if !ok {
		in.refused(Unavailable("shard %d is not owned here now", in.shard()))
		return
	}
	switch in := in.(type) {
	case *Observation:
		w.observe(s, b, in, now)
	case *Request:
		w.submit(s, b, in, now)
	case *Create:
		w.create(s, b, in, now)
	case *Relay:
		w.received(s, b, in, now)
	case *RelayResult:
		w.relayed(s, b, in, now)
	case *HostJoined:
		w.join(s, b, in, now)
	case *HostSeen:
		w.seen(s, b, in, now)
	case *HostLeft:
		w.left(s, b, in, now)
	case *HostFinding:
		w.finding(s, b, in)
	case *timer:
		w.fire(s, b, in, now)
	}
}

// Commit hands next to the writer, once the batch before it is written, and
// gives that one; both may be empty or nil. Groups that were refused come back
// with what they caused already dropped.
func (w *Worker) Commit(ctx context.Context, next *Batch) (*Batch, error) {
	if w.writing != nil && w.written == nil {
		select {
		case w.written = <-w.results:
		case <-ctx.Done():
			for _, g := range next.groups {
				g.drop(Unavailable("shutting down"))
			}
			return nil, ctx.Err()
		}
	}
	done := w.writing
	if done != nil {
		w.settle(done, next, w.written)
		w.writing, w.written = nil, nil
	}
	if next.empty() {
		if done == nil {
			return nil, ctx.Err()
		}
		return done, nil
	}
	w.writing = next
	if request := next.seal(); len(request.GetGroups()) > 0 {
		w.requests <- pendingWrite{request, next.traces} // the writer is idle and takes it
	} else {
		w.written = []*snapshotv1.GroupResult{} // nothing to write: it is as if written
	}
	return done, nil
}

// Dispatch lets out what a written batch caused.
func (w *Worker) Dispatch(done *Batch) {
	if done == nil {
		return
	}
	for _, g := range done.groups {
		if g.refused == nil && len(g.effects) > 0 {
			w.dispatcher.Dispatch(g.shard.number, g.fence, g.effects)
		}
		if w.shards[g.shard.number] == g.shard {
			g.release(time.Now())
		}
	}
}

// settle reads what became of done. A shard that was refused is down: its
// steps in next, which stand on the refused ones, are dropped too.
func (w *Worker) settle(done, next *Batch, results []*snapshotv1.GroupResult) {
	k := 0
	for _, g := range done.groups {
		if g.message == nil {
			continue
		}
		result := results[k]
		k++
		switch result.GetStatus() {
		case snapshotv1.GroupStatus_GROUP_STATUS_APPLIED, snapshotv1.GroupStatus_GROUP_STATUS_ALREADY_APPLIED:
			g.shard.answers.keep(g.answered, time.Now())
			continue
		}
		err := Unavailable("shard %d: the store refused a write (%s)", g.shard.number, result.GetStatus())
		w.log.Warn("group refused", "shard", g.shard.number, "fence", g.fence.String(), "status", result.GetStatus().String(), "err", result.GetMessage())
		if result.GetStatus() == snapshotv1.GroupStatus_GROUP_STATUS_BLOB_MISSING {
			w.suspect(g)
		}
		g.drop(err)
		if later, ok := next.byShard[g.shard.number]; ok && later.shard == g.shard {
			later.drop(err)
		}
		if w.shards[g.shard.number] == g.shard {
			w.down(g.shard, err)
			w.lost(Loss{Shard: g.shard.number, Status: result.GetStatus()})
		}
	}
}

// pendingWrite is what the writer is given to write.
type pendingWrite struct {
	request *snapshotv1.CommitRequest
	traces  []string // of the steps in it
}

// write is the writer's goroutine: one request at a time.
func (w *Worker) write(ctx context.Context) {
	for {
		select {
		case next := <-w.requests:
			results := w.persist(ctx, next)
			if results == nil {
				return
			}
			w.results <- results // has room: one at a time
		case <-ctx.Done():
			return
		}
	}
}

// persist writes until the outcome is known: one that is not is asked for with
// the same request. A request that the store finds wrong is refused as a whole and
// was not applied: to ask again would be for ever. It gives nil when ctx ends before.
func (w *Worker) persist(ctx context.Context, next pendingWrite) []*snapshotv1.GroupResult {
	writing, end := committing(ctx, next.traces)
	defer end()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		response, err := w.store.Commit(writing, next.request)
		if err == nil && len(response.GetResults()) == len(next.request.GetGroups()) && known(response) {
			return response.GetResults()
		}
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.ResourceExhausted {
			w.log.Error("the store cannot take a write; its shards are loaded anew", "groups", len(next.request.GetGroups()), "err", err)
			refused := make([]*snapshotv1.GroupResult, len(next.request.GetGroups()))
			for i := range refused {
				refused[i] = &snapshotv1.GroupResult{Message: err.Error()}
			}
			return refused
		}
		w.log.Warn("outcome of a write is not known; asking again", "groups", len(next.request.GetGroups()), "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func known(r *snapshotv1.CommitResponse) bool {
	for _, result := range r.GetResults() {
		if result.GetStatus() == snapshotv1.GroupStatus_GROUP_STATUS_UNSPECIFIED {
			return false
		}
	}
	return true
}

// seed is the random seed of one macrostep. It is logged with the step.
func (w *Worker) seed() uint64 { return w.random.Uint64() }

// turn begins an input's turn in an instance.
func (w *Worker) turn(s *Shard, b *Batch, i *Instance, now time.Time, traceparent string) *turn {
	g := b.group(s)
	if _, touched := g.open[i.id]; !touched {
		b.bytes += i.bytes
	}
	if traceparent != "" {
		b.traces = append(b.traces, traceparent)
	}
	i.watch = w.watch
	return &turn{log: w.log, shard: s, batch: b, group: g, instance: i, bodies: &w.bodies, now: now, seed: w.seed, traceparent: traceparent}
}
