// SPDX-License-Identifier: AGPL-3.0-or-later

// Package enginetest is the conformance suite of package engine: what the agent
// relies on, stated as tests that the real engine and the fake one both pass.
package enginetest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
)

// Subject is an engine under test.
type Subject struct {
	// Engine is it.
	Engine engine.Engine
	// Image is the image of the program probe.
	Image string
	// Mount is a "SOURCE:/run/chartroom" line for sockets.
	Mount string
	// HostKill kills the main process with SIGKILL past the engine.
	HostKill func(id string) error
}

var serial atomic.Int64

// suite is one test's container with the events it emitted.
type suite struct {
	Subject
	t    *testing.T
	id   string
	name string
	ev   *engine.Stream
	seen []string
}

// Run runs the suite. It creates containers with the label of this run
// of the tests ([need.Run]) and removes them.
func Run(t *testing.T, s Subject) {
	tests := map[string]func(*suite){
		"start and exit": func(s *suite) {
			s.create("exit", "3")
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.events("create start die(3)")
			c := s.inspect()
			s.equal("state", c.State.Status, "exited")
			s.equal("exit code", c.State.ExitCode, 3)
			s.equal("live", c.State.Live(), false)
		},
		"create does not start": func(s *suite) {
			s.create("run")
			c := s.inspect()
			s.equal("state", c.State.Status, "created")
			s.equal("started at", c.State.StartedAt, "")
			s.equal("name", c.Name, s.name)
			s.equal("label", c.Labels[need.Label], need.Run())
			s.equal("policy", c.RestartPolicy, "no")
		},
		"remembers starts": func(s *suite) {
			s.create("run")
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.events("create start")
			c := s.inspect()
			at, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
			s.do(err)
			info, err := s.Engine.Info(s.ctx())
			s.do(err)
			m, err := s.Engine.Memory(s.ctx(), info.Time)
			s.do(err)
			if _, ok := m.Starts[s.id]; !ok || m.Lacks(s.id, at) {
				s.t.Errorf("the start at %s is not remembered: %+v", at, m)
			}
			if m.Whole != m.Lacks(s.id, at.Add(-time.Hour)) {
				s.t.Error("a run of an hour ago is remembered by a whole memory")
			}
		},
		"create like another": func(s *suite) {
			s.create("app")
			s.startAndWait()
			s.do(s.Engine.Kill(s.ctx(), s.id, "KILL"))
			s.events("create start kill(9) die(137)")
			name := s.name + "-like"
			spec := engine.Spec{Like: s.id, Name: name, Env: []string{"MODE=safe"}, Labels: map[string]string{"chartroom.test": "engine", "a": "b"}}
			id, err := s.Engine.Create(s.ctx(), spec)
			s.do(err)
			s.t.Cleanup(func() { _ = s.Engine.Remove(context.Background(), id, true) })
			_, err = s.Engine.Create(s.ctx(), spec)
			s.refused("create", 409, err)
			old := s.inspect()
			c, err := s.Engine.Inspect(s.ctx(), id)
			s.do(err)
			s.equal("state", old.State.Status+" "+c.State.Status, "exited created")
			s.equal("image", c.Image, old.Image)
			s.equal("labels", c.Labels["a"]+c.Labels["chartroom.test"], "bengine")
			s.equal("environment", slices.Contains(c.Env, "MODE=safe") && slices.Contains(c.Env, "CHARTROOM_SOCKET="+s.socket()), true)
			s.equal("mounts", fmt.Sprint(c.Mounts), fmt.Sprint(old.Mounts))
			s.do(s.Engine.Join(s.ctx(), id, s.id))
			s.do(s.Engine.Join(s.ctx(), id, s.id))
			s.refused("join", 404, s.Engine.Join(s.ctx(), id, "chartroom-test-none"))
			s.do(s.Engine.Start(s.ctx(), id)) // The command, too: it listens.
			s.until("it answers", func() bool {
				conn, err := s.Engine.DialSocket(s.ctx(), c, s.socket())
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
			spec.Like, spec.Name = "chartroom-test-none", name+"-none"
			_, err = s.Engine.Create(s.ctx(), spec)
			s.refused("create", 404, err)
		},
		"start twice is one start": func(s *suite) {
			s.create("run")
			s.do(s.Engine.Start(s.ctx(), s.id))
			first := s.inspect().State.StartedAt
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.equal("started at", s.inspect().State.StartedAt, first)
			s.events("create start")
		},
		"every run has another start time": func(s *suite) {
			s.create("exit", "0")
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.events("create start die(0)")
			first := s.inspect().State.StartedAt
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.events("create start die(0) start die(0)")
			if again := s.inspect().State.StartedAt; again == first {
				s.t.Errorf("both runs started at %s", again)
			}
		},
		"stop": func(s *suite) {
			s.create("run")
			s.startAndWait()
			s.do(s.Engine.Stop(s.ctx(), s.id, 5*time.Second))
			s.unordered("create start kill(15) die(0) stop")
			s.do(s.Engine.Stop(s.ctx(), s.id, 5*time.Second))
			s.equal("exit code", s.inspect().State.ExitCode, 0)
		},
		"stop of a stubborn process": func(s *suite) {
			s.create("stubborn")
			s.startAndWait()
			s.do(s.Engine.Stop(s.ctx(), s.id, time.Second))
			s.unordered("create start kill(15) kill(9) die(137) stop")
		},
		"kill": func(s *suite) {
			s.create("run")
			s.refused("kill", 409, s.Engine.Kill(s.ctx(), s.id, "KILL"))
			s.startAndWait()
			s.do(s.Engine.Kill(s.ctx(), s.id, "9"))
			s.events("create start kill(9) die(137)")
			s.refused("kill", 409, s.Engine.Kill(s.ctx(), s.id, "SIGKILL"))
		},
		"killed from the host": func(s *suite) {
			s.create("run")
			s.startAndWait()
			s.do(s.HostKill(s.id))
			s.events("create start die(137)")
			s.equal("exit code", s.inspect().State.ExitCode, 137)
		},
		"pause": func(s *suite) {
			s.create("run")
			s.refused("pause", 409, s.Engine.Pause(s.ctx(), s.id))
			s.refused("unpause", 500, s.Engine.Unpause(s.ctx(), s.id))
			s.startAndWait()
			s.do(s.Engine.Pause(s.ctx(), s.id))
			s.refused("pause", 409, s.Engine.Pause(s.ctx(), s.id))
			s.refused("start", 409, s.Engine.Start(s.ctx(), s.id))
			c := s.inspect()
			s.equal("state", fmt.Sprintf("%s %t %t", c.State.Status, c.State.Running, c.State.Paused), "paused true true")
			s.do(s.Engine.Unpause(s.ctx(), s.id))
			s.events("create start pause unpause")
		},
		"kill while paused": func(s *suite) {
			s.create("run")
			s.startAndWait()
			s.do(s.Engine.Pause(s.ctx(), s.id))
			s.do(s.Engine.Kill(s.ctx(), s.id, "KILL"))
			s.events("create start pause kill(9) die(137)")
		},
		"remove": func(s *suite) {
			s.create("run")
			s.startAndWait()
			s.refused("remove", 409, s.Engine.Remove(s.ctx(), s.id, false))
			s.do(s.Engine.Remove(s.ctx(), s.id, true))
			s.events("create start kill(9) die(137) destroy")
			_, err := s.Engine.Inspect(s.ctx(), s.id)
			s.refused("inspect", 404, err)
			for verb, err := range map[string]error{
				"start": s.Engine.Start(s.ctx(), s.id), "stop": s.Engine.Stop(s.ctx(), s.id, 0), "kill": s.Engine.Kill(s.ctx(), s.id, "9"),
				"pause": s.Engine.Pause(s.ctx(), s.id), "unpause": s.Engine.Unpause(s.ctx(), s.id), "remove": s.Engine.Remove(s.ctx(), s.id, true),
			} {
				s.refused(verb, 404, err)
			}
		},
		"name and image": func(s *suite) {
			s.create("run")
			_, err := s.Engine.Create(s.ctx(), engine.Spec{Name: s.name, Image: s.Image})
			s.refused("create", 409, err)
			_, err = s.Engine.Create(s.ctx(), engine.Spec{Name: s.name + "-other", Image: "chartroom-test/no-such-image:1"})
			s.refused("create", 404, err)
			c, err := s.Engine.Inspect(s.ctx(), s.name)
			s.do(err)
			s.equal("id by name", c.ID, s.id)
		},
		"missing program": func(s *suite) {
			id, err := s.Engine.Create(s.ctx(), engine.Spec{
				Name: s.name, Image: s.Image, Command: []string{"/nowhere"}, Labels: map[string]string{need.Label: need.Run()},
			})
			s.do(err)
			s.id = id
			if status := engine.StatusOf(s.Engine.Start(s.ctx(), s.id)); status < 400 {
				s.t.Errorf("start: got status %d, want a refusal", status)
			}
			s.equal("state", s.inspect().State.Status, "created")
			s.equal("exit code", s.inspect().State.ExitCode, 127)
		},
		"list": func(s *suite) {
			s.create("run")
			list, err := s.Engine.List(s.ctx())
			s.do(err)
			found := ""
			for _, c := range list {
				if c.ID == s.id {
					found = c.Name + " " + c.Status
				}
			}
			s.equal("line", found, s.name+" created")
		},
		"since replays": func(s *suite) {
			s.create("run")
			s.startAndWait()
			ctx, cancel := context.WithCancel(s.ctx())
			defer cancel()
			again, err := s.Engine.Events(ctx, time.Now().Add(-time.Minute))
			s.do(err)
			s.ev, s.seen = again, nil
			s.events("create start")
		},
		"logs": func(s *suite) {
			s.create("exit", "0")
			s.do(s.Engine.Start(s.ctx(), s.id))
			s.events("create start die(0)")
			var out bytes.Buffer
			s.do(s.Engine.Logs(s.ctx(), s.id, engine.LogOptions{Follow: true, Tail: 5}, &out, &out))
		},
		"copy in and out": func(s *suite) {
			s.create("run")
			s.do(s.Engine.CopyTo(s.ctx(), s.id, "/", archive(s.t, "state.json", "[1]")))
			r, err := s.Engine.CopyFrom(s.ctx(), s.id, "/state.json")
			s.do(err)
			defer r.Close()
			files := tar.NewReader(r)
			h, err := files.Next()
			s.do(err)
			body, err := io.ReadAll(files)
			s.do(err)
			s.equal("file", h.Name+" "+string(body), "state.json [1]")
			_, err = s.Engine.CopyFrom(s.ctx(), s.id, "/other")
			s.refused("copy from", 404, err)
		},
		"socket": func(s *suite) {
			s.create("app")
			c := s.inspect()
			if _, err := s.Engine.DialSocket(s.ctx(), c, s.socket()); err == nil {
				s.t.Error("dialled a container that does not run")
			}
			s.startAndWait()
			var conn net.Conn
			s.until("the application listens", func() bool {
				var err error
				conn, err = s.Engine.DialSocket(s.ctx(), c, s.socket())
				return err == nil
			})
			defer conn.Close()
			_, err := io.WriteString(conn, `{"type":"restore","run":"r","snapshot":null,"sequence":7}`+"\n")
			s.do(err)
			line, err := bufio.NewReader(conn).ReadString('\n')
			s.do(err)
			s.equal("answer", strings.TrimSpace(line), `{"type":"ready","run":"r","sequence":7}`)
			if _, err := s.Engine.DialSocket(s.ctx(), c, "/elsewhere/x.sock"); err == nil {
				s.t.Error("dialled a path that is on no mount")
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := time.Now()
			ev, err := s.Engine.Events(t.Context(), started.Add(-time.Second))
			if err != nil {
				t.Fatal(err)
			}
			u := &suite{Subject: s, t: t, name: fmt.Sprintf("chartroom-test-%d-%d", started.UnixNano(), serial.Add(1)), ev: ev}
			t.Cleanup(func() {
				if u.id != "" {
					_ = s.Engine.Remove(context.Background(), u.id, true)
				}
			})
			test(u)
		})
	}
}

func archive(t *testing.T, name, body string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func (s *suite) ctx() context.Context { return s.t.Context() }

func (s *suite) socket() string { return "/run/chartroom/" + s.name + ".sock" }

func (s *suite) create(command ...string) {
	s.t.Helper()
	spec := engine.Spec{
		Name: s.name, Image: s.Image, Command: append([]string{"/probe"}, command...),
		Labels: map[string]string{need.Label: need.Run()}, Env: []string{"CHARTROOM_SOCKET=" + s.socket()}, Network: "none",
	}
	if s.Mount != "" {
		spec.Mounts = []string{s.Mount}
	}
	id, err := s.Engine.Create(s.ctx(), spec)
	s.do(err)
	s.id = id
}

// startAndWait starts the container and waits until its program has installed
// its signal handlers, which the first line of output tells.
func (s *suite) startAndWait() {
	s.t.Helper()
	s.do(s.Engine.Start(s.ctx(), s.id))
	if _, fake := s.Engine.(*engine.Fake); fake {
		return
	}
	s.until("the first line of output", func() bool {
		var b bytes.Buffer
		return s.Engine.Logs(s.ctx(), s.id, engine.LogOptions{}, &b, &b) == nil && strings.Contains(b.String(), "ready")
	})
}

func (s *suite) until(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited 10 s for: %s", what)
		}
	}
}

func (s *suite) inspect() engine.Container {
	s.t.Helper()
	c, err := s.Engine.Inspect(s.ctx(), s.id)
	s.do(err)
	return c
}

func (s *suite) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) refused(op string, status int, err error) {
	s.t.Helper()
	if got := engine.StatusOf(err); got != status {
		s.t.Errorf("%s: got status %d (%v), want %d", op, got, err, status)
	}
}

