// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// What one call of the kernel may cost before it is interrupted. Time is that of the
// processor, so that a machine that has much else to do is nobody's fault; where a
// system does not tell it, the ticks are counted that were seen, without those that a
// computer slept through.
const (
	watchTick = 20 * time.Millisecond
	// watchHeap and watchStacks are growth of the process in bytes while one
	// call runs. A stack beyond 1 GB would end the process.
	watchHeap   = 1 << 30
	watchStacks = 128 << 20
)

// errInterrupted says that a call took more than a chart is granted.
var errInterrupted = errors.New("it ran too long or grew too large, and was interrupted")

// watch looks after the calls that a worker makes into the kernel: what a chart
// brings is code, and may loop or grow without end. The goroutine of [watch.run]
// sleeps while there is no call.
type watch struct {
	calls   atomic.Uint64 // odd while one runs
	granted atomic.Int64  // the time that it may take
	thread  atomic.Int64  // that it runs on
	wake    chan struct{}

	mu          sync.Mutex
	session     interface{ Interrupt() } // of the call that runs
	interrupted bool
}

func newWatch() *watch { return &watch{wake: make(chan struct{}, 1)} }

// begin notes that a call into ip begins, nil for one that is still to be made,
// which may take the time that is granted. The goroutine stays on its thread until
// the end of the call.
func (w *watch) begin(ip running, granted time.Duration) {
	if w == nil {
		return
	}
	runtime.LockOSThread()
	w.thread.Store(int64(thread()))
	w.granted.Store(int64(granted))
	w.mu.Lock()
	w.session, w.interrupted = nil, false
	if ip != nil {
		w.session = ip
	}
	w.mu.Unlock()
	w.calls.Add(1)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// begun notes the session that a call has made.
func (w *watch) begun(ip *scxml.Interpreter) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = ip
}

// end notes that the call is over, and reports whether it was interrupted.
func (w *watch) end() bool {
	if w == nil {
		return false
	}
	runtime.UnlockOSThread()
	w.calls.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = nil
	return w.interrupted
}

// interrupt ends the given call, if it is still that one.
func (w *watch) interrupt(call uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls.Load() == call && w.session != nil {
		w.interrupted = true
		w.session.Interrupt()
	}
}

// run watches until done is closed.
func (w *watch) run(done <-chan struct{}) {
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	var call uint64
	var before usage
	idle := 0
	grown := false
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		now := w.calls.Load()
		if now != call || now%2 == 0 {
			if call = now; grown {
				// Else the next collection would wait until as much again is used.
				grown = false
				debug.FreeOSMemory()
			}
			if idle++; now%2 == 1 {
				idle, before = 0, used(w.thread.Load())
			}
			if idle < 50 {
				continue
			}
			ticker.Stop()
			select {
			case <-done:
				return
			case <-w.wake:
			}
			ticker.Reset(watchTick)
			idle = 0
			continue
		}
		u := used(w.thread.Load())
		if !u.timed {
			before.time -= watchTick
		}
		grown = grown || u.heap > before.heap+watchHeap || u.stacks > before.stacks+watchStacks
		if grown || u.time-before.time >= time.Duration(w.granted.Load()) {
			w.interrupt(call)
		}
	}
}

// usage is memory of this process in bytes, and processor time of a thread, if it is
// known.
type usage struct {
	heap, stacks uint64
	time         time.Duration
	timed        bool
}

func used(thread int64) usage {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	spent, timed := processorTime(int(thread))
	return usage{s[0].Value.Uint64(), s[1].Value.Uint64(), spent, timed}
}

// taken is an input that the session took since its record was made.
type taken struct {
	event  scxml.Event
	fire   uint64
	forgot bool // of fire
	in     scxml.Input
}

// call runs f, which calls into the kernel. An error means that f panicked or was
// interrupted; the session is then as it was before (law 10).
func (i *Instance) call(f func()) error {
	if err := i.guarded(f); err != nil {
		i.rewind()
		return err
	}
	return nil
}

// guarded is call that leaves the session as it may be.
func (i *Instance) guarded(f func()) (err error) {
	w := i.watch
	if i.chart.Confined() {
		w = nil // the sandbox has limits of its own
	}
	w.begin(i.ip, i.grant())
	defer func() {
		interrupted := w.end()
		if p := recover(); p != nil {
			err = fmt.Errorf("it broke the interpreter: %v", p)
			i.trouble = debug.Stack()
		} else if interrupted {
			i.strike()
			err = errInterrupted
		}
	}()
	f()
	return nil
}

// rewind makes the session anew: from its record, and from what it took since,
// which gives the same again (law 1).
func (i *Instance) rewind() {
	if i.saved == nil || i.chart.Confined() {
		return // it has not begun, or is never but after a whole step
	}
	ip, err := scxml.Restore(i.chart.Chart, i.saved)
	if err != nil {
		panic(fmt.Sprintf("restore %s from its own record: %v", i.id, err))
	}
	for _, t := range i.since {
		switch {
		case t.forgot:
			ip.Forget(t.fire)
		case t.fire != 0:
			_, _ = ip.Fire(t.fire, t.in) // what it gave is done
		default:
			_, _ = ip.Deliver(t.event, t.in)
		}
	}
	i.ip, i.events = ip, nil
}

// step lets the session take one input.
func (i *Instance) step(t taken) (out scxml.Macrostep, fault, err error) {
	if until := i.suspended(); !until.IsZero() {
		fault = &suspendedError{until}
	} else {
		fault = i.call(func() {
			if t.fire != 0 {
				out, err = i.ip.Fire(t.fire, t.in)
			} else {
				out, err = i.ip.Deliver(t.event, t.in)
			}
		})
	}
	if broken, ok := errors.AsType[*brokenError](err); ok {
		fault, err = broken, nil
	}
	if fault != nil {
		if t.fire == 0 {
			return scxml.Macrostep{}, fault, nil
		}
		t.forgot = true // else it would be due for ever
		i.ip.Forget(t.fire)
	}
	if err != nil && !errors.Is(err, scxml.ErrFinished) {
		return scxml.Macrostep{}, err, nil // data that no session can take
	}
	if !i.chart.Confined() {
		i.since = append(i.since, t)
	}
	return out, fault, err
}
