// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import "testing"

// TestLooksAreNotLogged checks that what the engine tells of looks into a container
// takes no room in the log, unless the chart does something about it.
func TestLooksAreNotLogged(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.say("docker.create", `{"containerId":"c1"}`)
	for _, event := range []string{"docker.exec_create", "docker.exec_start", "docker.exec_die", "docker.archive-path", "done.command.take_snapshot"} {
		if out := b.say(event, `{"containerId":"c1"}`); len(out.GetLog()) != 0 {
			t.Errorf("%s is logged: %v", event, out.GetLog())
		}
	}
	for _, event := range []string{"docker.attach", "docker.rename", "done.command.stop"} {
		if out := b.say(event, `{"containerId":"c1"}`); len(out.GetLog()) != 1 {
			t.Errorf("%s has %d log entries, want 1", event, len(out.GetLog()))
		}
	}

	chart, err := Compile("watchful", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="s"><transition event="docker.exec_die" cond="_event.data.exitCode !== 0" target="s"/></state></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	b.i.chart = chart
	b.do(func(t *turn) { _ = t.begin(nil) })
	if out := b.say("docker.exec_die", `{"exitCode":0}`); len(out.GetLog()) != 0 {
		t.Errorf("what no transition takes is logged: %v", out.GetLog())
	}
	if out := b.say("docker.exec_die", `{"exitCode":1}`); len(out.GetLog()) != 1 {
		t.Errorf("what a transition takes has %d log entries, want 1", len(out.GetLog()))
	}
}
