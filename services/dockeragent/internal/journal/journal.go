// SPDX-License-Identifier: AGPL-3.0-or-later

// Package journal is the agent's memory on disk: a crash-safe, bounded, rolling
// log of observations and of the begin and end of commands, under a random id.
//
// Guarantees:
//   - What [Journal.Append] or [Journal.Begin] returned for is on disk (fsync)
//     and survives kill -9 and, as far as the disk tells the truth, a power cut.
//     Concurrent callers share one fsync.
//   - Observations are numbered from 1 without holes within one journal id, and a
//     number never means two things: only what was never returned for can be lost,
//     from the end. A log that is damaged elsewhere is put aside and a new id begins.
//   - The log is bounded in bytes and age. Acknowledged segments go first; when that is
//     not enough, the oldest unacknowledged ones go too, and an observation
//     [EventGap] says what is missing.
//
// A directory holds files NUMBER.log, each a sequence of records: length and CRC-32C
// of 4 bytes each (little endian), one letter for the kind, JSON. Each file begins
// with all state that is not observations, so older files can go. [Walk] reads a
// directory without opening it for writing. A Journal is safe for concurrent
// use; two processes on one directory are kept apart by the caller's lock.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

// EventGap is the event of an observation about the host (instance "") that
// says when and why observations are missing: data from, to, reason.
const EventGap = "agent.gap"

// Observation is a fact, as docs/architecture.md, "Events" lists them.
type Observation struct {
	// Sequence is set by Append.
	Sequence uint64 `json:"sequence"`
	// Time is the engine's stamp, or the agent's clock.
	Time time.Time `json:"time"`
	// Instance is the name on this host; empty for a fact about the host.
	Instance string `json:"instance,omitempty"`
	// ContainerID is the generation; may be empty.
	ContainerID string `json:"container,omitempty"`
	// Event is the name as the chart sees it.
	Event string `json:"event"`
	// Data is a JSON object; may be empty.
	Data json.RawMessage `json:"data,omitempty"`
	// Inferred is true when concluded from inspect.
	Inferred bool `json:"inferred,omitempty"`
	// CommandID is the command that caused it or whose outcome it is.
	CommandID string `json:"command,omitempty"`
	// Snapshot is set with app.snapshot.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	// Target is set when labels or settings are new.
	Target *label.Target `json:"target,omitempty"`
	// Traceparent is W3C's; may be empty.
	Traceparent string `json:"traceparent,omitempty"`
}

// Snapshot is an application snapshot.
type Snapshot struct {
	// SHA256 of the body in lower-case hex.
	SHA256 string `json:"sha256"`
	// Size in bytes.
	Size uint64 `json:"size"`
	// Inline is the body when it is small, else nil: then it was stored before.
	Inline []byte `json:"inline,omitempty"`
	// Sequence is the last event contained.
	Sequence uint64 `json:"sequence"`
	// Run is the StartedAt of the run that dumped it.
	Run string `json:"run"`
}

// Fence is the owner that commands were last accepted from.
type Fence struct {
	Epoch  uint64 `json:"epoch"`
	Nonce  string `json:"nonce"`
	Commit uint64 `json:"commit"`
}

// Command is what the journal knows of one command.
type Command struct {
	ID          string `json:"id"`
	Verb        string `json:"verb"`
	Instance    string `json:"instance"`
	ContainerID string `json:"container,omitempty"`
	// StartedAt and FinishedAt are what inspect said before the call.
	StartedAt  string    `json:"startedAt,omitempty"`
	FinishedAt string    `json:"finishedAt,omitempty"`
	Begun      time.Time `json:"begun"`
	// Outcome is the observation that answered it; Outcome.Sequence 0 means that
	// it was begun and has no end.
	Outcome Observation `json:"outcome,omitzero"`
}

// Ended reports whether the command has an end.
func (c Command) Ended() bool { return c.Outcome.Sequence != 0 }

