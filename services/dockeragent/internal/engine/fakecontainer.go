// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeContainer is guarded by its engine's lock.
type fakeContainer struct {
	engine  *Fake
	id      string
	spec    Spec
	created time.Time
	state   State
	run     *fakeRun
	files   map[string][]byte
	output  []byte
	grown   chan struct{} // closed and replaced when output or state changes; nil when nobody waits
}

// fakeRun is one start of a container.
type fakeRun struct {
	ended chan struct{}
	app   *fakeApp
}

// program says which simulation the command names; "" is a missing executable.
func (c *fakeContainer) program() (name string, code int) {
	words := c.spec.Command
	if len(words) > 1 && words[0] == "/probe" {
		words = words[1:]
	}
	if len(words) == 0 {
		return "app", 0
	}
	switch words[0] {
	case "app", "run", "stubborn":
		return words[0], 0
	case "exit":
		if len(words) > 1 {
			code, _ = strconv.Atoi(words[1])
		}
		return words[0], code
	}
	return "", 0
}

// like is the Spec of a container with the settings of this one.
func (c *fakeContainer) like(spec Spec) Spec {
	out := c.spec
	out.Name, out.Labels, out.Env = spec.Name, spec.Labels, withEnv(c.spec.Env, spec.Env)
	if spec.Image != "" && spec.Image != c.spec.Image {
		out.Image, out.Command = spec.Image, nil
	}
	return out
}

