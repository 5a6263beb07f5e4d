// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// busy are bounded charts that make as much of one event as they can, each in its
// own way: the dearest of the recipes of package scxml, and two whose trace is long.
var busy = map[string]string{
	"texts": `<datamodel><data id="s" expr="'x'"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
		<state id="a"><transition target="a"><assign location="s" expr="'x'"/>` + strings.Repeat(`<assign location="s" expr="s+s"/>`, 19) + `</transition></state>`,
	"numbers": `<datamodel><data id="x" expr="0.1234567890123"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
		<state id="a"><transition target="a">` + strings.Repeat(`<if cond="`+strings.Repeat("x+'a'+", 15)+`'b' == 'a'"/>`, 1000) + `</transition></state>`,
	"lists": `<datamodel><data id="x">[` + strings.Repeat("[],", 99_999) + `[]]</data><data id="y"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
		<state id="a"><transition target="a">` + strings.Repeat(`<assign location="y" expr="x"/>`, 10) + `</transition></state>`,
	"faults": `<datamodel><data id="x" expr="0"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
		<state id="a">` + strings.Repeat(`<transition cond="nothing" target="idle"/>`, 1000) + `<transition target="a"/></state>`,
	"long names": `<state id="idle"><transition event="go" target="` + long + `"/></state><state id="` + long + `"><transition target="` + long + `"/></state>`,
	"long guards": `<datamodel><data id="x" expr="0"/></datamodel><state id="idle"><transition event="go" target="a"/></state>
		<state id="a"><transition cond="x != '` + strings.Repeat("g", 60_000) + `'" target="a"/></state>`,
}

var long = strings.Repeat("n", 200_000)

// BenchmarkNeighbours reports how long another instance of the same worker waits
// for its answer while a chart of [busy] has its event. They are pushed by force:
// lint finds that most of them do not end.
func BenchmarkNeighbours(b *testing.B) {
	for name, body := range busy {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			for chart, body := range map[string]string{"busy": body, "lamp": `<state id="on"><transition event="press"/></state>`} {
				if err := r.force(chart, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">`+body+`</scxml>`); err != nil {
					b.Fatal(err)
				}
			}
			// As many lamps as there may be workers several times over.
			lamps := make([]string, 64)
			for n := range lamps {
				lamps[n] = fmt.Sprint("lamp", n)
				if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: lamps[n], Chart: "lamp"}); err != nil {
					b.Fatal(err)
				}
			}
			var waits []time.Duration
			for n := 0; b.Loop(); n++ {
				id := fmt.Sprint("busy", n)
				if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: id, Chart: "busy"}); err != nil {
					b.Fatal(err)
				}
				done := make(chan error, len(lamps)+1)
				took := make(chan time.Duration, len(lamps)+1)
				begin := time.Now()
				for _, to := range append([]string{id}, lamps...) {
					event := "press"
					if to == id {
						event = "go"
					}
					go func() {
						_, err := r.send(to, event, "", nil)
						took <- time.Since(begin)
						done <- err
					}()
				}
				longest := time.Duration(0)
				for range len(lamps) + 1 {
					longest = max(longest, <-took)
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
				waits = append(waits, longest)
				if n == 0 {
					b.Log(r.view(id).GetWhy())
				}
			}
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)/2].Milliseconds()), "wait-ms")
			b.ReportMetric(float64(waits[len(waits)-1].Milliseconds()), "wait-ms-max")
		})
	}
}