// Options bound a journal. Zero fields have their defaults.
type Options struct {
	// MaxBytes is the size of what is logged in all files together (64 MiB). The state
	// that each file begins with comes on top; as a file holds at least as much again
	// before the next one begins, that is at most as much, and one state more.
	MaxBytes int64
	// MaxAge is how long unacknowledged observations are kept (7 days).
	MaxAge time.Duration
	// SegmentBytes is what is logged in a file at least before a new one begins (a sixteenth of MaxBytes).
	SegmentBytes int64
	// Now is the clock (time.Now).
	Now func() time.Time
	// Unsafe leaves out fsync; for tests only.
	Unsafe bool
}

const (
	keepCommands    = 4096
	keepCommandsFor = 24 * time.Hour
	// readAhead is how many observations Waiting reads at a time.
	readAhead = 256
)

// state is what a file begins with.
type state struct {
	ID       string                     `json:"id"`
	Next     uint64                     `json:"next"`
	Acked    uint64                     `json:"acked"`
	Created  time.Time                  `json:"created"`
	Fence    Fence                      `json:"fence"`
	Commands map[string]Command         `json:"commands,omitempty"`
	Known    map[string]json.RawMessage `json:"known,omitempty"`
}

// Journal is an open journal.
type Journal struct {
	dir  string
	o    Options
	mu   sync.Mutex // guards all below
	st   state
	segs []*segment
	// durable is the last sequence that fsync has returned for.
	durable uint64
	changed chan struct{}
	reset   string
	broken  error

	syncMu sync.Mutex
}

// Open opens the journal in dir, made when missing, and mends a torn end.
func Open(dir string, o Options) (*Journal, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = 7 * 24 * time.Hour
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = max(o.MaxBytes/16, 4096)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{dir: dir, o: o, changed: make(chan struct{})}
	err := j.load()
	if errors.Is(err, errDamaged) {
		if aside := j.putAside(); aside != nil {
			return nil, fmt.Errorf("open journal %s: %w", dir, aside)
		}
		j.reset, err = fmt.Sprintf("the journal was damaged (%v) and begins anew", err), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", dir, err)
	}
	if len(j.segs) == 0 {
		j.st = newState(o.Now())
		if err := j.rotate(); err != nil {
			return nil, fmt.Errorf("open journal %s: %w", dir, err)
		}
	}
	j.durable = j.st.Next - 1
	return j, nil
}

func newState(now time.Time) state {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return state{ID: hex.EncodeToString(b), Next: 1, Created: now, Commands: map[string]Command{}, Known: map[string]json.RawMessage{}}
}

// putAside renames all files, so that a person can still look at them.
func (j *Journal) putAside() error {
	j.closeFiles()
	j.segs = nil
	files, err := logFiles(j.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Rename(f, fmt.Sprintf("%s.damaged-%d", f, j.o.Now().Unix())); err != nil {
			return err
		}
	}
	return nil
}

// ID is the journal's random id.
func (j *Journal) ID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.st.ID
}

// WasReset returns why a new id began although there had been a journal; "" when none did.
func (j *Journal) WasReset() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.reset
}

// Reset begins a new journal id because of reason; known containers, commands
// and the fence stay.
func (j *Journal) Reset(reason string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	fresh := newState(j.o.Now())
	fresh.Fence, fresh.Commands, fresh.Known = j.st.Fence, j.st.Commands, j.st.Known
	// The outcomes' numbers are of the old journal: their observations are gone.
	for id, c := range fresh.Commands {
		if c.Ended() {
			c.Outcome.Sequence = 0
			delete(fresh.Commands, id)
		}
	}
	old := j.segs
	j.st, j.segs, j.durable, j.reset = fresh, nil, 0, reason
	if err := j.rotateAfter(old); err != nil {
		j.segs, j.broken = old, fmt.Errorf("begin the journal anew: %w", err)
		return j.broken
	}
	for _, s := range old {
		s.remove()
	}
	return nil
}

// Range returns the oldest and the newest observation held; 0, 0 when none is.
// Those that were acknowledged may still be held. When none of those held is on
// disk yet, last is first-1: what came before is gone all the same.
func (j *Journal) Range() (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segs {
		if len(s.offsets) > 0 {
			return s.first, max(j.durable, s.first-1)
		}
	}
	return 0, 0
}

