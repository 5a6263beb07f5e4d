// SPDX-License-Identifier: AGPL-3.0-or-later

package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const frameBytes = 9

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// errDamaged means that the files contradict each other other than by a torn end.
	errDamaged = errors.New("damaged")
	errTorn    = errors.New("torn record")
)

// segment is one file.
type segment struct {
	file    *os.File
	number  uint64
	size    int64
	header  int64 // of size, the state that it begins with
	synced  int64
	first   uint64 // sequence of offsets[0]
	offsets []int64
	newest  time.Time
}

func openSegment(name string, flag int) (*segment, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".log"), 10, 64)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%w: file name %s", errDamaged, name)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &segment{file: f, number: number, size: info.Size(), newest: info.ModTime()}, nil
}

func (s *segment) remove() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}

// read reads the record at an offset and returns the next one's.
func (s *segment) read(at int64) (kind byte, body []byte, next int64, err error) {
	var frame [frameBytes]byte
	if _, err := s.file.ReadAt(frame[:], at); err != nil {
		return 0, nil, 0, errTorn
	}
	n := binary.LittleEndian.Uint32(frame[:])
	if int64(n) > s.size-at-frameBytes {
		return 0, nil, 0, errTorn
	}
	body = make([]byte, n)
	if _, err := s.file.ReadAt(body, at+frameBytes); err != nil {
		return 0, nil, 0, errTorn
	}
	if checksum(frame[8], body) != binary.LittleEndian.Uint32(frame[4:]) {
		return 0, nil, 0, errTorn
	}
	return frame[8], body, at + frameBytes + int64(n), nil
}

func checksum(kind byte, body []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, []byte{kind}), castagnoli, body)
}

// write appends a record to the newest file. The caller holds the lock.
func (j *Journal) write(kind byte, v any) error {
	if j.broken != nil {
		return j.broken
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if int64(len(body)) > math.MaxUint32 {
		return fmt.Errorf("a record of %d bytes is too large", len(body))
	}
	s := j.segs[len(j.segs)-1]
	buf := make([]byte, frameBytes, frameBytes+len(body))
	binary.LittleEndian.PutUint32(buf, uint32(len(body)))
	binary.LittleEndian.PutUint32(buf[4:], checksum(kind, body))
	buf[8] = kind
	if _, err := s.file.WriteAt(append(buf, body...), s.size); err != nil {
		// What is on disk now is unknown: going on could give a number to two facts.
		j.broken = fmt.Errorf("write %s: %w", s.file.Name(), err)
		return j.broken
	}
	if kind == 'O' {
		if len(s.offsets) == 0 {
			s.first = j.st.Next
		}
		s.offsets = append(s.offsets, s.size)
	}
	s.size += frameBytes + int64(len(body))
	s.newest = j.o.Now()
	return nil
}

// tail is the newest file and its size.
func (j *Journal) tail() (*segment, int64) {
	s := j.segs[len(j.segs)-1]
	return s, s.size
}

// sync returns when s is on disk up to end, and then counts sequence as durable.
func (j *Journal) sync(s *segment, end int64, sequence uint64) error {
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	j.mu.Lock()
	if s.synced >= end || j.o.Unsafe {
		s.synced = max(s.synced, end)
		j.announce(sequence)
		j.mu.Unlock()
		return nil
	}
	// Whatever was written meanwhile goes along.
	size, upto := s.size, j.st.Next-1
	if s != j.segs[len(j.segs)-1] {
		upto = sequence
	}
	j.mu.Unlock()
	err := s.file.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		// After a failed fsync the kernel may have dropped the pages.
		j.broken = fmt.Errorf("sync %s: %w", s.file.Name(), err)
		return j.broken
	}
	s.synced = max(s.synced, size)
	j.announce(upto)
	return nil
}

func (j *Journal) announce(sequence uint64) {
	if sequence > j.durable {
		j.durable = sequence
		close(j.changed)
		j.changed = make(chan struct{})
	}
}

// rotate begins a new file with all state. The older one is synced first, so
// that only the newest can be torn.
func (j *Journal) rotate() error { return j.rotateAfter(j.segs) }

