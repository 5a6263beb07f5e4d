// SPDX-License-Identifier: AGPL-3.0-or-later

package session

// An older copy of the store is found out when an agent returns that has seen more.
// Until then events are accepted under numbers that the application may know as
// those of events that are lost, and the shard may be loaded again: always so when
// the agent has seen a higher epoch. A load takes everything that it finds for
// known to the application, and would take these events for it, too. So what was
// known before they came is remembered over loads until the agent has told
// everything.

// unheard is what was known in a shard of hosts whose agents were not heard out
// since.
type unheard struct {
	loaded map[string]uint64 // by host
	known  map[string]uint64 // by instance
}

// remember keeps what a shard that goes down knows of hosts that are not heard out.
func (w *Worker) remember(s *Shard) {
	u := unheard{loaded: map[string]uint64{}, known: map[string]uint64{}}
	for id, h := range s.hosts {
		switch {
		case !h.recovered:
			u.loaded[id] = h.loaded
		case h.relisting:
			u.loaded[id] = 0 // it has to tell everything again
		default:
			continue
		}
		for _, i := range s.on(id) {
			u.known[i.id] = i.known
		}
	}
	w.unheard[s.number] = u
}

// recall gives a shard that was loaded what was known before.
func (w *Worker) recall(s *Shard) {
	u := w.unheard[s.number]
	delete(w.unheard, s.number)
	for id, h := range s.hosts {
		h.loaded = s.fence.Group
		if loaded, ok := u.loaded[id]; ok {
			h.loaded = min(h.loaded, loaded)
		}
	}
	for id, known := range u.known {
		if i, ok := s.instances[id]; ok {
			i.known = min(i.known, known)
		}
	}
}
