// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/google/go-cmp/cmp"
)

// life is a chart of some depth without data.
const life = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript" initial="off">
  <state id="off"><transition event="on" target="work"/></state>
  <state id="work" initial="boot">
    <state id="boot"><transition event="ready" target="run"/></state>
    <state id="run" initial="idle">
      <state id="idle"><transition event="job.new" target="busy"/></state>
      <state id="busy"><transition event="job.done" target="idle"/></state>
    </state>
    <transition event="off" target="off"/>
  </state>
</scxml>`

const regions = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <parallel id="p">
    <state id="a"><state id="a1"><transition event="all" target="a2"/></state><state id="a2"><transition event="all" target="a1"/></state></state>
    <state id="b"><state id="b1"><transition event="all" target="b2"/></state><state id="b2"><transition event="all" target="b1"/></state></state>
    <state id="c"><state id="c1"><transition event="c" target="c2"/></state><state id="c2"><transition event="c" target="c1"/></state></state>
  </parallel>
</scxml>`

var lifeCycle = []string{"on", "ready", "job.new", "job.done", "job.new", "off"}

func begin(t testing.TB, doc string, o scxml.Options) *scxml.Interpreter {
	t.Helper()
	d, err := scxml.Parse("small", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, o)
	if err != nil {
		t.Fatal(err)
	}
	ip, _, err := scxml.Start(c, scxml.Input{Now: time.Unix(1, 0), SessionID: "small-000001"})
	if err != nil {
		t.Fatal(err)
	}
	return ip
}

