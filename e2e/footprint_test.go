// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// What an agent costs the host that it runs on: its program, its memory with five
// managed containers, and what its journal grows by — for each application event,
// and in a day in which nothing happens. The journal is bounded (64 MiB), so
// the last two say how far back it reaches.
func BenchmarkAgentFootprint(b *testing.B) {
	const apps, events = 5, 200
	const idle = 30 * time.Second // three relists
	f := rig.StartFleet(b, "pebble:"+b.TempDir())
	var all []*rig.App
	for k := range apps {
		all = append(all, f.CreateApp(b, fmt.Sprintf("footprint-%d", k)))
	}
	program, err := os.Stat(rig.Binary(b, "dockeragent"))
	if err != nil {
		b.Fatal(err)
	}
	state := f.Agent.Flag("--state")
	before := size(b, state)
	for b.Loop() {
		for k := range events {
			f.Send(b, all[0].ID, "hello", map[string]any{"n": k}, fmt.Sprintf("footprint-%d-%d", b.N, k), 10*time.Second)
		}
		all[0].Drained(b, 30*time.Second)
	}
	written := size(b, state) - before
	before = size(b, state)
	time.Sleep(idle) //nolint:forbidigo // what is measured is that nothing happens
	quiet := size(b, state) - before

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(program.Size())/(1<<20), "program-MiB")
	b.ReportMetric(float64(resident(b, f.Agent.PID()))/(1<<20), "resident-MiB")
	b.ReportMetric(float64(written)/float64(events*b.N), "journal-B/event")
	b.ReportMetric(float64(quiet)*float64(24*time.Hour/idle)/(1<<10), "journal-idle-KiB/day")
}

// size adds up the files below a directory.
func size(b *testing.B, dir string) int64 {
	b.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

// resident reads how many bytes of a process are in memory.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		b.Fatalf("VmRSS of %d: %v", pid, err)
	}
	return kib << 10
}
