// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import "encoding/binary"

// hardFactor times the retention is the most entries a log ever holds, for an
// instance whose log carries no session snapshots.
const hardFactor = 4

// LogState says what the log of an instance holds. The zero value is empty.
// redisstore keeps the same in its script.
type LogState struct {
	First, Last uint64   // sequences of the oldest and newest entry
	Cuts        []uint64 // sequences of entries with a session snapshot, ascending
}

// Append takes in an entry.
func (s *LogState) Append(l LogRow) {
	if s.First == 0 {
		s.First = l.Sequence
	}
	s.Last = l.Sequence
	if l.Snapshot {
		s.Cuts = append(s.Cuts, l.Sequence)
	}
}

// Cut answers the sequence that the log should begin with to keep at least
// retention entries, and takes that in. It is First when nothing is to go.
func (s *LogState) Cut(retention int) uint64 {
	keep := uint64(retention)
	for len(s.Cuts) > 0 && s.Last-s.Cuts[0]+1 >= keep {
		s.First = max(s.First, s.Cuts[0])
		if len(s.Cuts) > 1 && s.Last-s.Cuts[1]+1 >= keep {
			s.Cuts = s.Cuts[1:]
			continue
		}
		break
	}
	if s.Last-s.First+1 > hardFactor*keep {
		s.First = s.Last - keep + 1
	}
	for len(s.Cuts) > 0 && s.Cuts[0] < s.First {
		s.Cuts = s.Cuts[1:]
	}
	return s.First
}

// MarshalState packs s.
func (s *LogState) MarshalState() []byte {
	b := binary.AppendUvarint(nil, s.Last)
	b = binary.AppendUvarint(b, s.First)
	for _, c := range s.Cuts {
		b = binary.AppendUvarint(b, c)
	}
	return b
}

// ParseLogState unpacks what MarshalState made; nothing is an empty log.
func ParseLogState(b []byte) LogState {
	var s LogState
	r := reader{b: b}
	if len(b) == 0 {
		return s
	}
	s.Last, s.First = r.num(), r.num()
	for len(r.b) > 0 {
		s.Cuts = append(s.Cuts, r.num())
	}
	return s
}
