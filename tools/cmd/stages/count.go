// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A testEvent is one line of go test -json (go doc test2json).
type testEvent struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
	Elapsed                       float64
}

// needs finds what a skipped test says that it needs.
var needs = regexp.MustCompile(`needs ([a-z]+)`)

// countGoTests reads the output of go test -json to its end. It prints one line
// a package and everything that a failed test said, and counts into r; a skip
// for want of something in required is a failure.
func countGoTests(in io.Reader, out io.Writer, r *result, required []string) {
	said := map[string][]string{} // output by package and test
	counts := map[string]int{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e testEvent
			if json.Unmarshal(line, &e) != nil {
				_, _ = out.Write(line) // the go command's own words, a compile error for example
			} else {
				countGoEvent(e, said, counts, out, r, required)
			}
		}
		if err != nil {
			return
		}
	}
}

func countGoEvent(e testEvent, said map[string][]string, counts map[string]int, out io.Writer, r *result, required []string) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		said[key] = append(said[key], e.Output)
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(out, "ok    %s (%d tests, %.1f s)\n", e.Package, counts[e.Package], e.Elapsed)
			break
		}
		r.passed++
		counts[e.Package]++
	case "fail":
		fmt.Fprint(out, strings.Join(said[key], ""))
		if e.Test == "" {
			fmt.Fprintf(out, "FAIL  %s\n", e.Package)
			if len(r.failures) == 0 || !strings.HasPrefix(r.failures[len(r.failures)-1], e.Package+" ") {
				r.fail(e.Package + " did not finish its tests")
			}
			return
		}
		r.fail(key)
	case "skip":
		if e.Test == "" {
			return // a package without tests
		}
		all := strings.Join(said[key], "")
		if need := needs.FindStringSubmatch(all); need != nil && slices.Contains(required, need[1]) {
			r.fail(key + " was skipped, but CHARTROOM_REQUIRE names " + need[1])
			return
		}
		r.skipped = append(r.skipped, key+": "+reason(all))
	}
	if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
		delete(said, key)
	}
}

// reason is what a skipped test said: the last line that go test did not write.
func reason(output string) string {
	last := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			last = line
		}
	}
	return last
}

// nodeCount finds the closing counts of node's runner ("# pass 12", "ℹ pass 12"),
// and of Playwright ("  12 passed (3s)") and Vitest ("  Tests  3 passed | 1 failed (4)").
var nodeCount = regexp.MustCompile(`^\s*(?:[#ℹ] (pass|fail|skipped|cancelled) (\d+)|(?:Tests  )?(\d+) (passed|failed|skipped|flaky|did not run)(?: \([^)]*\))?)$`)

// escape finds the colours that a terminal understands.
var escape = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// countNodeTests passes the output on and counts what its closing lines say.
func countNodeTests(in io.Reader, out io.Writer, r *result) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		fmt.Fprint(out, line)
		for part := range strings.SplitSeq(strings.TrimRight(escape.ReplaceAllString(line, ""), "\r\n"), " | ") {
			if m := nodeCount.FindStringSubmatch(part); m != nil {
				n, _ := strconv.Atoi(m[2] + m[3])
				countNodeWord(m[1]+m[4], n, r)
			}
		}
		if err != nil {
			return
		}
	}
}

func countNodeWord(word string, n int, r *result) {
	switch {
	case n == 0:
	case word == "pass" || word == "passed":
		r.passed += n
	case word == "skipped":
		r.skipped = append(r.skipped, fmt.Sprintf("%d tests", n))
		r.skippedMore += n - 1
	default:
		r.fail(fmt.Sprintf("%d tests: %s", n, word))
		r.failedMore += n - 1
	}
}
