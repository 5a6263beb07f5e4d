// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/cli"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// entry is a step that ends in some states of the container's chart, beside its regions.
func entry(sequence uint64, event, summary string, states ...string) *fleetv1.WatchResponse {
	return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Log{Log: &fleetv1.LogEntry{
		Sequence: sequence, Event: event, Summary: summary, Configuration: append([]string{"lifecycle", "intent"}, states...),
	}}}
}

// view is what an instance is like after an entry, in some states.
func view(sequence uint64, state, why string, states ...string) *fleetv1.WatchResponse {
	return shown(&fleetv1.Instance{InstanceId: "web@h", LogSequence: sequence, State: state, Why: why, Configuration: states})
}

// What an intent comes to is told by the steps that follow it: it has happened, it has
// failed, or neither was seen.
func TestIntentsAreWaitedFor(t *testing.T) {
	t.Parallel()
	const idle, during = "intent.idle", "intent.stopping"
	stopped := view(9, "user_requested", "Stopped on request.")
	running := view(9, "running", "Running.")
	snapshot := entry(9, "app.snapshot", "", "started")
	snapshot.GetLog().DataJson = `{"number":3,"size":12}`
	for _, test := range []struct {
		name    string
		args    string
		changes []*fleetv1.WatchResponse
		want    cli.Code
		says    string // what stdout has, or stderr of a failure
	}{
		{"stopped", "stop web", []*fleetv1.WatchResponse{
			entry(5, "system.stop", "", "started", "running", during), entry(9, "docker.die", "", "stopped", "user_requested", idle), stopped,
		}, cli.OK, "web@h is user_requested: Stopped on request."},
		{"the view comes first", "stop web", []*fleetv1.WatchResponse{
			stopped, entry(9, "docker.die", "", "stopped", "user_requested", idle),
		}, cli.OK, "web@h is user_requested"},
		{"its own plan is stopped", "stop web", []*fleetv1.WatchResponse{
			entry(5, "system.stop", "", "stopped", "user_requested", idle), stopped,
		}, cli.OK, "web@h is user_requested"},
		{"gone while it stops", "stop web", []*fleetv1.WatchResponse{
			entry(9, "docker.destroy", "", "destroyed", idle), view(9, "destroyed", "Removed."),
		}, cli.OK, "web@h is destroyed"},
		{"the engine refuses", "stop web", []*fleetv1.WatchResponse{
			entry(5, "system.stop", "", "started", "running", during),
			entry(6, "error.docker.stop", "The engine refused to stop: busy", "started", "running", idle), view(6, "running", "The engine refused to stop: busy"),
		}, cli.Failed, "stop web: it was accepted, and has failed: web@h is running: The engine refused to stop: busy\n  See: chartroom log web\n"},
		{"the reason is gone again", "stop web", []*fleetv1.WatchResponse{
			entry(6, "error.outcome_stale.stop", "It was for another run.", "started", "running", idle), running,
		}, cli.Failed, "web@h is running: Running.\n  It was for another run.\n"},
		{"the grace is over", "stop web", []*fleetv1.WatchResponse{
			entry(9, "intent.grace", "", "started", "running", "intent.overdue"), view(9, "running", "Still running 10 s after stop was sent."),
		}, cli.Failed, "Still running 10 s after"},
		{"nothing is seen", "stop web", []*fleetv1.WatchResponse{
			entry(5, "system.stop", "", "started", "running", during), view(5, "running", "Running."),
		}, cli.TimedOut, "stop web: it was accepted, and is not seen to be done yet: web@h is running: Running.\n  Follow it: chartroom watch web\n"},
		{"the answer to something else", "stop web", []*fleetv1.WatchResponse{
			entry(6, "error.docker.take_snapshot", "No.", "started", "running", during), view(6, "running", "No."),
		}, cli.TimedOut, "is not seen to be done yet"},

		{"started", "start web", []*fleetv1.WatchResponse{
			entry(5, "system.start", "", "stopped", "given_up", "intent.starting"), entry(6, "docker.start", "", "started", "starting", idle),
			entry(9, "app.ready", "", "started", "running", idle), running,
		}, cli.OK, "web@h is running: Running."},
		{"a job that is done", "start web", []*fleetv1.WatchResponse{
			entry(9, "docker.die", "", "stopped", "completed", idle), view(9, "completed", "Completed: exit 0."),
		}, cli.OK, "web@h is completed"},
		{"dead at once", "start web", []*fleetv1.WatchResponse{
			entry(5, "system.start", "", "stopped", "completed", "intent.starting"),
			entry(9, "docker.die", "", "stopped", "crashed", "backoff", idle), view(9, "backoff", "Crashed: exit 1; starts again."),
		}, cli.Failed, "web@h is backoff: Crashed: exit 1; starts again."},
		{"dead at once, and known to be", "start web", []*fleetv1.WatchResponse{
			entry(8, "docker.start", "Running.", "started", "running", idle), view(9, "restarting", "Crashed: exit 2; starting again.", "stopped", "crashed", "restarting", idle),
		}, cli.Failed, "start web: it was accepted, and has failed: web@h is restarting: Crashed: exit 2; starting again.\n  See: chartroom log web\n"},
		{"done at once", "start web", []*fleetv1.WatchResponse{
			entry(8, "docker.start", "Running.", "started", "running", idle), view(9, "completed", "Completed: exit 0.", "stopped", "completed", idle),
		}, cli.OK, "web@h is completed"},
		{"paused, and dead", "pause web", []*fleetv1.WatchResponse{
			entry(8, "docker.pause", "", "started", "paused"), view(9, "given_up", "Given up.", "stopped", "given_up"),
		}, cli.Failed, "web@h is given_up: Given up."},
		{"a restart begins from running", "restart web", []*fleetv1.WatchResponse{
			entry(5, "system.restart", "", "started", "running", "intent.last_words"), view(5, "running", "Running."),
		}, cli.TimedOut, "is not seen to be done yet"},
		{"stopped instead", "snapshot restore web 1", []*fleetv1.WatchResponse{
			entry(9, "system.stop", "", "stopped", "user_requested", idle), stopped,
		}, cli.Failed, "restore snapshot #1 of web: it was accepted, and has failed: web@h is user_requested"},

		{"killed", "kill web", []*fleetv1.WatchResponse{
			entry(5, "system.kill", "", "started", "intent.killing"), entry(6, "intent.spared", "", "started", idle),
			entry(9, "docker.die", "", "stopped", "user_requested", idle), stopped,
		}, cli.OK, "web@h is user_requested"},
		{"a signal that is survived", "kill -s HUP web", []*fleetv1.WatchResponse{
			entry(5, "system.kill", "", "started", "intent.killing"), entry(9, "intent.spared", "", "started", idle), running,
		}, cli.OK, "web@h is running"},
		{"paused", "pause web", []*fleetv1.WatchResponse{
			entry(5, "system.pause", "", "started", "running"), entry(9, "docker.pause", "", "started", "paused"), view(9, "paused", "Paused."),
		}, cli.OK, "web@h is paused"},
		{"dead before it was paused", "pause web", []*fleetv1.WatchResponse{entry(9, "docker.die", "", "stopped", "crashed"), view(9, "backoff", "Crashed.")}, cli.Failed, "web@h is backoff"},
		{"unpaused", "unpause web", []*fleetv1.WatchResponse{
			entry(5, "system.unpause", "", "started", "paused"), entry(9, "docker.unpause", "", "started", "running"), running,
		}, cli.OK, "web@h is running"},
		{"a snapshot", "snapshot take web", []*fleetv1.WatchResponse{
			entry(5, "system.take_snapshot", "", "started"), entry(9, "app.snapshot", "", "started"), running,
		}, cli.OK, "web@h is running"},
		{"which snapshot", "snapshot take web", []*fleetv1.WatchResponse{snapshot, running}, cli.OK, "web: its state is snapshot #3\nweb@h is running"},
		{"no snapshot", "snapshot take web", []*fleetv1.WatchResponse{
			entry(9, "snapshots.timeout", "Timer snapshots.timeout; entered snapshots.stale.", "started"), running,
		}, cli.Failed, "Timer snapshots.timeout"},

		{"removed", "rm web", []*fleetv1.WatchResponse{
			entry(5, "system.remove", "", "stopped", "intent.removing"), entry(9, "docker.destroy", "", "destroyed", idle), view(9, "destroyed", "Removed."),
		}, cli.OK, "web@h is destroyed"},
		{"the record goes, too", "rm web", []*fleetv1.WatchResponse{{Change: &fleetv1.WatchResponse_RemovedInstanceId{RemovedInstanceId: "web@h"}}}, cli.OK, "web: remove accepted"},
		{"removed meanwhile", "stop web", []*fleetv1.WatchResponse{{Change: &fleetv1.WatchResponse_RemovedInstanceId{RemovedInstanceId: "web@h"}}}, cli.NotFound, "then the instance was removed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fleet{changes: test.changes, sent: &fleetv1.SendEventResponse{
				Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 5, Configuration: []string{"lifecycle", "intent"},
			}}
			code, stdout, stderr := run(t, f, "", strings.Fields(test.args)...)
			said := stdout
			if test.want != cli.OK {
				said = stderr
			}
			if code != int(test.want) || !strings.Contains(said, test.says) {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q, want %q", code, test.want, stdout, stderr, test.says)
			}
			// From the step of the intent itself: it may be done by then.
			if len(f.asked) != 1 || !f.asked[0].GetLog() || f.asked[0].GetAfterLogSequence() != 4 {
				t.Errorf("watched %v, want the log after entry 4", f.asked)
			}
		})
	}
}

