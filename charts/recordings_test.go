// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chartroom/chartroom/internal/recordings"
)

// heard is what the agent makes of one event of a recording.
type heard struct {
	name string
	data map[string]any
}

// hear turns the events of a row into those of the chart: it reads the action,
// numbers the runs by the stamp of their start, and collects the evidence of
// each die. A stop that comes within 250 ms counts: die is held back that long. It
// is the bare minimum of an agent; what the real one makes of the recordings is
// replayed through the chart in services/dockeragent/internal/observe.
func hear(row recordings.Row) []heard {
	var out []heard
	run := ""
	var signals []any
	oom := false
	for i, e := range row.Events {
		if e.ContainerID != row.ContainerID {
			continue
		}
		action, rest, _ := strings.Cut(e.Action, ":")
		data := map[string]any{"containerId": e.ContainerID, "name": e.Attributes["name"], "inferred": false}
		switch action {
		case "start":
			run, signals, oom = stamp(e.TimeNano), nil, false
			data["startedAt"] = run
		case "kill":
			n, _ := strconv.Atoi(e.Attributes["signal"])
			signals = append(signals, n)
			data["signal"] = n
		case "oom":
			oom = true
		case "health_status":
			data["health"] = strings.TrimSpace(rest)
		case "die":
			code, _ := strconv.Atoi(e.Attributes["exitCode"])
			data["startedAt"], data["exitCode"], data["oomKilled"] = run, code, oom && code == 137
			data["evidence"] = map[string]any{
				"command": "", "signal": signals, "hostSignal": false, "oom": oom,
				"stopEvent": slices.ContainsFunc(row.Events[max(0, i-3):], func(s recordings.Event) bool {
					return s.Action == "stop" && s.TimeNano < e.TimeNano+250e6
				}),
			}
		}
		out = append(out, heard{"docker." + action, data})
	}
	return out
}

func stamp(nano int64) string {
	return time.Unix(0, nano).UTC().Format(time.RFC3339Nano)
}

// began puts the session where the recording begins.
func began(d *driver, row recordings.Row) {
	status, _, _ := strings.Cut(strings.TrimSuffix(row.From, "-ignores-TERM"), " ")
	status = strings.TrimSuffix(status, ",")
	switch status {
	case "created", "running", "paused", "restarting", "exited", "dead", "removing":
		d.deliver("docker.inspect", map[string]any{
			"containerId": row.ContainerID, "status": status, "startedAt": "2026-01-01T00:00:00Z", "exitCode": 0,
		})
	}
}

// truth is the end of the recording, as the agent tells it.
func truth(d *driver, row recordings.Row) {
	if row.InspectStatus == 404 {
		d.deliver("docker.destroy", map[string]any{"containerId": row.ContainerID, "inferred": true})
		return
	}
	d.deliver("docker.inspect", map[string]any{
		"containerId": row.ContainerID, "status": row.State.Status, "startedAt": row.State.StartedAt.Format(time.RFC3339Nano),
		"exitCode": row.State.ExitCode, "oomKilled": row.State.OOMKilled, "error": row.State.Error, "inferred": true,
	})
}

func ended(d *driver, row recordings.Row) bool {
	if row.InspectStatus == 404 {
		return d.ip.In("destroyed")
	}
	return d.agrees(row.State.Status)
}

func rows() []recordings.Row {
	return slices.DeleteFunc(recordings.Rows(), func(r recordings.Row) bool {
		return r.InspectStatus != 200 && r.InspectStatus != 404 || r.ContainerID == ""
	})
}

// Every recording of a real engine ends where its own inspect ended, for a
// managed and for an unmanaged container. Without that inspect, too, but where
// the engine does not say what it did: silent are the back-off of its restart
// policy, removal while it lasts, and what happens while the daemon is down.
func TestRecordingsEndWhereInspectSays(t *testing.T) {
	t.Parallel()
	all, byEvents := 0, 0
	for _, row := range rows() {
		for _, managed := range []bool{false, true} {
			d := drive(t, managed, nil)
			began(d, row)
			for _, h := range hear(row) {
				d.deliver(h.name, h.data)
			}
			all++
			if ended(d, row) {
				byEvents++
			} else if !silent(row) {
				t.Errorf("%s, %s (managed: %v): events end in %s, inspect says %v", row.Engine, row.Scenario, managed,
					d.state(), row.State)
			}
			truth(d, row)
			if !ended(d, row) {
				t.Errorf("%s, %s (managed: %v): inspected %v, state is %s", row.Engine, row.Scenario, managed,
					row.State, d.state())
			}
		}
	}
	if all < 800 {
		t.Errorf("only %d recordings", all)
	}
	t.Logf("%d replays, %d ended right by events alone", all, byEvents)
}

// silent says that the events of a row cannot tell its end.
func silent(row recordings.Row) bool {
	switch {
	case strings.HasPrefix(row.Scenario, "daemon restart"), strings.HasPrefix(row.From, "restarting"):
		return true
	case row.State == nil:
		return strings.HasPrefix(row.Scenario, "removing") || row.From == "removing" || row.From == "removed"
	case row.State.Status == "restarting" || row.State.Status == "dead" || row.State.Status == "removing":
		return true
	}
	// The recorder hung up before the last start or die that inspect knows of.
	last, at := "", time.Time{}
	for _, e := range row.Events {
		if e.ContainerID == row.ContainerID && (e.Action == "start" || e.Action == "die") {
			last, at = e.Action, time.Unix(0, e.TimeNano)
		}
	}
	return last == "start" && row.State.Status == "exited" || last == "die" && row.State.StartedAt.After(at)
}

// The same with the stream at its worst: any event may be lost, told twice, or
// change places with others.
func TestBrokenRecordingsEndWhereInspectSays(t *testing.T) {
	t.Parallel()
	all := slices.DeleteFunc(rows(), func(r recordings.Row) bool { return len(r.Events) < 2 || len(r.Events) > 25 })
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SampledFrom(all).Draw(t, "row")
		d := drive(t, rapid.Bool().Draw(t, "managed"), nil)
		began(d, row)
		events := hear(row)
		for n := range events {
			switch rapid.SampledFrom([]string{"keep", "keep", "lose", "repeat", "swap"}).Draw(t, "fate") {
			case "lose":
				continue
			case "repeat":
				d.deliver(events[n].name, events[n].data)
			case "swap":
				other := rapid.IntRange(0, len(events)-1).Draw(t, "with")
				events[n], events[other] = events[other], events[n]
			}
			d.deliver(events[n].name, events[n].data)
		}
		truth(d, row)
		if !ended(d, row) {
			t.Fatalf("%s, %s: inspected %v, state is %s", row.Engine, row.Scenario, row.State, d.state())
		}
	})
}