// Join implements Engine: here all are on the same networks.
func (f *Fake) Join(ctx context.Context, id, like string) error {
	if err := f.enter(ctx, "join", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find("join", id)
	if err == nil {
		_, err = f.find("join", like)
	}
	return err
}

// reaches reports whether a path is on a mount.
func (c *fakeContainer) reaches(p string) bool {
	for _, m := range c.spec.Mounts {
		if parts := strings.Split(m, ":"); len(parts) > 1 && within(parts[1], p) {
			return true
		}
	}
	return false
}

// halt ends the process, if any.
func (c *fakeContainer) halt() {
	if c.run == nil {
		return
	}
	select {
	case <-c.run.ended:
	default:
		close(c.run.ended)
		if c.run.app != nil {
			c.run.app.close()
		}
	}
	c.wake()
}

func (c *fakeContainer) wake() {
	if c.grown != nil {
		close(c.grown)
		c.grown = nil
	}
}

// CopyFrom implements Engine.
func (f *Fake) CopyFrom(ctx context.Context, id, name string) (io.ReadCloser, error) {
	if err := f.enter(ctx, "copy from", id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("copy from", id)
	if err != nil {
		return nil, err
	}
	body, ok := c.files[path.Clean(name)]
	if !ok {
		return nil, c.fail("copy from", http.StatusNotFound, "Could not find the file %s in container %s", name, c.id)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: path.Base(name), Mode: 0o644, Size: int64(len(body))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	f.emit(c, "archive-path", map[string]string{"path": name})
	return io.NopCloser(&b), nil
}

// CopyTo implements Engine. Every directory is there.
func (f *Fake) CopyTo(ctx context.Context, id, dir string, archive io.Reader) error {
	if err := f.enter(ctx, "copy to", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("copy to", id)
	if err != nil {
		return err
	}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return c.fail("copy to", http.StatusBadRequest, "%v", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return c.fail("copy to", http.StatusBadRequest, "%v", err)
		}
		c.files[path.Join(dir, h.Name)] = body
	}
	f.emit(c, "extract-to-dir", map[string]string{"path": dir})
	return nil
}

// WriteFile puts a file into a container as its process would, without an event.
func (f *Fake) WriteFile(id, name string, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("write", id)
	if err != nil {
		return err
	}
	c.files[path.Clean(name)] = bytes.Clone(body)
	return nil
}

// ReadFile returns a file of a container; nil when there is none.
func (f *Fake) ReadFile(id, name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("read", id)
	if err != nil {
		return nil
	}
	return bytes.Clone(c.files[path.Clean(name)])
}

// Logs implements Engine; everything is on standard output.
func (f *Fake) Logs(ctx context.Context, id string, o LogOptions, stdout, _ io.Writer) error {
	if err := f.enter(ctx, "logs", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find("logs", id)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	from := 0
	if o.Tail > 0 {
		from = tailOffset(c.output, int(o.Tail))
	}
	f.mu.Unlock()
	return f.follow(ctx, c, from, o.Follow, stdout)
}

func tailOffset(b []byte, lines int) int {
	for i := len(b) - 2; i >= 0; i-- {
		if b[i] == '\n' {
			if lines--; lines == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func (f *Fake) follow(ctx context.Context, c *fakeContainer, from int, follow bool, w io.Writer) error {
	for {
		f.mu.Lock()
		chunk := bytes.Clone(c.output[from:])
		if c.grown == nil {
			c.grown = make(chan struct{})
		}
		grown, running := c.grown, c.state.Running
		f.mu.Unlock()
		from += len(chunk)
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		if !follow || (!running && len(chunk) == 0) {
			return nil
		}
		if len(chunk) > 0 {
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil
		}
	}
}

// Attach implements Engine; input is echoed to the output.
func (f *Fake) Attach(ctx context.Context, id string) (Terminal, error) {
	if err := f.enter(ctx, "attach", id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("attach", id)
	if err != nil {
		return nil, err
	}
	if c.state.Paused {
		return nil, c.fail("attach", http.StatusConflict, "Container %s is paused, unpause the container before attach", c.id)
	}
	f.emit(c, "attach", nil)
	ctx, cancel := context.WithCancel(ctx)
	return &fakeTerminal{ctx: ctx, cancel: cancel, c: c, from: len(c.output)}, nil
}

type fakeTerminal struct {
	ctx    context.Context //nolint:containedctx // it is the terminal's own end, made with it
	cancel context.CancelFunc
	c      *fakeContainer
	from   int
}

func (t *fakeTerminal) Write(p []byte) (int, error) {
	t.c.engine.mu.Lock()
	defer t.c.engine.mu.Unlock()
	t.c.print(p)
	return len(p), nil
}
func (t *fakeTerminal) CloseWrite() error { return nil }
func (t *fakeTerminal) Copy(stdout, _ io.Writer) error {
	return t.c.engine.follow(t.ctx, t.c, t.from, true, stdout)
}
func (t *fakeTerminal) Close() error { t.cancel(); return nil }

// print adds to the output; beyond 1 MiB it is lost.
func (c *fakeContainer) print(p []byte) {
	if len(c.output)+len(p) > 1<<20 {
		return
	}
	c.output = append(c.output, p...)
	c.wake()
}

// AppState is what the simulated application holds.
type AppState struct {
	// Count is how many events it processed.
	Count int `json:"count"`
	// List are the events in the order of their processing, as NAME or NAME=DATA.
	List []string `json:"list"`
}

// fakeApp is one run of the simulated application. Its lock comes after the
// engine's, and it never calls the engine while it holds its own.
type fakeApp struct {
	c *fakeContainer

	mu     sync.Mutex
	state  AppState
	cursor uint64
	conn   net.Conn
	ended  bool
	thawed chan struct{}
}

func newFakeApp(c *fakeContainer) *fakeApp { return &fakeApp{c: c} }

// AppState returns the state of the simulated application in its current or last run.
func (f *Fake) AppState(id string) (AppState, bool) {
	f.mu.Lock()
	c, err := f.find("app state", id)
	if err != nil || c.run == nil || c.run.app == nil {
		f.mu.Unlock()
		return AppState{}, false
	}
	app := c.run.app
	f.mu.Unlock()
	app.mu.Lock()
	defer app.mu.Unlock()
	return AppState{Count: app.state.Count, List: append([]string(nil), app.state.List...)}, true
}

// RestartApp starts the simulated application anew inside of its container, without its
// state, as a supervisor in the image would.
func (f *Fake) RestartApp(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("restart app", id)
	if err != nil {
		return err
	}
	if c.run == nil || c.run.app == nil {
		return fmt.Errorf("container %s runs no application", id)
	}
	app := c.run.app
	app.mu.Lock()
	defer app.mu.Unlock()
	app.state, app.cursor = AppState{}, 0
	if app.conn != nil {
		_ = app.conn.Close()
	}
	return nil
}

func (a *fakeApp) accept() net.Conn {
	ours, theirs := net.Pipe()
	a.mu.Lock()
	if a.conn != nil {
		_ = a.conn.Close()
	}
	a.conn = ours
	a.mu.Unlock()
	go a.serve(ours)
	return theirs
}

func (a *fakeApp) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.conn != nil {
		_ = a.conn.Close()
	}
	a.thawLocked()
}

func (a *fakeApp) thaw() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.thawLocked()
}

func (a *fakeApp) thawLocked() {
	if a.thawed != nil {
		close(a.thawed)
		a.thawed = nil
	}
}

// frozen waits while the container is paused; false when the run has ended.
func (a *fakeApp) frozen() bool {
	for {
		a.c.engine.mu.Lock()
		paused := a.c.state.Paused && a.c.run != nil && a.c.run.app == a
		a.mu.Lock()
		ended := a.ended
		var wait chan struct{}
		if paused && !ended {
			if a.thawed == nil {
				a.thawed = make(chan struct{})
			}
			wait = a.thawed
		}
		a.mu.Unlock()
		a.c.engine.mu.Unlock()
		if wait == nil {
			return !ended
		}
		<-wait
	}
}

type fakeMessage struct {
	Type     string          `json:"type"`
	Run      string          `json:"run"`
	Sequence uint64          `json:"sequence"`
	Name     string          `json:"name,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Snapshot json.RawMessage `json:"snapshot,omitempty"`
	Resume   bool            `json:"resume,omitempty"`
	Error    string          `json:"error,omitempty"`
	Message  string          `json:"message,omitempty"`
}

func (a *fakeApp) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var m fakeMessage
		if json.Unmarshal(lines.Bytes(), &m) != nil || !a.frozen() {
			return
		}
		answers, exit := a.handle(m)
		for _, out := range answers {
			b, err := json.Marshal(out)
			if err != nil {
				return
			}
			if _, err := conn.Write(append(b, '\n')); err != nil {
				return
			}
		}
		if exit >= 0 {
			a.c.engine.mu.Lock()
			if a.c.run != nil && a.c.run.app == a && a.c.state.Running {
				a.c.engine.die(a.c, exit)
			}
			a.c.engine.mu.Unlock()
			return
		}
	}
}

// handle processes one message; exit ≥ 0 ends the process with that code.
func (a *fakeApp) handle(m fakeMessage) (out []fakeMessage, exit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch m.Type {
	case "restore":
		if !m.Resume {
			a.state, a.cursor = AppState{}, m.Sequence
			_ = json.Unmarshal(m.Snapshot, &a.state) // null leaves a clean state
		}
		return []fakeMessage{{Type: "ready", Run: m.Run, Sequence: a.cursor}}, -1
	case "take_snapshot":
		return []fakeMessage{a.snapshot(m.Run)}, -1
	case "event":
		if m.Sequence <= a.cursor {
			return []fakeMessage{{Type: "answer", Run: m.Run, Sequence: m.Sequence}}, -1
		}
		switch m.Name {
		case "crash":
			return nil, 1
		case "exit":
			code := 0
			_ = json.Unmarshal(m.Data, &code)
			return nil, code
		case "hang":
			return nil, -1
		}
		entry := m.Name
		if len(m.Data) > 0 && string(m.Data) != "null" {
			entry += "=" + string(m.Data)
		}
		a.state.Count++
		a.state.List = append(a.state.List, entry)
		a.cursor = m.Sequence
		answer := fakeMessage{Type: "answer", Run: m.Run, Sequence: m.Sequence}
		if m.Name == "fail" {
			answer.Error = "told to fail"
		}
		go a.log(fmt.Sprintf("processed %d %s\n", m.Sequence, entry))
		return []fakeMessage{a.snapshot(m.Run), answer}, -1
	}
	return []fakeMessage{{Type: "error", Run: m.Run, Message: "unknown message " + m.Type}}, -1
}

func (a *fakeApp) log(line string) {
	a.c.engine.mu.Lock()
	defer a.c.engine.mu.Unlock()
	a.c.print([]byte(line))
}

func (a *fakeApp) snapshot(run string) fakeMessage {
	b, _ := json.Marshal(a.state)
	return fakeMessage{Type: "snapshot", Run: run, Sequence: a.cursor, Snapshot: b}
}
