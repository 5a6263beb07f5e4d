// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// LiveConfig says what a [Live] is given. The zero value is usable: sessions run on
// the real clock and reach nothing but each other.
type LiveConfig struct {
	// Config is that of the environment. Now, Load, NoHTTP and MaxSteps are not
	// used.
	// Options without SendTypes, SendTargets and InvokeTypes get those that the
	// environment can perform, if Perform is nil.
	Config
	// Access is what charts may reach.
	Access Access
	// Listener is where sessions take events by HTTP; nil lets them take none.
	// Run closes it. Whoever can reach it can send events to every session.
	Listener net.Listener
	// URL is how others reach the listener; empty means "http://" and its
	// address, "localhost" if it listens at all of them. The address of a session
	// is below it.
	URL string
	// Timeout bounds a request to others; zero means 10 s.
	Timeout time.Duration
	// StepTimeout bounds a step of a chart that is not [scxml.Chart.Bounded]: its
	// session is ended then. Zero means 2 s. It does not bound memory, nor
	// regular expressions: charts of strangers need a process of their own.
	StepTimeout time.Duration
	// MaxBytes bounds a document or a message; zero means 1 MiB.
	MaxBytes int64
	// MaxRequests bounds the requests to others, and documents being loaded, at
	// a time; zero means 256. What is beyond fails.
	MaxRequests int
}

// Live runs sessions on the real clock. Make it with [NewLive] and call
// [Live.Run]; everything else may be called by any goroutine.
type Live struct {
	config LiveConfig
	env    *Env
	url    string // of the sessions, ends with "/"; empty without a listener
	send   []place
	client *http.Client

	// calls are what the goroutine of Run has to do; unbuffered, never closed.
	calls chan func()
	// ctx is that of all goroutines: it ends with that of Run.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	// requests counts those under way and those that wait, posts are the ones by
	// HTTP. Both belong to the goroutine of Run.
	requests int
	posts    map[route][]request
	// settled are closed as soon as there is nothing to do. They belong there, too.
	settled []chan struct{}
}

// ErrEnded is returned by [Live.Do] when Run has returned.
var ErrEnded = errors.New("the environment has ended")

// NewLive checks c. It starts nothing.
func NewLive(c LiveConfig) (*Live, error) {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&c.Timeout, 10 * time.Second}, {&c.StepTimeout, 2 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	if c.MaxRequests == 0 {
		c.MaxRequests = 256
	}
	if c.Perform == nil {
		usual := func(list *[]string, values ...string) {
			if *list == nil {
				*list = append([]string{}, values...)
			}
		}
		usual(&c.Options.SendTypes, scxml.BasicHTTPProcessor)
		usual(&c.Options.SendTargets, "#_scxml_")
		usual(&c.Options.InvokeTypes)
	}
	l := &Live{config: c, calls: make(chan func()), posts: map[route][]request{}}
	allowed := c.Access.Send
	if c.Listener != nil {
		if l.url = c.URL; l.url == "" {
			l.url = urlOf(c.Listener.Addr())
		}
		l.url = strings.TrimSuffix(l.url, "/") + "/"
		allowed = append([]string{l.url}, allowed...)
	}
	var err error
	if l.send, err = parsePlaces(allowed, "http", "https"); err != nil {
		return nil, err
	}
	sources, err := parsePlaces(c.Access.Load, "http", "https", "file")
	if err != nil {
		return nil, err
	}
	l.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: c.Timeout}
	loader := *l.client
	loader.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirects")
		}
		_, _, err := find(sources, r.URL)
		return err
	}
	l.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Seed == nil {
		c.Seed = rand.Uint64
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	c.Load = func(uri string) ([]byte, error) { return load(l.ctx, &loader, sources, c.MaxBytes, uri) }
	l.env = newEnv(c.Config)
	l.env.world = l
	return l, nil
}

// urlOf is how this computer reaches an address.
func urlOf(at net.Addr) string {
	if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + at.String()
}

