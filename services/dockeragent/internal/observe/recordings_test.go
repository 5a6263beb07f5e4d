// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/internal/recordings"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

var containerChart = sync.OnceValues(func() (*scxml.Chart, error) {
	d, err := scxml.Parse("container.scxml", charts.Container, scxml.Limits{})
	if err != nil {
		return nil, err
	}
	return scxml.Compile(d, scxml.Options{SendTypes: []string{"chartroom:target", "chartroom:instance"}})
})

// instances are the sessions of the container chart that are told what a Core
// tells, by the name of the instance. Their commands reach nobody.
type instances struct {
	t        *testing.T
	sessions map[string]*scxml.Interpreter
	told     int // outs of the world so far
	seed     uint64
}

// follow tells the sessions what is new, and fires what has become due before.
func (f *instances) follow(w *world) {
	f.t.Helper()
	for _, o := range w.out[f.told:] {
		f.told++
		if o.Observation.Event == "" || o.Observation.Instance == "" {
			continue
		}
		ip := f.session(o.Observation.Instance, w.now)
		for due := ip.Pending(); len(due) > 0 && !due[0].Due.After(w.now); due = ip.Pending() {
			step, err := ip.Fire(due[0].Seq, f.input(w.now))
			f.took(due[0].Send.Event.Name, step, err)
		}
		var data map[string]any
		if err := json.Unmarshal(o.Observation.Data, &data); err != nil {
			f.t.Fatalf("%s: %v", o.Observation.Event, err)
		}
		step, err := ip.Deliver(scxml.Event{Name: o.Observation.Event, Data: data}, f.input(w.now))
		f.took(o.Observation.Event, step, err)
	}
}

func (f *instances) session(name string, now time.Time) *scxml.Interpreter {
	f.t.Helper()
	if ip, ok := f.sessions[name]; ok {
		return ip
	}
	c, err := containerChart()
	if err != nil {
		f.t.Fatal(err)
	}
	in := f.input(now)
	in.SessionID, in.Data = name+"@host", map[string]any{"managed": false, "instance": name + "@host"}
	ip, step, err := scxml.Start(c, in)
	f.took("start", step, err)
	f.sessions[name] = ip
	return ip
}

func (f *instances) input(now time.Time) scxml.Input {
	f.seed++
	return scxml.Input{Now: now, Seed: f.seed}
}

func (f *instances) took(what string, step scxml.Macrostep, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
	for _, m := range step.Microsteps {
		for _, fault := range m.Faults {
			f.t.Errorf("%s: fault at line %d: %s", what, fault.Line, fault.Message)
		}
	}
}

// lifecycle is where an inspect of that status wants the chart.
var lifecycle = map[string][]string{
	"created": {"created"}, "running": {"running", "starting"}, "paused": {"paused"}, "restarting": {"restarting"},
	"exited": {"stopped"}, "dead": {"dead"}, "removing": {"dead"},
}

// check compares the chart of the row's container with what inspect said at the
// end: the state, the container, and the run that is on.
func (f *instances) check(row recordings.Row, managed bool) {
	f.t.Helper()
	var ip *scxml.Interpreter
	for _, s := range f.sessions {
		if id, _ := s.Value("container"); id == row.ContainerID {
			ip = s
		}
	}
	if row.State == nil {
		if ip != nil && !ip.In("destroyed") {
			f.t.Errorf("it is gone, the chart is in %v", ip.Configuration())
		}
		return
	}
	if ip == nil {
		f.t.Fatalf("inspect says %s, no chart is about container %s", row.State.Status, row.ContainerID)
	}
	agrees := false
	for _, state := range lifecycle[row.State.Status] {
		agrees = agrees || ip.In(state)
	}
	if row.State.Status == "exited" && ip.In("dead") {
		agrees = false
	}
	if !agrees {
		f.t.Errorf("inspect says %s, the chart is in %v", row.State.Status, ip.Configuration())
	}
	if run, _ := ip.Value("run"); (row.State.Status == "running" || row.State.Status == "paused") && run != recorded(row).State.StartedAt {
		f.t.Errorf("inspect says that it runs since %s, the chart %v", recorded(row).State.StartedAt, run)
	}
	if got, _ := ip.Value("managed"); got != managed {
		f.t.Errorf("the chart takes it for managed: %v, want %v", got, managed)
	}
}

