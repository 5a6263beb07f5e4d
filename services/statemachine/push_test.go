// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
)

// TestPushRefusesWhatCannotWork pushes charts that can be run and cannot do what they
// say, as any client may. They are refused with the place, wherever charts run.
func TestPushRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	const lamp = `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0">
<datamodel><data id="n" expr="0"/></datamodel>
<state id="off"><transition event="press" cond="n &lt; 9" target="on"/></state>
<state id="on"><onentry><send event="dark" delay="2s"/></onentry><transition event="dark" target="off"/></state>
</scxml>`
	r := newRig(t)
	confined := confinedRig(t)
	for _, test := range []struct {
		name, old, new string
		line           uint32 // of the refusal; 0 when it is stored
	}{
		{"good", "", "", 0},
		{"expression", `expr="0"`, `expr="0 +"`, 2},
		{"condition", `n &lt; 9`, `n &lt;&lt; `, 3},
		{"delay", `2s`, `20 sec`, 4},
		{"admit", `id="off"`, `id="off" cr:admit="maybe"`, 3},
		{"two", `expr="0"/></datamodel>`, `expr="0 +"/><data id="m" expr="1 +"/></datamodel>`, 2},
		{"unreachable", `</scxml>`, `<state id="never"/></scxml>`, 0},
		{"warning", `<send `, `<cancel sendid="nothing"/><send `, 0},
	} {
		document := strings.Replace(lamp, test.old, test.new, 1)
		for where, r := range map[string]*rig{"here": r, "in the sandbox": confined} {
			err := r.push(test.name, document)
			stored := func() bool {
				_, err := r.create(&fleetv1.CreateInstanceRequest{Chart: test.name})
				return err == nil
			}
			if test.line == 0 {
				if err != nil || !stored() {
					t.Errorf("push of %s, run %s: %v", test.name, where, err)
				}
				continue
			}
			d := reason(t, err)
			if status.Code(err) != codes.InvalidArgument || d.GetReason() != fleetv1.Reason_REASON_CHART_INVALID || d.GetLine() != test.line || d.GetColumn() == 0 {
				t.Errorf("push of %s, run %s: %v with %v, want CHART_INVALID in line %d", test.name, where, err, d, test.line)
			}
			if told := strings.Contains(status.Convert(err).Message(), "tells 1 more"); told != (test.name == "two") {
				t.Errorf("push of %s, run %s: it tells of another mistake: %v", test.name, where, err)
			}
			if stored() {
				t.Errorf("%s was stored", test.name)
			}
			if err := r.force(test.name, document); err != nil || !stored() {
				t.Errorf("push of %s by force, run %s: %v", test.name, where, err)
			}
		}
	}
	if err := r.force("syntax", strings.Replace(lamp, `target="on"`, `target="nowhere"`, 1)); reason(t, err).GetReason() != fleetv1.Reason_REASON_CHART_INVALID {
		t.Errorf("push by force of what cannot be read: %v", err)
	}
}

// force pushes a chart whatever lint finds.
func (r *rig) force(name, document string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := r.api.PushChart(ctx, &statemachinev1.PushChartRequest{Request: &fleetv1.PushChartRequest{Name: name, Document: document, Force: true}})
	return err
}
