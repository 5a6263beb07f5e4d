// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/channel"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/chartroom/chartroom/services/dockeragent/internal/observe"
	"github.com/chartroom/chartroom/services/dockeragent/internal/rpc"
)

const (
	// laneCommands bounds what waits for one instance; more is refused.
	laneCommands = 256
	// callTime bounds a call to the engine, beside the grace of a stop.
	callTime = 2 * time.Minute
	// unknownTime is how long an engine that is away is waited for before the
	// outcome of a call is told as unknown.
	unknownTime = 5 * time.Minute
	// linkTime is how long deliver waits for a run's link to be made.
	linkTime = 3 * time.Second
)

// lane works off the commands of one instance in order. Its goroutine ends when
// there are none.
type lane struct{ queue []rpc.Command }

// Command implements rpc.Handler: it queues the command in the lane of its
// instance. A command that is queued or under way already is dropped.
func (a *agent) Command(c rpc.Command) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inFlight[c.ID] {
		return
	}
	l, busy := a.lanes[c.Instance]
	if busy && len(l.queue) >= laneCommands {
		// It is sent again with the next stream.
		a.log.Error("command dropped: too many wait for the instance", "instance", c.Instance, "event", c.Verb)
		return
	}
	a.inFlight[c.ID] = true
	if c.Traceparent != "" {
		a.trace[c.ID] = c.Traceparent
	}
	if busy {
		l.queue = append(l.queue, c)
		return
	}
	l = &lane{queue: []rpc.Command{c}}
	a.lanes[c.Instance] = l
	go a.work(c.Instance, l)
}

func (a *agent) work(instance string, l *lane) {
	for {
		a.mu.Lock()
		if len(l.queue) == 0 || a.ctx.Err() != nil {
			delete(a.lanes, instance)
			a.mu.Unlock()
			return
		}
		c := l.queue[0]
		l.queue = l.queue[1:]
		a.mu.Unlock()
		a.execute(a.ctx, c)
		a.mu.Lock()
		delete(a.inFlight, c.ID)
		a.mu.Unlock()
		// docker.start and docker.die of it may still be on their way.
		time.AfterFunc(5*time.Second, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.trace, c.ID)
		})
	}
}

// execute carries out one command and journals its outcome (law 4).
func (a *agent) execute(ctx context.Context, c rpc.Command) {
	rec, begun := a.journal.Command(c.ID)
	if rec.Ended() {
		if rec.Outcome.Sequence <= a.journal.Acked() {
			a.end(c, rec.Outcome.Event, rec.Outcome.Data, nil) // It was lost after it was acknowledged: said again.
		}
		return
	}
	var done func()
	c.Traceparent, done = traced(spanCommand, c.Traceparent, c.Instance, c.Verb)
	defer done()
	var err error
	var extra map[string]any
	switch c.Verb {
	case "deliver", "take_snapshot", "restore":
		extra, err = a.toApplication(ctx, c)
	case "create", "replace", "start", "stop", "kill", "pause", "unpause", "remove":
		extra, err = a.toEngine(ctx, c, rec, begun)
	default:
		err = &engine.Error{Op: c.Verb, Status: http.StatusNotImplemented, Message: "the agent does not know this verb; it may be older than the server"}
	}
	if ctx.Err() != nil {
		return // The agent stops: what is begun is resolved when it is sent again.
	}
	data := map[string]any{"commandId": c.ID}
	for k, v := range extra {
		data[k] = v
	}
	event := "done.command." + c.Verb
	switch {
	case err == nil:
	case errors.Is(err, errStale):
		event, data["message"] = "error.outcome_stale."+c.Verb, err.Error()
	case engine.StatusOf(err) != 0:
		event, data["status"], data["message"] = "error.docker."+c.Verb, engine.StatusOf(err), messageOf(err)
	default:
		event, data["message"] = "error.outcome_unknown."+c.Verb, err.Error()
	}
	if err != nil {
		a.log.Warn("command failed", "instance", c.Instance, "event", c.Verb, "err", err)
	}
	b, merr := json.Marshal(data)
	if merr != nil {
		b = nil // plain values; cannot be
	}
	var known map[string]json.RawMessage
	if err == nil && (c.Verb == "start" || c.Verb == "restore") {
		known = a.runKnown(c.ContainerID)
	}
	a.end(c, event, b, known)
	a.point("ended", c.Verb)
}

