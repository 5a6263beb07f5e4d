// SPDX-License-Identifier: AGPL-3.0-or-later

package snapshot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/internal/transport"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/snapshot"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// start runs the service on a directory and returns its client.
func start(t *testing.T) (snapshotv1.SnapshotServiceClient, healthv1.HealthClient) {
	t.Helper()
	return startOn(t, "pebble:"+t.TempDir())
}

func startOn(t *testing.T, store string) (snapshotv1.SnapshotServiceClient, healthv1.HealthClient) {
	t.Helper()
	return startWith(t, snapshot.Config{Store: store})
}

func startWith(t *testing.T, c snapshot.Config) (snapshotv1.SnapshotServiceClient, healthv1.HealthClient) {
	t.Helper()
	mem := transport.NewMemory()
	c.Listener = mem
	s, err := snapshot.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return snapshotv1.NewSnapshotServiceClient(conn), healthv1.NewHealthClient(conn)
}

func acquire(t *testing.T, c snapshotv1.SnapshotServiceClient, shard uint32) *snapshotv1.ShardFence {
	t.Helper()
	r, err := c.Acquire(t.Context(), &snapshotv1.AcquireRequest{Owner: "a", Nonce: "n", Shards: []uint32{shard}, Address: "here:1"})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.GetLeases()[0]; !l.GetHeld() || l.GetAddress() != "here:1" || !l.GetExpireTime().IsValid() {
		t.Fatalf("lease %v", l)
	}
	return &snapshotv1.ShardFence{Epoch: r.GetLeases()[0].GetEpoch(), Nonce: "n"}
}

func view(id, state string) *fleetv1.Instance {
	return &fleetv1.Instance{InstanceId: id, Name: id, State: state, Configuration: []string{"lifecycle", state}}
}

func TestCommitAndLoad(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	f := acquire(t, c, 9)
	at := timestamppb.New(time.Unix(1700000000, 5))
	outbox := &snapshotv1.OutboxRow{Command: &agentv1.Command{CommandId: "web@h/n/1", Verb: "start", Instance: "web"}, HostId: "h"}
	entry := &snapshotv1.QueueEntry{Sequence: 1, Name: "e", DataJson: []byte(`{"a":1}`), AcceptTime: at, Deaths: 1}
	result := &snapshotv1.RequestResult{RequestId: "r", InstanceId: "web@h", Response: []byte("yes"), Time: at}
	record := &snapshotv1.Record{View: view("web@h", "running"), SessionSnapshot: []byte("session"), RuntimeState: []byte("runtime")}
	host := &fleetv1.Host{HostId: "h", Connected: true}
	mark := &snapshotv1.Mark{Source: "h", Incarnation: "j", Sequence: 4}
	body := []byte(`{"count":7}`)
	group := &snapshotv1.Group{
		Shard: 9, Fence: f, Number: 1, Marks: []*snapshotv1.Mark{mark}, Hosts: []*fleetv1.Host{host},
		Steps: []*snapshotv1.Step{{
			InstanceId: "web@h", Record: record,
			OutboxPut: []*snapshotv1.OutboxRow{outbox}, QueuePut: []*snapshotv1.QueueEntry{entry}, Requests: []*snapshotv1.RequestResult{result},
			Log:     []*fleetv1.LogEntry{{InstanceId: "web@h", Sequence: 1, Event: "docker.start"}},
			BlobAdd: []string{sum(body)}, Blobs: []*snapshotv1.Blob{{Sha256: sum(body), Body: body}},
		}},
	}
	for _, want := range []snapshotv1.GroupStatus{snapshotv1.GroupStatus_GROUP_STATUS_APPLIED, snapshotv1.GroupStatus_GROUP_STATUS_ALREADY_APPLIED} {
		r, err := c.Commit(t.Context(), &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{group}})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.GetResults()[0].GetStatus(); got != want {
			t.Errorf("status %v, want %v", got, want)
		}
	}
	stream, err := c.Load(t.Context(), &snapshotv1.LoadRequest{Shard: 9, Fence: f})
	if err != nil {
		t.Fatal(err)
	}
	var got []*snapshotv1.LoadResponse
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part)
	}
	want := []*snapshotv1.LoadResponse{
		{Part: &snapshotv1.LoadResponse_Shard{Shard: &snapshotv1.ShardState{LastGroup: 1, Marks: []*snapshotv1.Mark{mark}, Hosts: []*fleetv1.Host{host}}}},
		{Part: &snapshotv1.LoadResponse_Instance{Instance: &snapshotv1.InstanceState{Record: record, Outbox: []*snapshotv1.OutboxRow{outbox}, Queue: []*snapshotv1.QueueEntry{entry}}}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("load (-want +got):\n%s", diff)
	}
	lookup, err := c.LookupRequest(t.Context(), &snapshotv1.LookupRequestRequest{Shard: 9, RequestId: "r"})
	if diff := cmp.Diff(result, lookup.GetResult(), protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("request: %v (-want +got):\n%s", err, diff)
	}
	lookup, err = c.LookupRequest(t.Context(), &snapshotv1.LookupRequestRequest{Shard: 9, RequestId: "other"})
	if err != nil || lookup.GetResult() != nil {
		t.Errorf("unknown request: %v, %v", lookup, err)
	}
	if got := getBlob(t, c, sum(body)); !bytes.Equal(got, body) {
		t.Errorf("body %q", got)
	}
	f.Nonce = "other"
	stream, err = c.Load(t.Context(), &snapshotv1.LoadRequest{Shard: 9, Fence: f})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("load with another's fence: %v", err)
	}
}

