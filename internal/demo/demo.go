// SPDX-License-Identifier: AGPL-3.0-or-later

// Package demo shows the main job on a real engine: a container is killed and
// comes back with its state, and what was sent while it was down is replayed.
// Unattended it is also the proof: it checks each claim against witnesses that
// are not chartroom, the application's own list of what it processed and the
// engine's record of events, and writes the figures down.
//
// # Concurrency
//
// [Run] is one sequence of scenes. Goroutines beside it: the services (one
// call of up), the senders while a container is down, and the proxy when a
// fault is built in. All have ended when Run returns.
//
// # Guarantees
//
// Everything that the demonstration makes on the engine carries the label
// chartroom.demo=ID and is removed when Run returns, also on interrupt and when
// nobody reads its output any more; nothing else is touched.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// The numbers of the proof.
const (
	leastEvents = 200 // numbered events in all
	leastDown   = 50  // of them while the application is down
	patience    = 60 * time.Second
)

// errInterrupted ends a demonstration whose context ended in the middle of it.
var errInterrupted = errors.New("interrupted before everything was shown")

// Up runs all services until ctx ends and calls ready once they serve.
type Up func(ctx context.Context, config cli.UpConfig, ready func(cli.Running)) error

// stage is one demonstration.
type stage struct {
	cfg    cli.DemoConfig
	out    io.Writer
	began  time.Time
	id     string
	dir    string
	image  string
	volume string
	docker docker
	fleet  fleetv1.FleetServiceClient
	addr   cli.Running
	tally  *tally
	fault  *fault
	report report
	kills  map[string]int // container name → SIGKILLs of ours

	collected uint64                     // how far the log of helloworld was read
	commands  map[string]map[string]bool // verb → ids of the commands in it

	running sync.WaitGroup // the services, the proxy of a fault
}

// audience is where the demonstration tells, as long as somebody reads it.
type audience struct {
	to   io.Writer
	gone func()
}

// Write implements io.Writer.
func (o audience) Write(text []byte) (int, error) {
	n, err := o.to.Write(text)
	if err != nil {
		o.gone()
	}
	return n, err
}

// Run shows the demonstration. It returns nil when all that was to be shown was
// seen; unattended, when every claim holds.
func Run(ctx context.Context, cfg cli.DemoConfig, up Up) (err error) {
	var nonce [4]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return fmt.Errorf("choose an id: %w", err)
	}
	id := hex.EncodeToString(nonce[:])
	s := &stage{
		cfg: cfg, began: time.Now(), id: id, image: cfg.Image,
		volume: "chartroom-demo-" + id, docker: docker{label: "chartroom.demo=" + id},
		kills: map[string]int{}, commands: map[string]map[string]bool{},
	}
	s.tally = newTally("demo-" + id)
	// A reader that goes away ends it like an interrupt. Unless the signal is ignored
	// it ends the process at once, and nothing would be removed; it must not be asked
	// for either, since it comes for every socket whose other end has died, such as
	// that of the application.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	asked, interrupt := context.WithCancel(ctx)
	defer interrupt()
	s.out = audience{to: cfg.Stdout, gone: interrupt}
	ctx, cancel := context.WithCancelCause(asked)
	defer func() {
		if err != nil && asked.Err() != nil {
			err = errInterrupted
		}
		cancel(nil)
		s.running.Wait()
		last, done := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer done()
		err = errors.Join(err, s.cleanUp(last))
	}()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	ready := make(chan cli.Running, 1)
	s.running.Go(func() {
		err := up(ctx, cli.UpConfig{
			Data: s.dir, Engine: "docker", Only: s.docker.label, Listen: freeOf(cfg.Listen), Logger: cfg.Logger,
		}, func(r cli.Running) { ready <- r })
		if err == nil {
			err = errors.New("the services ended")
		}
		cancel(fmt.Errorf("chartroom up: %w", err))
	})
	select {
	case s.addr = <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	conn, err := transport.Dial(s.addr.Address, transport.Security{})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.play(ctx, conn); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// say tells one step of the story with the time since the beginning.
func (s *stage) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(s.out, "%7.1f s  %s\n", time.Since(s.began).Seconds(), strings.ReplaceAll(text, "\n", "\n           "))
}

