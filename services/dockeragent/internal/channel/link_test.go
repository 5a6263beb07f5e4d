// SPDX-License-Identifier: AGPL-3.0-or-later

package channel_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/channel"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
)

// patience is how long an application may take to be ready before it is told of.
const patience = 2 * time.Second

// app is the application's side, driven by hand. It lives in a bubble of synctest, where
// no time passes while somebody is busy: else a slow machine alone makes it unready.
type app struct {
	t     *testing.T
	conns chan net.Conn
	conn  net.Conn
	lines *bufio.Reader
	got   chan channel.Message
	link  *channel.Link
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{t: t, conns: make(chan net.Conn, 4), got: make(chan channel.Message, 64)}
	a.link = channel.Dial(t.Context(), func(context.Context) (net.Conn, error) {
		select {
		case c := <-a.conns:
			return c, nil
		default:
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connection refused")}
		}
	}, patience, slog.New(slog.DiscardHandler), func(m channel.Message) { a.got <- m })
	t.Cleanup(func() { a.link.Close(); <-a.link.Done() })
	return a
}

// listen lets the next dial succeed.
func (a *app) listen() {
	ours, theirs := net.Pipe()
	a.conns <- theirs
	a.conn, a.lines = ours, bufio.NewReader(ours)
}

// begin begins a run in which the application listens already: what Begin writes is
// to be read meanwhile, since a pipe holds nothing.
func (a *app) begin(run string, r channel.Restore) { go a.link.Begin(run, r) }

func (a *app) hears(want string) {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := a.lines.ReadString('\n')
	if err != nil {
		a.t.Fatal(err)
	}
	if diff := cmp.Diff(want, strings.TrimSpace(line)); diff != "" {
		a.t.Errorf("to the application (-want +got):\n%s", diff)
	}
}

func (a *app) says(line string) {
	a.t.Helper()
	if _, err := io.WriteString(a.conn, line+"\n"); err != nil {
		a.t.Fatal(err)
	}
}

func (a *app) told(kind channel.Kind, sequence uint64) channel.Message {
	a.t.Helper()
	select {
	case m := <-a.got:
		if m.Kind != kind || m.Sequence != sequence {
			a.t.Fatalf("told %+v, want %s %d", m, kind, sequence)
		}
		return m
	case <-time.After(10 * time.Second):
		a.t.Fatalf("nothing was told, want %s", kind)
	}
	return channel.Message{}
}

func TestLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		if err := a.link.Deliver(channel.Event{Sequence: 4, After: 3, Name: "early", Data: []byte(`1`)}); err != nil {
			t.Fatal(err)
		}
		a.listen()
		a.begin("R1", channel.Restore{Body: []byte(`{"n":3}`), Sequence: 3})
		a.hears(`{"type":"restore","run":"R1","snapshot":{"n":3},"sequence":3}`)
		a.says(`{"type":"ready","run":"R1","sequence":3}`)
		if m := a.told(channel.KindReady, 3); m.Resumed {
			t.Error("a restore is told as a resume")
		}
		a.hears(`{"type":"event","run":"R1","sequence":4,"name":"early","data":1}`)
		a.says(`{"type":"snapshot","run":"R1","sequence":4,"snapshot":[4]}`)
		a.says(`{"type":"answer","run":"R1","sequence":4,"error":"no"}`)
		if m := a.told(channel.KindSnapshot, 4); string(m.Snapshot) != "[4]" || m.Run != "R1" {
			t.Errorf("snapshot %+v", m)
		}
		if m := a.told(channel.KindAnswer, 4); m.Error != "no" {
			t.Errorf("answer %+v", m)
		}
		a.says(`{"type":"answer","run":"R0","sequence":3}`)
		a.says(`{"type":"event","run":"R1","ordinal":1,"cause":4,"name":"out","data":{}}`)
		a.told(channel.KindEvent, 0) // and nothing of R0

		// The connection breaks: resumed, with what is still to be said after ready.
		_ = a.conn.Close()
		a.listen()
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0,"resume":true}`)
		if err := a.link.TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		a.says(`{"type":"ready","run":"R1","sequence":4}`)
		if m := a.told(channel.KindReady, 4); !m.Resumed {
			t.Error("a resume is told as a restore")
		}
		a.hears(`{"type":"take_snapshot","run":"R1"}`)

		// It stays away: told once.
		_ = a.conn.Close()
		a.told(channel.KindLost, 0)
		a.listen()
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0,"resume":true}`)
	})
}

