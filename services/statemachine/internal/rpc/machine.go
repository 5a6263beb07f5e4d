// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

const (
	maxRequestIDBytes = 64
	maxChartNameBytes = 100
)

type machineServer struct {
	statemachinev1.UnimplementedStatemachineServiceServer
	*Server
}

// Submit gives an intent or an application event to an instance.
func (m machineServer) Submit(ctx context.Context, r *statemachinev1.SubmitRequest) (*statemachinev1.SubmitResponse, error) {
	response := &fleetv1.SendEventResponse{}
	if err := m.submit(ctx, r.GetRequest(), response); err != nil {
		return nil, m.failure(ctx, "submit", err)
	}
	return &statemachinev1.SubmitResponse{Response: response}, nil
}

func (m machineServer) submit(ctx context.Context, r *fleetv1.SendEventRequest, response *fleetv1.SendEventResponse) error {
	data, err := dataJSON(r.GetData())
	if err != nil {
		return err
	}
	in := &session.Request{
		Instance: r.GetInstanceId(), Event: r.GetEvent(), DataJSON: data,
		Digest: digest("send", r.GetInstanceId(), r.GetEvent(), string(data)), Traceparent: traceparent(ctx),
	}
	return m.ask(ctx, r.GetRequestId(), in.Digest, session.ShardOfInput(in), response, func(id string, lookedUp time.Time, reply session.Reply) session.Input {
		asked := *in
		asked.ID, asked.LookedUp, asked.Reply = id, lookedUp, reply
		return &asked
	})
}

// ask posts an input and waits until its answer is committed. A request_id
// that the caller gave is first looked up among the answers in the store; it is
// looked up again when it may have been answered meanwhile.
func (m machineServer) ask(ctx context.Context, id string, digest []byte, shard uint32, response proto.Message, input func(string, time.Time, session.Reply) session.Input) error {
	if len(id) > maxRequestIDBytes {
		return session.Invalid("request_id: %d bytes, at most %d", len(id), maxRequestIDBytes)
	}
	if id == "" {
		return m.post(ctx, response, func(reply session.Reply) session.Input { return input(rand.Text(), time.Time{}, reply) })
	}
	for {
		now := time.Now()
		found, err := m.c.Snapshot.LookupRequest(ctx, &snapshotv1.LookupRequestRequest{Shard: shard, RequestId: id})
		if err != nil {
			return fmt.Errorf("look up request: %w", err)
		}
		if result := found.GetResult(); result != nil {
			return session.OpenResponse(id, result.GetResponse(), digest, response)
		}
		err = m.post(ctx, response, func(reply session.Reply) session.Input { return input(id, now, reply) })
		if !errors.Is(err, session.ErrLookUp) {
			return err
		}
	}
}

