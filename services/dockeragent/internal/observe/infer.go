// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

// emitDie tells the end of a run with the evidence. in is inspect's answer when it
// is about this run; ev is the event unless it was missed.
func (c *Core) emitDie(now time.Time, k *container, in *engine.Container, ev *engine.Event, inferred bool, at time.Time) {
	t := &k.told
	code, finished, oom := -1, "", k.oomSeen
	if ev != nil {
		if n, err := strconv.Atoi(ev.Attributes["exitCode"]); err == nil {
			code = n
		}
		finished = stamp(ev.Time)
	}
	if in != nil {
		code, oom = in.State.ExitCode, oom || in.State.OOMKilled
		if in.State.FinishedAt != "" {
			finished = in.State.FinishedAt
		}
		if in.State.StartedAt != "" {
			t.StartedAt, t.Approx = in.State.StartedAt, false
		}
	}
	id, verb := k.cause(now, "stop", "kill", "remove")
	signals := append([]int{}, k.signals...)
	shutdown := k.cut && !k.vouched && !c.beforeShutdown(finished)
	// A signal that ended it and did not come through the engine.
	n := code - 128
	host := n > 0 && n < 65 && !oom && !shutdown && !slices.Contains(signals, n)
	data := map[string]any{
		"exitCode": code, "startedAt": t.StartedAt, "finishedAt": finished, "oomKilled": oom,
		"evidence": map[string]any{
			"command": verb, "stopEvent": k.stopSeen, "signal": signals, "hostSignal": host, "oom": oom, "exitCode": code, "stopSignal": k.stopSignal,
			"engineShutdown": shutdown,
		},
	}
	t.Status, t.FinishedAt, t.ExitCode, t.OOMKilled = "exited", finished, code, oom
	k.evidence = evidence{}
	c.emit(k, journal.Observation{Time: at, Event: "docker.die", Inferred: inferred, CommandID: id}, data, in)
}

// beforeShutdown reports whether a run was over when the engine began to stop the
// others: it ended too long before the last of them.
func (c *Core) beforeShutdown(finishedAt string) bool {
	at, err := time.Parse(time.RFC3339Nano, finishedAt)
	return err == nil && at.Before(c.lastCut.Add(-shutdownTime))
}

// appear tells of a container that is there and was never told of. History that
// nobody saw is not made up: a start is told only when it runs now, and docker.inspect says the rest.
func (c *Core) appear(now time.Time, k *container, in *engine.Container) {
	k.exists = true
	k.told = Told{Instance: in.Name, Name: in.Name, Image: in.Image, Status: "created"}
	k.restoredAt = in.Created
	for _, text := range []string{in.State.StartedAt, in.State.FinishedAt} {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.After(k.restoredAt) {
			k.restoredAt = at
		}
	}
	o := journal.Observation{Time: in.Created, Event: "docker.create", Inferred: true, CommandID: in.Labels[label.Command]}
	data := map[string]any{}
	c.retarget(k, in, &o, data)
	c.emit(k, o, data, in)
	if in.State.Live() {
		c.inferStart(now, k, in)
	}
}

func (c *Core) inferStart(now time.Time, k *container, in *engine.Container) {
	t := &k.told
	at := now
	if s, err := time.Parse(time.RFC3339Nano, in.State.StartedAt); err == nil {
		at = s
	}
	t.Status, t.StartedAt, t.Approx, t.Stamp, t.ExitCode, t.OOMKilled = "running", in.State.StartedAt, false, "", 0, false
	k.evidence = evidence{}
	o := journal.Observation{Time: at, Event: "docker.start", Inferred: true}
	o.CommandID = k.startCause(now)
	data := map[string]any{"startedAt": in.State.StartedAt}
	c.retarget(k, in, &o, data)
	c.emit(k, o, data, in)
	if in.State.Paused {
		t.Status = "paused"
		c.emit(k, journal.Observation{Time: now, Event: "docker.pause", Inferred: true}, map[string]any{}, in)
	}
}

