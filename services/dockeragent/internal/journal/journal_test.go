// SPDX-License-Identifier: AGPL-3.0-or-later

package journal_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	o.Unsafe = true
	j, err := journal.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func add(t *testing.T, j *journal.Journal, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := j.Append(journal.Entry{
			Observations: []journal.Observation{{Event: n, Instance: "web"}},
			Known:        map[string]json.RawMessage{"c1": json.RawMessage(`"` + n + `"`)},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func events(t *testing.T, j *journal.Journal, from uint64) (out []string) {
	t.Helper()
	list, err := j.Read(from, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		out = append(out, fmt.Sprintf("%d %s", o.Sequence, o.Event))
	}
	return out
}

func TestReopenContinues(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	id := j.ID()
	add(t, j, "a", "b")
	if err := j.Begin(journal.Command{ID: "x/1/1", Verb: "start", StartedAt: "then", Begun: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := j.SetFence(journal.Fence{Epoch: 3, Nonce: "n", Commit: 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(journal.Entry{Observations: []journal.Observation{{Event: "done.command.start"}}, End: "x/1/1"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(journal.Command{ID: "x/1/2", Verb: "stop", Begun: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := j.Ack(2); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()

	j = open(t, dir, journal.Options{})
	if j.ID() != id || j.WasReset() != "" {
		t.Errorf("id: got %s (%s), want %s", j.ID(), j.WasReset(), id)
	}
	add(t, j, "c")
	if diff := cmp.Diff([]string{"1 a", "2 b", "3 done.command.start", "4 c"}, events(t, j, 1)); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
	if c, ok := j.Command("x/1/1"); !ok || !c.Ended() || c.StartedAt != "then" || c.Outcome.Sequence != 3 {
		t.Errorf("ended command: %+v %t", c, ok)
	}
	if c, ok := j.Command("x/1/2"); !ok || c.Ended() {
		t.Errorf("begun command: %+v %t", c, ok)
	}
	if f := j.Fence(); f != (journal.Fence{Epoch: 3, Nonce: "n", Commit: 9}) {
		t.Errorf("fence: %+v", f)
	}
	if j.Acked() != 2 || string(j.Known()["c1"]) != `"c"` {
		t.Errorf("acked %d, known %s", j.Acked(), j.Known()["c1"])
	}
}

// TestTornAtEveryByte cuts the newest file at every length: the journal opens
// with a prefix of what was appended, and goes on without a hole.
func TestTornAtEveryByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentBytes: 700})
	id := j.ID()
	for i := range 12 {
		add(t, j, fmt.Sprintf("e%d", i+1))
	}
	all := events(t, j, 1)
	_ = j.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files: %v %v, want several", files, err)
	}
	body, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(body) {
		cut := t.TempDir()
		for i, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if i == len(files)-1 {
				b = body[:n]
			}
			if err := os.WriteFile(filepath.Join(cut, filepath.Base(f)), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j := open(t, cut, journal.Options{SegmentBytes: 700})
		got := events(t, j, 1)
		if j.ID() != id || len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("cut at %d: id %s, observations %v", n, j.ID(), got)
		}
		add(t, j, "next")
		if again := events(t, j, 1); again[len(again)-1] != fmt.Sprintf("%d next", len(got)+1) || len(again) != len(got)+1 {
			t.Fatalf("cut at %d: after append %v", n, again)
		}
		_ = j.Close()
	}
}

// TestDamageBegins anew: a flipped byte in an older file must not be taken for a
// torn end, or numbers would be used twice.
func TestDamageBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentBytes: 500})
	id := j.ID()
	for range 12 {
		add(t, j, "e")
	}
	_ = j.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, journal.Options{})
	if j.ID() == id || j.WasReset() == "" {
		t.Errorf("got id %s (%q), want another and a reason", j.ID(), j.WasReset())
	}
	add(t, j, "x")
	if diff := cmp.Diff([]string{"1 x"}, events(t, j, 1)); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), journal.Options{MaxBytes: 8000, SegmentBytes: 1000})
	for i := range 200 {
		add(t, j, fmt.Sprintf("e%d", i))
	}
	if n := j.Bytes(); n > 11_000 {
		t.Errorf("got %d bytes, want at most 8000, a segment, and what each file begins with", n)
	}
	first, last := j.Range()
	got := events(t, j, 1)
	if first < 2 || int(last-first)+1 != len(got) {
		t.Errorf("range %d–%d with %d observations", first, last, len(got))
	}
	list, _ := j.Read(1, 1<<20)
	if !slices.ContainsFunc(list, func(o journal.Observation) bool { return o.Event == journal.EventGap }) {
		t.Error("no gap observation says that some were dropped")
	}
	// Acknowledged ones go without a gap.
	if err := j.Ack(last); err != nil {
		t.Fatal(err)
	}
	if first, _ = j.Range(); first < last-20 {
		t.Errorf("oldest after the acknowledgement: %d of %d", first, last)
	}
}

// A host with so many containers that what is known of them is larger than the bounds:
// a new file does not begin at each append, and no observation is dropped for it.
func TestStateLargerThanTheBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := journal.Options{MaxBytes: 16_000, SegmentBytes: 1000}
	j := open(t, dir, o)
	known := map[string]json.RawMessage{}
	for i := range 1000 {
		known[fmt.Sprint(i)] = json.RawMessage(`"` + strings.Repeat("x", 20) + `"`)
	}
	if _, err := j.Append(journal.Entry{Known: known}); err != nil {
		t.Fatal(err)
	}
	const n = 100 // about 13,000 bytes
	for i := range n {
		if i == n/2 { // and the same after a restart
			_ = j.Close()
			j = open(t, dir, o)
		}
		add(t, j, "e")
	}
	if first, last := j.Range(); first != 1 || last != n {
		t.Errorf("holds %d–%d, want 1–%d", first, last, n)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) > 2 {
		t.Errorf("files: %v %v, want at most two", files, err)
	}
}