// An application that is not ready for long is told of, once a run; one that was
// ready, or whose run is over, is not.
func TestUnready(t *testing.T) {
	t.Parallel()
	const restore = `{"type":"restore","run":"R1","snapshot":null,"sequence":0}`
	for name, test := range map[string]struct {
		does func(*app)
		want string // empty for nothing
	}{
		"nobody listens": {func(*app) {}, "nobody listens: dial unix: connection refused"},
		"it is silent": {func(a *app) {
			a.listen()
			a.hears(restore)
		}, "it took the connection and has not answered restore with ready"},
		"it hangs up": {func(a *app) {
			for range 11 { // and then it is asked after a pause of a second
				a.listen()
				a.hears(restore)
				_ = a.conn.Close()
			}
		}, "it closes the connection before it has said ready"},
		"it is ready": {func(a *app) {
			time.Sleep(patience / 2) // virtual
			a.listen()
			a.hears(restore)
			a.says(`{"type":"ready","run":"R1","sequence":0}`)
			a.told(channel.KindReady, 0)
			_ = a.conn.Close()
		}, ""},
		"it has died": {func(a *app) {
			time.Sleep(patience / 2) // virtual
			a.link.Close()
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t)
				time.Sleep(time.Minute) // virtual; before the run nobody waits
				a.link.Begin("R1", channel.Restore{})
				begun := time.Now()
				test.does(a)
				if test.want != "" {
					if m := a.told(channel.KindUnready, 0); m.Run != "R1" || m.Text != test.want || time.Since(begun) != patience {
						t.Errorf("told %+v after %v, want %q", m, time.Since(begun), test.want)
					}
				}
				time.Sleep(time.Minute) // virtual
				for len(a.got) > 0 {
					if m := <-a.got; m.Kind == channel.KindUnready {
						t.Errorf("told %+v as well", m)
					}
				}
			})
		})
	}
}

// An application that comes back with less than it had is sent no event that comes after
// what it has lost, be it one that waits for ready or one that comes later.
func TestBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		a.says(`{"type":"ready","run":"R1","sequence":2}`)
		a.told(channel.KindReady, 2)
		a.says(`{"type":"answer","run":"R1","sequence":3}`)
		a.told(channel.KindAnswer, 3)
		go func() { _ = a.link.Deliver(channel.Event{Sequence: 4, After: 3, Name: "next"}) }()
		a.hears(`{"type":"event","run":"R1","sequence":4,"name":"next"}`)
		_ = a.conn.Close()
		synctest.Wait()
		if err := a.link.Deliver(channel.Event{Sequence: 5, After: 3, Name: "waits"}); err != nil {
			t.Fatal(err)
		}
		a.listen()
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0,"resume":true}`)
		a.says(`{"type":"ready","run":"R1","sequence":0}`)
		a.told(channel.KindReady, 0)
		if err := a.link.Deliver(channel.Event{Sequence: 4, After: 3, Name: "late"}); !errors.Is(err, channel.ErrBehind) {
			t.Errorf("an event after 3: %v, want ErrBehind", err)
		}
		go func() { _ = a.link.Deliver(channel.Event{Sequence: 1, Name: "again"}) }()
		a.hears(`{"type":"event","run":"R1","sequence":1,"name":"again"}`)
	})
}

// TestRedial: an application that is asked anew is resumed, and nothing that it says
// until it is ready counts.
func TestRedial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		a.says(`{"type":"ready","run":"R1","sequence":2}`)
		a.told(channel.KindReady, 2)
		a.link.Redial()
		a.listen()
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0,"resume":true}`)
		a.says(`{"type":"snapshot","run":"R1","sequence":0,"snapshot":1}`)
		a.says(`{"type":"ready","run":"R1","sequence":2}`)
		a.told(channel.KindReady, 2)
		a.says(`{"type":"snapshot","run":"R1","sequence":3,"snapshot":1}`)
		a.told(channel.KindSnapshot, 3)
	})
}

// TestDrain: what was written before the death is handed over before Drain returns.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		a.says(`{"type":"ready","run":"R1","sequence":0}`)
		go func() {
			_, _ = io.WriteString(a.conn, `{"type":"snapshot","run":"R1","sequence":9,"snapshot":1}`+"\n")
			_ = a.conn.Close()
		}()
		a.link.Drain(5 * time.Second)
		a.told(channel.KindReady, 0)
		a.told(channel.KindSnapshot, 9)
		<-a.link.Done()
	})
}

