// SPDX-License-Identifier: AGPL-3.0-or-later

package engine_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

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

// A container like one on two networks is on both, under the names by which that one
// is known there, and keeps what is in an anonymous volume.
func TestDockerLikeKeepsNetworksAndVolumes(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	d, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	name := fmt.Sprintf("chartroom-test-like-%d", os.Getpid())
	mark := map[string]string{"chartroom.test": "engine"}
	ends := map[string]*network.EndpointSettings{}
	for _, n := range []string{name + "-a", name + "-b"} {
		if _, err := cli.NetworkCreate(t.Context(), n, network.CreateOptions{Labels: mark}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cli.NetworkRemove(context.Background(), n) })
		ends[n] = &network.EndpointSettings{Aliases: []string{"service"}}
	}
	first := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name + "-a": ends[name+"-a"]}}
	old, err := cli.ContainerCreate(t.Context(), &container.Config{Image: enginetest.Image(t), Labels: mark, Volumes: map[string]struct{}{"/data": {}}},
		&container.HostConfig{NetworkMode: container.NetworkMode(name + "-a")}, first, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Remove(context.Background(), old.ID, true) })
	if err := cli.NetworkConnect(t.Context(), name+"-b", old.ID, ends[name+"-b"]); err != nil {
		t.Fatal(err)
	}
	id, err := d.Create(t.Context(), engine.Spec{Like: old.ID, Name: name + "-new", Labels: mark})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Remove(context.Background(), id, true) })
	if err := d.Join(t.Context(), id, old.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	was, err := cli.ContainerInspect(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	is, err := cli.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(is.NetworkSettings.Networks) != 2 {
		t.Errorf("on the networks %v, want two", is.NetworkSettings.Networks)
	}
	for n := range ends {
		e := is.NetworkSettings.Networks[n]
		if e == nil || e.IPAddress == "" || !slices.Contains(e.Aliases, "service") || !slices.Contains(e.Aliases, name) {
			t.Errorf("on %s: %+v, want an address and the aliases service and %s", n, e, name)
		}
	}
	if len(was.Mounts) != 1 || len(is.Mounts) != 1 || was.Mounts[0].Name != is.Mounts[0].Name {
		t.Errorf("mounts %v, want %v", is.Mounts, was.Mounts)
	}
}
