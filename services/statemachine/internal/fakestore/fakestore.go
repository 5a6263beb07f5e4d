// SPDX-License-Identifier: AGPL-3.0-or-later

// Package fakestore is a snapshot service in memory for the tests of
// statemachine: fences, group numbers, outbox, queue and requests as the real
// one has them, and hooks at the points where a process can die. It keeps what
// was committed over any number of statemachines.
//
// A [Store] is safe for concurrent use. It starts no goroutine.
package fakestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// Store is the fake. Make one with [New].
type Store struct {
	snapshotv1.UnimplementedSnapshotServiceServer

	// Before is called before a commit is applied, After after; an error is
	// what the caller gets. Set them before the first call.
	Before, After func(*snapshotv1.CommitRequest) error
	// LookedUp is called after a request_id was looked up, before the answer is
	// given. Set it before the first call.
	LookedUp func(id string)

	mu     sync.Mutex
	shards map[uint32]*shard
	charts []*fleetv1.Chart
	blobs  map[string][]byte
	// acquires and loads count calls.
	acquires, loads int
}

type shard struct {
	owner, nonce string
	epoch        uint64
	expires      time.Time
	group        uint64
	last         []byte // digest of the last group
	instances    map[string]*instance
	marks        map[string]*snapshotv1.Mark
	hosts        map[string]*fleetv1.Host
	requests     map[string]*snapshotv1.RequestResult
}

type instance struct {
	record *snapshotv1.Record
	outbox []*snapshotv1.OutboxRow
	queue  []*snapshotv1.QueueEntry
	log    []*fleetv1.LogEntry
	blobs  map[string]bool
}

// New makes an empty store.
func New() *Store { return &Store{shards: map[uint32]*shard{}, blobs: map[string][]byte{}} }

func (s *Store) shard(n uint32) *shard {
	sh, ok := s.shards[n]
	if !ok {
		sh = &shard{instances: map[string]*instance{}, marks: map[string]*snapshotv1.Mark{}, hosts: map[string]*fleetv1.Host{}, requests: map[string]*snapshotv1.RequestResult{}}
		s.shards[n] = sh
	}
	return sh
}

func (sh *shard) lease(n uint32, held bool) *snapshotv1.Lease {
	return &snapshotv1.Lease{Shard: n, Held: held, Epoch: sh.epoch, LastGroup: sh.group, Owner: sh.owner}
}

// Acquire implements the service.
func (s *Store) Acquire(_ context.Context, r *snapshotv1.AcquireRequest) (*snapshotv1.AcquireResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acquires++
	out := &snapshotv1.AcquireResponse{}
	for _, n := range r.GetShards() {
		sh := s.shard(n)
		if sh.owner != "" && sh.owner != r.GetOwner() && time.Now().Before(sh.expires) {
			out.Leases = append(out.Leases, sh.lease(n, false))
			continue
		}
		sh.owner, sh.nonce, sh.expires = r.GetOwner(), r.GetNonce(), time.Now().Add(10*time.Second)
		sh.epoch++
		out.Leases = append(out.Leases, sh.lease(n, true))
	}
	return out, nil
}

// Renew implements the service.
func (s *Store) Renew(_ context.Context, r *snapshotv1.RenewRequest) (*snapshotv1.RenewResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &snapshotv1.RenewResponse{}
	for _, n := range r.GetShards() {
		sh := s.shard(n)
		held := sh.nonce == r.GetNonce() && sh.owner == r.GetOwner()
		if held {
			sh.expires = time.Now().Add(10 * time.Second)
		}
		out.Leases = append(out.Leases, sh.lease(n, held))
	}
	return out, nil
}

// Release implements the service.
func (s *Store) Release(_ context.Context, r *snapshotv1.ReleaseRequest) (*snapshotv1.ReleaseResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range r.GetShards() {
		if sh := s.shard(n); sh.nonce == r.GetNonce() {
			sh.owner = ""
		}
	}
	return &snapshotv1.ReleaseResponse{}, nil
}

