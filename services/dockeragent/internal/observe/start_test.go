// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
)

// A start is put down to a command of ours once: one that somebody else makes a
// moment later is not ours, and nobody gave that run its state, also when the agent
// ended meanwhile and came back. Each carries labels and options, since another
// container may have had its place.
func TestStartIsOursOnce(t *testing.T) {
	t.Parallel()
	for name, comeBack := range map[string]bool{"in one life": false, "of an agent that came back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c := &engine.Container{ID: "a", Name: "web", State: engine.State{Status: "created"}, Labels: map[string]string{"chartroom.enable": "true"}}
			w.truth["a"] = c
			w.list()
			w.settle()
			w.out = nil
			command := func(begin bool) { w.core.Command(w.now, "a", Command{ID: "web@h/n/1", Verb: "start"}, begin) }
			event := func(action string, state engine.State) {
				w.now = w.now.Add(100 * time.Millisecond)
				c.State = state
				run(w, engine.Event{Action: action, ContainerID: "a", Name: "web", Time: w.now, Attributes: map[string]string{"exitCode": "0"}})
				w.settle()
			}
			command(true)
			event("start", engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:00Z"})
			command(false)
			if comeBack {
				w.core = NewCore("", w.core.Told())
				command(true)
				command(false)
				w.list()
				w.settle()
			}
			event("die", engine.State{Status: "exited", StartedAt: "2026-11-22T05:00:00Z"})
			event("start", engine.State{Status: "running", Running: true, StartedAt: "2026-11-22T05:00:01Z"})
			var by []string
			for _, o := range w.out {
				if o.Observation.Event != "docker.start" {
					continue
				}
				by = append(by, o.Observation.CommandID)
				if o.Observation.Target == nil || !o.Observation.Target.Managed {
					t.Errorf("a start with the labels %v", o.Observation.Target)
				}
			}
			if diff := cmp.Diff([]string{"web@h/n/1", ""}, by); diff != "" {
				t.Errorf("starts put down to (-want +got):\n%s", diff)
			}
		})
	}
}