func (s *stage) scene(format string, args ...any) {
	fmt.Fprintf(s.out, "\n%s\n", fmt.Sprintf(format, args...))
}

// prepare makes the directory, the volume and the image.
func (s *stage) prepare(ctx context.Context) error {
	version, err := s.docker.run(ctx, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return fmt.Errorf("%w\nNo Docker engine answers. Start it and run this again, for example: systemctl start docker", err)
	}
	s.scene("Setting up")
	s.say("Docker engine %s answers.", version)
	if s.dir = s.cfg.Data; s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "chartroom-demo-"); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
	}
	if _, err := s.docker.run(ctx, "volume", "create", "--label", s.docker.label, s.volume); err != nil {
		return err
	}
	mount, err := s.docker.run(ctx, "volume", "inspect", "--format", "{{.Mountpoint}}", s.volume)
	if err != nil {
		return err
	}
	if _, err := os.ReadDir(mount); err != nil {
		return fmt.Errorf("%w\nThe demonstration kills processes of the engine's and reaches sockets on its volumes: run it on the engine's own machine, as root", err)
	}
	if s.image == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program chartroom-scxml: %w", err)
		}
		s.image = "chartroom/scxml:demo-" + s.id
		if err := s.docker.buildImage(ctx, s.image, filepath.Join(filepath.Dir(self), "chartroom-scxml")); err != nil {
			return err
		}
		s.say("Built the image %s: one static program that runs a chart.", s.image)
	}
	return nil
}

// cleanUp removes what the demonstration made.
func (s *stage) cleanUp(ctx context.Context) error {
	err := s.docker.cleanUp(ctx)
	if s.image != "" && s.cfg.Image == "" {
		_, e := s.docker.run(ctx, "image", "rm", "-f", s.image)
		err = errors.Join(err, e)
	}
	if s.cfg.Data == "" && s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	if err == nil {
		fmt.Fprintln(s.out, "\nRemoved the demonstration's containers, volume and data.")
	}
	return err
}

// freeOf gives address, or one with a free port when something listens there.
func freeOf(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		host, _, _ := net.SplitHostPort(address)
		return net.JoinHostPort(host, "0")
	}
	_ = l.Close()
	return address
}

// play shows scene after scene.
func (s *stage) play(ctx context.Context, conn *grpc.ClientConn) error {
	s.fleet = fleetv1.NewFleetServiceClient(conn)
	s.report.Dashboard = s.addr.Dashboard
	s.say("Chartroom is up: all services in this process, an embedded store.\nDashboard: %s", s.addr.Dashboard)
	if err := s.until(ctx, "the agent is connected", func() (bool, error) {
		r, err := s.fleet.ListHosts(ctx, &fleetv1.ListHostsRequest{})
		return len(r.GetHosts()) > 0 && r.GetHosts()[0].GetConnected(), err
	}); err != nil {
		return err
	}
	hello, err := s.hello(ctx)
	if err != nil {
		return err
	}
	if err := s.order(ctx); err != nil {
		return err
	}
	if !s.cfg.Once && s.cfg.Fault == "" {
		s.scene("Up")
		self, err := os.Executable()
		if err != nil {
			self = "chartroom"
		}
		s.say("Look at %[1]s and try, in another terminal:\n  %[2]s --server %[3]s get instances\n  %[2]s --server %[3]s log %[4]s\n"+
			"  docker kill %[4]s        # it comes back with its state\nEnd with an interrupt (Ctrl-C); everything is removed then.",
			s.addr.Dashboard, self, s.addr.Address, hello.name)
		<-ctx.Done()
		return nil
	}
	if err := s.prove(ctx, hello); err != nil {
		return err
	}
	return nil
}

// app is an application that the demonstration runs.
type app struct {
	name     string // of the container
	instance string
	// sent is the highest sequence that was acknowledged. What is read may be
	// a moment old; waiting for this number is waiting for the present.
	sent atomic.Uint64
}

// acknowledged notes the sequence of an event.
func (a *app) acknowledged(sequence uint64) {
	for {
		old := a.sent.Load()
		if sequence <= old || a.sent.CompareAndSwap(old, sequence) {
			return
		}
	}
}

