// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"fmt"
	"strings"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// encode makes the bytes that the store keeps of a message. They are the same
// for the same message every time: a group that is sent again must have the
// same digest.
func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// decode makes a new message of kept bytes.
func decode[M any, P interface {
	*M
	proto.Message
}](b []byte) (P, error) {
	m := P(new(M))
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("decode %T: %w", m, err)
	}
	return m, nil
}

func fence(f *snapshotv1.ShardFence) store.Fence {
	return store.Fence{Epoch: f.GetEpoch(), Nonce: f.GetNonce()}
}

func leasesOut(ls []store.Lease) []*snapshotv1.Lease {
	out := make([]*snapshotv1.Lease, len(ls))
	for i, l := range ls {
		out[i] = &snapshotv1.Lease{Shard: l.Shard, Held: l.Held, Epoch: l.Epoch, LastGroup: l.LastGroup, Owner: l.Owner, Address: l.Address}
		if !l.Expire.IsZero() {
			out[i].ExpireTime = timestamppb.New(l.Expire)
		}
	}
	return out
}

// encoder encodes many messages and keeps the first error.
type encoder struct{ err error }

func (e *encoder) bytes(m proto.Message) []byte {
	b, err := encode(m)
	if err != nil && e.err == nil {
		e.err = err
	}
	return b
}

func groupIn(g *snapshotv1.Group) (store.Group, error) {
	var e encoder
	out := store.Group{Shard: g.GetShard(), Fence: fence(g.GetFence()), Number: g.GetNumber()}
	for _, m := range g.GetMarks() {
		out.Marks = append(out.Marks, store.Mark{Source: m.GetSource(), Incarnation: m.GetIncarnation(), Sequence: m.GetSequence()})
	}
	for _, h := range g.GetHosts() {
		out.Hosts = append(out.Hosts, store.Row{ID: h.GetHostId(), Body: e.bytes(h)})
	}
	out.Steps = make([]store.Step, len(g.GetSteps()))
	for i, s := range g.GetSteps() {
		out.Steps[i] = stepIn(s, &e)
	}
	return out, e.err
}

func stepIn(s *snapshotv1.Step, e *encoder) store.Step {
	out := store.Step{
		Instance: s.GetInstanceId(), Remove: s.GetRemove(), OutboxDelete: s.GetOutboxDelete(),
		QueueTrim: s.GetQueueTrim(), QueueDelete: s.GetQueueDelete(), BlobAdd: s.GetBlobAdd(), BlobRemove: s.GetBlobRemove(),
	}
	if r := s.GetRecord(); r != nil {
		out.Record = &store.Record{View: e.bytes(r.GetView()), Session: r.GetSessionSnapshot(), State: r.GetRuntimeState()}
	}
	for _, r := range s.GetOutboxPut() {
		out.OutboxPut = append(out.OutboxPut, store.Row{ID: r.GetCommand().GetCommandId(), Body: e.bytes(r)})
	}
	for _, q := range s.GetQueuePut() {
		out.QueuePut = append(out.QueuePut, store.QueueRow{Sequence: q.GetSequence(), Body: e.bytes(q)})
	}
	for _, l := range s.GetLog() {
		out.Log = append(out.Log, store.LogRow{Sequence: l.GetSequence(), Snapshot: len(l.GetSessionSnapshot()) > 0, Body: e.bytes(l)})
	}
	for _, r := range s.GetRequests() {
		out.Requests = append(out.Requests, store.Row{ID: r.GetRequestId(), Body: e.bytes(r)})
	}
	for _, b := range s.GetBlobs() {
		out.Blobs = append(out.Blobs, store.Blob{SHA256: b.GetSha256(), Body: b.GetBody()})
	}
	return out
}

func resultOut(r store.Result) *snapshotv1.GroupResult {
	statuses := map[store.Status]snapshotv1.GroupStatus{
		store.Applied:        snapshotv1.GroupStatus_GROUP_STATUS_APPLIED,
		store.AlreadyApplied: snapshotv1.GroupStatus_GROUP_STATUS_ALREADY_APPLIED,
		store.Fenced:         snapshotv1.GroupStatus_GROUP_STATUS_FENCED,
		store.OutOfOrder:     snapshotv1.GroupStatus_GROUP_STATUS_OUT_OF_ORDER,
		store.BlobMissing:    snapshotv1.GroupStatus_GROUP_STATUS_BLOB_MISSING,
	}
	return &snapshotv1.GroupResult{Status: statuses[r.Status], Epoch: r.Epoch, LastGroup: r.LastGroup, Message: r.Message}
}