// The log is found without its shard being named: for a hosted instance by its
// host, for a free one by its id, also when that has an @.
func TestListLogFindsTheShard(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	for id, shard := range map[string]uint32{"web@host-1": 117, "order-42": 244, "a@b": 146} {
		f := acquire(t, c, shard)
		_, err := c.Commit(t.Context(), &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{{
			Shard: shard, Fence: f, Number: 1,
			Steps: []*snapshotv1.Step{{InstanceId: id, Record: &snapshotv1.Record{View: view(id, "s")}, Log: []*fleetv1.LogEntry{{Sequence: 1, Event: id}, {Sequence: 2}}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.ListLog(t.Context(), &snapshotv1.ListLogRequest{InstanceId: id, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.GetEntries()) != 1 || r.GetEntries()[0].GetEvent() != id {
			t.Errorf("log of %s: %v", id, r.GetEntries())
		}
	}
}

func TestListAndWatch(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	f := acquire(t, c, 1)
	number := uint64(0)
	put := func(id, state string) {
		t.Helper()
		number++
		r, err := c.Commit(t.Context(), &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{{
			Shard: 1, Fence: f, Number: number, Steps: []*snapshotv1.Step{{InstanceId: id, Record: &snapshotv1.Record{View: view(id, state)}}},
		}}})
		if err != nil || r.GetResults()[0].GetStatus() != snapshotv1.GroupStatus_GROUP_STATUS_APPLIED {
			t.Fatalf("%v, %v", r, err)
		}
	}
	for i := range 300 {
		put(fmt.Sprintf("i%03d", i), "created")
	}
	list, err := c.List(t.Context(), &snapshotv1.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	count, token := 0, []byte(nil)
	for token == nil {
		r, err := list.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.GetInstances()) > 256 {
			t.Errorf("%d instances in a message", len(r.GetInstances()))
		}
		count += len(r.GetInstances())
		token = r.GetToken()
	}
	if count != 300 {
		t.Errorf("%d instances listed", count)
	}
	put("i007", "running")
	watch, err := c.Watch(t.Context(), &snapshotv1.WatchRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	next := func() *snapshotv1.WatchResponse {
		t.Helper()
		r, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got := next().GetChanges()[0].GetInstance().GetInstance(); got.GetState() != "running" || got.GetInstanceId() != "i007" {
		t.Errorf("change: %v", got)
	}
	sent := time.Now()
	put("i007", "paused")
	r := next()
	if got := r.GetChanges()[0].GetInstance().GetInstance().GetState(); got != "paused" {
		t.Errorf("change: %s", got)
	}
	t.Logf("commit to watch: %v", time.Since(sent))
	if r = next(); len(r.GetChanges()) != 0 || len(r.GetToken()) == 0 || r.GetReset_() {
		t.Errorf("not a keep-alive: %v", r)
	}
	if d := time.Since(sent); d > 6*time.Second {
		t.Errorf("keep-alive after %v", d)
	}
	for name, bad := range map[string][]byte{"nonsense": []byte("xx"), "foreign": {1, 1, 5, 1, 2, 3, 4, 5, 6, 7, 8}} {
		watch, err := c.Watch(t.Context(), &snapshotv1.WatchRequest{Token: bad})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := watch.Recv(); err != nil || !r.GetReset_() {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if _, err := watch.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the stream goes on: %v", name, err)
		}
	}
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 50_000) // 800 kB
	put := func(name string) (*snapshotv1.PutBlobResponse, error) {
		stream, err := c.PutBlob(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(body); i += 64 << 10 {
			if err := stream.Send(&snapshotv1.PutBlobRequest{Sha256: name, Chunk: body[i:min(i+64<<10, len(body))]}); err != nil {
				break
			}
			name = ""
		}
		return stream.CloseAndRecv()
	}
	r, err := put(sum(body))
	if err != nil || r.GetSizeBytes() != uint64(len(body)) {
		t.Fatalf("%v, %v", r, err)
	}
	if got := getBlob(t, c, sum(body)); !bytes.Equal(got, body) {
		t.Errorf("%d bytes came back", len(got))
	}
	if _, err := put(sum([]byte("x"))); status.Code(err) != codes.InvalidArgument {
		t.Errorf("under another's name: %v", err)
	}
	stream, err := c.GetBlob(t.Context(), &snapshotv1.GetBlobRequest{Sha256: sum([]byte("x"))})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("an unknown body: %v", err)
	}
}

func TestCharts(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	doc := "<scxml/>"
	chart := &fleetv1.Chart{Name: "n", Digest: "sha256:" + sum([]byte(doc)), States: 3, Document: doc}
	for _, want := range []bool{true, false} {
		r, err := c.PutChart(t.Context(), &snapshotv1.PutChartRequest{Chart: chart})
		if err != nil || r.GetCreated() != want {
			t.Errorf("put: %v, %v", r, err)
		}
	}
	for _, q := range []*snapshotv1.GetChartRequest{{Name: "n"}, {Digest: chart.GetDigest()}, {Digest: sum([]byte(doc)), Name: "ignored"}} {
		r, err := c.GetChart(t.Context(), q)
		if diff := cmp.Diff(chart, r.GetChart(), protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("get %v: %v (-want +got):\n%s", q, err, diff)
		}
	}
	l, err := c.ListCharts(t.Context(), &snapshotv1.ListChartsRequest{})
	if err != nil || len(l.GetCharts()) != 1 || l.GetCharts()[0].GetDocument() != "" || l.GetCharts()[0].GetStates() != 3 {
		t.Errorf("list: %v, %v", l, err)
	}
	chart.Document += " "
	if _, err := c.PutChart(t.Context(), &snapshotv1.PutChartRequest{Chart: chart}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a digest of another document: %v", err)
	}
	if _, err := c.GetChart(t.Context(), &snapshotv1.GetChartRequest{Name: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown chart: %v", err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	_, h := start(t)
	waitHealth(t, h, healthv1.HealthCheckResponse_SERVING)
}

func waitHealth(t *testing.T, h healthv1.HealthClient, want healthv1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	w, err := h.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetStatus() == want {
			return
		}
	}
}

// The service starts before its Redis, is ready once that answers, and says so
// when it goes away.
func TestRedis(t *testing.T) {
	t.Parallel()
	socket := need.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	c, h := startOn(t, "redis+unix://"+socket)
	waitHealth(t, h, healthv1.HealthCheckResponse_SERVING)
	f := acquire(t, c, 1)
	r, err := c.Commit(t.Context(), &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{{Shard: 1, Fence: f, Number: 1}}})
	if err != nil || r.GetResults()[0].GetStatus() != snapshotv1.GroupStatus_GROUP_STATUS_APPLIED {
		t.Fatalf("%v, %v", r, err)
	}
	admin := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer admin.Close()
	admin.ShutdownNoSave(t.Context())
	waitHealth(t, h, healthv1.HealthCheckResponse_NOT_SERVING)
	if r, err := h.List(t.Context(), &healthv1.HealthListRequest{}); err != nil || r.GetStatuses()["redis"].GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("it does not say what it lacks: %v, %v", r, err)
	}
	_, err = c.Commit(t.Context(), &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{{Shard: 1, Fence: f, Number: 2}}})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("commit without Redis: %v", err)
	}
}

// A Redis without room makes the service not ready, and everybody who could tell an
// operator is told what to do: the log, whoever commits, and whoever watches.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	socket := need.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	said := &said{}
	c, h := startWith(t, snapshot.Config{Store: "redis+unix://" + socket, Log: slog.New(slog.NewTextHandler(said, nil))})
	waitHealth(t, h, healthv1.HealthCheckResponse_SERVING)
	f := acquire(t, c, 1)
	admin := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer admin.Close()
	limit := func(bytes string) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := c.Watch(t.Context(), &snapshotv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(code string) {
		t.Helper()
		for {
			r, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if r.GetFinding().GetCode() == code {
				return
			}
		}
	}
	limit("1")
	waitHealth(t, h, healthv1.HealthCheckResponse_NOT_SERVING)
	group := &snapshotv1.CommitRequest{Groups: []*snapshotv1.Group{{Shard: 1, Fence: f, Number: 1}}}
	const cause = "Redis is full: it has reached its maxmemory"
	if _, err := c.Commit(t.Context(), group); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), cause) {
		t.Errorf("commit: %v", err)
	}
	until("store.full")
	if text := said.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, cause) {
		t.Errorf("the log does not name the cause:\n%s", text)
	}
	limit("0")
	waitHealth(t, h, healthv1.HealthCheckResponse_SERVING)
	until("")
	if _, err := c.Commit(t.Context(), group); err != nil {
		t.Errorf("commit with room again: %v", err)
	}
}

// said keeps what is written, by any goroutine.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestRunRefusesAnUnsafeRedis(t *testing.T) {
	t.Parallel()
	socket := need.Redis(t, "--maxmemory-policy", "allkeys-lru")
	s, err := snapshot.New(snapshot.Config{Listener: transport.NewMemory(), Store: "redis+unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("Run: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "pebble:", "mysql://x", "redis", "redis-sentinel://a:1"} {
		if s, err := snapshot.New(snapshot.Config{Store: bad}); err == nil {
			t.Errorf("store %q was taken", bad)
			s.Close()
		}
	}
}

func getBlob(t *testing.T, c snapshotv1.SnapshotServiceClient, name string) []byte {
	t.Helper()
	stream, err := c.GetBlob(t.Context(), &snapshotv1.GetBlobRequest{Sha256: name})
	if err != nil {
		t.Fatal(err)
	}
	var body []byte
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return body
		}
		if err != nil {
			t.Fatal(err)
		}
		body = append(body, r.GetChunk()...)
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
