// SPDX-License-Identifier: AGPL-3.0-or-later

// Command stages runs what `make test` is made of, one stage after another, and
// closes with the minutes that each took, what it counted against the committed
// minimum, and one line `N passed, N failed, N skipped`.
//
// A stage that fails does not keep the next from running, except where the next
// could not: without bootstrap and build nothing else is tried. A skipped test
// that says it needs something named in CHARTROOM_REQUIRE counts as failed, and
// so does a stage that counts fewer tests than tools/minimums.json says, since a
// test that no longer runs looks like one that passes.
//
// An interrupt is passed on to the process group of the running stage, which has
// a minute to clean up after itself: what uses an engine runs under scripts/tidy.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "", "run only these stages, separated by commas")
	list := flag.Bool("list", false, "print the stages and what each is for")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	// The reader of the output may go first. Taken and dropped, so that a write
	// fails and the stage still cleans up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	if err := run(ctx, *root, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// errRed says that a stage failed; the summary has told which and why.
var errRed = errors.New("not everything passed")

func run(ctx context.Context, root, only string, list bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	// tools/ is outside the workspace and was run without it; the rest is not.
	if err := os.Unsetenv("GOWORK"); err != nil {
		return fmt.Errorf("return to the workspace: %w", err)
	}
	// As the binaries are built, so that what both need is compiled once; the
	// race detector alone wants cgo.
	for name, value := range map[string]string{"CGO_ENABLED": "0", "GOFLAGS": strings.TrimSpace(os.Getenv("GOFLAGS") + " -trimpath")} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	required := splitList(os.Getenv("CHARTROOM_REQUIRE"))
	all := stages(required)
	if list {
		for _, s := range all {
			fmt.Printf("%-12s %s\n", s.name, s.why)
		}
		return nil
	}
	chosen, err := choose(all, splitList(only))
	if err != nil {
		return err
	}
	minimums, err := readMinimums("tools/minimums.json")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("build/test", 0o755); err != nil {
		return fmt.Errorf("make build/test: %w", err)
	}

	var results []result
	for i, s := range chosen {
		fmt.Printf("\n== %s: %s\n", s.name, s.why)
		started := time.Now()
		r := s.execute(ctx, required)
		r.took = time.Since(started)
		if minimum := minimums[s.name]; r.passed < minimum && len(r.failures) == 0 && ctx.Err() == nil {
			r.fail(fmt.Sprintf("%d counted, the committed minimum is %d: a test was removed, or did not run (tools/minimums.json)", r.passed, minimum))
		}
		r.minimum = minimums[s.name]
		results = append(results, r)
		if len(r.failures) > 0 && (s.foundation || ctx.Err() != nil) {
			for _, left := range chosen[i+1:] {
				results = append(results, result{stage: left, notRun: true})
			}
			break
		}
	}
	if !summarize(os.Stdout, results) {
		return errRed
	}
	return nil
}

// choose picks the named stages in the order of all; no names means all.
func choose(all []stage, names []string) ([]stage, error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		switch {
		case slices.ContainsFunc(all, func(s stage) bool { return s.name == name }):
		case name == "conformance":
			return nil, errors.New("stages -only conformance: set CHARTROOM_CONFORMANCE to the folder of the suites")
		default:
			return nil, fmt.Errorf("stages -only %s: there is no such stage; see -list", name)
		}
	}
	return slices.DeleteFunc(all, func(s stage) bool { return !slices.Contains(names, s.name) }), nil
}

// readMinimums reads the committed counts: stage name to the least number of
// passed tests.
func readMinimums(path string) (map[string]int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the minimums: %w", err)
	}
	var m map[string]int
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read the minimums from %s: %w", path, err)
	}
	return m, nil
}

// splitList splits at commas and drops what is empty.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
