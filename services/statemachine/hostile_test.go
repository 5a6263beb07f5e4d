// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"strings"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

const hostile = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
	<datamodel><data id="n" expr="0"/><data id="x"/></datamodel>
	<state id="a">
		<transition event="count"><assign location="n" expr="n + 1"/></transition>
		<transition event="loop"><assign location="n" expr="100"/><script>for (;;) {}</script></transition>
		<transition event="grow"><script>x = []; for (;;) { x.push(new Float64Array(100000)) }</script></transition>
		<transition event="arm"><send event="loop" delay="1ms"/></transition>
		<transition event="trap" target="b"/>
	</state>
	<state id="b"><transition event="never" cond="(function() { for (;;) {} })()"/><transition event="count"><assign location="n" expr="n + 1"/></transition></state>
</scxml>`

// Law 10: a chart that does not end costs an event of its own instance, which is
// told in its log, and nothing of anybody else's.
func TestEndlessChartIsStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, document := range map[string]string{"hostile": hostile, "stillborn": strings.Replace(hostile, `<state id="a">`, `<state id="a"><onentry><script>for (;;) {}</script></onentry>`, 1)} {
		if err := r.push(name, document); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "stillborn", Chart: "stillborn"}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("an instance that loops while it starts: %v", err)
	}
	for _, test := range []struct {
		id     string
		events []string
		state  string
		n      string
	}{
		{"h", []string{"count", "loop", "count", "grow", "count", "arm"}, "a", `"n":3`},
		{"trapped", []string{"count", "trap", "count"}, "b", `"n":2`}, // its guard does not end when it is looked at
	} {
		if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: test.id, Chart: "hostile"}); err != nil {
			t.Fatal(err)
		}
		for k, event := range test.events {
			if _, err := r.send(test.id, event, "", nil); err != nil {
				t.Fatalf("%s, %d: %v", event, k, err)
			}
			r.eventually("the timer was tried and dropped", func() bool { return len(r.view(test.id).GetTimers()) == 0 })
		}
		if i := r.view(test.id); !strings.Contains(i.GetDataJson(), test.n) || i.GetState() != test.state {
			t.Errorf("%s is in %s with %s, want %s and %s", test.id, i.GetState(), i.GetDataJson(), test.state, test.n)
		}
	}
	var told []string
	_, entries := r.store.Instance(session.ShardOfInstance("h"), "h")
	for _, e := range entries {
		if e.GetSeverity() == fleetv1.Severity_SEVERITY_ERROR {
			told = append(told, e.GetEvent())
			if !strings.Contains(e.GetSummary(), "interrupted") {
				t.Errorf("%s: %q", e.GetEvent(), e.GetSummary())
			}
		}
	}
	if got := strings.Join(told, " "); got != "loop grow loop" {
		t.Errorf("the log tells of %q", got)
	}
}
