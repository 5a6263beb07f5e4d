// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// TestWatchSaysWhatChanged sends views of an instance that differ by one thing each:
// a line says which, and there is none for what nobody sees.
func TestWatchSaysWhatChanged(t *testing.T) {
	t.Parallel()
	view := &fleetv1.Instance{
		InstanceId: "web@h1", HostId: "h1", State: "running", Why: "Running.", Managed: true, Configuration: []string{"started", "ready"},
		Target: &fleetv1.Target{ContainerId: "c1", Channel: "socket"}, Queue: &fleetv1.Queue{Limit: 9},
	}
	host := &fleetv1.Host{HostId: "h1", Connected: true, EngineReachable: true}
	f := &fleet{changes: []*fleetv1.WatchResponse{
		{Change: &fleetv1.WatchResponse_Instance{Instance: proto.CloneOf(view)}}, {Change: &fleetv1.WatchResponse_Host{Host: proto.CloneOf(host)}},
		{Change: &fleetv1.WatchResponse_Synced{Synced: true}},
	}}
	var want []string
	next := func(says string, change func()) {
		change()
		if says != "" {
			want = append(want, says)
		}
		f.changes = append(f.changes, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Instance{Instance: proto.CloneOf(view)}})
	}
	next("", func() { view.LogSequence++ })
	next("", func() { view.UpdateTime = timestamppb.New(time.Unix(9, 0)) })
	next("event 1 accepted; 1 waiting", func() { view.Queue.AcceptedSequence, view.Queue.Waiting = 1, 1 })
	next("in waiting", func() { view.Configuration = []string{"started", "waiting"} })
	next("event 1 delivered; 0 waiting; in ready", func() {
		view.Queue.DeliveredSequence, view.Queue.Waiting, view.Configuration = 1, 0, []string{"started", "ready"}
	})
	next("snapshot #1 candidate", func() {
		view.Snapshots = []*fleetv1.ApplicationSnapshot{{Number: 1, Verdict: fleetv1.Verdict_VERDICT_CANDIDATE}}
	})
	next("snapshot #1 proven", func() { view.Snapshots[0].Verdict = fleetv1.Verdict_VERDICT_PROVEN })
	next("events wait in the queue", func() { view.Admission = fleetv1.Admission_ADMISSION_QUEUE })
	next("finding label.unknown: no such label", func() { view.Findings = []*fleetv1.Finding{{Code: "label.unknown", Message: "no such label"}} })
	next("mended: label.unknown", func() { view.Findings = nil })
	next("container c2", func() { view.Target.ContainerId = "c2" })
	next("Stopped.", func() { view.Why, view.State = "Stopped.", "stopped" })
	next("", func() { view.LogSequence++ })
	for _, seen := range []int64{3, 6} {
		host.LastSeenTime = timestamppb.New(time.Unix(seen, 0))
		f.changes = append(f.changes, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Host{Host: proto.CloneOf(host)}})
	}
	host.EngineReachable = false
	f.changes = append(f.changes, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Host{Host: host}})
	want = append(want, "engine unreachable")

	code, stdout, stderr := run(t, f, "", "watch")
	var got []string
	for line := range strings.Lines(stdout) {
		// What comes after the time, the name and the state, in columns.
		_, said, _ := strings.Cut(strings.TrimSpace(line), "h1")
		said = strings.TrimSpace(said)
		for _, state := range []string{"running", "stopped"} {
			said = strings.TrimSpace(strings.TrimPrefix(said, state))
		}
		got = append(got, said)
	}
	if diff := cmp.Diff(want, got); code != 0 || diff != "" {
		t.Errorf("exit code %d %s; lines (-want +got):\n%s", code, stderr, diff)
	}
	if _, stdout, _ := run(t, f, "", "watch", "-o", "json"); strings.Count(stdout, "\n") != len(f.changes)-3 {
		t.Errorf("as JSON every change is told, got:\n%s", stdout)
	}
}
