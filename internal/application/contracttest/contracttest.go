// SPDX-License-Identifier: AGPL-3.0-or-later

// Package contracttest checks that a program keeps docs/application-contract.md.
// It plays the part of the agent: it dials the socket, restores, sends events,
// breaks the connection, kills the program with SIGKILL, and compares what the
// program says with what the contract demands.
//
// The program under test must take the event that [Program] names in such a way
// that each one changes its state, and must dump equal states as equal JSON,
// beside what [Program.Comparable] takes out.
package contracttest

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds each wait; a wait ends as soon as what it waits for is there.
const patience = 20 * time.Second

// Program is what is tested.
type Program struct {
	// Command starts it; CHARTROOM_SOCKET is added to the environment.
	Command []string
	// Env is added to the environment, as NAME=VALUE.
	Env []string
	// Event is an event that changes the state each time, with Data(n) as the
	// data of the n-th.
	Event string
	Data  func(n int) any
	// Comparable takes out of a snapshot what may differ between two dumps of
	// the same state, such as a time; nil when there is nothing.
	Comparable func(snapshot any) any
}

// message is any line of the program.
type message struct {
	Type     string `json:"type"`
	Run      string `json:"run"`
	Sequence uint64 `json:"sequence"`
	Snapshot any    `json:"snapshot"`
	Error    string `json:"error"`
	Message  string `json:"message"`
}

// Check runs the whole contract against p.
func Check(t *testing.T, p Program) {
	t.Helper()
	// A socket's path is limited to about 100 bytes, which t.TempDir may pass.
	dir, err := os.MkdirTemp("", "contract-")
	if err != nil {
		t.Fatalf("make a directory for the socket: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &checker{t: t, program: p, socket: filepath.Join(dir, "app.sock"), run: "2026-01-02T03:04:05.000000006Z"}

	// A clean start, then five events: snapshot before answer, each contained.
	c.start()
	c.restore(nil, 0)
	var last any
	for n := uint64(1); n <= 5; n++ {
		last = c.event(n)
	}
	// A repeat is answered and changes nothing.
	c.send(c.eventLine(3))
	c.expectAnswer(3)
	if diff := c.diff(last, c.takeSnapshot(5)); diff != "" {
		t.Errorf("the repeat of event 3 changed the state (-before +after):\n%s", diff)
	}
	// The connection breaks: the state stays.
	c.dial()
	c.send(map[string]any{"type": "restore", "run": c.run, "snapshot": nil, "sequence": 0, "resume": true})
	if got := c.expect("ready"); got.Sequence != 5 {
		t.Errorf("after the connection broke ready says %d, want 5", got.Sequence)
	}
	if diff := c.diff(last, c.takeSnapshot(5)); diff != "" {
		t.Errorf("the broken connection changed the state (-before +after):\n%s", diff)
	}
	// Killed in the middle: restored from the snapshot of event 4, it is sent
	// 5 again and then goes on with 6.
	four := c.replayTo(4)
	c.kill()
	c.run = "2026-01-02T03:05:05.000000006Z"
	c.start()
	c.restore(four, 4)
	if diff := c.diff(four, c.takeSnapshot(4)); diff != "" {
		t.Errorf("restored is not what was dumped (-dumped +restored):\n%s", diff)
	}
	if diff := c.diff(last, c.event(5)); diff != "" {
		t.Errorf("event 5 replayed ends elsewhere (-first +replayed):\n%s", diff)
	}
	c.event(6)
	c.terminate()
}

// checker is the agent's side of one test. It is used by one goroutine.
type checker struct {
	t       *testing.T
	program Program
	socket  string
	run     string
	cmd     *exec.Cmd
	exited  chan struct{}
	conn    net.Conn
	lines   *bufio.Scanner
}

// start starts the program over whatever an earlier run left behind, and dials.
func (c *checker) start() {
	c.t.Helper()
	c.cmd = exec.Command(c.program.Command[0], c.program.Command[1:]...)
	c.cmd.Env = append(append(os.Environ(), "CHARTROOM_SOCKET="+c.socket), c.program.Env...)
	c.cmd.Stdout, c.cmd.Stderr = c.t.Output(), c.t.Output()
	// A program may have children, as a shell has: the group is killed as a
	// container is.
	// Children that outlive it may hold its output open: do not wait for them.
	c.cmd.WaitDelay = 100 * time.Millisecond
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatalf("start %v: %v", c.program.Command, err)
	}
	cmd, exited := c.cmd, make(chan struct{})
	c.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
	c.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); <-exited })
	c.dial()
}

