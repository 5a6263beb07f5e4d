// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/charts"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/fakestore"
)

const (
	worldHost     = "h1"
	worldInstance = "web@h1"
)

// world is everything outside one worker: a store, an agent with a container
// and an application in it, and a client. It lives in a synctest bubble, so
// its time is virtual.
//
// The worker dies and is started again; the world goes on, and notes what must
// never be: a start of what runs already, an acknowledgement or an answer of
// what is not stored.
type world struct {
	t     *testing.T
	store *fakestore.Store
	chart *Chart
	early bool          // dispatch before commit, as a mutant would
	pause time.Duration // between two lives of the worker
	late  time.Duration // how much later than the worker its agent comes

	mu     sync.Mutex
	wrong  []string
	faults []fault // still to come
	life   *life   // the worker that lives; nil between two

	// The agent: its journal, with the commands that it knows.
	journal int // counts them
	facts   []*agentv1.Observation
	fence   *agentv1.Fence
	acted   map[string]bool // command ids
	// The container, and the application in it.
	running  bool
	ready    bool // the application, in the run that is on
	run      time.Time
	starts   int
	deaths   int
	memory   []processed // dies with the application
	cursor   uint64      // the last event that it has processed
	fatal    map[uint64]int
	mute     bool      // it answers no event
	sent     time.Time // when it was given the last
	wake     chan struct{}
	incoming sync.WaitGroup

	nonces atomic.Uint64

	// What becomes of the store: a copy of it, how often that was put back, and from
	// which event on it has what was accepted while the agent was not heard; 0 for none.
	copied *fakestore.Copy
	older  int
	news   uint64
}

// processed is an event that the application has processed.
type processed struct {
	Sequence uint64
	Name     string
}

// fault is something that goes wrong once.
type fault struct {
	// "before", "after", "dispatch": the worker dies there; "lost", "late": the
	// answer of a write is lost; "journal": the agent loses its journal; "copy": the
	// store is copied; "older": that copy is put back; "again": the worker dies after that.
	point string
	count int // how often the point is passed before
}

// life is one worker from its start to its death.
type life struct {
	w      *world
	worker *Worker
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	// Under w.mu.
	conn   *worldConn
	dead   bool
	sent   uint64
	joined bool
}

type worldConn struct {
	l      *life
	once   sync.Once
	closed chan struct{}
}

// Close implements Conn.
func (c *worldConn) Close(string) { c.once.Do(func() { close(c.closed) }) }

// containerChart is the chart of a container, compiled once.
var containerChart = sync.OnceValues(func() (*Chart, error) {
	document, err := charts.Document("container")
	if err != nil {
		return nil, err
	}
	return Compile("container", document)
})

func newWorld(t *testing.T, faults []fault, fatal map[uint64]int) *world {
	t.Helper()
	chart, err := containerChart()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: fakestore.New(), chart: chart, faults: slices.Clone(faults), fatal: maps.Clone(fatal), journal: 1, acted: map[string]bool{}, wake: make(chan struct{}, 1)}
	w.store.Before = func(*snapshotv1.CommitRequest) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.life == nil || w.life.dead {
			return errors.New("dead")
		}
		if w.hits("before") {
			w.kill()
			return errors.New("died before the commit")
		}
		if w.hits("lost") {
			return errors.New("the connection broke before the commit")
		}
		if w.hits("copy") {
			w.copied, w.news = w.store.Copy(), w.unheard()
		}
		if w.copied != nil && w.hits("older") {
			w.store.PutBack(w.copied)
			w.older++
			return errors.New("the store was replaced")
		}
		return nil
	}
	w.store.After = func(*snapshotv1.CommitRequest) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.hits("after") || w.older > 0 && w.hits("again") {
			w.kill()
			return errors.New("died after the commit")
		}
		if w.hits("late") {
			return errors.New("the connection broke after the commit")
		}
		return nil
	}
	return w
}