// retarget puts labels and settings into an observation when they are new.
func (c *Core) retarget(k *container, in *engine.Container, o *journal.Observation, data map[string]any) {
	if in == nil {
		return
	}
	target := c.target(in)
	b, err := json.Marshal(target)
	if err != nil || string(b) == k.told.Target {
		return
	}
	k.told.Target = string(b)
	if target.Instance != "" {
		k.told.Instance = target.Instance
	}
	o.Target = &target
	data["managed"], data["options"] = target.Managed, target.Options
}

func (c *Core) target(in *engine.Container) label.Target {
	t := label.Parse(*in)
	t.EngineID = c.engineID
	return t
}

// compare brings what was told to what inspect says. A difference must last
// [doubtTime] without an event, since its event may only be late.
func (c *Core) compare(now time.Time, k *container, in *engine.Container) {
	settling := k.settling
	k.settling = false
	if in == nil {
		if !k.exists {
			delete(c.containers, k.id)
			return
		}
		if c.certain(now, k) {
			c.gap(now)
			c.destroyed(now, k, now, true)
		}
		return
	}
	if !k.exists {
		if unnamed(in) {
			return
		}
		// Without a journal this is a first look; nothing was missed.
		if c.engineKnown() && !c.certain(now, k) {
			return
		}
		if c.restored || c.engineKnown() {
			c.gap(now)
		}
		c.appear(now, k, in)
		c.inspect(now, k, in)
		return
	}
	if k.told.Approx && near(k.told.StartedAt, in.State.StartedAt) {
		k.told.StartedAt, k.told.Approx = in.State.StartedAt, false
		settling = true
	}
	if !k.differs(in) {
		k.doubt = false
		if settling || c.stale(k, in) {
			c.inspect(now, k, in)
		}
		return
	}
	if !c.certain(now, k) {
		k.settling = settling
		return
	}
	c.gap(now)
	c.infer(now, k, in)
	c.inspect(now, k, in)
}

// engineKnown reports whether a list has been worked off before: from then on
// a container that appears must have had a create event.
func (c *Core) engineKnown() bool { return !c.lastSeen.IsZero() && !c.restored }

func near(a, b string) bool {
	s, err1 := time.Parse(time.RFC3339Nano, a)
	u, err2 := time.Parse(time.RFC3339Nano, b)
	return err1 == nil && err2 == nil && s.Sub(u).Abs() < 5*time.Second
}

// certain reports whether a difference has been seen before, long enough ago and
// without an event since; else it has the question asked again.
func (c *Core) certain(now time.Time, k *container) bool {
	if k.doubt && k.doubtSeq == k.seq && k.doubtAt.IsZero() {
		k.doubt = false
		return true
	}
	if !k.doubt || k.doubtSeq != k.seq {
		k.doubt, k.doubtSeq, k.doubtAt = true, k.seq, now.Add(doubtTime)
		c.pending[k.id] = struct{}{}
	}
	return false
}

// differs reports whether an event must have been missed.
func (k *container) differs(in *engine.Container) bool {
	t, s := &k.told, &in.State
	return t.live() != s.Live() ||
		s.Live() && (t.Status == "paused") != s.Paused ||
		s.StartedAt != "" && s.StartedAt != t.StartedAt ||
		(s.Health == "healthy" || s.Health == "unhealthy") && s.Live() && s.Health != t.Health ||
		in.Name != t.Name
}

// stale reports whether only docker.inspect can tell what has changed.
func (c *Core) stale(k *container, in *engine.Container) bool {
	t, s := &k.told, &in.State
	if !s.Live() && (t.Status != s.Status || t.ExitCode != s.ExitCode || t.FinishedAt != s.FinishedAt || t.OOMKilled != s.OOMKilled) {
		return true
	}
	b, err := json.Marshal(c.target(in))
	return err == nil && string(b) != t.Target
}

