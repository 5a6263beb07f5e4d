// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"encoding/json"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

const (
	// gapsKept bounds the gaps of a host that are shown.
	gapsKept = 20
	// relistPatience is how long commands wait for an agent to have listed
	// everything anew, once its journal is taken in, before they go all the same.
	relistPatience = 15 * time.Second

	reasonAway    = "agent was not connected"
	reasonJournal = "new journal"
	reasonTrimmed = "journal was trimmed"
)

// Observations about a host itself.
const (
	// relisted says that everything the engine has was listed and journaled.
	relisted = "host.relisted"
	// missed says that the agent may have missed something.
	missed = "agent.gap"
)

// host is a host in memory.
type host struct {
	view *fleetv1.Host // copied into every group that changes it
	conn Conn          // nil while its agent is away
	// head is what hello said that the journal reaches to.
	head uint64
	// inventory is what hello listed, by container id, until the journal is
	// taken in up to head; nil after that, or when it was not complete.
	inventory map[string]bool
	// sameEngine says that hello named no other engine than the one before.
	sameEngine bool
	// consumed says that the journal was taken in up to head.
	consumed bool
	// relisting says that nothing is commanded yet; since tells from when the agent
	// had nothing else to tell.
	relisting bool
	since     time.Time
	// unheard is the first group since which the agent has not told everything that
	// it knows; 0 once it has.
	unheard uint64
}

// ready says whether the timers of a host's instances may fire.
func (s *Shard) ready(hostID string) bool {
	h := s.hosts[hostID]
	return h != nil && h.conn != nil && h.consumed && !h.relisting
}

func (s *Shard) host(id string) *host {
	h, ok := s.hosts[id]
	if !ok {
		h = &host{view: &fleetv1.Host{HostId: id}, unheard: 1}
		s.hosts[id] = h
	}
	return h
}

// join takes an agent's stream in.
func (w *Worker) join(s *Shard, b *Batch, j *HostJoined, now time.Time) {
	g, hello := b.group(s), j.Hello
	h, m := s.host(hello.GetHostId()), s.mark(hello.GetHostId())
	relist, ok := w.compare(s, h, j)
	if !ok {
		return
	}
	s.seenBefore(b, h, hello.GetFence().GetNonce())
	if h.conn != nil && h.conn != j.Conn {
		h.conn.Close("the agent opened another stream")
	}
	switch first := max(hello.GetFirstSequence(), 1); {
	case m.GetIncarnation() != hello.GetJournalId():
		if m.GetIncarnation() != "" {
			h.gap(h.view.GetLastSeenTime().AsTime(), now, reasonJournal)
		}
		relist = relist || first > 1
		m.Incarnation, m.Sequence = hello.GetJournalId(), first-1
	case first > m.GetSequence()+1:
		h.gap(h.view.GetLastSeenTime().AsTime(), now, reasonTrimmed)
		relist = true
		m.Sequence = first - 1
	}
	v, engine := h.view, hello.GetEngine()
	sameEngine := engine != nil && (v.GetEngineId() == "" || v.GetEngineId() == engine.GetEngineId())
	v.DisplayName, v.AgentVersion, v.Platform = hello.GetDisplayName(), hello.GetAgentVersion(), hello.GetPlatform()
	v.JournalId, v.JournalSequence = m.GetIncarnation(), m.GetSequence()
	v.Findings = hello.GetFindings()
	v.Connected = true
	h.heard(now, engine != nil)
	if engine != nil {
		v.EngineId, v.EngineVersion, v.EngineApiVersion = engine.GetEngineId(), engine.GetVersion(), engine.GetApiVersion()
	}
	h.conn, h.head, h.consumed = j.Conn, hello.GetLastSequence(), false
	if h.relisting = relist; relist {
		s.unheardSince(b, h, 1) // until it has, also for whoever loads the shard meanwhile
	} else {
		s.heard(b, h)
	}
	for _, i := range s.on(v.GetHostId()) {
		i.reached = nil // told again, where it matters
	}
	h.inventory, h.sameEngine = nil, sameEngine
	if engine != nil {
		h.inventory = make(map[string]bool, len(hello.GetInventory()))
		for _, c := range hello.GetInventory() {
			h.inventory[c.GetContainerId()] = true
		}
	}
	g.hosts[v.GetHostId()], g.marks[m.GetSource()] = true, true
	b.steps++
	welcome := &Welcome{Host: v.GetHostId(), Conn: j.Conn, Message: &agentv1.Welcome{AcknowledgedSequence: m.GetSequence(), Relist: relist}}
	if !relist {
		welcome.Commands = s.commands(v.GetHostId(), &w.bodies)
	}
	g.then(welcome)
	w.caughtUp(s, b, h, now)
}

