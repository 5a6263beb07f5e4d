// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// fleet is a server that answers with what a test gave it and remembers the
// last request.
type fleet struct {
	fleetv1.UnimplementedFleetServiceServer
	instances []*fleetv1.Instance
	hosts     []*fleetv1.Host
	findings  []*fleetv1.Finding
	version   string
	refuse    error
	lacks     string // what it does not serve for want of; empty when it serves
	last      proto.Message
	sent      *fleetv1.SendEventResponse // the answer to any event
	changes   []*fleetv1.WatchResponse
	logs      []*fleetv1.LogsResponse
	log       []*fleetv1.LogEntry
	bodies    map[uint64]string // of snapshots
	// breaks are what watches send before they break, one after another; the
	// watch after these sends changes and ends.
	breaks [][]*fleetv1.WatchResponse
	asked  []*fleetv1.WatchRequest
	// interrupt ends the command once it waits, which then lasts until its end.
	interrupt context.CancelFunc
}

func (f *fleet) ListInstances(_ context.Context, r *fleetv1.ListInstancesRequest) (*fleetv1.ListInstancesResponse, error) {
	f.last = r
	// One a page, so that paging is seen to work.
	at := 0
	for i, instance := range f.instances {
		if instance.GetInstanceId() == r.GetPageToken() {
			at = i
		}
	}
	out := &fleetv1.ListInstancesResponse{}
	if len(f.instances) > 0 {
		out.Instances = f.instances[at : at+1]
	}
	if at+1 < len(f.instances) {
		out.NextPageToken = f.instances[at+1].GetInstanceId()
	}
	return out, f.refuse
}

func (f *fleet) GetInstance(_ context.Context, r *fleetv1.GetInstanceRequest) (*fleetv1.GetInstanceResponse, error) {
	for _, i := range f.instances {
		if i.GetInstanceId() == r.GetInstanceId() || i.GetName() == r.GetInstanceId() {
			return &fleetv1.GetInstanceResponse{Instance: i}, nil
		}
	}
	return nil, refusal(codes.NotFound, "there is no instance "+r.GetInstanceId(), &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_INSTANCE_UNKNOWN})
}

func (f *fleet) ListHosts(context.Context, *fleetv1.ListHostsRequest) (*fleetv1.ListHostsResponse, error) {
	return &fleetv1.ListHostsResponse{Hosts: f.hosts, ServerVersion: f.version, Findings: f.findings}, nil
}

func (f *fleet) SendEvent(_ context.Context, r *fleetv1.SendEventRequest) (*fleetv1.SendEventResponse, error) {
	f.last = r
	if f.refuse != nil {
		return nil, f.refuse
	}
	if f.sent != nil {
		return f.sent, nil
	}
	if strings.HasPrefix(r.GetEvent(), "system.") {
		return &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 5, Configuration: []string{"started", "running"}}, nil
	}
	return &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_QUEUED, Sequence: 7, Position: 2}, nil
}

func (f *fleet) CreateInstance(_ context.Context, r *fleetv1.CreateInstanceRequest) (*fleetv1.CreateInstanceResponse, error) {
	f.last = r
	if f.refuse != nil {
		return nil, f.refuse
	}
	return &fleetv1.CreateInstanceResponse{Instance: &fleetv1.Instance{InstanceId: r.GetName() + "@h", LogSequence: 2}}, nil
}

func (f *fleet) ListCharts(context.Context, *fleetv1.ListChartsRequest) (*fleetv1.ListChartsResponse, error) {
	return &fleetv1.ListChartsResponse{Charts: []*fleetv1.Chart{{Name: "order", Digest: "ab12"}, {Name: "order", Digest: "ac34"}, {Name: "door", Digest: "ab99"}}}, nil
}

func (f *fleet) GetChart(_ context.Context, r *fleetv1.GetChartRequest) (*fleetv1.GetChartResponse, error) {
	f.last = r
	return &fleetv1.GetChartResponse{Chart: &fleetv1.Chart{Name: r.GetName(), Document: "<scxml/>"}}, nil
}

