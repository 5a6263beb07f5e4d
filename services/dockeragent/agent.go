// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/channel"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/chartroom/chartroom/services/dockeragent/internal/observe"
	"github.com/chartroom/chartroom/services/dockeragent/internal/rpc"
)

const (
	// drainTime bounds how long docker.die waits for what the application wrote last.
	drainTime = 100 * time.Millisecond
	// exportTime bounds how long it waits for a file to be copied out.
	exportTime = 2 * time.Second
	// gateTime bounds how long app.ready waits for docker.start.
	gateTime = 2 * time.Second
	// readyTime is how long an application may take to be ready before it is told of;
	// half of a start timeout that is shorter than twice that.
	readyTime = 2 * time.Second
	// runKey precedes a container's id in what the journal knows of its run.
	runKey = "run:"
	// engineKey is the journal's entry for the engine that all others are of.
	engineKey = "engine"
)

// agent joins the parts. mu guards all maps; it is never held over I/O.
type agent struct {
	c        Config
	hostID   string
	log      *slog.Logger
	engine   engine.Engine
	journal  *journal.Journal
	spool    *spool
	observer *observe.Observer
	client   *rpc.Client
	buckets  *buckets
	// fail ends the service: the disk does not take what must be kept.
	fail context.CancelCauseFunc
	// ctx ends with the service; links live by it.
	ctx context.Context //nolint:containedctx // set once by Run, for goroutines that observations start

	mu         sync.Mutex
	told       map[string]observe.Told
	containers map[string]engine.Container
	runs       map[string]runState
	links      map[string]*run
	changed    chan struct{} // closed and replaced when told changes
	lanes      map[string]*lane
	inFlight   map[string]bool
	trace      map[string]string // traceparent of commands in flight
	digests    map[string]string // of the file snapshot told last, by container
}

// runState is what the journal knows of the present run of a container with a
// socket, so that an agent that comes back can go on with it.
type runState struct {
	Run string `json:"run"`
	// Number is the snapshot restored; 0 for a clean start.
	Number   uint64            `json:"number,omitempty"`
	Snapshot *journal.Snapshot `json:"snapshot,omitempty"`
	// Ready is true once the application was ready: from then on it is resumed.
	Ready bool `json:"ready,omitempty"`
}

// run is a link with what belongs to it.
type run struct {
	id       string
	instance string
	link     *channel.Link
	// before is the StartedAt of the run before: its death does not concern this link.
	before string

	// plan is what a start of ours begins the run with; guarded by the agent's mu,
	// taken by whoever learns of the start first.
	plan    *plan
	planned bool

	mu        sync.Mutex // held while something is journaled for the run
	over      bool
	state     runState
	cursor    uint64 // the newest event that the application has processed
	delivered map[uint64]delivery
}

type plan struct {
	number   uint64
	snapshot *journal.Snapshot
	body     []byte
}

type delivery struct{ command, traceparent string }

// known reads what the journal knows, once, before anything runs.
func (a *agent) known() (told map[string]observe.Told, engineID string) {
	told = map[string]observe.Told{}
	for key, body := range a.journal.Known() {
		if id, ok := strings.CutPrefix(key, runKey); ok {
			var s runState
			if json.Unmarshal(body, &s) == nil {
				a.runs[id] = s
			}
			continue
		}
		if key == engineKey {
			_ = json.Unmarshal(body, &engineID)
			continue
		}
		var t observe.Told
		if json.Unmarshal(body, &t) == nil {
			told[key] = t
			a.told[key] = t
		}
	}
	return told, engineID
}