// compare compares the fence that the agent has seen with the shard's. When the
// store is behind (it was rolled back), the agent lists everything anew; when
// the epoch is behind too, the shard first needs a higher one, and the agent
// is asked to come back.
func (w *Worker) compare(s *Shard, h *host, j *HostJoined) (relist, ok bool) {
	seen := j.Hello.GetFence()
	if seen.GetEpoch() > s.fence.Epoch || seen.GetEpoch() == s.fence.Epoch && seen != nil && seen.GetNonce() != s.fence.Nonce {
		w.log.Warn("the store is behind an agent; recovering", "host", j.Hello.GetHostId(), "shard", s.number, "fence", s.fence.String(), "seen", seen.String())
		err := Unavailable("the store is older than the agent; the shard is taken over anew")
		w.down(s, err)
		j.refused(err)
		w.lost(Loss{Shard: s.number, Above: seen.GetEpoch()})
		return false, false
	}
	// What was committed since the agent was heard does not make up for what the
	// store has lost before.
	behind := seen.GetEpoch() < s.fence.Epoch && seen.GetCommitSequence() >= h.unheard
	return h.unheard != 0 && (s.recovering || behind) || h.relisting, true
}

// caughtUp makes a host ready once its journal is taken in up to where it was
// when the agent connected: containers that are gone are told to their charts,
// and held timers may fire.
func (w *Worker) caughtUp(s *Shard, b *Batch, h *host, now time.Time) {
	id := h.view.GetHostId()
	if h.conn == nil || h.consumed || s.mark(id).GetSequence() < h.head {
		return
	}
	h.consumed, h.since = true, now
	h.closeGap(now)
	b.group(s).hosts[id] = true
	inventory := h.inventory
	h.inventory = nil
	for _, i := range s.on(id) {
		if c := i.container(); inventory != nil && c != "" && !inventory[c] && h.had(i) {
			w.turn(s, b, i, now, "").vanished(c)
		}
	}
	s.resume(b.group(s), id)
}

// had reports whether the engine that answers on the host is the one that had the
// container of an instance: only then absence means destroyed.
func (h *host) had(i *Instance) bool {
	if e := i.view.GetTarget().GetEngineId(); e != "" {
		return e == h.view.GetEngineId()
	}
	return h.sameEngine
}

// vanished tells the chart that its container is gone, though nobody saw it go.
func (t *turn) vanished(container string) {
	v := t.instance.view
	t.run(stimulus{origin: "observation", event: "docker.destroy", inferred: true, data: map[string]any{
		"containerId": container, "name": v.GetName(), "image": v.GetTarget().GetImage(),
		"time": t.now.UTC().Format(time.RFC3339Nano), "inferred": true, "commandId": "",
	}})
	t.destroyed(container)
}

// heard notes when the agent was heard of, and whether its engine answers it.
func (h *host) heard(now time.Time, engine bool) {
	h.view.LastSeenTime, h.view.EngineReachable = stamp(now), engine
	if engine {
		h.view.EngineSeenTime = h.view.LastSeenTime
	}
}

