// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A Fleet is chartroom as four processes on loopback, each of which can be killed
// by itself.
type Fleet struct {
	Snapshot, Statemachine, Agent, Gateway *Process
	// StatemachineAddress is where agents connect.
	StatemachineAddress string
	// API is the public interface, through the gateway.
	API fleetv1.FleetServiceClient
	// Address is the gateway's.
	Address string
	// HostID is the agent's.
	HostID string
}

// StartCentre starts snapshot, statemachine and gateway on a store, as the snapshot
// service takes it: redis://ADDRESS or pebble:DIRECTORY. Without an agent there are
// only free instances.
func StartCentre(t testing.TB, store string) *Fleet {
	t.Helper()
	f := &Fleet{Address: FreeAddress(t), HostID: "e2e-" + RunID(), StatemachineAddress: FreeAddress(t)}
	snapshot := FreeAddress(t)
	f.Snapshot = Start(t, "snapshot", nil, "snapshot", "--address", snapshot, "--store", store)
	Healthy(t, snapshot)
	f.Statemachine = Start(t, "statemachine", nil, "statemachine", "--address", f.StatemachineAddress, "--snapshot", snapshot)
	Healthy(t, f.StatemachineAddress)
	f.Gateway = Start(t, "gateway", nil, "gateway", "--address", f.Address, "--snapshot", snapshot, "--statemachine", f.StatemachineAddress)
	Healthy(t, f.Address)
	f.API = fleetv1.NewFleetServiceClient(dial(t, f.Address))
	return f
}

// StartFleet starts the four services. The agent is for the engine of its
// environment, to which the given one is added (DOCKER_HOST=unix://…).
func StartFleet(t testing.TB, store string, environment ...string) *Fleet {
	t.Helper()
	Engine(t)
	f := StartCentre(t, store)
	f.Agent = f.StartAgent(t, f.HostID, environment...)
	f.Connected(t, f.HostID)
	return f
}

// Connected waits until the agent of a host is connected.
func (f *Fleet) Connected(t testing.TB, hostID string) {
	t.Helper()
	Eventually(t, 20*time.Second, "the agent of "+hostID+" is connected", func() error {
		hosts, err := f.API.ListHosts(t.Context(), &fleetv1.ListHostsRequest{})
		if err != nil {
			return err
		}
		for _, h := range hosts.GetHosts() {
			if h.GetHostId() == hostID && h.GetConnected() && !h.GetUnknown() {
				return nil
			}
		}
		return fmt.Errorf("hosts: %v", hosts.GetHosts())
	})
}

// StartAgent starts an agent under a host id. It acts only on the containers of
// this test: others with chartroom.enable on the engine are somebody else's.
func (f *Fleet) StartAgent(t testing.TB, hostID string, environment ...string) *Process {
	t.Helper()
	environment = append(environment, "CHARTROOM_ONLY="+Only(t))
	return Start(t, "dockeragent-"+hostID, environment, "dockeragent", "--statemachine", f.StatemachineAddress,
		"--state", t.TempDir(), "--host-id", hostID, "--address", FreeAddress(t))
}

// dial opens a connection that ends with the test.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+address, trust(t)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Healthy waits until a service says that it serves.
func Healthy(t testing.TB, address string) {
	t.Helper()
	inHealth(t, address, grpc_health_v1.HealthCheckResponse_SERVING)
}

// Unhealthy waits until a service says that it does not serve.
func Unhealthy(t testing.TB, address string) {
	t.Helper()
	inHealth(t, address, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
}

func inHealth(t testing.TB, address string, want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	health := grpc_health_v1.NewHealthClient(dial(t, address))
	Eventually(t, 30*time.Second, address+" is "+want.String(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && r.GetStatus() != want {
			err = fmt.Errorf("status %v", r.GetStatus())
		}
		return err
	})
}

// Instance reads an instance by name or id.
func (f *Fleet) Instance(t testing.TB, id string) (*fleetv1.Instance, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	r, err := f.API.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: id})
	return r.GetInstance(), err
}

// InState waits until an instance has the state active anywhere.
func (f *Fleet) InState(t testing.TB, id, state string, limit time.Duration) *fleetv1.Instance {
	t.Helper()
	var i *fleetv1.Instance
	Eventually(t, limit, id+" is "+state, func() (err error) {
		i, err = f.Instance(t, id)
		if err == nil && !slices.Contains(i.GetConfiguration(), state) {
			err = fmt.Errorf("configuration %s, %s", strings.Join(i.GetConfiguration(), " "), i.GetWhy())
		}
		return err
	})
	return i
}

// An App is an instance whose application is an SCXML file, run by the image
// chartroom/scxml.
type App struct {
	// ID is the instance's, Name the container's.
	ID, Name string
	fleet    *Fleet
	engine   *PrivateEngine // nil for the engine of the environment
}

