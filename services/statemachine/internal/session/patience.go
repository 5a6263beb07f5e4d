// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// A delayed send that begins with a command is a patience: how long the chart waits
// for what its target does about it. The target cannot do anything about a command
// that is still with us, because its commit is being written or its agent is away.
// So these delays count from when the command has gone out:
//
//	 command made, delay begins      gone out            due
//	──────────┴──────────────────────────┴───── delay ────┴──▶
//	                 withheld
//
// When an agent is back its commands go again, and what its target had answered is
// taken in; who still waits then is patient anew. All this is in memory alone: with
// the worker ends the connection of the agent, too.

// withheld is what an instance waits for and has not gone out.
type withheld struct {
	// groups is how many groups that hold some of it are not dispatched yet.
	groups int
	// since is when the instance began to wait for the first of it.
	since time.Time
	// due is when the delayed sends are due that began meanwhile, by number.
	due map[uint64]time.Time
}

// withhold notes that the instance waits, since a time, for what goes out with the
// group.
func (g *group) withhold(i *Instance, since time.Time) {
	if i.withheld.groups == 0 || since.Before(i.withheld.since) {
		i.withheld.since = since
	}
	if !g.withheld[i] {
		g.withheld[i] = true
		i.withheld.groups++
	}
}

// release notes that everything in the group has gone out.
func (g *group) release(now time.Time) {
	for i := range g.withheld {
		i.withheld.groups--
		if i.withheld.groups > 0 || g.shard.instances[i.id] != i {
			continue
		}
		due := map[uint64]time.Time{}
		for _, d := range i.ip.Pending() {
			if i.patient(d) {
				due[d.Seq] = now.Add(d.Delay)
			} else if at, ok := i.withheld.due[d.Seq]; ok {
				due[d.Seq] = at
			}
		}
		i.withheld.due = due
		g.shard.schedule(i)
	}
}

// patient says whether a delayed send began while something was withheld, which
// still is or was until now.
func (i *Instance) patient(d scxml.Delayed) bool {
	return !d.Due.Add(-d.Delay).Before(i.withheld.since)
}

// next is the delayed send that fires first, with its time in Due; ok is false when
// there is none for now.
func (i *Instance) next() (next scxml.Delayed, ok bool) {
	for _, d := range i.ip.Pending() {
		if i.withheld.groups > 0 && i.patient(d) {
			continue
		}
		if at, moved := i.withheld.due[d.Seq]; moved {
			d.Due = at
		}
		if !ok || d.Due.Before(next.Due) {
			next, ok = d, true
		}
	}
	return next, ok
}

// waits says whether the instance waits for its target, and since when at the
// earliest.
func (i *Instance) waits() (since time.Time, ok bool) {
	for _, row := range i.outbox {
		if row.GetHostId() != "" && row.GetCommand().GetCommandId() != i.book.FlightCommand {
			return time.Time{}, true
		}
	}
	if k := i.firstAfter(i.book.Flight - 1); i.book.Flight != 0 && k < len(i.queue) {
		return i.queue[k].GetAcceptTime().AsTime(), true
	}
	return time.Time{}, false
}

// resume lets the timers of a host's instances fire once its journal is taken in.
// Its commands went again before, or go with the group.
func (s *Shard) resume(g *group, hostID string) {
	for _, i := range s.on(hostID) {
		if since, ok := i.waits(); ok && s.ready(hostID) {
			g.withhold(i, since)
		}
		s.schedule(i)
	}
}
