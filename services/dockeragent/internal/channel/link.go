// SPDX-License-Identifier: AGPL-3.0-or-later

// Package channel carries events into an application and snapshots out of it:
// [Link] over a unix socket, by docs/application-contract.md, and [Export] and [Import]
// for applications that write their state to a file.
//
// A Link belongs to one run of one container. One goroutine dials (quickly, since
// it begins with the start call), sends restore, and reads; writers take turns. What the
// application says is handed over in order, one message at a time, in the reading
// goroutine: as long as the receiver has not returned, nothing more is read. Lines are
// bounded to 4 MiB; a longer one is read to its end, not kept, and told as [KindRefused], and
// so is the first line of a run that is no message. When a connection breaks while the run
// goes on, it is dialled again and resumed, and [KindLost] tells when that takes
// longer than 250 ms. Messages of another run are dropped. A second goroutine waits
// with the application to be ready, and tells [KindUnready] once if that takes long.
package channel

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

const (
	// MaxLine bounds one message, without the end of its line.
	MaxLine = 4 << 20
	// dialFirst, dialEager and dialLast are the pauses between attempts to dial:
	// those while a container starts are short, because a restart is waiting for
	// them and a refused dial costs next to nothing.
	dialFirst = time.Millisecond
	dialEager = 4 * time.Millisecond
	dialLast  = 50 * time.Millisecond
	dialSlow  = time.Second
	// eagerDials is how long the pauses stay below dialEager.
	eagerDials = 3 * time.Second
	// quickDials is how long the pauses stay below dialLast.
	quickDials = 30 * time.Second
	lostTime   = 250 * time.Millisecond
	// writeTime bounds a write: an application that takes nothing is told by a broken connection.
	writeTime = 5 * time.Second
	// steadyTime is how long a connection lasts that is dialled again at once when
	// it breaks; after a shorter one the pauses grow up to dialSlow.
	steadyTime = time.Second
	// maxText bounds what an application says for people.
	maxText = 4 << 10
	// maxPending bounds the messages that wait for ready; statemachine has one event in flight.
	maxPending = 16
)

// Kind is what a Message is.
type Kind string

// The kinds of messages that a Link hands over.
const (
	KindReady    Kind = "ready"
	KindAnswer   Kind = "answer"
	KindSnapshot Kind = "snapshot"
	KindEvent    Kind = "event"
	KindError    Kind = "error"
	KindRefused  Kind = "refused"
	KindLost     Kind = "lost"
	// KindUnready: the run has begun a while ago, and the application has not said ready.
	KindUnready Kind = "unready"
)

// Message is what came from the application, or is to be told of the channel.
type Message struct {
	Kind Kind `json:"type"`
	// Run is the run's StartedAt.
	Run string `json:"run"`
	// Sequence is the cursor (ready), the event answered, or the last one contained.
	Sequence uint64 `json:"sequence"`
	// Snapshot is the body of a snapshot, as the application wrote it.
	Snapshot json.RawMessage `json:"snapshot"`
	// Error is why an event could not be processed.
	Error string `json:"error"`
	// Ordinal and Cause number an event sent out.
	Ordinal uint64 `json:"ordinal"`
	Cause   uint64 `json:"cause"`
	// Name and Data are the event.
	Name string          `json:"name"`
	Data json.RawMessage `json:"data"`
	// Text is for people: of an error, or why a message was refused or the channel lost.
	Text string `json:"message"`
	// Code is what a message was refused for, such as [SnapshotTooLarge].
	Code string `json:"-"`
	// Resumed is true when ready answers a resume.
	Resumed bool `json:"-"`
}

// Restore is what a run begins with.
type Restore struct {
	// Body is JSON; nil starts clean.
	Body []byte
	// Sequence is the last event contained.
	Sequence uint64
	// Resume keeps the application's own state: the run was ready before.
	Resume bool
}

// Event is one for the application.
type Event struct {
	Sequence uint64
	// After is the event that the application must have processed before; 0 for none.
	After uint64
	Name  string
	// Data is JSON; may be empty.
	Data []byte
}