// A step in a place where the chart has been before allocates nothing, trace and
// effects included. Not parallel: AllocsPerRun counts the whole process.
func TestNoAllocation(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		events    []string
	}{
		{"toggle", toggle, []string{"inc"}}, {"life", life, lifeCycle}, {"regions", regions, []string{"all", "c"}}, {"guard", counter, []string{"inc"}},
	} {
		for _, noTrace := range []bool{false, true} {
			ip := begin(t, tt.doc, scxml.Options{NoTrace: noTrace})
			cycle := func() {
				for _, name := range tt.events {
					if _, err := ip.Deliver(scxml.Event{Name: name, Data: 1.0}, scxml.Input{Now: time.Unix(2, 0)}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 50 {
				cycle()
			}
			// The pool of work areas may be emptied by a collection.
			if got := testing.AllocsPerRun(200, cycle); got >= 1 && !underRace {
				t.Errorf("%s, no trace %v: %v allocations a cycle, want none", tt.name, noTrace, got)
			}
		}
	}
}

// A chart whose expressions are in the pure subset makes no machine, from its start
// and its first event on: one takes more than a hundred allocations. Not parallel, as above.
func TestSubsetMakesNoMachine(t *testing.T) {
	d, err := scxml.Parse("counter", []byte(counter), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(5, func() {
		ip, _, err := scxml.Start(c, scxml.Input{Now: time.Unix(1, 0)})
		if err == nil {
			_, err = ip.Deliver(scxml.Event{Name: "inc", Data: 1.0}, scxml.Input{Now: time.Unix(2, 0)})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if got > 60 {
		t.Errorf("a session and its first event take %v allocations: a machine was made", got)
	}
}

// The trace is the same with and without memory of former steps, and NoTrace
// changes nothing but the trace.
func TestTraceOfRememberedMoves(t *testing.T) {
	t.Parallel()
	ip, silent := begin(t, life, scxml.Options{}), begin(t, life, scxml.Options{NoTrace: true})
	var rounds [3][]scxml.Macrostep
	for i := range rounds {
		for _, name := range lifeCycle {
			in := scxml.Input{Now: time.Unix(2, 0)}
			step, err := ip.Deliver(scxml.Event{Name: name}, in)
			if err != nil {
				t.Fatal(err)
			}
			rounds[i] = append(rounds[i], step.Clone())
			if step, err = silent.Deliver(scxml.Event{Name: name}, in); err != nil || len(step.Microsteps) > 0 {
				t.Fatalf("without trace: %v, %v", step, err)
			}
			if d := cmp.Diff(ip.Configuration(), silent.Configuration()); d != "" {
				t.Fatal(d)
			}
		}
	}
	for i := 1; i < len(rounds); i++ {
		if d := cmp.Diff(rounds[0], rounds[i]); d != "" {
			t.Errorf("round %d has another trace:\n%s", i, d)
		}
	}
	if got := rounds[0][2].Microsteps[0]; len(got.Transitions) != 1 || got.Event.Name != "job.new" {
		t.Errorf("the clone of a step is %+v", got)
	}
}

func TestSnapshotIsSmall(t *testing.T) {
	t.Parallel()
	ip := begin(t, life, scxml.Options{})
	for _, name := range lifeCycle[:3] {
		if _, err := ip.Deliver(scxml.Event{Name: name}, scxml.Input{Now: time.Unix(2, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := ip.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 64 {
		t.Errorf("the snapshot has %d bytes, want 64 at most: %q", len(b), b)
	}
}

// TestIdleSessionIsSmall: not parallel, it measures the heap.
func TestIdleSessionIsSmall(t *testing.T) {
	c := begin(t, life, scxml.Options{}).Chart()
	all := make([]*scxml.Interpreter, 10_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range all {
		ip, _, err := scxml.Start(c, scxml.Input{Now: time.Unix(1, 0), SessionID: fmt.Sprintf("session-%06d", i)})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range lifeCycle {
			if _, err := ip.Deliver(scxml.Event{Name: name}, scxml.Input{Now: time.Unix(2, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		all[i] = ip
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (after.HeapAlloc - before.HeapAlloc) / uint64(len(all)); got > 512 {
		t.Errorf("an idle session takes %d bytes, want 512 at most", got)
	}
	runtime.KeepAlive(all)
}

// TestChartRemembersForAll lets sessions of one chart run in many goroutines while it
// remembers; run it under the race detector.
func TestChartRemembersForAll(t *testing.T) {
	t.Parallel()
	c := begin(t, regions, scxml.Options{}).Chart()
	var want []string
	var all sync.WaitGroup
	var mu sync.Mutex
	for g := range 8 {
		all.Go(func() {
			ip, _, err := scxml.Start(c, scxml.Input{SessionID: "s"})
			if err != nil {
				t.Error(err)
				return
			}
			var trace []string
			for i := range 200 {
				step, err := ip.Deliver(scxml.Event{Name: []string{"all", "c", "other", "c"}[i%4]}, scxml.Input{})
				if err != nil {
					t.Error(err)
					return
				}
				trace = append(trace, fmt.Sprint(step.Microsteps[0].Exited, step.Microsteps[0].Entered, ip.Configuration()))
			}
			mu.Lock()
			defer mu.Unlock()
			if want == nil {
				want = trace
			} else if d := cmp.Diff(want, trace); d != "" {
				t.Errorf("goroutine %d goes another way:\n%s", g, d)
			}
		})
	}
	all.Wait()
}

// TestMemoryIsBounded has more configurations than a chart remembers.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null"><parallel id="p">`)
	for i := range 16 {
		fmt.Fprintf(&b, `<state id="r%d"><state id="x%d"><transition event="e%d" target="y%d"/></state><state id="y%d"><transition event="e%d" target="x%d"/></state></state>`, i, i, i, i, i, i, i)
	}
	b.WriteString(`</parallel></scxml>`)
	ip := begin(t, b.String(), scxml.Options{})
	on := [16]bool{}
	for i := range 20_000 {
		// A Gray code visits another configuration at each step.
		bit := 0
		for n := i + 1; n&1 == 0; n >>= 1 {
			bit++
		}
		bit %= 16
		if _, err := ip.Deliver(scxml.Event{Name: fmt.Sprintf("e%d", bit)}, scxml.Input{}); err != nil {
			t.Fatal(err)
		}
		on[bit] = !on[bit]
		if ip.In(fmt.Sprintf("y%d", bit)) != on[bit] {
			t.Fatalf("after %d events region %d is wrong", i+1, bit)
		}
	}
}

// wide is a chart of n states: rings of ten in one compound state each.
func wide(n int) string {
	var b strings.Builder
	b.WriteString(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><datamodel><data id="n" expr="0"/></datamodel>`)
	for i := 0; i < n; i += 10 {
		fmt.Fprintf(&b, `<state id="g%d">`, i)
		for k := i; k < i+9; k++ {
			fmt.Fprintf(&b, `<state id="s%d"><transition event="next.%d" cond="n &lt; %d" target="s%d"><assign location="n" expr="n + 1"/></transition></state>`, k, k, k, i+(k-i+1)%9)
		}
		fmt.Fprintf(&b, `<transition event="leave" target="g%d"/></state>`, (i+10)%n)
	}
	b.WriteString(`</scxml>`)
	return b.String()
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		doc := []byte(wide(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				d, err := scxml.Parse("wide", doc, scxml.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := scxml.Compile(d, scxml.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/state")
		})
	}
}
