// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// Everything in one process, before a real engine, reached in each way that there
// is. Each case has an instance of its own.
func TestVerbsActOnARealContainer(t *testing.T) {
	t.Parallel()
	witness, image, address := rig.Watch(t), rig.AppImage(t), rig.FreeAddress(t)
	rig.Start(t, "up", nil, "chartroom", "up", "--data", t.TempDir(), "--listen", address, "--only", rig.Only(t))
	rig.Healthy(t, address)
	rig.Eventually(t, 20*time.Second, "a host is there", func() error {
		out, said, _ := rig.Run(t, []string{"CHARTROOM_SERVER=" + address}, "chartroom", "get", "hosts")
		if !strings.Contains(out, "connected") {
			return errors.New(out + said)
		}
		return nil
	})
	t.Run("command line", func(t *testing.T) { t.Parallel(); commandsOnAContainer(t, address, image) })
	t.Run("command line and a chart", func(t *testing.T) { t.Parallel(); commandsOnAChart(t, address) })
	t.Run("REST", func(t *testing.T) { t.Parallel(); restOnAContainer(t, address, image, witness) })
}

// runner returns a function that runs chartroom, requires an exit code and returns
// what was written.
func runner(t *testing.T, address string) func(want int, arguments ...string) string {
	return func(want int, arguments ...string) string {
		t.Helper()
		out, said, exit := rig.Run(t, []string{"CHARTROOM_SERVER=" + address}, "chartroom", arguments...)
		if exit != want {
			t.Fatalf("chartroom %s: exit %d, want %d\n%s%s", strings.Join(arguments, " "), exit, want, out, said)
		}
		return out + said
	}
}

// Every verb of the command line: what docker itself does with create, run, stop,
// start, restart, rm, kill, attach and wait, and what it has no word for.
func commandsOnAContainer(t *testing.T, address, image string) {
	name := "commands-" + rig.RunID()
	rig.RemoveByName(t, name)
	run := runner(t, address)
	is := func(state string) {
		t.Helper()
		run(0, "wait", name, "--state", state, "--timeout", "30s")
	}
	// comesBack waits for what the application writes once it has a state.
	comesBack := func(wrote string) {
		t.Helper()
		rig.Eventually(t, 30*time.Second, "it is back with its state", func() error {
			if last := run(0, "logs", name, "--tail", "1"); !strings.Contains(last, wrote) {
				return fmt.Errorf("it wrote %q, want %q", last, wrote)
			}
			return nil
		})
		is("running")
	}

	made := []string{
		"--name", name, "-e", "CHARTROOM_SOCKET=/run/chartroom/app.sock", "-v", rig.Volume(t) + ":/run/chartroom",
		"-l", rig.Label + "=" + rig.RunID(), "-l", rig.Only(t), "-l", "chartroom.breaker.timeout=" + patience.String(), image,
	}
	run(0, append([]string{"create"}, made...)...)
	is("created")
	run(7, append([]string{"create"}, made...)...) // it exists
	run(4, "stop", name)                           // it does not run
	// What the engine refuses fails, with its reason.
	nobody := "refused-" + rig.RunID()
	if said := run(1, "run", "--name", nobody, "-l", rig.Only(t), "chartroom.test/nosuch:1"); !strings.Contains(said, "No such image") {
		t.Errorf("run of an image that there is not: %s", said)
	}
	run(0, "rm", nobody)
	run(0, "start", name)
	is("running")
	run(0, "send", name, "hello", `{"number": 7}`)
	run(0, "send", name, "hello", `{"number": 8}`)
	// Of the clean start, with the first event, with both.
	rig.Eventually(t, 10*time.Second, "three snapshots are listed", func() error {
		if said := run(0, "snapshot", "ls", name); !strings.Contains(said, "#3 ") {
			return errors.New(said)
		}
		return nil
	})
	run(3, "snapshot", "restore", name, "99")
	run(0, "snapshot", "restore", name, "2")
	comesBack("ready: restored, 1 events contained") // the other is played to it again

	attached := attach(t, address, name)
	// What was written before it joined is not shown: ask until it has joined.
	attached.reads(t, "report: [7,8]", func() { run(0, "send", name, "report") })

	run(0, "pause", name)
	is("paused")
	if said := run(0, "send", name, "hello", `{"number": 9}`); !strings.Contains(said, "queued") {
		t.Errorf("an event for a paused container: %s", said)
	}
	run(4, "pause", name)
	run(0, "unpause", name)
	is("running")
	run(0, "restart", name, "--grace", "5s")
	comesBack("ready: restored")
	run(0, "kill", name)
	if code := strings.TrimSpace(run(0, "wait", name, "--timeout", "30s")); code != "137" {
		t.Errorf("wait after a kill: %q, want 137", code)
	}
	is("user_requested") // who asks for it does not want it back
	// Each returns when it has happened, so that the next one is not refused.
	for _, verb := range []string{"start", "stop", "start", "pause", "unpause", "restart", "stop"} {
		run(0, verb, name)
	}
	is("stopped")
	if code := strings.TrimSpace(run(0, "wait", name, "--timeout", "30s")); code != "0" {
		t.Errorf("wait after a stop: %q, want 0", code)
	}
	run(0, "rm", name)
	is("destroyed")
	run(4, "start", name)
	run(3, "start", "nobody-"+rig.RunID())
	if said := run(0, "log", name); !strings.Contains(said, "docker.destroy") {
		t.Errorf("its log does not end with docker.destroy:\n%s", said)
	}
}

// A chart that runs by itself: no container, no host.
func commandsOnAChart(t *testing.T, address string) {
	name := "order-" + rig.RunID()
	run := runner(t, address)
	file := rig.Path(t, "charts", "order.scxml")
	if id := strings.TrimSpace(run(0, "run", file, "--id", name)); id != name {
		t.Errorf("it is called %q, want %q", id, name)
	}
	run(exitConflict, "run", file, "--id", name)
	run(0, "send", name, "item", `{"name": "tea", "price": 4}`)
	run(0, "send", name, "checkout")
	if said := run(0, "describe", name); !strings.Contains(said, "Waiting for 4.") {
		t.Errorf("it does not ask for the money:\n%s", said)
	}
	run(0, "send", name, "pay", `{"amount": 4}`)
	run(0, "wait", name, "--state", "packed", "--timeout", "10s")
	run(0, "send", name, "ship")
	run(exitRefused, "send", name, "cancel") // it has ended
	if said := run(0, "log", name); !strings.Contains(said, "ship") {
		t.Errorf("its log:\n%s", said)
	}
	run(0, "rm", name)
	run(exitNotFound, "describe", name)
}

// attachment is a chartroom attach under way.
type attachment struct{ lines <-chan string }

func attach(t *testing.T, address, name string) attachment {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), rig.Binary(t, "chartroom"), "--server", address, "attach", name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return attachment{lines}
}

// reads waits for a line of the program's output, asking for it again and again.
func (a attachment) reads(t *testing.T, want string, ask func()) {
	t.Helper()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(20 * time.Second); ; {
		select {
		case <-again.C:
			ask()
		case line, open := <-a.lines:
			if !open {
				t.Fatalf("attach ended before %q", want)
			}
			if line == want {
				return
			}
		case <-limit:
			t.Fatalf("attach does not show %q", want)
		}
	}
}
