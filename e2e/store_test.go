// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// A store that loses everything under a running fleet: the fleet lists itself anew,
// and what is acknowledged from then on is processed, although the store counts from
// one and the application does not.
func TestEmptiedStore(t *testing.T) {
	redis := rig.StartRedis(t)
	f := rig.StartFleet(t, redis.URL)
	app := f.CreateApp(t, "emptied")
	f.TellStory(t, app.ID)
	send := func(from, to int) {
		for n := from; n <= to; n++ {
			rig.Eventually(t, 20*time.Second, "the event is accepted", func() error { return trySend(t.Context(), f, app.ID, n) })
		}
	}
	send(1, 10)
	app.Drained(t, 20*time.Second)
	before, err := f.Instance(t, app.ID)
	if err != nil {
		t.Fatal(err)
	}
	redis.Empty(t)
	rig.Eventually(t, 30*time.Second, "the fleet lists itself anew", func() error {
		i, err := f.Instance(t, app.ID)
		if err == nil && !i.GetCreateTime().AsTime().After(before.GetCreateTime().AsTime()) {
			err = errors.New("it is still the one from before")
		}
		return err
	})
	f.InState(t, app.ID, "running", 30*time.Second)
	send(11, 20)
	checkGreeted(t, app, 20)
}
