// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/channel"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/chartroom/chartroom/services/dockeragent/internal/observe"
	"github.com/chartroom/chartroom/services/dockeragent/internal/rpc"
)

// defaultGrace is that of a stop without one.
const defaultGrace = 10 * time.Second

// act is one command to the engine.
type act struct {
	rpc.Command
	args   arguments
	told   observe.Told
	in     engine.Container
	target label.Target
	rec    journal.Command
	name   string // of what is created
}

// toEngine carries out a verb that is a call to the engine. begun says that the
// journal has a begin of it without an end: then it is resolved by inspect and called
// again only when it is certain that it did not act.
func (a *agent) toEngine(ctx context.Context, c rpc.Command, rec journal.Command, begun bool) (map[string]any, error) {
	w := act{Command: c, rec: rec}
	var err error
	if w.args, err = a.arguments(c); err != nil {
		return nil, err
	}
	if c.Verb == "create" {
		w.name = w.args.Name
		if w.name == "" {
			w.name = c.Instance
		}
	} else if w.told, w.in, w.target, err = a.lookup(ctx, c); err != nil && !begun {
		return nil, err
	}
	// After a begin the state may differ because it acted: resolving tells first.
	unfit := err
	if c.Verb == "replace" {
		w.name = w.args.Name
	}
	if !begun {
		runs := w.told.Status == "running" || w.told.Status == "paused"
		if c.Verb != "create" && (c.Verb != "start" || runs) {
			// What was told may lag behind: the begin must name the run that is there,
			// and a start must know that it is over.
			if w.in, err = a.engine.Inspect(ctx, c.ContainerID); err != nil {
				return nil, err
			}
			w.found(w.in)
		}
		w.rec = journal.Command{
			ID: c.ID, Verb: c.Verb, Instance: c.Instance, ContainerID: c.ContainerID,
			StartedAt: w.told.StartedAt, FinishedAt: w.told.FinishedAt, Begun: time.Now(),
		}
		if err := a.journal.Begin(w.rec); err != nil {
			a.fail(err)
			return nil, err
		}
		a.point("begun", c.Verb)
	}
	if c.ContainerID != "" {
		a.attribute(ctx, w.rec, true)
		defer a.attribute(context.WithoutCancel(ctx), w.rec, false)
	}
	// A call that was cut off is resolved like one of an earlier life.
	resolve := begun
	var extra map[string]any
	err = retry(ctx, unknownTime, func() error {
		if resolve {
			done, err := a.resolve(ctx, &w, &extra)
			if done || err != nil {
				return err
			}
			if unfit != nil {
				return unfit
			}
		}
		resolve = true
		extra, err = a.call(ctx, &w)
		return err
	})
	a.point("called", c.Verb)
	return extra, err
}

// found takes what inspect says for what was told.
func (w *act) found(in engine.Container) {
	s := in.State
	w.in = in
	w.told.Status, w.told.StartedAt, w.told.FinishedAt, w.told.ExitCode = s.Status, s.StartedAt, s.FinishedAt, s.ExitCode
}

// point is where a test may let the agent die.
func (a *agent) point(name, verb string) {
	if a.c.fault(name, verb) {
		a.fail(context.Canceled)
	}
}

// attribute tells the observer which events are of our own making.
func (a *agent) attribute(ctx context.Context, c journal.Command, begin bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	f := func(core *observe.Core, now time.Time) { core.Command(now, c.ContainerID, own(c), begin) }
	if begin {
		a.observer.Call(ctx, f)
	} else {
		a.observer.Do(ctx, f)
	}
}

// own is a command as the observer knows it.
func own(c journal.Command) observe.Command {
	return observe.Command{ID: c.ID, Verb: c.Verb, Run: c.StartedAt}
}

// resolve finds out by inspect whether a command that was begun has acted. False
// without an error means that it has not.
func (a *agent) resolve(ctx context.Context, w *act, extra *map[string]any) (bool, error) {
	name := w.ContainerID
	if w.creates() {
		name = w.name
	}
	in, err := a.engine.Inspect(ctx, name)
	if engine.IsNotFound(err) {
		return w.Verb == "remove", notFoundUnless(w.Verb, err)
	}
	if err != nil {
		return false, err
	}
	s := in.State
	sameRun := s.StartedAt == w.rec.StartedAt
	switch w.Verb {
	case "create":
		*extra = map[string]any{"containerId": in.ID}
		return in.Labels[label.Command] == w.ID, nil
	case "replace":
		*extra = map[string]any{"containerId": in.ID}
		if in.Labels[label.Command] != w.ID {
			return false, nil
		}
		return true, a.engine.Join(ctx, in.ID, w.ContainerID)
	case "start":
		if sameRun {
			w.found(in)
			return false, nil
		}
		return true, a.restored(ctx, w, in)
	case "stop":
		return !sameRun || !s.Live(), nil
	case "kill":
		if !sameRun || !s.Live() {
			return true, nil
		}
		if signal, _ := engine.SignalNumber(w.signal()); signal != 9 {
			return false, fmt.Errorf("%w: it cannot be told whether the signal %s was sent", errUnknown, w.signal())
		}
		return false, nil
	case "pause":
		return s.Paused, nil
	case "unpause":
		return !s.Paused, nil
	}
	return false, nil
}

