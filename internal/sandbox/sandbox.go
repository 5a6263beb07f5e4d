// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sandbox runs work in a child process that may be killed: for charts of
// strangers, whose scripts can allocate without bound or never end within one
// call that nothing in the process could interrupt.
//
// The parent has a [Worker], the child calls [Serve]; they speak lines of JSON over
// the child's standard streams, one request at a time. The child is this program
// again, started with the argument [Command]. It limits its own address space and
// stack before it reads a request, has no environment and no open files but the
// three, and ends as soon as its standard input does, so that none is left behind.
// The parent measures the time; the child ends itself when it takes more of the
// processor than an operation grants it ([Spend]). A child that broke a limit is gone with all that it
// knew; the next call starts another one.
//
// This bounds memory and time. It is no wall against code that escapes from the
// interpreter: the child runs as the same user.
package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Command is the argument that makes this program a worker.
const Command = "chart-worker"

// ErrBroken is what a *[Broken] wraps.
var ErrBroken = errors.New("the sandbox was ended")

// Broken is returned by [Worker.Call] when the child broke a limit or died.
// Nothing came of the call.
type Broken struct {
	// Reason is what happened.
	Reason string
	// Note is the last that the operation noted before, as JSON; nil if it noted
	// nothing.
	Note json.RawMessage
}

// Error tells what happened.
func (b *Broken) Error() string { return ErrBroken.Error() + ": " + b.Reason }

// Unwrap gives [ErrBroken].
func (*Broken) Unwrap() error { return ErrBroken }

// Config says what a child may use. The zero value is usable.
type Config struct {
	// Program and Args start the child; empty means this program with [Command].
	Program string
	Args    []string
	// Memory is how many bytes of address space the child may take beyond what
	// it has when it starts. Zero means 512 MiB.
	Memory int64
	// Timeout is how long a call may take, of wall time. Zero means 5 s.
	Timeout time.Duration
}

// Worker is a child process, started when it is first needed. Calls are made one
// after the other; it is safe for concurrent use.
type Worker struct {
	config Config

	mu    sync.Mutex
	child *child
}

// child is a running process.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	said   *tail
	answer chan answer
}

// answer is how an exchange ended.
type answer struct {
	response response
	note     json.RawMessage // the last before
	err      error           // the child is gone
	nonsense error           // it is not, but should be
}

// request and response are what goes over the streams.
type request struct {
	Op   string          `json:"op"`
	Body json.RawMessage `json:"body,omitempty"`
}

// response is the answer, or, with a Note, something that comes before it.
type response struct {
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
	Note  json.RawMessage `json:"note,omitempty"`
}

// New makes a Worker; nothing is started yet.
func New(c Config) *Worker {
	if c.Memory == 0 {
		c.Memory = 512 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	return &Worker{config: c}
}

// Call does op in the child with in as its argument, and reads the result into
// out, which may be nil. An error of the operation itself is a *[Failure]; after
// a *[Broken] what the child remembered is lost. When ctx ends the child is
// killed, and ctx's error returned.
func (w *Worker) Call(ctx context.Context, op string, in, out any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", op, err)
	}
	line, err := json.Marshal(request{op, body})
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", op, err)
	}
	if w.child == nil {
		if err := w.start(ctx); err != nil {
			return fmt.Errorf("start the sandbox: %w", err)
		}
	}
	c := w.child
	go c.exchange(append(line, '\n'))
	timer := time.NewTimer(w.config.Timeout)
	defer timer.Stop()
	var a answer
	select {
	case a = <-c.answer:
	case <-timer.C:
		w.kill()
		return &Broken{Reason: fmt.Sprintf("it took longer than %s", w.config.Timeout), Note: (<-c.answer).note}
	case <-ctx.Done():
		w.kill()
		return ctx.Err()
	}
	switch {
	case a.nonsense != nil:
		w.kill()
		return &Broken{Reason: fmt.Sprintf("it answered nonsense: %v", a.nonsense), Note: a.note}
	case a.err != nil:
		return &Broken{Reason: w.kill(), Note: a.note}
	case a.response.Error != "":
		return &Failure{a.response.Error}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.response.Body, out); err != nil {
		return fmt.Errorf("sandbox %s: %w", op, err)
	}
	return nil
}

// Failure is an error of an operation, as text.
type Failure struct{ Message string }

// Error gives the message.
func (f *Failure) Error() string { return f.Message }

// Close ends the child. The Worker may be used again.
func (w *Worker) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.child != nil {
		w.kill()
	}
}

// startTime is how long a child may take until it is ready. It does not count for
// the call that needs it.
const startTime = 10 * time.Second

// start starts a child and waits until it is ready.
func (w *Worker) start(ctx context.Context) error {
	c, err := start(w.config)
	if err != nil {
		return err
	}
	w.child = c
	ready := make(chan error, 1)
	go func() {
		_, err := c.out.ReadBytes('\n')
		ready <- err
	}()
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case err = <-ready:
		if err == nil {
			return nil
		}
		return errors.New(w.kill())
	case <-timer.C:
		w.kill()
		return errors.New("it does not get ready")
	case <-ctx.Done():
		w.kill()
		return ctx.Err()
	}
}

func start(config Config) (*child, error) {
	if os.Getenv(memoryVariable) != "" {
		return nil, errors.New("a sandbox has no sandbox of its own")
	}
	program, args := config.Program, config.Args
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program, args = self, []string{Command}
	}
	cmd := exec.Command(program, args...) //nolint:gosec // our own program
	cmd.Env = []string{"GOTRACEBACK=none", "TZ=UTC", fmt.Sprintf("%s=%d", memoryVariable, config.Memory)}
	cmd.Dir = workingDir()
	c := &child{cmd: cmd, said: &tail{}, answer: make(chan answer, 1)}
	cmd.Stderr = c.said
	// Without this, Wait would wait for streams that a grandchild holds.
	cmd.WaitDelay = time.Second
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 64<<10)
	return c, cmd.Start()
}

// workingDir is where relative paths of requests are meant: here.
func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}

// exchange writes a request and reads the answer. It ends when the child does.
func (c *child) exchange(line []byte) {
	var a answer
	defer func() { c.answer <- a }()
	if _, a.err = c.in.Write(line); a.err != nil {
		return
	}
	for {
		var got []byte
		if got, a.err = c.out.ReadBytes('\n'); a.err != nil {
			return
		}
		var r response
		if a.nonsense = json.Unmarshal(got, &r); a.nonsense != nil {
			return
		}
		if r.Note == nil {
			a.response = r
			return
		}
		a.note = r.Note
	}
}

// outOfMemory is what the runtime says, with and without the race detector, when
// it gets no more address space.
var outOfMemory = []string{
	"out of memory", "cannot allocate memory", "address space collisions", "failed to allocate", "failed to create new OS thread",
}

// kill ends the child and tells why it had died, if it had.
func (w *Worker) kill() string {
	c := w.child
	w.child = nil
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	err := c.cmd.Wait()
	said := c.said.String()
	for _, sign := range outOfMemory {
		if strings.Contains(said, sign) {
			return "it used up its memory"
		}
	}
	switch {
	case strings.Contains(said, "stack overflow") || strings.Contains(said, "stack exceeds"):
		return "it used up its stack"
	case said != "":
		first, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
		return first
	}
	return fmt.Sprint(err)
}

// tail keeps the beginning of what the child says on standard error. The
// goroutine of exec writes; it is read after Wait.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4096 - t.b.Len(); room > 0 {
		t.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
