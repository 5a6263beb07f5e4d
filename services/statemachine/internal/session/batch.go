// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// MaxSteps is the most steps that one write holds.
const MaxSteps = 256

// maxBatchBytes ends a batch early, so that a write of large bodies stays
// within what a message may hold.
const maxBatchBytes = 4 << 20

// Batch is what is written together: a group for each shard that changed. It
// belongs to the worker's goroutine until it is sealed; after that the groups
// are not changed.
type Batch struct {
	groups  []*group
	byShard map[uint32]*group
	steps   int
	bytes   int
	// traces are the trace contexts of the steps that have one.
	traces []string
}

// group is what one shard gained in a batch.
type group struct {
	shard   *Shard
	fence   Fence
	steps   []*step
	open    map[string]*step // steps that later changes of the same instance join
	marks   map[string]bool
	hosts   map[string]bool
	effects []Effect
	// withheld are the instances that wait for what goes out with the effects.
	withheld map[*Instance]bool
	// answered are the request_ids that the steps have an answer to.
	answered []*answer
	refused  error
	message  *snapshotv1.Group // nil when nothing has to be written
}

// step collects what one instance gained. The record is made when the batch
// is sealed, once, however many macrosteps there were.
type step struct {
	instance *Instance
	out      *snapshotv1.Step
}

func newBatch() *Batch { return &Batch{byShard: map[uint32]*group{}} }

func (b *Batch) empty() bool { return len(b.groups) == 0 }

func (b *Batch) full() bool { return b.steps >= MaxSteps || b.bytes >= maxBatchBytes }

func (b *Batch) group(s *Shard) *group {
	if g, ok := b.byShard[s.number]; ok && g.shard == s {
		return g
	}
	g := &group{shard: s, open: map[string]*step{}, marks: map[string]bool{}, hosts: map[string]bool{}, withheld: map[*Instance]bool{}}
	b.groups = append(b.groups, g)
	b.byShard[s.number] = g
	return g
}

// seal numbers the groups and makes the messages. What the shards change
// later does not show in them.
func (b *Batch) seal() *snapshotv1.CommitRequest {
	request := &snapshotv1.CommitRequest{}
	for _, g := range b.groups {
		if g.refused != nil {
			continue
		}
		if len(g.steps)+len(g.marks)+len(g.hosts) > 0 {
			g.message = g.seal()
			request.Groups = append(request.Groups, g.message)
		}
		g.fence = g.shard.fence
	}
	return request
}

func (g *group) seal() *snapshotv1.Group {
	s := g.shard
	s.fence.Group++
	m := &snapshotv1.Group{
		Shard:  s.number,
		Fence:  &snapshotv1.ShardFence{Epoch: s.fence.Epoch, Nonce: s.fence.Nonce},
		Number: s.fence.Group,
	}
	for _, st := range g.steps {
		if !st.out.GetRemove() {
			st.out.Record = st.instance.record()
		}
		m.Steps = append(m.Steps, st.out)
	}
	for source := range g.marks {
		m.Marks = append(m.Marks, proto.CloneOf(s.marks[source]))
	}
	for id := range g.hosts {
		m.Hosts = append(m.Hosts, proto.CloneOf(s.hosts[id].view))
	}
	return m
}

// drop tells whoever waits that nothing came of it.
func (g *group) drop(err error) {
	g.refused = err
	for _, e := range g.effects {
		e.dropped(err)
	}
	g.effects = nil
}

func (g *group) then(e Effect) { g.effects = append(g.effects, e) }

// step is the step that changes of the instance join.
func (g *group) step(i *Instance) *step {
	if st, ok := g.open[i.id]; ok {
		return st
	}
	st := &step{instance: i, out: &snapshotv1.Step{InstanceId: i.id}}
	g.steps = append(g.steps, st)
	g.open[i.id] = st
	return st
}

// remove makes the instance go in this group; one made later under the same
// id gets a step of its own.
func (g *group) remove(i *Instance) {
	st := g.step(i)
	*st = step{instance: i, out: &snapshotv1.Step{InstanceId: i.id, Remove: true, Requests: st.out.GetRequests()}}
	delete(g.open, i.id)
}

// forget takes a row out of the outbox of the store, or out of this step when
// it was never written.
func (st *step) forget(commandID string) {
	for k, row := range st.out.OutboxPut {
		if row.GetCommand().GetCommandId() == commandID {
			st.out.OutboxPut = append(st.out.OutboxPut[:k:k], st.out.OutboxPut[k+1:]...)
			return
		}
	}
	st.out.OutboxDelete = append(st.out.OutboxDelete, commandID)
}

// put writes a queue entry, in place of an earlier state of it.
func (st *step) put(e *snapshotv1.QueueEntry) {
	for k, old := range st.out.QueuePut {
		if old.GetSequence() == e.GetSequence() {
			st.out.QueuePut[k] = e
			return
		}
	}
	st.out.QueuePut = append(st.out.QueuePut, e)
}

func (st *step) log(e *fleetv1.LogEntry) { st.out.Log = append(st.out.Log, e) }
