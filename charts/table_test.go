// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/scxml"
)

const (
	firstRun  = "2026-01-01T00:01:00Z"
	secondRun = "2026-01-01T00:02:00Z"
)

type observation struct {
	column string // as in the table
	event  string
	data   map[string]any
	// annotation says that it never changes a state.
	annotation bool
}

func evidence(signals ...any) map[string]any {
	return map[string]any{"command": "", "stopEvent": false, "signal": signals, "hostSignal": false, "oom": false}
}

// observations are all events of the engine. The run of a start is new, that of
// a die is the one that is on.
func observations(run string) []observation {
	list := []observation{
		{column: "create", event: "docker.create", data: nil},
		{column: "create (new id)", event: "docker.create", data: map[string]any{"containerId": "c2"}},
		{column: "start", event: "docker.start", data: map[string]any{"startedAt": secondRun}},
		{column: "start (ours)", event: "docker.start", data: map[string]any{"startedAt": secondRun, "commandId": "bot/7"}},
		{column: "die 0", event: "docker.die", data: map[string]any{"startedAt": run, "exitCode": 0, "evidence": evidence()}},
		{column: "die 1", event: "docker.die", data: map[string]any{"startedAt": run, "exitCode": 1, "evidence": evidence()}},
		{column: "die 137, kill 9", event: "docker.die", data: map[string]any{"startedAt": run, "exitCode": 137, "evidence": evidence(9)}},
		{column: "die 143, kill 15", event: "docker.die", data: map[string]any{"startedAt": run, "exitCode": 143, "evidence": evidence(15)}},
		{column: "engine shut down", event: "docker.die", data: map[string]any{"startedAt": run, "exitCode": 0, "evidence": map[string]any{
			"command": "", "stopEvent": true, "signal": []any{15}, "hostSignal": false, "oom": false, "engineShutdown": true,
		}}},
		{column: "pause", event: "docker.pause", data: nil},
		{column: "unpause", event: "docker.unpause", data: nil},
		{column: "stop", event: "docker.stop", data: nil},
		{column: "destroy", event: "docker.destroy", data: nil},
		{column: "destroy (other id)", event: "docker.destroy", data: map[string]any{"containerId": "c0"}},
	}
	for _, status := range []string{"created", "running", "paused", "restarting", "exited", "dead", "removing"} {
		list = append(list, observation{column: "inspect " + status, event: "docker.inspect",
			data: map[string]any{"status": status, "startedAt": run, "exitCode": 1}})
	}
	// All that never changes the state.
	for _, name := range []string{
		"kill", "restart", "oom", "rename", "update", "exec_create", "exec_start", "exec_die", "exec_detach",
		"health_status", "attach", "detach", "resize", "top", "export", "archive-path", "extract-to-dir", "copy",
		"commit", "checkpoint",
	} {
		list = append(list, observation{column: name, event: "docker." + name, annotation: true,
			data: map[string]any{"signal": 10, "health": "healthy"}})
	}
	return list
}

// places says how each state of the lifecycle is reached.
var places = []struct {
	state string
	reach func(d *driver)
}{
	{"absent", func(*driver) {}},
	{"created", func(d *driver) { d.deliver("docker.create", nil) }},
	{"launching", up},
	{"restoring", func(d *driver) {
		ready(d)
		d.deliver("app.snapshot", map[string]any{"number": 1, "sequence": 1})
		d.deliver("docker.start", map[string]any{"startedAt": "2026-01-01T00:01:30Z"})
	}},
	{"running", ready},
	{"paused", func(d *driver) { ready(d); d.deliver("docker.pause", nil) }},
	{"completed", func(d *driver) { ready(d); die(d, 0) }},
	{"user_requested", func(d *driver) { ready(d); die(d, 143, 15) }},
	{"settling", func(d *driver) {
		ready(d)
		d.deliver("system.restart", nil)
		d.advance(1e9) // the application does not answer take_snapshot
		die(d, 143, 15)
	}},
	{"returning", func(d *driver) {
		ready(d)
		d.deliver("system.restart", nil)
		d.advance(1e9)
		die(d, 143, 15)
		d.deliver("done.command.stop", nil)
	}},
	{"unattended", func(d *driver) {
		d.deliver("docker.inspect", map[string]any{"status": "exited", "startedAt": firstRun, "exitCode": 1})
	}},
	{"backoff", func(d *driver) {
		ready(d)
		die(d, 1)
		d.deliver("error.docker.start", map[string]any{"message": "no"})
	}},
	{"restarting", func(d *driver) { ready(d); die(d, 1) }},
	{"replacing", func(d *driver) {
		d.deliver("docker.create", map[string]any{"options": map[string]any{
			"channel": "socket", "policyInterval": 0, "restart": map[string]any{"max": 3, "first": 0, "backoff": 100, "ceiling": 1000},
			"breaker": map[string]any{"timeout": 250, "open": 1000}, "startTimeout": 30000, "stopTimeout": 10000, "proving": 5000, "eventDeaths": 3,
			"recover": map[string]any{"image": "bot:safe", "env": map[string]any{}},
		}})
		ready(d)
		die(d, 1)
		d.deliver("docker.start", map[string]any{"startedAt": "2026-01-01T00:01:30Z", "commandId": "bot/2"})
		d.deliver("docker.die", map[string]any{"startedAt": "2026-01-01T00:01:30Z", "exitCode": 1, "evidence": evidence()})
		d.advance(1e9)
	}},
	{"given_up", func(d *driver) {
		ready(d)
		die(d, 1)
		for !d.ip.In("given_up") {
			d.deliver("error.docker.start", map[string]any{"message": "no"})
			d.advance(2 * 60 * 1e9)
		}
	}},
	{"dead", func(d *driver) {
		ready(d)
		d.deliver("docker.inspect", map[string]any{"status": "dead", "startedAt": firstRun})
	}},
	{"destroyed", func(d *driver) { ready(d); die(d, 0); d.deliver("docker.destroy", nil) }},
}

