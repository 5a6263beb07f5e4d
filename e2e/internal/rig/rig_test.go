// SPDX-License-Identifier: AGPL-3.0-or-later

package rig_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// redis runs redis-cli inside the server's container.
func redis(t *testing.T, r *rig.Redis, arguments ...string) string {
	t.Helper()
	_, port, _ := strings.Cut(r.Address, ":")
	out, err := exec.CommandContext(t.Context(), "docker", append([]string{"exec", r.ID, "redis-cli", "-p", port}, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", arguments, err, out)
	}
	return strings.TrimSpace(string(out))
}

// The rig's Redis has to keep what it acknowledged, or the tests that kill it
// would test the rig.
func TestRedisKeepsItsDataOverAKill(t *testing.T) {
	r := rig.StartRedis(t)
	redis(t, r, "set", "course", "west")
	r.Kill(t)
	r.Restart(t)
	if got := redis(t, r, "get", "course"); got != "west" {
		t.Errorf("after the kill: got %q, want west", got)
	}
}

// A private engine comes back after a kill, and its containers are dead. The
// machine's own engine keeps its bridge.
func TestPrivateEngineComesBack(t *testing.T) {
	rig.Engine(t)
	_, before := net.InterfaceByName("docker0")
	e := rig.StartEngine(t)
	if _, err := net.InterfaceByName("docker0"); before == nil && err != nil {
		t.Errorf("docker0: %v", err)
	}
	e.RunApp(t, "sailor")
	e.Kill(t)
	e.Start(t)
	rig.Eventually(t, 20*time.Second, "the container is dead", func() error {
		if state := e.Docker(t, "inspect", "--format", "{{.State.Running}}", "sailor"); state != "false" {
			return &exec.Error{Name: "sailor runs", Err: exec.ErrNotFound}
		}
		return nil
	})
	e.Docker(t, "start", "sailor")
}
