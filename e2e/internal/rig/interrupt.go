// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// Main runs the tests of a package and exits. An interrupt ends what [Start] and
// [StartEngine] started, whose process groups are their own, and then the test
// program; what is on the engine is left to scripts/tidy.
func Main(m *testing.M) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		started.endAll()
		os.Exit(128 + int(s.(syscall.Signal)))
	}()
	os.Exit(m.Run())
}

// started is everything that would outlive the test program.
var started group

// A group ends its members together.
type group struct {
	mu      sync.Mutex // held for good once they are being ended: nothing starts any more
	members map[member]bool
}

// A member can be ended at any time, more than once, from any goroutine.
type member interface{ end() }

// start starts a command for a member and tells it so by begun.
func (g *group) start(m member, cmd *exec.Cmd, begun func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	begun()
	if g.members == nil {
		g.members = map[member]bool{}
	}
	g.members[m] = true
	return nil
}

// endAll ends all members. The group cannot be used after it.
func (g *group) endAll() {
	g.mu.Lock()
	var ended sync.WaitGroup
	for m := range g.members {
		ended.Go(m.end)
	}
	ended.Wait()
}
