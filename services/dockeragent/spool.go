// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
)

// inlineBytes is the largest body that travels in an observation.
const inlineBytes = 16 << 10

// spool keeps the bodies of snapshots on disk until the observations that name
// them are acknowledged. It is bounded: a body for which there is no room is refused.
type spool struct {
	dir   string
	limit int64

	mu    sync.Mutex
	size  int64
	waits map[string]waiting
}

type waiting struct {
	size int64
	last uint64 // the newest observation that names it; 0 while it is being journaled
}

// openSpool opens a spool and learns from the journal which bodies are waited for.
func openSpool(dir string, limit int64, j *journal.Journal) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &spool{dir: dir, limit: limit, waits: map[string]waiting{}}
	for o, err := range j.Waiting() {
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		if o.Snapshot != nil && o.Snapshot.Inline == nil {
			s.waits[o.Snapshot.SHA256] = waiting{size: int64(o.Snapshot.Size), last: o.Sequence}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	for _, f := range files {
		if w, ok := s.waits[f.Name()]; ok {
			s.size += w.size
		} else {
			_ = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	return s, nil
}

// put makes a Snapshot of a body, and keeps the body when it is too large to travel along.
func (s *spool) put(body []byte) (*journal.Snapshot, error) {
	sum := sha256.Sum256(body)
	out := &journal.Snapshot{SHA256: hex.EncodeToString(sum[:]), Size: uint64(len(body))}
	if len(body) <= inlineBytes {
		out.Inline = body
		return out, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.waits[out.SHA256]; ok {
		return out, nil
	}
	if s.size+int64(len(body)) > s.limit {
		return nil, fmt.Errorf("its snapshot of %d bytes finds no room: %d bytes wait already to be stored and the limit is %d", len(body), s.size, s.limit)
	}
	if err := writeFile(filepath.Join(s.dir, out.SHA256), body); err != nil {
		return nil, fmt.Errorf("its snapshot of %d bytes finds no room: %w", len(body), err)
	}
	s.size += int64(len(body))
	s.waits[out.SHA256] = waiting{size: int64(len(body))}
	return out, nil
}

// named notes the observation that names a body.
func (s *spool) named(sha string, sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.waits[sha]; ok {
		w.last = sequence
		s.waits[sha] = w
	}
}

// body reads one.
func (s *spool) body(sha string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, filepath.Base(sha)))
}

// acknowledged removes the bodies that only observations up to seq name.
func (s *spool) acknowledged(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sha, w := range s.waits {
		if w.last != 0 && w.last <= seq {
			_ = os.Remove(filepath.Join(s.dir, sha))
			s.size -= w.size
			delete(s.waits, sha)
		}
	}
}
