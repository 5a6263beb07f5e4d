// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// host is what is stored of a host; nil when there is nothing.
func (r *rig) host(id string) *fleetv1.Host {
	state, _ := r.store.State(session.ShardOf(id))
	for _, h := range state.GetHosts() {
		if h.GetHostId() == id {
			return h
		}
	}
	return nil
}

// mark is what is stored of how far a host's journal was taken in.
func (r *rig) mark(id string) (journal string, sequence uint64) {
	state, _ := r.store.State(session.ShardOf(id))
	for _, m := range state.GetMarks() {
		if m.GetSource() == id {
			return m.GetIncarnation(), m.GetSequence()
		}
	}
	return "", 0
}

// TestAgentGoesAndReturns checks the gap, and that what happened meanwhile is
// taken in.
func TestAgentGoesAndReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	r.eventually("connected", func() bool { return r.host("h1").GetConnected() })
	disconnect()
	r.eventually("away, with an open gap", func() bool {
		h := r.host("h1")
		return !h.GetConnected() && len(h.GetGaps()) == 1 && h.GetGaps()[0].GetToTime() == nil
	})
	if _, err := r.send("web@h1", "system.start", "", nil); err != nil {
		t.Fatalf("an intent while the agent is away: %v", err)
	}
	r.connect(a)
	r.inState("web@h1", "running")
	r.eventually("back, the gap closed", func() bool {
		h := r.host("h1")
		return h.GetConnected() && len(h.GetGaps()) == 1 && h.GetGaps()[0].GetToTime() != nil
	})
	a.do(func() {
		if want := []string{"start"}; !slices.Equal(a.acts, want) {
			t.Errorf("acts %v, want %v", a.acts, want)
		}
	})
}

// TestGapToldByTheAgent checks that what the agent may have missed is shown,
// with the time that it says.
func TestGapToldByTheAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	a.do(func() {
		a.say("agent.gap", map[string]any{"from": "2026-01-02T03:04:05Z", "to": "2026-01-02T03:04:07Z", "reason": "the event stream broke"},
			func(o *agentv1.Observation) { o.Instance, o.ContainerId = "", "" })
	})
	r.connect(a)
	r.eventually("the gap is shown", func() bool { return len(r.host("h1").GetGaps()) == 1 })
	got := r.host("h1").GetGaps()[0]
	if got.GetReason() != "the event stream broke" || got.GetToTime().AsTime().Sub(got.GetFromTime().AsTime()) != 2*time.Second {
		t.Errorf("gap %v, want 2 s for want of the event stream", got)
	}
}

// TestJournalLost checks law 2 where an agent comes back with less than it
// had: another journal begins a new mark, what is missing is shown as a gap, and
// what the journal still has is taken in, all of it and nothing twice.
func TestJournalLost(t *testing.T) {
	t.Parallel()
	const same, other = "journal-h1", "another"
	for _, test := range []struct {
		name    string
		journal string
		first   uint64 // the oldest that is still kept; 1 to 7 were taken in of the same
		gap     string
		relist  bool
		taken   uint64 // what the welcome acknowledges
	}{
		{"kept", same, 1, "", false, 7},
		{"trimmed up to the mark", same, 8, "", false, 7},
		{"trimmed beyond the mark", same, 9, "journal was trimmed", true, 8},
		{"another", other, 1, "new journal", false, 0},
		{"another, trimmed", other, 3, "new journal", true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := newAgent(t, "h1")
			disconnect := r.connect(a)
			a.create()
			a.do(func() {
				for range 6 {
					a.say("docker.health_status", map[string]any{"health": "healthy"}, nil)
				}
			})
			r.eventually("7 observations are taken in", func() bool {
				_, sequence := r.mark("h1")
				return sequence == 7
			})
			disconnect()
			r.eventually("away", func() bool { return !r.host("h1").GetConnected() })
			away := r.host("h1").GetLastSeenTime().AsTime()
			if test.journal != same {
				a.do(func() { a.journal, a.facts, a.commands = test.journal, nil, map[string]bool{} })
				a.create()
			}
			a.do(func() {
				a.first = test.first
				a.start("", nil)
				a.say("docker.inspect", map[string]any{"status": "running", "running": true, "startedAt": a.run.Format(time.RFC3339Nano)}, nil)
			})
			r.connect(a)
			r.inState("web@h1", "running")
			r.eventually("the journal is taken in", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				journal, sequence := r.mark("h1")
				return journal == test.journal && sequence == uint64(len(a.facts))
			})
			a.do(func() {
				if a.welcomed != test.taken || a.relists > 0 != test.relist {
					t.Errorf("welcomed with %d taken in, relist %v; want %d, %v", a.welcomed, a.relists > 0, test.taken, test.relist)
				}
			})
			var gaps []string
			for _, g := range r.host("h1").GetGaps() {
				if g.GetReason() == "agent was not connected" {
					continue
				}
				gaps = append(gaps, g.GetReason())
				if from, to := g.GetFromTime().AsTime(), g.GetToTime().AsTime(); !from.Equal(away) || to.Before(from) {
					t.Errorf("gap from %s to %s, want it from %s on", from, to, away)
				}
			}
			if got := strings.Join(gaps, ", "); got != test.gap {
				t.Errorf("gaps %q, want %q", got, test.gap)
			}
		})
	}
}

// TestVanishedContainer checks that a container that is gone when its agent
// returns is told to its chart as destroyed, without having been seen to go.
func TestVanishedContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	disconnect()
	a.do(func() { a.id = "" })
	r.connect(a)
	r.inState("web@h1", "destroyed")
	_, log := r.store.Instance(session.ShardOf("h1"), "web@h1")
	if last := log[len(log)-1]; last.GetEvent() != "docker.destroy" || !last.GetInferred() {
		t.Errorf("last entry %s, inferred %v; want an inferred docker.destroy", last.GetEvent(), last.GetInferred())
	}
}

