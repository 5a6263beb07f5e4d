// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

// flush tells the held events in their order, with inspect's facts for the last
// start and die among them. answered is false when inspect did not answer in time.
func (c *Core) flush(now time.Time, k *container, in *engine.Container, answered bool) {
	held := k.held
	k.held = nil
	// A creation under a name for the moment is told when the name has come.
	created := slices.ContainsFunc(held, func(e engine.Event) bool {
		return e.Action == "create" && !passing(e.Name, e.Attributes)
	})
	if !k.exists && !created {
		if in == nil {
			if answered {
				delete(c.containers, k.id) // Never told of, and gone.
			}
			return
		}
		if unnamed(in) {
			return
		}
		c.appear(now, k, in)
	}
	lastStart, lastDie := -1, -1
	for i, ev := range held {
		switch ev.Action {
		case "start":
			lastStart = i
		case "die":
			lastDie = i
		}
	}
	for i, ev := range held {
		var facts *engine.Container
		if in != nil && (i == lastStart || ev.Action == "create" || i == lastDie && i > lastStart && !in.State.Live()) {
			facts = in
		}
		c.play(now, k, ev, facts, held[i+1:])
	}
}

// passingName is what compose names a container that takes the place of another: the
// short id of that one, and the name that it gets when that one is gone.
var passingName = regexp.MustCompile("^[0-9a-f]{12}_.")

// passing reports whether a name will not last, and the instance follows from it.
func passing(name string, labels map[string]string) bool {
	return labels[label.Instance] == "" && passingName.MatchString(name)
}

// unnamed reports whether a container has never been started, and has no name yet by
// which its instance could be told. Nothing is told of it until it has, or is started:
// the one whose place it takes runs meanwhile.
func unnamed(in *engine.Container) bool {
	return in.State.StartedAt == "" && !in.State.Live() && passing(in.Name, in.Labels)
}

// play tells one event, unless it is a repetition or contradicts what was told:
// then the settling inspect decides. facts is inspect's answer when it is about
// this event; later are the events held behind it.
func (c *Core) play(now time.Time, k *container, ev engine.Event, facts *engine.Container, later []engine.Event) {
	word, text := split(ev.Action)
	t := &k.told
	o := journal.Observation{Time: ev.Time, Event: "docker." + word}
	data := map[string]any{}
	if !k.exists && word != "create" || k.old(ev) {
		return // Already destroyed, never there, or told before this agent started.
	}
	if ev.Time.After(t.LastEvent) {
		t.LastEvent = ev.Time
	}
	switch word {
	case "create":
		if k.exists {
			return
		}
		k.exists = true
		*t = Told{Instance: ev.Name, Name: ev.Name, Image: ev.Image, Status: "created", LastEvent: ev.Time}
		if v := ev.Attributes[label.Instance]; v != "" {
			t.Instance = v
		}
		o.CommandID = ev.Attributes[label.Command]
		c.retarget(k, facts, &o, data)
	case "start":
		at, approx := stamp(ev.Time), true
		if facts != nil && facts.State.StartedAt != "" {
			at, approx = facts.State.StartedAt, false
		}
		if t.live() {
			if at == t.StartedAt || approx {
				return // A repetition, or settling will tell.
			}
			c.gap(now)
			c.emitDie(now, k, nil, nil, true, now)
		}
		if at == t.StartedAt {
			return // A repetition of the run that was told already.
		}
		t.Status, t.StartedAt, t.Approx, t.Stamp, t.ExitCode, t.OOMKilled = "running", at, approx, "", 0, false
		if approx {
			t.Stamp = at
		}
		k.evidence = evidence{}
		data["startedAt"] = at
		o.CommandID = k.startCause(now)
		if facts != nil {
			// Always told: another container may have had its place until now.
			t.Target = ""
			c.retarget(k, facts, &o, data)
		}
	case "die":
		if !t.live() {
			return
		}
		for _, e := range later {
			if e.Action == "start" {
				break
			}
			k.stopSeen = k.stopSeen || e.Action == "stop"
		}
		c.emitDie(now, k, facts, &ev, false, ev.Time)
		return
	case "destroy":
		c.destroyed(now, k, ev.Time, false)
		return
	case "pause", "unpause":
		want, after := "running", "paused"
		if word == "unpause" {
			want, after = after, want
		}
		if t.Status != want {
			return
		}
		t.Status = after
		o.CommandID, _ = k.cause(now, word, "stop", "kill")
	case "rename":
		if t.Name == ev.Name {
			return
		}
		data["oldName"], t.Name = strings.TrimPrefix(ev.Attributes["oldName"], "/"), ev.Name
	case "kill":
		n, _ := strconv.Atoi(ev.Attributes["signal"])
		data["signal"] = n
		if t.live() {
			k.signals = append(k.signals, n)
		}
		o.CommandID, _ = k.cause(now, "kill", "stop", "remove")
	case "stop", "oom", "restart", "update":
		// A stop event without a signal before it is of a run before: the engine tells it
		// when that has ended, and may have started the next one by then.
		k.stopSeen = k.stopSeen || word == "stop" && t.live() && len(k.signals) > 0
		k.oomSeen = k.oomSeen || word == "oom"
		if word == "stop" {
			o.CommandID, _ = k.cause(now, "stop")
		}
	case "health_status":
		t.Health, data["health"] = text, text
	case "exec_die":
		n, _ := strconv.Atoi(ev.Attributes["exitCode"])
		data["exitCode"] = n
	}
	c.emit(k, o, data, facts)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// newest returns the id and verb of our newest command that fits and is under way or
// ended a moment ago; "" when there is none.
func (k *container) newest(now time.Time, fits func(Command) bool) (id, verb string) {
	for _, o := range slices.Backward(k.commands) {
		if (o.ended.IsZero() || now.Sub(o.ended) <= attribution) && fits(o.Command) {
			return o.ID, o.Verb
		}
	}
	return "", ""
}

// cause is the newest command of one of the verbs that was for the run that was told
// last. One for a run before says nothing of it, whether it ended that or came too late.
func (k *container) cause(now time.Time, verbs ...string) (id, verb string) {
	return k.newest(now, func(own Command) bool { return slices.Contains(verbs, own.Verb) && k.told.is(own.Run) })
}

// startCause is the command that a start is put down to. A command starts once: a
// start that follows soon is somebody else's, to whom nobody gave the state back.
func (k *container) startCause(now time.Time) string {
	id, _ := k.newest(now, func(own Command) bool { return own.Verb == "start" })
	if id == k.told.StartedBy {
		return ""
	}
	k.told.StartedBy = id
	return id
}

// emit tells one observation about a container.
func (c *Core) emit(k *container, o journal.Observation, data map[string]any, in *engine.Container) {
	o.Instance, o.ContainerID = k.told.Instance, k.id
	data["containerId"], data["name"], data["image"] = k.id, k.told.Name, k.told.Image
	data["time"], data["inferred"], data["commandId"] = stamp(o.Time), o.Inferred, o.CommandID
	b, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("observe: data of %s: %v", o.Event, err)) // maps of plain values only
	}
	o.Data = b
	out := Out{Observation: o, Container: in}
	if k.exists {
		t := k.told
		out.Told = &t
	}
	c.out = append(c.out, out)
}
