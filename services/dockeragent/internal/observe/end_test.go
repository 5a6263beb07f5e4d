// SPDX-License-Identifier: AGPL-3.0-or-later

package observe

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/google/go-cmp/cmp"
)

// The two runs of the container of a life.
const (
	firstRun  = "2027-01-15T08:00:00Z"
	secondRun = "2027-01-15T08:00:01.5Z"
)

// life is a container that ends and is started again, with its Core.
type life struct {
	*world
	c *engine.Container
}

func newLife() *life {
	l := &life{newWorld(), &engine.Container{
		ID: "a", Name: "web", Labels: map[string]string{"chartroom.enable": "true"},
		State: engine.State{Status: "running", Running: true, StartedAt: firstRun},
	}}
	l.truth["a"] = l.c
	l.list()
	l.settle()
	l.out = nil
	return l
}

func (l *life) command(verb, run string, begin bool) {
	l.core.Command(l.now, "a", Command{ID: "web@h/n/" + verb, Verb: verb, Run: run}, begin)
}

// event tells of an event after 100 ms; settled, with what inspect says then.
func (l *life) event(settled bool, action string, attributes map[string]string) {
	l.now = l.now.Add(100 * time.Millisecond)
	run(l.world, engine.Event{Action: action, ContainerID: "a", Name: "web", Time: l.now, Attributes: attributes})
	if settled {
		l.settle()
	}
}

// start and die begin and end a run.
func (l *life) start(startedAt string) {
	l.c.State = engine.State{Status: "running", Running: true, StartedAt: startedAt, FinishedAt: l.c.State.FinishedAt}
	l.event(true, "start", nil)
}

func (l *life) die(code int, exit string) {
	l.c.State = engine.State{Status: "exited", StartedAt: l.c.State.StartedAt, ExitCode: code, FinishedAt: stamp(l.now)}
	l.event(true, "die", map[string]string{"exitCode": exit})
}

// stopped is the end of a run by the stop of ours that is under way.
func (l *life) stopped() {
	l.event(true, "kill", map[string]string{"signal": "15"})
	l.die(143, "143")
	l.event(true, "stop", nil)
}

// comeBack is an agent that ends and comes back, and still knows these commands.
func (l *life) comeBack(commands ...Command) {
	l.core = NewCore("", l.core.Told())
	for _, own := range commands {
		l.command(own.Verb, own.Run, true)
		l.command(own.Verb, own.Run, false)
	}
	l.list()
	l.settle()
}

// end is what was told of an end, and to whom it was put down.
type end struct {
	Event, ID, Verb string
	StopEvent       bool
}

func (l *life) ends(t *testing.T) (ends []end) {
	t.Helper()
	for _, o := range l.out {
		var data struct {
			Evidence struct {
				Command   string
				StopEvent bool
			}
		}
		if err := json.Unmarshal(o.Observation.Data, &data); err != nil {
			t.Fatal(err)
		}
		switch o.Observation.Event {
		case "docker.die", "docker.stop":
			ends = append(ends, end{o.Observation.Event, o.Observation.CommandID, data.Evidence.Command, data.Evidence.StopEvent})
		}
	}
	return ends
}

// A stop of ours ends the run that it was called on: a death of the next one, soon
// after, is not put down to it, whether it ended the run before, or that had ended by
// itself; also when the agent ended meanwhile and came back, or events were lost.
func TestStopEndsItsRun(t *testing.T) {
	t.Parallel()
	const id = "web@h/n/stop"
	stop, start := Command{Verb: "stop", Run: firstRun}, Command{Verb: "start", Run: firstRun}
	stopEnds := []end{{"docker.die", id, "stop", false}, {"docker.stop", id, "", false}}
	crash := end{Event: "docker.die"}
	for name, c := range map[string]struct {
		live func(*life)
		want []end
	}{
		"it ended its run": {func(l *life) {
			l.command("stop", firstRun, true)
			l.stopped()
			l.command("stop", firstRun, false)
			l.start(secondRun)
		}, append(stopEnds, crash)},
		"it ended its run, and the agent came back": {func(l *life) {
			l.command("stop", firstRun, true)
			l.stopped()
			l.command("stop", firstRun, false)
			l.start(secondRun)
			l.comeBack(stop, start)
		}, append(stopEnds, crash)},
		"its run had ended": {func(l *life) {
			l.die(2, "2")
			l.command("stop", firstRun, true)
			l.command("stop", firstRun, false)
			l.command("start", firstRun, true)
			l.start(secondRun)
			l.command("start", firstRun, false)
		}, []end{crash, crash}},
		"its run had ended, and the agent came back": {func(l *life) {
			l.die(2, "2")
			l.command("stop", firstRun, true)
			l.command("stop", firstRun, false)
			l.comeBack(stop)
			l.start(secondRun)
			l.comeBack(stop, start)
		}, []end{crash, crash}},
		"its run had ended, and inspect is slow to tell of the next": {func(l *life) {
			l.die(2, "2")
			l.command("stop", firstRun, true)
			l.command("stop", firstRun, false)
			l.event(false, "start", nil)
			l.advance(holdTime)
			l.event(false, "die", map[string]string{"exitCode": "2"})
			l.advance(holdTime)
			l.start(secondRun)
		}, []end{crash, crash, crash}},
		"the end of its run is told before it replies": {func(l *life) {
			l.command("stop", firstRun, true)
			l.die(2, "2")
			l.command("stop", firstRun, false)
			l.start(secondRun)
		}, []end{stopEnds[0], crash}},
		"the end of its run is inferred from the next": {func(l *life) {
			l.command("stop", firstRun, true)
			l.command("stop", firstRun, false)
			l.start(secondRun)
		}, []end{stopEnds[0], crash}},
		"a run that nobody saw end was before": {func(l *life) {
			l.command("stop", secondRun, true)
			l.start(secondRun)
			l.die(143, "143")
			l.command("stop", secondRun, false)
			l.start("2027-01-15T08:00:02.5Z")
		}, []end{crash, stopEnds[0], crash}},
		"inspect is slow to tell of its run": {func(l *life) {
			l.die(2, "2")
			l.event(false, "start", nil)
			l.advance(holdTime)
			l.command("stop", stamp(l.now.Add(-holdTime-time.Millisecond)), true)
			l.event(false, "die", map[string]string{"exitCode": "143"})
			l.advance(holdTime)
			l.start(secondRun)
		}, []end{crash, stopEnds[0], crash}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife()
			c.live(l)
			l.die(3, "3")
			if diff := cmp.Diff(c.want, l.ends(t)); diff != "" {
				t.Errorf("ends put down to (-want +got):\n%s", diff)
			}
		})
	}
}

// A stop event that comes when the next run has begun says nothing of that one; one
// that overtakes the death does.
func TestStopEventIsOfItsRun(t *testing.T) {
	t.Parallel()
	l := newLife()
	l.event(true, "kill", map[string]string{"signal": "9"})
	l.die(137, "137")
	l.start(secondRun)
	l.event(true, "stop", nil)
	l.die(3, "3")
	l.start("2027-01-15T08:00:02.5Z")
	l.event(true, "kill", map[string]string{"signal": "9"})
	l.event(true, "stop", nil)
	l.die(137, "137")
	die, stop := end{Event: "docker.die"}, end{Event: "docker.stop"}
	if diff := cmp.Diff([]end{die, stop, die, stop, {Event: "docker.die", StopEvent: true}}, l.ends(t)); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}
