// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"slices"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// broken makes a container with a recovery profile, runs it and lets it die.
func broken(c *centre, f *engine.Fake, name string) string {
	c.t.Helper()
	spec := appSpec(name)
	spec["labels"] = map[string]string{"chartroom.recover.image": "app:0", "chartroom.recover.env.MODE": "safe"}
	id := created(c, name, spec)
	c.done(c.command(name, id, "start", nil))
	c.find(name, "app.ready", 1)
	if err := f.HostKill(id); err != nil {
		c.t.Fatal(err)
	}
	c.find(name, "docker.die", 1)
	return id
}

// The recovery profile: a container like the broken one, of the same instance, with
// the profile's image and environment. The broken one stays.
func TestReplace(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	old := broken(c, f, "web")
	command := c.command("web", old, "replace", map[string]any{"name": "web.recovery.1"})
	id, _ := field(c.done(command), "containerId").(string)
	o := c.find("web", "docker.create", 2)
	if o.GetContainerId() != id || o.GetCommandId() != command || !o.GetTarget().GetManaged() || o.GetTarget().GetChannel() != "socket" {
		t.Errorf("docker.create: %s of %s: %v", o.GetContainerId(), o.GetCommandId(), o.GetTarget())
	}
	if n := o.GetTarget().GetFindings(); len(n) != 1 || n[0].GetCode() != "recovery.active" {
		t.Errorf("findings: %v", n)
	}
	if s := string(o.GetTarget().GetOptionsJson()); !strings.Contains(s, `"recover":{"image":"","env":{}}`) {
		t.Errorf("options: %s", s)
	}
	in, err := f.Inspect(t.Context(), id)
	if err != nil || in.Name != "web.recovery.1" || in.Image != "app:0" || !slices.Contains(in.Env, "MODE=safe") ||
		!slices.Contains(in.Env, "CHARTROOM_SOCKET=/run/chartroom/web.sock") || len(in.Mounts) != 1 {
		t.Errorf("the new container: %+v, %v", in, err)
	}
	if in, err := f.Inspect(t.Context(), old); err != nil || in.Name != "web" || in.State.Status != "exited" || slices.Contains(in.Env, "MODE=safe") {
		t.Errorf("the old container: %+v, %v", in, err)
	}
	c.done(c.command("web", id, "start", nil))
	if r := c.find("web", "app.ready", 2); r.GetContainerId() != id {
		t.Errorf("app.ready of %s, want %s", r.GetContainerId(), id)
	}

	// Somebody goes back: the labels that count now come along.
	if err := f.Remove(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	c.find("web", "docker.destroy", 1)
	if err := f.Start(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if o := c.find("web", "docker.start", 3); o.GetContainerId() != old || !strings.Contains(string(o.GetTarget().GetOptionsJson()), `"MODE":"safe"`) {
		t.Errorf("docker.start: %s %v", o.GetDataJson(), o.GetTarget())
	}
}

func TestReplaceIsRefused(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	old := broken(c, f, "web")
	refused := func(id string, arguments map[string]any, status float64) {
		t.Helper()
		o := c.outcome(c.command("web", id, "replace", arguments))
		if o.GetEvent() != "error.docker.replace" || field(o, "status") != status {
			t.Errorf("%s %s, want status %v", o.GetEvent(), o.GetDataJson(), status)
		}
	}
	refused(old, nil, 400)
	f.SetImages("app:1")
	refused(old, map[string]any{"name": "web.recovery.1"}, 404)
	f.SetImages("app:1", "app:0")
	if _, err := f.Create(t.Context(), engine.Spec{Name: "taken", Image: "app:1"}); err != nil {
		t.Fatal(err)
	}
	refused(old, map[string]any{"name": "taken"}, 409)
	c.done(c.command("web", old, "start", nil))
	refused(old, map[string]any{"name": "web.recovery.1"}, 409)
	c.done(c.command("web", old, "stop", nil))
	id, _ := field(c.done(c.command("web", old, "replace", map[string]any{"name": "web.recovery.1"})), "containerId").(string)
	c.find("web", "docker.create", 2)
	refused(id, map[string]any{"name": "web.recovery.1.recovery.2"}, 400)
}

// Law 4: an agent that ends between begin, call and record makes one container.
func TestReplaceActsOnce(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"begun", "called"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c, f, state := newCentre(t), engine.NewFake(), t.TempDir()
			died := make(chan struct{})
			stop := start(t, c, state, f, func(conf *Config) {
				conf.fault = func(p, v string) bool {
					if p != point || v != "replace" {
						return false
					}
					close(died)
					return true
				}
			})
			old := broken(c, f, "web")
			command := c.command("web", old, "replace", map[string]any{"name": "web.recovery.1"})
			<-died
			stop()
			start(t, c, state, f)
			id := field(c.done(command), "containerId")
			if o := c.find("web", "docker.create", 2); o.GetContainerId() != id || o.GetCommandId() != command {
				t.Errorf("docker.create of %s by %s, want %s by %s", o.GetContainerId(), o.GetCommandId(), id, command)
			}
			if list, err := f.List(t.Context()); err != nil || len(list) != 2 {
				t.Errorf("%d containers, %v; want the old and the new one", len(list), err)
			}
		})
	}
}
