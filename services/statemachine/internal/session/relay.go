// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// relayVerb marks outbox rows that are events for other instances. No agent
// ever sees one: their host is empty.
const relayVerb = "send"

// relayAfter is how long an event for another instance waits for its result
// before it is sent again.
const relayAfter = 2 * time.Second

// What an instance may have on the way to others; beyond it a <send> is
// error.communication. They do not expire: the sender may have acted on them.
const (
	maxRelays     = 1000
	maxRelayBytes = 4 << 20
)

// relayRoom refuses an event for another instance when too much is on its way.
func (i *Instance) relayRoom(event string, data []byte) error {
	count, size := 1, entrySize(event, data)
	for _, row := range i.outbox {
		if c := row.GetCommand(); row.GetHostId() == "" && c.GetVerb() == relayVerb {
			count, size = count+1, size+entrySize("", c.GetArgumentsJson())
		}
	}
	if count > maxRelays || size > maxRelayBytes {
		return fmt.Errorf("%d events (%d KiB) for other instances are on their way, at most %d and %d KiB: %s is not sent",
			count-1, size>>10, maxRelays, maxRelayBytes>>10, event)
	}
	return nil
}

// relayRow is what the row keeps of a relay.
type relayRow struct {
	To          string          `json:"to"`
	Incarnation string          `json:"incarnation"`
	Number      uint64          `json:"number"`
	Event       string          `json:"event"`
	SendID      string          `json:"sendId,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

// row is the relay as an outbox row.
func (r *Relay) row() *snapshotv1.OutboxRow {
	arguments, err := json.Marshal(relayRow{To: r.To, Incarnation: r.Incarnation, Number: r.Number, Event: r.Event, SendID: r.SendID, Data: r.DataJSON})
	if err != nil {
		arguments = nil // DataJSON is the kernel's, so it marshals
	}
	return &snapshotv1.OutboxRow{Command: &agentv1.Command{CommandId: r.CommandID, Verb: relayVerb, Instance: r.To, ArgumentsJson: arguments}}
}

// relayOf reads a row of an instance back; nil when it is not a relay.
func relayOf(from string, row *snapshotv1.OutboxRow) *Relay {
	c := row.GetCommand()
	if row.GetHostId() != "" || c.GetVerb() != relayVerb {
		return nil
	}
	var r relayRow
	if err := json.Unmarshal(c.GetArgumentsJson(), &r); err != nil {
		return nil
	}
	return &Relay{From: from, To: r.To, Incarnation: r.Incarnation, Number: r.Number, CommandID: c.GetCommandId(), Event: r.Event, SendID: r.SendID, DataJSON: r.Data}
}

// received takes in an event of another instance. The sender numbers what it
// sends to this shard without holes, so one mark tells what was taken in; one
// that comes too early is dropped and comes again.
func (w *Worker) received(s *Shard, b *Batch, r *Relay, now time.Time) {
	g, source := b.group(s), "#"+r.From
	m := s.mark(source)
	if m.GetIncarnation() != r.Incarnation {
		m.Incarnation, m.Sequence = r.Incarnation, 0
	}
	result := &RelayResult{From: r.From, CommandID: r.CommandID, SendID: r.SendID}
	if r.Number > m.GetSequence()+1 {
		return
	}
	if r.Number == m.GetSequence()+1 {
		m.Sequence = r.Number
		g.marks[source] = true
		b.steps++
		if i, ok := s.instances[r.To]; !ok {
			result.Problem = unknownInstance(r.To).Error()
		} else if _, err := w.turn(s, b, i, now, "").accept(stimulus{origin: "instance", event: r.Event, dataJSON: r.DataJSON, from: r.From}); err != nil {
			result.Problem = err.Error()
		}
	}
	g.then(&Post{Input: result})
}

// relayed takes in what became of an event for another instance.
func (w *Worker) relayed(s *Shard, b *Batch, r *RelayResult, now time.Time) {
	i, ok := s.instances[r.From]
	if !ok {
		return
	}
	t := w.turn(s, b, i, now, "")
	if !t.settle(r.CommandID) {
		return // told before
	}
	b.steps++
	if r.Problem != "" {
		t.run(stimulus{origin: "runtime", event: "error.communication", sendID: r.SendID, data: map[string]any{"message": r.Problem}})
	}
}

// resend posts events for other instances again that wait for too long. The
// older of a sender go first, for their receiver takes them in by number.
func (s *Shard) resend(group func() *group, now time.Time) {
	var late []*sent
	for _, x := range s.relays {
		if now.Sub(x.at) >= relayAfter {
			late = append(late, x)
		}
	}
	slices.SortFunc(late, func(a, b *sent) int {
		return cmp.Or(cmp.Compare(a.relay.From, b.relay.From), cmp.Compare(a.relay.Number, b.relay.Number))
	})
	for _, x := range late {
		x.at = now
		group().then(&Post{Input: x.relay})
	}
}