// TestAnotherEngine checks that a container which is absent on another engine than
// the one that had it is not told as destroyed, however often that engine is named,
// and is when its own engine is without it.
func TestAnotherEngine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	own := a.engine
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "created")
	for n := range 3 {
		disconnect()
		r.eventually("away", func() bool { return !r.host("h1").GetConnected() })
		a.do(func() { a.id, a.engine = "", "another" })
		disconnect = r.connect(a)
		r.eventually("back", func() bool {
			h := r.host("h1")
			return h.GetConnected() && h.GetEngineId() == "another" && h.GetGaps()[0].GetToTime() != nil
		})
		if v := r.view("web@h1"); v.GetState() != "created" || v.GetTarget().GetEngineId() != own {
			t.Fatalf("after hello %d with another engine: %s on %s", n+1, v.GetState(), v.GetTarget().GetEngineId())
		}
	}
	disconnect()
	a.do(func() { a.engine = own })
	r.connect(a)
	r.inState("web@h1", "destroyed")
}

// TestNewGeneration checks that another container under the same name goes on
// with the instance, and that the end of the former is none of it.
func TestNewGeneration(t *testing.T) {
	t.Parallel()
	r, a := running(t)
	if _, err := r.send("web@h1", "x", "", nil); err != nil {
		t.Fatal(err)
	}
	r.eventually("a snapshot", func() bool { return len(r.view("web@h1").GetSnapshots()) == 1 })
	a.do(func() { a.id = "c2" })
	a.create()
	a.do(func() {
		a.id = "c1"
		a.say("docker.destroy", nil, nil)
		a.id = "c2"
	})
	r.eventually("generation 2", func() bool { return r.view("web@h1").GetTarget().GetGeneration() == 2 })
	r.eventually("everything taken in", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.acked == uint64(len(a.facts))
	})
	v := r.view("web@h1")
	if v.GetTarget().GetContainerId() != "c2" || !slices.Contains(v.GetConfiguration(), "created") || len(v.GetSnapshots()) != 1 {
		t.Errorf("container %s in %v with %d snapshots; want c2, created, 1", v.GetTarget().GetContainerId(), v.GetState(), len(v.GetSnapshots()))
	}
}

// TestClonedHost checks law 11: that a second journal under one host id is refused and
// shown.
func TestClonedHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	r.connect(a)
	r.eventually("connected", func() bool { return r.host("h1").GetConnected() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(r.link).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{HostId: "h1", DisplayName: "clone", JournalId: "other"}}}); err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil || m.GetRefusal().GetReason() != "HOST_ID_IN_USE" {
		t.Errorf("answer %v, %v; want HOST_ID_IN_USE", m, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.AlreadyExists {
		t.Errorf("end %v, want ALREADY_EXISTS", err)
	}
	r.eventually("the finding is shown", func() bool {
		return slices.ContainsFunc(r.host("h1").GetFindings(), func(f *fleetv1.Finding) bool { return f.GetCode() == "host.cloned" })
	})
	// The first stream goes on: what is said to it arrives, and it was never opened again.
	var welcomes int
	r.eventually("the first agent is welcome", func() bool {
		a.do(func() { welcomes = a.welcomes })
		return welcomes > 0
	})
	if welcomes != 1 {
		t.Errorf("the first agent was welcomed %d times, want once", welcomes)
	}
}

// TestStoreRolledBack checks law 5: that an owner that finds itself below what an
// agent has seen takes a higher epoch and has everything listed anew before it
// commands anything.
func TestStoreRolledBack(t *testing.T) {
	t.Parallel()
	r, a := running(t)
	for range 3 { // raises the epoch
		r.stop()
		r.start()
	}
	a.do(func() { a.welcomes = 0 })
	disconnect := r.connect(a)
	r.eventually("welcome", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.welcomes > 0
	})
	before := r.store.Epoch(session.ShardOf("h1"))
	disconnect()
	r.stop()
	r.store.Wipe()
	r.start()
	a.do(func() { a.relists = 0 })
	r.connect(a)
	r.eventually("the epoch is above", func() bool { return r.store.Epoch(session.ShardOf("h1")) > before })
	r.eventually("the agent listed anew", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.relists > 0
	})
	r.inState("web@h1", "running")
	a.do(func() {
		if want := []string{"start"}; !slices.Equal(a.acts[:1], want) || slices.Contains(a.acts[1:], "start") {
			t.Errorf("acts %v, want one start", a.acts)
		}
	})
}

// TestHeldTimers checks that the timers of a hosted instance wait for its
// agent, and those of others do not.
func TestHeldTimers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "h1")
	if err := r.push("patient", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="a">
		<state id="a"><transition event="system.pause" target="waiting"/></state>
		<state id="waiting"><onentry><send event="due" delay="50ms"/></onentry><transition event="due" target="b"/></state><state id="b"/></scxml>`); err != nil {
		t.Fatal(err)
	}
	a.spec.Chart = "patient"
	disconnect := r.connect(a)
	a.create()
	r.inState("web@h1", "a")
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "free", Chart: "patient"}); err != nil {
		t.Fatal(err)
	}
	disconnect()
	r.eventually("away", func() bool { return !r.host("h1").GetConnected() })
	for _, id := range []string{"web@h1", "free"} { // only now: the timer of web begins while the agent is away
		if _, err := r.send(id, "system.pause", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	r.inState("free", "b") // by a timer that was due after that of web
	if !slices.Contains(r.view("web@h1").GetConfiguration(), "waiting") {
		t.Fatal("the timer fired while the agent was away")
	}
	r.connect(a)
	r.inState("web@h1", "b")
}