func (j *Journal) rotateAfter(old []*segment) error {
	number := uint64(1)
	if len(old) > 0 {
		last := old[len(old)-1]
		number = last.number + 1
		if !j.o.Unsafe && last.synced < last.size {
			if err := last.file.Sync(); err != nil {
				return err
			}
			last.synced = last.size
		}
	}
	j.dropCommands()
	name := filepath.Join(j.dir, fmt.Sprintf("%020d.log", number))
	s, err := openSegment(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	j.segs = append(j.segs, s)
	if err := j.write('H', j.st); err != nil {
		return err
	}
	s.header = s.size
	if j.o.Unsafe {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.synced = s.size
	d, err := os.Open(j.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// dropCommands forgets old ended commands. One begun and never ended is kept as
// long: after a day nobody asks for it again.
func (j *Journal) dropCommands() {
	now := j.o.Now()
	for id, c := range j.st.Commands {
		if now.Sub(c.Begun) > keepCommandsFor {
			delete(j.st.Commands, id)
		}
	}
	over := len(j.st.Commands) - keepCommands
	if over <= 0 {
		return
	}
	ids := slices.SortedFunc(maps.Keys(j.st.Commands), func(a, b string) int {
		return j.st.Commands[a].Begun.Compare(j.st.Commands[b].Begun)
	})
	for _, id := range ids[:over] {
		delete(j.st.Commands, id)
	}
}

// trim removes files that are not needed, or must go because of the bounds.
func (j *Journal) trim() error {
	lost := false
	var from, to uint64
	for len(j.segs) > 1 {
		s := j.segs[0]
		last := s.first + uint64(len(s.offsets)) - 1
		done := len(s.offsets) == 0 || last <= j.st.Acked
		over := j.logged() > j.o.MaxBytes || j.o.Now().Sub(s.newest) > j.o.MaxAge
		if !done && !over {
			break
		}
		if !done {
			if !lost {
				from = max(s.first, j.st.Acked+1)
			}
			lost, to = true, last
		}
		s.remove()
		j.segs = j.segs[1:]
	}
	if !lost {
		return nil
	}
	data, err := json.Marshal(map[string]any{
		"reason": "the journal was full and observations had not been taken", "first": from, "last": to,
	})
	if err != nil {
		return err
	}
	rec := record{Observation: &Observation{Sequence: j.st.Next, Time: j.o.Now(), Event: EventGap, Data: data}}
	if err := j.write('O', rec); err != nil {
		return err
	}
	j.apply(rec)
	return nil
}

// load reads all files.
func (j *Journal) load() error {
	files, err := logFiles(j.dir)
	if err != nil {
		return err
	}
	for i, name := range files {
		s, err := openSegment(name, os.O_RDWR)
		if err != nil {
			return err
		}
		j.segs = append(j.segs, s)
		last := i == len(files)-1
		err = j.replay(s, last)
		if errors.Is(err, errTorn) && last {
			// The crash came while the file was begun: what it held is in the one before.
			s.remove()
			j.segs = j.segs[:len(j.segs)-1]
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replay reads one file. errTorn means that not even its state is there.
func (j *Journal) replay(s *segment, last bool) error {
	kind, body, at, err := s.read(0)
	if err != nil || kind != 'H' {
		if last {
			return errTorn
		}
		return fmt.Errorf("%w: %s has no state", errDamaged, s.file.Name())
	}
	st := newState(j.o.Now())
	if err := json.Unmarshal(body, &st); err != nil {
		return fmt.Errorf("%w: state of %s: %v", errDamaged, s.file.Name(), err)
	}
	if s != j.segs[0] && st.ID == j.st.ID && st.Next != j.st.Next {
		return fmt.Errorf("%w: %s begins at %d after %d", errDamaged, s.file.Name(), st.Next, j.st.Next-1)
	}
	if s != j.segs[0] && st.ID != j.st.ID {
		for _, old := range j.segs[:len(j.segs)-1] {
			old.remove()
		}
		j.segs = []*segment{s}
	}
	j.st, s.header = st, at
	for {
		kind, body, next, err := s.read(at)
		if err != nil {
			break
		}
		if err := j.replayRecord(s, kind, body, at); err != nil {
			return fmt.Errorf("%w: %s at %d: %v", errDamaged, s.file.Name(), at, err)
		}
		at = next
	}
	if at < s.size {
		if !last {
			return fmt.Errorf("%w: %s at %d", errDamaged, s.file.Name(), at)
		}
		if err := s.file.Truncate(at); err != nil {
			return err
		}
	}
	s.size, s.synced = at, 0
	return nil
}

func (j *Journal) replayRecord(s *segment, kind byte, body []byte, at int64) error {
	switch kind {
	case 'O', 'K':
		var rec record
		if err := json.Unmarshal(body, &rec); err != nil {
			return err
		}
		if o := rec.Observation; o != nil {
			if o.Sequence != j.st.Next {
				return fmt.Errorf("observation %d after %d", o.Sequence, j.st.Next-1)
			}
			if len(s.offsets) == 0 {
				s.first = o.Sequence
			}
			s.offsets = append(s.offsets, at)
		}
		j.apply(rec)
	case 'B':
		var c Command
		if err := json.Unmarshal(body, &c); err != nil {
			return err
		}
		j.st.Commands[c.ID] = c
	case 'F':
		return json.Unmarshal(body, &j.st.Fence)
	case 'A':
		return json.Unmarshal(body, &j.st.Acked)
	default:
		return fmt.Errorf("%w: kind %q", io.ErrUnexpectedEOF, kind)
	}
	return nil
}
