// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/gateway"
	"github.com/chartroom/chartroom/services/gateway/internal/fakestore"
)

// TestWhoDoesNotServe: whoever asks for the hosts, and whoever asks whether the gateway
// is ready, is told which service does not serve and what it lacks; of several the one
// that the others need.
func TestWhoDoesNotServe(t *testing.T) {
	t.Parallel()
	snapshot, statemachine := health.NewServer(), health.NewServer()
	store := &fakestore.Store{}
	r := newRig(t, limit(time.Second), func(c *gateway.Config) {
		c.Snapshot = serve(t, func(s *grpc.Server) {
			snapshotv1.RegisterSnapshotServiceServer(s, store)
			healthv1.RegisterHealthServer(s, snapshot)
		})
		c.Statemachine = serve(t, func(s *grpc.Server) {
			statemachinev1.RegisterStatemachineServiceServer(s, &fakeStatemachine{})
			healthv1.RegisterHealthServer(s, statemachine)
		})
	})
	set := func(h *health.Server, need string, serving bool) {
		transport.SetNeed(h, need, serving)
		transport.SetNeed(h, "", serving)
	}
	told := func(want string) {
		t.Helper()
		eventually(t, "the finding is "+want, func() bool {
			r, err := r.fleet.ListHosts(t.Context(), &fleetv1.ListHostsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			f := r.GetFindings()
			return want == "" && len(f) == 0 || len(f) == 1 && f[0].GetCode() == "service.silent" && f[0].GetMessage() == want
		})
	}
	told("")
	set(statemachine, "shards", false)
	told("statemachine does not serve, for want of shards")
	set(snapshot, "redis", false)
	told("snapshot does not serve, for want of redis")

	store.Away(true)
	eventually(t, "/readyz says why", func() bool {
		code, _, body := r.get(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the store is not heard of: snapshot does not serve, for want of redis")
	})
	if code, _, body := r.get(t, "/v1/charts/none"); code != http.StatusServiceUnavailable || !strings.Contains(body, "for want of redis") {
		t.Errorf("a call that needs the store: %d %s", code, body)
	}
	store.Away(false)
	set(snapshot, "redis", true)
	set(statemachine, "shards", true)
	told("")
}
