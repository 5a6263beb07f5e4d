// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is one of chartroom's programs, running as a user would run it. It can
// be killed and started again with the same arguments. Its methods are not safe
// for concurrent use, save Log.
type Process struct {
	name string
	argv []string
	env  []string
	log  string

	mu   sync.Mutex // guards cmd and gone
	cmd  *exec.Cmd
	gone chan struct{}
}

// Binary returns the path of one of chartroom's programs and fails the test when
// it has not been built.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("CHARTROOM_BIN")
	if dir == "" {
		dir = Path(t, "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: run make build (%v)", name, err)
	}
	return path
}

// Path returns a path in the repository, whatever package the test is in.
func Path(t testing.TB, elements ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return filepath.Join(append([]string{dir}, elements...)...)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test runs outside the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// Start runs a program of bin/ with the given environment added to the test's own.
// Its output goes to build/e2e/TEST/NAME.log, appended to over restarts, whose end
// a failed test prints. It is killed when the test ends.
func Start(t testing.TB, name string, env []string, program string, arguments ...string) *Process {
	t.Helper()
	p := &Process{name: name, argv: append([]string{Binary(t, program)}, arguments...), env: env}
	dir := Path(t, "build", "e2e", strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.log = filepath.Join(dir, name+".log")
	_ = os.Remove(p.log)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the end of what %s said (%s):\n%s", name, p.log, tail(p.log, 4000))
		}
	})
	p.Restart(t)
	return p
}

// Restart starts the program again after Kill, or the first time.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	// Its own group: an interrupt of the tests ends it by Main, after which
	// nothing that a test still does can start it again.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	gone := make(chan struct{})
	err = started.start(p, cmd, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cmd, p.gone = cmd, gone
	})
	if err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
}

// Kill sends SIGKILL and waits for the end. It does nothing to a process that
// has ended.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// end implements member.
func (p *Process) end() { p.Kill() }

// Stop sends SIGTERM and waits for the end, ten seconds at most before it kills.
func (p *Process) Stop() {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(s)
	<-gone
}

// Signal sends a signal that the process survives.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.PID(), s); err != nil {
		t.Fatalf("%v to %s: %v", s, p.name, err)
	}
}

// PID returns the process id of the present or last run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	gone := p.gone
	p.mu.Unlock()
	select {
	case <-gone:
		return false
	default:
		return true
	}
}

// Log returns everything that the process wrote, over all its runs.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > n {
		b = b[len(b)-n:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return string(b)
}

// Run runs a program of bin/ to its end and returns what it wrote and its exit
// code.
func Run(t testing.TB, env []string, program string, arguments ...string) (stdout, stderr string, exit int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t, program), arguments...)
	cmd.Env = append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), said.String(), ended.ExitCode()
	}
	if err != nil {
		t.Fatalf("run %s %s: %v", program, strings.Join(arguments, " "), err)
	}
	return out.String(), said.String(), 0
}

// given are the ports that this process gave out.
var given sync.Map

// FreeAddress returns an address on loopback that nothing listens on just now. It is
// below the ports that the system gives to whoever dials: a service that was killed
// finds its own free when it comes back.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := given.LoadOrStore(address, true); !taken {
			return address
		}
	}
	t.Fatal("no port between 20000 and 32000 is free")
	return ""
}

// Eventually polls until the condition returns nil and fails the test with its
// last error when that takes longer than the limit.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	started := time.Now()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Since(started) > limit {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, fmt.Errorf("the test ended: %w", err))
		}
	}
}

// Flag is the value that a flag was started with; empty when it was not given.
func (p *Process) Flag(name string) string {
	for k, argument := range p.argv {
		if argument == name && k+1 < len(p.argv) {
			return p.argv[k+1]
		}
	}
	return ""
}
