// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// settleTime is how long create and run wait until the engine has done or refused
// what they asked for.
const settleTime = 30 * time.Second

// errSettled ends the watch of an instance that is as it was asked for.
var errSettled = errors.New("settled")

// settle waits until the container of an instance just made is there, with start
// until it has been started, and returns the cause when the engine refuses that. It
// looks for what the engine did, not for a state: the chart may be the user's own, and
// the sentence of the instance may be from before.
func (a *app) settle(ctx context.Context, c fleetv1.FleetServiceClient, made *fleetv1.Instance, start bool) error {
	bounded, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	id, last := made.GetInstanceId(), made
	watch := &fleetv1.WatchRequest{InstanceId: id, Log: true, AfterLogSequence: made.GetLogSequence()}
	err := a.watch(bounded, c, watch, func(change *fleetv1.WatchResponse, _ bool) error {
		if e := change.GetLog(); e.GetEvent() == "error.docker.create" || e.GetEvent() == "error.docker.start" {
			return fmt.Errorf("%s\nSee: chartroom log %s --problems. To be rid of it: chartroom rm %[2]s", printable(e.GetSummary()), id)
		}
		i := change.GetInstance()
		if i == nil {
			return nil
		}
		last = i
		// What was last known of an unknown one is no answer.
		if !i.GetUnknown() && (!start && exists(i, made) || start && begun(i, made)) {
			return errSettled
		}
		return nil
	})
	switch {
	case errors.Is(err, errSettled):
		return nil
	case err != nil:
		return err
	case ctx.Err() != nil:
		return codeError{Interrupted, fmt.Errorf("it was asked for and goes on; follow it: chartroom watch %s", id)}
	}
	what := "made"
	if start {
		what = "started"
	}
	return codeError{TimedOut, fmt.Errorf("it was asked for, and %s was not seen to be %s: %s\nFollow it: chartroom watch %[1]s",
		id, what, printable(or(whyOf(last, time.Now()), "nothing is known of it yet")))}
}

// exists says whether the engine has a container of i that it had not before. The
// name of one that was removed may have been used again.
func exists(i, before *fleetv1.Instance) bool {
	id := i.GetTarget().GetContainerId()
	return id != "" && id != before.GetTarget().GetContainerId()
}

// begun says whether that container has been started, which it stays when it ends.
func begun(i, before *fleetv1.Instance) bool {
	started, old := i.GetTarget().GetStartedTime(), before.GetTarget().GetStartedTime()
	return started != nil && (old == nil || !started.AsTime().Equal(old.AsTime()))
}