// sink takes what the observer has to tell. It is called by one goroutine, in
// order; what it returned for is on disk.
func (a *agent) sink(outs []observe.Out) error {
	e := journal.Entry{Known: map[string]json.RawMessage{}}
	write := func() error {
		if len(e.Observations) == 0 && len(e.Known) == 0 {
			return nil
		}
		_, err := a.journal.Append(e)
		e = journal.Entry{Known: map[string]json.RawMessage{}}
		return err
	}
	var later []observe.Out
	for _, out := range outs {
		if out.EngineID != "" {
			if b, err := json.Marshal(out.EngineID); err == nil {
				e.Known[engineKey] = b
			}
			continue
		}
		o := out.Observation
		id := o.ContainerID
		gone := o.Event == "" && (out.Told == nil || out.Told.Engine != "")
		if o.Event == "docker.die" || o.Event == "docker.destroy" || gone {
			// What the application wrote before it died comes before its death.
			if err := write(); err != nil {
				return err
			}
			a.endRun(id, out)
		}
		if o.CommandID != "" {
			a.mu.Lock()
			o.Traceparent = a.trace[o.CommandID]
			a.mu.Unlock()
		}
		if o.Event == "docker.die" || o.Event == "docker.start" {
			// A death begins a trace of its own, in which the way back shows.
			var done func()
			o.Traceparent, done = traced(spanObserve, o.Traceparent, o.Instance, o.Event)
			done()
		}
		if o.Event != "" {
			e.Observations = append(e.Observations, o)
		}
		if id != "" {
			if out.Told == nil {
				e.Known[id], e.Known[runKey+id] = json.RawMessage("null"), json.RawMessage("null")
			} else if b, err := json.Marshal(out.Told); err == nil {
				e.Known[id] = b
			}
			later = append(later, out)
		}
	}
	if err := write(); err != nil {
		return err
	}
	a.mu.Lock()
	for _, l := range later {
		id := l.Observation.ContainerID
		if l.Told == nil {
			delete(a.told, id)
			delete(a.containers, id)
			delete(a.runs, id)
			delete(a.digests, id)
			continue
		}
		a.told[id] = *l.Told
		if r := a.links[id]; l.Observation.Event == "docker.start" && r != nil && r.plan != nil && l.Told.StartedAt != r.before && !l.Told.Approx {
			// Sooner than the call returns. Its end is journaled together with what the
			// run began with, which must be known when the plan is gone.
			p := r.plan
			r.plan = nil
			state := runState{Run: l.Told.StartedAt, Number: p.number, Snapshot: p.snapshot}
			a.runs[id] = state
			go func() {
				a.point("planned", "start")
				a.begin(r, state, p.body, false)
			}()
		}
		if l.Container != nil {
			a.containers[id] = *l.Container
		}
		if l.Observation.Event == "" && l.Told.Engine == "" {
			go a.resumeOne(a.ctx, id) // Its engine is back, and it may have run on.
		}
	}
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	return nil
}

// endRun takes in what is left of a run that is over: the rest of its socket, or
// its file.
func (a *agent) endRun(id string, out observe.Out) {
	var data struct{ StartedAt string }
	_ = json.Unmarshal(out.Observation.Data, &data)
	a.mu.Lock()
	r := a.links[id]
	if r != nil && out.Told != nil && out.Told.Engine == "" && (r.before == data.StartedAt && r.before != "" || r.link.Run() != "" && r.link.Run() != data.StartedAt) {
		r = nil // The death of an earlier run, told late.
	}
	if r != nil {
		delete(a.links, id)
	}
	target := targetOf(a.told[id])
	a.mu.Unlock()
	if r != nil {
		r.link.Drain(drainTime)
		r.mu.Lock()
		r.over = true
		r.mu.Unlock()
	}
	if path, ok := strings.CutPrefix(target.Channel, "file:"); ok && target.Managed && out.Told != nil && out.Told.Engine == "" {
		ctx, cancel := context.WithTimeout(a.ctx, exportTime)
		defer cancel()
		if err := a.export(ctx, id, out.Observation.Instance, path, data.StartedAt); err != nil && !engine.IsNotFound(err) {
			a.log.Warn("last snapshot cannot be copied out", "instance", out.Observation.Instance, "err", err)
		}
	}
}

// targetOf reads the target that was told of a container.
func targetOf(t observe.Told) (target label.Target) {
	_ = json.Unmarshal([]byte(t.Target), &target)
	return target
}

// export copies a file out and tells it as a snapshot, unless it is the same as the
// last. That it is too large or finds no room is told, too, and no error.
func (a *agent) export(ctx context.Context, id, instance, path, startedAt string) error {
	body, err := channel.Export(ctx, a.engine, id, path)
	if large := (*channel.TooLargeError)(nil); errors.As(err, &large) {
		return a.tellRefused(id, instance, startedAt, channel.SnapshotTooLarge, large.Error())
	}
	if err != nil {
		return err
	}
	s, err := a.spool.put(body)
	if err != nil {
		return a.tellRefused(id, instance, startedAt, noRoom, err.Error())
	}
	s.Run = startedAt
	a.mu.Lock()
	same := a.digests[id] == s.SHA256
	a.digests[id] = s.SHA256
	a.mu.Unlock()
	if same {
		return nil
	}
	return a.tellSnapshot(id, instance, s)
}

func (a *agent) tellSnapshot(id, instance string, s *journal.Snapshot) error {
	o := observation(instance, id, "app.snapshot", map[string]any{
		"run": s.Run, "sequence": s.Sequence, "size": s.Size, "sha256": s.SHA256,
	})
	o.Snapshot = s
	last, err := a.append(journal.Entry{Observations: []journal.Observation{o}})
	if err == nil {
		a.spool.named(s.SHA256, last)
	}
	return err
}