// seen notes that an agent's stream lives.
func (w *Worker) seen(s *Shard, b *Batch, in *HostSeen, now time.Time) {
	h := s.hosts[in.Host]
	if h == nil || h.conn != in.Conn {
		return
	}
	h.heard(now, in.EngineReachable)
	b.group(s).hosts[in.Host] = true
	b.steps++
	if h.relisting && h.consumed && now.Sub(h.since) >= relistPatience {
		w.listed(s, b, h)
	}
}

// listed ends the recovery of a host: commands go again.
func (w *Worker) listed(s *Shard, b *Batch, h *host) {
	if !h.relisting {
		return
	}
	h.relisting = false
	s.heard(b, h)
	id := h.view.GetHostId()
	for _, c := range s.commands(id, &w.bodies) {
		b.group(s).then(&Command{Host: id, Command: c})
	}
	s.resume(b.group(s), id)
}

// observeHost takes in an observation about the host itself.
func (w *Worker) observeHost(s *Shard, b *Batch, h *host, f *agentv1.Observation, now time.Time) {
	switch f.GetEvent() {
	case relisted:
		if f.GetSequence() > h.head { // else of an earlier time
			w.listed(s, b, h)
		}
	case missed:
		// A gap without times, such as of a journal that was full, is a moment.
		g := struct {
			From, To time.Time
			Reason   string
		}{From: f.GetTime().AsTime(), To: f.GetTime().AsTime()}
		if err := json.Unmarshal(f.GetDataJson(), &g); err != nil {
			w.log.Warn("gap is not understood", "host", h.view.GetHostId(), "err", err)
		}
		h.gap(g.From, g.To, g.Reason)
		b.group(s).hosts[h.view.GetHostId()] = true
	}
}

// left notes that an agent's stream ended.
func (w *Worker) left(s *Shard, b *Batch, in *HostLeft, now time.Time) {
	if h := s.hosts[in.Host]; h != nil && h.conn == in.Conn {
		w.away(s, b, h, now)
	}
}

// away holds the timers of a host and opens a gap.
func (w *Worker) away(s *Shard, b *Batch, h *host, now time.Time) {
	h.conn, h.consumed, h.inventory = nil, false, nil
	if h.view.GetConnected() {
		h.view.Connected = false
		from := h.view.GetLastSeenTime().AsTime()
		if h.view.GetLastSeenTime() == nil {
			from = now
		}
		h.gap(from, time.Time{}, reasonAway)
	}
	b.group(s).hosts[h.view.GetHostId()] = true
	b.steps++
	for _, i := range s.on(h.view.GetHostId()) {
		s.schedule(i)
	}
}

// finding adds something wrong with a host.
func (w *Worker) finding(s *Shard, b *Batch, in *HostFinding) {
	h := s.host(in.Host)
	for _, f := range h.view.GetFindings() {
		if proto.Equal(f, in.Finding) {
			return
		}
	}
	h.view.Findings = append(slices.Clone(h.view.GetFindings()), in.Finding)
	b.group(s).hosts[in.Host] = true
	b.steps++
}

// gap notes a time in which observations may have been missed; a zero to
// leaves it open.
func (h *host) gap(from, to time.Time, reason string) {
	if to.IsZero() {
		h.closeGap(from) // one open gap at most
	}
	gaps := append([]*fleetv1.Gap{{FromTime: stamp(from), ToTime: stamp(to), Reason: reason}}, h.view.GetGaps()...)
	h.view.Gaps = gaps[:min(len(gaps), gapsKept)]
}

// closeGap ends the open gap, if there is one.
func (h *host) closeGap(at time.Time) {
	for k, g := range h.view.GetGaps() {
		if g.GetToTime() == nil {
			h.view.Gaps = slices.Clone(h.view.GetGaps())
			h.view.Gaps[k] = &fleetv1.Gap{FromTime: g.GetFromTime(), ToTime: stamp(at), Reason: g.GetReason()}
		}
	}
}