func shardOut(h store.ShardState) (*snapshotv1.ShardState, error) {
	out := &snapshotv1.ShardState{LastGroup: h.LastGroup}
	for _, m := range h.Marks {
		out.Marks = append(out.Marks, &snapshotv1.Mark{Source: m.Source, Incarnation: m.Incarnation, Sequence: m.Sequence})
	}
	for _, r := range h.Hosts {
		host, err := decode[fleetv1.Host](r.Body)
		if err != nil {
			return nil, err
		}
		out.Hosts = append(out.Hosts, host)
	}
	return out, nil
}

func instanceOut(in store.Instance) (*snapshotv1.InstanceState, error) {
	view, err := decode[fleetv1.Instance](in.Record.View)
	if err != nil {
		return nil, err
	}
	out := &snapshotv1.InstanceState{Record: &snapshotv1.Record{View: view, SessionSnapshot: in.Record.Session, RuntimeState: in.Record.State}}
	for _, r := range in.Outbox {
		row, err := decode[snapshotv1.OutboxRow](r.Body)
		if err != nil {
			return nil, err
		}
		out.Outbox = append(out.Outbox, row)
	}
	for _, r := range in.Queue {
		row, err := decode[snapshotv1.QueueEntry](r.Body)
		if err != nil {
			return nil, err
		}
		out.Queue = append(out.Queue, row)
	}
	return out, nil
}

func logOut(bodies [][]byte) ([]*fleetv1.LogEntry, error) {
	out := make([]*fleetv1.LogEntry, 0, len(bodies))
	for _, b := range bodies {
		l, err := decode[fleetv1.LogEntry](b)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func changesOut(cs []store.Change) ([]*snapshotv1.Change, error) {
	out := make([]*snapshotv1.Change, 0, len(cs))
	for _, c := range cs {
		o, err := changeOut(c)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func changeOut(c store.Change) (*snapshotv1.Change, error) {
	switch c.Kind {
	case store.InstanceChanged:
		view, err := decode[fleetv1.Instance](c.View)
		if err != nil {
			return nil, err
		}
		log, err := logOut(c.Log)
		if err != nil {
			return nil, err
		}
		return &snapshotv1.Change{Change: &snapshotv1.Change_Instance{Instance: &snapshotv1.InstanceChange{Instance: view, Log: log}}}, nil
	case store.InstanceRemoved:
		return &snapshotv1.Change{Change: &snapshotv1.Change_RemovedInstanceId{RemovedInstanceId: c.ID}}, nil
	case store.HostChanged:
		host, err := decode[fleetv1.Host](c.View)
		if err != nil {
			return nil, err
		}
		return &snapshotv1.Change{Change: &snapshotv1.Change_Host{Host: host}}, nil
	case store.ChartChanged:
		chart, err := decode[fleetv1.Chart](c.View)
		if err != nil {
			return nil, err
		}
		return &snapshotv1.Change{Change: &snapshotv1.Change_Chart{Chart: chart}}, nil
	}
	return nil, fmt.Errorf("decode change: unknown kind %d", c.Kind)
}

// chartKey is what a chart is stored under: its digest without the name of
// the algorithm, which some callers put before it. The head keeps it as given.
func chartKey(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

// chartIn keeps the document apart: lists do not show it.
func chartIn(c *fleetv1.Chart) (store.Chart, error) {
	head := proto.CloneOf(c)
	head.Document = ""
	b, err := encode(head)
	return store.Chart{Name: c.GetName(), Digest: chartKey(c.GetDigest()), Head: b, Document: []byte(c.GetDocument())}, err
}

func chartOut(c store.Chart) (*fleetv1.Chart, error) {
	out, err := decode[fleetv1.Chart](c.Head)
	if err != nil {
		return nil, err
	}
	out.Document = string(c.Document)
	return out, nil
}
