// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/conformance"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// byHTTP are the tests of the Basic HTTP event I/O processor that pass over a
// network, and how many connections they make: 577 has nowhere to send to. Test
// 201, the twelfth, sends to itself by HTTP and then, in the same block, without, and
// wants the former to arrive first: that takes the short way that the kernel has
// for a session's own address.
var byHTTP = map[string]int64{"509": 1, "510": 1, "518": 1, "519": 1, "520": 1, "522": 1, "531": 1, "532": 1, "534": 1, "567": 1, "577": 0}

// counting counts the connections that it accepts.
type counting struct {
	net.Listener
	accepted atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.accepted.Add(1)
	}
	return conn, err
}

// live runs a document on the real clock. With wire the session is known by an
// address that it does not take for its own, so that what it sends to itself goes
// out to the network and comes in again. It gives how the session ended and how
// many connections were made.
func live(t *testing.T, file string, wire bool) (end string, connections int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &counting{Listener: listener}
	ended := make(chan *scxml.Done, 1)
	folder := "file://" + filepath.ToSlash(filepath.Dir(file)) + "/"
	l, err := scxmlenv.NewLive(scxmlenv.LiveConfig{
		// A session that is not there must be found out at once (C.1).
		Config: scxmlenv.Config{Base: folder, Options: scxml.Options{SendTargets: []string{}}, Observe: func(s *scxmlenv.Session, step scxml.Macrostep) {
			if s.Parent == nil && step.Done != nil {
				ended <- step.Done
			}
		}},
		Access:   scxmlenv.Access{Load: []string{folder}},
		Listener: counted,
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	chart, err := l.Compile(filepath.Base(file), doc, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	run := make(chan error, 1)
	go func() { run <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-run; err != nil {
			t.Error(err)
		}
	}()
	in := scxml.Input{SessionID: "root"}
	if wire {
		in.IOProcessors = map[string]string{"basichttp": l.Address("root")}
	}
	if err := l.Do(ctx, func(e *scxmlenv.Env) error { _, err := e.Start(chart, in); return err }); err != nil {
		t.Fatal(err)
	}
	select {
	case done := <-ended:
		return strings.TrimSpace(done.State + " " + done.Fault), counted.accepted.Load()
	case <-time.After(time.Minute):
		return "nothing within a minute", counted.accepted.Load()
	}
}

// TestW3COnTheRealClock runs the automated tests of the plan once more, with the
// real clock, files and HTTP.
func TestW3COnTheRealClock(t *testing.T) {
	t.Parallel()
	cases, err := conformance.Find(suite(t, "w3c"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range cases {
		if c.Excluded != "" {
			continue
		}
		n++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if end, _ := live(t, c.File, false); end != "pass" {
				t.Errorf("ended in %s: %s", end, c.Assertion)
			}
		})
	}
	if n != 193 {
		t.Errorf("%d tests, want 193", n)
	}
}

// TestW3COverTheNetwork runs the tests of the Basic HTTP event I/O processor so that
// every message really goes over a connection.
func TestW3COverTheNetwork(t *testing.T) {
	t.Parallel()
	cases, err := conformance.Find(suite(t, "w3c"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range cases {
		want, ok := byHTTP[c.Name]
		if c.Excluded != "" || !ok {
			continue
		}
		n++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if end, connections := live(t, c.File, true); end != "pass" || connections != want {
				t.Errorf("ended in %s with %d connections, want pass with %d: %s", end, connections, want, c.Assertion)
			}
		})
	}
	if n != len(byHTTP) {
		t.Errorf("%d tests, want %d", n, len(byHTTP))
	}
}