func (f *fleet) PushChart(_ context.Context, r *fleetv1.PushChartRequest) (*fleetv1.PushChartResponse, error) {
	f.last = r
	if f.refuse != nil {
		return nil, f.refuse
	}
	return &fleetv1.PushChartResponse{Chart: &fleetv1.Chart{Name: r.GetName(), Digest: "abcdef0123456789"}, Created: true}, nil
}

func (f *fleet) WaitInstance(ctx context.Context, r *fleetv1.WaitInstanceRequest) (*fleetv1.WaitInstanceResponse, error) {
	f.last = r
	f.wait(ctx)
	return &fleetv1.WaitInstanceResponse{Exited: true, ExitCode: 137}, f.refuse
}

func (f *fleet) Watch(r *fleetv1.WatchRequest, s grpc.ServerStreamingServer[fleetv1.WatchResponse]) (end error) {
	changes := f.changes
	if n := len(f.asked); n < len(f.breaks) {
		changes, end = f.breaks[n], status.Error(codes.Unavailable, "the connection broke")
	}
	f.asked = append(f.asked, r)
	for _, c := range changes {
		if err := s.Send(c); err != nil {
			return err
		}
	}
	f.wait(s.Context())
	return end
}

// wait lets somebody end the command that waits.
func (f *fleet) wait(ctx context.Context) {
	if f.interrupt != nil {
		f.interrupt()
		<-ctx.Done()
	}
}

func (f *fleet) ListLog(_ context.Context, r *fleetv1.ListLogRequest) (*fleetv1.ListLogResponse, error) {
	f.last = r
	entries := slices.Clone(f.log)
	slices.Reverse(entries)
	return &fleetv1.ListLogResponse{Entries: entries}, nil
}

func (f *fleet) GetSnapshot(_ context.Context, r *fleetv1.GetSnapshotRequest) (*fleetv1.GetSnapshotResponse, error) {
	body, ok := f.bodies[r.GetNumber()]
	if !ok {
		return nil, refusal(codes.NotFound, "no such snapshot", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_SNAPSHOT_UNKNOWN})
	}
	return &fleetv1.GetSnapshotResponse{Body: []byte(body)}, nil
}

func (f *fleet) Logs(r *fleetv1.LogsRequest, s grpc.ServerStreamingServer[fleetv1.LogsResponse]) error {
	f.last = r
	for _, l := range f.logs {
		if err := s.Send(l); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) Attach(s grpc.BidiStreamingServer[fleetv1.AttachRequest, fleetv1.AttachResponse]) error {
	for {
		r, err := s.Recv()
		if err != nil || r.GetCloseInput() {
			return nil
		}
		if len(r.GetData()) > 0 {
			if err := s.Send(&fleetv1.AttachResponse{Data: bytes.ToUpper(r.GetData())}); err != nil {
				return err
			}
		}
	}
}

func refusal(code codes.Code, message string, detail *fleetv1.Refusal) error {
	s, err := status.New(code, message).WithDetails(detail)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// run runs the command line against f.
func run(t *testing.T, f *fleet, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runUntil(t.Context(), t, f, stdin, args...)
}

// runUntil does so until ctx ends.
func runUntil(ctx context.Context, t *testing.T, f *fleet, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	address := "127.0.0.1:1" // nothing listens there
	if f != nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, err := transport.NewServer(transport.Security{})
		if err != nil {
			t.Fatal(err)
		}
		fleetv1.RegisterFleetServiceServer(server, f)
		health := transport.RegisterHealth(server)
		health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
		if f.lacks != "" {
			transport.SetNeed(health, f.lacks, false)
			transport.SetNeed(health, "", false)
		}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		address = l.Addr().String()
	}
	var out, fault bytes.Buffer
	code = cli.Main(ctx, args, cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &fault,
		Getenv: func(name string) string { return map[string]string{"CHARTROOM_SERVER": address}[name] },
		Up:     func(context.Context, cli.UpConfig, func(cli.Running)) error { return nil },
		Demo:   func(context.Context, cli.DemoConfig) error { return nil },
	})
	return code, out.String(), fault.String()
}
