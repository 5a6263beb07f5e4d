// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine/enginetest"
)

// child is set in the environment of a test binary that shall be an agent:
// ADDRESS STATE POINT VERB.
const child = "CHARTROOM_TEST_AGENT"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(child)); len(words) == 4 {
		os.Exit(childMain(words[0], words[1], words[2], words[3]))
	}
	os.Exit(m.Run())
}

// childMain is an agent that kills itself with SIGKILL at a point.
func childMain(address, state, point, verb string) int {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := New(Config{
		State: state, HostID: "h", Statemachine: conn, Address: "none", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		fault: func(p, v string) bool {
			if p == point && v == verb {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return false
		},
	})
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// script is a life of a container in which every verb is used once.
var script = []struct{ verb, done string }{
	{"create", "docker.create"}, {"start", "app.ready"}, {"pause", "docker.pause"}, {"unpause", "docker.unpause"},
	{"stop", "docker.die"}, {"start", "app.ready"}, {"kill", "docker.die"}, {"remove", "docker.destroy"},
}

// want is how often the engine shall have done what, in that life.
var want = map[string]int{"create": 1, "start": 2, "pause": 1, "unpause": 1, "die": 2, "destroy": 1}

// play runs the script. before is called with each verb; what it returns is called
// once the command is in the outbox.
func play(c *centre, name string, spec map[string]any, before func(verb string) (after func())) {
	id := ""
	seen := map[string]int{}
	for _, s := range script {
		after := before(s.verb)
		arguments := map[string]any{"grace": 5, "force": true}
		if s.verb == "create" {
			arguments = spec
		}
		command := c.command(name, id, s.verb, arguments)
		after()
		if o := c.outcome(command); !strings.HasPrefix(o.GetEvent(), "done.") {
			c.t.Errorf("%s: %s %s", s.verb, o.GetEvent(), o.GetDataJson())
		}
		seen[s.done]++
		id = c.find(name, s.done, seen[s.done]).GetContainerId()
	}
}

// witness counts the engine's own events of one container name.
type witness struct {
	stream *engine.Stream
	name   string
}

func watch(t *testing.T, e engine.Engine, name string) *witness {
	t.Helper()
	s, err := e.Events(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &witness{stream: s, name: name}
}

// check reads until destroy and compares. Starts that are not ours do not count:
// where the engine is shared, another agent may look after the same container.
func (w *witness) check(t *testing.T, c *centre) {
	t.Helper()
	got := map[string]int{}
	c.mu.Lock()
	for _, o := range c.got {
		if o.GetInstance() == w.name && o.GetEvent() == "docker.destroy" {
			break // An agent that comes back knows nothing of it, and may hear its story again.
		}
		if o.GetInstance() == w.name && o.GetEvent() == "docker.start" && o.GetCommandId() == "" && !o.GetInferred() {
			got["start"]--
			got["die"]--
		}
	}
	c.mu.Unlock()
	deadline := time.After(30 * time.Second)
	for got["destroy"] == 0 {
		select {
		case ev := <-w.stream.Events:
			if _, ok := want[ev.Action]; ok && ev.Name == w.name {
				got[ev.Action]++
			}
		case <-deadline:
			t.Fatalf("no destroy; the engine did %v", got)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the engine did (-want +got):\n%s\nobserved:", diff)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, o := range c.got {
			if o.GetInstance() == w.name {
				t.Logf("%d %s command %s: %.200s", o.GetSequence(), o.GetEvent(), o.GetCommandId(), o.GetDataJson())
			}
		}
	}
}

// TestDiesBetweenCallAndRecord lets the agent end between the begin of a command, the
// engine's call, the record of its end and what follows from it, and come back, with
// every verb.
func TestDiesBetweenCallAndRecord(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"begun", "started", "called", "ended"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
			name := "crash-" + point
			w := watch(t, f, name)
			stop := start(t, c, state, f)
			play(c, name, appSpec(name), func(verb string) func() {
				if point == "started" && verb != "start" {
					return func() {}
				}
				stop()
				died, planned := make(chan struct{}), make(chan struct{})
				end := start(t, c, state, f, func(conf *Config) {
					conf.fault = func(p, v string) bool {
						switch {
						case point != "ended":
						case p == "started" && v == verb:
							// As with a real engine, the event overtakes the answer to the call,
							<-planned
						case p == "planned":
							// and the application hears of the run after the end is recorded.
							close(planned)
							<-died
						}
						if p != point || v != verb {
							return false
						}
						close(died)
						return true
					}
				})
				return func() {
					<-died
					end()
					stop = start(t, c, state, f)
				}
			})
			w.check(t, c)
		})
	}
}

// TestKilledBetweenCallAndRecord does the same with processes, kill -9 and the real engine.
func TestKilledBetweenCallAndRecord(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	d, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	image := enginetest.Image(t)
	for _, point := range []string{"begun", "started", "called", "ended"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c, state := newCentre(t), t.TempDir()
			address := c.listen()
			name := fmt.Sprintf("chartroom-test-%d-%s", time.Now().UnixNano(), point)
			t.Cleanup(func() { _ = d.Remove(context.Background(), name, true) })
			w := watch(t, d, name)
			dir, err := os.MkdirTemp("", "chartroom-agent-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			spec := map[string]any{
				"image": image, "command": []string{"/probe", "app"}, "environment": []string{"CHARTROOM_SOCKET=/run/chartroom/" + name + ".sock"},
				"mounts": []string{dir + ":/run/chartroom"}, "network": "none", "labels": map[string]string{need.Label: need.Run()},
			}
			agent := spawn(t, address, state, "none", "none")
			play(c, name, spec, func(verb string) func() {
				if point == "started" && verb != "start" {
					return func() {}
				}
				_ = agent.Process.Signal(syscall.SIGTERM)
				_ = agent.Wait()
				agent = spawn(t, address, state, point, verb)
				return func() {
					if err := agent.Wait(); err == nil || agent.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
						t.Errorf("%s: the agent ended with %v, want SIGKILL", verb, err)
					}
					agent = spawn(t, address, state, "none", "none")
				}
			})
			w.check(t, c)
			_ = agent.Process.Signal(syscall.SIGTERM)
			_ = agent.Wait()
		})
	}
}

func spawn(t *testing.T, address, state, point, verb string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+strings.Join([]string{address, state, point, verb}, " "))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}
