// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/internal/version"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/observe"
	"github.com/chartroom/chartroom/services/dockeragent/internal/rpc"
)

// Service is an agent. Make it with New, run it once.
type Service struct {
	agent  *agent
	lock   *os.File
	close  []func() error
	listen net.Listener
	server *grpc.Server
	health *health.Server
}

// New takes the state directory, enrols the host, opens the journal and the health
// listener, and connects to nothing yet. Run releases all that.
func New(c Config) (_ *Service, err error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("dockeragent: %w", err)
	}
	s := &Service{}
	defer func() {
		if err != nil {
			s.release()
			err = fmt.Errorf("dockeragent: %w", err)
		}
	}()
	if s.lock, err = lock(c.State); err != nil {
		return nil, err
	}
	a := &agent{
		c: c, log: c.Log, engine: c.engine, buckets: newBuckets(c.StartEvery),
		told: map[string]observe.Told{}, containers: map[string]engine.Container{}, runs: map[string]runState{}, links: map[string]*run{},
		changed: make(chan struct{}), lanes: map[string]*lane{}, inFlight: map[string]bool{}, trace: map[string]string{}, digests: map[string]string{},
	}
	s.agent = a
	if a.hostID, err = enrol(c.State, c.HostID); err != nil {
		return nil, err
	}
	a.journal, err = journal.Open(filepath.Join(c.State, "journal"), journal.Options{MaxBytes: c.JournalBytes, MaxAge: c.JournalAge})
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, a.journal.Close)
	if a.spool, err = openSpool(filepath.Join(c.State, "spool"), c.SpoolBytes, a.journal); err != nil {
		return nil, err
	}
	if err := s.connect(&a.c); err != nil {
		return nil, err
	}
	told, engineID := a.known()
	a.observer = observe.NewObserver(a.engine, engineID, told, c.Log, a.sink)
	a.client = rpc.New(a.c.Statemachine, a.journal, a, c.Log)
	return s, s.serveHealth(c)
}

// connect makes the engine and the connection, as far as they are not given.
func (s *Service) connect(c *Config) error {
	if s.agent.engine == nil {
		switch c.Engine {
		case "docker":
			d, err := engine.NewDocker()
			if err != nil {
				return err
			}
			s.agent.engine = d
			s.close = append(s.close, d.Close)
		case "fake":
			f := engine.NewFake()
			f.SetDelay(demoDelay)
			s.agent.engine = f
		default:
			return fmt.Errorf("engine %q: want docker or fake", c.Engine)
		}
	}
	if c.Only == "" {
		s.agent.engine = engine.WithoutDemos(s.agent.engine)
	} else {
		bound, err := engine.Only(s.agent.engine, c.Only)
		if err != nil {
			return err
		}
		s.agent.engine = bound
	}
	if c.Statemachine == nil {
		conn, err := transport.Dial(c.StatemachineAddress, c.Security)
		if err != nil {
			return err
		}
		c.Statemachine = conn
		s.close = append(s.close, conn.Close)
	}
	return nil
}

// demoDelay makes the fake engine about as slow as a real one.
func demoDelay(op, _ string) time.Duration {
	switch op {
	case "start":
		return 150 * time.Millisecond
	case "create", "stop", "kill", "remove":
		return 20 * time.Millisecond
	}
	return 0
}

func (s *Service) serveHealth(c Config) (err error) {
	s.listen = c.Listener
	if s.listen == nil {
		if c.Address == "none" {
			return nil
		}
		if s.listen, err = transport.Listen(c.Address, c.Security); err != nil {
			return err
		}
	}
	if s.server, err = transport.NewServer(c.Security); err != nil {
		_ = s.listen.Close()
		return err
	}
	s.health = transport.RegisterHealth(s.server)
	return nil
}

// recentTime is how far back an agent that comes back claims events for its commands.
const recentTime = 30 * time.Second

// HostID is the id under which this host is enrolled.
func (s *Service) HostID() string { return s.agent.hostID }

func (s *Service) release() {
	for _, f := range slices.Backward(s.close) {
		_ = f()
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

// Run runs the agent until ctx ends, and releases everything. The error is that of
// a disk or listener that failed; an engine or a statemachine that is away is waited for.
func (s *Service) Run(ctx context.Context) error {
	defer s.release()
	a := s.agent
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	a.ctx, a.fail = ctx, fail
	a.log.Info("agent starts", "host", a.hostID, "journal", a.journal.ID(), "version", version.Version)
	if why := a.journal.WasReset(); why != "" {
		if _, err := a.append(journal.Entry{Observations: []journal.Observation{gap(why)}}); err != nil {
			return fmt.Errorf("dockeragent: %w", err)
		}
	}
	var wg sync.WaitGroup
	defer a.quiet()
	defer wg.Wait()
	// What was begun in an earlier life is still of our making, and so are the events
	// of what had just ended and was not told yet.
	a.observer.Prepare(func(core *observe.Core, now time.Time) {
		for _, c := range a.journal.Recent(now.Add(-recentTime)) {
			if c.ContainerID != "" && now.Sub(c.Begun) < callTime {
				core.Command(now, c.ContainerID, own(c), true)
				if c.Ended() {
					core.Command(now, c.ContainerID, own(c), false)
				}
			}
		}
	})
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				fail(err)
			}
		})
	}
	run(a.observer.Run)
	run(a.client.Run)
	run(func(ctx context.Context) error { a.resume(ctx); return nil })
	if s.server != nil {
		run(func(ctx context.Context) error { return transport.Serve(ctx, s.server, s.listen) })
		run(s.watchHealth)
	}
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("dockeragent: %w", err)
	}
	return nil
}

