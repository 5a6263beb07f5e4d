// SPDX-License-Identifier: AGPL-3.0-or-later

package channel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// What a refused message is refused for; the part before the dot is what is lost.
const (
	// SnapshotTooLarge is a snapshot of more than MaxLine bytes, or of a file of
	// more than MaxFile.
	SnapshotTooLarge = "snapshot.too-large"
	// MessageTooLarge is another message of more than MaxLine bytes.
	MessageTooLarge = "message.too-large"
	// MessageUnknown is a line that is no message of the contract.
	MessageUnknown = "message.unknown"
)

// TooLargeError says that a snapshot is larger than it may be.
type TooLargeError struct {
	// What is too large, such as "its snapshot"; Holder is what has the limit.
	What, Holder string
	// Size is in bytes; of a line that did not end, as far as it was read.
	Size, Limit int64
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s of %s is larger than the %d MiB that %s may have", e.What, mebibytes(e.Size), e.Limit>>20, e.Holder)
}

// mebibytes rounds up, so that what is a byte too large looks it.
func mebibytes(n int64) string {
	return fmt.Sprintf("%.1f MiB", math.Ceil(float64(n)/(1<<20)*10)/10)
}

// errLong is returned for a line of which only the beginning was read.
var errLong = errors.New("the line is too long")

// readLine reads a line of at most MaxLine bytes without its end, or as much of it.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > MaxLine+1 || len(line) == MaxLine+1 && err != nil:
			return line, errLong
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// skip reads on in a line, to its end or by limit bytes. What it reads is not kept.
func skip(r *bufio.Reader, limit int64) (n int64, ended bool, err error) {
	for n < limit && !ended && err == nil {
		var part []byte
		part, err = r.ReadSlice('\n')
		n += int64(len(part))
		ended = err == nil
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
	}
	return n, ended, err
}

// headBytes is how much of a line that is too long is looked at.
const headBytes = 64 << 10

// kindOf says what a message is of which only the beginning is there: by its type
// when that comes first, else by its only member that can be so large.
func kindOf(head []byte) Kind {
	d := json.NewDecoder(bytes.NewReader(head[:min(len(head), headBytes)]))
	if brace, err := d.Token(); err != nil || brace != json.Delim('{') {
		return ""
	}
	for {
		key, err := d.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		err = d.Decode(&value)
		var kind Kind
		switch {
		case key == "snapshot":
			return KindSnapshot
		case key == "type" && err == nil && json.Unmarshal(value, &kind) == nil:
			return kind
		case err != nil:
			return ""
		}
	}
}
