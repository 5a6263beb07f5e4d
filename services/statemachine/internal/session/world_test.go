// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	run      time.Time
	starts   int
	deaths   int
	memory   []uint64 // what the application has processed; dies with it
	fatal    map[uint64]int
	mute     bool      // it answers no event
	sent     time.Time // when it was given the last
	wake     chan struct{}
	incoming sync.WaitGroup
}

// fault is something that goes wrong once.
type fault struct {
	// "before", "after", "dispatch": the worker dies there; "lost", "late": the
	// answer of a write is lost; "journal": the agent loses its journal.
	point string
	count int // how often the point is passed before
}

// life is one worker from its start to its death.
type life struct {
	w      *world
	worker *Worker
	nonce  string
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
		return nil
	}
	w.store.After = func(*snapshotv1.CommitRequest) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.hits("after") {
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
			state, _ := w.store.State(ShardOf(worldHost))
			for _, m := range state.GetMarks() {
				if m.GetSource() == e.Host && m.GetIncarnation() == e.Journal && m.GetSequence() < e.Sequence && !w.early {
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
			l.joined, l.sent = true, e.Message.GetAcknowledgedSequence()
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

// say journals an observation; w.mu is held.
func (w *world) say(event string, data map[string]any, change func(*agentv1.Observation)) {
	if data == nil {
		data = map[string]any{}
	}
	data["containerId"] = "c1"
	if data["commandId"] == nil {
		data["commandId"] = ""
	}
	b, err := json.Marshal(data)
	if err != nil {
		w.violation("marshal: %v", err)
	}
	o := &agentv1.Observation{Sequence: uint64(len(w.facts) + 1), Time: timestamppb.New(time.Now()), Instance: "web", ContainerId: "c1", Event: event, DataJson: b}
	o.CommandId, _ = data["commandId"].(string)
	if change != nil {
		change(o)
	}
	w.facts = append(w.facts, o)
	w.poke()
}

// carryOut acts on a command once for each id; w.mu is held.
func (w *world) carryOut(c *agentv1.Command, fence Fence) {
	if fence.Epoch < w.fence.GetEpoch() {
		return
	}
	w.fence = &agentv1.Fence{Epoch: fence.Epoch, Nonce: fence.Nonce, CommitSequence: fence.Group}
	if !w.acted[c.GetCommandId()] {
		w.acted[c.GetCommandId()] = true
		w.act(c)
	}
	w.say("done.command."+c.GetVerb(), map[string]any{"commandId": c.GetCommandId()}, nil)
}

func (w *world) act(c *agentv1.Command) {
	switch c.GetVerb() {
	case "start":
		if w.running && w.journal > 1 {
			return // sent again to an agent that does not know it: to the engine it is nothing new
		}
		w.starts++
		if w.running {
			w.violation("start %s of what runs already", c.GetCommandId())
		}
		// Two runs never begin at the same moment, though virtual time stands.
		if next := w.run.Add(time.Millisecond); time.Now().Before(next) {
			w.run = next
		} else {
			w.run = time.Now()
		}
		w.running = true
		w.say("docker.start", map[string]any{"startedAt": w.at(), "commandId": c.GetCommandId()}, nil)
		w.restore(c)
	case "restore":
		if w.running {
			w.restore(c)
		}
	case "deliver":
		w.process(c.GetDelivery().GetSequence())
	}
}

// restore is how the application begins: with a snapshot, or as it is when it is
// to resume.
func (w *world) restore(c *agentv1.Command) {
	var arguments struct {
		Snapshot uint64 `json:"snapshot"`
		Resume   bool   `json:"resume"`
	}
	_ = json.Unmarshal(c.GetArgumentsJson(), &arguments)
	if !arguments.Resume {
		w.memory = nil
	}
	if s := c.GetSnapshot(); s != nil {
		body := s.GetInline()
		if body == nil {
			body = w.store.Body(s.GetSha256())
		}
		if err := json.Unmarshal(body, &w.memory); err != nil {
			w.violation("snapshot %d: %v", arguments.Snapshot, err)
		}
	}
	w.say("app.ready", map[string]any{"run": w.at(), "sequence": w.cursor(), "snapshot": arguments.Snapshot}, nil)
}

// forget begins another journal, as an agent does that lost the one it had: what
// was not taken in is gone, and so is what it knew of commands. It tells what
// inspect says. w.mu is held.
func (w *world) forget() {
	w.journal++
	w.facts, w.fence, w.acted = nil, nil, map[string]bool{}
	w.say("docker.create", nil, func(o *agentv1.Observation) { o.Inferred, o.Target = true, worldSpec() })
	inspect := map[string]any{"status": "created", "running": false, "startedAt": "", "exitCode": 0}
	switch {
	case w.running:
		w.say("docker.start", map[string]any{"startedAt": w.at(), "inferred": true}, func(o *agentv1.Observation) { o.Inferred = true })
		inspect["status"], inspect["running"], inspect["startedAt"] = "running", true, w.at()
	case !w.run.IsZero():
		inspect["status"], inspect["startedAt"], inspect["exitCode"] = "exited", w.at(), 137
	}
	w.say("docker.inspect", inspect, nil)
}

// hello opens the agent's stream. w.mu is held.
func (w *world) hello(l *life) *HostJoined {
	l.conn, l.joined = &worldConn{l: l, closed: make(chan struct{})}, false
	return &HostJoined{Conn: l.conn, Hello: &agentv1.Hello{
		HostId: worldHost, JournalId: w.journalID(), Fence: w.fence, LastSequence: uint64(len(w.facts)), FirstSequence: min(1, uint64(len(w.facts))),
		Engine: &agentv1.Engine{EngineId: "e"}, Inventory: []*agentv1.Container{{ContainerId: "c1", Instance: "web"}},
	}}
}

func (w *world) journalID() string { return fmt.Sprint("journal-", w.journal) }

func (w *world) at() string { return w.run.UTC().Format(time.RFC3339Nano) }

// cursor is the last event that the application has processed.
func (w *world) cursor() uint64 {
	if len(w.memory) == 0 {
		return 0
	}
	return w.memory[len(w.memory)-1]
}

// process is the application: it takes each event once, dumps its state, and
// dies where the schedule says so, with the event in flight or just answered.
func (w *world) process(n uint64) {
	if w.sent = time.Now(); !w.running || w.mute {
		return
	}
	how, dies := w.fatal[n]
	delete(w.fatal, n)
	if dies && how == 0 {
		w.die()
		return
	}
	if n > w.cursor() {
		w.memory = append(w.memory, n)
	}
	body, _ := json.Marshal(w.memory)
	sum := sha256.Sum256(body)
	w.say("app.snapshot", map[string]any{"run": w.at(), "sequence": w.cursor()}, func(o *agentv1.Observation) {
		o.Snapshot = &agentv1.Snapshot{Sha256: hex.EncodeToString(sum[:]), SizeBytes: uint64(len(body)), Inline: body, ContainedSequence: w.cursor(), RunTime: timestamppb.New(w.run)}
	})
	if dies && how == 1 {
		w.die()
		return
	}
	w.say("app.answer", map[string]any{"run": w.at(), "sequence": n}, nil)
	if dies {
		w.die()
	}
}

// die is a kill from outside (exit 137): one that the chart holds neither
// against a snapshot nor against an event, for then it would rightly start
// clean, and a clean start promises less.
func (w *world) die() {
	w.deaths++
	w.running, w.memory = false, nil
	w.say("docker.die", map[string]any{"exitCode": 137, "startedAt": w.at(), "finishedAt": time.Now().UTC().Format(time.RFC3339Nano), "oomKilled": false,
		"evidence": map[string]any{"command": "", "stopEvent": false, "signal": []any{}, "exitCode": 137, "stopSignal": 15}}, nil)
}

// begin starts a worker on what the store has.
func (w *world) begin() *life {
	n := ShardOf(worldHost)
	nonce := fmt.Sprintf("nonce-%d", w.store.Epoch(n)+1)
	leases, err := w.store.Acquire(w.t.Context(), &snapshotv1.AcquireRequest{Owner: "test", Nonce: nonce, Shards: []uint32{n}})
	if err != nil {
		w.t.Fatal(err)
	}
	shard := NewShard(n, Fence{Epoch: leases.GetLeases()[0].GetEpoch(), Nonce: nonce})
	state, instances := w.store.State(n)
	shard.Restore(state)
	for _, i := range instances {
		if err := shard.Add(i, w.chart); err != nil {
			w.t.Fatal(err)
		}
	}
	l := &life{w: w, nonce: nonce, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.worker = NewWorker(Config{Store: l, Dispatcher: l, Log: slog.New(slog.DiscardHandler), Lost: func(loss Loss) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.violation("shard lost: %v", loss)
	}})
	w.mu.Lock()
	w.life = l
	joined := w.hello(l)
	w.mu.Unlock()
	go func() {
		_ = l.worker.Run(l.ctx)
		close(l.done)
	}()
	for _, in := range []Input{&Adopt{Shard: shard}, joined} {
		if l.worker.Post(l.ctx, in) != nil {
			break
		}
	}
	w.incoming.Go(func() { w.pump(l) })
	return l
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
	if found.GetResult() == nil {
		w.mu.Lock()
		w.violation("request %s answered and not stored", id)
		w.mu.Unlock()
	}
}

// view is what is stored of the instance.
func (w *world) view() *fleetv1.Instance {
	i, _ := w.store.Instance(ShardOf(worldHost), worldInstance)
	return i.GetRecord().GetView()
}

// worldSpec are the labels of the container.
func worldSpec() *agentv1.TargetSpec {
	return &agentv1.TargetSpec{Managed: true, Image: "counter", ContainerName: "web", Channel: "socket", OptionsJson: []byte(`{"channel":"socket","policy":"event","policyInterval":0,
		"restart":{"max":1000,"first":0,"backoff":100,"ceiling":60000},"breaker":{"timeout":600000,"open":1000,"queue":1000},
		"startTimeout":600000,"stopTimeout":10000,"proving":5000,"eventDeaths":100,"events":"all","recover":{"image":"","env":{}}}`)}
}
