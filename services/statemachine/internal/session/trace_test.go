// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/scxml"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// What a log entry tells of a step is bounded, however long names and conditions are.
func TestTraceIsBounded(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("n", traceBytes/10)
	chart, err := Compile("long", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="go" target="`+name+`"/></state>
		<state id="`+name+`"><transition target="`+name+`"/></state></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	ip, _, err := scxml.Start(chart.Chart, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	step, err := ip.Deliver(scxml.Event{Name: "go"}, scxml.Input{})
	if err != nil || len(step.Microsteps) < 1000 {
		t.Fatalf("%d microsteps, %v, want thousands", len(step.Microsteps), err)
	}
	e := &fleetv1.LogEntry{}
	(&turn{instance: &Instance{chart: chart, ip: ip, view: &fleetv1.Instance{}}}).describe(e, stimulus{event: "go"}, step, 0)
	if got := proto.Size(e); got > 2*traceBytes {
		t.Errorf("the entry has %d bytes, want about %d at most", got, traceBytes)
	}
	last := e.GetMicrosteps()[len(e.GetMicrosteps())-1].GetMessages()
	if want := fmt.Sprintf("(%d more microsteps", len(step.Microsteps)-len(e.GetMicrosteps())+1); len(last) != 1 || !strings.HasPrefix(last[0], want) {
		t.Errorf("the last microstep says %q, want %q", last, want)
	}
}

// All that one input does is written in one message, so that what it logs is bounded,
// whatever a chart writes and however much follows from it.
func TestWhatOneInputLogsIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	chart, err := Compile("wordy", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><state id="a">
  <transition event="lines"><foreach array="_event.data.l" item="i"><log label="x" expr="_event.data.s"/></foreach></transition>
  <transition event="follow error.communication"><log expr="s"/><log expr="s"/><send type="chartroom:instance" event="no.such"/></transition>
</state><datamodel><data id="s"/></datamodel></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	b.i.chart = chart
	b.do(func(t *turn) { _ = t.begin(map[string]any{"s": strings.Repeat("\u0001", 80_000)}) })
	lines := map[string]any{"l": make([]any, 700), "s": strings.Repeat("\u0001", 20_000)}
	for event, data := range map[string]any{"lines": lines, "follow": nil} {
		out := b.do(func(t *turn) { t.run(stimulus{origin: "event", event: event, data: data}) })
		size, told := 0, ""
		for _, e := range out.GetLog() {
			size += proto.Size(e)
			told += fmt.Sprint(e.GetSummary(), e.GetMicrosteps(), e.GetEffects())
		}
		if size > maxTurnBytes+8*traceBytes {
			t.Errorf("%s: %d bytes in the log", event, size)
		}
		if !strings.Contains(told, "not told") && !strings.Contains(told, "the rest was dropped") {
			t.Errorf("%s: the log does not say that something is left out", event)
		}
	}
}
