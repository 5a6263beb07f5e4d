// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/scxml"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/fakestore"
)

// The charts of a storm: one that always has delayed sends that are due, one that has
// a single one when it begins and one for each event, one whose first never comes to
// an end, and one that has ended.
var stormCharts = map[string]string{
	"storm": `<state id="a">
		<onentry><foreach array="[` + strings.Repeat("0, ", 99) + `0]" item="i"><send event="t" delay="1ms"/></foreach></onentry>
		<transition event="t"><send event="t" delay="1ms"/></transition></state>`,
	"calm": `<state id="a"><onentry><send event="t" delay="10ms"/></onentry>
		<transition event="ask"><send event="t" delay="10ms"/></transition></state>`,
	"endless": `<state id="a"><onentry><send event="t" delay="10ms"/><send event="next" delay="20ms"/></onentry>
		<transition event="t error.communication"><send type="` + InstanceType + `" event="unknown"/></transition></state>`,
	"ended": `<final id="a"/>`,
}

// stepping is how long a delayed send takes to fire in a storm.
const stepping = 5 * time.Millisecond

// slow is a session that takes a while for a delayed send.
type slow struct{ running }

func (s slow) Fire(seq uint64, in scxml.Input) (scxml.Macrostep, error) {
	time.Sleep(stepping) // virtual
	return s.running.Fire(seq, in)
}

// storm is a worker that has instances beside one that is never done.
type storm struct {
	t        *testing.T
	store    *fakestore.Store
	chart    map[string]*Chart // by name
	of       map[string]*Chart // by instance
	worker   *Worker
	end      func()
	welcomed chan struct{}
	lives    int
}

// Dispatch implements Dispatcher.
func (s *storm) Dispatch(_ uint32, _ Fence, effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case *Answer:
			e.Reply(e.Response, e.Err)
		case *Welcome:
			close(s.welcomed)
		}
	}
}

