// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"context"
	"sync"
	"time"
)

// sweepEvery is how often instances are looked at that may be forgotten.
const sweepEvery = time.Minute

// observedKept is how long the row of a container is kept that was only
// observed: a successor could not be given anything of it, so it stays for a
// look at its log and no longer.
const observedKept = 10 * time.Minute

// drainTime is how long a worker that ends waits for the write in hand.
const drainTime = 2 * time.Second

// open starts what Run needs; the function it gives ends it: the write in hand
// is waited for, for a while, and let out.
func (w *Worker) open(ctx context.Context) func() {
	w.alarm = time.NewTimer(time.Hour)
	w.ticker = time.NewTicker(time.Second)
	// The writer outlives ctx, so that the outcome of the last write is known.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	writer.Go(func() { w.write(writing) })
	writer.Go(func() { w.watch.run(writing.Done()) })
	return func() {
		if w.writing != nil {
			last, cancel := context.WithTimeout(writing, drainTime)
			if done, _ := w.Commit(last, newBatch()); done != nil {
				w.Dispatch(done)
			}
			cancel()
		}
		stop()
		writer.Wait()
		w.alarm.Stop()
		w.ticker.Stop()
		for _, s := range w.shards {
			w.down(s, Unavailable("shutting down"))
		}
		close(w.gone)
		w.refuseInbox()
	}
}

// refuseInbox tells whoever waits that nothing comes any more.
func (w *Worker) refuseInbox() {
	for {
		select {
		case in := <-w.inbox:
			in.refused(Unavailable("shutting down"))
		default:
			return
		}
	}
}

