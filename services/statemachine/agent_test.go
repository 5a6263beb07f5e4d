// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// agent plays a dockeragent with one container and an application in it that
// counts: it journals, keeps what is not acknowledged, and knows commands by
// their id.
type agent struct {
	t       *testing.T
	host    string
	journal string

	mu       sync.Mutex
	facts    []*agentv1.Observation
	first    uint64 // the oldest fact that is still kept
	acked    uint64
	fence    *agentv1.Fence
	commands map[string]bool // ids that were carried out
	acts     []string        // verbs in the order in which they acted
	events   []uint64        // sequences that the application acted on
	starts   []*agentv1.Command
	running  bool
	run      time.Time
	cursor   uint64
	mute     bool // events are taken and not answered
	clock    time.Time
	wake     chan struct{}
	welcomes int
	welcomed uint64 // what the last welcome acknowledged
	relists  int
	spec     *agentv1.TargetSpec
	id       string // of the container
	engine   string
}

func newAgent(t *testing.T, host string) *agent {
	t.Helper()
	return &agent{
		t: t, host: host, journal: "journal-" + host, first: 1, commands: map[string]bool{}, wake: make(chan struct{}, 1),
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), id: "c1", engine: "engine-" + host,
		spec: &agentv1.TargetSpec{Managed: true, Image: "counter", ContainerName: "web", Chart: "", Channel: "socket",
			OptionsJson: []byte(`{"channel":"socket","policy":"event","policyInterval":0,"restart":{"max":10,"first":0,"backoff":100,"ceiling":60000},"breaker":{"timeout":60000,"open":1000,"queue":1000},"startTimeout":30000,"stopTimeout":10000,"proving":5000,"eventDeaths":3,"recover":{"image":"","env":{}}}`)},
	}
}

// say journals an observation.
func (a *agent) say(event string, data map[string]any, change func(*agentv1.Observation)) {
	if data == nil {
		data = map[string]any{}
	}
	data["containerId"], data["name"], data["image"], data["time"], data["inferred"] = a.id, "web", "counter", a.now(), false
	if data["commandId"] == nil {
		data["commandId"] = ""
	}
	b, err := json.Marshal(data)
	if err != nil {
		a.t.Errorf("marshal %s: %v", event, err)
	}
	o := &agentv1.Observation{
		Sequence: uint64(len(a.facts) + 1), Time: timestamppb.New(a.clock), Instance: "web", ContainerId: a.id, Event: event, DataJson: b,
	}
	o.CommandId, _ = data["commandId"].(string)
	if change != nil {
		change(o)
	}
	a.facts = append(a.facts, o)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *agent) now() string {
	a.clock = a.clock.Add(time.Millisecond)
	return a.clock.Format(time.RFC3339Nano)
}