// CreateApp creates and starts helloworld as an instance and waits until it runs.
// Labels are added to its container, given as pairs. It is removed when the test
// ends.
func (f *Fleet) CreateApp(t testing.TB, name string, labels ...string) *App {
	t.Helper()
	return f.Create(t, AppImage(t), nil, name, labels...)
}

// Create is CreateApp of another image, with variables added to its environment.
func (f *Fleet) Create(t testing.TB, image string, environment []string, name string, labels ...string) *App {
	t.Helper()
	app := f.Order(t, image, environment, name, labels...)
	f.InState(t, app.ID, "running", 30*time.Second)
	return app
}

// Order is Create without waiting for more than the acknowledgement: the container
// comes later. It asks again and again under the same request id.
func (f *Fleet) Order(t testing.TB, image string, environment []string, name string, labels ...string) *App {
	t.Helper()
	name += "-" + RunID()
	RemoveByName(t, name)
	request := &fleetv1.CreateInstanceRequest{
		Name: name, HostId: f.HostID, Start: true, RequestId: "create-" + name,
		Container: &fleetv1.ContainerSpec{
			Image:       image,
			Environment: append([]string{"CHARTROOM_SOCKET=/run/chartroom/app.sock"}, environment...),
			Labels:      Labels(t, append([]string{"chartroom.instance", name}, labels...)...),
			Mounts:      []string{Volume(t) + ":/run/chartroom"},
		},
	}
	Eventually(t, 30*time.Second, "create "+name, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := f.API.CreateInstance(ctx, request)
		return err
	})
	return &App{ID: name + "@" + f.HostID, Name: name, fleet: f}
}

// Greeted asks the application what it has processed and reads its answer where
// the engine keeps what a container wrote: a witness that is none of ours. The
// fleet must have delivered everything before.
func (a *App) Greeted(t testing.TB, limit time.Duration) []int {
	t.Helper()
	said := strings.Count(a.logs(t), "report")
	a.fleet.Send(t, a.ID, "report", nil, fmt.Sprintf("report-%s-%d", a.Name, said), limit)
	var greeted []int
	Eventually(t, limit, a.Name+" reports", func() error {
		logs := a.logs(t)
		if strings.Count(logs, "report") <= said {
			return fmt.Errorf("its output ends in %q", logs[max(0, len(logs)-200):])
		}
		line := logs[strings.LastIndex(logs, "report"):]
		line, _, _ = strings.Cut(line, "\n")
		open, end := strings.Index(line, "["), strings.LastIndex(line, "]")
		if open < 0 || end < open {
			return fmt.Errorf("no list in %q", line)
		}
		return json.Unmarshal([]byte(line[open:end+1]), &greeted)
	})
	return greeted
}

func (a *App) logs(t testing.TB) string {
	t.Helper()
	if a.engine != nil {
		return a.engine.Docker(t, "logs", a.Name)
	}
	return Logs(t, a.Name)
}

// Drained waits until the application has answered everything accepted so far.
func (a *App) Drained(t testing.TB, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, a.ID+" has answered everything", func() error {
		i, err := a.fleet.Instance(t, a.ID)
		if err == nil && i.GetQueue().GetWaiting()+uint32(min(i.GetQueue().GetInFlightSequence(), 1)) > 0 {
			err = fmt.Errorf("queue %v, %s", i.GetQueue(), i.GetWhy())
		}
		return err
	})
}

// Send gives an application event to an instance, again and again under the same
// request id until it is acknowledged.
func (f *Fleet) Send(t testing.TB, id, event string, data map[string]any, requestID string, limit time.Duration) *fleetv1.SendEventResponse {
	t.Helper()
	var value *structpb.Value
	if data != nil {
		var err error
		if value, err = structpb.NewValue(data); err != nil {
			t.Fatal(err)
		}
	}
	var r *fleetv1.SendEventResponse
	Eventually(t, limit, "send "+event+" "+requestID, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var err error
		r, err = f.API.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: id, Event: event, Data: value, RequestId: requestID})
		return err
	})
	return r
}

// TellStory prints the log of an instance and its queue when the test fails.
func (f *Fleet) TellStory(t testing.TB, id string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		r, err := f.API.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: id, PageSize: 1000})
		if err != nil {
			t.Logf("the log of %s: %v", id, err)
			return
		}
		var b strings.Builder
		for _, e := range r.GetEntries() {
			fmt.Fprintf(&b, "%4d %s %-11s %-22s %.160s", e.GetSequence(), e.GetTime().AsTime().Format("05.000"), e.GetOrigin(), e.GetEvent(), e.GetDataJson())
			for _, effect := range e.GetEffects() {
				fmt.Fprintf(&b, "\n       -> %s %s %.120s", effect.GetKind(), effect.GetName(), effect.GetDataJson())
			}
			b.WriteByte('\n')
		}
		i, err := f.API.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: id})
		t.Logf("what happened to %s:\n%squeue %v, snapshots %v (%v)", id, b.String(), i.GetInstance().GetQueue(), i.GetInstance().GetSnapshots(), err)
	})
}