// Nothing is waited for when that is not wanted, nor of a chart that says nothing of it.
func TestWhatIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	container, own := []string{"lifecycle", "intent"}, []string{"lifecycle", "mine"}
	for _, test := range []struct {
		args          string
		configuration []string
		watched       bool
	}{
		{"stop web", container, true},
		{"stop web --no-wait", container, false},
		{"stop web", own, false},
		{"send web hello", container, false},
	} {
		stopped := []*fleetv1.WatchResponse{entry(5, "docker.die", "", "stopped", "intent.idle"), view(5, "user_requested", "Stopped.")}
		f := &fleet{changes: stopped, sent: &fleetv1.SendEventResponse{
			Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 5, Configuration: test.configuration,
		}}
		code, _, stderr := run(t, f, "", strings.Fields(test.args)...)
		if code != 0 || (len(f.asked) > 0) != test.watched {
			t.Errorf("%s in %v: exit code %d, %q; watched %v, want %v", test.args, test.configuration, code, stderr, f.asked, test.watched)
		}
	}
	// A record is gone when nothing knows it any more.
	f := &fleet{
		sent:    &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED},
		changes: []*fleetv1.WatchResponse{view(9, "destroyed", "Removed."), {Change: &fleetv1.WatchResponse_RemovedInstanceId{RemovedInstanceId: "web@h"}}},
	}
	if code, stdout, stderr := run(t, f, "", "rm", "web"); code != 0 || stdout != "web: remove accepted\n" || len(f.asked) != 1 || f.asked[0].GetLog() {
		t.Errorf("of a record: exit code %d, %q %q; watched %v", code, stdout, stderr, f.asked)
	}
	f.changes = f.changes[:1]
	if code, _, stderr := run(t, f, "", "rm", "web"); code != int(cli.TimedOut) {
		t.Errorf("of a record that stays: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := run(t, &fleet{}, "", "stop", "web", "--timeout", "-1s"); code != int(cli.Usage) || !strings.Contains(stderr, "--timeout -1s") {
		t.Errorf("a wait of no time: exit code %d, %q", code, stderr)
	}
	if _, help, _ := run(t, nil, "", "stop", "--help"); !strings.Contains(help, "less than 1s counts as 1s") || !strings.Contains(help, "which --timeout does not count") {
		t.Errorf("the help does not tell how long it is waited:\n%s", help)
	}
}

