// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/chartroom/chartroom/bench/charts"
	"github.com/dop251/goja"
	"github.com/looplab/fsm"
	"github.com/qmuntal/stateless"
)

// Why an engine does not run a chart.
const (
	noRegions = "it has no regions that take one event together"
	noScript  = "it evaluates expressions, and this chart has none"
)

// edges are a chart's transitions by source, flattened where an engine knows no
// hierarchy.
type edges map[string]map[string]string

var toggleEdges = edges{"dark": {"press": "lit"}, "lit": {"press": "dark"}}

// lifecycleEdges has the transitions of the chart as they stand there; within
// says which state is inside which.
var (
	lifecycleEdges = edges{
		"gone":     {"create": "created"},
		"created":  {"start": "booting", "remove": "gone"},
		"alive":    {"exited": "ended", "kill": "killed"},
		"booting":  {"ready": "unprobed", "stop": "halting"},
		"serving":  {"pause": "frozen", "stop": "halting"},
		"unprobed": {"probe.ok": "healthy", "probe.fail": "sick"},
		"healthy":  {"probe.fail": "sick"},
		"sick":     {"probe.ok": "healthy", "restart": "booting"},
		"frozen":   {"resume": "unprobed", "stop": "halting"},
		"halting":  {"timeout": "killed"},
		"ended":    {"restart": "booting", "remove": "gone"},
		"killed":   {"remove": "gone"},
	}
	lifecycleWithin = map[string]string{
		"booting": "alive", "serving": "alive", "frozen": "alive", "halting": "alive",
		"unprobed": "serving", "healthy": "serving", "sick": "serving",
	}
)

// flat gives each atomic state the transitions of the states around it.
func flat(e edges, within map[string]string) edges {
	out := edges{}
	for s := range e {
		if s == "alive" || s == "serving" {
			continue
		}
		out[s] = map[string]string{}
		for p := s; p != ""; p = within[p] {
			for event, target := range e[p] {
				if _, inner := out[s][event]; !inner {
					out[s][event] = target
				}
			}
		}
	}
	return out
}

func wheelEdges(n int) edges {
	name := func(s string) string { return fmt.Sprintf("w%d%s", n, s) }
	event := fmt.Sprintf("turn.%d", n)
	return edges{name("x"): {event: name("y")}, name("y"): {event: name("z")}, name("z"): {event: name("x")}}
}

// several is some machines side by side: an event goes to one of them.
type several struct {
	all  []session
	pick []int // by place in the cycle
}

func (s *several) send(i int) { s.all[s.pick[i]].send(i) }

func (s *several) configuration() []string {
	var out []string
	for _, m := range s.all {
		out = append(out, m.configuration()...)
	}
	return sorted(out...)
}

// flatMachines makes sessions of an engine that has plain machines only.
func flatMachines(machine func(c charts.Chart, initial string, e edges) session) func(c charts.Chart) (session, error) {
	lifecycle := flat(lifecycleEdges, lifecycleWithin)
	return func(c charts.Chart) (session, error) {
		switch c.Name {
		case "toggle":
			return machine(c, "dark", toggleEdges), nil
		case "lifecycle":
			return machine(c, "gone", lifecycle), nil
		}
		s := &several{pick: []int{0, 1, 2, 3}}
		for n := 1; n <= 4; n++ {
			s.all = append(s.all, machine(c, fmt.Sprintf("w%dx", n), wheelEdges(n)))
		}
		return s, nil
	}
}

// looplab: github.com/looplab/fsm, hierarchy flattened by hand.
var looplab = engine{
	name:   "looplab",
	charts: []string{"toggle", "lifecycle", "parallel4-one"},
	without: map[string]string{
		"parallel4-all": noRegions,
		"guard":         "it has no conditions that choose between transitions of one event",
	},
	start: flatMachines(func(c charts.Chart, initial string, e edges) session {
		var events fsm.Events
		for source, targets := range e {
			for event, target := range targets {
				events = append(events, fsm.EventDesc{Name: event, Src: []string{source}, Dst: target})
			}
		}
		return &looplabSession{fsm.NewFSM(initial, events, fsm.Callbacks{}), c.Events}
	}),
}

type looplabSession struct {
	machine *fsm.FSM
	events  []string
}

func (s *looplabSession) send(i int) {
	if err := s.machine.Event(context.Background(), s.events[i]); err != nil {
		panic(err)
	}
}
func (s *looplabSession) configuration() []string { return []string{s.machine.Current()} }

// statelessEngine: github.com/qmuntal/stateless, with its own substates.
var statelessEngine = engine{
	name:   "stateless",
	charts: []string{"toggle", "lifecycle", "parallel4-one", "guard"},
	without: map[string]string{
		"parallel4-all": noRegions,
	},
	start: func(c charts.Chart) (session, error) {
		if c.Name == "guard" {
			return guardStateless(c), nil
		}
		return flatMachines(func(c charts.Chart, initial string, e edges) session {
			m := stateless.NewStateMachine(initial)
			if c.Name == "lifecycle" {
				e = lifecycleEdges
			}
			for source, targets := range e {
				k := m.Configure(source)
				if parent := lifecycleWithin[source]; parent != "" {
					k.SubstateOf(parent)
				}
				for event, target := range targets {
					if target == source {
						k.PermitReentry(event)
					} else {
						k.Permit(event, target)
					}
				}
			}
			return &statelessSession{machine: m, events: c.Events}
		})(c)
	},
}