// noRoom is the code of a snapshot that the spool has no room for.
const noRoom = "snapshot.no-room"

// tellRefused tells that something which the application said is not taken.
func (a *agent) tellRefused(id, instance, run, code, text string) error {
	a.log.Warn("message of the application refused", "instance", instance, "code", code, "err", text)
	_, err := a.append(journal.Entry{Observations: []journal.Observation{
		observation(instance, id, "app.refused", map[string]any{"run": run, "code": code, "message": text}),
	}})
	return err
}

func observation(instance, id, event string, data map[string]any) journal.Observation {
	b, err := json.Marshal(data)
	if err != nil {
		b = nil // plain values; cannot be
	}
	return journal.Observation{Time: time.Now(), Instance: instance, ContainerID: id, Event: event, Data: b}
}

// append writes to the journal; a disk that does not take it ends the service.
func (a *agent) append(e journal.Entry) (uint64, error) {
	last, err := a.journal.Append(e)
	if err != nil {
		a.fail(err)
	}
	return last, err
}

// open makes the link of a container's next or present run and dials at once.
func (a *agent) open(id string, t observe.Told, c engine.Container, target label.Target) *run {
	r := &run{id: id, instance: t.Instance, before: t.StartedAt, delivered: map[uint64]delivery{}}
	patience := min(readyTime, time.Duration(target.Options.StartTimeout)*time.Millisecond/2)
	log := a.log.With("instance", t.Instance, "container", id[:min(12, len(id))])
	r.link = channel.Dial(a.ctx, func(ctx context.Context) (net.Conn, error) {
		return a.engine.DialSocket(ctx, c, target.Socket)
	}, patience, log, func(m channel.Message) { a.heard(r, m) })
	a.mu.Lock()
	old := a.links[id]
	a.links[id] = r
	a.mu.Unlock()
	if old != nil {
		old.link.Close()
	}
	return r
}

// begin names the run of a link and restores; state goes into the journal with
// what is appended next.
func (a *agent) begin(r *run, state runState, body []byte, resume bool) {
	r.mu.Lock()
	r.state = state
	r.mu.Unlock()
	restore := channel.Restore{Body: body, Resume: resume}
	if state.Snapshot != nil {
		restore.Sequence = state.Snapshot.Sequence
	}
	r.link.Begin(state.Run, restore)
	a.mu.Lock()
	a.runs[r.id] = state
	t := a.told[r.id]
	over := t.StartedAt == state.Run && t.Status != "running" && t.Status != "paused"
	if over && a.links[r.id] == r {
		delete(a.links, r.id)
	}
	a.mu.Unlock()
	if over {
		r.link.Close()
	}
}

// heard journals what an application says. It is called by the link's reader, one
// message at a time, and by its watch for KindUnready.
func (a *agent) heard(r *run, m channel.Message) {
	if (m.Kind == channel.KindReady || m.Kind == channel.KindUnready) && !a.started(r.id, m.Run) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	e := journal.Entry{}
	var o journal.Observation
	switch m.Kind {
	case channel.KindReady:
		r.state.Ready, r.cursor = true, m.Sequence
		o = observation(r.instance, r.id, "app.ready", map[string]any{
			"run": m.Run, "sequence": m.Sequence, "snapshot": r.state.Number, "resumed": m.Resumed,
		})
		state := r.state
		state.Snapshot = nil // From now on it is resumed.
		if b, err := json.Marshal(state); err == nil {
			e.Known = map[string]json.RawMessage{runKey + r.id: b}
		}
	case channel.KindAnswer:
		r.cursor = max(r.cursor, m.Sequence)
		data := map[string]any{"run": m.Run, "sequence": m.Sequence, "error": m.Error}
		o = observation(r.instance, r.id, "app.answer", data)
		d := r.delivered[m.Sequence]
		delete(r.delivered, m.Sequence)
		o.CommandID, o.Traceparent = d.command, d.traceparent
	case channel.KindSnapshot:
		a.heardSnapshot(r, m)
		return
	case channel.KindEvent:
		o = observation(r.instance, r.id, "app.event", map[string]any{
			"run": m.Run, "ordinal": m.Ordinal, "cause": m.Cause, "name": m.Name, "data": m.Data,
		})
	case channel.KindError:
		o = observation(r.instance, r.id, "app.error", map[string]any{"run": m.Run, "message": m.Text})
	case channel.KindRefused:
		_ = a.tellRefused(r.id, r.instance, m.Run, m.Code, m.Text)
		return
	case channel.KindLost:
		o = observation(r.instance, r.id, "app.lost", map[string]any{"run": m.Run, "message": m.Text})
	case channel.KindUnready:
		if r.state.Ready {
			return // It was ready while this was waiting for its turn.
		}
		o = observation(r.instance, r.id, "app.unready", map[string]any{"run": m.Run, "message": m.Text})
	}
	e.Observations = []journal.Observation{o}
	_, _ = a.append(e) // A failure ends the service.
}

