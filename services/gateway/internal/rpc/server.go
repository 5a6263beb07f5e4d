// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rpc is the public FleetService: it checks what is asked, answers
// reads from the read model, and hands writes to statemachine.
//
// # Guarantees
//
// A write is answered only after statemachine has committed it, and repeating
// it with the same request_id gives the first answer. Nothing is retried here:
// the caller knows its request_id and the gateway holds nothing. A read shows
// what was committed up to a moment ago (list plus watch, without a gap).
//
// A [Server] is safe for concurrent use. Every call ends with its context.
package rpc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/internal/version"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
	"github.com/chartroom/chartroom/services/gateway/internal/upstream"
)

// Drawer draws charts; see package layout.
type Drawer interface {
	// Draw gives the geometry of a chart. document is read only when the
	// drawing of that digest is not known yet.
	Draw(ctx context.Context, name, digest, document string) (*fleetv1.GetDrawingResponse, error)
}

// Server implements FleetService.
type Server struct {
	fleetv1.UnimplementedFleetServiceServer

	model        *readmodel.Model
	upstream     *upstream.Monitor
	store        snapshotv1.SnapshotServiceClient
	statemachine statemachinev1.StatemachineServiceClient
	drawer       Drawer
	logger       *slog.Logger
}

// New makes a server. The model is fed by somebody else.
func New(
	model *readmodel.Model,
	upstream *upstream.Monitor,
	store snapshotv1.SnapshotServiceClient,
	statemachine statemachinev1.StatemachineServiceClient,
	drawer Drawer,
	logger *slog.Logger,
) *Server {
	return &Server{model: model, upstream: upstream, store: store, statemachine: statemachine, drawer: drawer, logger: logger}
}

// Interceptors are the options that make every error of a gRPC server one that
// clients may see.
func (s *Server) Interceptors() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(
			ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
		) (any, error) {
			resp, err := next(ctx, req)
			return resp, s.toStatus(ctx, info.FullMethod, err)
		}),
		grpc.ChainStreamInterceptor(func(
			srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
		) error {
			return s.toStatus(ss.Context(), info.FullMethod, next(srv, ss))
		}),
	}
}

// ListInstances implements FleetService.
func (s *Server) ListInstances(
	_ context.Context, r *fleetv1.ListInstancesRequest,
) (*fleetv1.ListInstancesResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	f := readmodel.Filter{State: r.GetState(), Host: r.GetHostId(), Managed: r.GetManaged(), Query: r.GetQuery()}
	p, err := s.model.Instances(f, size, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &fleetv1.ListInstancesResponse{
		Instances: p.Instances, NextPageToken: p.Next, TotalSize: uint32(p.Total),
	}, nil
}

// GetInstance implements FleetService.
func (s *Server) GetInstance(
	_ context.Context, r *fleetv1.GetInstanceRequest,
) (*fleetv1.GetInstanceResponse, error) {
	v, err := s.instance(r.GetInstanceId())
	if err != nil {
		return nil, err
	}
	return &fleetv1.GetInstanceResponse{Instance: v}, nil
}

// instance resolves an id or a bare name.
func (s *Server) instance(id string) (*fleetv1.Instance, error) {
	if err := checkInstanceID(id); err != nil {
		return nil, err
	}
	return s.model.Instance(id)
}

// SendEvent implements FleetService.
func (s *Server) SendEvent(ctx context.Context, r *fleetv1.SendEventRequest) (*fleetv1.SendEventResponse, error) {
	if err := checkEvent(r); err != nil {
		return nil, err
	}
	v, err := s.instance(r.GetInstanceId())
	switch {
	case errors.Is(err, readmodel.ErrInstanceUnknown):
		// Perhaps made a moment ago: statemachine knows.
	case err != nil:
		return nil, err
	default:
		if err := checkReserved(v, r.GetEvent()); err != nil {
			return nil, err
		}
		r = proto.CloneOf(r)
		r.InstanceId = v.GetInstanceId()
	}
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = newRequestID()
	}
	resp, err := write(ctx, s, func(ctx context.Context) (*statemachinev1.SubmitResponse, error) {
		return s.statemachine.Submit(ctx, &statemachinev1.SubmitRequest{Request: r})
	})
	if err != nil {
		return nil, err
	}
	out := resp.GetResponse()
	if out == nil {
		out = &fleetv1.SendEventResponse{}
	}
	out.RequestId = r.GetRequestId()
	return out, nil
}

