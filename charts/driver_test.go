// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/scxml"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

var containerChart = sync.OnceValues(func() (*scxml.Chart, error) {
	d, err := scxml.Parse("container.scxml", charts.Container, scxml.Limits{})
	if err != nil {
		return nil, err
	}
	return scxml.Compile(d, scxml.Options{SendTypes: []string{"chartroom:target", "chartroom:instance"}})
})

// driver is a session of the container chart with a clock of its own. It fails
// the test when the chart makes a fault, ends, or is in a state that it must
// never be in.
type driver struct {
	t    failer
	ip   *scxml.Interpreter
	now  time.Time
	seed uint64
	// commands are all sent so far: to the target, and about the instance.
	commands []command
}

type command struct {
	verb string
	args any
	at   time.Time
}

// drive starts a session; options may be nil for the chart's own.
func drive(t failer, managed bool, options map[string]any) *driver {
	t.Helper()
	c, err := containerChart()
	if err != nil {
		t.Fatalf("container.scxml: %v", err)
	}
	d := &driver{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	data := map[string]any{"managed": managed, "instance": "bot@host"}
	if options != nil {
		data["options"] = options
	}
	ip, step, err := scxml.Start(c, scxml.Input{Now: d.now, Seed: 1, SessionID: "bot@host", Data: data})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	d.ip = ip
	d.took("start", step)
	return d
}

// deliver gives an event of the agent, with the data that every docker event
// has filled in.
func (d *driver) deliver(name string, data map[string]any) {
	d.t.Helper()
	filled := map[string]any{"containerId": "c1", "commandId": "", "name": "bot", "image": "bot:1"}
	for k, v := range data {
		filled[k] = v
	}
	d.seed++
	step, err := d.ip.Deliver(scxml.Event{Name: name, Data: filled}, scxml.Input{Now: d.now, Seed: d.seed})
	if err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	d.took(name, step)
}

// advance lets time pass and fires what is due on the way.
func (d *driver) advance(by time.Duration) {
	d.t.Helper()
	end := d.now.Add(by)
	for n := 0; ; n++ {
		p := d.ip.Pending()
		if len(p) == 0 || p[0].Due.After(end) {
			break
		}
		if n > 10_000 {
			d.t.Fatalf("more than %d timers in %s", n, by)
		}
		if p[0].Due.After(d.now) {
			d.now = p[0].Due
		}
		d.seed++
		step, err := d.ip.Fire(p[0].Seq, scxml.Input{Now: d.now, Seed: d.seed})
		if err != nil {
			d.t.Fatalf("fire %s: %v", p[0].Send.Event.Name, err)
		}
		d.took(p[0].Send.Event.Name, step)
	}
	d.now = end
}

// clone makes another session in the same place, by a snapshot.
func (d *driver) clone() *driver {
	d.t.Helper()
	b, err := d.ip.AppendSnapshot(nil)
	if err != nil {
		d.t.Fatalf("snapshot: %v", err)
	}
	ip, err := scxml.Restore(d.ip.Chart(), b)
	if err != nil {
		d.t.Fatalf("restore: %v", err)
	}
	return &driver{t: d.t, ip: ip, now: d.now, seed: d.seed}
}

func (d *driver) took(what string, step scxml.Macrostep) {
	d.t.Helper()
	for _, m := range step.Microsteps {
		for _, f := range m.Faults {
			d.t.Fatalf("%s in %v: fault at line %d: %s", what, d.ip.Configuration(), f.Line, f.Message)
		}
	}
	if step.Done != nil {
		d.t.Fatalf("%s ended the session: %+v", what, step.Done)
	}
	for _, e := range step.Effects {
		if s, ok := e.(scxml.Send); ok {
			d.commands = append(d.commands, command{verb: s.Event.Name, args: s.Event.Data, at: d.now})
		}
	}
	if why, _ := d.ip.Value("why"); why == "" {
		d.t.Errorf("%s: no reason is given in %v", what, d.ip.Configuration())
	}
	if s, _ := d.ip.Value("severity"); !slices.Contains([]any{"info", "warning", "error"}, s) {
		d.t.Errorf("%s: severity %v", what, s)
	}
}

// state is the state that one word best tells: the deepest of the lifecycle.
func (d *driver) state() string {
	state := ""
	for _, id := range d.ip.Configuration() {
		if id == "identity" {
			return state
		}
		state = id
	}
	return state
}

// sent counts the commands of that verb.
func (d *driver) sent(verb string) int {
	n := 0
	for _, c := range d.commands {
		if c.verb == verb {
			n++
		}
	}
	return n
}

// agrees says whether the lifecycle is where a docker.inspect with that status
// wants it: this is the table that "inspect is the truth" means.
func (d *driver) agrees(status string) bool {
	switch status {
	case "created":
		return d.ip.In("created")
	case "running":
		return d.ip.In("running") || d.ip.In("starting")
	case "paused":
		return d.ip.In("paused")
	case "restarting":
		return d.ip.In("restarting")
	case "exited":
		return d.ip.In("stopped") && !d.ip.In("dead")
	case "dead", "removing":
		return d.ip.In("dead")
	}
	return false
}

var _ failer = (*testing.T)(nil)
