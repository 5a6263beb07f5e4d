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
