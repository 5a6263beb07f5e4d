// SPDX-License-Identifier: AGPL-3.0-or-later

// Package blob names and packs bodies: their name is their SHA-256, and what
// is stored is compressed with zstd unless that makes it longer. All functions
// are pure and safe for concurrent use.
package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// First byte of a packed body.
const (
	plain      = 0
	compressed = 1
)

// worthwhile is the shortest body that is compressed: a shorter one fits a
// block anyway.
const worthwhile = 128

var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	// A body unpacks to at most the bound on bodies; this leaves slack and
	// keeps a forged one from taking all memory.
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(128<<20))
)

// Sum is the name of body: its SHA-256 in lower-case hex.
func Sum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Pack makes of body what is stored.
func Pack(body []byte) []byte {
	if len(body) >= worthwhile {
		if p := encoder.EncodeAll(body, []byte{compressed}); len(p) < len(body) {
			return p
		}
	}
	return append([]byte{plain}, body...)
}

// Unpack makes a body of what Pack made, and checks that it is the one named
// sum, so that a damaged store never gives an application a damaged state.
func Unpack(packed []byte, sum string) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errors.New("unpack body: empty")
	}
	body := packed[1:]
	switch packed[0] {
	case plain:
	case compressed:
		var err error
		if body, err = decoder.DecodeAll(body, nil); err != nil {
			return nil, fmt.Errorf("unpack body %s: %w", sum, err)
		}
	default:
		return nil, fmt.Errorf("unpack body %s: unknown form %d", sum, packed[0])
	}
	if Sum(body) != sum {
		return nil, fmt.Errorf("unpack body %s: content differs from its name", sum)
	}
	return body, nil
}
