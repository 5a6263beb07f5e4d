// SPDX-License-Identifier: AGPL-3.0-or-later

// Package application runs a chart as an application in the sense of
// docs/application-contract.md: it listens on a unix socket, takes events, and
// gives its state back after each of them. cmd/chartroom-scxml is its program,
// the image chartroom/scxml its container.
//
// # Concurrency
//
// One goroutine, that of [Application.Run], owns the sessions and writes to the
// connection. One goroutine accepts connections and one reads lines of each;
// both only hand over. There is one connection at a time: a new one replaces
// the one before it.
//
// # Guarantees
//
//   - An event at or below the cursor is answered and changes nothing.
//   - The order on the wire is: what the event sent out, the snapshot that
//     contains the event, the answer. Whoever has the answer has the rest.
//   - A restored session numbers what it sends out as it did the first time.
//   - Delayed sends fire on the real clock, and after a restore when their
//     cr:resume says: by default at their time, those that are late at once.
//     They are no events of the contract: what they changed since the last
//     snapshot is not replayed, so a snapshot follows them.
//   - A snapshot holds the session, and those that it invoked with their documents.
//     An event is answered when nothing waits in any of them.
//   - What would not survive is error.communication: a <send> by HTTP could be lost,
//     or come twice unnoticed, when the program is killed, and a document could be
//     another one when it is loaded again.
package application

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// Policy says when a snapshot is sent without being asked for.
type Policy string

const (
	// PolicyEvent sends one after every event and every delayed send. It is
	// the meaning of an empty Policy.
	PolicyEvent Policy = "event"
	// PolicyManual sends one only when asked, and when the application ends.
	PolicyManual Policy = "manual"
)

// Config configures an [Application].
type Config struct {
	// Chart is what runs. Required.
	Chart *scxml.Chart
	// Socket is the path to listen at. Required; its directory must exist.
	// A socket that is left there from an earlier run is removed.
	Socket string
	// Policy of snapshots; empty means PolicyEvent.
	Policy Policy
	// Alone starts the session at once instead of waiting for restore, as a
	// program does that nobody supervises. A later restore still replaces it.
	Alone bool
	// Stdout gets what <log> writes and one line when the session is ready;
	// nil discards it.
	Stdout io.Writer
	// Logger gets what concerns the connection; nil discards it.
	Logger *slog.Logger
}

// Application is a chart that runs as an application. Make it with [New].
type Application struct {
	cfg  Config
	conn net.Conn // the present connection; nil without one
	done bool     // the chart has ended

	env     *scxmlenv.Env     // the session, and those that it invoked
	root    *scxmlenv.Session // nil before the first restore
	run     string
	cursor  uint64
	ordinal uint64
	dirty   bool // changed since the last snapshot was sent
}

// New checks cfg. It performs nothing.
func New(cfg Config) (*Application, error) {
	switch {
	case cfg.Chart == nil:
		return nil, errors.New("application: no chart")
	case cfg.Socket == "":
		return nil, errors.New("application: no socket: set CHARTROOM_SOCKET to a path below /run/chartroom, on a mounted volume")
	}
	switch cfg.Policy {
	case "":
		cfg.Policy = PolicyEvent
	case PolicyEvent, PolicyManual:
	default:
		return nil, fmt.Errorf("application: unknown policy %q: use %q or %q", cfg.Policy, PolicyEvent, PolicyManual)
	}
	if cfg.Stdout == nil {
		cfg.Stdout = io.Discard
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Application{cfg: cfg}, nil
}

// received is a line of a connection, or the end of it when err is set.
type received struct {
	conn net.Conn
	line []byte
	err  error
}

// Run listens until ctx ends, the chart ends, or a restore fails. When ctx or
// the chart ends it sends a last snapshot and returns nil.
func (a *Application) Run(ctx context.Context) error {
	listener, err := listen(ctx, a.cfg.Socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer listener.Close() // removes the socket too
	defer a.hangUp()
	conns := make(chan net.Conn)
	lines := make(chan received) // unbuffered: the sender is held back
	go accept(ctx, listener, conns)

	if a.cfg.Alone {
		if err := a.start(); err != nil {
			return err
		}
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !a.done {
		a.arm(timer)
		select {
		case <-ctx.Done():
			a.bye()
			return nil
		case c := <-conns:
			a.hangUp()
			a.conn = c
			go read(ctx, c, lines)
		case in := <-lines:
			if in.conn != a.conn {
				continue // of a connection that was replaced
			}
			if in.err != nil {
				a.drop(in.err)
				continue
			}
			if err := a.handle(in.line); err != nil {
				return err
			}
		case <-timer.C:
			if a.root != nil {
				a.catchUp()
				a.policySnapshot()
			}
		}
	}
	a.bye()
	return nil
}

// listen takes the path, also from an earlier run that could not remove it. A
// socket that somebody still serves is left alone.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Stat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("listen at %s: something that is no socket is there", path)
		}
		if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("listen at %s: another program serves it; give each container its own CHARTROOM_SOCKET", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the stale socket: %w", err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w; is a volume mounted at %s?", path, err, filepath.Dir(path))
	}
	return l, nil
}

