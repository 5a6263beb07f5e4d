// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

var (
	crashSeed = flag.Uint64("crash.seed", 0, "run only this schedule of the crash tests")
	crashRuns = flag.Int("crash.runs", 60, "number of schedules of the crash tests")
)

// schedule is a generated course of faults.
type schedule struct {
	events int
	faults []fault
	fatal  map[uint64]int
	// pause is between two events, late how much later the agent is back.
	pause, late time.Duration
	// restart is the event after which somebody else restarts the container.
	restart int
	// emptied says that the copy of the store is one with nothing in it.
	emptied bool
}

func newSchedule(seed uint64, points []string) schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{events: 1 + r.IntN(12), fatal: map[uint64]int{}}
	for range 1 + r.IntN(6) {
		s.faults = append(s.faults, fault{point: points[r.IntN(len(points))], count: 1 + r.IntN(15)})
	}
	for range r.IntN(4) {
		s.fatal[uint64(1+r.IntN(s.events))] = r.IntN(3)
	}
	return s
}

// play runs a schedule in virtual time and gives what was wrong at its end.
func play(t *testing.T, s schedule, early bool) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, s.faults, s.fatal)
		w.early = early
		ctx, cancel := context.WithCancel(context.Background())
		var life sync.WaitGroup
		life.Go(func() { w.live(ctx) })
		defer life.Wait()
		defer cancel()
		w.mu.Lock()
		w.say("docker.create", nil, nil)
		w.facts[0].Target = worldSpec()
		w.mu.Unlock()
		if _, err := w.ask("system.start", "start"); err != nil {
			wrong = append(wrong, "start: "+err.Error())
			return
		}
		for n := 1; n <= s.events; n++ {
			out, err := w.ask("count", fmt.Sprint("event-", n))
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("event %d: %v", n, err))
				return
			}
			if out.GetSequence() != uint64(n) {
				wrong = append(wrong, fmt.Sprintf("event %d got sequence %d", n, out.GetSequence()))
			}
		}
		for range 100 {
			q := w.view().GetQueue()
			if q.GetDeliveredSequence() == uint64(s.events) && w.quiet() {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		var want []processed
		for n := 1; n <= s.events; n++ {
			want = append(want, processed{uint64(n), "count"})
		}
		if !slices.Equal(w.memory, want) {
			w.violation("the application has %v, want %v (queue %v)", w.memory, want, w.view().GetQueue())
		}
		if w.starts != w.deaths+1 {
			w.violation("%d starts after %d deaths", w.starts, w.deaths)
		}
		if lost := w.journal > 1; w.gap() != lost {
			w.violation("a gap for another journal: %v, want %v", w.gap(), lost)
		}
		w.replays()
		wrong = append(wrong, w.wrong...)
	})
	return wrong
}

// quiet says whether nothing is under way.
func (w *world) quiet() bool {
	i, _ := w.store.Instance(ShardOf(worldHost), worldInstance)
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(i.GetOutbox()) == 0 && w.running
}

// gap says whether a new journal is shown on the host.
func (w *world) gap() bool {
	state, _ := w.store.State(ShardOf(worldHost))
	return slices.ContainsFunc(state.GetHosts(), func(h *fleetv1.Host) bool {
		return slices.ContainsFunc(h.GetGaps(), func(g *fleetv1.Gap) bool { return g.GetReason() == reasonJournal })
	})
}

// TestCrashAnywhere is laws 2, 3 and 4: it kills the worker at every point between
// Deliver, Commit and Dispatch, loses answers of writes, takes the agent's journal
// away, and lets the application die: nothing acknowledged is lost, and no command
// acts twice.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	points := []string{"before", "after", "dispatch", "dispatch", "lost", "late", "journal"}
	for seed := range seeds() {
		s := newSchedule(seed, points)
		if wrong := play(t, s, false); len(wrong) > 0 {
			t.Fatalf("seed %d (go test -run %s -crash.seed=%d): %+v\n%s", seed, t.Name(), seed, s, strings.Join(wrong, "\n"))
		}
	}
}

// TestDispatchBeforeCommitIsCaught is the test of the test for law 3: a worker that
// dispatches before it commits must not pass.
func TestDispatchBeforeCommitIsCaught(t *testing.T) {
	t.Parallel()
	caught := 0
	for seed := range seeds() {
		if len(play(t, newSchedule(seed, []string{"before"}), true)) > 0 {
			caught++
		}
	}
	t.Logf("%d schedules caught it", caught)
	if caught == 0 && *crashSeed == 0 {
		t.Fatal("dispatch before commit passes the crash test")
	}
}

func seeds() func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if *crashSeed != 0 {
			yield(*crashSeed)
			return
		}
		for seed := range *crashRuns {
			if !yield(uint64(seed) + 1) {
				return
			}
		}
	}
}

// TestLoopReadsAsItIsTold requires that the way of an event is one function of
// at most 40 lines which calls Deliver, Commit and Dispatch itself, once each,
// in that order.
func TestLoopReadsAsItIsTold(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "worker.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Run" {
			continue
		}
		if lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; lines > 40 {
			t.Errorf("Run has %d lines, at most 40", lines)
		}
		var calls []string
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if _, literal := n.(*ast.FuncLit); literal {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Deliver", "Commit", "Dispatch"}, s.Sel.Name) {
				calls = append(calls, s.Sel.Name)
			}
			return true
		})
		if want := []string{"Deliver", "Commit", "Dispatch"}; !slices.Equal(calls, want) {
			t.Errorf("Run calls %v, want %v", calls, want)
		}
		return
	}
	t.Fatal("no function Run in worker.go")
}