func up(d *driver) {
	d.deliver("docker.create", nil)
	d.deliver("docker.start", map[string]any{"startedAt": firstRun, "commandId": "bot/1"})
}

func ready(d *driver) {
	up(d)
	d.deliver("app.ready", map[string]any{"sequence": 0})
}

func die(d *driver, exitCode int, signals ...any) {
	d.deliver("docker.die", map[string]any{"startedAt": firstRun, "exitCode": exitCode, "evidence": evidence(signals...)})
}

// Every event of the engine in every state, as a table for people:
// charts/testdata/observations.txt. A row is a state, a column what is observed;
// the cell is the state afterwards, "·" the same one. Events that never change
// a state are not in the table; that they do not is checked here.
func TestObservationsInEveryState(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# State after an observation, for a managed container with a channel; \"·\" is no change.\n" +
		"# After a die, the restart that follows at once is counted in.\n")
	for _, p := range places {
		probe := drive(t, true, nil)
		p.reach(probe)
		if probe.state() != p.state {
			t.Fatalf("%s is not reached: %v", p.state, probe.ip.Configuration())
		}
		fmt.Fprintf(&b, "\n%s\n", p.state)
		run := firstRun
		if v, _ := probe.ip.Value("run"); v != "" {
			run, _ = v.(string)
		}
		// The run that is on may die; one that is over has died already.
		if probe.ip.In("stopped") || probe.ip.In("destroyed") || probe.ip.In("created") {
			run = secondRun
		}
		for _, o := range observations(run) {
			d := probe.clone()
			before := d.ip.Configuration()
			d.deliver(o.event, o.data)
			after := d.state()
			if status, ok := strings.CutPrefix(o.column, "inspect "); ok && !d.agrees(status) {
				t.Errorf("%s: inspect says %s, state is %s", p.state, status, after)
			}
			if o.annotation {
				if after != p.state {
					t.Errorf("%s: %s changes the state to %s", p.state, o.column, after)
				}
				if o.column != "health_status" && cmp.Diff(before, d.ip.Configuration()) != "" {
					t.Errorf("%s: %s: %s", p.state, o.column, cmp.Diff(before, d.ip.Configuration()))
				}
				if len(d.commands) != 0 {
					t.Errorf("%s: %s commands %v", p.state, o.column, d.commands)
				}
				continue
			}
			if after == p.state && d.ip.In(p.state) {
				after = "·"
			}
			fmt.Fprintf(&b, "  %-20s %s\n", o.column, after)
		}
	}
	golden(t, "testdata/observations.txt", b.String())
}

// The intents of every state, what it does with application events, and what it
// means to somebody who looks at many containers, as the table of docs/container-chart.md.
func TestIntentsInEveryState(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c, err := containerChart()
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("| state | activity | application events | intents |\n|---|---|---|---|\n")
	for _, p := range places {
		d := drive(t, true, nil)
		p.reach(d)
		var intents []string
		for _, intent := range []string{
			"start", "stop", "restart", "kill", "pause", "unpause", "remove", "restore", "take_snapshot",
		} {
			if d.ip.Accepts("system." + intent) {
				intents = append(intents, intent)
			}
		}
		list := strings.Join(intents, ", ")
		if list == "" {
			list = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.state, activity(c.Document().State(p.state)), strictest(d.ip.Attributes("urn:chartroom:chart", "admit")), list)
	}
	page, err := os.ReadFile("../docs/container-chart.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), b.String()) {
		t.Errorf("docs/container-chart.md has another table than the chart:\n%s", b.String())
	}
}

// activity is what a state says of itself, or what is nearest around it.
func activity(s *scxml.State) string {
	for ; s != nil; s = s.Parent {
		if v, ok := s.Attribute("urn:chartroom:chart", "activity"); ok {
			return v
		}
	}
	return "running"
}

func strictest(admit []string) string {
	worst := "forward"
	for _, a := range admit {
		if a == "fail" || a == "queue" && worst == "forward" {
			worst = a
		}
	}
	return worst
}

// golden compares got with a file, or writes it with -rewrite.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; run with -rewrite if that is right):\n%s", file, d)
	}
}