func messageOf(err error) string {
	var e *engine.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// end journals the outcome.
func (a *agent) end(c rpc.Command, event string, data json.RawMessage, known map[string]json.RawMessage) {
	e := journal.Entry{Known: known, Observations: []journal.Observation{{
		Time: time.Now(), Instance: c.Instance, ContainerID: c.ContainerID, Event: event, Data: data, CommandID: c.ID, Traceparent: c.Traceparent,
	}}}
	if c.Verb != "deliver" && c.Verb != "take_snapshot" {
		// Those two may be repeated: the application answers a sequence twice without acting.
		e.End = c.ID
	}
	_, _ = a.append(e)
}

// runKnown is what the journal shall know of a container's run.
func (a *agent) runKnown(id string) map[string]json.RawMessage {
	a.mu.Lock()
	s, ok := a.runs[id]
	r := a.links[id]
	a.mu.Unlock()
	if !ok || r == nil {
		return nil
	}
	r.mu.Lock()
	if r.state.Run == s.Run {
		s = r.state
	}
	r.mu.Unlock()
	return s.known(id)
}

// errStale means that a command was for another run.
var errStale = errors.New("the command was for another run")

// lookup returns what was told of the command's container, and checks that the agent may touch it.
func (a *agent) lookup(ctx context.Context, c rpc.Command) (observe.Told, engine.Container, label.Target, error) {
	a.mu.Lock()
	t, known := a.told[c.ContainerID]
	in, have := a.containers[c.ContainerID]
	a.mu.Unlock()
	inspect := func() (err error) {
		in, err = a.engine.Inspect(ctx, c.ContainerID)
		return err
	}
	// When its run is known by the stamp of an event alone, what is kept may be of the run before.
	if !have || !known || t.Approx {
		if err := inspect(); err != nil {
			return t, in, label.Target{}, err
		}
		a.mu.Lock()
		a.containers[c.ContainerID] = in
		a.mu.Unlock()
	}
	if !known || t.Approx {
		t.Instance, t.Image, t.Approx = c.Instance, in.Image, false
		t.Status, t.StartedAt, t.FinishedAt, t.ExitCode = in.State.Status, in.State.StartedAt, in.State.FinishedAt, in.State.ExitCode
	}
	target := targetOf(t)
	if t.Target == "" {
		target = label.Parse(in)
	}
	if !target.Managed {
		return t, in, target, &engine.Error{Op: c.Verb, ID: c.ContainerID, Status: http.StatusForbidden, Message: "the container is observed only: " + target.Unmanaged()}
	}
	if c.Run.IsZero() || t.Began(c.Run) {
		return t, in, target, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, t.StartedAt); err != nil || at.Before(c.Run) {
		// A run that began after what was told last: statemachine may act on a
		// docker.start sooner than the agent has noted it.
		if err := inspect(); err != nil {
			return t, in, target, err
		}
		t.Status, t.StartedAt, t.FinishedAt = in.State.Status, in.State.StartedAt, in.State.FinishedAt
		// A run that was told by the stamp of its event is named by that, which comes
		// after its StartedAt and before the next run's.
		if at, err := time.Parse(time.RFC3339Nano, t.StartedAt); err == nil && at.Before(c.Run) {
			return t, in, target, nil
		}
	}
	if !t.Began(c.Run) {
		return t, in, target, fmt.Errorf("%w: it is for that of %s, the last one began %s", errStale, c.Run.Format(time.RFC3339Nano), t.StartedAt)
	}
	return t, in, target, nil
}

// arguments of all verbs.
type arguments struct {
	Snapshot    uint64            `json:"snapshot"`
	Resume      bool              `json:"resume"`
	Grace       *float64          `json:"grace"`
	Signal      any               `json:"signal"`
	Force       bool              `json:"force"`
	Name        string            `json:"name"`
	Image       string            `json:"image"`
	Command     []string          `json:"command"`
	Environment []string          `json:"environment"`
	Labels      map[string]string `json:"labels"`
	Mounts      []string          `json:"mounts"`
	Network     string            `json:"network"`
}

func (a *agent) arguments(c rpc.Command) (out arguments, err error) {
	if len(c.Arguments) > 0 {
		if err := json.Unmarshal(c.Arguments, &out); err != nil {
			return out, &engine.Error{Op: c.Verb, Status: http.StatusBadRequest, Message: "arguments: " + err.Error()}
		}
	}
	return out, nil
}

// toApplication carries out a verb that goes over the channel.
func (a *agent) toApplication(ctx context.Context, c rpc.Command) (map[string]any, error) {
	args, err := a.arguments(c)
	if err != nil {
		return nil, err
	}
	t, in, target, err := a.lookup(ctx, c)
	if err != nil {
		return nil, err
	}
	path, file := strings.CutPrefix(target.Channel, "file:")
	if file && c.Verb == "restore" {
		return a.layIn(ctx, c, path)
	}
	if t.Status != "running" && t.Status != "paused" {
		return nil, fmt.Errorf("%w: the container is %s", errStale, t.Status)
	}
	switch {
	case target.Channel == "socket":
	case file && c.Verb == "take_snapshot":
		a.mu.Lock()
		delete(a.digests, c.ContainerID) // Whoever asks waits for app.snapshot.
		a.mu.Unlock()
		return nil, a.export(ctx, c.ContainerID, t.Instance, path, t.StartedAt)
	default:
		return nil, &engine.Error{Op: c.Verb, ID: c.ContainerID, Status: http.StatusNotImplemented, Message: fmt.Sprintf("the channel %q cannot do that", target.Channel)}
	}
	if c.Verb == "restore" {
		body, err := a.body(ctx, c.Snapshot)
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		r := a.links[c.ContainerID]
		a.mu.Unlock()
		if r == nil || r.link.Run() != "" && r.link.Run() != t.StartedAt {
			before := t
			before.StartedAt = "" // The run is the present one.
			r = a.open(c.ContainerID, before, in, target, runState{})
		}
		a.begin(r, runState{Run: t.StartedAt, Number: args.Snapshot, Snapshot: c.Snapshot}, body, args.Resume)
		return nil, nil
	}
	r, err := a.linked(ctx, c.ContainerID, t.StartedAt)
	if err != nil {
		return nil, err
	}
	if c.Verb == "take_snapshot" {
		return nil, r.link.TakeSnapshot()
	}
	r.mu.Lock()
	r.delivered[c.Sequence] = delivery{c.ID, c.Traceparent}
	r.mu.Unlock()
	event := channel.Event{Sequence: c.Sequence, After: c.After, Name: c.Name, Data: c.Data}
	switch err := r.link.Deliver(event); {
	case errors.Is(err, channel.ErrBehind):
		return nil, fmt.Errorf("%w: event %d: %w", errStale, c.Sequence, err)
	case errors.Is(err, channel.ErrFull):
		return nil, &engine.Error{Op: c.Verb, ID: c.ContainerID, Status: http.StatusTooManyRequests, Message: err.Error()}
	case err != nil:
		// It may have arrived in part or not at all: it is sent again after the
		// connection is resumed, and a sequence acts once.
		return nil, fmt.Errorf("event %d: %w", c.Sequence, err)
	}
	return nil, nil
}

// after reports whether a run began after another.
func after(startedAt, before string) bool {
	s, err1 := time.Parse(time.RFC3339Nano, startedAt)
	b, err2 := time.Parse(time.RFC3339Nano, before)
	return err1 == nil && err2 == nil && s.After(b)
}

// linked waits for the link of a run, as long as the run is the present one.
func (a *agent) linked(ctx context.Context, id, startedAt string) (*run, error) {
	timer := time.NewTimer(linkTime)
	defer timer.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		a.mu.Lock()
		r := a.links[id]
		t, known := a.told[id]
		a.mu.Unlock()
		if r != nil && r.link.Run() == startedAt {
			return r, nil
		}
		// What was told of a run before this one says nothing of this one.
		over := t.StartedAt == startedAt && t.Status != "running" && t.Status != "paused" || after(t.StartedAt, startedAt)
		if known && !t.Approx && over {
			// It died while the agent was away: whatever waits behind this
			// command, such as its start, must not wait for a link that never comes.
			return nil, fmt.Errorf("%w: the container is %s", errStale, t.Status)
		}
		select {
		case <-tick.C:
		case <-timer.C:
			return nil, fmt.Errorf("%w: its application is not connected", errStale)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
