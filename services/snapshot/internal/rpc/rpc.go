// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rpc serves snapshot.v1 from a store. It converts at the edge and
// decides nothing: guarantees are the store's. All of it is safe for
// concurrent use; streams are cut into messages of bounded size and hold at
// most one of them in memory beside what the store reads.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// keepAlive is how often a silent watch says that it lives.
	keepAlive = 2 * time.Second
	// chunkBytes bounds a piece of a body.
	chunkBytes = 64 << 10
	// listInstances and listBytes bound a message of a list.
	listInstances = 256
	listBytes     = 1 << 20
	// logDefault and logMost bound a page of the log.
	logDefault = 100
	logMost    = 1000
)

// Server implements snapshotv1.SnapshotServiceServer.
type Server struct {
	snapshotv1.UnimplementedSnapshotServiceServer
	store store.Store
	log   *slog.Logger
	full  atomic.Pointer[store.FullError]
}

// New makes a Server of s that logs to log.
func New(s store.Store, log *slog.Logger) *Server { return &Server{store: s, log: log} }

// SetFull has those who watch told, by the next keep-alive, that the store has no
// room; nil: it has.
func (s *Server) SetFull(e *store.FullError) { s.full.Store(e) }

// finding is what the operator of the store has to mend; nil when there is nothing.
func (s *Server) finding() *fleetv1.Finding {
	e := s.full.Load()
	if e == nil {
		return nil
	}
	return &fleetv1.Finding{Code: "store.full", Message: e.What, Fix: e.Fix, Severity: fleetv1.Severity_SEVERITY_ERROR}
}

// Acquire implements the service.
func (s *Server) Acquire(ctx context.Context, r *snapshotv1.AcquireRequest) (*snapshotv1.AcquireResponse, error) {
	ls, err := s.store.Acquire(ctx, store.Owner{Name: r.GetOwner(), Nonce: r.GetNonce(), Address: r.GetAddress()}, r.GetShards())
	if err != nil {
		return nil, toStatus(s.log, "Acquire", err)
	}
	for _, l := range ls {
		if l.Held {
			s.log.Debug("shard acquired", "shard", l.Shard, "epoch", l.Epoch, "owner", r.GetOwner())
		}
	}
	return &snapshotv1.AcquireResponse{Leases: leasesOut(ls)}, nil
}

// Renew implements the service.
func (s *Server) Renew(ctx context.Context, r *snapshotv1.RenewRequest) (*snapshotv1.RenewResponse, error) {
	ls, err := s.store.Renew(ctx, store.Owner{Name: r.GetOwner(), Nonce: r.GetNonce()}, r.GetShards())
	if err != nil {
		return nil, toStatus(s.log, "Renew", err)
	}
	return &snapshotv1.RenewResponse{Leases: leasesOut(ls)}, nil
}

// Release implements the service.
func (s *Server) Release(ctx context.Context, r *snapshotv1.ReleaseRequest) (*snapshotv1.ReleaseResponse, error) {
	if err := s.store.Release(ctx, store.Owner{Name: r.GetOwner(), Nonce: r.GetNonce()}, r.GetShards()); err != nil {
		return nil, toStatus(s.log, "Release", err)
	}
	return &snapshotv1.ReleaseResponse{}, nil
}

// Commit implements the service.
func (s *Server) Commit(ctx context.Context, r *snapshotv1.CommitRequest) (*snapshotv1.CommitResponse, error) {
	groups := make([]store.Group, len(r.GetGroups()))
	for i, g := range r.GetGroups() {
		var err error
		if groups[i], err = groupIn(g); err != nil {
			return nil, toStatus(s.log, "Commit", fmt.Errorf("%w: %w", store.ErrInvalid, err))
		}
	}
	results, err := s.store.Commit(ctx, groups)
	if err != nil {
		return nil, toStatus(s.log, "Commit", err)
	}
	out := &snapshotv1.CommitResponse{Results: make([]*snapshotv1.GroupResult, len(results))}
	for i, res := range results {
		out.Results[i] = resultOut(res)
		if res.Message != "" {
			s.log.Warn("group refused", "shard", groups[i].Shard, "group", groups[i].Number, "status", res.Status, "reason", res.Message)
		}
	}
	return out, nil
}

