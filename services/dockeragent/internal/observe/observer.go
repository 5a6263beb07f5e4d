// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

const (
	// queueEvents bounds the events read and not yet worked off. When it is full
	// the stream is given up and everything is listed again: the reader never waits.
	queueEvents = 1 << 16
	// askers is how many inspects are under way at once.
	askers = 8
	// relistTime is the longest time between two lists.
	relistTime  = 10 * time.Second
	inspectTime = 5 * time.Second
)

// Observer runs a Core against an engine.
type Observer struct {
	engine engine.Engine
	log    *slog.Logger
	sink   func([]Out) error
	relist time.Duration

	core   *Core // owned by Run's goroutine
	inputs chan func(*Core, time.Time)
	// info is the engine while it answers, else nil.
	info atomic.Pointer[engine.Info]
}

// NewObserver makes an Observer that has told known of the engine before. sink takes what is to be
// told, in order and one call at a time; an error ends Run.
func NewObserver(e engine.Engine, engineID string, known map[string]Told, log *slog.Logger, sink func([]Out) error) *Observer {
	return &Observer{
		engine: e, log: log, sink: sink, relist: relistTime, core: NewCore(engineID, known),
		inputs: make(chan func(*Core, time.Time), 256),
	}
}

// Engine returns the engine, or nil while it does not answer. Safe for concurrent use.
func (o *Observer) Engine() *engine.Info { return o.info.Load() }

// Prepare runs f with the Core before Run is called.
func (o *Observer) Prepare(f func(*Core, time.Time)) { f(o.core, time.Now()) }

// Do runs f with the Core in its goroutine, soon, and what comes out is told. It
// waits while 256 such calls are queued, or returns when ctx ends. Safe for concurrent use.
func (o *Observer) Do(ctx context.Context, f func(*Core, time.Time)) {
	select {
	case o.inputs <- f:
	case <-ctx.Done():
	}
}

