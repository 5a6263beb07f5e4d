// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"context"
	"time"
)

// SetDown takes the engine away (streams end, calls fail, processes run on, as
// with live-restore) or brings it back.
func (f *Fake) SetDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
	if down {
		f.ring = nil
		f.breakStreams()
	}
}

// BeginShutdown does what an engine without live-restore does first when it is
// shut down: it answers nobody any more, and stops its containers. SetDown(true)
// ends it and SetDown(false) brings it back.
func (f *Fake) BeginShutdown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down, f.stops = true, true
	for _, c := range f.containers {
		if !c.state.Running {
			continue
		}
		f.signal(c, 15)
		if c.state.Running {
			f.signal(c, 9)
		}
		f.emit(c, "stop", nil)
	}
}

// Memory implements Engine.
func (f *Fake) Memory(ctx context.Context, until time.Time) (Memory, error) {
	if err := f.enter(ctx, "memory", ""); err != nil {
		return Memory{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := Memory{Whole: len(f.ring) < ringSize, Starts: map[string]time.Time{}}
	for _, ev := range f.ring {
		if ev.Action == "start" && !ev.Time.After(until) {
			m.Starts[ev.ContainerID] = ev.Time
		}
	}
	return m, nil
}
