// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
	for _, what := range []string{"container", "volume", "network", "image"} {
		list := []string{what, "ls", "--quiet", "--filter", "label=" + rig.Label + "=" + run.ID}
		if what == "container" {
			list = append(list, "--all")
		}
		if left, err := exec.CommandContext(t.Context(), "docker", list...).Output(); err != nil || len(left) > 0 {
			t.Errorf("a %s left: %s (%v)", what, left, err)
		}
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
