// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// Every verb of the command line against a real engine, with everything in one
// process: what docker itself does with create, run, stop, start, restart, rm,
// kill, attach and wait.
func TestCommandsActOnARealContainer(t *testing.T) {
	t.Parallel()
	rig.Engine(t)
	image, address := rig.AppImage(t), rig.FreeAddress(t)
	name := "commands-" + rig.RunID()
	rig.RemoveByName(t, name)
	rig.Start(t, "up", nil, "chartroom", "up", "--data", t.TempDir(), "--listen", address, "--only", rig.Label+"="+rig.RunID())
	rig.Healthy(t, address)
	run := func(want int, arguments ...string) string {
		t.Helper()
		out, said, exit := rig.Run(t, []string{"CHARTROOM_SERVER=" + address}, "chartroom", arguments...)
		if exit != want {
			t.Fatalf("chartroom %s: exit %d, want %d\n%s%s", strings.Join(arguments, " "), exit, want, out, said)
		}
		return out + said
	}
	is := func(state string) {
		t.Helper()
		run(0, "wait", name, "--state", state, "--timeout", "30s")
	}
	rig.Eventually(t, 20*time.Second, "a host is there", func() error {
		_, _, exit := rig.Run(t, []string{"CHARTROOM_SERVER=" + address}, "chartroom", "doctor")
		if exit != 0 {
			return exec.ErrNotFound
		}
		return nil
	})

	made := []string{
		"--name", name, "-e", "CHARTROOM_SOCKET=/run/chartroom/app.sock", "-v", rig.Volume(t) + ":/run/chartroom",
		"-l", rig.Label + "=" + rig.RunID(), image,
	}
	run(0, append([]string{"create"}, made...)...)
	is("created")
	run(7, append([]string{"create"}, made...)...) // it exists
	run(4, "stop", name)                           // it does not run
	run(0, "start", name)
	is("running")
	run(0, "send", name, "hello", `{"number": 7}`)

	attached := attach(t, address, name)
	// What was written before it joined is not shown: ask until it has joined.
	attached.reads(t, "report: [7]", func() { run(0, "send", name, "report") })

	run(0, "pause", name)
	is("paused")
	if said := run(0, "send", name, "hello", `{"number": 8}`); !strings.Contains(said, "queued") {
		t.Errorf("an event for a paused container: %s", said)
	}
	run(4, "pause", name)
	run(0, "unpause", name)
	is("running")
	run(0, "restart", name, "--grace", "5s")
	rig.Eventually(t, 30*time.Second, "it is back with its state", func() error {
		if !strings.Contains(run(0, "logs", name, "--tail", "1"), "ready: restored") {
			return exec.ErrNotFound
		}
		return nil
	})
	is("running")
	run(0, "kill", name)
	if code := strings.TrimSpace(run(0, "wait", name, "--timeout", "30s")); code != "137" {
		t.Errorf("wait after a kill: %q, want 137", code)
	}
	is("user_requested") // who asks for it does not want it back
	run(0, "start", name)
	is("running")
	run(0, "stop", name)
	is("stopped")
	if code := strings.TrimSpace(run(0, "wait", name, "--timeout", "30s")); code != "0" {
		t.Errorf("wait after a stop: %q, want 0", code)
	}
	if said := run(0, "snapshot", "ls", name); !strings.Contains(said, "#1 ") {
		t.Errorf("no snapshot is listed:\n%s", said)
	}
	run(0, "rm", name)
	is("destroyed")
	run(4, "start", name)
	run(3, "start", "nobody-"+rig.RunID())
	if said := run(0, "log", name); !strings.Contains(said, "docker.destroy") {
		t.Errorf("its log does not end with docker.destroy:\n%s", said)
	}
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