// errUnknown ends retries: asking again would not tell.
var errUnknown = errors.New("outcome unknown")

// creates says whether the command makes a container, which its name tells.
func (w *act) creates() bool { return w.Verb == "create" || w.Verb == "replace" }

func notFoundUnless(verb string, err error) error {
	if verb == "remove" || verb == "create" || verb == "replace" {
		return nil
	}
	return err
}

func (w *act) signal() string {
	switch s := w.args.Signal.(type) {
	case string:
		if s != "" {
			return s
		}
	case float64:
		return strconv.Itoa(int(s))
	}
	return "9"
}

// call calls the engine.
func (a *agent) call(ctx context.Context, w *act) (map[string]any, error) {
	grace := defaultGrace
	if w.args.Grace != nil {
		grace = time.Duration(*w.args.Grace * float64(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, callTime+grace)
	defer cancel()
	id := w.ContainerID
	switch w.Verb {
	case "create":
		return a.create(ctx, w)
	case "replace":
		return a.replace(ctx, w)
	case "start":
		return nil, a.start(ctx, w)
	case "stop":
		return nil, a.engine.Stop(ctx, id, grace)
	case "kill":
		return nil, a.engine.Kill(ctx, id, w.signal())
	case "pause":
		return nil, a.engine.Pause(ctx, id)
	case "unpause":
		return nil, a.engine.Unpause(ctx, id)
	}
	return nil, a.engine.Remove(ctx, id, w.args.Force)
}

// create makes a container under a deterministic name with the command's id in a
// label; one of that name with that label is ours already.
func (a *agent) create(ctx context.Context, w *act) (map[string]any, error) {
	labels := maps.Clone(w.args.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if _, ok := labels[label.Enable]; !ok {
		labels[label.Enable] = "true"
	}
	if w.name != w.Instance {
		labels[label.Instance] = w.Instance
	}
	return a.made(ctx, w, engine.Spec{
		Name: w.name, Image: w.args.Image, Command: w.args.Command, Env: w.args.Environment, Labels: labels,
		Mounts: w.args.Mounts, Network: w.args.Network, OpenStdin: true,
	})
}

// replace makes a container by the recovery profile in the labels of another one,
// which stays as it is. The new one is of the same instance.
func (a *agent) replace(ctx context.Context, w *act) (map[string]any, error) {
	refuse := func(status int, why string) (map[string]any, error) {
		return nil, &engine.Error{Op: w.Verb, ID: w.ContainerID, Status: status, Message: why}
	}
	profile := w.target.Options.Recover
	switch {
	case w.name == "":
		return refuse(http.StatusBadRequest, "the name of the new container is missing")
	case !profile.Given():
		return refuse(http.StatusBadRequest, "the container has no recovery profile: the labels chartroom.recover.image and chartroom.recover.env.NAME")
	case w.in.State.Live():
		return refuse(http.StatusConflict, "the container runs")
	}
	labels := maps.Clone(w.in.Labels)
	labels[label.Instance], labels[label.Recovery] = w.Instance, w.in.Name
	var env []string
	for k, v := range profile.Env {
		env = append(env, k+"="+v)
	}
	extra, err := a.made(ctx, w, engine.Spec{Like: w.ContainerID, Name: w.name, Image: profile.Image, Env: env, Labels: labels})
	if err != nil {
		return nil, err
	}
	return extra, a.engine.Join(ctx, w.name, w.ContainerID)
}

// made creates a container that carries the command's id. One of that name and id
// is it already.
func (a *agent) made(ctx context.Context, w *act, spec engine.Spec) (map[string]any, error) {
	spec.Labels[label.Command] = w.ID
	id, err := a.engine.Create(ctx, spec)
	if engine.IsConflict(err) {
		if in, ierr := a.engine.Inspect(ctx, w.name); ierr == nil && in.Labels[label.Command] == w.ID {
			id, err = in.ID, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"containerId": id}, nil
}

// start starts a container from a snapshot. The link dials while the engine works.
func (a *agent) start(ctx context.Context, w *act) error {
	if w.told.Status == "running" || w.told.Status == "paused" {
		return a.engine.Start(ctx, w.ContainerID) // Says what is to be said.
	}
	if w.told.Status == "exited" { // Of an engine that shut down most exit with 0.
		a.buckets.wait(ctx, w.in.Image)
	}
	body, err := a.body(ctx, w.Snapshot)
	if err != nil {
		return err
	}
	path, file := strings.CutPrefix(w.target.Channel, "file:")
	if file && w.Snapshot != nil {
		if err := channel.Import(ctx, a.engine, w.ContainerID, path, body); err != nil {
			return err
		}
	}
	var r *run
	if w.target.Channel == "socket" {
		r = a.open(w.ContainerID, w.told, w.in, w.target, runState{})
		a.mu.Lock()
		r.planned, r.plan = true, &plan{number: w.args.Snapshot, snapshot: w.Snapshot, body: body}
		a.mu.Unlock()
	}
	err = a.engine.Start(ctx, w.ContainerID)
	if err != nil {
		if r != nil {
			r.link.Close()
			a.mu.Lock()
			if a.links[w.ContainerID] == r {
				delete(a.links, w.ContainerID)
			}
			a.mu.Unlock()
		}
		return err
	}
	a.point("started", w.Verb)
	if r == nil && !file {
		return nil
	}
	if r != nil {
		a.mu.Lock()
		begun := r.plan == nil
		a.mu.Unlock()
		if begun {
			return nil
		}
	}
	in, err := a.engine.Inspect(ctx, w.ContainerID)
	if err != nil {
		return err // Resolved: the run is another.
	}
	return a.restoredWith(w, in, r, body)
}

// layIn copies a snapshot into a container that has never been started, so that whoever
// starts it gives it its state. A file that is there already, on a volume or in the
// image, is left as it is: laid says whether the snapshot is in it.
func (a *agent) layIn(ctx context.Context, c rpc.Command, path string) (map[string]any, error) {
	fresh := func() error {
		in, err := a.engine.Inspect(ctx, c.ContainerID)
		if err == nil && in.State.StartedAt != "" {
			err = fmt.Errorf("%w: the container has been started", errStale)
		}
		return err
	}
	body, err := a.body(ctx, c.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := fresh(); err != nil {
		return nil, err
	}
	switch there, err := channel.Export(ctx, a.engine, c.ContainerID, path); {
	case err == nil:
		return map[string]any{"laid": bytes.Equal(there, body)}, nil
	case !engine.IsNotFound(err):
		return nil, err
	}
	if err := channel.Import(ctx, a.engine, c.ContainerID, path, body); err != nil {
		return nil, err
	}
	return map[string]any{"laid": true}, fresh()
}

// restored goes on with a start that acted in an earlier life.
func (a *agent) restored(ctx context.Context, w *act, in engine.Container) error {
	w.target = label.Parse(in)
	a.mu.Lock()
	s, r := a.runs[w.ContainerID], a.links[w.ContainerID]
	a.mu.Unlock()
	if !in.State.Live() || s.Run == in.State.StartedAt && s.Ready || r != nil && r.link.Run() == in.State.StartedAt {
		return nil
	}
	body, err := a.body(ctx, w.Snapshot)
	if err != nil {
		return err
	}
	if r == nil && w.target.Channel == "socket" {
		r = a.open(w.ContainerID, observe.Told{Instance: w.Instance}, in, w.target, runState{})
	}
	return a.restoredWith(w, in, r, body)
}

// restoredWith tells the application, or for a file the chart, what the run begins with.
func (a *agent) restoredWith(w *act, in engine.Container, r *run, body []byte) error {
	state := runState{Run: in.State.StartedAt, Number: w.args.Snapshot, Snapshot: w.Snapshot}
	if r != nil {
		a.mu.Lock()
		taken := r.plan == nil && r.planned
		r.plan = nil
		a.mu.Unlock()
		if !taken {
			a.begin(r, state, body, false)
		}
		return nil
	}
	if !strings.HasPrefix(w.target.Channel, "file:") || !in.State.Live() {
		return nil
	}
	sequence := uint64(0)
	if w.Snapshot != nil {
		sequence = w.Snapshot.Sequence
	}
	// Before the command ends: an agent that comes back does not repeat one that has.
	if a.started(w.ContainerID, state.Run) {
		_, _ = a.append(journal.Entry{Observations: []journal.Observation{observation(w.Instance, w.ContainerID, "app.ready", map[string]any{
			"run": state.Run, "sequence": sequence, "snapshot": state.Number, "resumed": false,
		})}})
	}
	return nil
}
