// SPDX-License-Identifier: AGPL-3.0-or-later

// Package fakestore is the reading half of the snapshot service in memory, for
// tests of the gateway: list, watch with resume, log, charts and blobs. It can
// break streams and forget its past. A [Store] is safe for concurrent use.
package fakestore

import (
	"context"
	"encoding/binary"
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

// Store is the fake; its zero value is empty and ready.
type Store struct {
	snapshotv1.UnimplementedSnapshotServiceServer

	mu        sync.Mutex
	instances map[string]*fleetv1.Instance
	hosts     map[string]*fleetv1.Host
	charts    map[string]*fleetv1.Chart
	logs      map[string][]*fleetv1.LogEntry
	blobs     map[string][]byte
	changes   []*snapshotv1.Change // the number of the first is trimmed
	trimmed   int
	wake      chan struct{}
	broken    chan struct{}
	away      bool
	finding   *fleetv1.Finding
}

// PutInstance stores an instance and what its log gains.
func (s *Store) PutInstance(v *fleetv1.Instance, entries ...*fleetv1.LogEntry) {
	s.change(&snapshotv1.Change{Change: &snapshotv1.Change_Instance{
		Instance: &snapshotv1.InstanceChange{Instance: v, Log: entries},
	}}, func() {
		put(&s.instances, v.GetInstanceId(), v)
		put(&s.logs, v.GetInstanceId(), append(s.logs[v.GetInstanceId()], entries...))
	})
}

// Remove forgets an instance.
func (s *Store) Remove(id string) {
	s.change(&snapshotv1.Change{Change: &snapshotv1.Change_RemovedInstanceId{RemovedInstanceId: id}}, func() {
		delete(s.instances, id)
		delete(s.logs, id)
	})
}

// PutHost stores a host.
func (s *Store) PutHost(h *fleetv1.Host) {
	s.change(&snapshotv1.Change{Change: &snapshotv1.Change_Host{Host: h}}, func() { put(&s.hosts, h.GetHostId(), h) })
}

// AddChart stores a chart.
func (s *Store) AddChart(c *fleetv1.Chart) {
	told := proto.CloneOf(c)
	told.Document = ""
	s.change(&snapshotv1.Change{Change: &snapshotv1.Change_Chart{Chart: told}}, func() { put(&s.charts, c.GetDigest(), c) })
}

// AddBlob stores a body.
func (s *Store) AddBlob(sha string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	put(&s.blobs, sha, body)
}

// Break ends all watches with UNAVAILABLE; they can be resumed.
func (s *Store) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	close(s.broken)
	s.broken = make(chan struct{})
}

// Trim forgets all changes, so that no watch can be resumed without reset.
func (s *Store) Trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trimmed += len(s.changes)
	s.changes = nil
}

// Away makes every call fail with UNAVAILABLE, or work again.
func (s *Store) Away(away bool) {
	s.mu.Lock()
	s.away = away
	s.mu.Unlock()
	s.Break()
}

// Find has the store say of itself what is wrong, with its next message; nil: nothing is.
func (s *Store) Find(f *fleetv1.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finding = f
}

// Instances is the truth: all instances by id.
func (s *Store) Instances() map[string]*fleetv1.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.instances)
}

// Log is the truth about the log of an instance.
func (s *Store) Log(id string) []*fleetv1.LogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logs[id])
}

func put[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}

func (s *Store) init() {
	if s.wake == nil {
		s.wake, s.broken = make(chan struct{}), make(chan struct{})
	}
}

func (s *Store) change(c *snapshotv1.Change, apply func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	apply()
	s.changes = append(s.changes, proto.CloneOf(c))
	close(s.wake)
	s.wake = make(chan struct{})
}

func token(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func (s *Store) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return status.Error(codes.Unavailable, "the store is away")
	}
	return nil
}

