// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"time"

	"github.com/chartroom/chartroom/bench/charts"
	"github.com/chartroom/chartroom/scxml"
)

var everyChart = []string{"toggle", "lifecycle", "parallel4-one", "parallel4-all", "guard"}

// ours is the kernel as the services run it: effects returned, limits on, and
// the trace unless told otherwise.
func ours(name string, noTrace bool) engine {
	compiled := map[string]*scxml.Chart{}
	chart := func(c charts.Chart) (*scxml.Chart, error) {
		if known := compiled[c.File]; known != nil {
			return known, nil
		}
		d, err := scxml.Parse(c.File, c.Source(), scxml.Limits{})
		if err != nil {
			return nil, err
		}
		made, err := scxml.Compile(d, scxml.Options{NoTrace: noTrace})
		compiled[c.File] = made
		return made, err
	}
	numbers := 0
	shared := map[string]*charts.Chart{}
	for _, c := range charts.All {
		shared[c.Name] = &c
	}
	wrap := func(c charts.Chart, ip *scxml.Interpreter) *kernelSession {
		return &kernelSession{ip: ip, chart: shared[c.Name]}
	}
	return engine{
		name:   name,
		charts: everyChart,
		start: func(c charts.Chart) (session, error) {
			k, err := chart(c)
			if err != nil {
				return nil, err
			}
			numbers++
			ip, _, err := scxml.Start(k, scxml.Input{Now: now, SessionID: fmt.Sprintf("bench-%d", numbers)})
			if err != nil {
				return nil, err
			}
			return wrap(c, ip), nil
		},
		snapshots: func(c charts.Chart, s session) (func() int, func() session) {
			ip := s.(*kernelSession).ip
			var buffer []byte
			take := func() int {
				buffer, _ = ip.AppendSnapshot(buffer[:0])
				return len(buffer)
			}
			take()
			saved := append([]byte{}, buffer...)
			k := ip.Chart()
			return take, func() session {
				restored, err := scxml.Restore(k, saved)
				if err != nil {
					panic(err) // we took it a moment ago
				}
				sink = wrap(c, restored)
				return sink
			}
		},
	}
}

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type kernelSession struct {
	ip    *scxml.Interpreter
	chart *charts.Chart
	steps int
}

func (s *kernelSession) send(i int) {
	step, err := s.ip.Deliver(scxml.Event{Name: s.chart.Events[i], Data: s.chart.Data}, scxml.Input{Now: now, Seed: uint64(i)})
	if err != nil {
		panic(err) // none of the charts ends
	}
	s.steps += len(step.Microsteps)
}

func (s *kernelSession) configuration() []string {
	var out []string
	for _, id := range s.ip.Configuration() {
		if s.ip.Chart().Document().State(id).IsAtomic() {
			out = append(out, id)
		}
	}
	if v, ok := s.ip.Value("n"); ok {
		out = append(out, fmt.Sprintf("n=%v", v))
	}
	return sorted(out...)
}