// Load implements the service.
func (s *Server) Load(r *snapshotv1.LoadRequest, stream snapshotv1.SnapshotService_LoadServer) error {
	err := s.store.Load(stream.Context(), r.GetShard(), fence(r.GetFence()),
		func(h store.ShardState) error {
			out, err := shardOut(h)
			if err != nil {
				return err
			}
			return stream.Send(&snapshotv1.LoadResponse{Part: &snapshotv1.LoadResponse_Shard{Shard: out}})
		},
		func(in store.Instance) error {
			out, err := instanceOut(in)
			if err != nil {
				return fmt.Errorf("instance %s: %w", in.ID, err)
			}
			return stream.Send(&snapshotv1.LoadResponse{Part: &snapshotv1.LoadResponse_Instance{Instance: out}})
		})
	return toStatus(s.log, "Load", err)
}

// LookupRequest implements the service.
func (s *Server) LookupRequest(ctx context.Context, r *snapshotv1.LookupRequestRequest) (*snapshotv1.LookupRequestResponse, error) {
	b, err := s.store.Request(ctx, r.GetShard(), r.GetRequestId())
	if errors.Is(err, store.ErrNotFound) {
		return &snapshotv1.LookupRequestResponse{}, nil
	}
	if err != nil {
		return nil, toStatus(s.log, "LookupRequest", err)
	}
	result, err := decode[snapshotv1.RequestResult](b)
	if err != nil {
		return nil, toStatus(s.log, "LookupRequest", err)
	}
	return &snapshotv1.LookupRequestResponse{Result: result}, nil
}

// List implements the service.
func (s *Server) List(_ *snapshotv1.ListRequest, stream snapshotv1.SnapshotService_ListServer) error {
	msg, size := &snapshotv1.ListResponse{}, 0
	flush := func() error {
		defer func() { msg, size = &snapshotv1.ListResponse{}, 0 }()
		return stream.Send(msg)
	}
	token, err := s.store.List(stream.Context(), func(c store.Change) error {
		out, err := changeOut(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.ID, err)
		}
		if h := out.GetHost(); h != nil {
			msg.Hosts = append(msg.Hosts, h)
		} else {
			msg.Instances = append(msg.Instances, out.GetInstance().GetInstance())
		}
		if size += len(c.View); len(msg.Instances) >= listInstances || size >= listBytes {
			return flush()
		}
		return nil
	})
	if err == nil {
		msg.Token = token.Marshal()
		err = flush()
	}
	return toStatus(s.log, "List", err)
}

// Watch implements the service.
func (s *Server) Watch(r *snapshotv1.WatchRequest, stream snapshotv1.SnapshotService_WatchServer) error {
	var from *store.Token
	var err error
	if len(r.GetToken()) > 0 {
		from, err = store.ParseToken(r.GetToken())
	}
	if err == nil {
		err = store.Watch(stream.Context(), s.store, from, keepAlive, func(cs []store.Change, t *store.Token) error {
			out, err := changesOut(cs)
			if err != nil {
				return err
			}
			return stream.Send(&snapshotv1.WatchResponse{Changes: out, Token: t.Marshal(), Finding: s.finding()})
		})
	}
	if errors.Is(err, store.ErrReset) {
		return stream.Send(&snapshotv1.WatchResponse{Reset_: true})
	}
	return toStatus(s.log, "Watch", err)
}

// ListLog implements the service. The caller does not name the shard: it is
// that of the host in NAME@HOST, else that of the id.
func (s *Server) ListLog(ctx context.Context, r *snapshotv1.ListLogRequest) (*snapshotv1.ListLogResponse, error) {
	q := store.LogQuery{
		Instance: r.GetInstanceId(), After: r.GetAfterSequence(), Before: r.GetBeforeSequence(),
		Limit: int(min(r.GetLimit(), logMost)), Descending: r.GetDescending(),
	}
	if q.Limit == 0 {
		q.Limit = logDefault
	}
	if err := store.CheckID("instance", q.Instance); err != nil {
		return nil, toStatus(s.log, "ListLog", err)
	}
	var bodies [][]byte
	for _, owner := range shardKeys(q.Instance) {
		q.Shard = shardOf(owner)
		var err error
		if bodies, err = s.store.Log(ctx, q); err != nil {
			return nil, toStatus(s.log, "ListLog", err)
		}
		if len(bodies) > 0 {
			break
		}
	}
	entries, err := logOut(bodies)
	if err != nil {
		return nil, toStatus(s.log, "ListLog", err)
	}
	return &snapshotv1.ListLogResponse{Entries: entries}, nil
}

