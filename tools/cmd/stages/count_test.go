// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

const recorded = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: needs engine: no such file\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.2}
{"Action":"skip","Package":"q","Elapsed":0}
`

func TestCountGoTests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		required []string
		failures []string
		skipped  []string
	}{
		{"a skip is a skip", nil, []string{"p TestB"}, []string{"p TestC: c_test.go:9: needs engine: no such file"}},
		{"a skip of what is required fails", []string{"redis", "engine"},
			[]string{"p TestB", "p TestC was skipped, but CHARTROOM_REQUIRE names engine"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r result
			var out bytes.Buffer
			countGoTests(strings.NewReader(recorded), &out, &r, test.required)
			if r.passed != 1 || !slices.Equal(r.failures, test.failures) || !slices.Equal(r.skipped, test.skipped) {
				t.Errorf("got %d passed, failures %q, skipped %q", r.passed, r.failures, r.skipped)
			}
			if !strings.Contains(out.String(), "got 1, want 2") {
				t.Errorf("what the failed test said is not shown:\n%s", &out)
			}
		})
	}
}

func TestCountGoTestsNamesAPackageThatDidNotFinish(t *testing.T) {
	t.Parallel()
	var r result
	countGoTests(strings.NewReader(`{"Action":"output","Package":"p","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}
`), io.Discard, &r, nil)
	if want := []string{"p did not finish its tests"}; !slices.Equal(r.failures, want) {
		t.Errorf("got %q, want %q", r.failures, want)
	}
}

func TestCountNodeTests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, output            string
		passed, failed, skipped int
	}{
		{"tap", "# tests 5\n# pass 3\n# fail 1\n# skipped 1\n", 3, 1, 1},
		{"node", "ℹ pass 4\nℹ fail 0\n", 4, 0, 0},
		{"playwright", "  \x1b[32m7 passed\x1b[39m (3.1s)\n  2 failed\n", 7, 2, 0},
		{"vitest", "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[2m | \x1b[22m3 passed\x1b[90m (4)\x1b[39m\n", 3, 1, 0},
		{"vitest counts files too", " Test Files  1 passed (1)\n      Tests  3 passed (3)\n", 3, 0, 0},
		{"a line of prose", "the test says 3 passed cars\n", 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r result
			countNodeTests(strings.NewReader(test.output), io.Discard, &r)
			failed, skipped := len(r.failures)+r.failedMore, len(r.skipped)+r.skippedMore
			if r.passed != test.passed || failed != test.failed || skipped != test.skipped {
				t.Errorf("got %d passed, %d failed, %d skipped; want %d, %d, %d", r.passed, failed, skipped, test.passed, test.failed, test.skipped)
			}
		})
	}
}

func TestSummaryEndsInTheLineThatCounts(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ok := summarize(&out, []result{
		{stage: stage{name: "unit", hint: "look"}, passed: 3, failures: []string{"p TestB"}, skipped: []string{"p TestC"}},
		{stage: stage{name: "e2e"}, notRun: true},
	})
	if ok || !strings.HasSuffix(out.String(), "\n3 passed, 2 failed, 1 skipped\n") {
		t.Errorf("ok %v, summary:\n%s", ok, &out)
	}
}
