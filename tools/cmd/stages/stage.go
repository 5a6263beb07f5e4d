// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How the output of a stage's commands is counted.
const (
	countCommands = iota // each command is one check
	countGo              // go test -json
	countNode            // the closing lines of node's test runner or Playwright
)

// A stage is one part of the test run.
type stage struct {
	name string
	// why says in plain words what the stage finds out.
	why string
	// commands run in order until one fails.
	commands [][]string
	// count is one of the constants above.
	count int
	// foundation stages end the run when they fail.
	foundation bool
	// hint says what to do when the stage fails.
	hint string
}

// stages is the whole run in its order. required is CHARTROOM_REQUIRE.
func stages(required []string) []stage {
	all := []stage{
		{
			name: "bootstrap", why: "what the tests need is installed and an engine answers", foundation: true,
			commands: [][]string{{"scripts/bootstrap", "test"}},
			hint:     "run scripts/bootstrap test and read what it says",
		},
		{
			name: "build", why: "the dashboard and every binary, static", foundation: true,
			commands: [][]string{{"scripts/build"}},
			hint:     "run make build",
		},
		{
			name: "lint", why: "format, vet, staticcheck, licence headers, protocol, the agent on other boards",
			commands: [][]string{{"scripts/lint", "format"}, {"scripts/lint", "headers"}, {"scripts/lint", "vet"},
				{"scripts/lint", "staticcheck"}, {"scripts/lint", "modules"}, {"scripts/lint", "proto"}, {"scripts/lint", "cross"}, {"scripts/lint", "dashboard"}},
			hint: "run make lint; gofmt -w and make generate mend most of it",
		},
		{
			name: "drift", why: "the committed generated code is what the generator makes",
			commands: [][]string{{"scripts/generate", "--verify"}},
			hint:     "run make generate and commit the result",
		},
		{
			name: "unit", why: "unit and scenario tests of every module", count: countGo,
			commands: [][]string{{"scripts/tidy", "go", "test", "-json", "./...", "./scxml/...", "./proto/...", "./bench/..."},
				{"env", "GOWORK=off", "go", "test", "-C", "tools", "-json", "./cmd/..."}},
			hint: "run go test on the package named above",
		},
		{
			name: "dashboard", why: "unit tests of the dashboard", count: countNode,
			commands: [][]string{{"npm", "--prefix", "web/dashboard", "test", "--silent"}},
			hint:     "run npm test in web/dashboard",
		},
		{
			name: "race", why: "what has goroutines, under the race detector", count: countGo,
			commands: [][]string{{"scripts/tidy", "env", "CGO_ENABLED=1", "go", "test", "-json", "-race", "-short", "./internal/...", "./services/...", "./cmd/...", "./scxml/scxmlenv/..."},
				// The kernel has no goroutines; what its sessions share is theirs to read.
				{"env", "CGO_ENABLED=1", "go", "test", "-json", "-race", "-run", "^(TestChartIsShared|TestChartRemembersForAll)$", "./scxml"}},
			hint: "run go test -race on the package named above",
		},
		{
			name: "browser", why: "the dashboard in Chromium against the real gateway", count: countNode,
			commands: [][]string{{"scripts/browser"}},
			hint:     "run make browser; screenshots of what failed are in build/browser",
		},
		{
			name: "e2e", why: "the binaries against the real engine and a real Redis, with real kills", count: countGo,
			commands: [][]string{{"scripts/e2e"}},
			hint:     "run make e2e; the logs of the processes are in build/e2e",
		},
		{
			name: "demo", why: "the unattended demo: nothing lost, nothing doubled",
			commands: [][]string{{"scripts/fault", "none"}},
			hint:     "run make demo ONCE=1",
		},
		{
			name: "faults", why: "a demo with a fault built in must be found out",
			commands: [][]string{{"scripts/fault", "drop"}, {"scripts/fault", "twice"}, {"scripts/fault", "stale"}},
			hint:     "run FAULT=drop make demo ONCE=1 (or twice, stale): it ended well although something was wrong",
		},
	}
	if os.Getenv("CHARTROOM_CONFORMANCE") != "" || slices.Contains(required, "conformance") {
		all = append(all, stage{
			name: "conformance", why: "the SCXML suites beside the checkout", count: countGo,
			commands: [][]string{{"go", "test", "-json", "./scxml/conformance/..."}},
			hint:     "set CHARTROOM_CONFORMANCE to the folder of the suites",
		})
	}
	return all
}

// execute runs the stage's commands and counts. It never returns an error: what
// went wrong is in the result.
func (s stage) execute(ctx context.Context, required []string) result {
	r := result{stage: s}
	log, err := os.Create(filepath.Join("build", "test", s.name+".log"))
	if err != nil {
		r.fail(err.Error())
		return r
	}
	defer log.Close()
	for _, argv := range s.commands {
		before := len(r.failures)
		err := s.command(ctx, argv, log, &r, required)
		switch {
		case ctx.Err() != nil:
			r.fail("interrupted")
			return r
		case err != nil && (s.count == countCommands || len(r.failures) == before):
			// With counted tests the failed ones have been named already.
			r.fail(fmt.Sprintf("%s: %v", strings.Join(argv, " "), err))
		case s.count == countCommands:
			r.passed++
		}
	}
	return r
}

// command runs argv in a process group of its own, its output going to the log
// and through the stage's counter.
func (s stage) command(ctx context.Context, argv []string, log io.Writer, r *result, required []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	pipe, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	done := make(chan struct{})
	go func() {
		defer close(done)
		out := io.TeeReader(pipe, log)
		switch s.count {
		case countGo:
			countGoTests(out, os.Stdout, r, required)
		case countNode:
			countNodeTests(out, os.Stdout, r)
		default:
			_, _ = io.Copy(os.Stdout, out)
		}
		_, _ = io.Copy(io.Discard, pipe)
	}()
	err := cmd.Run()
	_ = writer.Close()
	<-done
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("exit code %d", exit.ExitCode())
	}
	return err
}