// Acked is the highest acknowledged observation.
func (j *Journal) Acked() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.st.Acked
}

// Bytes is the size of all files.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes()
}

func (j *Journal) bytes() (n int64) {
	for _, s := range j.segs {
		n += s.size
	}
	return n
}

// logged is the size of all files without the state that they begin with. The state
// is as large as the host has containers, and no reason to drop an observation.
func (j *Journal) logged() (n int64) {
	for _, s := range j.segs {
		n += s.size - s.header
	}
	return n
}

// Changed returns a channel that is closed when the next observation is durable.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

// Known returns what Entry.Known last said of each container.
func (j *Journal) Known() map[string]json.RawMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.st.Known)
}

// Fence returns the highest fence that was accepted; zero when none was.
func (j *Journal) Fence() Fence {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.st.Fence
}

// SetFence stores a fence, durably when its epoch or nonce is new.
func (j *Journal) SetFence(f Fence) error {
	j.mu.Lock()
	if j.st.Fence == f {
		j.mu.Unlock()
		return nil
	}
	hard := j.st.Fence.Epoch != f.Epoch || j.st.Fence.Nonce != f.Nonce
	j.st.Fence = f
	err := j.write('F', f)
	s, end := j.tail()
	j.mu.Unlock()
	if err != nil || !hard {
		return err
	}
	return j.sync(s, end, 0)
}

// Ack says that observations up to seq are safe elsewhere: files that hold only
// such are removed in time.
func (j *Journal) Ack(seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq <= j.st.Acked || seq >= j.st.Next {
		return nil
	}
	j.st.Acked = seq
	// Not synced: an acknowledgement forgotten is only sent again.
	if err := j.write('A', seq); err != nil {
		return err
	}
	return j.trim()
}

// Entry is what is appended in one piece.
type Entry struct {
	// Observations get their numbers; may be empty.
	Observations []Observation
	// Known replaces what is known of containers; null removes one.
	Known map[string]json.RawMessage
	// End names the command that the first observation is the outcome of; may be empty.
	End string
}

// Append writes an entry and returns when it is on disk. It sets the sequences in
// e.Observations and returns the last one.
func (j *Journal) Append(e Entry) (uint64, error) {
	j.mu.Lock()
	last, err := j.append(e)
	s, end := j.tail()
	j.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("append to journal: %w", err)
	}
	if err := j.sync(s, end, last); err != nil {
		return 0, fmt.Errorf("append to journal: %w", err)
	}
	return last, nil
}

func (j *Journal) append(e Entry) (uint64, error) {
	if j.broken != nil {
		return 0, j.broken
	}
	// Not before as much is logged as the state takes: it would be written again and
	// again on a host with many containers.
	if s := j.segs[len(j.segs)-1]; s.size-s.header >= max(j.o.SegmentBytes, s.header) {
		if err := j.rotate(); err != nil {
			return 0, err
		}
		if err := j.trim(); err != nil {
			return 0, err
		}
	}
	for i := range e.Observations {
		o := &e.Observations[i]
		o.Sequence = j.st.Next
		rec := record{Observation: o}
		if i == 0 && e.End != "" {
			rec.End = e.End
		}
		if i == len(e.Observations)-1 {
			rec.Known = e.Known
		}
		if err := j.write('O', rec); err != nil {
			return 0, err
		}
		j.apply(rec)
	}
	if len(e.Observations) == 0 && len(e.Known) > 0 {
		rec := record{Known: e.Known}
		if err := j.write('K', rec); err != nil {
			return 0, err
		}
		j.apply(rec)
	}
	return j.st.Next - 1, nil
}

// record is the JSON of kinds O and K.
type record struct {
	Observation *Observation               `json:"o,omitempty"`
	End         string                     `json:"end,omitempty"`
	Known       map[string]json.RawMessage `json:"known,omitempty"`
}

