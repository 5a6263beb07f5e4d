// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/gateway"
)

func limit(d time.Duration) func(*gateway.Config) {
	return func(c *gateway.Config) { c.HostLimit = d }
}

// TestRefusalDetail: what a state refuses arrives with what it allows.
func TestRefusalDetail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.fleet.SendEvent(t.Context(), &fleetv1.SendEventRequest{InstanceId: "bot0", Event: "system.stop"})
	if status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("got %v", err)
	}
	want := &fleetv1.Refusal{
		Reason: fleetv1.Reason_REASON_STATE_REFUSES, Configuration: []string{"stopped"}, AllowedIntents: []string{"system.start"},
	}
	details := status.Convert(err).Details()
	if len(details) != 1 {
		t.Fatalf("details %v", details)
	}
	if diff := cmp.Diff(want, details[0], protocmp.Transform()); diff != "" {
		t.Errorf("detail (-want +got):\n%s", diff)
	}
}

// TestRequestID: one is chosen when none is given, and a created instance has
// the same name when the request is repeated.
func TestRequestID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, id := range []string{"", "mine"} {
		resp, err := r.fleet.SendEvent(t.Context(), &fleetv1.SendEventRequest{InstanceId: "bot0", Event: "a", RequestId: id})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetRequestId() == "" || id != "" && resp.GetRequestId() != id {
			t.Errorf("request_id %q became %q", id, resp.GetRequestId())
		}
	}
	sent := r.statemachine.submitted
	if sent[0].GetInstanceId() != "bot0@h1" || sent[0].GetRequestId() == "" {
		t.Errorf("statemachine was given %v", sent[0])
	}
	for range 2 {
		req := &fleetv1.CreateInstanceRequest{Container: &fleetv1.ContainerSpec{Image: "a/bot@sha256:00"}, RequestId: "same"}
		if _, err := r.fleet.CreateInstance(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	a, b := r.statemachine.created[0], r.statemachine.created[1]
	if a.GetName() != b.GetName() || !strings.HasPrefix(a.GetName(), "bot-") || a.GetHostId() != "h1" {
		t.Errorf("created %v and %v", a, b)
	}
}

// TestAttach: input goes to the target, output comes back, and the end of the
// target ends the call.
func TestAttach(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stream, err := r.fleet.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&fleetv1.AttachRequest{InstanceId: "bot0", Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil || string(resp.GetData()) != "hello" {
		t.Fatalf("got %q, %v", resp.GetData(), err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// TestReflection: a tool without the protos finds the public service, and no
// other of ours.
func TestReflection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn, err := transport.Dial(r.address, transport.Security{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		if strings.HasPrefix(s.GetName(), "chartroom.") {
			ours = append(ours, s.GetName())
		}
	}
	if diff := cmp.Diff([]string{"chartroom.fleet.v1.FleetService"}, ours); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

// TestNoContainer: what an instance without a container is asked to show of one
// is refused with the reason.
func TestNoContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone := instance("gone@h1", 1, "destroyed")
	gone.Target.ContainerId = ""
	r.store.PutInstance(gone, entry("gone@h1", 1))
	r.store.PutInstance(instance("free", 1, "basket"), entry("free", 1))
	r.store.PutInstance(instance("ended@h1", 1, "stopped"), entry("ended@h1", 1))
	eventually(t, "ended is read", func() bool {
		_, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: "ended"})
		return err == nil
	})
	attached, err := r.fleet.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := attached.Send(&fleetv1.AttachRequest{InstanceId: "ended"}); err != nil {
		t.Fatal(err)
	}
	if _, err := attached.Recv(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(status.Convert(err).Message(), "does not run") {
		t.Errorf("attach to what has ended: %v, want FAILED_PRECONDITION", err)
	}
	for id, want := range map[string]codes.Code{"gone": codes.FailedPrecondition, "free": codes.InvalidArgument} {
		eventually(t, id+" is read", func() bool {
			_, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: id})
			return err == nil
		})
		stream, err := r.fleet.Logs(t.Context(), &fleetv1.LogsRequest{InstanceId: id})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != want || !strings.Contains(status.Convert(err).Message(), "has no container") {
			t.Errorf("logs of %s: %v, want %s", id, err, want)
		}
	}
}

// TestWaitForExit: the exit of the run that runs now is waited for, not that of
// one before; a target that is not running has exited.
func TestWaitForExit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	die := func(id string, n uint64, code string) {
		v := instance(id, n, "stopped", "crashed")
		r.store.PutInstance(v, &fleetv1.LogEntry{
			InstanceId: id, Sequence: n, Event: "docker.die", DataJson: `{"exitCode":` + code + `}`, Time: timestamppb.Now(),
		})
	}
	die("bot0@h1", 1, "1")
	r.store.PutInstance(instance("bot0@h1", 2, "started"), entry("bot0@h1", 2))
	eventually(t, "the restart is read", func() bool {
		v, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: "bot0"})
		return err == nil && v.GetInstance().GetLogSequence() == 2
	})
	_, err := r.fleet.WaitInstance(t.Context(), &fleetv1.WaitInstanceRequest{
		InstanceId: "bot0", Timeout: durationpb.New(50 * time.Millisecond),
	})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the exit of an earlier run: %v", err)
	}
	got := make(chan *fleetv1.WaitInstanceResponse, 1)
	go func() {
		resp, err := r.fleet.WaitInstance(t.Context(), &fleetv1.WaitInstanceRequest{InstanceId: "bot0"})
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		got <- resp
	}()
	die("bot0@h1", 3, "137")
	if resp := <-got; !resp.GetExited() || resp.GetExitCode() != 137 {
		t.Errorf("got %v", resp)
	}
	resp, err := r.fleet.WaitInstance(t.Context(), &fleetv1.WaitInstanceRequest{InstanceId: "bot0"})
	if err != nil || resp.GetExitCode() != 137 {
		t.Errorf("of a stopped target: %v, %v", resp, err)
	}
}