// CreateInstance implements FleetService.
func (s *Server) CreateInstance(
	ctx context.Context, r *fleetv1.CreateInstanceRequest,
) (*fleetv1.CreateInstanceResponse, error) {
	if err := checkCreate(r); err != nil {
		return nil, err
	}
	r = proto.CloneOf(r)
	if r.GetRequestId() == "" {
		r.RequestId = newRequestID()
	}
	if r.GetName() == "" {
		r.Name = chosenName(r)
	}
	if r.GetContainer() != nil || r.GetHostId() != "" {
		host, err := s.host(r.GetHostId())
		if err != nil {
			return nil, err
		}
		r.HostId = host
	}
	resp, err := write(ctx, s, func(ctx context.Context) (*statemachinev1.CreateInstanceResponse, error) {
		return s.statemachine.CreateInstance(ctx, &statemachinev1.CreateInstanceRequest{Request: r})
	})
	if err != nil {
		return nil, err
	}
	s.awaitShown(ctx, resp.GetResponse().GetInstance().GetInstanceId())
	return resp.GetResponse(), nil
}

// awaitShown waits until the read model has an instance that was committed, so
// that whoever made it can read it next. It gives up after two seconds: the
// instance is there all the same.
func (s *Server) awaitShown(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	watcher, err := s.model.Watch(readmodel.Selection{Instance: id}, "")
	if err != nil {
		return
	}
	for {
		if _, err := s.model.Instance(id); err == nil {
			return
		}
		if _, err := watcher.Next(ctx); err != nil {
			return
		}
	}
}

// host checks a host id, or chooses the host when the fleet has only one.
func (s *Server) host(id string) (string, error) {
	hosts, err := s.model.Hosts()
	if err != nil {
		return "", err
	}
	for _, h := range hosts {
		if h.GetHostId() == id || id == "" && len(hosts) == 1 {
			return h.GetHostId(), nil
		}
	}
	if id == "" && len(hosts) > 1 {
		return "", invalid("the fleet has %d hosts: host_id is needed", len(hosts))
	}
	if id == "" {
		return "", Refuse(codes.FailedPrecondition, fleetv1.Reason_REASON_HOST_UNKNOWN,
			"no host has an agent yet")
	}
	return "", Refuse(codes.NotFound, fleetv1.Reason_REASON_HOST_UNKNOWN, "no such host: %q", id)
}

// chosenName derives a name from the request_id, so that repeating the request
// asks for the same instance.
func chosenName(r *fleetv1.CreateInstanceRequest) string {
	base := r.GetChart()
	if image := r.GetContainer().GetImage(); image != "" {
		base, _, _ = strings.Cut(path.Base(image), "@")
		base, _, _ = strings.Cut(base, ":")
	}
	if checkName(base) != nil {
		base = "instance"
	}
	sum := sha256.Sum256([]byte(r.GetRequestId()))
	return base + "-" + hex.EncodeToString(sum[:4])
}

// newRequestID makes an id for a caller that gave none.
func newRequestID() string { return rand.Text() }

