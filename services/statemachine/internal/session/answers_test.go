// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
)

// TestAnswersAreForgotten checks law 8 for what is known of requests: however
// many are answered, they are remembered for seconds and in bounded bytes; and
// law 2 all the same: one that was looked up before its answer was stored is
// sent to look again, never stepped.
func TestAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewShard(1, Fence{})
		now := time.Now()
		answered := func(id string, size int) {
			a := &answer{id: id, digest: []byte(id), size: size}
			s.answers.byID[id] = a
			s.answers.keep([]*answer{a}, time.Now())
		}
		look := func(id string, lookedUp time.Time) (known bool, err error) {
			g := &group{}
			known = s.repeated(g, id, lookedUp, []byte(id), nil)
			if known {
				err = g.effects[0].(*Answer).Err
			}
			return known, err
		}
		for n := range 1000 {
			answered(fmt.Sprint(n), answersBytes/100)
		}
		if s.answers.bytes > answersBytes || len(s.answers.byID) != 100 || len(s.answers.stored) != 100 {
			t.Errorf("%d answers of %d bytes are remembered, want 100 of at most %d", len(s.answers.byID), s.answers.bytes, answersBytes)
		}
		if known, err := look("999", now); !known || err != nil {
			t.Errorf("the newest: known %v, %v; want its answer", known, err)
		}
		if known, err := look("0", now); !known || !errors.Is(err, ErrLookUp) {
			t.Errorf("the oldest: known %v, %v; want ErrLookUp", known, err)
		}
		time.Sleep(answersTime / 2) // virtual
		answered("late", 1)
		between := time.Now()
		time.Sleep(answersTime/2 + time.Second) // virtual
		s.answers.forget(time.Now())
		if len(s.answers.byID) != 1 || s.answers.bytes != 1 {
			t.Errorf("%d answers are remembered after %v, want the late one", len(s.answers.byID), answersTime)
		}
		if known, _ := look("new", between); known {
			t.Error("a new id that was looked up after all that was forgotten was stored is not stepped")
		}
		if known, _ := look("made here", time.Time{}); known {
			t.Error("an id that nobody else can have is not stepped")
		}
	})
}

// TestReloadedShardAsksAgain checks that what an owner before has answered is
// not stepped again by a request that was looked up under that owner.
func TestReloadedShardAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lookedUp := time.Now()
		time.Sleep(time.Millisecond) // virtual
		w := newWorld(t, nil, nil)
		l := w.begin()
		defer func() { <-l.done; w.incoming.Wait() }()
		defer l.cancel()
		synctest.Wait()
		var got error
		request := &Request{Instance: worldInstance, Event: "count", ID: "r1", LookedUp: lookedUp, Reply: func(_ proto.Message, err error) { got = err }}
		if err := l.worker.Post(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(got, ErrLookUp) {
			t.Errorf("answer %v, want ErrLookUp", got)
		}
	})
}

// TestAnswersAreTheStores checks that a worker remembers nothing of requests
// that were answered a while ago, and that they are answered all the same.
func TestAnswersAreTheStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		l := w.begin()
		defer func() { <-l.done; w.incoming.Wait() }()
		defer l.cancel()
		w.mu.Lock()
		w.say("docker.create", nil, nil)
		w.facts[0].Target = worldSpec()
		w.mu.Unlock()
		if _, err := w.ask("system.start", "start"); err != nil {
			t.Fatal(err)
		}
		ask := func() {
			t.Helper()
			for n := range uint64(100) {
				if out, err := w.ask("count", fmt.Sprint("r", n)); err != nil || out.GetSequence() != n+1 {
					t.Fatalf("event %d: %v, %v", n+1, out, err)
				}
			}
		}
		ask()
		time.Sleep(answersTime + 2*time.Second) // virtual; it is looked for once a second
		synctest.Wait()
		if a := &l.worker.shards[ShardOf(worldHost)].answers; len(a.byID) != 0 || len(a.stored) != 0 || a.bytes != 0 {
			t.Errorf("%d answers of %d bytes are remembered, want none", len(a.byID), a.bytes)
		}
		ask()
		if got := w.view().GetQueue().GetAcceptedSequence(); got != 100 {
			t.Errorf("%d events accepted, want 100", got)
		}
	})
}
