// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/gateway"
	"github.com/chartroom/chartroom/services/gateway/internal/fakestore"
)

// rig is a gateway on a port of loopback, between a fake store and a fake
// statemachine.
type rig struct {
	store        *fakestore.Store
	statemachine *fakeStatemachine
	address      string // HOST:PORT
	stop         func() // ends the gateway, and waits for that
	fleet        fleetv1.FleetServiceClient
}

// newRig starts a gateway; it ends with the test.
func newRig(t testing.TB, edit ...func(*gateway.Config)) *rig {
	t.Helper()
	r := &rig{store: &fakestore.Store{}, statemachine: &fakeStatemachine{}}
	r.store.PutHost(&fleetv1.Host{HostId: "h1", Connected: true, LastSeenTime: timestamppb.Now()})
	for i := range 3 {
		r.store.PutInstance(instance(fmt.Sprintf("bot%d@h1", i), 0, "started", "running"))
	}
	c := gateway.Config{Address: "127.0.0.1:0", HostLimit: time.Minute}
	c.Snapshot = serve(t, func(s *grpc.Server) { snapshotv1.RegisterSnapshotServiceServer(s, r.store) })
	c.Statemachine = serve(t, func(s *grpc.Server) {
		statemachinev1.RegisterStatemachineServiceServer(s, r.statemachine)
	})
	for _, f := range edit {
		f(&c)
	}
	g, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.address = g.Addr().String()
	r.stop = run(t, g.Run)
	conn, err := transport.Dial(r.address, c.Security)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r.fleet = fleetv1.NewFleetServiceClient(conn)
	eventually(t, "the gateway is ready", func() bool {
		_, err := r.fleet.ListInstances(t.Context(), &fleetv1.ListInstancesRequest{})
		return err == nil
	})
	return r
}

// run runs a component until the test ends, or it is stopped, and waits for it.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := f(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// serve serves a fake in memory and dials it.
func serve(t testing.TB, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	m := transport.NewMemory()
	srv := grpc.NewServer()
	register(srv)
	var done sync.WaitGroup
	done.Go(func() { _ = srv.Serve(m) })
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return m.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		srv.Stop()
		done.Wait()
	})
	return conn
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func instance(id string, logSequence uint64, configuration ...string) *fleetv1.Instance {
	v := &fleetv1.Instance{
		InstanceId: id, Name: id, ChartName: "container", Configuration: configuration, LogSequence: logSequence,
		Managed: true, CreateTime: timestamppb.New(time.Unix(1, 0)), AllowedIntents: []string{"system.kill", "system.stop"},
	}
	if name, host, ok := cut(id); ok {
		v.Name, v.HostId, v.Target = name, host, &fleetv1.Target{Kind: "container", ContainerId: "c-" + name, StartedTime: timestamppb.New(time.Unix(2, 0))}
	}
	return v
}

func cut(id string) (name, host string, ok bool) {
	for i := range id {
		if id[i] == '@' {
			return id[:i], id[i+1:], true
		}
	}
	return id, "", false
}

func entry(id string, n uint64) *fleetv1.LogEntry {
	return &fleetv1.LogEntry{
		InstanceId: id, Sequence: n, Event: "docker.start", Summary: fmt.Sprintf("entry %d", n),
		Time: timestamppb.New(time.Unix(int64(n), 0)),
	}
}

// fakeStatemachine accepts what it is given; an event named after a refusal is
// refused so.
type fakeStatemachine struct {
	statemachinev1.UnimplementedStatemachineServiceServer

	mu        sync.Mutex
	submitted []*fleetv1.SendEventRequest
	created   []*fleetv1.CreateInstanceRequest
}

func (f *fakeStatemachine) Submit(ctx context.Context, r *statemachinev1.SubmitRequest) (*statemachinev1.SubmitResponse, error) {
	f.mu.Lock()
	f.submitted = append(f.submitted, r.GetRequest())
	f.mu.Unlock()
	refuse := func(c codes.Code, d *fleetv1.Refusal, message string) (*statemachinev1.SubmitResponse, error) {
		s, err := status.New(c, message).WithDetails(d)
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	}
	switch r.GetRequest().GetEvent() {
	case "system.stop":
		return refuse(codes.FailedPrecondition, &fleetv1.Refusal{
			Reason: fleetv1.Reason_REASON_STATE_REFUSES, Configuration: []string{"stopped"}, AllowedIntents: []string{"system.start"},
		}, "stopped has no transition for system.stop")
	case "full":
		return refuse(codes.ResourceExhausted, &fleetv1.Refusal{
			Reason: fleetv1.Reason_REASON_QUEUE_FULL, RetryAfter: durationpb.New(1500 * time.Millisecond),
		}, "the queue is full")
	case "away":
		return nil, status.Error(codes.Unavailable, "secret address refused")
	case "endless":
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case "broken":
		return nil, status.Error(codes.Internal, "secret stack trace")
	}
	return &statemachinev1.SubmitResponse{Response: &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_QUEUED, Sequence: 7}}, nil
}

func (f *fakeStatemachine) CreateInstance(
	_ context.Context, r *statemachinev1.CreateInstanceRequest,
) (*statemachinev1.CreateInstanceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.created = append(f.created, r.GetRequest())
	return &statemachinev1.CreateInstanceResponse{Response: &fleetv1.CreateInstanceResponse{
		Instance: &fleetv1.Instance{InstanceId: r.GetRequest().GetName()},
	}}, nil
}

func (f *fakeStatemachine) PushChart(
	_ context.Context, r *statemachinev1.PushChartRequest,
) (*statemachinev1.PushChartResponse, error) {
	if r.GetRequest().GetDocument() == "<bad" {
		s, err := status.New(codes.InvalidArgument, "bad.scxml:3:7: unexpected end").WithDetails(
			&fleetv1.Refusal{Reason: fleetv1.Reason_REASON_CHART_INVALID, Line: 3, Column: 7})
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	}
	return &statemachinev1.PushChartResponse{Response: &fleetv1.PushChartResponse{
		Chart: &fleetv1.Chart{Name: r.GetRequest().GetName()}, Created: true,
	}}, nil
}

func (f *fakeStatemachine) Pipe(stream grpc.BidiStreamingServer[statemachinev1.PipeRequest, statemachinev1.PipeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if !first.GetOpen().GetAttach() {
		return stream.Send(&statemachinev1.PipeResponse{Data: []byte("one line\n")})
	}
	for { // an echo
		r, err := stream.Recv()
		if err != nil || r.GetCloseInput() {
			return nil
		}
		if err := stream.Send(&statemachinev1.PipeResponse{Data: r.GetData()}); err != nil {
			return err
		}
	}
}
