// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
)

// createLike makes a container with the settings of another one, which stays.
func (d *Docker) createLike(ctx context.Context, spec Spec) (string, error) {
	in, err := d.cli.ContainerInspect(ctx, spec.Like)
	if err != nil {
		return "", refusal("create", spec.Name, err)
	}
	conf, host := *in.Config, *in.HostConfig
	if spec.Image != "" && spec.Image != conf.Image {
		// What the old image gave is not the user's wish for the new one. An image
		// that is gone gave what is there.
		if old, err := d.cli.ImageInspect(ctx, in.Image); err == nil && old.Config != nil {
			forgetImage(&conf, old)
		}
		conf.Image = spec.Image
	}
	conf.Env, conf.Labels = withEnv(conf.Env, spec.Env), spec.Labels
	mode := host.NetworkMode
	if strings.HasPrefix(in.ID, conf.Hostname) || mode.IsHost() || mode.IsContainer() || host.UTSMode.IsHost() {
		conf.Hostname, conf.Domainname = "", "" // the engine's choice: by the id, or another's
	}
	if mode.IsContainer() {
		conf.ExposedPorts = nil // the image's; that container has its own
	}
	// With the anonymous volumes, too, which host does not name.
	host.VolumesFrom = append(slices.Clone(host.VolumesFrom), in.ID)
	// Engines before 25 take one network here; Join does the rest.
	first := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	if e, ok := networks(in)[mode.NetworkName()]; ok {
		first.EndpointsConfig[mode.NetworkName()] = e
	}
	made, err := d.cli.ContainerCreate(ctx, &conf, &host, first, nil, spec.Name)
	if err != nil {
		return "", refusal("create", spec.Name, err)
	}
	return made.ID, nil
}

// Join implements Engine.
func (d *Docker) Join(ctx context.Context, id, like string) error {
	old, err := d.cli.ContainerInspect(ctx, like)
	if err != nil {
		return refusal("join", id, err)
	}
	now, err := d.cli.ContainerInspect(ctx, id)
	if err != nil {
		return refusal("join", id, err)
	}
	for name, e := range networks(old) {
		if _, ok := now.NetworkSettings.Networks[name]; ok {
			continue
		}
		if err := d.cli.NetworkConnect(ctx, name, id, e); err != nil {
			return refusal("join", id, err)
		}
	}
	return nil
}

// forgetImage takes out of conf what it has from its image.
func forgetImage(conf *container.Config, from image.InspectResponse) {
	gave := from.Config
	conf.Env = slices.DeleteFunc(slices.Clone(conf.Env), func(line string) bool { return slices.Contains(gave.Env, line) })
	if slices.Equal(conf.Entrypoint, gave.Entrypoint) {
		conf.Entrypoint = nil
	}
	if slices.Equal(conf.Cmd, gave.Cmd) {
		conf.Cmd = nil
	}
	if conf.WorkingDir == gave.WorkingDir {
		conf.WorkingDir = ""
	}
	if conf.User == gave.User {
		conf.User = ""
	}
	if conf.StopSignal == gave.StopSignal {
		conf.StopSignal = ""
	}
	if reflect.DeepEqual(conf.Healthcheck, gave.Healthcheck) {
		conf.Healthcheck = nil
	}
}

// networks are those of a container, under whose name the new one is known there.
// The engine's own networks know no aliases and follow from the host settings.
func networks(in container.InspectResponse) map[string]*network.EndpointSettings {
	out := map[string]*network.EndpointSettings{}
	if mode := in.HostConfig.NetworkMode; in.NetworkSettings == nil || mode.IsContainer() || mode.IsHost() {
		return out
	}
	name := strings.TrimPrefix(in.Name, "/")
	for id, e := range in.NetworkSettings.Networks {
		if id == network.NetworkBridge || id == network.NetworkNone {
			continue
		}
		aliases := slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == name || strings.HasPrefix(in.ID, a) })
		out[id] = &network.EndpointSettings{
			IPAMConfig: e.IPAMConfig, Links: e.Links, DriverOpts: e.DriverOpts, Aliases: append(aliases, name),
		}
	}
	return out
}

// withEnv adds NAME=VALUE lines to an environment; a later line wins.
func withEnv(base, more []string) []string {
	value := map[string]string{}
	for _, line := range slices.Concat(base, more) {
		name, _, _ := strings.Cut(line, "=")
		value[name] = line
	}
	return slices.Sorted(maps.Values(value))
}