// A line that is too long is skipped: it is told, with its size, and what follows on
// the same connection is heard.
func TestLongLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, line, code, text string
	}{
		{
			name: "a snapshot", line: `{"type":"snapshot","run":"R1","sequence":7,"snapshot":"` + strings.Repeat("x", 5<<20) + `"}`,
			code: channel.SnapshotTooLarge, text: "its snapshot of 5.1 MiB is larger than the 4 MiB that a message may have",
		},
		{
			name: "a snapshot whose type comes last", line: `{"run":"R1","sequence":7,"snapshot":{"a":"` + strings.Repeat("x", channel.MaxLine) + `"},"type":"snapshot"}`,
			code: channel.SnapshotTooLarge, text: "its snapshot of 4.1 MiB is larger than the 4 MiB that a message may have",
		},
		{
			name: "an event", line: `{"type":"event","run":"R1","name":"out","data":"` + strings.Repeat("x", channel.MaxLine) + `"}`,
			code: channel.MessageTooLarge, text: "a message that it sends of 4.1 MiB is larger than the 4 MiB that a message may have",
		},
		{
			name: "one byte", line: strings.Repeat("x", channel.MaxLine+1),
			code: channel.MessageTooLarge, text: "a message that it sends of 4.1 MiB is larger than the 4 MiB that a message may have",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t)
				a.listen()
				a.begin("R1", channel.Restore{})
				a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
				a.says(`{"type":"ready","run":"R1","sequence":6}`)
				a.told(channel.KindReady, 6)
				a.says(tt.line)
				a.says(tt.line) // Said once, until one is taken.
				m := a.told(channel.KindRefused, 0)
				if m.Code != tt.code || m.Text != tt.text || m.Run != "R1" {
					t.Errorf("got %q %q of %q, want %q %q", m.Code, m.Text, m.Run, tt.code, tt.text)
				}
				a.says(`{"type":"answer","run":"R1","sequence":7}`)
				a.told(channel.KindAnswer, 7)
				a.says(`{"type":"snapshot","run":"R1","sequence":8,"snapshot":1}`)
				a.told(channel.KindSnapshot, 8)
				if tt.code == channel.SnapshotTooLarge {
					a.says(tt.line)
					a.told(channel.KindRefused, 0)
				}
			})
		})
	}
}

// A message that has all that it may is taken.
func TestLongestLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		line := `{"type":"snapshot","run":"R1","sequence":1,"snapshot":""}`
		a.says(strings.Replace(line, `""`, `"`+strings.Repeat("x", channel.MaxLine-len(line))+`"`, 1))
		a.told(channel.KindSnapshot, 1)
	})
}

// A line that does not end is told of all the same, and read on without being kept.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		part := strings.Repeat("x", 1<<20)
		for range channel.MaxFile>>20 + 16 {
			if _, err := io.WriteString(a.conn, part); err != nil {
				t.Fatal(err)
			}
		}
		if m := a.told(channel.KindRefused, 0); m.Code != channel.MessageTooLarge {
			t.Errorf("told %+v", m)
		}
		a.says("")
		a.says(`{"type":"ready","run":"R1","sequence":0}`)
		a.told(channel.KindReady, 0)
	})
}

// An application that closes every connection is asked less and less often.
func TestFlappingIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		a := newApp(t)
		a.link.Begin("R1", channel.Restore{})
		for range 20 {
			a.listen()
			if _, err := a.lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			a.says(`{"type":"ready","run":"R1","sequence":0}`)
			a.told(channel.KindReady, 0)
			_ = a.conn.Close()
		}
		if took := time.Since(begun); took < 8*time.Second {
			t.Errorf("20 connections in %v", took)
		}
	})
}

// Lines that are no messages are told once, and those that are are heard.
func TestGarbage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		for n := range 1000 {
			a.says([]string{"garbage {{{", `{"type":"lost"}`, `{"type":"refused"}`, "[]", "\x00\xff"}[n%5])
		}
		if m := a.told(channel.KindRefused, 0); m.Code != channel.MessageUnknown || !strings.Contains(m.Text, "invalid character 'g'") {
			t.Errorf("told %+v", m)
		}
		if m := a.told(channel.KindError, 0); m.Text != `a message of the unknown type "lost"` {
			t.Errorf("told %+v", m)
		}
		a.says(`{"type":"ready","run":"R1","sequence":3}`)
		a.told(channel.KindReady, 3)
	})
}

// What is for people is bounded: it goes into the log of the instance.
func TestLongErrorIsClipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.listen()
		a.begin("R1", channel.Restore{})
		a.hears(`{"type":"restore","run":"R1","snapshot":null,"sequence":0}`)
		a.says(`{"type":"error","run":"R1","message":"` + strings.Repeat("ä", 1<<20) + `"}`)
		if m := a.told(channel.KindError, 0); len(m.Text) > 5000 || !strings.HasSuffix(m.Text, "ä…") {
			t.Errorf("%d bytes, ending in %q", len(m.Text), m.Text[len(m.Text)-10:])
		}
	})
}

func TestFile(t *testing.T) {
	t.Parallel()
	f := engine.NewFake()
	id, err := f.Create(t.Context(), engine.Spec{Name: "bot", Image: "bot:1"})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("/data", "state.json")
	if _, err := channel.Export(t.Context(), f, id, name); !engine.IsNotFound(err) {
		t.Errorf("export of a missing file: %v", err)
	}
	if err := channel.Import(t.Context(), f, id, name, []byte("[57]")); err != nil {
		t.Fatal(err)
	}
	body, err := channel.Export(t.Context(), f, id, name)
	if err != nil || string(body) != "[57]" {
		t.Errorf("got %q %v", body, err)
	}
}
