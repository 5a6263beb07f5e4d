// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

const alarm = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="alarm" datamodel="ecmascript" initial="armed">
  <datamodel><data id="rung" expr="0"/></datamodel>
  <state id="armed">
    <onentry><send event="ring" delay="3s"/></onentry>
    <transition event="ring" target="ringing"/>
  </state>
  <state id="ringing">
    <onentry><assign location="rung" expr="rung + 1"/></onentry>
    <transition event="ring" target="ringing"/>
  </state>
</scxml>`

// A free-standing chart's delayed send fires once and on time, though the
// statemachine is killed while it waits.
func TestDelayedSendSurvivesAKill(t *testing.T) {
	f := rig.StartCentre(t, "pebble:"+t.TempDir())
	if _, err := f.API.PushChart(t.Context(), &fleetv1.PushChartRequest{Name: "alarm", Document: alarm}); err != nil {
		t.Fatal(err)
	}
	created, err := f.API.CreateInstance(t.Context(), &fleetv1.CreateInstanceRequest{Name: "alarm-1", Chart: "alarm", RequestId: "alarm-1"})
	if err != nil {
		t.Fatal(err)
	}
	due := created.GetInstance().GetCreateTime().AsTime().Add(3 * time.Second)
	f.Statemachine.Kill()
	f.Statemachine.Restart(t)
	i := f.InState(t, "alarm-1", "ringing", 20*time.Second)
	if late := i.GetUpdateTime().AsTime().Sub(due); late < 0 || late > 2*time.Second {
		t.Errorf("it rang %v after it was due", late)
	}
	// A second kill must not ring it again.
	f.Statemachine.Kill()
	f.Statemachine.Restart(t)
	rig.Eventually(t, 20*time.Second, "the fleet answers again", func() error {
		_, err := f.API.SendEvent(t.Context(), &fleetv1.SendEventRequest{InstanceId: "alarm-1", Event: "nothing", RequestId: "after"})
		return err
	})
	log, err := f.API.ListLog(t.Context(), &fleetv1.ListLogRequest{InstanceId: "alarm-1"})
	if err != nil {
		t.Fatal(err)
	}
	rung := 0
	for _, e := range log.GetEntries() {
		if e.GetEvent() == "ring" {
			rung++
		}
	}
	i, err = f.Instance(t, "alarm-1")
	if err != nil {
		t.Fatal(err)
	}
	if rung != 1 || !strings.Contains(strings.ReplaceAll(i.GetDataJson(), " ", ""), `"rung":1`) {
		t.Errorf("it rang %d times by the log, data %s", rung, i.GetDataJson())
	}
}
