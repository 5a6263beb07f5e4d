// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/services/dockeragent/internal/channel"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/chartroom/chartroom/services/dockeragent/internal/observe"
)

// runState is what the journal knows of the present run of a container with a
// socket, so that an agent that comes back can go on with it.
type runState struct {
	Run string `json:"run"`
	// Number is the snapshot restored; 0 for a clean start.
	Number uint64 `json:"number,omitempty"`
	// Snapshot is the newest state that the application had in this run: the one that
	// it began with, then what it has dumped.
	Snapshot *journal.Snapshot `json:"snapshot,omitempty"`
	// Ready is true once the application was ready: from then on it is resumed.
	Ready bool `json:"ready,omitempty"`
}

// known is what the journal shall know of the present run of a container. A body that
// was restored or told is to be had elsewhere, see [agent.body].
func (s runState) known(id string) map[string]json.RawMessage {
	if s.Ready && s.Snapshot != nil {
		named := *s.Snapshot
		named.Inline = nil
		s.Snapshot = &named
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // plain values; cannot be
	}
	return map[string]json.RawMessage{runKey + id: b}
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

// open makes the link of a container's next or present run and dials at once; state is
// of a run that goes on.
func (a *agent) open(id string, t observe.Told, c engine.Container, target label.Target, state runState) *run {
	r := &run{id: id, instance: t.Instance, before: t.StartedAt, state: state, delivered: map[uint64]delivery{}}
	patience := min(readyTime, time.Duration(target.Options.StartTimeout)*time.Millisecond/2)
	log := a.log.With("instance", t.Instance, "container", id[:min(12, len(id))])
	r.link = channel.Dial(a.ctx, func(ctx context.Context) (net.Conn, error) {
		conn, err := a.engine.DialSocket(ctx, c, target.Socket)
		if err != nil {
			return nil, err
		}
		if err := a.stillRuns(ctx, r); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
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

// stillRuns says whether the process that a link was connected to is still that of its
// run, once the application was ready in it. After a restart that was not told yet
// another one listens at the same path, and would be taken for one that kept its state.
func (a *agent) stillRuns(ctx context.Context, r *run) error {
	r.mu.Lock()
	state := r.state
	r.mu.Unlock()
	if !state.Ready {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	in, err := a.engine.Inspect(ctx, r.id)
	if err == nil && in.State.Live() && in.State.StartedAt == state.Run {
		return nil
	}
	select { // Its death is told in a moment; until then there is nothing to dial.
	case <-time.After(inspectPause):
	case <-ctx.Done():
	}
	if err == nil {
		err = fmt.Errorf("%w: it is %s since %s", errStale, in.State.Status, in.State.StartedAt)
	}
	return err
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
	a.mu.Lock()
	a.runs[r.id] = state // before it is ready
	a.mu.Unlock()
	r.link.Begin(state.Run, restore)
	a.mu.Lock()
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
	if m.Kind == channel.KindReady && m.Resumed && a.reminded(r, m.Sequence) {
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
		e.Known = a.noted(r)
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

// noted notes the state of a run, while it is the newest of its container, and gives
// what the journal shall know of it; r.mu is held.
func (a *agent) noted(r *run) map[string]json.RawMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runs[r.id].Run != r.state.Run {
		return nil
	}
	a.runs[r.id] = r.state
	return r.state.known(r.id)
}

func (a *agent) heardSnapshot(r *run, m channel.Message) {
	if last := r.state.Snapshot; last != nil && m.Sequence < last.Sequence {
		a.log.Debug("snapshot dropped that contains less than the one before", "instance", r.instance, "sequence", m.Sequence)
		return
	}
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
	r.state.Snapshot = s
	_ = a.tellSnapshot(r.id, r.instance, s, a.noted(r))
}

// reminded gives an application that comes back in its run with less than its last
// snapshot holds that snapshot again: it was started anew inside of its container, and
// what it says until it is ready is of no account. While the snapshot cannot be had the
// application is asked again and again, and nothing that it says counts either.
func (a *agent) reminded(r *run, sequence uint64) bool {
	r.mu.Lock()
	state := r.state
	r.mu.Unlock()
	last := state.Snapshot
	if last == nil || sequence >= last.Sequence {
		return false
	}
	ctx, cancel := context.WithTimeout(a.ctx, exportTime)
	defer cancel()
	body, err := a.body(ctx, last)
	if err != nil {
		a.log.Warn("the application has lost its state, and its last snapshot cannot be had", "instance", r.instance, "err", err)
		if status.Code(err) == codes.NotFound {
			return false // and never will be
		}
		r.link.Redial()
		return true
	}
	_, _ = a.append(journal.Entry{Observations: []journal.Observation{observation(r.instance, r.id, "app.error", map[string]any{
		"run":     state.Run,
		"message": fmt.Sprintf("it came back with event %d, and is given its last snapshot again, which contains event %d", sequence, last.Sequence),
	})}})
	a.begin(r, state, body, false)
	return true
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
	r := a.open(id, observe.Told{Instance: t.Instance}, in, target, s)
	a.begin(r, s, body, s.Ready)
}