// Run takes the steps of all sessions until ctx ends, and may be called once.
// Sessions are not ended by that: nothing happens to them any more, and they may be
// read.
func (l *Live) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.cancel)()
	defer l.client.CloseIdleConnections()
	defer l.work.Wait()
	defer l.cancel()
	served := l.serve()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.env.now = time.Now()
		did, err := l.env.turn(l.env.now)
		if err != nil {
			return err
		}
		if did {
			// What is there already is done in between.
			select {
			case f := <-l.calls:
				f()
			case <-l.ctx.Done():
				return nil
			default:
			}
			continue
		}
		l.noteSettled()
		timer.Reset(l.untilDue())
		select {
		case f := <-l.calls:
			l.env.now = time.Now()
			f()
		case <-timer.C:
		case err := <-served:
			return fmt.Errorf("serve %s: %w", l.url, err)
		case <-l.ctx.Done():
			return nil
		}
	}
}

// untilDue is how long the loop may sleep.
func (l *Live) untilDue() time.Duration {
	if _, due, ok := l.env.next(); ok {
		return max(0, time.Until(due))
	}
	return time.Hour
}

// Do calls f in the goroutine of Run, once that runs, and waits for it. In f the
// [Env] may be read, sessions started and events delivered to them; what follows
// from that comes after f. When ctx or Run ends before f has begun, it is not called.
func (l *Live) Do(ctx context.Context, f func(*Env) error) error {
	result := make(chan error, 1)
	select {
	case l.calls <- func() { result <- f(l.env) }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrEnded
	}
}

// Settle waits until nothing is left to happen by itself but delayed sends: no event
// waits, and no request is under way.
func (l *Live) Settle(ctx context.Context) error {
	settled := make(chan struct{})
	if err := l.Do(ctx, func(*Env) error { l.settled = append(l.settled, settled); return nil }); err != nil {
		return err
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrEnded
	}
}

// noteSettled tells those who wait for it that there is nothing to do.
func (l *Live) noteSettled() {
	if l.requests > 0 {
		return
	}
	for _, c := range l.settled {
		close(c)
	}
	l.settled = nil
}

// Compile makes a chart of a document, see [Env.Compile].
func (l *Live) Compile(name string, doc []byte, base string) (*scxml.Chart, error) {
	return l.env.Compile(name, doc, base)
}

// Address is where a session takes events by HTTP; empty without a listener.
func (l *Live) Address(sessionID string) string { return l.location(sessionID) }

// await implements world: work has a goroutine of its own.
func (l *Live) await(work func() error, done func(error)) {
	if l.admit(done) {
		l.start(work, done)
	}
}

// admit counts a request, unless there are too many.
func (l *Live) admit(done func(error)) bool {
	if l.requests >= l.config.MaxRequests {
		done(fmt.Errorf("there are %d requests already", l.requests))
		return false
	}
	l.requests++
	return true
}

// start does the work of a request that was admitted.
func (l *Live) start(work func() error, done func(error)) {
	l.work.Go(func() {
		err := work()
		select {
		case l.calls <- func() { l.requests--; done(err) }:
		case <-l.ctx.Done():
		}
	})
}

// live implements world.
func (l *Live) live() bool { return true }

// guard implements world: a step that takes too long is interrupted.
func (l *Live) guard(step func(begun func(*scxml.Interpreter))) bool {
	w := &watch{}
	timer := time.AfterFunc(l.config.StepTimeout, w.interrupt)
	defer timer.Stop()
	step(w.begin)
	return w.end()
}

// watch is a step being made, for the timer that interrupts it.
type watch struct {
	mu          sync.Mutex
	session     *scxml.Interpreter // nil before and after
	interrupted bool
}

func (w *watch) begin(ip *scxml.Interpreter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = ip
}

// end says whether the step was interrupted.
func (w *watch) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = nil
	return w.interrupted
}

func (w *watch) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil && !w.session.Chart().Bounded() {
		w.interrupted = true
		w.session.Interrupt()
	}
}
