// SPDX-License-Identifier: AGPL-3.0-or-later

package engine_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

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

func TestScopedDockerKnowsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	all, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Close() })
	mine := all.WithScope(fmt.Sprintf("chartroom.test=scope-%d", os.Getpid()))
	stream, err := mine.Events(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	probe := enginetest.Image(t)
	ids := map[string]string{}
	for name, e := range map[string]engine.Engine{"theirs": all, "mine": mine} {
		id, err := e.Create(t.Context(), engine.Spec{Name: fmt.Sprintf("chartroom-%s-%d", name, os.Getpid()), Image: probe})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Remove(context.Background(), id, true) })
		ids[name] = id
	}
	list, err := mine.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != ids["mine"] {
		t.Errorf("list: got %v, want %s alone", list, ids["mine"])
	}
	if e := <-stream.Events; e.ContainerID != ids["mine"] {
		t.Errorf("event: got %s of %s, want one of %s", e.Action, e.ContainerID, ids["mine"])
	}
}
