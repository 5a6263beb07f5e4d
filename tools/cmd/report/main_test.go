// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"slices"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	many := func(median float64) timing { return timing{median, slices.Repeat([]float64{median}, 15)} }
	for _, test := range []struct {
		name  string
		r     report
		fault string
		pairs int
		ok    bool
	}{
		{"clean", report{Acknowledged: 200}, "", 0, true},
		{"too few events", report{Acknowledged: 199}, "", 0, false},
		{"lost", report{Acknowledged: 200, Lost: 1}, "", 0, false},
		{"doubled", report{Acknowledged: 200, Doubled: 1}, "", 0, false},
		{"drop found", report{Acknowledged: 200, Lost: 1}, "drop", 0, true},
		{"drop not found", report{Acknowledged: 200}, "drop", 0, false},
		{"twice found", report{Acknowledged: 200, Doubled: 1}, "twice", 0, true},
		{"twice taken for lost", report{Acknowledged: 200, Lost: 1}, "twice", 0, false},
		{"stale found", report{Acknowledged: 200, Lost: 3}, "stale", 0, true},
		{"no such fault", report{Acknowledged: 200, Lost: 3}, "slow", 0, false},
		{"faster", report{Acknowledged: 200, Recovery: many(300), Restart: many(600)}, "", 15, true},
		{"slower", report{Acknowledged: 200, Recovery: many(600), Restart: many(300)}, "", 15, false},
		{"too few pairs", report{Acknowledged: 200, Recovery: many(300), Restart: many(600)}, "", 16, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.r.judge(test.fault, test.pairs); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}
