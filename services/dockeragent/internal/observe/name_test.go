// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/google/go-cmp/cmp"
)

// placed is a container that compose makes in the place of another, and the day after.
type placed struct {
	*world
	c *engine.Container
}

func newPlaced(labels map[string]string) placed {
	p := placed{newWorld(), &engine.Container{ID: "b", Name: "880b12faeff6_bot", Labels: labels, State: engine.State{Status: "created"}}}
	p.core.Listed(p.now, nil)
	p.take()
	p.c.Created = p.now.Add(time.Millisecond)
	return p
}

// event lets the engine tell an event, unless it is lost, and half a second pass.
func (p placed) event(action string, lost bool, attributes map[string]string) {
	p.now = p.now.Add(time.Millisecond)
	p.truth["b"] = p.c
	if action == "start" {
		p.c.State = engine.State{Status: "running", Running: true, StartedAt: stamp(p.now)}
	}
	if !lost {
		run(p.world, engine.Event{Action: action, ContainerID: "b", Name: p.c.Name, Time: p.now, Attributes: attributes})
	}
	p.settle()
	p.advance(500 * time.Millisecond)
}

// said is what was told, with the instance and the name by which it was.
func (p placed) said() (said []string) {
	for _, o := range p.out {
		var data struct{ Name string }
		_ = json.Unmarshal(o.Observation.Data, &data)
		said = append(said, o.Observation.Event+" "+o.Observation.Instance+" "+data.Name)
	}
	return said
}

// TestNamedAtTheRename: compose makes the container of a new image or label under a name
// for the moment, and renames it when the old one is gone. It is the same instance,
// whatever of that the agent gets to see.
func TestNamedAtTheRename(t *testing.T) {
	t.Parallel()
	attributes := map[string]string{"oldName": "/880b12faeff6_bot"}
	t.Run("seen", func(t *testing.T) {
		t.Parallel()
		p := newPlaced(nil)
		p.event("create", false, nil)
		p.list()
		p.settle()
		if said := p.said(); len(said) != 0 {
			t.Errorf("told before it has its name: %q", said)
		}
		if told := p.core.Told(); len(told) != 0 {
			t.Errorf("kept before it has its name: %v", told)
		}
		p.c.Name = "bot"
		p.event("rename", false, attributes)
		p.event("start", false, nil)
		want := []string{"docker.create bot bot", "docker.inspect bot bot", "docker.start bot bot", "docker.inspect bot bot"}
		if diff := cmp.Diff(want, p.said()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		p := newPlaced(nil)
		p.now, p.truth["b"] = p.now.Add(time.Millisecond), p.c
		run(p.world, engine.Event{Action: "create", ContainerID: "b", Name: p.c.Name, Time: p.now})
		p.c.Name = "bot"
		p.event("rename", false, attributes)
		p.event("start", false, nil)
		want := []string{"docker.create bot bot", "docker.inspect bot bot", "docker.start bot bot", "docker.inspect bot bot"}
		if diff := cmp.Diff(want, p.said()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
	t.Run("the agent restarts meanwhile", func(t *testing.T) {
		t.Parallel()
		p := newPlaced(nil)
		p.event("create", false, nil)
		p.core = NewCore("", p.core.Told())
		p.list()
		p.settle()
		p.c.Name = "bot"
		p.event("rename", false, attributes)
		want := []string{"docker.create bot bot", "docker.inspect bot bot"}
		if diff := cmp.Diff(want, p.said()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
	t.Run("all lost", func(t *testing.T) {
		t.Parallel()
		p := newPlaced(nil)
		p.event("create", true, nil)
		p.list()
		p.settle()
		p.c.Name = "bot"
		p.event("rename", true, attributes)
		p.event("start", true, nil)
		p.list()
		p.settle()
		p.check(t)
		for _, k := range p.core.Told() {
			if k.Instance != "bot" {
				t.Errorf("instance %q", k.Instance)
			}
		}
	})
}

// TestNamedAtTheStart: a container that runs is shown, whatever it is called, and one
// that says which instance it is does not have to wait.
func TestNamedAtTheStart(t *testing.T) {
	t.Parallel()
	p := newPlaced(nil)
	p.event("create", false, nil)
	p.event("start", false, nil)
	want := []string{"docker.create 880b12faeff6_bot 880b12faeff6_bot", "docker.start 880b12faeff6_bot 880b12faeff6_bot", "docker.inspect 880b12faeff6_bot 880b12faeff6_bot"}
	if diff := cmp.Diff(want, p.said()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	labels := map[string]string{label.Instance: "web"}
	p = newPlaced(labels)
	p.event("create", false, labels)
	want = []string{"docker.create web 880b12faeff6_bot", "docker.inspect web 880b12faeff6_bot"}
	if diff := cmp.Diff(want, p.said()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
