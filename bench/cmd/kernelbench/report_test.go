// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/bench/charts"
)

// TestRowsThatAreNotThere: an engine runs a chart, or the report says why it does not.
func TestRowsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for _, e := range engines() {
		for _, c := range charts.All {
			if runs, why := slices.Contains(e.charts, c.Name), e.without[c.Name]; runs == (why != "") {
				t.Errorf("%s on %s: run is %v, and the reason not to %q", e.name, c.Name, runs, why)
			}
		}
	}
	written, err := os.ReadFile("../../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := leftOut(engines()); !strings.Contains(string(written), want) {
		t.Errorf("docs/benchmarks.md does not say\n%s", want)
	}
}
