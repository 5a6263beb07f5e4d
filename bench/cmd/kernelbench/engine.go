// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/chartroom/chartroom/bench/charts"
)

// session is one machine that takes events.
type session interface {
	// send delivers the event that stands at place i of the chart's cycle.
	send(i int)
	// configuration gives the atomic states, and data as name=value.
	configuration() []string
}

// engine is something that runs charts.
type engine struct {
	name string
	// charts are those that it can run. without says of the others why not.
	charts  []string
	without map[string]string
	start   func(c charts.Chart) (session, error)
	// snapshots says how sessions are saved; nil if they are not.
	snapshots func(c charts.Chart, s session) (take func() int, restore func() session)
}

// sample is one measurement of events.
type sample struct {
	perSecond float64 // events a second of processor time
	allocs    float64 // allocations an event; below 0 if not known
	count     int
	where     []string
}

// processorTime is that of the whole process, collector included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail for this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run delivers events for about d of processor time.
func (e engine) run(c charts.Chart, d time.Duration) (sample, error) {
	s, err := e.start(c)
	if err != nil {
		return sample{}, fmt.Errorf("%s on %s: %w", e.name, c.Name, err)
	}
	const warm = 1200 // a multiple of every cycle
	for i := range warm {
		s.send(i % len(c.Events))
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, n := processorTime(), 0
	var spent time.Duration
	for spent < d {
		for range 2000 {
			for i := range c.Events {
				s.send(i)
			}
		}
		n += 2000 * len(c.Events)
		spent = processorTime() - begin
	}
	runtime.ReadMemStats(&after)
	return sample{
		perSecond: float64(n) / spent.Seconds(),
		allocs:    float64(after.Mallocs-before.Mallocs) / float64(n),
		count:     warm + n,
		where:     s.configuration(),
	}, nil
}

// idle gives the heap growth a session over count of them, after steps events.
func (e engine) idle(c charts.Chart, count, steps int) (float64, error) {
	all := make([]session, count)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range all {
		s, err := e.start(c)
		if err != nil {
			return 0, err
		}
		for k := range steps {
			s.send(k % len(c.Events))
		}
		all[i] = s
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(count), nil
}

// snapshot gives the microseconds of processor time that taking and restoring a
// snapshot of a session takes after steps events, and its bytes.
func (e engine) snapshot(c charts.Chart, steps int) (take, restore float64, bytes int, err error) {
	s, err := e.start(c)
	if err != nil {
		return 0, 0, 0, err
	}
	for k := range steps {
		s.send(k % len(c.Events))
	}
	taking, restoring := e.snapshots(c, s)
	bytes = taking()
	if got := restoring().configuration(); !slices.Equal(got, s.configuration()) {
		return 0, 0, 0, fmt.Errorf("%s restores %v as %v", e.name, s.configuration(), got)
	}
	micros := func(f func()) float64 {
		const n = 50_000
		begin := processorTime()
		for range n {
			f()
		}
		return float64((processorTime() - begin).Nanoseconds()) / n / 1000
	}
	return micros(func() { taking() }), micros(func() { restoring() }), bytes, nil
}

// sink keeps results alive.
var sink session

func sorted(names ...string) []string {
	slices.Sort(names)
	return names
}

// atomicOf leaves out what only some engines say: data.
func atomicOf(where []string) []string {
	return slices.DeleteFunc(slices.Clone(where), func(s string) bool { return strings.Contains(s, "=") })
}
