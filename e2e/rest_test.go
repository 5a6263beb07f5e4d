// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// rest asks a gateway over REST; body may be nil. It returns the status and what
// was answered.
func rest(t *testing.T, address, method, path string, body proto.Message) (int, []byte) {
	t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = protojson.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer.StatusCode, said
}

// Every call that REST offers for a container, from its creation to its end.
func restOnAContainer(t *testing.T, address, image string, witness *rig.Witness) {
	name := "rest-" + rig.RunID()
	rig.RemoveByName(t, name)
	path := "/v1/instances/" + name
	call := func(method, path string, body, answer proto.Message) {
		t.Helper()
		code, said := rest(t, address, method, path, body)
		if code != http.StatusOK {
			t.Fatalf("%s %s: status %d, %s", method, path, code, said)
		}
		if err := protojson.Unmarshal(said, answer); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, said)
		}
	}
	send := func(event string, data map[string]any) fleetv1.Outcome {
		t.Helper()
		value, err := structpb.NewValue(data)
		if err != nil {
			t.Fatal(err)
		}
		var r fleetv1.SendEventResponse
		call(http.MethodPost, path+":send", &fleetv1.SendEventRequest{Event: event, Data: value}, &r)
		return r.GetOutcome()
	}
	is := func(state string) *fleetv1.Instance {
		t.Helper()
		var r fleetv1.WaitInstanceResponse
		call(http.MethodGet, path+":wait?timeout=30s&state="+state, nil, &r)
		return r.GetInstance()
	}
	exits := func(want int32) {
		t.Helper()
		var r fleetv1.WaitInstanceResponse
		call(http.MethodGet, path+":wait?timeout=30s", nil, &r)
		if !r.GetExited() || r.GetExitCode() != want {
			t.Errorf("it exited: %v, with %d, want %d", r.GetExited(), r.GetExitCode(), want)
		}
	}
	// restarts asks for something that makes a new run, and waits for it.
	restarts := func(event string, data map[string]any) {
		t.Helper()
		before := is("running").GetTarget().GetStartedTime().AsTime()
		send(event, data)
		rig.Eventually(t, 30*time.Second, event+" has made a new run", func() error {
			i := is("running")
			if !i.GetTarget().GetStartedTime().AsTime().After(before) {
				return fmt.Errorf("%s", i.GetWhy())
			}
			return nil
		})
	}

	call(http.MethodPost, "/v1/instances", &fleetv1.CreateInstanceRequest{Name: name, Container: &fleetv1.ContainerSpec{
		Image: image, Environment: []string{"CHARTROOM_SOCKET=/run/chartroom/app.sock"}, Labels: rig.Labels(t, "chartroom.breaker.timeout", patience.String()),
		Mounts: []string{rig.Volume(t) + ":/run/chartroom"},
	}}, &fleetv1.CreateInstanceResponse{})
	is("created")
	send("system.start", nil)
	is("running")
	if o := send("hello", map[string]any{"number": 7}); o != fleetv1.Outcome_OUTCOME_FORWARDED {
		t.Errorf("hello while running: %v", o)
	}
	send("system.pause", nil)
	is("paused")
	if o := send("hello", map[string]any{"number": 8}); o != fleetv1.Outcome_OUTCOME_QUEUED {
		t.Errorf("hello while paused: %v", o)
	}
	send("system.unpause", nil)
	is("running")
	rig.Eventually(t, 10*time.Second, "both events are contained", func() error {
		if q := is("running").GetQueue(); q.GetContainedSequence() != 2 {
			return fmt.Errorf("queue %v", q)
		}
		return nil
	})
	attachedReads(t, "ws://"+address+path+":attach", "report: [7,8]\n", func() { send("report", nil) })
	send("system.take_snapshot", nil)
	restarts("system.restart", map[string]any{"grace": 5})
	restarts("system.restore", map[string]any{"snapshot": 2})
	send("system.kill", nil)
	exits(137)
	is("user_requested")
	send("system.start", nil)
	is("running")
	send("system.stop", nil)
	is("user_requested")
	exits(0)

	var body fleetv1.GetSnapshotResponse
	call(http.MethodGet, path+"/snapshots/2", nil, &body)
	if s := body.GetSnapshot(); s.GetContainedSequence() != 1 || int(s.GetSizeBytes()) != len(body.GetBody()) {
		t.Errorf("snapshot 2 is %v, with a body of %d bytes; want it to contain event 1", s, len(body.GetBody()))
	}
	want := base64.StdEncoding.EncodeToString([]byte("ready: restored, 1 events contained\n"))
	if code, said := rest(t, address, http.MethodGet, path+"/logs", nil); code != http.StatusOK || !strings.Contains(string(said), want) {
		t.Errorf("logs: status %d, %s; want a line %s", code, said, want)
	}
	send("system.remove", nil)
	is("destroyed")
	var log fleetv1.ListLogResponse
	if call(http.MethodGet, path+"/log?descending=true&page_size=20", nil, &log); !slices.ContainsFunc(log.GetEntries(), func(e *fleetv1.LogEntry) bool { return e.GetEvent() == "docker.destroy" }) {
		t.Errorf("its log does not end with docker.destroy: %v", log.GetEntries())
	}
	acts{"create": 1, "start": 4, "kill": 4, "die": 4, "destroy": 1}.check(t, witness, name)
}

// attachedReads joins the streams of a target and waits for a line of its output,
// asking for it again and again: what was written before it joined is not shown.
func attachedReads(t *testing.T, url, want string, ask func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body != nil {
		defer answer.Body.Close()
	}
	defer func() { _ = conn.CloseNow() }()
	read := make(chan error, 1)
	go func() {
		var got strings.Builder
		for !strings.Contains(got.String(), want) {
			var out fleetv1.AttachResponse
			_, frame, err := conn.Read(ctx)
			if err == nil {
				err = protojson.Unmarshal(frame, &out)
			}
			if err != nil {
				read <- fmt.Errorf("attached, it reads %q and then %w", got.String(), err)
				return
			}
			got.Write(out.GetData())
		}
		read <- nil
	}()
	for again := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case err := <-read:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-again.C:
			ask()
		}
	}
}