func guardStateless(c charts.Chart) session {
	s := &statelessSession{machine: stateless.NewStateMachine("up"), events: c.Events, data: c.Data}
	below := func(context.Context, ...any) bool { return s.n < 9 }
	full := func(context.Context, ...any) bool { return s.n >= 9 }
	for _, name := range []string{"up", "again"} {
		other := map[string]string{"up": "again", "again": "up"}[name]
		add := func(_ context.Context, args ...any) error { s.n++; return nil }
		if name == "again" {
			add = func(_ context.Context, args ...any) error { s.n += args[0].(float64); return nil }
		}
		s.machine.Configure(name).PermitReentry("tick", below).Permit("tick", other, full).
			OnEntryFrom("tick", func(ctx context.Context, args ...any) error {
				if s.n >= 9 {
					s.n = 0
					return nil
				}
				return add(ctx, args...)
			})
	}
	return s
}

type statelessSession struct {
	machine *stateless.StateMachine
	events  []string
	data    any
	n       float64
}

func (s *statelessSession) send(i int) {
	var err error
	if s.data != nil {
		err = s.machine.Fire(s.events[i], s.data)
	} else {
		err = s.machine.Fire(s.events[i])
	}
	if err != nil {
		panic(err)
	}
}

func (s *statelessSession) configuration() []string {
	out := []string{s.machine.MustState().(string)}
	if s.data != nil {
		out = append(out, fmt.Sprintf("n=%v", s.n))
	}
	return sorted(out...)
}

// switched is what a programmer writes by hand: a switch over strings.
var switched = engine{
	name:   "switch",
	charts: []string{"toggle", "lifecycle"},
	without: map[string]string{
		"parallel4-one": "it would be four switches, and a choice of one of them",
		"parallel4-all": noRegions,
		"guard":         "it is a function of state and event alone, without data",
	},
	start: func(c charts.Chart) (session, error) {
		if c.Name == "toggle" {
			return &switchSession{state: "dark", next: nextToggle, events: c.Events}, nil
		}
		return &switchSession{state: "gone", next: nextLifecycle, events: c.Events}, nil
	},
}

type switchSession struct {
	state  string
	next   func(state, event string) string
	events []string
}

func (s *switchSession) send(i int)              { s.state = s.next(s.state, s.events[i]) }
func (s *switchSession) configuration() []string { return []string{s.state} }

func nextToggle(state, event string) string {
	if event != "press" {
		return state
	}
	if state == "dark" {
		return "lit"
	}
	return "dark"
}

func nextLifecycle(state, event string) string {
	switch state {
	case "gone":
		if event == "create" {
			return "created"
		}
	case "created":
		switch event {
		case "start":
			return "booting"
		case "remove":
			return "gone"
		}
	case "ended":
		switch event {
		case "restart":
			return "booting"
		case "remove":
			return "gone"
		}
	case "killed":
		if event == "remove" {
			return "gone"
		}
	default:
		return nextAlive(state, event)
	}
	return state
}

func nextAlive(state, event string) string {
	switch event {
	case "exited":
		return "ended"
	case "kill":
		return "killed"
	case "stop":
		if state != "halting" {
			return "halting"
		}
	case "ready":
		if state == "booting" {
			return "unprobed"
		}
	case "pause":
		if state == "unprobed" || state == "healthy" || state == "sick" {
			return "frozen"
		}
	case "resume":
		if state == "frozen" {
			return "unprobed"
		}
	case "probe.ok":
		if state == "unprobed" || state == "sick" {
			return "healthy"
		}
	case "probe.fail":
		if state == "unprobed" || state == "healthy" {
			return "sick"
		}
	case "restart":
		if state == "sick" {
			return "booting"
		}
	case "timeout":
		if state == "halting" {
			return "killed"
		}
	}
	return state
}

// gojaEngine is the cost of the guard and the assignment alone: programs compiled
// once, run in a machine that is kept, without any chart around them.
var gojaEngine = engine{
	name:   "goja",
	charts: []string{"guard"},
	without: map[string]string{
		"toggle":        noScript,
		"lifecycle":     noScript,
		"parallel4-one": noScript,
		"parallel4-all": noScript,
	},
	start: func(charts.Chart) (session, error) {
		vm := goja.New()
		s := &gojaSession{vm: vm, state: "up"}
		for _, p := range []struct {
			to  **goja.Program
			src string
		}{{&s.below, "n < 9"}, {&s.up, "n = n + 1"}, {&s.again, "n = n + _event.data"}, {&s.reset, "n = 0"}} {
			program, err := goja.Compile("", p.src, false)
			if err != nil {
				return nil, err
			}
			*p.to = program
		}
		_, err := vm.RunString("var n = 0, _event = {name: 'tick', data: 1}")
		return s, err
	},
}

type gojaSession struct {
	vm                      *goja.Runtime
	state                   string
	below, up, again, reset *goja.Program
}

func (s *gojaSession) do(p *goja.Program) goja.Value {
	v, err := s.vm.RunProgram(p)
	if err != nil {
		panic(err)
	}
	return v
}

func (s *gojaSession) send(int) {
	switch below := s.do(s.below).ToBoolean(); {
	case below && s.state == "up":
		s.do(s.up)
	case below:
		s.do(s.again)
	case s.state == "up":
		s.do(s.reset)
		s.state = "again"
	default:
		s.do(s.reset)
		s.state = "up"
	}
}

func (s *gojaSession) configuration() []string {
	return sorted(s.state, "n="+s.vm.Get("n").String())
}