// apply brings a record into the state; it is the same when written and when read again.
func (j *Journal) apply(rec record) {
	if o := rec.Observation; o != nil {
		j.st.Next = o.Sequence + 1
		if rec.End != "" {
			c := j.st.Commands[rec.End]
			c.ID, c.Outcome = rec.End, *o
			c.Outcome.Target, c.Outcome.Snapshot = nil, nil
			j.st.Commands[rec.End] = c
		}
	}
	for id, k := range rec.Known {
		if string(k) == "null" || len(k) == 0 {
			delete(j.st.Known, id)
		} else {
			j.st.Known[id] = slices.Clone(k)
		}
	}
}

// Begin records that a command is about to act, and returns when that is on disk.
func (j *Journal) Begin(c Command) error {
	j.mu.Lock()
	c.Outcome = Observation{}
	err := j.write('B', c)
	j.st.Commands[c.ID] = c
	s, end := j.tail()
	j.mu.Unlock()
	if err == nil {
		err = j.sync(s, end, 0)
	}
	if err != nil {
		return fmt.Errorf("begin command %s: %w", c.ID, err)
	}
	return nil
}

// Command returns what is known of a command.
func (j *Journal) Command(id string) (Command, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c, ok := j.st.Commands[id]
	return c, ok
}

// Recent returns the commands that have no end, or one since then, oldest first.
func (j *Journal) Recent(since time.Time) []Command {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Command
	for _, c := range j.st.Commands {
		if !c.Ended() || c.Outcome.Time.After(since) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Command) int { return a.Begun.Compare(b.Begun) })
	return out
}

// Waiting lists the durable observations that are not acknowledged, oldest first. It
// ends with an error when one cannot be read.
func (j *Journal) Waiting() iter.Seq2[Observation, error] {
	return func(yield func(Observation, error) bool) {
		for from := j.Acked() + 1; ; {
			list, err := j.Read(from, readAhead)
			if err != nil {
				yield(Observation{}, err)
				return
			}
			if len(list) == 0 {
				return
			}
			for _, o := range list {
				if !yield(o, nil) {
					return
				}
				from = o.Sequence + 1
			}
		}
	}
}

// Read returns at most n durable observations from sequence from on. What lies
// below the oldest held is skipped.
func (j *Journal) Read(from uint64, n int) ([]Observation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Observation
	for _, s := range j.segs {
		if len(s.offsets) == 0 || s.first+uint64(len(s.offsets)) <= from {
			continue
		}
		for i := max(from, s.first) - s.first; i < uint64(len(s.offsets)) && len(out) < n && s.first+i <= j.durable; i++ {
			_, body, _, err := s.read(s.offsets[i])
			if err != nil {
				return nil, fmt.Errorf("read observation %d: %w", s.first+i, err)
			}
			var rec record
			if err := json.Unmarshal(body, &rec); err != nil || rec.Observation == nil {
				return nil, fmt.Errorf("read observation %d: %w", s.first+i, err)
			}
			out = append(out, *rec.Observation)
		}
	}
	return out, nil
}

// Close closes the files; the journal must not be used any more.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeFiles()
	j.broken = os.ErrClosed
	return nil
}

func (j *Journal) closeFiles() {
	for _, s := range j.segs {
		_ = s.file.Close()
	}
}

// Walk reads the journal in dir without changing it and calls f for each record
// in order, with its kind and JSON. It stops at a torn end without an error.
func Walk(dir string, f func(kind byte, body []byte) error) error {
	files, err := logFiles(dir)
	if err != nil {
		return fmt.Errorf("walk journal: %w", err)
	}
	for _, name := range files {
		s, err := openSegment(name, os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("walk journal: %w", err)
		}
		for at := int64(0); ; {
			kind, body, next, err := s.read(at)
			if err != nil {
				break
			}
			if err := f(kind, body); err != nil {
				_ = s.file.Close()
				return err
			}
			at = next
		}
		_ = s.file.Close()
	}
	return nil
}

func logFiles(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	slices.Sort(files)
	return files, err
}
