// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// patience is how long an intent is waited for unless told otherwise; a grace that
// was asked for comes on top.
const patience = time.Minute

// waiting says whether and for how long a command waits until what it asked for has
// happened.
type waiting struct {
	not     bool
	timeout time.Duration
}

func (w *waiting) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.not, "no-wait", false, "return once it is accepted, and do not wait until it has happened")
	cmd.Flags().DurationVar(&w.timeout, "timeout", patience, "give up waiting after this; less than 1s counts as 1s; 0 never")
}

// look is how long an instance is looked at in any case, when others that were named
// before it have taken all the time.
const look = time.Second

// from gives, for a wait that begins now, what bounds each look. The time that a target
// is given to end comes on top.
func (w *waiting) from(cmd *cobra.Command) func() (context.Context, context.CancelFunc) {
	grace, _ := cmd.Flags().GetDuration("grace") // 0 where there is no such flag
	end := time.Now().Add(w.timeout + max(0, grace))
	return func() (context.Context, context.CancelFunc) {
		if w.timeout == 0 {
			return cmd.Context(), func() {}
		}
		return context.WithTimeout(cmd.Context(), max(time.Until(end), look))
	}
}

// inTime refuses a time to wait that is over.
func inTime(timeout time.Duration) error {
	if timeout < 0 {
		return usagef("--timeout %s is in the past; 0 waits for ever", timeout)
	}
	return nil
}

// active says whether one of the states is active after a step.
type active func(states ...string) bool

// goal is what an intent comes to, in the states of the container's chart and of those
// made from it, and in the events that an agent says.
type goal struct {
	// commands are those that the chart gives for it: one that is not carried out is
	// its failure.
	commands []string
	// reached says by one step that it has happened, lost that it will not.
	reached, lost func(event string, in active) bool
}

// runs is the goal of all that start. A job may have ended well before anybody looks.
var runs = goal{
	commands: []string{"create", "stop", "start"},
	reached:  func(_ string, in active) bool { return in("intent.idle") && in("running", "completed") },
	lost: func(_ string, in active) bool {
		return in("intent.overdue") ||
			in("intent.idle") && in("created", "backoff", "unattended", "given_up", "user_requested", "dead", "destroyed")
	},
}

// goals are those of the intents.
var goals = map[string]goal{
	"system.start":   runs,
	"system.restart": runs,
	"system.restore": runs,
	"system.stop": {
		commands: []string{"stop"},
		reached: func(_ string, in active) bool {
			return in("intent.idle") && in("created", "stopped", "destroyed") && !in("crashed", "restart_requested")
		},
		lost: func(_ string, in active) bool {
			return in("intent.overdue") || in("intent.idle") && in("started", "crashed")
		},
	},
	"system.kill": {
		commands: []string{"kill"},
		reached:  func(_ string, in active) bool { return in("intent.idle") && !in("started") },
		lost:     func(string, active) bool { return false },
	},
	"system.pause": {
		commands: []string{"pause"},
		reached:  func(_ string, in active) bool { return in("paused") },
		lost:     func(_ string, in active) bool { return !in("started") },
	},
	"system.unpause": {
		commands: []string{"unpause"},
		reached:  func(_ string, in active) bool { return in("started") && !in("paused") },
		lost:     func(_ string, in active) bool { return !in("started") },
	},
	"system.remove": {
		commands: []string{"remove"},
		reached:  func(_ string, in active) bool { return in("destroyed") },
		lost:     func(_ string, in active) bool { return in("intent.idle") && !in("dead") },
	},
	"system.take_snapshot": {
		commands: []string{"take_snapshot"},
		reached:  func(event string, _ active) bool { return event == "app.snapshot" },
		lost: func(event string, in active) bool {
			return event == "app.refused" || event == "snapshots.timeout" || !in("started")
		},
	},
}

// survived is the goal of a signal that need not end the target.
var survived = goal{
	commands: []string{"kill"},
	reached:  func(_ string, in active) bool { return in("intent.idle") },
	lost:     func(string, active) bool { return false },
}

// goalOf is what a request comes to.
func goalOf(r *fleetv1.SendEventRequest) goal {
	signal, chosen := r.GetData().GetStructValue().GetFields()["signal"]
	if r.GetEvent() == "system.kill" && chosen && signal.GetNumberValue() != float64(signals["KILL"]) {
		return survived
	}
	return goals[r.GetEvent()]
}

// step looks whether a step reaches the goal, or loses it.
func (g goal) step(e *fleetv1.LogEntry) (reached, lost bool) {
	for _, kind := range []string{"error.docker.", "error.outcome_unknown.", "error.outcome_stale."} {
		if verb, ok := strings.CutPrefix(e.GetEvent(), kind); ok && slices.Contains(g.commands, verb) {
			return false, true
		}
	}
	in := activeIn(e.GetConfiguration())
	if g.reached(e.GetEvent(), in) {
		return true, false
	}
	return false, g.lost(e.GetEvent(), in)
}