// dial connects, again and again until the program listens, as the agent does.
func (c *checker) dial() {
	c.t.Helper()
	if c.conn != nil {
		_ = c.conn.Close()
	}
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for end := time.After(patience); ; {
		conn, err := net.Dial("unix", c.socket)
		if err == nil {
			c.conn = conn
			c.lines = bufio.NewScanner(conn)
			c.lines.Buffer(nil, 4<<20+1)
			return
		}
		select {
		case <-retry.C:
		case <-c.exited:
			c.t.Fatal("the program ended instead of listening")
		case <-end:
			c.t.Fatalf("nothing listens at CHARTROOM_SOCKET: %v", err)
		}
	}
}

// diff compares two states.
func (c *checker) diff(a, b any) string {
	if c.program.Comparable != nil {
		a, b = c.program.Comparable(a), c.program.Comparable(b)
	}
	return cmp.Diff(a, b)
}

func (c *checker) kill() {
	c.t.Helper()
	if err := syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		c.t.Fatalf("kill: %v", err)
	}
	<-c.exited
}

// terminate asks it to end, as docker stop does.
func (c *checker) terminate() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatalf("terminate: %v", err)
	}
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Errorf("it does not end on SIGTERM")
	}
}

func (c *checker) send(v any) {
	c.t.Helper()
	line, err := json.Marshal(v)
	if err != nil {
		c.t.Fatalf("encode: %v", err)
	}
	if _, err := c.conn.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// next reads one line of the program, skipping what it says on its own.
func (c *checker) next() message {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	for c.lines.Scan() {
		var m message
		if err := json.Unmarshal(c.lines.Bytes(), &m); err != nil {
			c.t.Fatalf("not a message: %q: %v", c.lines.Text(), err)
		}
		if m.Run != c.run {
			c.t.Errorf("%s has the run %q, want %q", m.Type, m.Run, c.run)
		}
		if m.Type == "error" {
			c.t.Errorf("the program reports a fault: %s", m.Message)
		}
		if m.Type != "event" {
			return m
		}
	}
	c.t.Fatalf("no answer: %v", c.lines.Err())
	return message{}
}

// expect reads up to the next message of the type. Only snapshots may come in
// between: a program may send one whenever it likes.
func (c *checker) expect(kind string) message {
	c.t.Helper()
	for {
		m := c.next()
		if m.Type == kind {
			return m
		}
		if m.Type != "snapshot" {
			c.t.Fatalf("got %+v, want %s", m, kind)
		}
	}
}

func (c *checker) restore(snapshot any, sequence uint64) {
	c.t.Helper()
	c.send(map[string]any{"type": "restore", "run": c.run, "snapshot": snapshot, "sequence": sequence})
	if got := c.expect("ready"); got.Sequence != sequence {
		c.t.Errorf("restored to %d, ready says %d", sequence, got.Sequence)
	}
}

func (c *checker) eventLine(n uint64) any {
	return map[string]any{
		"type": "event", "run": c.run, "sequence": n,
		"name": c.program.Event, "data": c.program.Data(int(n)),
	}
}

// event sends the n-th event and returns the snapshot that must come before
// the answer.
func (c *checker) event(n uint64) any {
	c.t.Helper()
	c.send(c.eventLine(n))
	var snapshot any
	for {
		switch m := c.next(); {
		case m.Type == "snapshot" && m.Sequence == n:
			snapshot = m.Snapshot
		case m.Type == "snapshot" && m.Sequence < n: // of before
		case m.Type == "answer" && m.Sequence == n && m.Error == "":
			if snapshot == nil {
				c.t.Errorf("event %d was answered without a snapshot that contains it", n)
			}
			return snapshot
		default:
			c.t.Fatalf("event %d: got %+v", n, m)
		}
	}
}

func (c *checker) expectAnswer(n uint64) {
	c.t.Helper()
	if m := c.expect("answer"); m.Sequence != n || m.Error != "" {
		c.t.Errorf("got %+v, want the answer to %d", m, n)
	}
}

func (c *checker) takeSnapshot(contained uint64) any {
	c.t.Helper()
	c.send(map[string]any{"type": "take_snapshot", "run": c.run})
	m := c.expect("snapshot")
	if m.Sequence != contained {
		c.t.Errorf("the snapshot contains %d, want %d", m.Sequence, contained)
	}
	return m.Snapshot
}

// replayTo brings the running program back to a clean start and to event n.
func (c *checker) replayTo(n uint64) any {
	c.t.Helper()
	c.dial()
	c.restore(nil, 0)
	var snapshot any
	for i := uint64(1); i <= n; i++ {
		snapshot = c.event(i)
	}
	return snapshot
}