// next gives the next input to step, waiting for one if need be; not ok means
// that the batch should go to the writer, that a write has ended, or that ctx
// has.
//
// A due timer comes before what is queued, for it is to be on time, but never two
// of them: a chart whose delays are shorter than its steps always has one that is
// due. After each the inbox, the ticker and the writer have their turn.
func (w *Worker) next(ctx context.Context, b *Batch) (Input, bool) {
	for {
		if w.writing != nil && w.written == nil {
			select {
			case w.written = <-w.results:
			default:
			}
		}
		if w.written != nil || ctx.Err() != nil {
			return nil, false
		}
		now := time.Now()
		fired := w.fired
		if !fired {
			if in, ok := w.due(now); ok {
				w.fired = true
				return in, true
			}
		}
		w.fired = false
		select {
		case in := <-w.inbox:
			w.took()
			return in, true
		case at := <-w.ticker.C:
			return &tick{at: at}, true
		default:
		}
		if w.writing == nil && !b.empty() {
			return nil, false
		}
		if fired {
			continue // nobody else has anything: timers again
		}
		w.alarm.Reset(w.untilDue(now))
		select {
		case in := <-w.inbox:
			w.took()
			return in, true
		case w.written = <-w.results:
			return nil, false
		case at := <-w.ticker.C:
			return &tick{at: at}, true
		case <-w.alarm.C:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// took counts an input that a due timer yields to.
func (w *Worker) took() {
	if w.yield > 0 {
		w.yield--
	}
}

// due is a timer that is to fire now: the one that has waited longest. That of a
// hosted instance yields to what is queued when it becomes due.
func (w *Worker) due(now time.Time) (Input, bool) {
	index := &w.free
	t, ok := w.free.Due(now)
	held, late := w.held.Due(now)
	switch {
	case !late:
		w.yield = -1
	case w.yield < 0:
		w.yield = len(w.inbox)
	}
	if late && (w.yield == 0 || len(w.inbox) == 0) && (!ok || held.Due.Before(t.Due)) {
		index, t, ok = &w.held, held, true
		w.yield = -1
	}
	if !ok {
		return nil, false
	}
	index.Remove(t.Key) // comes back with the step
	return &timer{at: ShardOfInstance(t.Key), instance: t.Key, number: t.Number}, true
}

// untilDue is how long the worker may sleep.
func (w *Worker) untilDue(now time.Time) time.Duration {
	wait := time.Hour
	if t, ok := w.free.Next(); ok {
		wait = min(wait, t.Due.Sub(now))
	}
	if t, ok := w.held.Next(); ok {
		wait = min(wait, t.Due.Sub(now))
	}
	return max(wait, 0)
}

// fire does a due delayed send.
func (w *Worker) fire(s *Shard, b *Batch, in *timer, now time.Time) {
	i, ok := s.instances[in.instance]
	if !ok || i.hosted() && !s.ready(i.view.GetHostId()) {
		return
	}
	i.fired = now
	w.turn(s, b, i, now, "").run(stimulus{origin: "timer", fire: in.number})
}

// adopt takes a loaded shard in. Agents are away until they connect; events
// for other instances go again.
func (w *Worker) adopt(b *Batch, s *Shard, now time.Time) {
	if old, ok := w.shards[s.number]; ok {
		w.down(old, Unavailable("shard %d is loaded again", s.number))
	}
	// Steps of the life before, perhaps of a shard that was given up meanwhile: this
	// one was acquired under another nonce, and a write has one group a shard.
	if g, ok := b.byShard[s.number]; ok {
		g.drop(Unavailable("shard %d is loaded again", s.number))
	}
	w.shards[s.number] = s
	s.free, s.held, s.missing = &w.free, &w.held, w.missing
	s.loaded(b)
	for _, h := range s.hosts {
		if h.view.GetConnected() {
			w.away(s, b, h, now)
		}
	}
	for _, i := range s.instances {
		s.schedule(i)
	}
	s.resend(func() *group { return b.group(s) }, now)
}

// drop gives a shard up.
func (w *Worker) drop(number uint32) {
	if s, ok := w.shards[number]; ok {
		w.down(s, Unavailable("shard %d is not owned here now", number))
	}
}

// down takes a shard out of the worker. Its agents connect again, perhaps
// elsewhere.
func (w *Worker) down(s *Shard, why error) {
	delete(w.shards, s.number)
	if s.free != nil {
		s.unschedule()
	}
	for _, h := range s.hosts {
		if h.conn != nil {
			h.conn.Close(why.Error())
		}
	}
}

// suspect remembers the bodies that a refused group needed, so that the same
// snapshot does not stop the shard again.
func (w *Worker) suspect(g *group) {
	for _, st := range g.message.GetSteps() {
		given := map[string]bool{}
		for _, blob := range st.GetBlobs() {
			given[blob.GetSha256()] = true
		}
		for _, sha := range st.GetBlobAdd() {
			if !given[sha] {
				w.missing[sha] = true
			}
		}
	}
}

// second does what has to be done now and then.
func (w *Worker) second(b *Batch, now time.Time) {
	sweep := now.Sub(w.swept) >= sweepEvery
	if sweep {
		w.swept = now
	}
	for _, s := range w.shards {
		s.answers.forget(now)
		if len(s.relays) > 0 {
			s.resend(func() *group { return b.group(s) }, now)
		}
		if sweep {
			w.sweep(s, b, now)
		}
	}
}

// sweep forgets what was kept long enough.
func (w *Worker) sweep(s *Shard, b *Batch, now time.Time) {
	if w.retain < 0 {
		return
	}
	for _, i := range s.instances {
		over := i.hosted() && i.forgettable() || !i.hosted() && i.ip.Finished() != nil
		if over && !i.book.Ended.IsZero() && now.Sub(i.book.Ended) > w.kept(i) && !b.full() {
			w.turn(s, b, i, now, "").forget()
		}
	}
}

// kept is how long an instance is kept after its end.
func (w *Worker) kept(i *Instance) time.Duration {
	if i.hosted() && !i.view.GetManaged() && len(i.view.GetSnapshots()) == 0 {
		return min(w.retain, observedKept)
	}
	return w.retain
}
