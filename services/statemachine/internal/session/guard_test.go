// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"bytes"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

const counting = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
	<datamodel><data id="n" expr="0"/></datamodel>
	<state id="a"><transition event="count"><assign location="n" expr="n + 1"/></transition></state></scxml>`

// Law 10: whatever goes wrong inside a call of the kernel, the session is as it
// was before that call, with all that it took since its record was made.
func TestBrokenCallIsUndone(t *testing.T) {
	t.Parallel()
	chart, err := Compile("counting", []byte(counting))
	if err != nil {
		t.Fatal(err)
	}
	i := &Instance{id: "c", chart: chart, view: &fleetv1.Instance{InstanceId: "c"}}
	if _, err := i.start(scxml.Input{Now: time.Unix(0, 0)}, nil); err != nil {
		t.Fatal(err)
	}
	count := func() {
		if _, fault, err := i.step(taken{event: scxml.Event{Name: "count"}, in: scxml.Input{Now: time.Unix(1, 0), Seed: 7}}); fault != nil || err != nil {
			t.Fatal(fault, err)
		}
	}
	count()
	i.record()
	count()
	count()
	before, err := i.ip.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	fault := i.call(func() {
		_, _ = i.ip.Deliver(scxml.Event{Name: "count"}, scxml.Input{})
		panic("as a bug in an interpreter would")
	})
	if fault == nil || !strings.Contains(fault.Error(), "as a bug") || len(i.trouble) == 0 {
		t.Errorf("the fault is %v, its stack has %d bytes", fault, len(i.trouble))
	}
	after, err := i.ip.AppendSnapshot(nil)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("after the fault: %s, %v; before: %s", after, err, before)
	}
	if n, _ := i.ip.Value("n"); n != 3.0 {
		t.Errorf("n is %v, want 3", n)
	}
}

// interruptible is a session that notes that it was interrupted.
type interruptible struct {
	running
	interrupted atomic.Bool
}

func (s *interruptible) Interrupt() { s.interrupted.Store(true) }

// A machine that has much else to do is no reason to interrupt a call: what counts is
// the processor time of its own thread.
func TestWatchCountsProcessorTime(t *testing.T) {
	t.Parallel()
	if _, known := processorTime(thread()); !known {
		t.Skip("this system does not tell the time of a thread")
	}
	const granted = 5 * watchTick
	w, done := newWatch(), make(chan struct{})
	var others sync.WaitGroup
	var over atomic.Bool
	defer others.Wait()
	defer over.Store(true)
	defer close(done)
	others.Go(func() { w.run(done) })
	for range 2 * runtime.GOMAXPROCS(0) {
		others.Go(func() {
			for !over.Load() {
			}
		})
	}
	s := &interruptible{}
	w.begin(s, granted)
	before, _ := processorTime(thread())
	for !s.interrupted.Load() {
	}
	after, _ := processorTime(thread())
	if !w.end() {
		t.Error("the call does not know that it was interrupted")
	}
	if took := after - before; took < granted {
		t.Errorf("interrupted after %s of processor time, want at least %s", took, granted)
	}
}
