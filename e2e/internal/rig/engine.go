// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rig is what the end-to-end tests stand on: chartroom's programs as
// processes, containers through testcontainers, and clients of the gateway.
//
// Everything that it starts is labelled chartroom.test and ends with the test.
// Functions that take a testing.TB fail it and must be called from its goroutine.
package rig

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Label marks everything that a test makes; its value is that of this run.
const Label = "chartroom.test"

// RunID tells this run from others, as the value of [Label]: CHARTROOM_TEST_RUN, or
// the process id.
func RunID() string {
	if id := os.Getenv("CHARTROOM_TEST_RUN"); id != "" {
		return id
	}
	return strconv.Itoa(os.Getpid())
}

// ofTest marks what belongs to one test. It is none of chartroom's own labels, of which
// an unknown one is a finding.
const ofTest = "test.of"

// Only is the label, NAME=VALUE, of the containers that a test's own agents may touch:
// tests that run side by side share the engine, and two fleets that act on one
// container would each give it a state of their own.
func Only(t testing.TB) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	return ofTest + "=" + name + "-" + RunID()
}

// Labels returns the labels of this run and of the test together with others, given as
// pairs.
func Labels(t testing.TB, pairs ...string) map[string]string {
	m := map[string]string{Label: RunID()}
	name, value, _ := strings.Cut(Only(t), "=")
	m[name] = value
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// Required reports whether CHARTROOM_REQUIRE names what.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("CHARTROOM_REQUIRE"), ","), what)
}

// Missing skips the test because what is not there, or fails it where
// CHARTROOM_REQUIRE names it.
func Missing(t testing.TB, what, why string) {
	t.Helper()
	if Required(what) {
		t.Fatalf("needs %s, which CHARTROOM_REQUIRE names: %s", what, why)
	}
	t.Skipf("needs %s: %s", what, why)
}

// Engine returns a client of the engine at DOCKER_HOST or the default socket. The
// test is skipped where none answers.
func Engine(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatalf("client of the engine: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Ping(ctx, client.PingOptions{}); err != nil {
		Missing(t, "engine", err.Error())
	}
	return c
}

// A Redis is a Redis server in a container, with AOF and appendfsync always on a
// volume of its own, so that it can be killed and started again.
type Redis struct {
	container testcontainers.Container
	// Address is where it listens, on loopback; it stays over restarts.
	Address string
	// URL is the address as the snapshot service takes it.
	URL string
	// ID is the container's.
	ID string
}

// StartRedis starts a Redis for this test alone.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	Engine(t)
	image := os.Getenv("CHARTROOM_REDIS_IMAGE")
	if image == "" {
		image = output(t, Path(t, "scripts", "local-image"), "redis")
	}
	address := FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	c, err := testcontainers.Run(t.Context(), image,
		testcontainers.WithCmd("redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
			"--maxmemory-policy", "noeviction", "--protected-mode", "no", "--port", port),
		testcontainers.WithLabels(Labels(t)),
		// The engine's own port mapping moves with every start; in the
		// host's network the port stays.
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.NetworkMode = "host" }),
		testcontainers.WithWaitStrategy(wait.ForLog("eady to accept connections").WithStartupTimeout(30*time.Second)),
	)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		Missing(t, "redis", err.Error())
	}
	r := &Redis{container: c, Address: address, URL: "redis://" + address, ID: c.GetContainerID()}
	r.wait(t)
	return r
}

// Kill kills the server with SIGKILL.
func (r *Redis) Kill(t testing.TB) {
	t.Helper()
	output(t, "docker", "kill", "--signal", "KILL", r.ID)
}

// Hang stops the server with SIGSTOP: it keeps its connections and answers none.
func (r *Redis) Hang(t testing.TB) {
	t.Helper()
	output(t, "docker", "kill", "--signal", "STOP", r.ID)
}

// GoOn lets a server go on that hangs.
func (r *Redis) GoOn(t testing.TB) {
	t.Helper()
	output(t, "docker", "kill", "--signal", "CONT", r.ID)
}

// Restart starts the killed server with its data.
func (r *Redis) Restart(t testing.TB) {
	t.Helper()
	output(t, "docker", "start", r.ID)
	r.wait(t)
}

func (r *Redis) wait(t testing.TB) {
	t.Helper()
	Eventually(t, 30*time.Second, "redis answers", func() error { return r.ask("PING", "+PONG") })
}

// Copy copies the data of the running server, which hangs meanwhile: nothing is
// written to a file that is read.
func (r *Redis) Copy(t testing.TB) (copied string) {
	t.Helper()
	copied = t.TempDir()
	r.Hang(t)
	output(t, "docker", "cp", r.ID+":/data/.", copied)
	r.GoOn(t)
	return copied
}