// All that are named are asked at once, then waited for; the first failure decides.
func TestSeveralAreWaitedForTogether(t *testing.T) {
	t.Parallel()
	f := &fleet{
		sent: &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 5, Configuration: []string{"lifecycle", "intent"}},
		changes: []*fleetv1.WatchResponse{
			entry(9, "intent.grace", "", "started", "intent.overdue"), view(9, "running", "Still running."),
		},
	}
	code, stdout, stderr := run(t, f, "", "stop", "a", "b")
	if want := "a: stop accepted\nb: stop accepted\n"; code != int(cli.Failed) || stdout != want {
		t.Errorf("exit code %d, stdout %q, want %q", code, stdout, want)
	}
	if !strings.Contains(stderr, "stop a: it was accepted") || !strings.Contains(stderr, "stop b: it was accepted") || len(f.asked) != 2 {
		t.Errorf("stderr:\n%s\nwatched %v", stderr, f.asked)
	}
	// A script that reads the answer as JSON gets that alone.
	f.changes = []*fleetv1.WatchResponse{entry(9, "docker.die", "", "stopped", "intent.idle"), view(9, "user_requested", "Stopped.")}
	if _, stdout, _ = run(t, f, "", "stop", "a", "-o", "json"); !strings.HasPrefix(stdout, "{") || !strings.HasSuffix(stdout, "}\n") || strings.Contains(stdout, "Stopped.") {
		t.Errorf("as JSON: %q", stdout)
	}
}

// Whoever ends a command that waits reads what it leaves behind; the code is that of
// shells. What only shows has no more to do.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want cli.Code
		says string
	}{
		{"stop a b", cli.Interrupted, "chartroom: stop b: it was accepted and goes on; follow it: chartroom watch b\n" +
			"chartroom: stop a: it was accepted and goes on; follow it: chartroom watch a\n"},
		{"wait web --state running", cli.Interrupted, "chartroom: wait for web to be running: interrupted\n"},
		{"run any", cli.Interrupted, "chartroom: run any: it was asked for and goes on; follow it: chartroom watch @h\n"},
		{"watch", cli.OK, ""},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		f := &fleet{interrupt: interrupt, sent: &fleetv1.SendEventResponse{
			Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 5, Configuration: []string{"lifecycle", "intent"},
		}}
		if code, _, stderr := runUntil(ctx, t, f, "", strings.Fields(test.args)...); code != int(test.want) || stderr != test.says {
			t.Errorf("%s: exit code %d, want %d; stderr %q, want %q", test.args, code, test.want, stderr, test.says)
		}
	}
}
