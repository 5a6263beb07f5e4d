// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import "sync"

// Hub spreads hints of new changes within the process. The zero value is
// ready. It is safe for concurrent use and never blocks: a hint is one bit a
// shard, so a slow reader costs nothing and misses nothing.
type Hub struct {
	mu   sync.Mutex
	subs map[*Hint]struct{}
}

// Hint collects the shards that have changes for one reader.
type Hint struct {
	hub *Hub
	c   chan struct{} // capacity 1; sent to by the hub, never closed

	mu    sync.Mutex
	dirty [(Shards + 1 + 63) / 64]uint64
	all   bool
}

// Subscribe starts collecting, with everything marked. Close it when done.
func (h *Hub) Subscribe() *Hint {
	s := &Hint{hub: h, c: make(chan struct{}, 1), all: true}
	s.c <- struct{}{}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[*Hint]struct{})
	}
	h.subs[s] = struct{}{}
	return s
}

// Mark hints at changes of shards.
func (h *Hub) Mark(shards ...uint32) {
	h.each(func(s *Hint) {
		for _, shard := range shards {
			s.dirty[shard/64] |= 1 << (shard % 64)
		}
	})
}

// MarkAll hints at changes anywhere, as after hints may have been lost.
func (h *Hub) MarkAll() { h.each(func(s *Hint) { s.all = true }) }

func (h *Hub) each(mark func(*Hint)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		s.mu.Lock()
		mark(s)
		s.mu.Unlock()
		select {
		case s.c <- struct{}{}:
		default: // the reader has not taken the last signal yet
		}
	}
}

// C signals that Take has something.
func (s *Hint) C() <-chan struct{} { return s.c }

// Take empties the hint: the shards marked, or all.
func (s *Hint) Take() (shards []uint32, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.all = s.all, false
	for i := range s.dirty {
		for bit := range uint32(64) {
			if s.dirty[i]&(1<<bit) != 0 {
				shards = append(shards, uint32(i)*64+bit)
			}
		}
		s.dirty[i] = 0
	}
	return shards, all
}

// Close ends the collecting.
func (s *Hint) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}
