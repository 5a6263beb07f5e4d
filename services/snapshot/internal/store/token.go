// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"encoding/binary"
	"fmt"
)

// Position is a place in the changes of a shard. The zero value is before the
// first.
type Position struct {
	// Sequence is the number of the group.
	Sequence uint64
	// Incarnation is the beginning of the group's digest. Two histories that
	// differ at or before a sequence differ here.
	Incarnation [8]byte
}

// Token says for every shard, and for the charts, what a reader has seen.
type Token [Shards + 1]Position

// tokenVersion starts every marshalled token.
const tokenVersion = 1

// Marshal packs t: only shards that have a history take space.
func (t *Token) Marshal() []byte {
	b := []byte{tokenVersion}
	for shard := range t {
		if p := &t[shard]; p.Sequence != 0 {
			b = binary.AppendUvarint(b, uint64(shard))
			b = binary.AppendUvarint(b, p.Sequence)
			b = append(b, p.Incarnation[:]...)
		}
	}
	return b
}

// ParseToken unpacks what Marshal made. Anything else is ErrReset: it is of
// another version or another store.
func ParseToken(b []byte) (*Token, error) {
	if len(b) == 0 || b[0] != tokenVersion {
		return nil, fmt.Errorf("parse token: %w", ErrReset)
	}
	var t Token
	r := reader{b: b[1:]}
	for len(r.b) > 0 {
		shard, seq := r.num(), r.num()
		if r.bad || shard >= uint64(len(t)) || seq == 0 || len(r.b) < 8 {
			return nil, fmt.Errorf("parse token: %w", ErrReset)
		}
		t[shard] = Position{Sequence: seq, Incarnation: [8]byte(r.b)}
		r.b = r.b[8:]
	}
	return &t, nil
}

// Resume checks that rows read from the change log go on from after without
// a gap, and returns those behind it. rows begin at after.Sequence, or at the
// oldest kept; a row at after's sequence must be the group that after names.
// An empty log goes on only from the beginning.
func Resume(rows []ChangeSet, after Position) ([]ChangeSet, error) {
	if after.Sequence == 0 {
		if len(rows) > 0 && rows[0].Position.Sequence != 1 {
			return nil, ErrReset
		}
		return rows, nil
	}
	if len(rows) == 0 || rows[0].Position != after {
		return nil, ErrReset
	}
	return rows[1:], nil
}
