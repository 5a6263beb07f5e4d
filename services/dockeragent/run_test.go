// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// A run that ended while the agent was away: what was to be delivered to it is
// refused at once, and does not hold up the start that waits behind it.
func TestDeliverToTheDeadWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
		stop := start(t, c, state, f)
		id := created(c, "web", appSpec("web"))
		c.done(c.command("web", id, "start", nil))
		run := field(c.find("web", "docker.start", 1), "startedAt").(string)
		c.find("web", "app.ready", 1)
		stop()
		if err := f.HostKill(id); err != nil {
			t.Fatal(err)
		}
		command := c.command("web", id, "deliver", nil, deliver(1, "e1", run))
		start(t, c, state, f)
		c.find("web", "docker.die", 1)
		died := time.Now()
		if o := c.outcome(command); o.GetEvent() != "error.outcome_stale.deliver" {
			t.Errorf("%s %s, want it stale", o.GetEvent(), o.GetDataJson())
		}
		if waited := time.Since(died); waited > linkTime/2 {
			t.Errorf("it was told %v after the death", waited)
		}
	})
}

// The restore of a run that the agent has not noted yet is not stale: the engine
// is asked before a command is refused for another run.
func TestCommandAheadOfWhatWasNoted(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	f.SetPerturb(func(engine.Event) []engine.Event { return nil }) // nothing is told of the start
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	in, err := f.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.done(c.command("web", id, "restore", nil, func(m *agentv1.Command) { m.RunTime = runTime(in.State.StartedAt) }))
	f.SetPerturb(nil)
	c.find("web", "app.ready", 1)
}

// An engine that is slow to answer inspect: the start is told by the stamp of its
// event, and commands that name the run so are for it all the same.
func TestCommandForARunToldByItsStamp(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	id := created(c, "web", appSpec("web"))
	answer := make(chan struct{})
	f.SetDelay(func(op, _ string) time.Duration {
		if op == "inspect" {
			<-answer
		}
		return 0
	})
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	told, _ := field(c.find("web", "docker.start", 1), "startedAt").(string)
	command := c.command("web", id, "restore", nil, func(m *agentv1.Command) { m.RunTime = runTime(told) })
	close(answer)
	c.done(command)
	run, _ := field(c.find("web", "app.ready", 1), "run").(string)
	if run == told || run != field(c.find("web", "docker.inspect", 1), "startedAt") {
		t.Errorf("app.ready of %s, the start was told with %s", run, told)
	}
}

// The same before the agent has noted by which stamp it told the start.
func TestCommandAheadOfTheStamp(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	answer, noted := make(chan struct{}), make(chan struct{})
	start(t, c, t.TempDir(), f, func(conf *Config) {
		conf.fault = func(point, what string) bool {
			if point == "journaled" && what == "docker.start" {
				<-noted
			}
			return false
		}
	})
	id := created(c, "web", appSpec("web"))
	var commanded atomic.Bool
	var once sync.Once
	f.SetDelay(func(op, _ string) time.Duration {
		if op == "inspect" {
			late := commanded.Load()
			<-answer
			if late {
				once.Do(func() { close(noted) })
			}
		}
		return 0
	})
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	told, _ := field(c.find("web", "docker.start", 1), "startedAt").(string)
	commanded.Store(true)
	command := c.command("web", id, "restore", nil, func(m *agentv1.Command) { m.RunTime = runTime(told) })
	close(answer)
	c.done(command)
}

// deaf is an engine whose applications do not listen.
type deaf struct{ *engine.Fake }

func (deaf) DialSocket(context.Context, engine.Container, string) (net.Conn, error) {
	return nil, fmt.Errorf("dial /run/chartroom/web.sock: %w", &net.OpError{Op: "dial", Net: "unix", Err: syscall.ENOENT})
}

// A run whose application does not listen is told of, well before the start timeout.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), deaf{f})
	spec := appSpec("web")
	spec["labels"] = map[string]string{"chartroom.start-timeout": "100ms"} // Nobody here ends it for that.
	id := created(c, "web", spec)
	c.done(c.command("web", id, "start", nil))
	o := c.find("web", "app.unready", 1)
	if want := "nobody listens: dial /run/chartroom/web.sock: dial unix: no such file or directory"; field(o, "message") != want {
		t.Errorf("app.unready: %s, want %q", o.GetDataJson(), want)
	}
	if run := field(c.find("web", "docker.start", 1), "startedAt"); field(o, "run") != run {
		t.Errorf("app.unready: %s, the run is %v", o.GetDataJson(), run)
	}
	if events := c.events("web"); slices.Index(events, "app.unready") < slices.Index(events, "docker.start") {
		t.Errorf("it comes before the start: %v", events)
	}
}
