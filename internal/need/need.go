// SPDX-License-Identifier: AGPL-3.0-or-later

// Package need says what a test needs from the machine: an engine, a Redis, a
// browser. A test without it is skipped, unless CHARTROOM_REQUIRE names it: then
// the missing thing is a failure, so that continuous integration cannot pass by
// having nothing to test with.
//
// The functions are safe for concurrent use and start nothing but the Redis
// that a test asks for, which ends with the test.
package need

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Required reports whether CHARTROOM_REQUIRE, a list separated by commas, names
// what: engine, redis, browser, compose or conformance.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("CHARTROOM_REQUIRE"), ","), what)
}

// Missing ends the test because what is not there: skipped, or failed where
// CHARTROOM_REQUIRE names it. The words "needs what" are read by the stage runner.
func Missing(t testing.TB, what, why string) {
	t.Helper()
	if Required(what) {
		t.Fatalf("needs %s, which CHARTROOM_REQUIRE names: %s", what, why)
	} else {
		t.Skipf("needs %s: %s", what, why)
	}
}

// Label marks everything that a test makes on an engine; its value is [Run].
const Label = "chartroom.test"

// Run tells this run of the tests from others: CHARTROOM_TEST_RUN, which
// scripts/tidy sets and removes everything by that is labelled with it, or the
// process id.
func Run() string {
	if id := os.Getenv("CHARTROOM_TEST_RUN"); id != "" {
		return id
	}
	return strconv.Itoa(os.Getpid())
}

// Engine ends the test unless a Docker engine answers at DOCKER_HOST or the
// default socket.
func Engine(t testing.TB) {
	t.Helper()
	network, address := "unix", "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		network, address, _ = strings.Cut(host, "://")
	}
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		Missing(t, "engine", err.Error())
	}
	_ = c.Close()
}

// Redis starts a redis-server of the test's own on a unix socket, with the
// given arguments added to it, and returns the socket's path. It has no
// persistence unless the arguments turn it on, and is killed when the test
// ends. The test is ended as by [Missing] where redis-server is not installed.
func Redis(t testing.TB, arguments ...string) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		Missing(t, "redis", "redis-server is not installed")
	}
	// A socket's path is limited to about 100 bytes, which t.TempDir may pass.
	dir, err := os.MkdirTemp("", "chartroom-redis-")
	if err != nil {
		t.Fatalf("make a directory for redis: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, append([]string{
		"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction",
	}, arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe from redis: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start redis: %v", err)
	}
	ready := make(chan error, 1)
	go watchRedis(out, ready)
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	select {
	case err := <-ready:
		if err != nil {
			t.Fatalf("redis did not start: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("redis did not start within 20 s")
	}
	return socket
}

// watchRedis reads the server's log to its end and reports once: nil when it
// accepts connections, else what it said before it ended.
func watchRedis(log io.Reader, ready chan<- error) {
	lines := bufio.NewScanner(log)
	var said []string
	told := false
	for lines.Scan() {
		if told {
			continue
		}
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "eady to accept connections") { // "Ready" or "is now ready", by version
			told = true
			ready <- nil
		}
	}
	if !told {
		ready <- fmt.Errorf("redis-server ended: %s", strings.Join(said, "\n"))
	}
}

// Conformance returns the folder of conformance suites that CHARTROOM_CONFORMANCE
// names, and ends the test where there is none.
func Conformance(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("CHARTROOM_CONFORMANCE")
	if dir == "" {
		Missing(t, "conformance", "CHARTROOM_CONFORMANCE is not set")
	}
	if _, err := os.Stat(dir); err != nil {
		Missing(t, "conformance", err.Error())
	}
	return dir
}
