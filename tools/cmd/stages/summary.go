// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"io"
	"time"
)

// A result is what one stage came to.
type result struct {
	stage             stage
	took              time.Duration
	passed, minimum   int
	failures, skipped []string // names with what is known about each
	// failedMore and skippedMore count what has no name of its own.
	failedMore, skippedMore int
	// notRun means that an earlier stage ended the run.
	notRun bool
}

// fail notes one failed test or check.
func (r *result) fail(what string) { r.failures = append(r.failures, what) }

// summarize writes the closing table and the line that counts, and reports
// whether everything passed.
func summarize(w io.Writer, results []result) bool {
	var passed, failed, skipped int
	var took time.Duration
	fmt.Fprintf(w, "\n%-12s %8s %8s %8s %8s %8s\n", "stage", "minutes", "passed", "minimum", "failed", "skipped")
	for _, r := range results {
		if r.notRun {
			fmt.Fprintf(w, "%-12s not run\n", r.stage.name)
			continue
		}
		f, s := len(r.failures)+r.failedMore, len(r.skipped)+r.skippedMore
		fmt.Fprintf(w, "%-12s %8.1f %8d %8d %8d %8d\n", r.stage.name, r.took.Minutes(), r.passed, r.minimum, f, s)
		passed, failed, skipped, took = passed+r.passed, failed+f, skipped+s, took+r.took
	}
	fmt.Fprintf(w, "%-12s %8.1f\n", "all", took.Minutes())
	for _, r := range results {
		for _, s := range r.skipped {
			fmt.Fprintf(w, "skipped in %s: %s\n", r.stage.name, s)
		}
	}
	for _, r := range results {
		for _, f := range r.failures {
			fmt.Fprintf(w, "failed in %s: %s\n", r.stage.name, f)
		}
		if len(r.failures) > 0 {
			fmt.Fprintf(w, "  what to do: %s (the whole output is in build/test/%s.log)\n", r.stage.hint, r.stage.name)
		}
		if r.notRun {
			failed++
			fmt.Fprintf(w, "failed in %s: not run\n", r.stage.name)
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return failed == 0
}