// TestProblemsOnly: only warnings and errors come, from a log of many pages.
func TestProblemsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []uint64
	for n := uint64(1); n <= 2500; n++ {
		e := entry("bot0@h1", n)
		if n%500 == 0 {
			e.Severity = fleetv1.Severity_SEVERITY_ERROR
			want = append(want, n)
		}
		r.store.PutInstance(instance("bot0@h1", n, "started"), e)
	}
	resp, err := r.fleet.ListLog(t.Context(), &fleetv1.ListLogRequest{InstanceId: "bot0", ProblemsOnly: true, PageSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, e := range resp.GetEntries() {
		got = append(got, e.GetSequence())
	}
	if diff := cmp.Diff(want[:4], got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSnapshotBody: a body of many chunks arrives whole.
func TestSnapshotBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := strings.Repeat("state ", 50_000)
	r.store.AddBlob("abc", []byte(body))
	v := instance("bot0@h1", 1, "started")
	v.Snapshots = []*fleetv1.ApplicationSnapshot{{Number: 2, Sha256: "gone"}, {Number: 1, Sha256: "abc"}}
	r.store.PutInstance(v)
	eventually(t, "the snapshot is read", func() bool {
		resp, err := r.fleet.GetSnapshot(t.Context(), &fleetv1.GetSnapshotRequest{InstanceId: "bot0", Number: 1})
		return err == nil && string(resp.GetBody()) == body
	})
	_, err := r.fleet.GetSnapshot(t.Context(), &fleetv1.GetSnapshotRequest{InstanceId: "bot0"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a body that is gone: %v", err)
	}
}

// TestWaitForState: a state that the chart does not have is refused with those that
// it has; one that it has is waited for.
func TestWaitForState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.AddChart(&fleetv1.Chart{Name: "lamp", Digest: "d1", Document: `<scxml xmlns="http://www.w3.org/2005/07/scxml">
		<state><transition event="flip" target="bright"/></state><state id="bright"><history id="h"><transition target="red"/></history><state id="red"/></state></scxml>`})
	lamp := instance("lamp-1", 1, "_state1")
	lamp.ChartName, lamp.ChartDigest = "lamp", "d1"
	r.store.PutInstance(lamp)
	eventually(t, "the lamp is read", func() bool {
		_, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: "lamp-1"})
		return err == nil
	})
	wait := func(state string) error {
		_, err := r.fleet.WaitInstance(t.Context(), &fleetv1.WaitInstanceRequest{InstanceId: "lamp-1", State: state, Timeout: durationpb.New(10 * time.Second)})
		return err
	}
	err := wait("Read")
	if want := `chart lamp of lamp-1 has no state "Read"; it has red, bright`; status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != want {
		t.Errorf("a state that the chart does not have: %v, want %s", err, want)
	}
	if err := wait("_state1"); err != nil {
		t.Errorf("a state that is active: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- wait("red") }()
	lamp = proto.CloneOf(lamp)
	lamp.Configuration, lamp.LogSequence = []string{"bright", "red"}, 2
	r.store.PutInstance(lamp)
	if err := <-done; err != nil {
		t.Errorf("a state that becomes active: %v", err)
	}
}

// TestDrawing: a chart is drawn, as geometry and as a picture with the states
// of an instance lit.
func TestDrawing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const doc = `<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="on"><transition event="flip" target="off"/></state><state id="off"/></scxml>`
	r.store.AddChart(&fleetv1.Chart{Name: "lamp", Digest: "d1", Document: doc})
	r.store.AddChart(&fleetv1.Chart{Name: "broken", Digest: "d2", Document: "<scxml"})
	v := instance("lamp-1", 1, "on")
	v.ChartName, v.ChartDigest = "lamp", "d1"
	r.store.PutInstance(v)
	eventually(t, "the lamp is read", func() bool {
		code, _, _ := r.get(t, "/v1/instances/lamp-1")
		return code == http.StatusOK
	})
	d, err := r.fleet.GetDrawing(t.Context(), &fleetv1.GetDrawingRequest{Name: "lamp"})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.GetNodes()) != 3 || len(d.GetEdges()) != 2 || d.GetDigest() != "d1" || d.GetWidth() <= 0 {
		t.Errorf("drawing %v", d)
	}
	code, header, body := r.get(t, "/v1/charts/lamp.svg?instance=lamp-1")
	if code != http.StatusOK || header.Get("Content-Type") != "image/svg+xml" ||
		!strings.Contains(body, `<g class="node on" data-state="on">`) {
		t.Errorf("picture: %d %.400s", code, body)
	}
	if code, _, body := r.get(t, "/v1/charts/container.svg?instance=lamp-1"); code != http.StatusBadRequest {
		t.Errorf("picture of another chart: %d %s", code, body)
	}
	if code, _, body := r.get(t, "/v1/charts/broken/drawing"); code != http.StatusConflict || !strings.Contains(body, "CHART_INVALID") {
		t.Errorf("drawing of a broken chart: %d %s", code, body)
	}
}

