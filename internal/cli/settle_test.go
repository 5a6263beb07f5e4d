// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/cli"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

func shown(i *fleetv1.Instance) *fleetv1.WatchResponse {
	return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Instance{Instance: i}}
}

// started is the change that tells of an instance whose container runs.
func started(id string) *fleetv1.WatchResponse {
	return shown(&fleetv1.Instance{InstanceId: id, Target: &fleetv1.Target{ContainerId: "c1", StartedTime: timestamppb.Now()}})
}

// run ends when the container has been started, create when it is there, and both with
// the cause when the engine refuses; the id is printed in any case.
func TestRunWaitsForTheEngine(t *testing.T) {
	t.Parallel()
	const see = "\n  See: chartroom log web@h --problems. To be rid of it: chartroom rm web@h\n"
	absent := shown(&fleetv1.Instance{InstanceId: "web@h", Target: &fleetv1.Target{}, Why: "The engine refused another one, before.", Severity: fleetv1.Severity_SEVERITY_ERROR})
	created := shown(&fleetv1.Instance{InstanceId: "web@h", Target: &fleetv1.Target{ContainerId: "c1"}, Why: "Created, not started yet."})
	lost := started("web@h")
	lost.GetInstance().Unknown, lost.GetInstance().UnknownReason = true, "the engine of h does not answer"
	refused := func(verb, why string) *fleetv1.WatchResponse {
		return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Log{Log: &fleetv1.LogEntry{Event: "error.docker." + verb, Summary: why}}}
	}
	for _, test := range []struct {
		name    string
		verb    string
		changes []*fleetv1.WatchResponse
		want    cli.Code
		says    string
	}{
		{"started", "run", []*fleetv1.WatchResponse{absent, created, started("web@h")}, cli.OK, ""},
		{"made", "create", []*fleetv1.WatchResponse{absent, created}, cli.OK, ""},
		{"no image", "run", []*fleetv1.WatchResponse{absent, refused("create", "No such image.")}, cli.Failed, "chartroom: run nginx: No such image." + see},
		{"no image to make", "create", []*fleetv1.WatchResponse{refused("create", "No such image.")}, cli.Failed, "chartroom: create nginx: No such image." + see},
		{"no program", "run", []*fleetv1.WatchResponse{created, refused("start", "No such program.")}, cli.Failed, "chartroom: run nginx: No such program." + see},
		{"not seen", "run", []*fleetv1.WatchResponse{created}, cli.TimedOut, "web@h was not seen to be started: Created, not started yet.\n  Follow it: chartroom watch web@h\n"},
		{"unknown", "run", []*fleetv1.WatchResponse{lost}, cli.TimedOut, "web@h was not seen to be started: the engine of h does not answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fleet{changes: test.changes}
			code, stdout, stderr := run(t, f, "", test.verb, "--name", "web", "nginx")
			if code != int(test.want) || stdout != "web@h\n" || !strings.Contains(stderr, test.says) || test.says == "" && stderr != "" {
				t.Errorf("exit code %d, want %d; stdout %q; stderr %q, want %q", code, test.want, stdout, stderr, test.says)
			}
			// The entries that there were before tell of something else.
			if len(f.asked) != 1 || f.asked[0].GetInstanceId() != "web@h" || f.asked[0].GetAfterLogSequence() != 2 {
				t.Errorf("watched %v, want web@h after entry 2", f.asked)
			}
		})
	}
	f := &fleet{}
	if code, stdout, stderr := run(t, f, "", "run", "--no-wait", "--name", "web", "nginx"); code != 0 || stdout != "web@h\n" || len(f.asked) != 0 {
		t.Errorf("--no-wait: exit code %d, %q %q, watched %v", code, stdout, stderr, f.asked)
	}
}
