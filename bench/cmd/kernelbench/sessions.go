// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/chartroom/chartroom/bench/charts"
)

// idleSteps and idleCount are how sessions are measured at rest: heap growth
// over so many live ones, each after the start and a whole cycle of events.
const (
	idleSteps = 15
	idleCount = 100_000
	// nodeCount is less: some engines take 20 kB a session.
	nodeCount = 10_000
	// snapshotSteps leaves the lifecycle three levels deep.
	snapshotSteps = 8
)

// measureSessions fills in what concerns sessions of the lifecycle.
func measureSessions(rows []*Row, inGo []engine, nodes map[string]*node) error {
	chart := charts.All[1]
	row := func(engine string) *Row {
		for _, r := range rows {
			if r.Chart == chart.Name && r.Engine == engine {
				return r
			}
		}
		return nil
	}
	for _, e := range inGo {
		r := row(e.name)
		if r == nil {
			continue
		}
		bytes, err := e.idle(chart, idleCount, idleSteps)
		if err != nil {
			return fmt.Errorf("idle sessions of %s: %w", e.name, err)
		}
		r.BytesPer = &bytes
		if e.snapshots == nil {
			continue
		}
		take, restore, n, err := e.snapshot(chart, snapshotSteps)
		if err != nil {
			return err
		}
		size := float64(n)
		r.SnapshotTake, r.SnapshotRestore, r.SnapshotBytes = &take, &restore, &size
	}
	for name, n := range nodes {
		r := row(name)
		idle, err := n.ask(chart, question{Op: "idle", Count: nodeCount, Steps: idleSteps})
		if err != nil {
			return err
		}
		snapshot, err := n.ask(chart, question{Op: "snapshot", Steps: snapshotSteps})
		if err != nil {
			return err
		}
		if got := strings.Join(snapshot.Configuration, " "); got != "healthy" {
			return fmt.Errorf("%s restores a session in healthy as %s", name, got)
		}
		r.BytesPer, r.SnapshotTake, r.SnapshotRestore, r.SnapshotBytes = &idle.Bytes, &snapshot.Take, &snapshot.Restore, &snapshot.Bytes
	}
	return nil
}

// million holds a million sessions at once and says how large the process is.
func million(e engine) (string, error) {
	const count = 1_000_000
	all := make([]session, count)
	for i := range all {
		s, err := e.start(charts.All[1])
		if err != nil {
			return "", err
		}
		for k := range idleSteps {
			s.send(k)
		}
		all[i] = s
	}
	runtime.GC()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", fmt.Errorf("resident size: %w", err)
	}
	runtime.KeepAlive(all)
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return fmt.Sprintf("A million sessions of the lifecycle in one process: resident %s.", strings.TrimSpace(kib)), nil
		}
	}
	return "", fmt.Errorf("resident size: no VmRSS in /proc/self/status")
}