// do runs f with the agent locked.
func (a *agent) do(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// create makes the container.
func (a *agent) create() {
	a.do(func() {
		a.say("docker.create", nil, func(o *agentv1.Observation) {
			o.Target = proto.CloneOf(a.spec)
			o.Target.EngineId = a.engine
		})
	})
}

// start starts the process, by a command or by somebody else.
func (a *agent) start(commandID string, snapshot *agentv1.Snapshot) {
	a.clock = a.clock.Add(time.Second)
	a.run, a.running = a.clock, true
	a.cursor = snapshot.GetContainedSequence()
	a.say("docker.start", map[string]any{"startedAt": a.run.Format(time.RFC3339Nano), "commandId": commandID}, func(o *agentv1.Observation) { o.CommandId = commandID })
}

func (a *agent) ready(number uint64) {
	a.say("app.ready", map[string]any{"run": a.run.Format(time.RFC3339Nano), "sequence": a.cursor, "snapshot": number}, nil)
}

// die ends the process.
func (a *agent) die() {
	a.do(func() {
		a.running = false
		a.say("docker.die", map[string]any{
			"exitCode": 1, "startedAt": a.run.Format(time.RFC3339Nano), "finishedAt": a.now(), "oomKilled": false,
			"evidence": map[string]any{"command": "", "stopEvent": false, "signal": []any{}, "hostSignal": false, "oom": false, "exitCode": 1, "stopSignal": 15},
		}, nil)
	})
}

// carryOut acts on a command, once for each id.
func (a *agent) carryOut(c *agentv1.Command) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := c.GetFence(); f.GetEpoch() < a.fence.GetEpoch() {
		return
	}
	a.fence = c.GetFence()
	done := func() {
		a.say("done.command."+c.GetVerb(), map[string]any{"commandId": c.GetCommandId()}, nil)
	}
	if a.commands[c.GetCommandId()] {
		done()
		return
	}
	a.commands[c.GetCommandId()] = true
	a.acts = append(a.acts, c.GetVerb())
	switch c.GetVerb() {
	case "create":
		a.say("docker.create", map[string]any{"commandId": ""}, func(o *agentv1.Observation) { o.Target = a.spec })
		done()
	case "start":
		a.starts = append(a.starts, c)
		a.start(c.GetCommandId(), c.GetSnapshot())
		done()
		var arguments struct {
			Snapshot uint64 `json:"snapshot"`
		}
		_ = json.Unmarshal(c.GetArgumentsJson(), &arguments)
		a.ready(arguments.Snapshot)
	case "restore":
		done()
		var arguments struct {
			Snapshot uint64 `json:"snapshot"`
		}
		_ = json.Unmarshal(c.GetArgumentsJson(), &arguments)
		a.cursor = c.GetSnapshot().GetContainedSequence()
		a.ready(arguments.Snapshot)
	case "deliver":
		done()
		if a.mute || !a.running {
			return
		}
		n := c.GetDelivery().GetSequence()
		if n > a.cursor {
			a.cursor = n
			a.events = append(a.events, n)
			body := fmt.Appendf(nil, `{"cursor":%d}`, n)
			sum := sha256.Sum256(body)
			a.say("app.snapshot", map[string]any{"run": a.run.Format(time.RFC3339Nano), "sequence": n, "size": len(body)}, func(o *agentv1.Observation) {
				o.Snapshot = &agentv1.Snapshot{Sha256: hex.EncodeToString(sum[:]), SizeBytes: uint64(len(body)), Inline: body, ContainedSequence: n, RunTime: timestamppb.New(a.run)}
			})
		}
		a.say("app.answer", map[string]any{"run": a.run.Format(time.RFC3339Nano), "sequence": n}, nil)
	case "stop":
		done()
		a.running = false
		a.say("docker.die", map[string]any{"exitCode": 0, "startedAt": a.run.Format(time.RFC3339Nano), "commandId": c.GetCommandId(),
			"evidence": map[string]any{"command": "stop", "stopEvent": true, "signal": []any{15}, "exitCode": 0, "stopSignal": 15}}, nil)
	case "remove":
		done()
		a.say("docker.destroy", map[string]any{"commandId": c.GetCommandId()}, nil)
	default:
		done()
	}
}

// connect serves conn until ctx ends, connecting again when the stream breaks.
func (a *agent) connect(ctx context.Context, conn grpc.ClientConnInterface) {
	for ctx.Err() == nil {
		a.stream(ctx, conn)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (a *agent) stream(ctx context.Context, conn grpc.ClientConnInterface) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return
	}
	a.mu.Lock()
	hello := &agentv1.Hello{HostId: a.host, DisplayName: a.host, JournalId: a.journal, Fence: a.fence, LastSequence: uint64(len(a.facts)),
		Engine: &agentv1.Engine{EngineId: a.engine, Version: "20.10"}}
	if len(a.facts) > 0 {
		hello.FirstSequence = a.first
	}
	if a.id != "" {
		hello.Inventory = []*agentv1.Container{{ContainerId: a.id, Instance: "web"}}
	}
	a.mu.Unlock()
	if stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: hello}}) != nil {
		return
	}
	m, err := stream.Recv()
	if err != nil || m.GetWelcome() == nil {
		return
	}
	sent := m.GetWelcome().GetAcknowledgedSequence()
	a.do(func() {
		a.welcomes++
		a.welcomed, sent = sent, max(sent, a.first-1) // what is no longer kept cannot be sent
		a.fence = m.GetWelcome().GetFence()
		if m.GetWelcome().GetRelist() {
			a.relists++
			a.facts = append(a.facts, &agentv1.Observation{Sequence: uint64(len(a.facts) + 1), Time: timestamppb.New(a.clock), Event: "host.relisted"})
		}
	})
	go func() {
		defer cancel()
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if ack := m.GetAcknowledgement(); ack != nil {
				a.do(func() { a.acked, a.fence = max(a.acked, ack.GetSequence()), ack.GetFence() })
			}
			if c := m.GetCommand(); c != nil {
				a.carryOut(c)
			}
		}
	}()
	for {
		a.mu.Lock()
		fresh := a.facts[min(sent, uint64(len(a.facts))):]
		fresh = fresh[:min(len(fresh), 256)]
		a.mu.Unlock()
		if len(fresh) > 0 {
			if stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Batch{Batch: &agentv1.Batch{JournalId: a.journal, Observations: fresh}}}) != nil {
				return
			}
			sent += uint64(len(fresh))
			continue
		}
		select {
		case <-a.wake:
		case <-time.After(2 * time.Second):
			if stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Heartbeat{Heartbeat: &agentv1.Heartbeat{EngineReachable: true}}}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
