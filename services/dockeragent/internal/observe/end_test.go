// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
)

// A stop of ours ends one run: a death of the next one, soon after a restart, is
// not put down to it, also when the agent ended meanwhile and came back.
func TestEndIsOursOnce(t *testing.T) {
	t.Parallel()
	for name, comeBack := range map[string]bool{"in one life": false, "of an agent that came back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			first, second := "2026-11-22T05:00:00Z", "2026-11-22T05:00:01Z"
			c := &engine.Container{
				ID: "a", Name: "web", Labels: map[string]string{"chartroom.enable": "true"},
				State: engine.State{Status: "running", Running: true, StartedAt: first},
			}
			w.truth["a"] = c
			w.list()
			w.settle()
			w.out = nil
			command := func(verb string, begin bool) { w.core.Command(w.now, "a", verb, "web@h/n/"+verb, begin) }
			event := func(action string, state engine.State, attributes map[string]string) {
				w.now = w.now.Add(100 * time.Millisecond)
				c.State = state
				run(w, engine.Event{Action: action, ContainerID: "a", Name: "web", Time: w.now, Attributes: attributes})
				w.settle()
			}
			stopped := engine.State{Status: "exited", StartedAt: first, ExitCode: 143}
			command("stop", true)
			event("kill", c.State, map[string]string{"signal": "15"})
			event("die", stopped, map[string]string{"exitCode": "143"})
			event("stop", stopped, nil)
			command("stop", false)
			command("start", true)
			event("start", engine.State{Status: "running", Running: true, StartedAt: second}, nil)
			command("start", false)
			if comeBack {
				w.core = NewCore("", w.core.Told())
				for _, verb := range []string{"stop", "start"} {
					command(verb, true)
					command(verb, false)
				}
				w.list()
				w.settle()
			}
			event("die", engine.State{Status: "exited", StartedAt: second, ExitCode: 3}, map[string]string{"exitCode": "3"})

			type end struct{ Event, ID, Verb string }
			var got []end
			for _, o := range w.out {
				var data struct {
					Evidence struct{ Command string } `json:"evidence"`
				}
				if err := json.Unmarshal(o.Observation.Data, &data); err != nil {
					t.Fatal(err)
				}
				switch o.Observation.Event {
				case "docker.die", "docker.stop":
					got = append(got, end{o.Observation.Event, o.Observation.CommandID, data.Evidence.Command})
				}
			}
			want := []end{{"docker.die", "web@h/n/stop", "stop"}, {"docker.stop", "web@h/n/stop", ""}, {"docker.die", "", ""}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ends put down to (-want +got):\n%s", diff)
			}
		})
	}
}