// hits counts a point and says whether a fault is due there.
func (w *world) hits(point string) bool {
	for k := range w.faults {
		if w.faults[k].point != point {
			continue
		}
		if w.faults[k].count--; w.faults[k].count <= 0 {
			w.faults = slices.Delete(w.faults, k, k+1)
			return true
		}
		return false
	}
	return false
}

// kill ends the worker as kill -9 would: nothing of it comes through any more.
func (w *world) kill() {
	w.life.dead = true
	w.life.cancel()
}

func (w *world) violation(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// Commit implements Store.
func (l *life) Commit(ctx context.Context, r *snapshotv1.CommitRequest) (*snapshotv1.CommitResponse, error) {
	if l.w.early {
		for _, g := range l.worker.writing.groups {
			l.Dispatch(g.shard.number, g.fence, g.effects)
			g.effects = nil
		}
	}
	return l.w.store.Commit(ctx, r)
}

// Dispatch implements Dispatcher.
func (l *life) Dispatch(_ uint32, fence Fence, effects []Effect) {
	w := l.w
	for _, e := range effects {
		w.mu.Lock()
		if !l.dead && w.hits("dispatch") {
			w.kill()
		}
		if l.dead {
			w.mu.Unlock()
			return
		}
		switch e := e.(type) {
		case *Answer:
			e.Reply(e.Response, e.Err)
		case *Acknowledge:
			w.accept(fence)
			state, _ := w.store.State(ShardOf(worldHost))
			for _, m := range state.GetMarks() {
				if m.GetSource() == e.Host && m.GetIncarnation() == e.Journal && m.GetSequence() < e.Sequence && !w.early && w.older == 0 {
					w.violation("observation %d acknowledged, %d stored", e.Sequence, m.GetSequence())
				}
			}
		case *Command:
			if l.joined {
				w.carryOut(e.Command, fence)
			}
		case *Welcome:
			if e.Conn != l.conn {
				break // of the journal before
			}
			w.accept(fence)
			l.joined, l.sent = true, e.Message.GetAcknowledgedSequence()
			if e.Message.GetRelist() {
				w.retell()
			}
			for _, c := range e.Commands {
				w.carryOut(c, fence)
			}
			w.poke()
		case *Post:
			l.worker.TryPost(e.Input)
		}
		w.mu.Unlock()
	}
}

func (w *world) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// begin starts a worker on what the store has.
func (w *world) begin() *life {
	l := &life{w: w, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.worker = NewWorker(Config{Store: l, Dispatcher: l, Log: slog.New(slog.DiscardHandler), Lost: func(loss Loss) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.older == 0 {
			w.violation("shard lost: %v", loss)
		}
		w.incoming.Go(func() { l.load(loss.Above) })
	}})
	w.mu.Lock()
	w.life = l
	w.mu.Unlock()
	go func() {
		_ = l.worker.Run(l.ctx)
		close(l.done)
	}()
	w.incoming.Go(func() {
		l.load(0)
		w.pump(l)
	})
	return l
}

// load gives the worker the shard as the store has it, under an epoch above the
// given one, as package owner does. The agent connects after it.
func (l *life) load(above uint64) {
	w, n := l.w, ShardOf(worldHost)
	var fence Fence
	for fence.Epoch <= above {
		fence.Nonce = fmt.Sprint("nonce-", w.nonces.Add(1))
		leases, _ := w.store.Acquire(l.ctx, &snapshotv1.AcquireRequest{Owner: "test", Nonce: fence.Nonce, Shards: []uint32{n}})
		fence.Epoch = leases.GetLeases()[0].GetEpoch()
	}
	shard := NewShard(n, fence)
	if above > 0 {
		shard.Recover()
	}
	state, instances := w.store.State(n)
	shard.Restore(state)
	for _, i := range instances {
		if err := shard.Add(i, w.chart); err != nil {
			w.t.Error(err)
		}
	}
	if l.worker.Post(l.ctx, &Adopt{Shard: shard}) != nil {
		return
	}
	if w.late > 0 {
		time.Sleep(w.late) // virtual
	}
	w.mu.Lock()
	joined := w.hello(l)
	w.mu.Unlock()
	_ = l.worker.Post(l.ctx, joined)
}

// pump sends the journal to a worker while it lives.
func (w *world) pump(l *life) {
	for {
		in := w.unsent(l)
		if in != nil {
			if l.worker.Post(l.ctx, in) != nil {
				return
			}
			continue
		}
		select {
		case <-w.wake:
		case <-l.ctx.Done():
			return
		}
	}
}

// unsent is what the agent has to say next; nil for nothing.
func (w *world) unsent(l *life) Input {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !l.joined || l.sent >= uint64(len(w.facts)) {
		return nil
	}
	if w.hits("journal") {
		w.forget()
		return w.hello(l)
	}
	l.sent++
	return &Observation{Host: worldHost, Journal: w.journalID(), Conn: l.conn, Fact: w.facts[l.sent-1], Chart: w.chart}
}

// live keeps a worker alive until ctx ends: whenever one dies, another begins.
func (w *world) live(ctx context.Context) {
	for ctx.Err() == nil {
		l := w.begin()
		select {
		case <-l.done:
		case <-ctx.Done():
			w.mu.Lock()
			w.kill()
			w.mu.Unlock()
		}
		<-l.done
		l.cancel()
		w.incoming.Wait()
		select {
		case <-time.After(w.pause):
		case <-ctx.Done():
		}
	}
}

// ask gives an event to the instance as package rpc does, again and again
// until it is answered.
func (w *world) ask(event, id string) (*fleetv1.SendEventResponse, error) {
	type answer struct {
		response proto.Message
		err      error
	}
	for try := 0; ; try++ {
		if try == 200 {
			return nil, errors.New("no answer after 200 tries")
		}
		lookedUp := time.Now()
		found, err := w.store.LookupRequest(context.Background(), &snapshotv1.LookupRequestRequest{Shard: ShardOf(worldHost), RequestId: id})
		if err != nil {
			return nil, err
		}
		if r := found.GetResult(); r != nil {
			out := &fleetv1.SendEventResponse{}
			return out, OpenResponse(id, r.GetResponse(), []byte(event), out)
		}
		w.mu.Lock()
		l := w.life
		w.mu.Unlock()
		answered := make(chan answer, 1)
		if l != nil && l.worker.Post(l.ctx, &Request{Instance: worldInstance, Event: event, ID: id, LookedUp: lookedUp, Digest: []byte(event), Reply: func(m proto.Message, err error) {
			select {
			case answered <- answer{m, err}:
			default:
			}
		}}) == nil {
			select {
			case a := <-answered:
				if a.err == nil {
					w.stored(id)
					return a.response.(*fleetv1.SendEventResponse), nil
				}
			case <-l.done:
			}
		}
		time.Sleep(100 * time.Millisecond) // virtual: synctest
	}
}

// stored checks that an answer was not given before it was durable.
func (w *world) stored(id string) {
	found, _ := w.store.LookupRequest(context.Background(), &snapshotv1.LookupRequestRequest{Shard: ShardOf(worldHost), RequestId: id})
	w.mu.Lock()
	defer w.mu.Unlock()
	if found.GetResult() == nil && w.older == 0 {
		w.violation("request %s answered and not stored", id)
	}
}

// unheard is the first event stored that was accepted while the agent was not heard.
func (w *world) unheard() uint64 {
	i, _ := w.store.Instance(ShardOf(worldHost), worldInstance)
	var book bookkeeping
	if json.Unmarshal(i.GetRecord().GetRuntimeState(), &book) != nil || len(book.News) == 0 {
		return 0
	}
	return book.News[0].From
}

// view is what is stored of the instance.
func (w *world) view() *fleetv1.Instance {
	i, _ := w.store.Instance(ShardOf(worldHost), worldInstance)
	return i.GetRecord().GetView()
}