// post posts an input and waits until its answer is committed.
func (m machineServer) post(ctx context.Context, response proto.Message, input func(session.Reply) session.Input) error {
	type answer struct {
		response proto.Message
		err      error
	}
	answered := make(chan answer, 1)
	in := input(func(response proto.Message, err error) {
		select {
		case answered <- answer{response, err}:
		default: // told before
		}
	})
	if err := m.c.Owner.Post(ctx, in); err != nil {
		return err
	}
	select {
	case a := <-answered:
		if a.err != nil {
			return a.err
		}
		proto.Merge(response, a.response)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CreateInstance makes a container on a host, or a free instance.
func (m machineServer) CreateInstance(ctx context.Context, r *statemachinev1.CreateInstanceRequest) (*statemachinev1.CreateInstanceResponse, error) {
	response := &fleetv1.CreateInstanceResponse{}
	if err := m.create(ctx, r.GetRequest(), response); err != nil {
		return nil, m.failure(ctx, "create instance", err)
	}
	return &statemachinev1.CreateInstanceResponse{Response: response}, nil
}

func (m machineServer) create(ctx context.Context, r *fleetv1.CreateInstanceRequest, response *fleetv1.CreateInstanceResponse) error {
	in := &session.Create{Name: r.GetName(), Start: r.GetStart(), Traceparent: traceparent(ctx)}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return session.Invalid("request: %v", err)
	}
	in.Digest = digest("create", string(content))
	if in.Name == "" {
		in.Name = strings.ToLower(r.GetChart() + rand.Text()[:8])
		if r.GetRequestId() != "" {
			// Asked again it has to be the same.
			in.Name = fmt.Sprintf("i%x", digest("name", r.GetRequestId())[:6])
		}
	}
	if err := session.CheckName(in.Name); err != nil {
		return err
	}
	if spec := r.GetContainer(); spec != nil {
		err = m.container(r, spec, in)
	} else {
		err = free(r, in)
	}
	if err != nil {
		return err
	}
	if in.Chart, err = m.c.Charts.Name(ctx, chartName(r)); err != nil {
		return err
	}
	return m.ask(ctx, r.GetRequestId(), in.Digest, session.ShardOfInput(in), response, func(id string, lookedUp time.Time, reply session.Reply) session.Input {
		asked := *in
		asked.ID, asked.LookedUp, asked.Reply = id, lookedUp, reply
		return &asked
	})
}

func chartName(r *fleetv1.CreateInstanceRequest) string {
	if r.GetChart() == "" {
		return r.GetContainer().GetLabels()["chartroom.chart"]
	}
	return r.GetChart()
}

// free fills in what only a free instance has.
func free(r *fleetv1.CreateInstanceRequest, in *session.Create) error {
	if r.GetChart() == "" {
		return session.Invalid("a free instance needs a chart, a hosted one a container")
	}
	if r.GetHostId() != "" {
		return session.Invalid("a free instance has no host")
	}
	in.Data = r.GetData().AsMap()
	return nil
}

// container fills in what only a hosted instance has: the host and the
// arguments of create.
func (m machineServer) container(r *fleetv1.CreateInstanceRequest, spec *fleetv1.ContainerSpec, in *session.Create) error {
	if spec.GetImage() == "" {
		return session.Invalid("container without an image")
	}
	in.Host = r.GetHostId()
	if in.Host == "" {
		connected := m.c.Dispatcher.Connected()
		if len(connected) != 1 {
			return &session.Refusal{Reason: fleetv1.Reason_REASON_HOST_UNKNOWN, Message: fmt.Sprintf("%d hosts are connected; name one", len(connected))}
		}
		in.Host = connected[0]
	}
	labels := maps.Clone(spec.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels["chartroom.enable"], labels["chartroom.instance"] = "true", in.Name
	if r.GetChart() != "" {
		labels["chartroom.chart"] = r.GetChart()
	}
	in.Image = spec.GetImage()
	in.Arguments = map[string]any{
		"name": in.Name, "image": spec.GetImage(), "labels": labels, "network": spec.GetNetwork(),
		"command": orEmpty(spec.GetCommand()), "environment": orEmpty(spec.GetEnvironment()), "mounts": orEmpty(spec.GetMounts()),
	}
	return nil
}

// orEmpty makes an empty list of none, so that JSON says [] and not null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// PushChart checks a document and stores it.
func (m machineServer) PushChart(ctx context.Context, r *statemachinev1.PushChartRequest) (*statemachinev1.PushChartResponse, error) {
	name := r.GetRequest().GetName()
	err := session.CheckName(name)
	if err == nil && len(name) > maxChartNameBytes {
		err = session.Invalid("chart name: %d bytes, at most %d", len(name), maxChartNameBytes)
	}
	if err != nil {
		return nil, m.failure(ctx, "push chart", err)
	}
	chart, created, err := m.c.Charts.Push(ctx, name, []byte(r.GetRequest().GetDocument()), r.GetRequest().GetForce())
	if err != nil {
		return nil, m.failure(ctx, "push chart", err)
	}
	return &statemachinev1.PushChartResponse{Response: &fleetv1.PushChartResponse{Chart: chart, Created: created}}, nil
}

// dataJSON is an event's data as JSON; empty for none.
func dataJSON(v *structpb.Value) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	plain := v.AsInterface()
	if plain == nil {
		return nil, nil
	}
	b, err := json.Marshal(plain)
	if err != nil {
		return nil, session.Invalid("data: %v", err)
	}
	return b, nil
}

// digest tells requests apart that have the same request_id.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)[:16]
}

// traceparent is the W3C trace context of a call; empty when it has none.
func traceparent(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("traceparent"); len(v) > 0 {
		return v[0]
	}
	return ""
}