// PutBack kills the server and starts it with the data of a copy.
func (r *Redis) PutBack(t testing.TB, copied string) {
	t.Helper()
	r.Kill(t)
	output(t, "docker", "cp", copied+"/.", r.ID+":/data")
	r.Restart(t)
}

// Empty deletes everything in the server while it is in use.
func (r *Redis) Empty(t testing.TB) {
	t.Helper()
	if err := r.ask("FLUSHALL", "+OK"); err != nil {
		t.Fatalf("empty redis: %v", err)
	}
}

// ask sends a command over a connection of its own and compares the answer.
func (r *Redis) ask(command, want string) error {
	c, err := net.DialTimeout("tcp", r.Address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprint(c, command+"\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, want) {
		err = fmt.Errorf("redis says %q", line)
	}
	return err
}

// Inspect is what the engine says of a container, by id or name: the witness.
func Inspect(t testing.TB, id string) container.InspectResponse {
	t.Helper()
	r, err := Engine(t).ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatalf("inspect %s: %v", id, err)
	}
	return r.Container
}

// KillTarget sends SIGKILL to the first process of a container from the host, as
// an out-of-memory killer would: the engine learns of it by the death.
func KillTarget(t testing.TB, id string) {
	t.Helper()
	SignalTarget(t, id, syscall.SIGKILL)
}

// SignalTarget sends a signal to the first process of a container from the host:
// the engine learns nothing of one that it survives.
func SignalTarget(t testing.TB, id string, s syscall.Signal) {
	t.Helper()
	pid := Inspect(t, id).State.Pid
	if pid == 0 {
		t.Fatalf("%v to %s: it is not running", s, id)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("%v to %s, pid %d: %v", s, id, pid, err)
	}
}

// Wrote waits until what a container wrote is as it should be: the engine keeps it a
// moment after it was written, and answers to events come another way.
func Wrote(t testing.TB, id, what string, ok func(logs string) bool) {
	t.Helper()
	Eventually(t, 10*time.Second, id+" writes "+what, func() error {
		if logs := Logs(t, id); !ok(logs) {
			return fmt.Errorf("it wrote %s", logs)
		}
		return nil
	})
}

// Logs is what a container wrote over all its runs, as the engine kept it.
func Logs(t testing.TB, id string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "logs", id).Output()
	if err != nil {
		t.Fatalf("docker logs %s: %v", id, err)
	}
	return string(out)
}

// RemoveByName removes a container and its volumes when the test ends, also one
// that does not exist yet.
func RemoveByName(t testing.TB, name string) {
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", "--volumes", name).Run() })
}

// Volume makes a volume for this test and returns its name.
func Volume(t testing.TB) string {
	t.Helper()
	name := output(t, "docker", "volume", "create", "--label", Label+"="+RunID())
	t.Cleanup(func() { _ = exec.Command("docker", "volume", "rm", "--force", name).Run() })
	return name
}

// AppImage is the image that runs an SCXML file as an application.
func AppImage(t testing.TB) string {
	t.Helper()
	image := os.Getenv("CHARTROOM_APP_IMAGE")
	if image == "" {
		Missing(t, "engine", "CHARTROOM_APP_IMAGE is not set; scripts/e2e builds the image and sets it")
	}
	return image
}

// UnrulyImage makes an image of the program unruly alone, whose health is checked
// every second; it is removed with the test.
func UnrulyImage(t testing.TB) string {
	t.Helper()
	Engine(t)
	dir, ref := t.TempDir(), "chartroom-test/unruly:"+RunID()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "unruly"), "github.com/chartroom/chartroom/e2e/internal/unruly")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build unruly: %v\n%s", err, said)
	}
	output(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "image.tar"), "unruly")
	output(t, "docker", "import", "--change", `ENTRYPOINT ["/unruly"]`, "--change", "LABEL "+Label+"="+RunID(),
		"--change", `HEALTHCHECK --interval=1s --retries=1 CMD ["/unruly", "health"]`, filepath.Join(dir, "image.tar"), ref)
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "--force", ref).Run() })
	return ref
}

// Docker runs a command of the engine's, as somebody would.
func Docker(t testing.TB, arguments ...string) string {
	t.Helper()
	return output(t, "docker", arguments...)
}

// output runs a command and returns its trimmed standard output.
func output(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// OnEvent calls do at the engine's next event of one kind about a container, and
// then closes the channel.
func OnEvent(t testing.TB, name, action string, do func()) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream := Engine(t).Events(ctx, client.EventsListOptions{
		Filters: make(client.Filters).Add("container", name).Add("event", action),
	})
	done := make(chan struct{})
	go func() {
		defer cancel()
		select {
		case <-stream.Messages:
			do()
			close(done)
		case <-stream.Err:
		}
	}()
	return done
}