// shardKeys are what an instance's shard may be derived from: a free instance
// may have an @ in its id as well.
func shardKeys(instance string) []string {
	if i := strings.LastIndexByte(instance, '@'); i >= 0 {
		return []string{instance[i+1:], instance}
	}
	return []string{instance}
}

// shardOf is the shard of a host id or of the id of a free instance.
func shardOf(key string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	return h.Sum32() % store.Shards
}

// PutChart implements the service.
func (s *Server) PutChart(ctx context.Context, r *snapshotv1.PutChartRequest) (*snapshotv1.PutChartResponse, error) {
	c, err := chartIn(r.GetChart())
	if err == nil && blob.Sum(c.Document) != c.Digest {
		err = fmt.Errorf("%w: chart %s: the digest is not the SHA-256 of the document", store.ErrInvalid, c.Name)
	}
	if err != nil {
		return nil, toStatus(s.log, "PutChart", err)
	}
	created, err := s.store.PutChart(ctx, c)
	if err != nil {
		return nil, toStatus(s.log, "PutChart", err)
	}
	return &snapshotv1.PutChartResponse{Created: created}, nil
}

// GetChart implements the service.
func (s *Server) GetChart(ctx context.Context, r *snapshotv1.GetChartRequest) (*snapshotv1.GetChartResponse, error) {
	c, err := s.store.Chart(ctx, chartKey(r.GetDigest()), r.GetName())
	if err != nil {
		return nil, toStatus(s.log, "GetChart", err)
	}
	out, err := chartOut(c)
	if err != nil {
		return nil, toStatus(s.log, "GetChart", err)
	}
	return &snapshotv1.GetChartResponse{Chart: out}, nil
}

// ListCharts implements the service.
func (s *Server) ListCharts(ctx context.Context, _ *snapshotv1.ListChartsRequest) (*snapshotv1.ListChartsResponse, error) {
	cs, err := s.store.Charts(ctx)
	if err != nil {
		return nil, toStatus(s.log, "ListCharts", err)
	}
	out := &snapshotv1.ListChartsResponse{}
	for _, c := range cs {
		o, err := chartOut(c)
		if err != nil {
			return nil, toStatus(s.log, "ListCharts", err)
		}
		out.Charts = append(out.Charts, o)
	}
	return out, nil
}

// PutBlob implements the service. What one caller can make it hold in memory
// is bounded by the most that a body may have.
func (s *Server) PutBlob(stream snapshotv1.SnapshotService_PutBlobServer) error {
	var b store.Blob
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return toStatus(s.log, "PutBlob", err)
		}
		if b.SHA256 == "" {
			b.SHA256 = r.GetSha256()
		}
		if len(b.Body)+len(r.GetChunk()) > store.MaxBlobBytes {
			return status.Errorf(codes.ResourceExhausted, "a body has at most %d bytes", store.MaxBlobBytes)
		}
		b.Body = append(b.Body, r.GetChunk()...)
	}
	if err := s.store.PutBlob(stream.Context(), b); err != nil {
		return toStatus(s.log, "PutBlob", err)
	}
	return stream.SendAndClose(&snapshotv1.PutBlobResponse{SizeBytes: uint64(len(b.Body))})
}

// GetBlob implements the service. An empty body is a stream without messages.
func (s *Server) GetBlob(r *snapshotv1.GetBlobRequest, stream snapshotv1.SnapshotService_GetBlobServer) error {
	body, err := s.store.Blob(stream.Context(), r.GetSha256())
	if err != nil {
		return toStatus(s.log, "GetBlob", err)
	}
	for len(body) > 0 {
		n := min(chunkBytes, len(body))
		if err := stream.Send(&snapshotv1.GetBlobResponse{Chunk: body[:n]}); err != nil {
			return toStatus(s.log, "GetBlob", err)
		}
		body = body[n:]
	}
	return nil
}

var (
	_ snapshotv1.SnapshotServiceServer = (*Server)(nil)
)