// List implements SnapshotService. The token is older than the views, as that
// of a real store may be.
func (s *Store) List(_ *snapshotv1.ListRequest, stream grpc.ServerStreamingServer[snapshotv1.ListResponse]) error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	at := max(s.trimmed, s.trimmed+len(s.changes)-3)
	hosts := slices.Collect(maps.Values(s.hosts))
	instances := slices.Collect(maps.Values(s.instances))
	s.mu.Unlock()
	if err := stream.Send(&snapshotv1.ListResponse{Hosts: hosts}); err != nil {
		return err
	}
	for part := range slices.Chunk(instances, 256) {
		if err := stream.Send(&snapshotv1.ListResponse{Instances: part}); err != nil {
			return err
		}
	}
	return stream.Send(&snapshotv1.ListResponse{Token: token(at)})
}

// Watch implements SnapshotService.
func (s *Store) Watch(r *snapshotv1.WatchRequest, stream grpc.ServerStreamingServer[snapshotv1.WatchResponse]) error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	s.init()
	broken := s.broken
	at := s.trimmed + len(s.changes)
	s.mu.Unlock()
	if len(r.GetToken()) == 8 {
		at = int(binary.BigEndian.Uint64(r.GetToken()))
	}
	alive := time.NewTicker(2 * time.Second)
	defer alive.Stop()
	for {
		s.mu.Lock()
		wake := s.wake
		reset := at < s.trimmed
		finding := s.finding
		var next []*snapshotv1.Change
		if !reset {
			next = slices.Clone(s.changes[at-s.trimmed:])
		}
		s.mu.Unlock()
		if reset {
			return stream.Send(&snapshotv1.WatchResponse{Reset_: true})
		}
		for part := range slices.Chunk(next, 16) {
			at += len(part)
			if err := stream.Send(&snapshotv1.WatchResponse{Changes: part, Token: token(at), Finding: finding}); err != nil {
				return err
			}
		}
		select {
		case <-wake:
		case <-alive.C:
			if err := stream.Send(&snapshotv1.WatchResponse{Token: token(at), Finding: finding}); err != nil {
				return err
			}
		case <-broken:
			return status.Error(codes.Unavailable, "broken by the test")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// ListLog implements SnapshotService.
func (s *Store) ListLog(_ context.Context, r *snapshotv1.ListLogRequest) (*snapshotv1.ListLogResponse, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	out := &snapshotv1.ListLogResponse{}
	entries := s.Log(r.GetInstanceId())
	if r.GetDescending() {
		slices.Reverse(entries)
	}
	for _, e := range entries {
		n := e.GetSequence()
		if n > r.GetAfterSequence() && (r.GetBeforeSequence() == 0 || n < r.GetBeforeSequence()) &&
			len(out.Entries) < int(r.GetLimit()) {
			out.Entries = append(out.Entries, e)
		}
	}
	return out, nil
}

// ListCharts implements SnapshotService.
func (s *Store) ListCharts(context.Context, *snapshotv1.ListChartsRequest) (*snapshotv1.ListChartsResponse, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &snapshotv1.ListChartsResponse{}
	for _, c := range s.charts {
		c = proto.CloneOf(c)
		c.Document = ""
		out.Charts = append(out.Charts, c)
	}
	return out, nil
}

// GetChart implements SnapshotService.
func (s *Store) GetChart(_ context.Context, r *snapshotv1.GetChartRequest) (*snapshotv1.GetChartResponse, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.charts {
		if c.GetDigest() == r.GetDigest() || r.GetDigest() == "" && c.GetName() == r.GetName() {
			return &snapshotv1.GetChartResponse{Chart: c}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "no such chart")
}

// GetBlob implements SnapshotService.
func (s *Store) GetBlob(r *snapshotv1.GetBlobRequest, stream grpc.ServerStreamingServer[snapshotv1.GetBlobResponse]) error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	body, ok := s.blobs[r.GetSha256()]
	s.mu.Unlock()
	if !ok {
		return status.Error(codes.NotFound, "no such body")
	}
	for part := range slices.Chunk(body, 64<<10) {
		if err := stream.Send(&snapshotv1.GetBlobResponse{Chunk: part}); err != nil {
			return err
		}
	}
	return nil
}