// What is known is never too large to be read again.
func TestLargeState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	large := json.RawMessage(`"` + strings.Repeat("x", 65<<20) + `"`)
	if _, err := j.Append(journal.Entry{Known: map[string]json.RawMessage{"large": large}}); err != nil {
		t.Fatal(err)
	}
	add(t, j, "a") // in a new file, which begins with it
	id := j.ID()
	_ = j.Close()
	j = open(t, dir, journal.Options{})
	if got := j.Known()["large"]; j.ID() != id || len(got) != len(large) {
		t.Errorf("journal %s, %d bytes known; want %s, %d", j.ID(), len(got), id, len(large))
	}
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	j, err := journal.Open(t.TempDir(), journal.Options{SegmentBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				changed := j.Changed()
				last, err := j.Append(journal.Entry{Observations: []journal.Observation{{Event: "e"}}})
				if err != nil {
					t.Error(err)
					return
				}
				<-changed
				if list, err := j.Read(last, 1); err != nil || len(list) != 1 {
					t.Errorf("observation %d is not readable when Append returned: %v", last, err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(events(t, j, 1)); got != 200 {
		t.Errorf("got %d observations, want 200", got)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	add(t, j, "a", "b")
	id := j.ID()
	if err := j.Reset("test"); err != nil {
		t.Fatal(err)
	}
	add(t, j, "c")
	_ = j.Close()
	j = open(t, dir, journal.Options{})
	if diff := cmp.Diff([]string{"1 c"}, events(t, j, 1)); diff != "" || j.ID() == id {
		t.Errorf("id %s, observations (-want +got):\n%s", j.ID(), diff)
	}
	if string(j.Known()["c1"]) != `"c"` {
		t.Error("known containers are gone")
	}
}

// A journal that cannot begin anew takes nothing more, and says why.
func TestResetFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	add(t, j, "a")
	if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%020d.log", 2)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.Reset("test"); err == nil {
		t.Fatal("the journal began anew in a file that is a directory")
	}
	if _, err := j.Append(journal.Entry{Observations: []journal.Observation{{Event: "b"}}}); err == nil || !strings.Contains(err.Error(), "begin the journal anew") {
		t.Errorf("append after it: %v", err)
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	add(t, j, "a")
	kinds := ""
	if err := journal.Walk(dir, func(kind byte, _ []byte) error { kinds += string(kind); return nil }); err != nil {
		t.Fatal(err)
	}
	if kinds != "HO" {
		t.Errorf("got kinds %q, want HO", kinds)
	}
}