// infer tells the events that must have been missed.
func (c *Core) infer(now time.Time, k *container, in *engine.Container) {
	t, s := &k.told, &in.State
	if in.Name != t.Name {
		old := t.Name
		t.Name = in.Name
		c.emit(k, journal.Observation{Time: now, Event: "docker.rename", Inferred: true}, map[string]any{"oldName": old}, in)
	}
	sameRun := s.StartedAt == t.StartedAt
	switch {
	case t.live() && !sameRun:
		c.emitDie(now, k, nil, nil, true, now)
		fallthrough
	case !t.live() && s.Live(), !t.live() && !sameRun && s.StartedAt != "":
		t.Target = "" // as for a start that was seen
		c.inferStart(now, k, in)
		if !s.Live() {
			c.emitDie(now, k, in, nil, true, finish(now, s))
		}
	case t.live() && !s.Live():
		c.emitDie(now, k, in, nil, true, finish(now, s))
	case t.Status == "running" && s.Paused:
		t.Status = "paused"
		c.emit(k, journal.Observation{Time: now, Event: "docker.pause", Inferred: true}, map[string]any{}, in)
	case t.Status == "paused" && s.Live() && !s.Paused:
		t.Status = "running"
		c.emit(k, journal.Observation{Time: now, Event: "docker.unpause", Inferred: true}, map[string]any{}, in)
	}
	if s.Live() && (s.Health == "healthy" || s.Health == "unhealthy") && s.Health != t.Health {
		t.Health = s.Health
		c.emit(k, journal.Observation{Time: now, Event: "docker.health_status", Inferred: true}, map[string]any{"health": s.Health}, in)
	}
}

func finish(now time.Time, s *engine.State) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, s.FinishedAt); err == nil {
		return at
	}
	return now
}

// inspect tells what inspect says.
func (c *Core) inspect(now time.Time, k *container, in *engine.Container) {
	t, s := &k.told, &in.State
	t.Status, t.StartedAt, t.FinishedAt, t.ExitCode, t.OOMKilled, t.Approx = s.Status, s.StartedAt, s.FinishedAt, s.ExitCode, s.OOMKilled, false
	if s.Health != "" {
		t.Health = s.Health
	}
	o := journal.Observation{Time: now, Event: "docker.inspect"}
	data := map[string]any{
		"status": s.Status, "running": s.Running, "paused": s.Paused, "restarting": s.Restarting, "oomKilled": s.OOMKilled,
		"exitCode": s.ExitCode, "startedAt": s.StartedAt, "finishedAt": s.FinishedAt, "health": s.Health, "error": s.Error,
	}
	c.retarget(k, in, &o, data)
	c.emit(k, o, data, in)
}

// gap tells, once for each gap, that observations were missed.
func (c *Core) gap(now time.Time) {
	if c.gapTold {
		return
	}
	reason, from := c.gapReason, c.gapFrom
	if reason == "" {
		reason, from = "the engine lost events", c.lastSeen
	}
	if from.IsZero() {
		from = now
	}
	c.gapTold, c.gapReason = true, ""
	data, err := json.Marshal(map[string]any{"from": stamp(from), "to": stamp(now), "reason": reason})
	if err != nil {
		return
	}
	c.out = append(c.out, Out{Observation: journal.Observation{Time: now, Event: journal.EventGap, Data: data}})
}

// destroyed tells the end of a container and forgets it.
func (c *Core) destroyed(now time.Time, k *container, at time.Time, inferred bool) {
	o := journal.Observation{Time: at, Event: "docker.destroy", Inferred: inferred}
	o.CommandID, _ = k.newest(now, func(own Command) bool { return own.Verb == "remove" })
	k.exists = false
	c.emit(k, o, map[string]any{}, nil)
	delete(c.containers, k.id)
	c.gone = append(c.gone, k.id)
	if len(c.gone) > rememberGone {
		c.gone = c.gone[1:]
	}
}