func newStorm(t *testing.T) *storm {
	s := &storm{t: t, store: fakestore.New(), chart: map[string]*Chart{}, of: map[string]*Chart{}, welcomed: make(chan struct{})}
	for name, states := range stormCharts {
		chart, err := Compile(name, fmt.Appendf(nil, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">%s</scxml>`, states))
		if err != nil {
			t.Fatal(err)
		}
		s.chart[name] = chart
	}
	return s
}

// shard acquires a shard and loads what the store has of it.
func (s *storm) shard(number uint32) *Shard {
	nonce := fmt.Sprint("nonce-", s.lives)
	leases, err := s.store.Acquire(s.t.Context(), &snapshotv1.AcquireRequest{Owner: "test", Nonce: nonce, Shards: []uint32{number}})
	if err != nil {
		s.t.Fatal(err)
	}
	shard := NewShard(number, Fence{Epoch: leases.GetLeases()[0].GetEpoch(), Nonce: nonce})
	state, instances := s.store.State(number)
	shard.Restore(state)
	for _, i := range instances {
		id := i.GetRecord().GetView().GetInstanceId()
		if err := shard.Add(i, s.of[id]); err != nil {
			s.t.Fatal(err)
		}
		shard.instances[id].ip = slow{shard.instances[id].ip}
	}
	return shard
}

// add begins an instance in a shard that is not adopted yet.
func (s *storm) add(shard *Shard, id, host, chart string) {
	i := &Instance{id: id, chart: s.chart[chart], view: &fleetv1.Instance{InstanceId: id, Name: id, HostId: host, ChartName: chart}}
	if _, err := i.start(scxml.Input{Now: time.Now()}, nil); err != nil {
		s.t.Fatal(err)
	}
	i.ip = slow{i.ip}
	if i.ip.Finished() != nil {
		i.book.Ended = time.Now().Add(-time.Hour)
	}
	if host != "" {
		h := shard.host(host)
		h.conn, h.consumed = &worldConn{closed: make(chan struct{})}, true
	}
	s.of[id], shard.instances[id] = i.chart, i
}

// begin starts a worker and gives it shards, in their order; what is posted after
// them waits until the shards are taken in.
func (s *storm) begin(shards ...*Shard) {
	s.worker = NewWorker(Config{Store: s.store, Dispatcher: s, Log: slog.New(slog.DiscardHandler), Retain: time.Minute, Lost: func(l Loss) { s.t.Error("lost", l) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.worker.Run(ctx)
	}()
	s.end = func() { cancel(); <-done }
	s.lives++
	for _, shard := range shards {
		s.post(&Adopt{Shard: shard})
	}
}

func (s *storm) post(in Input) {
	if err := s.worker.Post(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
}

// ask gives an event to an instance and waits a while for the answer.
func (s *storm) ask(instance, event string) error {
	answered := make(chan error, 1)
	s.post(&Request{Instance: instance, Event: event, ID: fmt.Sprint(instance, event, time.Now()), Reply: func(_ proto.Message, err error) { answered <- err }})
	select {
	case err := <-answered:
		return err
	case <-time.After(20 * stepping):
		return errors.New("no answer")
	}
}

// fired counts the delayed sends of an instance that have fired, as far as stored.
func (s *storm) fired(id string) (n int) {
	_, log := s.store.Instance(ShardOfInstance(id), id)
	for _, e := range log {
		if e.GetOrigin() == "timer" {
			n++
		}
	}
	return n
}

// A chart whose delays are shorter than its steps has a delayed send that is due
// whenever one is looked for. It takes what time there is, and keeps nobody waiting:
// not events and timers of other instances, free or hosted, not what is done once a
// second, not its own removal, not the shards and hosts of a worker that begins.
func TestAStormOfTimersStarvesNobody(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "h1"} { // of the storm
		t.Run("host "+host, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stormy := "storm"
				if host != "" {
					stormy = HostedID("storm", host)
				}
				s := newStorm(t)
				a, b, c := s.shard(ShardOfInstance(stormy)), s.shard(ShardOf("calm")), s.shard(ShardOf("h2"))
				s.add(a, stormy, host, "storm")
				s.add(b, "calm", "", "calm")
				s.add(c, "calm@h2", "h2", "calm")
				s.add(b, "ended", "", "ended")
				s.begin(a, b, c)
				check := func() {
					t.Helper()
					fired := s.fired("calm")
					if err := s.ask("calm", "ask"); err != nil {
						t.Errorf("an event for another instance: %v", err)
					}
					time.Sleep(40 * stepping) // virtual
					if n := s.fired("calm") - fired; n == 0 {
						t.Error("the timer of another free instance does not fire")
					}
				}
				check()
				if s.fired("calm@h2") != 1 {
					t.Error("the timer of another hosted instance does not fire")
				}
				if n := s.fired(stormy); n < 20 {
					t.Errorf("the storm has fired %d times, want it to go on", n)
				}
				time.Sleep(2 * time.Second) // virtual; it is looked for once a second
				if i, _ := s.store.Instance(ShardOf("calm"), "ended"); i != nil || b.instances["ended"] != nil {
					t.Error("an instance that ended long ago is not forgotten")
				}
				s.end()

				a, b = s.shard(a.number), s.shard(b.number)
				s.begin(a, b, s.shard(ShardOf("h3")))
				defer func() { s.end() }()
				s.post(&HostJoined{Conn: &worldConn{closed: make(chan struct{})}, Hello: &agentv1.Hello{HostId: "h3", JournalId: "j", Engine: &agentv1.Engine{EngineId: "e"}}})
				select {
				case <-s.welcomed:
				case <-time.After(20 * stepping):
					t.Error("an agent that connects gets no welcome")
				}
				check()
				if host != "" {
					return
				}
				if err := s.ask(stormy, "system.remove"); err != nil {
					t.Errorf("its removal: %v", err)
				}
				if i, _ := s.store.Instance(a.number, stormy); i != nil {
					t.Error("the storm was removed and is still there")
				}
			})
		})
	}
}

// A delayed send that causes more than one input may cause is cut off; those behind it
// fire all the same.
func TestTimersGoOnAfterOneThatIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStorm(t)
		shard := s.shard(ShardOf("endless"))
		s.add(shard, "endless", "", "endless")
		s.begin(shard)
		defer s.end()
		time.Sleep(time.Second) // virtual
		if n := s.fired("endless"); n != 2 {
			t.Errorf("%d of 2 delayed sends fired", n)
		}
	})
}
