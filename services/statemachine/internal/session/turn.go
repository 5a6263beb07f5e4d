// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/version"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// maxFollowUps and maxTurnBytes bound how many macrosteps one input may cause in its
// instance, and what their log entries may take: all of it is written in one message.
const (
	maxFollowUps = 100
	maxTurnBytes = 8 << 20
)

// maxCommands is how many commands of a chart may be under way for one instance.
const maxCommands = 64

// turn is one input being stepped in one instance: the macrostep that it is,
// and those that follow from it at once. All of it is one commit.
type turn struct {
	shard       *Shard
	batch       *Batch
	group       *group
	instance    *Instance
	bodies      *bodies
	now         time.Time
	seed        func() uint64
	traceparent string
	log         *slog.Logger
	todo        []stimulus
	// first is the log sequence of the first macrostep, logged the size of the
	// entries so far.
	first  uint64
	logged int
}

// stimulus is one macrostep to take.
type stimulus struct {
	origin    string // as in LogEntry.origin
	event     string
	data      any // dataJSON decoded, or data of our own
	dataJSON  []byte
	requestID string
	inferred  bool
	sendID    string
	from      string // sending instance
	summary   string // instead of one made from the step
	// fire is the number of a due delayed send; then there is no event.
	fire uint64
	// done is a macrostep that was taken already, with seed: that of the start.
	done *scxml.Macrostep
	seed uint64
}

func (t *turn) step() *step { return t.group.step(t.instance) }

func (t *turn) later(s stimulus) { t.todo = append(t.todo, s) }

// run takes the macrostep of s and of all that follows from it.
func (t *turn) run(s stimulus) {
	t.later(s)
	for n := 0; len(t.todo) > 0; n++ {
		next := t.todo[0]
		t.todo = t.todo[1:]
		if n == maxFollowUps || t.logged >= maxTurnBytes {
			t.remark(fleetv1.Severity_SEVERITY_ERROR, "runtime.limit",
				fmt.Sprintf("More than %d events followed from one, or more than %d bytes of log entries; the rest was dropped.", maxFollowUps, maxTurnBytes))
			t.todo = nil
			break
		}
		t.macrostep(next)
		if len(t.todo) == 0 {
			t.advance()
		}
	}
	t.shard.schedule(t.instance)
}

// macrostep delivers s to the session, does what it asks for, and logs it.
func (t *turn) macrostep(s stimulus) {
	i := t.instance
	seed := s.seed
	if s.done == nil {
		seed = t.seed()
	}
	in := scxml.Input{Now: t.now, Seed: seed}
	if s.data == nil {
		s.data = decode(s.dataJSON)
	} else if s.dataJSON == nil {
		s.dataJSON = encode(s.data)
	}
	before, admitted := i.severity(), i.book.Stalled && i.admission() == fleetv1.Admission_ADMISSION_FORWARD
	var out scxml.Macrostep
	var fault, err error
	switch {
	case s.done != nil:
		out = *s.done
	case s.fire != 0:
		s.event = pendingEvent(i.ip, s.fire)
		out, fault, err = i.step(taken{fire: s.fire, in: in})
	default:
		ev := scxml.Event{Name: s.event, Type: scxml.External, Data: s.data, SendID: s.sendID}
		if s.from != "" {
			ev.Origin, ev.OriginType = "#"+s.from, scxml.SCXMLProcessor
		}
		out, fault, err = i.step(taken{event: ev, in: in})
	}
	if fault != nil {
		t.faulted(s, fault)
		return
	}
	if errors.Is(err, scxml.ErrFinished) {
		t.remark(fleetv1.Severity_SEVERITY_INFO, s.event, "The chart has ended; nothing takes this any more.")
		return
	}
	i.events = nil
	t.batch.steps++
	if s.passing() && !slices.ContainsFunc(out.Microsteps, acted) {
		t.step()
		return
	}
	entry := t.entry(s, seed)
	t.perform(entry, out.Effects)
	if out.Done != nil {
		i.view.Finished = true
		i.book.Ended = t.now
	}
	if i.book.Stalled && !admitted && i.admission() == fleetv1.Admission_ADMISSION_FORWARD {
		i.book.Stalled = false // the chart gives the target another trial
	}
	t.describe(entry, s, out, before)
	t.finish(entry)
}

