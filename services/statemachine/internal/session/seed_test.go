// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// TestStartIsLoggedWithItsSeed checks that the first step of a session can be taken
// again from its log entry.
func TestStartIsLoggedWithItsSeed(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	chart, err := Compile("dice", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="thrown" expr="Math.random()"/></datamodel><state id="s"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	b.i.chart = chart
	out := b.do(func(t *turn) { _ = t.begin(nil) })
	e := out.GetLog()[0]
	again, _, err := scxml.Start(chart.Chart, scxml.Input{Now: e.GetTime().AsTime(), Seed: e.GetSeed(), SessionID: b.i.id})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := again.Value("thrown")
	if want, _ := b.i.ip.Value("thrown"); got != want {
		t.Errorf("with the seed of the log %v, it was %v", got, want)
	}
}