// Call is Do that returns when f has run.
func (o *Observer) Call(ctx context.Context, f func(*Core, time.Time)) {
	done := make(chan struct{})
	o.Do(ctx, func(c *Core, now time.Time) { f(c, now); close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// errOverflow ends a session when events came faster than they were worked off.
var errOverflow = errors.New("events came faster than they could be worked off")

// Run observes until ctx ends, connecting again whenever the engine goes away.
func (o *Observer) Run(ctx context.Context) error {
	delay := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		err := o.session(ctx)
		o.info.Store(nil)
		if ctx.Err() != nil {
			break
		}
		if s := (*sinkError)(nil); errors.As(err, &s) {
			return s.error
		}
		o.log.Warn("engine stream ended", "err", err)
		now := time.Now()
		reason := "the engine's event stream ended"
		if errors.Is(err, errOverflow) {
			reason = err.Error()
		}
		o.core.Lost(now, reason)
		if now.Sub(began) > 10*time.Second {
			delay = 0
		}
		// The engine's socket answers again within seconds: never wait long.
		delay = min(max(2*delay, 20*time.Millisecond), 2*time.Second)
		if err := o.idle(ctx, delay/2+rand.N(delay/2+1)); err != nil {
			return err
		}
	}
	return nil
}

type sinkError struct{ error }

// idle works off inputs and deadlines while there is no engine.
func (o *Observer) idle(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		out, _, next := o.core.Take() // Nobody can be asked now; Connected asks again.
		if err := o.tell(out); err != nil {
			return err.error
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case f := <-o.inputs:
			f(o.core, time.Now())
		case <-due:
			o.core.Tick(time.Now())
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (o *Observer) tell(out []Out) *sinkError {
	if len(out) == 0 {
		return nil
	}
	if err := o.sink(out); err != nil {
		return &sinkError{err}
	}
	return nil
}

type answer struct {
	ask    Ask
	in     engine.Container
	found  bool
	failed bool
}

// session is one subscription, from connecting to its end.
func (o *Observer) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	info, err := o.engine.Info(ctx)
	if err != nil {
		return err
	}
	stream, err := o.engine.Events(ctx, o.core.Since(info.Time))
	if err != nil {
		return err
	}
	events := make(chan engine.Event, queueEvents)
	ended := make(chan error, 1)
	wg.Go(func() { ended <- read(stream, events) })
	memory, err := o.engine.Memory(ctx, info.Time)
	if err != nil {
		return err
	}
	list, err := o.engine.List(ctx)
	if err != nil {
		return err
	}
	o.info.Store(&info)
	o.log.Info("engine connected", "engine", info.ID, "version", info.Version, "api", info.APIVersion, "containers", len(list))
	o.core.Connected(time.Now(), info, memory)
	o.core.Listed(time.Now(), list)

	answers := make(chan answer)
	asks := newAskQueue()
	for range askers {
		wg.Go(func() { o.inspectAll(ctx, asks, answers) })
	}
	defer asks.close()
	lists := make(chan []engine.Summary)
	relist := time.NewTicker(o.relist)
	defer relist.Stop()
	listing := false
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		out, wanted, next := o.core.Take()
		asks.add(wanted)
		if err := o.tell(out); err != nil {
			return err
		}
		timer.Stop()
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case ev := <-events:
			now := time.Now()
			o.core.Event(now, ev)
			for more := true; more; { // What is there goes into one journal write.
				select {
				case ev := <-events:
					o.core.Event(now, ev)
				default:
					more = false
				}
			}
		case a := <-answers:
			o.core.Inspected(time.Now(), a.ask, a.in, a.found, a.failed)
		case f := <-o.inputs:
			f(o.core, time.Now())
		case <-due:
			o.core.Tick(time.Now())
		case <-relist.C:
			if !listing {
				listing = true
				wg.Go(func() { o.list(ctx, lists) })
			}
		case list := <-lists:
			listing = false
			if list == nil {
				return errors.New("the engine does not answer")
			}
			o.core.Listed(time.Now(), list)
		case err := <-ended:
			for len(events) > 0 {
				o.core.Event(time.Now(), <-events)
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read moves events from the stream into the queue and never waits for it.
func read(s *engine.Stream, to chan<- engine.Event) error {
	for {
		select {
		case ev := <-s.Events:
			select {
			case to <- ev:
			default:
				return errOverflow
			}
		case err := <-s.Err:
			for { // What had arrived before the end.
				select {
				case ev := <-s.Events:
					select {
					case to <- ev:
					default:
						return errOverflow
					}
				default:
					if errors.Is(err, io.EOF) {
						return errors.New("the engine closed the event stream")
					}
					return fmt.Errorf("event stream: %w", err)
				}
			}
		}
	}
}

func (o *Observer) list(ctx context.Context, to chan<- []engine.Summary) {
	ctx2, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	list, err := o.engine.List(ctx2)
	if err != nil {
		list = nil
	} else if list == nil {
		list = []engine.Summary{}
	}
	select {
	case to <- list:
	case <-ctx.Done():
	}
}

// inspectAll answers asks until the queue is closed.
func (o *Observer) inspectAll(ctx context.Context, asks *askQueue, to chan<- answer) {
	for {
		a, ok := asks.next(ctx)
		if !ok {
			return
		}
		ctx2, cancel := context.WithTimeout(ctx, inspectTime)
		in, err := o.engine.Inspect(ctx2, a.ID)
		cancel()
		out := answer{ask: a, in: in, found: err == nil, failed: err != nil && !engine.IsNotFound(err)}
		select {
		case to <- out:
		case <-ctx.Done():
			return
		}
	}
}

// askQueue holds at most one ask a container, which bounds it.
type askQueue struct {
	mu     sync.Mutex
	list   []Ask
	wake   chan struct{}
	closed bool
}

func newAskQueue() *askQueue { return &askQueue{wake: make(chan struct{}, 1)} }

func (q *askQueue) add(asks []Ask) {
	if len(asks) == 0 {
		return
	}
	q.mu.Lock()
	q.list = append(q.list, asks...)
	q.mu.Unlock()
	q.poke()
}

func (q *askQueue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *askQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

func (q *askQueue) next(ctx context.Context) (Ask, bool) {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			q.poke()
			return Ask{}, false
		}
		if len(q.list) > 0 {
			a := q.list[0]
			q.list = q.list[1:]
			more := len(q.list) > 0
			q.mu.Unlock()
			if more {
				q.poke()
			}
			return a, true
		}
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-ctx.Done():
			return Ask{}, false
		}
	}
}
