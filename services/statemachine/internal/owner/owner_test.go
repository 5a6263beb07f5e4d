// SPDX-License-Identifier: AGPL-3.0-or-later

package owner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/fakestore"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

const patience = 20 * time.Second

// answers performs nothing but answers.
type answers struct{}

func (answers) Dispatch(_ uint32, _ session.Fence, effects []session.Effect) {
	for _, e := range effects {
		if a, ok := e.(*session.Answer); ok {
			a.Reply(a.Response, a.Err)
		}
	}
}

// serve gives a client of a store that can be cut off.
func serve(t *testing.T, store *fakestore.Store, cut *atomic.Bool) snapshotv1.SnapshotServiceClient {
	t.Helper()
	refuse := func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if cut.Load() {
			return nil, status.Error(codes.Unavailable, "cut off")
		}
		return next(ctx, r)
	}
	memory := transport.NewMemory()
	srv, err := transport.NewServer(transport.Security{}, grpc.ChainUnaryInterceptor(refuse))
	if err != nil {
		t.Fatal(err)
	}
	snapshotv1.RegisterSnapshotServiceServer(srv, store)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(memory) })
	conn, err := memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); srv.Stop(); wg.Wait() })
	return snapshotv1.NewSnapshotServiceClient(conn)
}

// begin runs an owner; end stops it and gives how it ended.
func begin(t *testing.T, name string, store snapshotv1.SnapshotServiceClient) (o *Owner, end func() error) {
	t.Helper()
	o, stop, ended := launch(t, name, store)
	return o, func() error { stop(); return ended() }
}

// launch runs an owner; ended waits for its end, which comes by itself or by stop.
func launch(t *testing.T, name string, store snapshotv1.SnapshotServiceClient) (o *Owner, stop func(), ended func() error) {
	t.Helper()
	charts := NewCharts(store, nil, nil)
	if err := charts.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	o = New(Config{Name: name, Snapshot: store, Charts: charts, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Worker: session.Config{Dispatcher: answers{}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	ended = sync.OnceValue(func() error { return <-done })
	t.Cleanup(func() { cancel(); _ = ended() })
	return o, cancel, ended
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("not in %v: %s", patience, what)
	}
}

// create makes a free instance and waits for the answer.
func create(t *testing.T, o *Owner, id string) error {
	t.Helper()
	chart, err := o.c.Charts.Name(t.Context(), "order")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	err = o.Post(t.Context(), &session.Create{Name: id, Chart: chart, ID: id, Reply: func(_ proto.Message, err error) {
		select {
		case answered <- err:
		default:
		}
	}})
	if err != nil {
		return err
	}
	select {
	case err := <-answered:
		return err
	case <-time.After(patience):
		t.Fatal("no answer")
		return nil
	}
}

// TestStandBy checks that a second owner waits while the first lives, and
// takes over at once when that gives up.
func TestStandBy(t *testing.T) {
	t.Parallel()
	store := serve(t, fakestore.New(), &atomic.Bool{})
	first, end := begin(t, "one", store)
	await(t, "the first owns everything", first.Ready())
	if err := create(t, first, "a"); err != nil {
		t.Fatal(err)
	}
	second, _ := begin(t, "two", store)
	if second.Holds(0) || first.Holds(0) != true {
		t.Fatal("the second owner did not wait")
	}
	if err := end(); err != nil {
		t.Fatalf("first: %v", err)
	}
	await(t, "the second owns everything", second.Ready())
	if refusal, ok := errors.AsType[*session.Refusal](create(t, second, "a")); !ok || refusal.Reason != fleetv1.Reason_REASON_INSTANCE_EXISTS {
		t.Errorf("creating what the first made: %v, want INSTANCE_EXISTS", refusal)
	}
}

// TestReplaced checks that an owner ends, instead of fighting, when a process
// of its own name took its shards; and that nothing of it is written any more.
func TestReplaced(t *testing.T) {
	t.Parallel()
	store := serve(t, fakestore.New(), &atomic.Bool{})
	first, stop, ended := launch(t, "one", store)
	await(t, "the first owns everything", first.Ready())
	second, _ := begin(t, "one", store)
	await(t, "its successor owns everything", second.Ready())
	if err := create(t, first, "a"); err == nil {
		t.Error("the first could still create")
	}
	if err := create(t, second, "a"); err != nil {
		t.Errorf("the successor cannot create: %v", err)
	}
	// By itself: nobody stops it.
	timer := time.AfterFunc(patience, stop)
	defer timer.Stop()
	if err := ended(); !errors.Is(err, ErrReplaced) {
		t.Errorf("the first ended with %v, want ErrReplaced", err)
	}
}

// TestEndedAnswers checks that what an owner is asked after its end is refused, and
// does not wait for ever.
func TestEndedAnswers(t *testing.T) {
	t.Parallel()
	o, end := begin(t, "one", serve(t, fakestore.New(), &atomic.Bool{}))
	await(t, "it owns everything", o.Ready())
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if refusal, ok := errors.AsType[*session.Refusal](create(t, o, "a")); !ok || refusal.Reason != fleetv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("answered %v, want UNAVAILABLE", refusal)
	}
}

// TestStoreAway checks that shards are given up by our own clock while the
// store does not answer, and are ours again when it does; what was asked for
// meanwhile is answered truly.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	fake := fakestore.New()
	o, _ := begin(t, "one", serve(t, fake, &cut))
	await(t, "it owns everything", o.Ready())
	cut.Store(true)
	result := make(chan error, 1)
	go func() { result <- create(t, o, "a") }()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for o.Holds(0) && time.Now().Before(deadline) {
		<-tick.C
	}
	if o.Holds(0) {
		t.Fatal("the lease was not given up")
	}
	cut.Store(false)
	answer := <-result
	for !o.Holds(0) && time.Now().Before(deadline) {
		<-tick.C
	}
	stored, _ := fake.Instance(session.ShardOf("a"), "a")
	if (answer == nil) != (stored != nil) {
		t.Errorf("answered %v, stored %v", answer, stored != nil)
	}
	if answer != nil {
		if err := create(t, o, "b"); err != nil {
			t.Errorf("it does not work again: %v", err)
		}
	}
}

// TestStartIsCheap checks that a start asks for all shards in one call and
// loads only those that hold something: that is what makes it fast.
func TestStartIsCheap(t *testing.T) {
	t.Parallel()
	fake := fakestore.New()
	store := serve(t, fake, &atomic.Bool{})
	first, end := begin(t, "one", store)
	await(t, "it owns everything", first.Ready())
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if err := create(t, first, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	acquires, loads := fake.Calls()
	second, _ := begin(t, "one", store)
	await(t, "it owns everything again", second.Ready())
	nowAcquires, nowLoads := fake.Calls()
	if nowAcquires-acquires != 1 || nowLoads-loads > 5 {
		t.Errorf("%d calls of Acquire and %d of Load, want 1 and at most 5", nowAcquires-acquires, nowLoads-loads)
	}
}
