// SPDX-License-Identifier: AGPL-3.0-or-later

package session

// The agent of a [world], its container, and the application in it.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

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
	if !w.accept(fence) {
		return
	}
	if !w.acted[c.GetCommandId()] {
		w.acted[c.GetCommandId()] = true
		w.act(c)
	}
	w.say("done.command."+c.GetVerb(), map[string]any{"commandId": c.GetCommandId()}, nil)
}

// accept is how an agent takes a fence (law 5); w.mu is held.
func (w *world) accept(f Fence) bool {
	if f.Epoch < w.fence.GetEpoch() || f.Epoch == w.fence.GetEpoch() && f.Nonce != w.fence.GetNonce() {
		return false
	}
	w.fence = &agentv1.Fence{Epoch: f.Epoch, Nonce: f.Nonce, CommitSequence: f.Group}
	return true
}

func (w *world) act(c *agentv1.Command) {
	switch c.GetVerb() {
	case "start":
		if w.running && w.journal > 1 {
			return // sent again to an agent that does not know it: to the engine it is nothing new
		}
		if w.running {
			w.violation("start %s of what runs already", c.GetCommandId())
		}
		w.start(c.GetCommandId())
		w.restore(c)
	case "restore":
		if w.running {
			w.restore(c)
		}
	case "deliver":
		if !c.GetRunTime().AsTime().Equal(w.run) {
			return // of a run that is over
		}
		if after := c.GetDelivery().GetAfterSequence(); w.ready && after > w.cursor {
			w.violation("event %d is sent after %d to an application that has processed %d", c.GetDelivery().GetSequence(), after, w.cursor)
		}
		w.process(c.GetDelivery())
	}
}

// start starts the container: by a command, or with none by somebody else; w.mu is held.
func (w *world) start(command string) {
	w.starts++
	// Two runs never begin at the same moment, though virtual time stands.
	if next := w.run.Add(time.Millisecond); time.Now().Before(next) {
		w.run = next
	} else {
		w.run = time.Now()
	}
	w.running, w.ready = true, false
	w.say("docker.start", map[string]any{"startedAt": w.at(), "commandId": command}, nil)
}

// restart is somebody else who stops the container and starts it again.
func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return
	}
	w.deaths++
	w.memory = nil
	w.say("docker.die", map[string]any{"exitCode": 0, "startedAt": w.at(), "evidence": map[string]any{"stopEvent": true}}, nil)
	w.start("")
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
		if w.ready && w.journal == 1 {
			w.violation("restore %s of an application that has its state", c.GetCommandId())
		}
		w.memory, w.cursor = nil, c.GetSnapshot().GetContainedSequence()
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
	w.ready = true
	w.say("app.ready", map[string]any{"run": w.at(), "sequence": w.cursor, "snapshot": arguments.Snapshot}, nil)
}

// forget begins another journal, as an agent does that lost the one it had: what
// was not taken in is gone, and so is what it knew of commands. It tells what
// inspect says. w.mu is held.
func (w *world) forget() {
	w.journal++
	w.facts, w.fence, w.acted = nil, nil, map[string]bool{}
	w.say("docker.create", nil, func(o *agentv1.Observation) { o.Inferred, o.Target = true, worldSpec() })
	if w.running {
		w.say("docker.start", map[string]any{"startedAt": w.at(), "inferred": true}, func(o *agentv1.Observation) { o.Inferred = true })
	}
	w.inspect()
}

// retell tells everything anew for a server whose store is older. w.mu is held.
func (w *world) retell() {
	if w.running && w.ready {
		w.say("app.cursor", map[string]any{"run": w.at(), "sequence": w.cursor}, nil)
	}
	w.inspect()
	w.say("host.relisted", nil, func(o *agentv1.Observation) { o.Instance, o.ContainerId = "", "" })
}

// inspect tells what inspect says. w.mu is held.
func (w *world) inspect() {
	inspect := map[string]any{"status": "created", "running": false, "startedAt": "", "exitCode": 0}
	switch {
	case w.running:
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

// process is the application: it takes each event once, dumps its state, and
// dies where the schedule says so, with the event in flight or just answered.
func (w *world) process(d *agentv1.Delivery) {
	n := d.GetSequence()
	if w.sent = time.Now(); !w.running || w.mute {
		return
	}
	how, dies := w.fatal[n]
	delete(w.fatal, n)
	if dies && how == 0 {
		w.die()
		return
	}
	if n > w.cursor {
		w.memory, w.cursor = append(w.memory, processed{n, d.GetName()}), n
	}
	body, _ := json.Marshal(w.memory)
	sum := sha256.Sum256(body)
	w.say("app.snapshot", map[string]any{"run": w.at(), "sequence": w.cursor}, func(o *agentv1.Observation) {
		o.Snapshot = &agentv1.Snapshot{Sha256: hex.EncodeToString(sum[:]), SizeBytes: uint64(len(body)), Inline: body, ContainedSequence: w.cursor, RunTime: timestamppb.New(w.run)}
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

// worldSpec are the labels of the container.
func worldSpec() *agentv1.TargetSpec {
	return &agentv1.TargetSpec{Managed: true, Image: "counter", ContainerName: "web", Channel: "socket", OptionsJson: []byte(`{"channel":"socket","policy":"event","policyInterval":0,
		"restart":{"max":1000,"first":0,"backoff":100,"ceiling":60000},"breaker":{"timeout":600000,"open":1000,"queue":1000},
		"startTimeout":600000,"stopTimeout":10000,"proving":5000,"eventDeaths":100,"recover":{"image":"","env":{}}}`)}
}
