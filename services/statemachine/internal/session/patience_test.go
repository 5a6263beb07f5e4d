// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// An outage of ours is not held against the target: the breaker opens over an event
// that the application had and did not answer, not over one that we still had.
func TestAnOutageOpensNoBreaker(t *testing.T) {
	t.Parallel()
	const outage, timeout = 5 * time.Second, 250 * time.Millisecond
	for name, tt := range map[string]struct {
		point string // where the worker dies; empty: the store hangs
		mute  bool   // the application does not answer
	}{
		"the store hangs":                       {},
		"the store hangs, no answer":            {mute: true},
		"killed after the commit":               {point: "after"},
		"killed after the commit, no answer":    {point: "after", mute: true},
		"killed before the dispatch":            {point: "dispatch"},
		"killed before the dispatch, no answer": {point: "dispatch", mute: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, nil)
				w.pause = outage
				before := w.store.Before
				var hang sync.Once
				w.store.Before = func(r *snapshotv1.CommitRequest) error {
					if tt.point == "" && delivers(r) {
						hang.Do(func() { time.Sleep(outage) }) // virtual
					}
					return before(r)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var life sync.WaitGroup
				life.Go(func() { w.live(ctx) })
				defer life.Wait()
				defer cancel()
				w.mu.Lock()
				w.say("docker.create", nil, func(o *agentv1.Observation) {
					o.Target = worldSpec()
					o.Target.OptionsJson = bytes.Replace(o.Target.GetOptionsJson(), []byte(`"timeout":600000`), []byte(`"timeout":250`), 1)
				})
				w.mu.Unlock()
				if _, err := w.ask("system.start", "start"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				w.mu.Lock()
				w.mute = tt.mute
				if tt.point != "" {
					w.faults = []fault{{point: tt.point, count: 1}}
				}
				w.mu.Unlock()
				if _, err := w.ask("count", "event"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(outage + time.Minute) // virtual

				w.mu.Lock()
				sent := w.sent
				w.mu.Unlock()
				var opened []time.Time
				_, log := w.store.Instance(ShardOf(worldHost), worldInstance)
				for _, e := range log {
					if e.GetEvent() == "breaker.timeout" {
						opened = append(opened, e.GetTime().AsTime())
					}
				}
				switch {
				case !tt.mute && len(opened) > 0:
					t.Errorf("the breaker opened %v after the event was sent, and the application had answered at once", opened[0].Sub(sent))
				case tt.mute && len(opened) == 0:
					t.Error("the breaker does not open over an application that does not answer")
				case tt.mute && opened[0].Sub(sent) != timeout:
					t.Errorf("the breaker opened %v after the event was sent, want %v", opened[0].Sub(sent), timeout)
				}
			})
		})
	}
}

// delivers says whether a write holds the command to deliver an event.
func delivers(r *snapshotv1.CommitRequest) bool {
	for _, g := range r.GetGroups() {
		for _, s := range g.GetSteps() {
			for _, row := range s.GetOutboxPut() {
				if row.GetCommand().GetVerb() == "deliver" {
					return true
				}
			}
		}
	}
	return false
}
