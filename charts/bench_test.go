// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"testing"
)

// BenchmarkApplicationEvent is the cost of one application event to the chart:
// dispatched, dumped, answered.
func BenchmarkApplicationEvent(b *testing.B) {
	d := drive(b, true, nil)
	d.deliver("docker.create", nil)
	d.deliver("docker.start", map[string]any{"startedAt": "2026-01-01T00:00:00Z", "commandId": "bot/1"})
	d.deliver("app.ready", map[string]any{"sequence": 0})
	for n := 1; b.Loop(); n++ {
		d.deliver("breaker.dispatched", map[string]any{"sequence": n})
		d.deliver("app.snapshot", map[string]any{"number": n, "sequence": n})
		d.deliver("app.answer", map[string]any{"sequence": n})
	}
}

// BenchmarkCrash is the cost of a death and of the way back.
func BenchmarkCrash(b *testing.B) {
	d := drive(b, true, nil)
	d.deliver("docker.create", nil)
	for b.Loop() {
		run := d.now.Format("2006-01-02T15:04:05Z")
		d.deliver("docker.start", map[string]any{"startedAt": run, "commandId": "bot/1"})
		d.deliver("app.ready", map[string]any{"sequence": 0})
		d.advance(6e9)
		d.deliver("docker.die", map[string]any{"startedAt": run, "exitCode": 137})
	}
}