// died says by a later view whether the program died after the goal was reached by an
// event: it was reached for a moment only.
func (g goal) died(event string, configuration []string) bool {
	in := activeIn(configuration)
	return !g.reached(event, in) && in("crashed", "given_up")
}

// activeIn says of each state whether it is in a configuration.
func activeIn(configuration []string) active {
	return func(states ...string) bool {
		return slices.ContainsFunc(states, func(s string) bool { return slices.Contains(configuration, s) })
	}
}

// forgets says whether an intent removed the record of an instance, and no container.
func (i intent) forgets() bool {
	return i.request.GetEvent() == "system.remove" && i.answer != nil && i.answer.GetLogSequence() == 0
}

// followed says whether it can be seen when an intent that was accepted has happened: the
// chart has the regions of the container's, or the record goes. Of any other chart nothing
// is known beyond that it took the intent.
func (i intent) followed() bool {
	in := i.answer.GetConfiguration()
	return i.forgets() || slices.Contains(in, "lifecycle") && slices.Contains(in, "intent")
}

// await waits until an intent that was accepted has happened, says what the instance is
// then, and returns why it has failed if so. It goes by the log, which tells of every step, so
// that a state which is soon left again is seen.
func (a *app) await(ctx context.Context, c fleetv1.FleetServiceClient, i intent) error {
	var decided *fleetv1.LogEntry
	var last *fleetv1.Instance
	var lost, gone bool
	id, goal := i.request.GetInstanceId(), goalOf(i.request)
	watch := &fleetv1.WatchRequest{InstanceId: id}
	if !i.forgets() { // from the step of the intent itself: it may be done by then
		watch.Log, watch.AfterLogSequence = true, i.answer.GetLogSequence()-1
	}
	err := a.watch(ctx, c, watch, func(change *fleetv1.WatchResponse, _ bool) error {
		if view := change.GetInstance(); view != nil {
			last = view
		}
		// What came before the intent says nothing about it, and is told again after a reset.
		if e := change.GetLog(); e != nil && decided == nil && e.GetSequence() >= i.answer.GetLogSequence() {
			if reached, failed := goal.step(e); reached || failed {
				decided, lost = e, failed
			}
		}
		gone = change.GetRemovedInstanceId() != ""
		// The view that says what the step means comes before its entry or after it.
		if gone || decided != nil && last.GetLogSequence() >= decided.GetSequence() {
			return errSettled
		}
		return nil
	})
	switch {
	case errors.Is(err, errSettled):
	case status.Code(err) == codes.NotFound:
		gone = true
	case err != nil:
		return about(id, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return codeError{Interrupted, fmt.Errorf("it was accepted and goes on; follow it: chartroom watch %s", id)}
	default:
		return codeError{TimedOut, fmt.Errorf("it was accepted, and is not seen to be done yet: %s\nFollow it: chartroom watch %s", stands(last, id), id)}
	}
	switch {
	case gone && i.request.GetEvent() == "system.remove":
		return nil
	case gone:
		return codeError{NotFound, fmt.Errorf("it was accepted, and then the instance was removed")}
	case lost || last.GetLogSequence() > decided.GetSequence() && goal.died(decided.GetEvent(), last.GetConfiguration()):
		said := stands(last, id)
		if summary := printable(decided.GetSummary()); lost && !strings.Contains(said, summary) {
			said += "\n" + summary
		}
		return fmt.Errorf("it was accepted, and has failed: %s\nSee: chartroom log %s", said, id)
	}
	if a.output != "json" && a.output != "yaml" {
		if n := taken(decided); n != 0 {
			fmt.Fprintf(a.env.Stdout, "%s: its state is snapshot #%d\n", id, n)
		}
		fmt.Fprintln(a.env.Stdout, stands(last, id))
	}
	return nil
}

// taken is the number of the snapshot that a step tells of; 0 when it tells of none.
func taken(e *fleetv1.LogEntry) uint64 {
	var data struct{ Number uint64 }
	if e.GetEvent() != "app.snapshot" || json.Unmarshal([]byte(e.GetDataJson()), &data) != nil {
		return 0
	}
	return data.Number
}

// stands says how an instance stands, in a line.
func stands(i *fleetv1.Instance, id string) string {
	if i == nil {
		return "nothing is known of " + id + " yet"
	}
	return printable(fmt.Sprintf("%s is %s: %s", i.GetInstanceId(), stateOf(i), dash(whyOf(i, time.Now()))))
}
