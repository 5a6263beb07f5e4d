// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"strings"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// TestSummariesHaveTheWordsOfTheApplication checks that the log tells in its
// summaries what the application said, not only in its data.
func TestSummariesHaveTheWordsOfTheApplication(t *testing.T) {
	t.Parallel()
	const info, warning = fleetv1.Severity_SEVERITY_INFO, fleetv1.Severity_SEVERITY_WARNING
	b := newBench(t, 10)
	b.say("docker.create", `{"containerId":"c1"}`)
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z"}`)
	b.say("app.ready", `{"sequence":0,"snapshot":0}`)
	tea := func() {
		t.Helper()
		if r := b.ask(t, "tea"); r != nil {
			t.Fatal(r)
		}
	}
	check := func(event, data string, severity fleetv1.Severity, want string) {
		t.Helper()
		log := b.say(event, data).GetLog()
		if len(log) == 0 || log[0].GetSummary() != want || log[0].GetSeverity() != severity {
			t.Errorf("%s %s\n got %v\nwant %v %q", event, data, log, severity, want)
		}
	}
	tea()
	check("app.answer", `{"sequence":1,"error":"only 15 of tea"}`, warning, "The application refused event 1: only 15 of tea.")
	tea()
	check("app.answer", `{"sequence":2,"error":""}`, info, "app.answer; entered breaker.closed, breaker.ready.")
	check("app.event", `{"name":"low_stock","data":{"item":"tea"}}`, info, `The application sent out "low_stock" {"item":"tea"}.`)
	check("app.event", `{"name":"closed"}`, info, `The application sent out "closed".`)
	check("app.event", `{"name":"long","data":"`+strings.Repeat("ä", 300)+`"}`, info, `The application sent out "long" "`+strings.Repeat("ä", 199)+"…")
	check("app.error", `{"message":"disk full"}`, warning, "Running, but the application reports: disk full")
	check("app.error", `{"message":"disk full"}`, warning, "The application reports: disk full.")

	// One that is late says that it answers again, and what.
	tea()
	b.do(func(t *turn) { t.run(stimulus{origin: "timer", event: "breaker.timeout"}) })
	check("app.answer", `{"sequence":3,"error":"sold out!"}`, warning, "The application refused event 3: sold out! Running; it answers again.")
}
