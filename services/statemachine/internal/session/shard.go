// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/delay"
)

// Shard is the unit of ownership: its instances, hosts and marks, as of the
// last step. Make it with [Load], give it to a worker with [Adopt], and do not
// touch it any more.
type Shard struct {
	number    uint32
	fence     Fence
	instances map[string]*Instance
	hosts     map[string]*host
	marks     map[string]*snapshotv1.Mark
	answers   answers
	// numbered counts the command ids made under this nonce. It is the shard's, so
	// that an instance made anew after one of its name was forgotten repeats none
	// of them: the agent would take the first for done.
	numbered uint64
	// relays are events for other instances that are not taken in yet.
	relays map[string]*sent
	// missing are bodies that a commit was refused for; the worker's.
	missing map[string]bool
	// recovering says that the store was behind an agent when the shard was
	// loaded: each agent lists everything anew when it connects.
	recovering bool
	// broken are instances whose record cannot be read: they are kept as they
	// are, and nothing is done with them.
	broken map[string]error
	// free and held index delayed sends: those of free instances, and those
	// of hosted instances whose host is ready.
	free, held *delay.Index
}

// sent is an event for another instance on its way.
type sent struct {
	relay *Relay
	at    time.Time
}

// NewShard makes an empty shard.
func NewShard(number uint32, fence Fence) *Shard {
	return &Shard{
		number: number, fence: fence,
		instances: map[string]*Instance{}, hosts: map[string]*host{}, marks: map[string]*snapshotv1.Mark{},
		answers: newAnswers(time.Now()), relays: map[string]*sent{}, broken: map[string]error{},
	}
}

// Restore fills the shard's own part from the store.
func (s *Shard) Restore(state *snapshotv1.ShardState) {
	s.fence.Group = state.GetLastGroup()
	for _, m := range state.GetMarks() {
		s.marks[m.GetSource()] = m
	}
	for _, h := range state.GetHosts() {
		s.hosts[h.GetHostId()] = &host{view: h, unheard: s.mark(unheardSource(h.GetHostId())).GetSequence()}
	}
}

// Add restores one instance from the store. chart is the one of the digest
// that the record names.
func (s *Shard) Add(state *snapshotv1.InstanceState, chart *Chart) error {
	i, err := load(state, chart)
	if err != nil {
		return err
	}
	s.instances[i.id] = i
	for _, row := range i.outbox {
		if r := relayOf(i.id, row); r != nil {
			s.relays[r.CommandID] = &sent{relay: r}
		}
	}
	return nil
}

// Break notes that an instance cannot be loaded. It stays in the store as it
// is; requests are told why, and observations of it are passed over.
func (s *Shard) Break(id string, why error) { s.broken[id] = why }

// Recover makes every host list everything anew before anything is commanded
// to it, because the store is older than what its agent has seen.
func (s *Shard) Recover() { s.recovering = true }

// Number is the shard's number.
func (s *Shard) Number() uint32 { return s.number }

// Fence is the fence, with the number of the last group. It may be read before
// the shard is adopted.
func (s *Shard) Fence() Fence { return s.fence }

// Len is the number of instances. It may be read before the shard is adopted.
func (s *Shard) Len() int { return len(s.instances) }

// schedule brings the index of delayed sends up to date with an instance. One that
// is behind with them waits since its last has fired: it comes after the instances
// that were due before that.
func (s *Shard) schedule(i *Instance) {
	if s.free == nil {
		return
	}
	index := s.free
	if i.hosted() {
		index = s.held
	}
	next, ok := i.next()
	if !ok || i.hosted() && !s.ready(i.view.GetHostId()) {
		index.Remove(i.id)
		return
	}
	due := next.Due
	if due.Before(i.fired) {
		due = i.fired
	}
	index.Set(delay.Timer{Key: i.id, Number: next.Seq, Due: due})
}

// unschedule takes everything of the shard out of the indexes.
func (s *Shard) unschedule() {
	for id := range s.instances {
		s.free.Remove(id)
		s.held.Remove(id)
	}
}

// outgoing is a command as it is sent: small bodies inside.
func (s *Shard) outgoing(c *agentv1.Command, b *bodies) *agentv1.Command {
	if c.GetSnapshot() == nil {
		return c
	}
	body := b.get(c.GetSnapshot().GetSha256())
	if body == nil {
		return c
	}
	out := proto.CloneOf(c)
	out.Snapshot.Inline = body
	return out
}

// commands are the rows for a host, oldest first within an instance.
func (s *Shard) commands(hostID string, b *bodies) []*agentv1.Command {
	var out []*agentv1.Command
	for _, i := range s.on(hostID) {
		i.sent()
		for _, row := range i.outbox {
			if row.GetHostId() == hostID {
				out = append(out, s.outgoing(row.GetCommand(), b))
			}
		}
	}
	return out
}

// commandable says whether commands to a host go out at once; others wait in the
// outbox until its agent is there and has listed what was asked for.
func (s *Shard) commandable(hostID string) bool {
	h := s.hosts[hostID]
	return h != nil && h.conn != nil && !h.relisting
}

// on lists the instances of a host by id.
func (s *Shard) on(hostID string) []*Instance {
	var out []*Instance
	for _, i := range s.instances {
		if i.view.GetHostId() == hostID {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b *Instance) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return out
}

// mark is the high-water mark of a source.
func (s *Shard) mark(source string) *snapshotv1.Mark {
	m, ok := s.marks[source]
	if !ok {
		m = &snapshotv1.Mark{Source: source}
		s.marks[source] = m
	}
	return m
}

// String is for logs.
func (s *Shard) String() string { return fmt.Sprintf("shard %d at %s", s.number, s.fence) }
