// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import "slices"

// An older copy of the store is found out when an agent returns that has seen more.
// Until then events are accepted under numbers that the application may know as
// those of events that are lost, and the shard may be loaded again, here or by another
// process: always so when the agent has seen a higher epoch. A load takes everything
// that it finds for known to the application, and would take these events for it, too.
//
//	 the store's      accepted before the agent was heard
//	──────────────┬───────────────────────────────────────▶
//	              └ host.unheard, bookkeeping.News
//
// So both are committed: with the shard the group since which a host was not heard,
// in a mark of its own, and with the events the numbers from which on they are news.

// unheardSource is the source of the mark for a host.
func unheardSource(hostID string) string { return "unheard/" + hostID }

// unheardSince notes since which group a host is not heard; 0 says that it is.
func (s *Shard) unheardSince(b *Batch, h *host, group uint64) {
	m := s.mark(unheardSource(h.view.GetHostId()))
	h.unheard, m.Sequence = group, group
	b.group(s).marks[m.GetSource()] = true
	b.steps++
}

// loaded notes of the hosts of a shard that their agents were not heard since: not
// since this load, or not since one before it.
func (s *Shard) loaded(b *Batch) {
	for _, h := range s.hosts {
		switch {
		case s.recovering:
			s.unheardSince(b, h, 1)
		case h.unheard == 0:
			s.unheardSince(b, h, s.fence.Group+1)
		}
	}
}

// heard notes that the agent of a host has told everything that it knows.
func (s *Shard) heard(b *Batch, h *host) {
	s.unheardSince(b, h, 0)
	for _, i := range s.on(h.view.GetHostId()) {
		if len(i.book.News) > 0 {
			i.book.News = nil
			b.group(s).step(i)
		}
	}
}

// news are events from a number on that were accepted while the agent was not heard.
type news struct {
	From uint64 `json:"from"`
	// Owner is the nonce under which they were; empty for several.
	Owner string `json:"owner,omitempty"`
}

// newsKept bounds the owners that are told apart.
const newsKept = 8

// news notes an event that is accepted, or numbered anew, before the agent was heard.
func (t *turn) news(sequence uint64) {
	i, owner := t.instance, t.shard.fence.Nonce
	if h := t.shard.hosts[i.view.GetHostId()]; !i.hosted() || h != nil && h.unheard == 0 {
		return
	}
	n := i.book.News
	if len(n) > 0 && n[len(n)-1].Owner == owner {
		return
	}
	if len(n) == newsKept {
		n = append([]news{{From: n[0].From}}, n[2:]...)
	}
	i.book.News = append(slices.Clip(n), news{From: sequence, Owner: owner})
}

// seenBefore takes in under which owner an agent was heard last. When that is one under
// which news were accepted, the store is a copy from before it was heard: these events
// are not lost, and have the numbers that the application knows them by. Only what was
// accepted under other owners since is news.
func (s *Shard) seenBefore(b *Batch, h *host, owner string) {
	if h.unheard <= 1 || owner == "" {
		return // that owner had not heard it out
	}
	for _, i := range s.on(h.view.GetHostId()) {
		if k := slices.IndexFunc(i.book.News, func(n news) bool { return n.Owner == owner }); k >= 0 {
			i.book.News = i.book.News[k+1:]
			i.known = i.book.known()
			b.group(s).step(i)
		}
	}
}

// known is the newest event that is no news.
func (k *bookkeeping) known() uint64 {
	if len(k.News) > 0 {
		return k.News[0].From - 1
	}
	return k.Accepted
}
