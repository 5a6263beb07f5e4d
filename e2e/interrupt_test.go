// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// victim is the file in which a run that is to be interrupted says what it is.
const victim = "CHARTROOM_TEST_VICTIM"

// An interrupt of scripts/e2e leaves nothing behind: no process, nothing on the
// engine, no engine of its own, no file.
func TestInterruptedRunLeavesNothing(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		beInterrupted(t, path)
		return
	}
	rig.Engine(t)
	path := filepath.Join(t.TempDir(), "victim.json")
	script := exec.Command(rig.Path(t, "scripts", "e2e"), "-run", "^"+t.Name()+"$", ".")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CHARTROOM_TEST_RUN=") && !strings.HasPrefix(v, "TMPDIR=") {
			script.Env = append(script.Env, v)
		}
	}
	script.Env = append(script.Env, victim+"="+path)
	var said bytes.Buffer
	script.Stdout, script.Stderr = &said, &said
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = script.Wait()
		close(gone)
	}()
	interrupt := func() { _ = syscall.Kill(-script.Process.Pid, syscall.SIGINT) }
	t.Cleanup(func() {
		interrupt()
		<-gone
		if t.Failed() {
			t.Logf("what the interrupted run said:\n%s", &said)
		}
	})
	var run struct{ ID, Temporary string }
	rig.Eventually(t, 4*time.Minute, "the run to be interrupted has started everything", func() error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &run)
	})
	if len(labelled(t, rig.Label+"="+run.ID)) < 4 {
		t.Errorf("the run made %q", labelled(t, rig.Label+"="+run.ID))
	}
	if len(ofRun(t, run.ID)) < 6 {
		t.Errorf("processes of the run: %q, want four services and an engine", ofRun(t, run.ID))
	}
	interrupt()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatal("the run did not end within a minute of its interrupt")
	}

	if left := ofRun(t, run.ID); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
	if left := labelled(t, rig.Label+"="+run.ID); len(left) > 0 {
		t.Errorf("left on the engine: %q", left)
	}
	if _, err := os.Stat(run.Temporary); !os.IsNotExist(err) {
		t.Errorf("temporary files left in %s (%v)", run.Temporary, err)
	}
}

// beInterrupted starts some of everything, says so in a file, and waits.
func beInterrupted(t *testing.T, path string) {
	f := rig.StartFleet(t, rig.StartRedis(t).URL)
	f.CreateApp(t, "interrupted")
	rig.StartEngine(t).RunApp(t, "interrupted")
	b, err := json.Marshal(map[string]string{"ID": rig.RunID(), "Temporary": os.Getenv("TMPDIR")})
	if err == nil {
		err = os.WriteFile(path+".part", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	select {}
}

// ofRun returns the command lines of the processes of a run, which inherit its id.
func ofRun(t *testing.T, id string) (commands []string) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environments {
		// One that has ended, or is somebody else's, cannot be read.
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("CHARTROOM_TEST_RUN="+id+"\x00")) {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		commands = append(commands, string(bytes.ReplaceAll(argv, []byte{0}, []byte{' '})))
	}
	return commands
}

// `chartroom demo` removes what it made when it is interrupted in the middle of a
// scene, when its terminal is closed, and when nobody reads its output any more.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	rig.Engine(t)
	for name, end := range map[string]func(demo *os.Process, output io.Closer){
		"interrupted":     func(demo *os.Process, _ io.Closer) { _ = demo.Signal(os.Interrupt) },
		"terminal closed": func(demo *os.Process, _ io.Closer) { _ = demo.Signal(syscall.SIGHUP) },
		"reader gone":     func(_ *os.Process, output io.Closer) { _ = output.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			// Under nohup, which these tests may run under, it would rightly ignore SIGHUP.
			cmd := exec.Command("env", "--default-signal=HUP", rig.Binary(t, "chartroom"), "demo", "--once", "--listen", rig.FreeAddress(t))
			temporary := t.TempDir()
			cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
			var said bytes.Buffer
			cmd.Stderr = &said
			output, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			gone := make(chan error, 1)
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				if t.Failed() {
					t.Logf("the demo's errors: %s", &said)
				}
			})
			var mark string
			lines := bufio.NewScanner(output)
			for lines.Scan() {
				if id := regexp.MustCompile(`chartroom/scxml:demo-([0-9a-f]+)`).FindStringSubmatch(lines.Text()); id != nil {
					mark = "chartroom.demo=" + id[1]
				}
				if strings.Contains(lines.Text(), "helloworld") && strings.Contains(lines.Text(), " runs. ") {
					break
				}
			}
			if len(labelled(t, mark)) != 3 {
				t.Fatalf("made by the demo: %q, want a container, a volume and an image", labelled(t, mark))
			}
			end(cmd.Process, output)
			_, _ = io.Copy(io.Discard, output)
			go func() { gone <- cmd.Wait() }()
			select {
			case err := <-gone:
				if err == nil {
					t.Error("it ended with 0, as if every claim held")
				}
			case <-time.After(time.Minute):
				t.Fatal("it did not end within a minute")
			}
			if left := labelled(t, mark); len(left) > 0 {
				t.Errorf("left on the engine: %q", left)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("temporary files left: %v (%v)", left, err)
			}
			if strings.Contains(said.String(), context.Canceled.Error()) {
				t.Errorf("it speaks of its own insides: %s", &said)
			}
		})
	}
}

// labelled lists what on the engine has a label.
func labelled(t *testing.T, label string) (all []string) {
	t.Helper()
	for _, list := range [][]string{{"container", "ls", "--all"}, {"volume", "ls"}, {"network", "ls"}, {"image", "ls"}} {
		out, err := exec.CommandContext(t.Context(), "docker", append(list, "--quiet", "--filter", "label="+label)...).Output()
		if err != nil {
			t.Fatalf("docker %s: %v", strings.Join(list, " "), err)
		}
		for _, id := range strings.Fields(string(out)) {
			all = append(all, list[0]+" "+id)
		}
	}
	return all
}
