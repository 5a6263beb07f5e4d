// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

import "encoding/binary"

// Every key starts with what it is, then the shard in two bytes where it has
// one. Ids hold no NUL, so an id followed by NUL never runs into a longer one.
//
//	key                           value
//	m shard                       meta: fence, lease, last group
//	v shard instance              view
//	p shard instance              session snapshot and runtime state
//	g shard instance              what the log holds (store.LogState)
//	l shard instance 0 sequence   log entry
//	o shard instance 0 command    order (8 bytes), body
//	q shard instance 0 sequence   queue entry
//	b shard instance 0 sha256     how often the instance refers to it
//	k shard source                mark
//	h shard host                  body
//	x shard request               expiry in ms (8 bytes), body
//	X expiry shard request        nothing: finds x by expiry
//	c shard sequence              incarnation (8 bytes), changes; shard 256: charts
//	B sha256                      packed body
//	R sha256                      how often it is referred to, by all
//	F sha256                      ms of the last touch; only while R is not there
//	D digest 0 name               order (8 bytes), head with its length, document
const (
	kMeta       = 'm'
	kView       = 'v'
	kPrivate    = 'p'
	kLogState   = 'g'
	kLog        = 'l'
	kOutbox     = 'o'
	kQueue      = 'q'
	kReference  = 'b'
	kMark       = 'k'
	kHost       = 'h'
	kRequest    = 'x'
	kExpiry     = 'X'
	kChange     = 'c'
	kBlob       = 'B'
	kReferences = 'R'
	kFree       = 'F'
	kChart      = 'D'
)

// shardKey is the key of kind in shard for id, which may be empty.
func shardKey(kind byte, shard uint32, id string) []byte {
	b := make([]byte, 0, 3+len(id)+9)
	b = append(b, kind, byte(shard>>8), byte(shard))
	return append(b, id...)
}

// rowPrefix begins the keys of kind of an instance.
func rowPrefix(kind byte, shard uint32, instance string) []byte {
	return append(shardKey(kind, shard, instance), 0)
}

// seqKey is the key of kind of an instance for a sequence.
func seqKey(kind byte, shard uint32, instance string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(rowPrefix(kind, shard, instance), seq)
}

// changeKey is the key of a change of a shard.
func changeKey(shard uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(shardKey(kChange, shard, ""), seq)
}

// expiryKey is the key that finds a request by its expiry.
func expiryKey(expiry uint64, shard uint32, id string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{kExpiry}, expiry)
	b = append(b, byte(shard>>8), byte(shard))
	return append(b, id...)
}

// globalKey is the key of kind for id, in no shard.
func globalKey(kind byte, id string) []byte { return append([]byte{kind}, id...) }

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

func u64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
