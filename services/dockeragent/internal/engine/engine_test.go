// SPDX-License-Identifier: AGPL-3.0-or-later

package engine_test

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine/enginetest"
)

func TestFakeConforms(t *testing.T) {
	t.Parallel()
	f := engine.NewFake()
	f.SetImages("probe:1")
	enginetest.Run(t, enginetest.Subject{Engine: f, Image: "probe:1", Mount: "chartroom-run:/run/chartroom", HostKill: f.HostKill})
}

func TestDockerConforms(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	d, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	dir, err := os.MkdirTemp("", "chartroom-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The subtests are parallel: a group makes the cleanups wait for them.
	t.Run("engine", func(t *testing.T) {
		enginetest.Run(t, enginetest.Subject{
			Engine: d, Image: enginetest.Image(t), Mount: dir + ":/run/chartroom",
			HostKill: func(id string) error {
				c, err := d.Inspect(context.Background(), id)
				if err != nil {
					return err
				}
				return syscall.Kill(c.State.Pid, syscall.SIGKILL)
			},
		})
	})
}