// passing says whether s is left out of the log where the chart does nothing
// about it: the engine's word of a look into the container, or the end of our own.
// There may be several a second, for a health check or a file that is a snapshot,
// and they would push out of the log what went wrong.
func (s stimulus) passing() bool {
	return s.origin == "observation" && (s.event == "docker.archive-path" || s.event == "done.command.take_snapshot" ||
		strings.HasPrefix(s.event, "docker.exec_"))
}

// acted says whether a microstep did anything but look for a transition.
func acted(m scxml.Microstep) bool {
	return len(m.Transitions)+len(m.Entered)+len(m.Exited)+len(m.Log)+len(m.Faults) > 0
}

// faulted logs an input that the session could not take: it is dropped, and the
// instance goes on as it was before (law 10).
func (t *turn) faulted(s stimulus, fault error) {
	i := t.instance
	t.log.Error("chart could not take an event", "instance", i.id, "chart", i.chart.String(), "event", s.event, "err", fault, "stack", string(i.trouble))
	i.trouble = nil
	t.batch.steps++
	e := t.entry(s, 0)
	e.Severity, e.Summary = fleetv1.Severity_SEVERITY_ERROR, fmt.Sprintf("The chart could not take %s: %v. The instance is as it was before.", s.event, fault)
	if until := i.suspended(); !until.IsZero() && !errors.As(fault, new(*suspendedError)) {
		e.Summary += fmt.Sprintf(" It was the %dth such step: the instance takes nothing until %s.", maxStrikes, until.Format(time.RFC3339))
	}
	t.finish(e)
}

func pendingEvent(ip running, seq uint64) string {
	for _, d := range ip.Pending() {
		if d.Seq == seq {
			return d.Send.Event.Name
		}
	}
	return ""
}

// effect turns an effect of the kernel into rows of this commit. What cannot
// be done comes back to the chart as an event.
func (t *turn) effect(e scxml.Effect) *fleetv1.Effect {
	shown := &fleetv1.Effect{Kind: e.Kind()}
	switch e := e.(type) {
	case scxml.Send:
		t.send(e, shown)
	case scxml.Cancel:
		shown.Name = e.SendID
	case scxml.Log:
		shown.Name, shown.DataJson = e.Label, string(encode(e.Value))
	case scxml.Invoke:
		shown.Name = e.ID
		t.failed(e.ID, "", "invoke of type "+e.Type+" is not available")
	case scxml.Uninvoke:
		shown.Name = e.ID
	case scxml.Forward:
		shown.Name = e.InvokeID
	case scxml.Done:
		shown.Name, shown.DataJson = e.State, string(encode(e.Data))
	}
	return shown
}

// send resolves a <send>.
func (t *turn) send(e scxml.Send, shown *fleetv1.Effect) {
	shown.Name = e.Event.Name
	shown.DataJson = string(encode(e.Event.Data))
	arguments, _ := e.Event.Data.(map[string]any)
	var err error
	switch e.Type {
	case TargetType:
		shown.Kind = "command"
		var c *agentv1.Command
		if c, err = t.order(e.Event.Name, arguments); c != nil {
			shown.CommandId = c.GetCommandId()
		}
	case InstanceType:
		shown.Kind = "event"
		err = t.tell(e.Event.Name, arguments)
	case scxml.SCXMLProcessor:
		shown.CommandId, err = t.relay(e)
	default:
		err = fmt.Errorf("no way to send by %q", e.Type)
	}
	if err != nil {
		t.failed("", e.SendID, err.Error())
	}
}

