// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/statemachine"
	"github.com/chartroom/chartroom/services/statemachine/internal/fakestore"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// patience is how long a condition may take to come true, and a request to be answered:
// longer than a chart that does not end takes for the processor time that it is granted,
// on a machine that has little to give.
const patience = 30 * time.Second

// rig is a statemachine over a store in memory; it may be stopped and started.
type rig struct {
	t     testing.TB
	store *fakestore.Store
	conn  *grpc.ClientConn // to the store
	stop  func()
	api   statemachinev1.StatemachineServiceClient
	link  *grpc.ClientConn // to the statemachine
	// sandbox is where pushed charts run; nil for here.
	sandbox *sandbox.Pool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigIn(t, nil)
}

// newRigIn is a rig whose pushed charts run in a sandbox.
func newRigIn(t testing.TB, pool *sandbox.Pool) *rig {
	t.Helper()
	r := &rig{t: t, store: fakestore.New(), sandbox: pool}
	memory := transport.NewMemory()
	srv, err := transport.NewServer(transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	snapshotv1.RegisterSnapshotServiceServer(srv, r.store)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(memory) })
	if r.conn, err = memory.Dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		_ = r.conn.Close()
		srv.Stop()
		wg.Wait()
	})
	r.start()
	return r
}

// start starts the statemachine and waits until it serves.
func (r *rig) start() {
	r.t.Helper()
	memory := transport.NewMemory()
	c := statemachine.Config{Listener: memory, Snapshot: r.conn, Log: slog.New(slog.NewTextHandler(r.t.Output(), nil))}
	if r.sandbox != nil {
		c.Sandbox = r.sandbox
	}
	s, err := statemachine.New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if r.link, err = memory.Dial(); err != nil {
		r.t.Fatal(err)
	}
	r.api = statemachinev1.NewStatemachineServiceClient(r.link)
	r.stop = func() {
		_ = r.link.Close()
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("run: %v", err)
		}
		r.stop = nil
	}
	r.eventually("the service owns all shards", func() bool {
		out, err := healthv1.NewHealthClient(r.link).Check(ctx, &healthv1.HealthCheckRequest{})
		return err == nil && out.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
}

// connect runs an agent until the test or the statemachine ends.
func (r *rig) connect(a *agent) (disconnect func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { a.connect(ctx, r.link) })
	once := sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.t.Cleanup(once)
	return once
}

func (r *rig) send(id, event, requestID string, data *structpb.Value) (*fleetv1.SendEventResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := r.api.Submit(ctx, &statemachinev1.SubmitRequest{Request: &fleetv1.SendEventRequest{InstanceId: id, Event: event, RequestId: requestID, Data: data}})
	return out.GetResponse(), err
}

// view is the instance as stored; nil when there is none.
func (r *rig) view(id string) *fleetv1.Instance {
	i, _ := r.store.Instance(session.ShardOfInstance(id), id)
	return i.GetRecord().GetView()
}

func (r *rig) inState(id, state string) {
	r.t.Helper()
	r.eventually(id+" is "+state, func() bool { return slices.Contains(r.view(id).GetConfiguration(), state) })
}

// eventually waits until a condition holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in %v: %s", patience, what)
		}
		<-tick.C
	}
}

func reason(t *testing.T, err error) *fleetv1.Refusal {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			return r
		}
	}
	t.Fatalf("no refusal in %v", err)
	return nil
}

// TestCrashIsRestored is the main job: a container dies, is started from its
// last snapshot, and what was sent meanwhile is delivered.
func TestCrashIsRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	if _, err := r.send("web@h1", "system.start", "", nil); err != nil {
		t.Fatal(err)
	}
	r.inState("web@h1", "running")
	for range 5 {
		if _, err := r.send("web@h1", "count", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("5 events answered", func() bool { return r.view("web@h1").GetQueue().GetDeliveredSequence() == 5 })
	a.die()
	r.eventually("it is started again", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.starts) == 2
	})
	if got := a.starts[1].GetSnapshot(); got.GetContainedSequence() != 5 || len(got.GetInline()) == 0 {
		t.Errorf("started from %v, want the snapshot of event 5 with its body", got)
	}
	r.inState("web@h1", "running")
	if out, err := r.send("web@h1", "count", "", nil); err != nil || out.GetSequence() != 6 {
		t.Fatalf("event 6: %v, %v", out, err)
	}
	r.eventually("6 events answered", func() bool { return r.view("web@h1").GetQueue().GetDeliveredSequence() == 6 })
	a.do(func() {
		if want := []uint64{1, 2, 3, 4, 5, 6}; !slices.Equal(a.events, want) {
			t.Errorf("application acted on %v, want %v", a.events, want)
		}
	})
	v := r.view("web@h1")
	if len(v.GetSnapshots()) > 5 || v.GetTarget().GetGeneration() != 1 || v.GetWhy() == "" {
		t.Errorf("view: %d snapshots, generation %d, why %q", len(v.GetSnapshots()), v.GetTarget().GetGeneration(), v.GetWhy())
	}
	r.eventually("the outbox is empty", func() bool {
		i, _ := r.store.Instance(session.ShardOf("h1"), "web@h1")
		return len(i.GetOutbox()) == 0
	})
}
