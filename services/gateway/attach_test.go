// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// TestAttachSocket is TestAttach for those who have no gRPC: frames are the messages
// as JSON.
func TestAttachSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.socketAt(t, "/v1/instances/bot0:attach")
	s.say(t, `{"data": "aGVsbG8="}`)
	if got := s.next(t); !strings.Contains(got, `"aGVsbG8="`) {
		t.Errorf("the echo of hello is %s", got)
	}
	s.say(t, `{"closeInput": true}`)
	if _, _, err := s.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end of the target is %v", err)
	}
}

// What is refused is told in a frame, as everywhere, and then the socket ends.
func TestAttachSocketRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.PutInstance(instance("ended@h1", 1, "stopped"), entry("ended@h1", 1))
	observed := instance("observed@h1", 1, "running")
	observed.Managed = false
	r.store.PutInstance(observed, entry("observed@h1", 1))
	for _, id := range []string{"ended", "observed"} {
		eventually(t, id+" is read", func() bool {
			_, err := r.fleet.GetInstance(t.Context(), &fleetv1.GetInstanceRequest{InstanceId: id})
			return err == nil
		})
	}
	for _, test := range []struct{ name, path, say, want string }{
		{"nobody", "/v1/instances/nobody:attach", "", "INSTANCE_UNKNOWN"},
		{"stopped", "/v1/instances/ended:attach", "", "STATE_REFUSES"},
		{"observed only", "/v1/instances/observed:attach", "", "UNMANAGED"},
		{"no UTF-8", "/v1/instances/%ff:attach", "", "ARGUMENT_INVALID"},
		{"nonsense", "/v1/instances/bot0:attach", `{"date": 1}`, "ARGUMENT_INVALID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := r.socketAt(t, test.path)
			if test.say != "" {
				s.say(t, test.say)
			}
			if got := s.next(t); !strings.Contains(got, `"error"`) || !strings.Contains(got, test.want) {
				t.Errorf("got %s, want an error with %s", got, test.want)
			}
			if _, _, err := s.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
				t.Errorf("the end is %v", err)
			}
		})
	}
	resp, err := http.Get("http://" + r.address + "/v1/instances/bot0:attach")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without an upgrade: %s, want 400", resp.Status)
	}
}
