// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"maps"
	"slices"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// A store that was emptied, or replaced by an older copy, hears from the agents what
// it does not know, and nothing is commanded meanwhile (law 5). The charts command
// what each observation asks for, as if it were news. These commands wait in the
// outbox, and some are for what was done long ago:
//
//	 docker.start         app.ready                        host.relisted
//	──────┴───────────────────┴───────────────────────────────────┴──────▶
//	      restore waits       taken back: it has its state        the others go
//
// Of a run whose app.ready is in no journal any more, app.cursor says as much.

// supersede takes commands back that have not gone out, since what they are for was
// done before, by the store that is lost.
func (t *turn) supersede(done func(*agentv1.Command) bool) {
	if t.shard.commandable(t.instance.view.GetHostId()) {
		return
	}
	for _, row := range slices.Clone(t.instance.outbox) {
		if row.GetHostId() != "" && done(row.GetCommand()) {
			t.settle(row.GetCommand().GetCommandId())
		}
	}
}

// restoresRun says whether a command gives a state to the application of a run. One
// that is laid into a container before it is started has none, and is answered.
func restoresRun(c *agentv1.Command) bool { return c.GetVerb() == "restore" && c.GetRunTime() != nil }

// cursor takes in how far the application of a run is that was ready: an agent tells
// so before it inspects everything anew.
func (t *turn) cursor(data map[string]any) {
	i := t.instance
	i.reached = data
	if t.overtaken(number(data["sequence"])) && i.book.Ready {
		// The answer that the chart waits for was told to the store that is
		// lost, and does not come again.
		answer := maps.Clone(data)
		answer["error"] = ""
		t.run(stimulus{origin: "observation", event: "app.answer", data: answer, inferred: true})
	}
	t.resumed()
}

// resumed tells the chart that an application is ready which was before the store
// heard of its run, instead of giving it another state.
func (t *turn) resumed() {
	i := t.instance
	began := i.view.GetTarget().GetStartedTime()
	run, ok := startTime(i.reached["run"])
	if i.book.Ready || t.shard.commandable(i.view.GetHostId()) || !ok || began == nil || !run.Equal(began.AsTime()) ||
		!slices.ContainsFunc(i.outbox, func(row *snapshotv1.OutboxRow) bool { return restoresRun(row.GetCommand()) }) {
		return
	}
	data := maps.Clone(i.reached)
	data["snapshot"], data["resumed"] = float64(0), true
	t.before(&agentv1.Observation{Event: "app.ready"}, data)
	t.run(stimulus{origin: "observation", event: "app.ready", data: data, inferred: true})
}
