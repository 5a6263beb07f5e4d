// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"strconv"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
)

// Lost says that the event stream has ended or overflown: a gap begins.
func (c *Core) Lost(now time.Time, reason string) {
	c.now = now
	if c.gapReason == "" || c.gapTold {
		c.gapFrom, c.gapReason, c.gapTold = c.lastSeen, reason, false
		if c.gapFrom.IsZero() {
			c.gapFrom = now
		}
	}
	c.listed = false
	// An answer from before may be of another engine.
	for _, k := range c.containers {
		k.doubt, k.doubtAt = false, time.Time{}
	}
}

// Connected says that a new session with the engine begins: what was asked in
// the one before will not be answered. From what the engine remembers follows which
// runs began under one that has ended.
func (c *Core) Connected(now time.Time, info engine.Info, memory engine.Memory) {
	c.now, c.lastCut = now, time.Time{}
	if c.engineID != info.ID {
		c.replace(now, info.ID)
	}
	for _, k := range c.containers {
		k.asking, k.wish = false, false
		if at, err := time.Parse(time.RFC3339Nano, k.told.StartedAt); err == nil && k.told.live() && !info.LiveRestore {
			// One that has much to remember may have forgotten its start. Then the silence
			// after a signal is what there is to go by.
			k.cut = memory.Lacks(k.id, at) || !memory.Whole && k.doubtful(c.now)
		}
		if len(k.held) > 0 || k.settling {
			c.ask(k)
		}
	}
}

// replace takes in that another engine answers. The containers of the one before are
// unknown, not destroyed: what was told of them is kept until it is back.
func (c *Core) replace(now time.Time, engineID string) {
	if c.engineID != "" {
		for _, k := range c.containers {
			c.park(k)
		}
		c.gapReason, c.gapTold = "another engine answers at this address", false
		c.gap(now)
	}
	for id, t := range c.parked {
		if t.Engine == engineID {
			delete(c.parked, id)
			c.containers[id] = restored(id, t)
			t.Engine = ""
			c.out = append(c.out, Out{Observation: journal.Observation{ContainerID: id}, Told: &t})
		}
	}
	c.engineID = engineID
	c.out = append(c.out, Out{EngineID: engineID})
}

// park puts a container aside until its engine is back, or forgets it when there are
// too many.
func (c *Core) park(k *container) {
	delete(c.containers, k.id)
	if !k.exists {
		return
	}
	out := Out{Observation: journal.Observation{ContainerID: k.id}}
	if len(c.parked) < rememberParked {
		t := k.told
		t.Engine = c.engineID
		c.parked[k.id], out.Told = t, &t
	}
	c.out = append(c.out, out)
}

// evidence is what is known of how the present run comes to its end.
type evidence struct {
	signals  []int
	stopSeen bool
	oomSeen  bool
	// asked is seq at the stop signal that no command of ours explains, 0 for none;
	// vouched is true once the engine that sent it has answered since, and lists
	// how many lists it has answered meanwhile.
	asked   uint64
	vouched bool
	lists   int
	// cut is true for a run that began under an engine that has ended, where no run
	// outlives its engine.
	cut bool
}

// doubtful reports whether it is open who wants the run to end: somebody who has
// asked the engine to stop it, or the engine that shuts down.
func (k *container) doubtful(now time.Time) bool {
	return k.asked != 0 && !k.vouched && !k.cut && k.idle(now)
}

// stops reports whether the signal of a kill event asks for the end of a run.
func (k *container) stops(ev engine.Event) bool {
	n, err := strconv.Atoi(ev.Attributes["signal"])
	return err == nil && (n == 15 || n == k.stopSignal)
}

// answered draws from an inspect what it says of who ends the run.
func (k *container) answered(a Ask, in engine.Container) {
	if k.cut && in.State.Live() && in.State.StartedAt == k.told.StartedAt {
		k.cut = false // It has outlived its engine after all.
	}
	k.vouched = k.vouched || k.asked != 0 && a.Token >= k.asked && !k.cut
}