type outgoing struct {
	after    uint64          // of an event
	Type     string          `json:"type"`
	Run      string          `json:"run"`
	Snapshot json.RawMessage `json:"snapshot,omitempty"`
	Sequence *uint64         `json:"sequence,omitempty"`
	Resume   bool            `json:"resume,omitempty"`
	Name     string          `json:"name,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// Link is the channel of one run. Its methods are safe for concurrent use.
type Link struct {
	dial func(context.Context) (net.Conn, error)
	emit func(Message)
	log  *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	begun   chan struct{} // closed by the first Begin
	conn    net.Conn
	failed  error         // why the last dial failed; nil after one that did not
	reading chan struct{} // closed when the present connection is read to its end
	run     string
	restore *Restore
	sent    bool   // restore was sent on the present connection
	ready   bool   // in this run, at least once
	open    bool   // ready on the present connection
	cursor  uint64 // the newest event that the application has processed
	closed  bool
	again   bool // restored or asked anew in its run, and not ready since
	pending []outgoing
	told    map[string]bool // what is told once a run

	write sync.Mutex
}

// Dial makes a Link and begins to dial at once. emit is called with what comes
// from the application, one at a time; only KindUnready, which is due when the
// application is not ready patience after Begin, may come beside another. Close it.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), patience time.Duration, log *slog.Logger, emit func(Message)) *Link {
	ctx, cancel := context.WithCancel(ctx)
	l := &Link{dial: dial, emit: emit, log: log, cancel: cancel, done: make(chan struct{}), begun: make(chan struct{}), told: map[string]bool{}}
	go func() {
		defer close(l.done)
		var watch sync.WaitGroup
		defer watch.Wait()
		watch.Go(func() { l.watch(ctx, patience) })
		l.loop(ctx)
	}()
	return l
}

// Begin names the run and says what it begins with; it is sent as soon as there
// is a connection. In a run that has begun it restores anew, and what the application
// says until it is ready is dropped.
func (l *Link) Begin(run string, r Restore) {
	l.mu.Lock()
	if l.run == "" {
		close(l.begun)
	}
	l.run, l.restore = run, &r
	again := l.sent
	l.sent, l.open = false, false
	l.ready = l.ready && !again || r.Resume
	l.again = again
	l.mu.Unlock()
	l.sayRestore()
}

// Redial breaks the connection, to ask the application anew how far it is. What it says
// until it is ready again is dropped.
func (l *Link) Redial() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.again = false, true
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// Run is the run that Begin named; "" before.
func (l *Link) Run() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

// ErrFull is returned when too many messages wait for the application to be ready.
var ErrFull = errors.New("too many messages wait for the application to be ready")

// ErrBehind is returned for an event when the application has not processed those
// before it: it was started anew inside of its container.
var ErrBehind = errors.New("the application has not processed the events before it")

// Deliver sends an event, or keeps it until the application is ready. One that it is
// not ready for by then is dropped.
func (l *Link) Deliver(e Event) error {
	return l.say(outgoing{Type: "event", after: e.After, Sequence: &e.Sequence, Name: e.Name, Data: e.Data})
}

// TakeSnapshot asks for a snapshot.
func (l *Link) TakeSnapshot() error {
	l.mu.Lock()
	delete(l.told, SnapshotTooLarge) // Whoever asks waits for an answer.
	l.mu.Unlock()
	return l.say(outgoing{Type: "take_snapshot"})
}

// Drain waits until what the application wrote before it died has been handed
// over, at most for d, and closes. To be called when the run is over.
func (l *Link) Drain(d time.Duration) {
	l.mu.Lock()
	l.closed = true
	reading, conn := l.reading, l.conn
	l.mu.Unlock()
	if reading != nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-reading:
		case <-timer.C:
			// A child of the application may hold the socket open.
			_ = conn.Close()
		}
	}
	l.cancel()
}

// Close ends the Link without waiting for what is still to be read.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.mu.Unlock()
	l.cancel()
}

// Done is closed when nothing more will be handed over.
func (l *Link) Done() <-chan struct{} { return l.done }

// watch tells when the application is not ready for long.
func (l *Link) watch(ctx context.Context, patience time.Duration) {
	select {
	case <-l.begun:
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(patience):
	case <-ctx.Done():
		return
	}
	l.mu.Lock()
	m := Message{Kind: KindUnready, Run: l.run}
	waits := !l.ready && !l.closed
	var refused *net.OpError
	switch {
	case l.conn != nil:
		m.Text = "it took the connection and has not answered restore with ready"
	case l.failed == nil:
		m.Text = "it closes the connection before it has said ready"
	case errors.As(l.failed, &refused):
		m.Text = fmt.Sprintf("nobody listens: %v", l.failed)
	default:
		m.Text = fmt.Sprintf("the agent cannot connect: %v", l.failed)
	}
	l.mu.Unlock()
	if waits {
		m.Text = clip(m.Text)
		l.emit(m)
	}
}

func (l *Link) loop(ctx context.Context) {
	began, pause, broke := time.Now(), dialFirst, time.Time{}
	told := false
	again := dialFirst // the pause after a connection
	for ctx.Err() == nil {
		conn, err := l.dial(ctx)
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		if err != nil {
			if errors.Is(err, engine.ErrNoMount) && !told {
				told = true
				l.emit(Message{Kind: KindError, Run: l.Run(), Text: err.Error()})
			}
			if !broke.IsZero() && time.Since(broke) >= lostTime && !l.over() {
				broke = time.Time{}
				l.emit(Message{Kind: KindLost, Run: l.Run(), Text: "the application closed the connection and does not listen"})
			}
			if told || time.Since(began) > quickDials {
				pause = dialSlow
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			most := dialLast
			if time.Since(began) < eagerDials {
				most = dialEager
			}
			pause = min(2*pause, max(most, pause))
			continue
		}
		pause, broke = dialFirst, time.Time{}
		connected := time.Now()
		err = l.serve(ctx, conn)
		began = time.Now()
		if l.over() {
			return
		}
		l.log.Debug("channel broken", "run", l.Run(), "err", err)
		broke = began
		if began.Sub(connected) >= steadyTime {
			again = dialFirst
		}
		// An application that closes each connection would be asked a thousand
		// times a second, and all that it says is journaled.
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
		again = min(2*again, dialSlow)
	}
}

func (l *Link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// serve reads one connection to its end.
func (l *Link) serve(ctx context.Context, conn net.Conn) error {
	reading := make(chan struct{})
	l.mu.Lock()
	l.conn, l.reading, l.sent, l.open = conn, reading, false, false
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() {
		l.mu.Lock()
		l.conn, l.reading, l.open = nil, nil, false
		l.mu.Unlock()
		_ = conn.Close()
		close(reading)
	}()
	l.sayRestore()
	r := bufio.NewReader(conn) // small: every application has one for as long as it runs
	for {
		line, err := readLine(r)
		if errors.Is(err, errLong) {
			if err := l.tooLong(r, line); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		var m Message
		if err := json.Unmarshal(line, &m); err != nil {
			l.refuse(MessageUnknown, fmt.Sprintf("it says what is no message: %v", err))
			continue
		}
		l.take(m)
	}
}

// tooLong tells of a line that is too long, once its length is known, and reads it
// to its end: the connection is good for what follows. One that goes on for more
// than MaxFile is told of before it ends, if it ever does.
func (l *Link) tooLong(r *bufio.Reader, head []byte) error {
	code, what := MessageTooLarge, "a message that it sends"
	if kindOf(head) == KindSnapshot {
		code, what = SnapshotTooLarge, "its snapshot"
	}
	ended := head[len(head)-1] == '\n'
	size := int64(len(head))
	var err error
	if !ended {
		var more int64
		more, ended, err = skip(r, MaxFile)
		size += more
	}
	l.refuse(code, (&TooLargeError{What: what, Holder: "a message", Size: size, Limit: MaxLine}).Error())
	for !ended && err == nil {
		_, ended, err = skip(r, MaxFile)
	}
	return err
}

// refuse tells that a message is not taken: of each code once, or an application
// that says nothing else would fill the journal.
func (l *Link) refuse(code, text string) {
	run := l.Run()
	l.log.Debug("message refused", "run", run, "code", code, "err", text)
	if l.first(code) {
		l.emit(Message{Kind: KindRefused, Run: run, Code: code, Text: clip(text)})
	}
}

// first reports whether something is told for the first time in this run.
func (l *Link) first(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told[what]
	l.told[what] = true
	return !told
}

// take hands one message over.
func (l *Link) take(m Message) {
	l.mu.Lock()
	run := l.run
	if run == "" || m.Run != "" && m.Run != run {
		l.mu.Unlock()
		l.log.Warn("message of another run dropped", "run", run, "got", m.Run, "event", string(m.Kind))
		return
	}
	m.Run, m.Text, m.Error = run, clip(m.Text), clip(m.Error)
	var flush []outgoing
	if m.Kind == KindReady {
		m.Resumed = l.restore != nil && l.restore.Resume || l.ready
		l.ready, l.open, l.again, l.cursor = true, true, false, m.Sequence
		flush, l.pending = l.pending, nil
	}
	if l.again && (m.Kind == KindAnswer || m.Kind == KindSnapshot || m.Kind == KindEvent) {
		l.mu.Unlock()
		return // of a state that it is about to lose
	}
	if m.Kind == KindAnswer || m.Kind == KindSnapshot {
		l.cursor = max(l.cursor, m.Sequence)
	}
	if m.Kind == KindSnapshot {
		delete(l.told, SnapshotTooLarge) // The next one that is too large is news.
	}
	l.mu.Unlock()
	switch m.Kind {
	case KindReady, KindAnswer, KindSnapshot, KindEvent, KindError:
		l.emit(m)
	default:
		// The contract may have grown; or it is a slip of the pen, so it is told.
		if l.first("type") {
			l.emit(Message{Kind: KindError, Run: run, Text: clip(fmt.Sprintf("a message of the unknown type %q", m.Kind))})
		}
	}
	for _, m := range flush {
		if err := l.say(m); err != nil && !errors.Is(err, ErrBehind) { // else it comes again
			l.log.Warn("message to the application", "run", run, "err", err)
		}
	}
}

// clip bounds a text for people.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// sayRestore sends restore when there is a connection and a run.
func (l *Link) sayRestore() {
	l.mu.Lock()
	conn, r := l.conn, l.restore
	if conn == nil || r == nil || l.sent {
		l.mu.Unlock()
		return
	}
	l.sent = true
	m := outgoing{Type: "restore", Run: l.run, Snapshot: json.RawMessage("null"), Sequence: new(uint64)}
	switch {
	case r.Resume || l.ready: // The connection broke: the application has its state.
		m.Resume = true
	default:
		if len(r.Body) > 0 {
			m.Snapshot = r.Body
		}
		*m.Sequence = r.Sequence
	}
	l.mu.Unlock()
	b, err := json.Marshal(m)
	if err != nil {
		l.emit(Message{Kind: KindError, Run: m.Run, Text: fmt.Sprintf("the snapshot is not JSON: %v", err)})
		return
	}
	_ = l.put(conn, append(b, '\n'))
}

// say sends a message of the run now, or keeps it until the application is ready.
func (l *Link) say(m outgoing) error {
	l.mu.Lock()
	if !l.open {
		defer l.mu.Unlock()
		if len(l.pending) >= maxPending {
			return ErrFull
		}
		l.pending = append(l.pending, m)
		return nil
	}
	if m.after > l.cursor {
		l.mu.Unlock()
		return ErrBehind
	}
	m.Run = l.run
	conn := l.conn // on which it was ready, and no other
	l.mu.Unlock()
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("message to the application: %w", err)
	}
	if len(b) > MaxLine {
		return &TooLargeError{What: "the event", Holder: "a message", Size: int64(len(b)), Limit: MaxLine}
	}
	return l.put(conn, append(b, '\n'))
}

func (l *Link) put(conn net.Conn, b []byte) error {
	l.write.Lock()
	defer l.write.Unlock()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := conn.Write(b); err != nil {
		// Half a line may be out: only a new connection is clean.
		_ = conn.Close()
		return err
	}
	return nil
}