// accept hands connections over until the listener closes.
func accept(ctx context.Context, l net.Listener, conns chan<- net.Conn) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case conns <- c:
		case <-ctx.Done():
			_ = c.Close()
			return
		}
	}
}

// read hands lines over until the connection ends or a line is too long.
func read(ctx context.Context, c net.Conn, lines chan<- received) {
	s := bufio.NewScanner(c)
	s.Buffer(make([]byte, 0, 64<<10), maxLine+1)
	for s.Scan() {
		select {
		case lines <- received{conn: c, line: append([]byte(nil), s.Bytes()...)}:
		case <-ctx.Done():
			return
		}
	}
	err := s.Err()
	if err == nil {
		err = io.EOF
	}
	select {
	case lines <- received{conn: c, err: err}:
	case <-ctx.Done():
	}
}

// arm sets the timer to the first delayed send.
func (a *Application) arm(t *time.Timer) {
	d := time.Hour
	if a.root != nil {
		if due, ok := a.env.Due(); ok {
			d = max(0, min(d, time.Until(due)))
		}
	}
	t.Reset(d)
}

// catchUp lets the clock of the sessions run on until now: every delayed send that
// is due is done.
func (a *Application) catchUp() {
	if behind := time.Since(a.env.Now()); behind > 0 {
		a.check(a.env.Advance(behind))
	}
}

// check says what is wrong with the chart. What waits then goes on with the next
// event.
func (a *Application) check(err error) {
	if err != nil {
		a.fault("%v", err)
	}
}

// drop forgets the connection. The session stays; the agent dials again.
func (a *Application) drop(err error) {
	if !errors.Is(err, io.EOF) {
		a.cfg.Logger.Warn("connection lost", "err", err)
	}
	a.hangUp()
}

func (a *Application) hangUp() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// bye sends the last snapshot.
func (a *Application) bye() {
	if a.root != nil && a.dirty {
		a.snapshot()
	}
}

// send writes one line. Without a connection, or with one that does not take
// it within ten seconds, the message is lost: the agent dials again, asks for
// the cursor, and is sent a fresh snapshot.
func (a *Application) send(message any) {
	if a.conn == nil {
		return
	}
	line, err := json.Marshal(message)
	if err == nil && len(line) > maxLine {
		err = fmt.Errorf("a message of %d bytes is longer than the contract's %d", len(line), maxLine)
		a.cfg.Logger.Error("message not sent", "err", err)
		line, err = json.Marshal(errorMessage{Type: "error", Run: a.run, Message: err.Error()})
	}
	if err != nil {
		a.cfg.Logger.Error("message not sent", "err", err)
		return
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := a.conn.Write(append(line, '\n')); err != nil {
		a.drop(fmt.Errorf("write: %w", err))
	}
}

func (a *Application) fault(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	a.cfg.Logger.Warn("fault", "err", message)
	a.send(errorMessage{Type: "error", Run: a.run, Message: message})
}