// TestHugeDrawing: a chart that nobody can look at is answered all the same, with
// an outline.
func TestHugeDrawing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.AddChart(&fleetv1.Chart{Name: "huge", Digest: "d3", Document: `<scxml xmlns="http://www.w3.org/2005/07/scxml">` +
		strings.Repeat(`<state><transition event="e"/></state>`, 20_000) + `</scxml>`})
	d, err := r.fleet.GetDrawing(t.Context(), &fleetv1.GetDrawingRequest{Name: "huge"})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.GetNodes()); n > 1100 || d.GetNodes()[n-1].GetId() != "… 19000 more states" {
		t.Errorf("%d nodes, the last is %v; want an outline", n, d.GetNodes()[n-1])
	}
	if code, _, body := r.get(t, "/v1/charts/huge.svg"); code != http.StatusOK || !strings.Contains(body, "… 19000 more states") {
		t.Errorf("picture: %d %.400s", code, body)
	}
}

// TestTrust: with a token nothing but health is answered without it, over any
// of the protocols; a browser gets a cookie for it.
func TestTrust(t *testing.T) {
	t.Parallel()
	security := transport.Security{Dir: t.TempDir() + "/tls"}
	if err := transport.Generate(security.Dir, nil); err != nil {
		t.Fatal(err)
	}
	token, err := security.Token()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *gateway.Config) { c.Security = security }) // its client has the token
	conf, err := security.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = nil // as a browser

	bare, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(conf)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bare.Close() }()
	_, err = fleetv1.NewFleetServiceClient(bare).ListHosts(t.Context(), &fleetv1.ListHostsRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC without a token: %v", err)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: conf.Clone()}}
	get := func(c *http.Client, path string, edit ...func(*http.Request)) (int, *http.Response) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range edit {
			f(req)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode, resp
	}
	bearer := func(v string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+v) }
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/v1/hosts": 401, "/v1/stream": 401, "/v1/events": 401, "/metrics": 401,
		"/openapi.json": 401, "/": 401, "/login": 200, "/v1/charts/a.svg": 401,
	} {
		if code, _ := get(plain, path); code != want {
			t.Errorf("%s without a token: %d, want %d", path, code, want)
		}
	}
	if code, _ := get(plain, "/v1/hosts", bearer(token)); code != http.StatusOK {
		t.Errorf("with the token: %d", code)
	}
	lower := func(req *http.Request) { req.Header.Set("Authorization", "bearer "+token) }
	if code, _ := get(plain, "/v1/hosts", lower); code != http.StatusOK {
		t.Errorf("with the scheme in lower case: %d", code)
	}
	if code, _ := get(plain, "/v1/hosts", bearer(token+"x")); code != http.StatusUnauthorized {
		t.Errorf("with another token: %d", code)
	}
	if _, resp := get(browser, "/login?token=wrong"); len(resp.Cookies()) != 0 || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("login with a wrong token: %d %v", resp.StatusCode, resp.Cookies())
	}
	get(browser, "/login?token="+url.QueryEscape(token))
	if code, resp := get(browser, "/v1/hosts"); code != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("with the cookie: %d over %s", code, resp.Proto)
	}
	u, err := url.Parse("https://" + r.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range jar.Cookies(u) {
		if strings.Contains(c.Value, token) {
			t.Error("the cookie tells the token")
		}
	}
	if _, err := tls.Dial("tcp", r.address, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}); err == nil { //nolint:gosec // that it is refused is the test
		t.Error("TLS 1.2 was accepted")
	}
	if _, err := gateway.New(gateway.Config{Address: "0.0.0.0:0", SnapshotAddress: "a:1", StatemachineAddress: "a:2"}); !errors.Is(err, transport.ErrNotLoopback) {
		t.Errorf("beyond loopback without a token: %v", err)
	}
}

// TestShutdown: whoever waits is told that the server ends, and not that they went away
// themselves, so that a client goes on when there is one again.
func TestShutdown(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	r := newRig(t, func(c *gateway.Config) {
		c.Snapshot = noticing{c.Snapshot, snapshotv1.SnapshotService_GetChart_FullMethodName, asked}
	})
	watch, err := r.fleet.Watch(t.Context(), &fleetv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	attach, err := r.fleet.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := attach.Send(&fleetv1.AttachRequest{InstanceId: "bot0", Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Recv(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := r.fleet.WaitInstance(t.Context(), &fleetv1.WaitInstanceRequest{InstanceId: "bot0", State: "paused"})
		waited <- err
	}()
	<-asked // which states there are to wait for
	r.stop()
	for err = nil; err == nil; {
		_, err = watch.Recv()
	}
	_, pipeErr := attach.Recv()
	for what, err := range map[string]error{"watch": err, "attach": pipeErr, "wait": <-waited} {
		if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "the server is shutting down" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// noticing is a connection that tells when a method is called.
type noticing struct {
	grpc.ClientConnInterface
	method string
	called chan<- struct{}
}

func (n noticing) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if method == n.method {
		n.called <- struct{}{}
	}
	return n.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}
