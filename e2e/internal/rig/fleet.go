// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A Fleet is chartroom as four processes on loopback, each of which can be killed
// by itself.
type Fleet struct {
	Snapshot, Statemachine, Agent, Gateway *Process
	// API is the public interface, through the gateway.
	API fleetv1.FleetServiceClient
	// Address is the gateway's.
	Address string
	// HostID is the agent's.
	HostID string

	store, snapshot, statemachine string // addresses
}

// StartFleet starts the four services on a store, as the snapshot service takes
// it: redis://ADDRESS or pebble:DIRECTORY. The agent is for the engine of the
// environment.
func StartFleet(t testing.TB, store string) *Fleet {
	t.Helper()
	Engine(t)
	f := &Fleet{
		Address: FreeAddress(t), HostID: "e2e-" + runID(), store: store,
		snapshot: FreeAddress(t), statemachine: FreeAddress(t),
	}
	f.Snapshot = Start(t, "snapshot", nil, "snapshot", "--address", f.snapshot, "--store", store)
	Healthy(t, f.snapshot)
	f.Statemachine = Start(t, "statemachine", nil, "statemachine", "--address", f.statemachine, "--snapshot", f.snapshot)
	Healthy(t, f.statemachine)
	f.Agent = f.StartAgent(t, f.HostID)
	f.Gateway = Start(t, "gateway", nil, "gateway", "--address", f.Address, "--snapshot", f.snapshot, "--statemachine", f.statemachine)
	Healthy(t, f.Address)
	f.API = fleetv1.NewFleetServiceClient(dial(t, f.Address))
	Eventually(t, 20*time.Second, "the agent is connected", func() error {
		hosts, err := f.API.ListHosts(t.Context(), &fleetv1.ListHostsRequest{})
		if err != nil {
			return err
		}
		for _, h := range hosts.GetHosts() {
			if h.GetHostId() == f.HostID && h.GetConnected() && !h.GetUnknown() {
				return nil
			}
		}
		return fmt.Errorf("hosts: %v", hosts.GetHosts())
	})
	return f
}

// StartAgent starts one more agent for the same engine under another host id.
func (f *Fleet) StartAgent(t testing.TB, hostID string) *Process {
	t.Helper()
	return Start(t, "dockeragent-"+hostID, nil, "dockeragent", "--statemachine", f.statemachine,
		"--state", t.TempDir(), "--host-id", hostID, "--address", FreeAddress(t))
}

// dial opens a connection that ends with the test.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Healthy waits until a service says that it serves.
func Healthy(t testing.TB, address string) {
	t.Helper()
	health := grpc_health_v1.NewHealthClient(dial(t, address))
	Eventually(t, 30*time.Second, address+" is healthy", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
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

// CreateApp creates and starts an instance that runs an SCXML file as its
// application, and waits until it runs. It is removed when the test ends.
func (f *Fleet) CreateApp(t testing.TB, name string, command ...string) *fleetv1.Instance {
	t.Helper()
	RemoveByName(t, name)
	_, err := f.API.CreateInstance(t.Context(), &fleetv1.CreateInstanceRequest{
		Name: name, HostId: f.HostID, Start: true, RequestId: "create-" + name,
		Container: &fleetv1.ContainerSpec{
			Image: AppImage(t), Command: command,
			Labels: Labels("chartroom.snapshot", "socket", "chartroom.instance", name),
			Mounts: []string{"chartroom-run:/run/chartroom"},
		},
	})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return f.InState(t, name+"@"+f.HostID, "running", 30*time.Second)
}

// Send gives an application event to an instance, again and again under the same
// request id until it is acknowledged.
func (f *Fleet) Send(t testing.TB, id, event string, data map[string]any, requestID string, limit time.Duration) *fleetv1.SendEventResponse {
	t.Helper()
	value, err := structpb.NewValue(data)
	if err != nil {
		t.Fatal(err)
	}
	var r *fleetv1.SendEventResponse
	Eventually(t, limit, "send "+event+" "+requestID, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r, err = f.API.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: id, Event: event, Data: value, RequestId: requestID})
		return err
	})
	return r
}