// failed tells the chart that something could not be communicated
// (SCXML 6.2.5).
func (t *turn) failed(invokeID, sendID, why string) {
	t.later(stimulus{origin: "runtime", event: "error.communication", sendID: sendID,
		data: map[string]any{"message": why, "invokeid": invokeID}})
}

// tell takes in what a chart says about its own instance.
func (t *turn) tell(what string, arguments map[string]any) error {
	switch what {
	case "snapshot.verdict":
		verdict, _ := arguments["verdict"].(string)
		return t.judge(number(arguments["snapshot"]), verdict)
	case "event.dead_letter":
		t.deadLetter(number(arguments["sequence"]))
	case "queue.rewind":
		// Never forward: what comes after the application's cursor is not skipped.
		t.rewind(min(number(arguments["sequence"]), t.instance.book.Delivered))
	default:
		return fmt.Errorf("nothing called %q can be told to an instance", what)
	}
	return nil
}

// order makes the command that a chart asks for.
func (t *turn) order(verb string, arguments map[string]any) (*agentv1.Command, error) {
	i := t.instance
	switch {
	case !i.hosted():
		return nil, errors.New("a free instance has no target")
	case !i.view.GetManaged():
		return nil, errors.New("the target is observed only and never acted on")
	case verb == "create" || verb == "deliver":
		return nil, fmt.Errorf("%s is not for a chart to command", verb)
	case len(i.outbox) >= maxCommands:
		return nil, fmt.Errorf("%d commands are under way already", maxCommands)
	case len(encode(anyOf(arguments))) > MaxEventBytes:
		return nil, fmt.Errorf("the arguments of %s have more than %d bytes", verb, MaxEventBytes)
	}
	var snapshot *fleetv1.ApplicationSnapshot
	if n := number(arguments["snapshot"]); n != 0 && (verb == "start" || verb == "restore") {
		if snapshot = i.snapshot(n); snapshot == nil || snapshot.GetVerdict() == fleetv1.Verdict_VERDICT_QUARANTINED {
			t.later(stimulus{origin: "runtime", event: "error.docker." + verb, data: map[string]any{
				"commandId": "", "status": float64(404), "message": fmt.Sprintf("snapshot %d is not kept", n),
			}})
			return nil, nil
		}
	}
	return t.command(verb, arguments, func(c *agentv1.Command) {
		if snapshot != nil {
			c.Snapshot = wire(snapshot)
		}
		if verb == "restore" || verb == "take_snapshot" {
			c.RunTime = i.view.GetTarget().GetStartedTime()
		}
	}), nil
}

// command makes an outbox row and what dispatches it.
func (t *turn) command(verb string, arguments map[string]any, fill func(*agentv1.Command)) *agentv1.Command {
	i := t.instance
	c := &agentv1.Command{
		CommandId: t.commandID(), Instance: i.view.GetName(), ContainerId: i.container(),
		Verb: verb, ArgumentsJson: encode(anyOf(arguments)), Traceparent: t.traceparent,
	}
	if verb == "deliver" || verb == "take_snapshot" {
		c.RunTime = i.view.GetTarget().GetStartedTime()
	}
	if fill != nil {
		fill(c)
	}
	row := &snapshotv1.OutboxRow{Command: c, HostId: i.view.GetHostId()}
	i.outbox = append(i.outbox, row)
	t.step().out.OutboxPut = append(t.step().out.OutboxPut, row)
	if t.shard.commandable(row.GetHostId()) {
		t.group.withhold(i, t.now)
		t.group.then(&Command{Host: row.GetHostId(), Command: t.shard.outgoing(c, t.bodies)})
	}
	return c
}

func anyOf(m map[string]any) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// commandID is (instance, nonce of the commit that creates it, number). A step
// that is dropped never used its number under this nonce: the shard gets
// another one before it goes on.
func (t *turn) commandID() string {
	t.shard.numbered++
	return t.instance.id + "/" + t.shard.fence.Nonce + "/" + strconv.FormatUint(t.shard.numbered, 10)
}