// quiet waits until nothing touches the journal any more.
func (a *agent) quiet() {
	a.mu.Lock()
	links := a.links
	a.links = map[string]*run{}
	a.mu.Unlock()
	for _, r := range links {
		r.link.Close()
		<-r.link.Done()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a.mu.Lock()
		busy := len(a.lanes)
		a.mu.Unlock()
		if busy == 0 {
			return
		}
		<-tick.C
	}
}

// watchHealth says SERVING while the engine answers and statemachine is connected.
// The journal takes over while they do not, so the process is alive in any case.
func (s *Service) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		engine, connected := s.agent.EngineID() != "", s.agent.client.Connected()
		transport.SetNeed(s.health, "engine", engine)
		transport.SetNeed(s.health, "statemachine", connected)
		status := healthv1.HealthCheckResponse_NOT_SERVING
		if engine && connected {
			status = healthv1.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus("", status)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func gap(reason string) journal.Observation {
	now := time.Now()
	b, err := json.Marshal(map[string]string{"from": now.UTC().Format(time.RFC3339Nano), "to": now.UTC().Format(time.RFC3339Nano), "reason": reason})
	if err != nil {
		b = nil // plain values; cannot be
	}
	return journal.Observation{Time: now, Event: journal.EventGap, Data: b}
}

// EngineID implements rpc.Handler.
func (a *agent) EngineID() string {
	if info := a.observer.Engine(); info != nil {
		return info.ID
	}
	return ""
}

// Acknowledged implements rpc.Handler.
func (a *agent) Acknowledged(seq uint64) { a.spool.acknowledged(seq) }

// Body implements rpc.Handler.
func (a *agent) Body(sha string) ([]byte, error) { return a.spool.body(sha) }

// Relist implements rpc.Handler.
func (a *agent) Relist() {
	go func() {
		a.tellCursors() // before the observation that ends the relisting
		a.observer.Do(a.ctx, func(c *observe.Core, _ time.Time) { c.Retell() })
	}()
}

// awaitEngine gives the engine a moment: observer and client start together, and
// a hello without the engine has no inventory. It is nil when none answers.
func (a *agent) awaitEngine(ctx context.Context) *engine.Info {
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if info := a.observer.Engine(); info != nil {
			return info
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// Hello implements rpc.Handler.
func (a *agent) Hello(ctx context.Context) rpc.Hello {
	h := rpc.Hello{
		HostID: a.hostID, DisplayName: a.c.DisplayName, Version: version.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH, Inventory: map[string]string{},
	}
	info := a.awaitEngine(ctx)
	if info == nil {
		return h
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	list, err := a.engine.List(ctx)
	if err != nil {
		return h
	}
	h.EngineID, h.EngineVersion, h.EngineAPI = info.ID, info.Version, info.APIVersion
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, t := range a.told {
		h.Inventory[id] = t.Instance
	}
	for _, c := range list {
		if _, ok := h.Inventory[c.ID]; !ok {
			h.Inventory[c.ID] = c.Name
		}
	}
	return h
}

// Pipe implements rpc.Handler.
func (a *agent) Pipe(ctx context.Context, p rpc.Pipe, in io.Reader, stdout, stderr io.Writer) error {
	id, err := a.current(p.Instance)
	if err != nil {
		return err
	}
	if !p.Attach {
		return a.engine.Logs(ctx, id, engine.LogOptions{Follow: p.Follow, Tail: p.Tail}, stdout, stderr)
	}
	t, err := a.engine.Attach(ctx, id)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = t.Close() })
	defer stop()
	wg.Go(func() {
		if _, err := io.Copy(t, in); err == nil {
			_ = t.CloseWrite()
		}
	})
	err = t.Copy(stdout, stderr)
	_ = t.Close()
	if c, ok := in.(io.Closer); ok {
		_ = c.Close() // Or the copying of input would wait for more.
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// current is the newest container of an instance, a live one first.
func (a *agent) current(instance string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	best := ""
	better := func(x, y observe.Told) bool {
		if lx, ly := x.Status == "running", y.Status == "running"; lx != ly {
			return lx
		}
		return strings.Compare(x.StartedAt, y.StartedAt) > 0
	}
	for id, t := range a.told {
		if t.Instance == instance && (best == "" || better(t, a.told[best])) {
			best = id
		}
	}
	if best == "" {
		return "", fmt.Errorf("no container of instance %q on this host", instance)
	}
	return best, nil
}
