// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"cmp"
	"strings"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// MaxEventBytes bounds the data of an event from outside.
const MaxEventBytes = 256 << 10

// reserved are the prefixes of events that come from chartroom itself.
var reserved = []string{"docker.", "app.", "done.", "error.", "breaker.", "device.", "host."}

// submit takes an intent or an application event.
func (w *Worker) submit(s *Shard, b *Batch, r *Request, now time.Time) {
	g := b.group(s)
	if s.repeated(g, r.ID, r.LookedUp, r.Digest, r.Reply) {
		return
	}
	i, ok := s.instances[r.Instance]
	if why, broken := s.broken[r.Instance]; broken {
		g.then(&Answer{Reply: r.Reply, Err: Unavailable("%s cannot be loaded: %v", r.Instance, why)})
		return
	}
	if !ok {
		g.then(&Answer{Reply: r.Reply, Err: unknownInstance(r.Instance)})
		return
	}
	traceparent, end := traced(r.Traceparent, i.id, r.Event)
	defer end()
	t := w.turn(s, b, i, now, traceparent)
	response, err := t.accept(stimulus{origin: "event", event: r.Event, dataJSON: r.DataJSON, requestID: r.ID})
	if err != nil {
		g.then(&Answer{Reply: r.Reply, Err: err})
		return
	}
	t.respond(r.ID, r.Digest, r.Reply, response)
}

// accept gives an event to the instance, or says why not.
func (t *turn) accept(s stimulus) (*fleetv1.SendEventResponse, error) {
	i := t.instance
	if err := checkEventName(s.event); err != nil {
		return nil, err
	}
	if len(s.dataJSON) > MaxEventBytes {
		return nil, refuse(fleetv1.Reason_REASON_TOO_LARGE, "data of %s: %d bytes, at most %d", s.event, len(s.dataJSON), MaxEventBytes)
	}
	for _, prefix := range reserved {
		if (s.from == "" || i.hosted()) && strings.HasPrefix(s.event, prefix) {
			return nil, Invalid("event %s: names that begin with %q come from chartroom itself", s.event, prefix)
		}
	}
	if strings.HasPrefix(s.event, "system.") {
		return t.intent(s)
	}
	return t.admit(s)
}

// intent takes a system.* event when the state has a transition for it.
func (t *turn) intent(s stimulus) (*fleetv1.SendEventResponse, error) {
	i := t.instance
	out := &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, RequestId: s.requestID}
	if s.event == "system.remove" && i.forgettable() {
		t.forget()
		return out, nil
	}
	if err := t.refusal(s.event); err != nil {
		return nil, err
	}
	if !i.takes(s.event) {
		return nil, t.because(fleetv1.Reason_REASON_STATE_REFUSES, "%s does not take %s now%s", i.id, s.event, i.underWay())
	}
	if s.event == "system.restore" {
		data, _ := decode(s.dataJSON).(map[string]any)
		if n := number(data["snapshot"]); n != 0 && i.snapshot(n) == nil {
			return nil, refuse(fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN, "%s keeps no snapshot %d", i.id, n)
		}
	}
	s.origin = "intent"
	t.run(s)
	out.LogSequence, out.Configuration = t.first, i.ip.Configuration()
	return out, nil
}

// refusal is why nothing at all is taken, if so.
func (t *turn) refusal(event string) error {
	i := t.instance
	switch {
	case i.hosted() && !i.view.GetManaged():
		return refuse(fleetv1.Reason_REASON_UNMANAGED, "%s is observed only and takes no %s; %s", i.id, event, i.manage())
	case i.ip.Finished() != nil:
		return t.because(fleetv1.Reason_REASON_FINISHED, "the chart of %s has ended", i.id)
	}
	if until := i.suspended(); !until.IsZero() {
		r := t.because(fleetv1.Reason_REASON_NOT_ADMITTED, "%s is suspended: %v", i.id, &suspendedError{until})
		r.RetryAfter = time.Until(until)
		return r
	}
	return nil
}

// manage says how an instance that is only observed comes to be managed.
func (i *Instance) manage() string {
	for _, f := range i.view.GetFindings() {
		if f.GetCode() == "restart-policy" || f.GetCode() == "outside" {
			return f.GetMessage() + ": " + f.GetFix()
		}
	}
	return "label it chartroom.enable=true to manage it"
}

// because is a refusal by the state.
func (t *turn) because(reason fleetv1.Reason, format string, args ...any) *Refusal {
	r := refuse(reason, format, args...)
	r.Configuration, r.Allowed = t.instance.ip.Configuration(), t.instance.allowed()
	return r
}

// admit takes an application event as the state says.
func (t *turn) admit(s stimulus) (*fleetv1.SendEventResponse, error) {
	i := t.instance
	if err := t.refusal(s.event); err != nil {
		return nil, err
	}
	if i.hosted() && i.container() != "" && !i.takesEvents() {
		return nil, t.because(fleetv1.Reason_REASON_NOT_ADMITTED, "%s takes no events: its channel is %q (docs/application-contract.md tells how to give it one)", i.id, cmp.Or(i.view.GetTarget().GetChannel(), "none"))
	}
	admission := i.admission()
	if admission == fleetv1.Admission_ADMISSION_FAIL {
		r := t.because(fleetv1.Reason_REASON_NOT_ADMITTED, "%s takes no events: %s", i.id, t.notAdmitted())
		switch {
		case i.hosted() && i.container() == "":
			r.Message = i.id + " takes no events: it has no container"
		case !i.takes("system.start"): // else it waits for whoever starts it
			r.RetryAfter = time.Second
		}
		return nil, r
	}
	out := &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_QUEUED, RequestId: s.requestID}
	if !i.hosted() && admission == fleetv1.Admission_ADMISSION_FORWARD && len(i.queue) == 0 {
		t.run(s)
		out.Outcome, out.LogSequence = fleetv1.Outcome_OUTCOME_ACCEPTED, t.first
		out.Configuration = i.ip.Configuration()
		return out, nil
	}
	if err := t.room(s); err != nil {
		return nil, err
	}
	e := t.enqueue(s.event, s.dataJSON, s.requestID)
	t.settleHead()
	out.Sequence = e.GetSequence()
	switch {
	case i.book.Flight == e.GetSequence():
		out.Outcome = fleetv1.Outcome_OUTCOME_FORWARDED
	case i.book.Delivered < e.GetSequence():
		out.Position = uint32(max(i.waiting()-1, 0))
	default:
		out.Outcome = fleetv1.Outcome_OUTCOME_ACCEPTED // a free instance took it at once
	}
	out.LogSequence, out.Configuration = t.first, i.ip.Configuration()
	return out, nil
}

// settleHead moves the head of the queue and takes the steps that follow.
func (t *turn) settleHead() {
	t.advance()
	if len(t.todo) > 0 {
		next := t.todo[0]
		t.todo = t.todo[1:]
		t.run(next)
		return
	}
	t.batch.steps++
	t.instance.view.UpdateTime = stamp(t.now)
	t.step() // the queue alone changed
}

// forget removes the instance and all its rows.
func (t *turn) forget() {
	i := t.instance
	t.group.remove(i)
	t.batch.steps++
	t.shard.drop(i)
}

// drop takes an instance out of memory.
func (s *Shard) drop(i *Instance) {
	delete(s.instances, i.id)
	for _, row := range i.outbox {
		delete(s.relays, row.GetCommand().GetCommandId())
	}
	if s.free != nil {
		s.free.Remove(i.id)
		s.held.Remove(i.id)
	}
}