func (s *suite) equal(what string, got, want any) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// read reads events of the container until there are n.
func (s *suite) read(n int) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for len(s.seen) < n {
		select {
		case ev := <-s.ev.Events:
			if ev.ContainerID != s.id || ev.Name != s.name {
				continue
			}
			word, _, _ := strings.Cut(ev.Action, ":")
			switch word {
			case "die":
				word += "(" + ev.Attributes["exitCode"] + ")"
			case "kill":
				word += "(" + ev.Attributes["signal"] + ")"
			}
			s.seen = append(s.seen, word)
		case err := <-s.ev.Err:
			s.t.Fatalf("stream ended after %v: %v", s.seen, err)
		case <-deadline:
			s.t.Fatalf("no more events after %v", s.seen)
		}
	}
}

// events expects exactly these so far.
func (s *suite) events(want string) {
	s.t.Helper()
	s.read(len(strings.Fields(want)))
	s.equal("events", strings.Join(s.seen, " "), want)
}

// unordered expects these, where engines differ in the order of stop and die.
func (s *suite) unordered(want string) {
	s.t.Helper()
	s.read(len(strings.Fields(want)))
	got := strings.Join(s.seen, " ")
	for _, die := range []string{"die(0)", "die(137)"} {
		got = strings.Replace(got, "stop "+die, die+" stop", 1)
	}
	s.equal("events", got, want)
}