// ListLog implements FleetService.
func (s *Server) ListLog(ctx context.Context, r *fleetv1.ListLogRequest) (*fleetv1.ListLogResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	v, err := s.instance(r.GetInstanceId())
	if err != nil {
		return nil, err
	}
	ask := &snapshotv1.ListLogRequest{
		InstanceId:     v.GetInstanceId(),
		AfterSequence:  r.GetAfterSequence(),
		BeforeSequence: r.GetBeforeSequence(),
		Limit:          uint32(size),
		Descending:     r.GetDescending(),
	}
	out := &fleetv1.ListLogResponse{}
	if !r.GetProblemsOnly() {
		resp, err := s.store.ListLog(ctx, ask)
		if err != nil {
			return nil, err
		}
		out.Entries = resp.GetEntries()
		return out, nil
	}
	// The store keeps no index of severities; the log of one instance is
	// bounded by its retention, so that reading it by pages is too.
	ask.Limit = maxPage
	for len(out.Entries) < size {
		resp, err := s.store.ListLog(ctx, ask)
		if err != nil {
			return nil, err
		}
		for _, e := range resp.GetEntries() {
			if e.GetSeverity() >= fleetv1.Severity_SEVERITY_WARNING && len(out.Entries) < size {
				out.Entries = append(out.Entries, e)
			}
		}
		n := len(resp.GetEntries())
		if n < maxPage {
			break
		}
		if last := resp.GetEntries()[n-1].GetSequence(); r.GetDescending() {
			ask.BeforeSequence = last
		} else {
			ask.AfterSequence = last
		}
	}
	return out, nil
}

// GetSnapshot implements FleetService.
func (s *Server) GetSnapshot(
	ctx context.Context, r *fleetv1.GetSnapshotRequest,
) (*fleetv1.GetSnapshotResponse, error) {
	v, err := s.instance(r.GetInstanceId())
	if err != nil {
		return nil, err
	}
	for _, snap := range v.GetSnapshots() { // newest first
		if r.GetNumber() != 0 && snap.GetNumber() != r.GetNumber() {
			continue
		}
		body, err := s.blob(ctx, snap.GetSha256())
		if err != nil {
			return nil, err
		}
		return &fleetv1.GetSnapshotResponse{Snapshot: snap, Body: body}, nil
	}
	if r.GetNumber() == 0 {
		return nil, Refuse(codes.NotFound, fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN,
			"instance %q has no snapshot", v.GetInstanceId())
	}
	return nil, Refuse(codes.NotFound, fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN,
		"instance %q has no snapshot %d", v.GetInstanceId(), r.GetNumber())
}

func (s *Server) blob(ctx context.Context, sha string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.store.GetBlob(ctx, &snapshotv1.GetBlobRequest{Sha256: sha})
	if err != nil {
		return nil, err
	}
	var body []byte
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if body = append(body, r.GetChunk()...); len(body) > maxBody {
			return nil, tooLarge("snapshot body is larger than %d bytes", maxBody)
		}
	}
}

// ListHosts implements FleetService.
func (s *Server) ListHosts(ctx context.Context, _ *fleetv1.ListHostsRequest) (*fleetv1.ListHostsResponse, error) {
	hosts, err := s.model.Hosts()
	if err != nil {
		return nil, err
	}
	r := &fleetv1.ListHostsResponse{Hosts: hosts, ServerVersion: version.Version}
	if f := s.model.Finding(); f != nil {
		r.Findings = append(r.Findings, f)
	} else if f := s.upstream.Finding(ctx); f != nil {
		r.Findings = append(r.Findings, f)
	}
	r.Findings = append(r.Findings, s.model.Shared()...)
	return r, nil
}

// ListCharts implements FleetService.
func (s *Server) ListCharts(context.Context, *fleetv1.ListChartsRequest) (*fleetv1.ListChartsResponse, error) {
	charts, err := s.model.Charts()
	if err != nil {
		return nil, err
	}
	return &fleetv1.ListChartsResponse{Charts: charts}, nil
}

// Send is SendEvent for callers that are not gRPC: its errors are those that
// clients may see.
func (s *Server) Send(ctx context.Context, r *fleetv1.SendEventRequest) (*fleetv1.SendEventResponse, error) {
	resp, err := s.SendEvent(ctx, r)
	return resp, s.toStatus(ctx, "SendEvent", err)
}
