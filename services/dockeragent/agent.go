// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
	// inspectTime bounds the question whether a run goes on before its channel is
	// resumed, inspectPause is between two of them.
	inspectTime  = 5 * time.Second
	inspectPause = 100 * time.Millisecond
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
	for _, l := range later {
		a.point("journaled", l.Observation.Event)
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
	return a.tellSnapshot(id, instance, s, nil)
}

func (a *agent) tellSnapshot(id, instance string, s *journal.Snapshot, known map[string]json.RawMessage) error {
	o := observation(instance, id, "app.snapshot", map[string]any{
		"run": s.Run, "sequence": s.Sequence, "size": s.Size, "sha256": s.SHA256,
	})
	o.Snapshot = s
	last, err := a.append(journal.Entry{Observations: []journal.Observation{o}, Known: known})
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

// body returns the bytes of a snapshot; nil for none. What statemachine has not taken in
// is here: in the spool, or in the observation that tells of it.
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
	if s.Size <= inlineBytes {
		for o, err := range a.journal.Waiting() {
			if err != nil {
				return nil, err
			}
			if o.Snapshot != nil && o.Snapshot.SHA256 == s.SHA256 {
				return o.Snapshot.Inline, nil
			}
		}
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
