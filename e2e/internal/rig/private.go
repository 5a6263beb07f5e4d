// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A PrivateEngine is a dockerd of the test's own: own socket, data, exec root, pid
// file and network namespace, and no bridge. Tests that take an engine away use it, so that nobody
// else's containers are touched.
type PrivateEngine struct {
	dir string
	cmd *exec.Cmd
}

// StartEngine starts one with the application's image in it. It needs root and is
// skipped without.
func StartEngine(t testing.TB) *PrivateEngine {
	t.Helper()
	Engine(t)
	image := AppImage(t)
	if os.Getuid() != 0 {
		Missing(t, "engine", "a dockerd of the test's own needs root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		Missing(t, "engine", "dockerd is not installed here")
	}
	// Short, since the path of a socket is limited to about 100 bytes.
	dir, err := os.MkdirTemp("", "chartroom-engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &PrivateEngine{dir: dir}
	t.Cleanup(func() {
		e.end()
		if t.Failed() {
			t.Logf("the end of what the private dockerd said:\n%s", tail(filepath.Join(dir, "log"), 3000))
		}
		_ = os.RemoveAll(dir)
	})
	e.Start(t)
	load := exec.CommandContext(t.Context(), "sh", "-c", `docker image save "$1" | docker --host "$2" image load`, "sh", image, e.host())
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load %s: %v\n%s", image, err, out)
	}
	return e
}

func (e *PrivateEngine) host() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

// Environment is what points a client at this engine.
func (e *PrivateEngine) Environment() []string { return []string{"DOCKER_HOST=" + e.host()} }

// Start starts the engine, the first time or after it was taken away, and waits until it answers.
func (e *PrivateEngine) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// Left by a kill. Where nobody reaps the dead, their pids still look alive.
	_ = os.Remove(filepath.Join(e.dir, "docker.pid"))
	_ = os.Remove(filepath.Join(e.dir, "exec", "containerd", "containerd.pid"))
	cmd := exec.Command("dockerd", "--host", e.host(), "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "docker.pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	cmd.Stdout, cmd.Stderr = log, log
	// A network namespace of its own: an engine without a bridge removes docker0,
	// which would be that of the machine's engine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if err := started.start(e, cmd, func() { e.cmd = cmd }); err != nil {
		t.Fatalf("start a private dockerd: %v", err)
	}
	Eventually(t, 60*time.Second, "the private engine answers", func() error {
		out, err := exec.Command("docker", "--host", e.host(), "version", "--format", "{{.Server.Version}}").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s", strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// Kill kills the engine and every container in it, as a power failure does.
func (e *PrivateEngine) Kill(t testing.TB) {
	t.Helper()
	ids := strings.Fields(e.Docker(t, "ps", "--quiet", "--no-trunc"))
	var pids []int
	for _, id := range ids {
		var pid int
		if _, err := fmt.Sscan(e.Docker(t, "inspect", "--format", "{{.State.Pid}}", id), &pid); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	e.kill()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Abandon kills the engine alone: its containers run on without one.
func (e *PrivateEngine) Abandon() { e.kill() }

// Shutdown has the engine end in order, as before a reboot: it stops its containers.
func (e *PrivateEngine) Shutdown(t testing.TB) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("shut the private dockerd down: %v", err)
	}
	_ = e.cmd.Wait()
}

// SwapData puts the data of an engine that is down aside, so that it starts without
// them, as another; a second call puts them back.
func (e *PrivateEngine) SwapData(t testing.TB) {
	t.Helper()
	data, aside, other := filepath.Join(e.dir, "data"), filepath.Join(e.dir, "aside"), filepath.Join(e.dir, "other")
	for _, move := range [][2]string{{data, other}, {aside, data}, {other, aside}} {
		if err := os.Rename(move[0], move[1]); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// kill ends dockerd and the containerd that it started, which is of its group.
func (e *PrivateEngine) kill() {
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
	_ = e.cmd.Wait()
	if b, err := os.ReadFile(filepath.Join(e.dir, "exec", "containerd", "containerd.pid")); err == nil {
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err == nil && ours(pid, e.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// ours reports whether a process was started for the engine in dir: its command
// line names that directory. A pid alone could be somebody else's by now.
func ours(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(b), dir)
}

// end removes the containers, stops the engine and unmounts what it left. It
// implements member.
func (e *PrivateEngine) end() {
	if out, err := exec.Command("docker", "--host", e.host(), "ps", "--all", "--quiet").Output(); err == nil {
		for _, id := range strings.Fields(string(out)) {
			_ = exec.Command("docker", "--host", e.host(), "rm", "--force", "--volumes", id).Run()
		}
	}
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- e.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	// A shim outlives an engine that was killed.
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err == nil && ours(pid, e.dir+"/exec") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return // not Linux: there is nothing to unmount
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], e.dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

// Docker runs the docker client against this engine and returns what it printed.
func (e *PrivateEngine) Docker(t testing.TB, arguments ...string) string {
	t.Helper()
	return output(t, "docker", append([]string{"--host", e.host()}, arguments...)...)
}

// RunApp runs the application's image as a managed container of the given name.
// Labels are added, each as NAME=VALUE.
func (e *PrivateEngine) RunApp(t testing.TB, name string, labels ...string) {
	t.Helper()
	arguments := []string{"run", "--detach", "--name", name, "--network", "none", "--label", Label + "=" + RunID(), "--label", Only(t),
		"--label", "chartroom.enable=true", "--volume", name + "-run:/run/chartroom", "--env", "CHARTROOM_SOCKET=/run/chartroom/app.sock"}
	for _, l := range labels {
		arguments = append(arguments, "--label", l)
	}
	e.Docker(t, append(arguments, AppImage(t))...)
}

// AppOf is the instance of a container that was not created by chartroom; e is nil
// for the engine of the environment.
func AppOf(f *Fleet, e *PrivateEngine, name string) *App {
	return &App{ID: name + "@" + f.HostID, Name: name, fleet: f, engine: e}
}