// Commit implements the service.
func (s *Store) Commit(_ context.Context, r *snapshotv1.CommitRequest) (*snapshotv1.CommitResponse, error) {
	if s.Before != nil {
		if err := s.Before(r); err != nil {
			return nil, err
		}
	}
	out := &snapshotv1.CommitResponse{}
	s.mu.Lock()
	for _, g := range r.GetGroups() {
		out.Results = append(out.Results, s.commit(g))
	}
	s.mu.Unlock()
	if s.After != nil {
		if err := s.After(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) commit(g *snapshotv1.Group) *snapshotv1.GroupResult {
	sh := s.shard(g.GetShard())
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(g)
	if err != nil {
		return &snapshotv1.GroupResult{Message: err.Error()}
	}
	sum := sha256.Sum256(b)
	answer := func(st snapshotv1.GroupStatus) *snapshotv1.GroupResult {
		return &snapshotv1.GroupResult{Status: st, Epoch: sh.epoch, LastGroup: sh.group, Message: st.String()}
	}
	switch {
	case g.GetFence().GetEpoch() != sh.epoch || g.GetFence().GetNonce() != sh.nonce:
		return answer(snapshotv1.GroupStatus_GROUP_STATUS_FENCED)
	case g.GetNumber() == sh.group && bytes.Equal(sum[:], sh.last):
		return answer(snapshotv1.GroupStatus_GROUP_STATUS_ALREADY_APPLIED)
	case g.GetNumber() != sh.group+1:
		return answer(snapshotv1.GroupStatus_GROUP_STATUS_OUT_OF_ORDER)
	}
	for _, st := range g.GetSteps() {
		given := map[string]bool{}
		for _, blob := range st.GetBlobs() {
			given[blob.GetSha256()] = true
		}
		for _, sha := range st.GetBlobAdd() {
			if _, ok := s.blobs[sha]; !ok && !given[sha] {
				return answer(snapshotv1.GroupStatus_GROUP_STATUS_BLOB_MISSING)
			}
		}
	}
	for _, st := range g.GetSteps() {
		s.apply(sh, st)
	}
	for _, m := range g.GetMarks() {
		sh.marks[m.GetSource()] = proto.CloneOf(m)
	}
	for _, h := range g.GetHosts() {
		sh.hosts[h.GetHostId()] = proto.CloneOf(h)
	}
	sh.group, sh.last = g.GetNumber(), sum[:]
	return answer(snapshotv1.GroupStatus_GROUP_STATUS_APPLIED)
}

func (s *Store) apply(sh *shard, shared *snapshotv1.Step) {
	st := proto.CloneOf(shared)
	for _, r := range st.GetRequests() {
		sh.requests[r.GetRequestId()] = r
	}
	if st.GetRemove() {
		delete(sh.instances, st.GetInstanceId())
		return
	}
	i, ok := sh.instances[st.GetInstanceId()]
	if !ok {
		i = &instance{blobs: map[string]bool{}}
		sh.instances[st.GetInstanceId()] = i
	}
	i.record = st.GetRecord()
	i.outbox = append(i.outbox, st.GetOutboxPut()...)
	i.outbox = slices.DeleteFunc(i.outbox, func(row *snapshotv1.OutboxRow) bool {
		return slices.Contains(st.GetOutboxDelete(), row.GetCommand().GetCommandId())
	})
	for _, e := range st.GetQueuePut() {
		i.queue = slices.DeleteFunc(i.queue, func(old *snapshotv1.QueueEntry) bool { return old.GetSequence() == e.GetSequence() })
		i.queue = append(i.queue, e)
	}
	i.queue = slices.DeleteFunc(i.queue, func(e *snapshotv1.QueueEntry) bool {
		return e.GetSequence() <= st.GetQueueTrim() || slices.Contains(st.GetQueueDelete(), e.GetSequence())
	})
	slices.SortFunc(i.queue, func(a, b *snapshotv1.QueueEntry) int { return int(a.GetSequence()) - int(b.GetSequence()) })
	for _, blob := range st.GetBlobs() {
		s.blobs[blob.GetSha256()] = blob.GetBody()
	}
	for _, sha := range st.GetBlobAdd() {
		i.blobs[sha] = true
	}
	for _, sha := range st.GetBlobRemove() {
		delete(i.blobs, sha)
	}
	i.log = append(i.log, st.GetLog()...)
}

// State reads a shard as an owner loads it; it does not ask for a fence.
func (s *Store) State(n uint32) (*snapshotv1.ShardState, []*snapshotv1.InstanceState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shard(n)
	state := &snapshotv1.ShardState{LastGroup: sh.group}
	for _, k := range slices.Sorted(maps.Keys(sh.marks)) {
		state.Marks = append(state.Marks, proto.CloneOf(sh.marks[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(sh.hosts)) {
		state.Hosts = append(state.Hosts, proto.CloneOf(sh.hosts[k]))
	}
	var instances []*snapshotv1.InstanceState
	for _, k := range slices.Sorted(maps.Keys(sh.instances)) {
		i := sh.instances[k]
		instances = append(instances, proto.CloneOf(&snapshotv1.InstanceState{Record: i.record, Outbox: i.outbox, Queue: i.queue}))
	}
	return state, instances
}

// Instance reads what is stored of an instance; nil when there is none.
func (s *Store) Instance(n uint32, id string) (*snapshotv1.InstanceState, []*fleetv1.LogEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.shard(n).instances[id]
	if !ok {
		return nil, nil
	}
	return proto.CloneOf(&snapshotv1.InstanceState{Record: i.record, Outbox: i.outbox, Queue: i.queue}), slices.Clone(i.log)
}

// Body reads a stored body; nil when there is none.
func (s *Store) Body(sha string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[sha]
}

// Epoch reads the epoch of a shard.
func (s *Store) Epoch(n uint32) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shard(n).epoch
}

// Calls counts the calls of Acquire and Load so far.
func (s *Store) Calls() (acquires, loads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acquires, s.loads
}

// Wipe forgets everything, as a store does that was lost.
func (s *Store) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards, s.blobs, s.charts = map[uint32]*shard{}, map[string][]byte{}, nil
}

// Copy is what a store had at a moment.
type Copy struct {
	shards map[uint32]*shard
	blobs  map[string][]byte
	charts []*fleetv1.Chart
}

// Copy copies everything, as a backup does.
func (s *Store) Copy() *Copy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (&Copy{s.shards, s.blobs, s.charts}).clone()
}

// PutBack makes the store what it was when c was made.
func (s *Store) PutBack(c *Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = c.clone()
	s.shards, s.blobs, s.charts = c.shards, c.blobs, c.charts
}

// clone shares only what is replaced and never changed.
func (c *Copy) clone() *Copy {
	out := &Copy{shards: map[uint32]*shard{}, blobs: maps.Clone(c.blobs), charts: slices.Clone(c.charts)}
	for n, sh := range c.shards {
		own := *sh
		own.marks, own.hosts, own.requests = maps.Clone(sh.marks), maps.Clone(sh.hosts), maps.Clone(sh.requests)
		own.instances = map[string]*instance{}
		for id, i := range sh.instances {
			own.instances[id] = &instance{i.record, slices.Clone(i.outbox), slices.Clone(i.queue), slices.Clone(i.log), maps.Clone(i.blobs)}
		}
		out.shards[n] = &own
	}
	return out
}

// Load implements the service.
func (s *Store) Load(r *snapshotv1.LoadRequest, stream grpc.ServerStreamingServer[snapshotv1.LoadResponse]) error {
	s.mu.Lock()
	sh := s.shard(r.GetShard())
	s.loads++
	stale := r.GetFence().GetEpoch() != sh.epoch || r.GetFence().GetNonce() != sh.nonce
	s.mu.Unlock()
	if stale {
		return status.Error(codes.FailedPrecondition, "stale fence")
	}
	state, instances := s.State(r.GetShard())
	if err := stream.Send(&snapshotv1.LoadResponse{Part: &snapshotv1.LoadResponse_Shard{Shard: state}}); err != nil {
		return err
	}
	for _, i := range instances {
		if err := stream.Send(&snapshotv1.LoadResponse{Part: &snapshotv1.LoadResponse_Instance{Instance: i}}); err != nil {
			return err
		}
	}
	return nil
}

// LookupRequest implements the service.
func (s *Store) LookupRequest(_ context.Context, r *snapshotv1.LookupRequestRequest) (*snapshotv1.LookupRequestResponse, error) {
	s.mu.Lock()
	found := s.shard(r.GetShard()).requests[r.GetRequestId()]
	s.mu.Unlock()
	if s.LookedUp != nil {
		s.LookedUp(r.GetRequestId())
	}
	return &snapshotv1.LookupRequestResponse{Result: found}, nil
}

// PutChart implements the service.
func (s *Store) PutChart(_ context.Context, r *snapshotv1.PutChartRequest) (*snapshotv1.PutChartResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.charts {
		if c.GetName() == r.GetChart().GetName() && c.GetDigest() == r.GetChart().GetDigest() {
			return &snapshotv1.PutChartResponse{}, nil
		}
	}
	s.charts = append(s.charts, r.GetChart())
	return &snapshotv1.PutChartResponse{Created: true}, nil
}

// GetChart implements the service.
func (s *Store) GetChart(_ context.Context, r *snapshotv1.GetChartRequest) (*snapshotv1.GetChartResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := len(s.charts) - 1; k >= 0; k-- {
		if c := s.charts[k]; c.GetDigest() == r.GetDigest() || r.GetDigest() == "" && c.GetName() == r.GetName() {
			return &snapshotv1.GetChartResponse{Chart: c}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "no such chart")
}

// PutBlob implements the service.
func (s *Store) PutBlob(stream grpc.ClientStreamingServer[snapshotv1.PutBlobRequest, snapshotv1.PutBlobResponse]) error {
	var sha string
	var body []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if sha == "" {
			sha = m.GetSha256()
		}
		body = append(body, m.GetChunk()...)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != sha {
		return status.Error(codes.InvalidArgument, "the body has another digest")
	}
	s.mu.Lock()
	s.blobs[sha] = body
	s.mu.Unlock()
	return stream.SendAndClose(&snapshotv1.PutBlobResponse{SizeBytes: uint64(len(body))})
}

// GetBlob implements the service.
func (s *Store) GetBlob(r *snapshotv1.GetBlobRequest, stream grpc.ServerStreamingServer[snapshotv1.GetBlobResponse]) error {
	s.mu.Lock()
	body, ok := s.blobs[r.GetSha256()]
	s.mu.Unlock()
	if !ok {
		return status.Error(codes.NotFound, fmt.Sprintf("no body %s", r.GetSha256()))
	}
	return stream.Send(&snapshotv1.GetBlobResponse{Chunk: body})
}
