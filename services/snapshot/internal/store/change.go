// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Changes lists what readers see of a group, in order.
func (g *Group) Changes() []Change {
	out := make([]Change, 0, len(g.Steps)+len(g.Hosts))
	for i := range g.Steps {
		s := &g.Steps[i]
		if s.Remove {
			out = append(out, Change{Kind: InstanceRemoved, ID: s.Instance})
			continue
		}
		c := Change{Kind: InstanceChanged, ID: s.Instance, View: s.Record.View}
		for _, l := range s.Log {
			c.Log = append(c.Log, l.Body)
		}
		out = append(out, c)
	}
	for _, h := range g.Hosts {
		out = append(out, Change{Kind: HostChanged, ID: h.ID, View: h.Body})
	}
	return out
}

// Both are safe for concurrent use and never fail without options in error.
var (
	changeEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	changeDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(256<<20))
)

// EncodeChanges packs changes for the change log. Views of one chart are much
// alike, so a group shrinks to a fraction.
func EncodeChanges(changes []Change) []byte {
	n := 16
	for i := range changes {
		n += len(changes[i].View) + 64
		for _, l := range changes[i].Log {
			n += len(l) + 4
		}
	}
	b := make([]byte, 0, n)
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for i := range changes {
		c := &changes[i]
		b = append(b, byte(c.Kind))
		b = appendBytes(b, []byte(c.ID))
		b = appendBytes(b, c.View)
		b = binary.AppendUvarint(b, uint64(len(c.Log)))
		for _, l := range c.Log {
			b = appendBytes(b, l)
		}
	}
	return changeEncoder.EncodeAll(b, make([]byte, 0, len(b)/2+64))
}

// DecodeChanges unpacks what EncodeChanges made.
func DecodeChanges(packed []byte) ([]Change, error) {
	b, err := changeDecoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("decode changes: %w", err)
	}
	r := reader{b: b}
	changes := make([]Change, 0, min(r.num(), uint64(len(b))))
	for n := cap(changes); n > 0 && !r.bad; n-- {
		c := Change{Kind: Kind(r.byte()), ID: string(r.bytes()), View: r.bytes()}
		if c.Kind == InstanceRemoved {
			c.View = nil
		}
		for k := r.num(); k > 0 && !r.bad; k-- {
			c.Log = append(c.Log, r.bytes())
		}
		changes = append(changes, c)
	}
	if r.bad {
		return nil, errors.New("decode changes: truncated")
	}
	return changes, nil
}

// AppendRecord packs the parts of a record that only its owner reads.
func AppendRecord(b []byte, r *Record) []byte {
	return append(appendBytes(b, r.Session), r.State...)
}

// ParseRecord unpacks what AppendRecord made into r.
func ParseRecord(b []byte, r *Record) error {
	rd := reader{b: b}
	r.Session = rd.bytes()
	if rd.bad {
		return errors.New("record: truncated")
	}
	r.State = rd.b
	return nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// reader reads what appendBytes wrote; after bad everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) num() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.num()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}
