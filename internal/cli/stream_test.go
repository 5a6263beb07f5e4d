// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

func logged(sequence uint64) *fleetv1.LogEntry {
	return &fleetv1.LogEntry{InstanceId: "web@h1", Sequence: sequence, Event: "tick"}
}

func told(sequence uint64, token string) *fleetv1.WatchResponse {
	return &fleetv1.WatchResponse{Token: token, Change: &fleetv1.WatchResponse_Log{Log: logged(sequence)}}
}

// TestLogFollowsWithoutAHole follows a log over a break of the connection. What
// happened between the first page and the watch comes before it is synced, and
// the log goes on where it ended, once.
func TestLogFollowsWithoutAHole(t *testing.T) {
	t.Parallel()
	state := &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Instance{Instance: &fleetv1.Instance{InstanceId: "web@h1", State: "running"}}}
	synced := &fleetv1.WatchResponse{Token: "b", Change: &fleetv1.WatchResponse_Synced{Synced: true}}
	for _, output := range []string{"table", "json"} {
		f := &fleet{
			log:     []*fleetv1.LogEntry{logged(3), logged(4)},
			breaks:  [][]*fleetv1.WatchResponse{{told(5, "a"), state, synced, told(6, "c")}},
			changes: []*fleetv1.WatchResponse{told(7, "d"), state},
		}
		code, stdout, stderr := run(t, f, "", "log", "-f", "web", "-o", output)
		if code != 0 || !strings.Contains(stderr, "the connection broke") {
			t.Errorf("%s: exit code %d, stderr %q", output, code, stderr)
		}
		var got []string
		for line := range strings.SplitSeq(strings.TrimSpace(stdout), "\n") {
			if output == "table" {
				got = append(got, strings.Fields(line)[1])
				continue
			}
			var change struct{ Log struct{ Sequence string } }
			if err := json.Unmarshal([]byte(line), &change); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			got = append(got, change.Log.Sequence)
		}
		if diff := cmp.Diff([]string{"3", "4", "5", "6", "7"}, got); diff != "" {
			t.Errorf("%s: entries (-want +got):\n%s", output, diff)
		}
		if len(f.asked) != 2 || f.asked[0].GetAfterLogSequence() != 4 || f.asked[1].GetAfterLogSequence() != 6 || f.asked[1].GetToken() != "c" {
			t.Errorf("%s: asked %v; want a watch after entry 4, then one after 6 and token c", output, f.asked)
		}
	}
}

func TestSnapshotDiff(t *testing.T) {
	t.Parallel()
	f := &fleet{
		instances: []*fleetv1.Instance{{InstanceId: "web@h1", Name: "web", Snapshots: []*fleetv1.ApplicationSnapshot{{Number: 3}, {Number: 2}, {Number: 1}}}},
		bodies: map[uint64]string{
			1: `{"total": 1, "items": ["tea"], "note": null}`,
			2: `{"items":["tea"],"total":1,"note":null}`,
			3: `{"total": 5, "items": ["tea", {"milk": true}]}`,
		},
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"web"}, 0, "+ items[1]: {\"milk\":true}\n- note: null\n~ total: 5, it was 1\n"},
		{[]string{"web", "1", "2"}, 0, ""},
		{[]string{"web", "#1", "--exit-code"}, 8, "+ items[1]: {\"milk\":true}\n- note: null\n~ total: 5, it was 1\n"},
		{[]string{"web", "1", "4"}, 3, ""},
		{[]string{"web", "one"}, 2, ""},
	} {
		code, stdout, stderr := run(t, f, "", append([]string{"snapshot", "diff"}, test.args...)...)
		if code != test.code || stdout != test.want {
			t.Errorf("%v: exit code %d, want %d; %s\ngot  %q\nwant %q", test.args, code, test.code, stderr, stdout, test.want)
		}
	}
	f.bodies[3] = "\x00binary"
	if _, stdout, _ := run(t, f, "", "snapshot", "diff", "web", "-o", "json"); !strings.Contains(stdout, `"new": "7 B"`) {
		t.Errorf("bodies that are not JSON:\n%s", stdout)
	}
	f.instances[0].Snapshots = f.instances[0].Snapshots[:1]
	if code, _, stderr := run(t, f, "", "snapshot", "diff", "web"); code != 3 || !strings.Contains(stderr, "chartroom snapshot take web") {
		t.Errorf("one snapshot alone: exit code %d: %s", code, stderr)
	}
}

// chartSnapshot is what chartroom/scxml sends: the session is base64.
func chartSnapshot(session string) string {
	return fmt.Sprintf(`{"chart":"sha256:12","session":%q,"ordinal":1}`, base64.StdEncoding.EncodeToString([]byte(session)))
}

func TestSnapshotOfAChart(t *testing.T) {
	t.Parallel()
	f := &fleet{
		instances: []*fleetv1.Instance{{InstanceId: "hello@h1", Name: "hello", Snapshots: []*fleetv1.ApplicationSnapshot{{Number: 2}, {Number: 1}}}},
		bodies: map[uint64]string{
			1: chartSnapshot(`{"v":1,"session":"hello","configuration":["hello","waiting"],"data":{"items":["tea"],"n":1},"now":1767268800000000000}`),
			2: chartSnapshot(`{"v":1,"session":"hello","configuration":["hello","greeted"],"data":{"items":["tea","milk"],"n":2},"now":1767268801000000000}`),
		},
	}
	f.bodies[0] = f.bodies[2] // the newest
	code, stdout, stderr := run(t, f, "", "snapshot", "diff", "hello")
	want := `~ session.configuration: "hello greeted", it was "hello waiting"
+ session.data.items[1]: "milk"
~ session.data.n: 2, it was 1
~ session.time: "2026-01-01T12:00:01Z", it was "2026-01-01T12:00:00Z"
`
	if diff := cmp.Diff(want, stdout); code != 0 || diff != "" {
		t.Errorf("diff: exit code %d %s (-want +got):\n%s", code, stderr, diff)
	}
	_, stdout, _ = run(t, f, "", "snapshot", "get", "hello", "--readable")
	want = `{
  "chart": "sha256:12",
  "session": {
    "configuration": "hello greeted",
    "data": {
      "items": [
        "tea",
        "milk"
      ],
      "n": 2
    },
    "time": "2026-01-01T12:00:01Z"
  },
  "ordinal": 1
}
`
	if diff := cmp.Diff(want, stdout); diff != "" {
		t.Errorf("get --readable (-want +got):\n%s", diff)
	}
	if _, stdout, _ = run(t, f, "", "snapshot", "get", "hello"); stdout != f.bodies[2] {
		t.Errorf("get writes %q, want the bytes %q", stdout, f.bodies[2])
	}
	f.bodies[0] = "\x00\x1b"
	if _, stdout, _ = run(t, f, "", "snapshot", "get", "hello", "--readable"); stdout != "(2 B that are no JSON)\n" {
		t.Errorf("get --readable of no JSON: %q", stdout)
	}
}