// make creates an application of the runner image and waits until it is ready.
func (s *stage) make(ctx context.Context, name string, mounts, command []string) (*app, error) {
	socket := "/run/chartroom/" + name + ".sock" // where a fault may be built in
	if _, err := s.docker.inspect(ctx, name); err == nil {
		name += "-" + s.id // somebody else's container has the name
	}
	spec := &fleetv1.ContainerSpec{
		Image: s.image, Command: command, Network: "none",
		Environment: []string{"CHARTROOM_SOCKET=" + socket},
		Labels:      map[string]string{"chartroom.demo": s.id},
		Mounts:      append([]string{s.volume + ":/run/chartroom"}, mounts...),
	}
	r, err := s.fleet.CreateInstance(ctx, &fleetv1.CreateInstanceRequest{Name: name, Container: spec, Start: true, RequestId: "create-" + name})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	a := &app{name: name, instance: r.GetInstance().GetInstanceId()}
	_, err = s.untilState(ctx, a, "running")
	return a, err
}

// until asks again and again, until yes, an error, or no patience.
func (s *stage) until(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %s until %s", patience, what))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ask()
		if yes {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// untilInstance waits for something about an instance and gives it as it is then.
func (s *stage) untilInstance(ctx context.Context, a *app, what string, ask func(*fleetv1.Instance) bool) (*fleetv1.Instance, error) {
	var i *fleetv1.Instance
	err := s.until(ctx, a.name+" "+what, func() (bool, error) {
		r, err := s.fleet.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: a.instance})
		if err != nil {
			return false, err
		}
		i = r.GetInstance()
		return ask(i), nil
	})
	if err != nil && i != nil {
		err = fmt.Errorf("%w; it is in %s: %s", err, strings.Join(i.GetConfiguration(), " "), i.GetWhy())
	}
	return i, err
}

func (s *stage) untilState(ctx context.Context, a *app, state string) (*fleetv1.Instance, error) {
	return s.untilInstance(ctx, a, "is "+state, func(i *fleetv1.Instance) bool { return in(i, state) })
}

func in(i *fleetv1.Instance, state string) bool {
	for _, s := range i.GetConfiguration() {
		if s == state {
			return true
		}
	}
	return false
}

// untilDrained waits until the application has answered everything that was
// acknowledged so far, and its newest snapshot contains it.
func (s *stage) untilDrained(ctx context.Context, a *app) (*fleetv1.Instance, error) {
	return s.untilInstance(ctx, a, "has answered everything", func(i *fleetv1.Instance) bool {
		q := i.GetQueue()
		return in(i, "running") && min(q.GetDeliveredSequence(), q.GetContainedSequence()) >= a.sent.Load()
	})
}

// kill sends SIGKILL to the process on the host, behind the engine's back, and
// gives the moment before.
func (s *stage) kill(ctx context.Context, name string) (time.Time, error) {
	c, err := s.docker.inspect(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	if !c.State.Running || c.State.Pid <= 0 {
		return time.Time{}, fmt.Errorf("%s has no process to kill", name)
	}
	at := time.Now()
	if err := syscall.Kill(c.State.Pid, syscall.SIGKILL); err != nil {
		return at, fmt.Errorf("kill -9 %d: %w", c.State.Pid, err)
	}
	s.kills[name]++
	return at, nil
}

// untilReady waits until the application has written that it is ready, after at.
func (s *stage) untilReady(ctx context.Context, name string, at time.Time) (ready time.Time, text string, err error) {
	err = s.until(ctx, name+" says that it is ready", func() (bool, error) {
		all, err := s.docker.logs(ctx, name)
		if err != nil {
			return false, err
		}
		for _, l := range all {
			if l.at.After(at) && strings.HasPrefix(l.text, "ready: ") {
				ready, text = l.at, strings.TrimPrefix(l.text, "ready: ")
				return true, nil
			}
		}
		return false, nil
	})
	return ready, text, err
}

// untilRestored is untilReady of an application that must say that it has its state.
func (s *stage) untilRestored(ctx context.Context, a *app, at time.Time) (ready time.Time, text string, err error) {
	ready, text, err = s.untilReady(ctx, a.name, at)
	if err == nil && !strings.HasPrefix(text, "restored") {
		err = fmt.Errorf("%s came back without its state (%s): %w", a.name, text, errFound)
	}
	return ready, text, err
}
