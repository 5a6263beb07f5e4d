// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// start runs everything on a directory and gives a client; stop ends it all.
func start(t *testing.T, data string, retention int) (c fleetv1.FleetServiceClient, stop func()) {
	t.Helper()
	address, end := serve(t, data, retention)
	conn, err := transport.Dial(address, transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	return fleetv1.NewFleetServiceClient(conn), func() {
		_ = conn.Close()
		end()
	}
}

// serve runs everything on a directory and gives the address of the gateway; stop ends
// it all.
func serve(t *testing.T, data string, retention int) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan cli.Running, 1), make(chan error, 1)
	go func() {
		ended <- up(ctx, cli.UpConfig{
			Data: data, Engine: "fake", Listen: "127.0.0.1:0", Host: "here", LogRetention: retention,
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}, func(r cli.Running) { ready <- r })
	}()
	var r cli.Running
	select {
	case r = <-ready:
	case err := <-ended:
		t.Fatalf("up ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("up is not ready after a minute")
	}
	return r.Address, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("up: %v", err)
		}
	}
}

// Everything in one process: a container runs and is sent an event, a chart runs
// by itself, and all of it is there again after a restart.
func TestUpKeepsWhatItWasGiven(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	c, stop := start(t, data, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run(ctx, t, c, "app")
	sent, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "app", Event: "add", Data: structpb.NewNumberValue(1)})
	if err != nil || sent.GetSequence() != 1 {
		t.Fatalf("send: %v %v", sent, err)
	}
	if _, err := c.CreateInstance(ctx, &fleetv1.CreateInstanceRequest{Name: "42", Chart: "order"}); err != nil {
		t.Fatalf("create a free instance: %v", err)
	}
	item, err := structpb.NewValue(map[string]any{"name": "tea", "price": 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "42", Event: "item", Data: item}); err != nil {
		t.Fatalf("send item: %v", err)
	}
	stop()

	c, stop = start(t, data, 0)
	defer stop()
	free, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: "42"})
	if err != nil || !slices.Contains(free.GetInstance().GetConfiguration(), "basket") {
		t.Errorf("the free instance after a restart: %v %v", free.GetInstance().GetConfiguration(), err)
	}
	if _, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "42", Event: "checkout"}); err != nil {
		t.Errorf("checkout: %v", err)
	}
	wait(ctx, t, c, "42", "payment") // it knows that there is tea
	hosted, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: "app"})
	if err != nil || hosted.GetInstance().GetQueue().GetAcceptedSequence() != 1 {
		t.Errorf("the hosted instance after a restart: %v %v", hosted.GetInstance().GetQueue(), err)
	}
}

// The log of an instance is as long as it was asked to be.
func TestUpKeepsTheLog(t *testing.T) {
	t.Parallel()
	c, stop := start(t, t.TempDir(), 5)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.CreateInstance(ctx, &fleetv1.CreateInstanceRequest{Name: "42", Chart: "order"}); err != nil {
		t.Fatalf("create a free instance: %v", err)
	}
	for range 25 { // never more than four times as many
		if _, err := c.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: "42", Event: "checkout"}); err != nil {
			t.Fatalf("send: %v", err)
		}
	}
	r, err := c.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: "42", PageSize: 100})
	if n := len(r.GetEntries()); err != nil || n < 5 || n > 20 {
		t.Errorf("%d entries are kept, %v; want 5 to 20", n, err)
	}
}

// run makes a container and waits until it runs.
func run(ctx context.Context, t *testing.T, c fleetv1.FleetServiceClient, name string) {
	t.Helper()
	for hosts := 0; hosts == 0; {
		r, err := c.ListHosts(ctx, &fleetv1.ListHostsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		hosts = len(r.GetHosts())
	}
	if _, err := c.CreateInstance(ctx, &fleetv1.CreateInstanceRequest{
		Name: name, Start: true, Container: &fleetv1.ContainerSpec{
			Image: "any", Environment: []string{"CHARTROOM_SOCKET=/run/chartroom/" + name + ".sock"}, Mounts: []string{"chartroom-run:/run/chartroom"},
		},
	}); err != nil {
		t.Fatalf("create: %v", err)
	}
	wait(ctx, t, c, name+"@here", "running")
}

func wait(ctx context.Context, t *testing.T, c fleetv1.FleetServiceClient, id, state string) {
	t.Helper()
	r, err := c.WaitInstance(ctx, &fleetv1.WaitInstanceRequest{InstanceId: id, State: state, Timeout: durationpb.New(30 * time.Second)})
	if err != nil {
		t.Fatalf("wait for %s to be %s: %v (%s)", id, state, err, r.GetInstance().GetWhy())
	}
}

func TestUpSaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	taken, err := transport.Listen("127.0.0.1:0", transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = up(t.Context(), cli.UpConfig{
		Data: t.TempDir(), Engine: "fake", Listen: taken.Addr().String(), Logger: slog.New(slog.DiscardHandler),
	}, func(cli.Running) { t.Error("it says that it is ready") })
	if err == nil {
		t.Error("a taken port is no error")
	}
}