// TestRecordings replays every recorded row through the agent's logic and the
// chart of a container, and both end where its inspect says.
func TestRecordings(t *testing.T) {
	t.Parallel()
	for i, row := range recordings.Rows() {
		for _, managed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%d %s %s, managed %v", row.Engine, i, row.Scenario, row.From, managed), func(t *testing.T) {
				t.Parallel()
				replay(t, row, managed)
			})
		}
	}
}

func replay(t *testing.T, row recordings.Row, managed bool) {
	w, f := newWorld(), &instances{t: t, sessions: map[string]*scxml.Interpreter{}}
	there := func(c *engine.Container) {
		if managed {
			c.Labels = map[string]string{label.Enable: "true"}
		}
		w.truth[row.ContainerID] = c
	}
	if from := strings.Fields(strings.TrimSuffix(row.From, ",")); len(from) > 0 && from[0] != "removed" {
		there(before(strings.Trim(from[0], ","), row))
		w.list()
		w.settle()
		w.check(t)
		f.follow(w)
	}
	// Nobody knows what inspect said in between: it does not answer.
	for _, e := range row.Events {
		at := time.Unix(0, e.ReceivedNano)
		for !w.next.IsZero() && w.next.Before(at) {
			w.now = w.next
			w.core.Tick(w.now)
			w.take()
			f.follow(w)
		}
		w.now = at
		w.core.Event(at, engine.Event{
			Action: e.Action, ContainerID: e.ContainerID, Name: e.Attributes["name"], Image: e.Attributes["image"],
			Time: time.Unix(0, e.TimeNano), Attributes: e.Attributes,
		})
		w.take()
		f.follow(w)
	}
	w.truth = map[string]*engine.Container{}
	if row.State != nil {
		there(recorded(row))
	}
	w.list()
	w.settle()
	w.list()
	w.settle()
	f.follow(w)
	// Other containers of the row were not inspected at its end.
	for id := range w.belief {
		if id != row.ContainerID {
			delete(w.belief, id)
		}
	}
	w.check(t)
	f.check(row, managed)
}

// before makes the state that a row of the matrix begins in.
func before(status string, row recordings.Row) *engine.Container {
	c := &engine.Container{ID: row.ContainerID, Name: row.Name}
	status, _, _ = strings.Cut(status, "-") // running-ignores-TERM
	switch status {
	case "crash":
		status = "restarting"
	case "user":
		status = "exited"
	}
	c.State = engine.State{Status: status, StartedAt: "2026-11-22T05:00:00Z"}
	switch status {
	case "running":
		c.State.Running = true
	case "paused":
		c.State.Running, c.State.Paused = true, true
	case "restarting":
		c.State.Running, c.State.Restarting = true, true
	case "created":
		c.State.StartedAt = ""
	case "removing", "dead", "exited": // Not started in the row, or not since.
		if row.State != nil {
			c.State.StartedAt = recorded(row).State.StartedAt
		}
	}
	return c
}

func recorded(row recordings.Row) *engine.Container {
	s := row.State
	c := &engine.Container{ID: row.ContainerID, Name: row.Name, RestartCount: row.RestartCount, State: engine.State{
		Status: s.Status, Running: s.Running, Paused: s.Paused, Restarting: s.Restarting, OOMKilled: s.OOMKilled,
		ExitCode: s.ExitCode, Error: s.Error,
	}}
	if !s.StartedAt.IsZero() {
		c.State.StartedAt = s.StartedAt.Format(time.RFC3339Nano)
	}
	if !s.FinishedAt.IsZero() {
		c.State.FinishedAt = s.FinishedAt.Format(time.RFC3339Nano)
	}
	return c
}