// tellCursors says how far the applications of the present runs are, for a server
// whose store may be older than they.
func (a *agent) tellCursors() {
	a.mu.Lock()
	links := slices.Collect(maps.Values(a.links))
	a.mu.Unlock()
	for _, r := range links {
		r.mu.Lock()
		if r.state.Ready && !r.over {
			_, _ = a.append(journal.Entry{Observations: []journal.Observation{
				observation(r.instance, r.id, "app.cursor", map[string]any{"run": r.state.Run, "sequence": r.cursor}),
			}})
		}
		r.mu.Unlock()
	}
}

func (a *agent) heardSnapshot(r *run, m channel.Message) {
	r.cursor = max(r.cursor, m.Sequence)
	body := bytes.Clone(m.Snapshot)
	if len(body) == 0 {
		body = []byte("null")
	}
	s, err := a.spool.put(body)
	if err != nil {
		_ = a.tellRefused(r.id, r.instance, m.Run, noRoom, err.Error())
		return
	}
	s.Sequence, s.Run = m.Sequence, m.Run
	_ = a.tellSnapshot(r.id, r.instance, s)
}

// started waits until docker.start of the run was told: the chart must hear of it
// before it hears that the application is ready. False means that the run is over.
func (a *agent) started(id, run string) bool {
	timer := time.NewTimer(gateTime)
	defer timer.Stop()
	for {
		a.mu.Lock()
		t, changed := a.told[id], a.changed
		a.mu.Unlock()
		if t.StartedAt == run && (t.Status == "running" || t.Status == "paused") {
			return true
		}
		if t.StartedAt == run && t.Status != "created" {
			return false
		}
		select {
		case <-changed:
		case <-timer.C:
			return true // Better out of order than never.
		case <-a.ctx.Done():
			return false
		}
	}
}

// resume goes on with the runs that were under way when the agent stopped. The
// engine says which still are: docker.start may not have been told yet.
func (a *agent) resume(ctx context.Context) {
	a.mu.Lock()
	ids := slices.Collect(maps.Keys(a.runs))
	a.mu.Unlock()
	for _, id := range ids {
		a.resumeOne(ctx, id)
	}
}

func (a *agent) resumeOne(ctx context.Context, id string) {
	var in engine.Container
	if err := retry(ctx, time.Minute, func() (err error) { in, err = a.engine.Inspect(ctx, id); return err }); err != nil {
		return // It is gone, and the observer tells so.
	}
	a.mu.Lock()
	t, s := a.told[id], a.runs[id]
	_, linked := a.links[id]
	a.mu.Unlock()
	target := label.Parse(in)
	if linked || !target.Managed || target.Channel != "socket" || in.State.StartedAt != s.Run || !in.State.Live() {
		return
	}
	var body []byte
	if !s.Ready {
		if err := retry(ctx, time.Minute, func() (err error) { body, err = a.body(ctx, s.Snapshot); return err }); err != nil {
			a.log.Error("snapshot to restore cannot be had", "instance", t.Instance, "err", err)
			return
		}
	}
	r := a.open(id, observe.Told{Instance: t.Instance}, in, target)
	a.begin(r, s, body, s.Ready)
}

// body returns the bytes of a snapshot; nil for none.
func (a *agent) body(ctx context.Context, s *journal.Snapshot) ([]byte, error) {
	switch {
	case s == nil:
		return nil, nil
	case len(s.Inline) > 0 || s.Size == 0:
		return s.Inline, nil
	}
	if body, err := a.spool.body(s.SHA256); err == nil {
		return body, nil
	}
	return a.client.Blob(ctx, s.SHA256)
}

// retry repeats f, with pauses from 50 ms to 1 s, while it fails other than by the
// engine's refusal, at most for d.
func retry(ctx context.Context, d time.Duration, f func() error) error {
	deadline := time.Now().Add(d)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := f()
		if err == nil || engine.StatusOf(err) != 0 || errors.Is(err, errUnknown) || errors.Is(err, errStale) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
