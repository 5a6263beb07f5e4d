// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Two agents on one engine are told of while both act on a container of it, and not
// when one of them is away, leaves the container to the other, or is on a machine that
// has only the ids of the other's containers.
func TestShared(t *testing.T) {
	t.Parallel()
	now := time.Now()
	both := "the agents of the hosts h1 and h2 are on one engine and act on the same containers (web@h1 = web@h2): each undoes what the other does"
	for _, c := range []struct {
		name   string
		change func(h *fleetv1.Host, v *fleetv1.Instance) // of h2
		want   string
	}{
		{"both", func(*fleetv1.Host, *fleetv1.Instance) {}, both},
		{"another name", func(_ *fleetv1.Host, v *fleetv1.Instance) { v.InstanceId = "other@h2" },
			"the agents of the hosts h1 and h2 are on one engine and act on the same containers (other@h2 = web@h1): each undoes what the other does"},
		{"another engine", func(h *fleetv1.Host, v *fleetv1.Instance) { h.EngineId, v.Target.EngineId = "e2", "e2" }, ""},
		{"away", func(h *fleetv1.Host, _ *fleetv1.Instance) { h.Connected = false }, ""},
		{"not heard of", func(h *fleetv1.Host, _ *fleetv1.Instance) { h.LastSeenTime = timestamppb.New(now.Add(-time.Hour)) }, ""},
		{"no engine", func(h *fleetv1.Host, _ *fleetv1.Instance) { h.EngineReachable = false }, ""},
		{"outside of --only", func(_ *fleetv1.Host, v *fleetv1.Instance) { v.Managed = false }, ""},
		{"another container", func(_ *fleetv1.Host, v *fleetv1.Instance) { v.Target.ContainerId = "c2" }, ""},
		{"a cloned machine", func(_ *fleetv1.Host, v *fleetv1.Instance) {
			v.Target.StartedTime = timestamppb.New(now.Add(-time.Minute))
		}, ""},
		{"destroyed", func(_ *fleetv1.Host, v *fleetv1.Instance) { v.Target.ContainerId = "" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var all contents
			for _, host := range []string{"h1", "h2"} {
				h := &fleetv1.Host{HostId: host, EngineId: "e", EngineReachable: true, Connected: true, LastSeenTime: timestamppb.New(now)}
				v := &fleetv1.Instance{
					InstanceId: "web@" + host, HostId: host, Managed: true,
					Target: &fleetv1.Target{ContainerId: "c", EngineId: "e", StartedTime: timestamppb.New(now)},
				}
				if host == "h2" {
					c.change(h, v)
				}
				all.hosts, all.instances = append(all.hosts, h), append(all.instances, v)
			}
			m := New(0)
			m.replace(all)
			var got string
			for _, f := range m.Shared() {
				got += f.GetMessage()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}