// settle takes a row out of the outbox; false when it was not there.
func (t *turn) settle(commandID string) bool {
	i := t.instance
	for k, row := range i.outbox {
		if row.GetCommand().GetCommandId() != commandID {
			continue
		}
		kept := make([]*snapshotv1.OutboxRow, 0, len(i.outbox)-1)
		i.outbox = append(append(kept, i.outbox[:k]...), i.outbox[k+1:]...)
		t.step().forget(commandID)
		delete(t.shard.relays, commandID)
		return true
	}
	return false
}

// relay makes the outbox row of an event for another instance.
func (t *turn) relay(e scxml.Send) (string, error) {
	to := strings.TrimPrefix(strings.TrimPrefix(e.Target, "#"), "_scxml_")
	if to == "" || !strings.HasPrefix(e.Target, "#") || strings.HasPrefix(to, "_") {
		return "", fmt.Errorf("target %q is not an instance (want #NAME@HOST or #ID)", e.Target)
	}
	if err := checkEventName(e.Event.Name); err != nil {
		return "", err
	}
	i, data := t.instance, encode(e.Event.Data)
	if err := i.relayRoom(e.Event.Name, data); err != nil {
		return "", err
	}
	if i.book.Incarnation == "" {
		i.book.Incarnation = strconv.FormatUint(t.seed(), 36)
	}
	if i.book.Sent == nil {
		i.book.Sent = map[uint32]uint64{}
	}
	shard := ShardOfInstance(to)
	i.book.Sent[shard]++
	r := &Relay{
		From: i.id, To: to, Incarnation: i.book.Incarnation, Number: i.book.Sent[shard],
		CommandID: t.commandID(), Event: e.Event.Name, SendID: e.SendID, DataJSON: data,
	}
	row := r.row()
	i.outbox = append(i.outbox, row)
	t.step().out.OutboxPut = append(t.step().out.OutboxPut, row)
	t.shard.relays[r.CommandID] = &sent{relay: r, at: t.now}
	t.group.then(&Post{Input: r})
	return r.CommandID, nil
}

// number reads a whole number of a chart's params.
func number(v any) uint64 {
	switch v := v.(type) {
	case float64:
		if v > 0 {
			return uint64(v)
		}
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

// entry begins the log entry of a macrostep. It has its place in the log from
// now on; finish fills in the rest.
func (t *turn) entry(s stimulus, seed uint64) *fleetv1.LogEntry {
	v := t.instance.view
	v.LogSequence++
	if t.first == 0 {
		t.first = v.GetLogSequence()
	}
	e := &fleetv1.LogEntry{
		InstanceId: t.instance.id, Sequence: v.GetLogSequence(), Time: timestamppb.New(t.now),
		Origin: s.origin, Event: s.event, DataJson: string(s.dataJSON),
		RequestId: s.requestID, Seed: seed, KernelVersion: version.Kernel,
		DelayedSend: s.fire, SendId: s.sendID, SenderInstanceId: s.from,
		Inferred: s.inferred, Traceparent: t.traceparent,
	}
	t.step().log(e)
	return e
}

// finish ends a log entry.
func (t *turn) finish(e *fleetv1.LogEntry) {
	v := t.instance.view
	v.UpdateTime = timestamppb.New(t.now)
	e.Configuration = t.instance.ip.Configuration()
	if e.GetSequence()%sessionEvery == 1 {
		if snapshot, err := t.instance.ip.AppendSnapshot(nil); err == nil {
			e.SessionSnapshot = snapshot
		}
	}
	size := proto.Size(e)
	t.logged += size
	t.batch.bytes += size
}

// remark logs something that the runtime did, without a macrostep.
func (t *turn) remark(severity fleetv1.Severity, event, sentence string) {
	e := t.entry(stimulus{origin: "runtime", event: event}, 0)
	e.Severity, e.Summary = severity, sentence
	t.finish(e)
}
