// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRemovedContainersAreForgotten checks how long the row of a container that
// was removed is kept: a managed one for a successor of the same name, one that
// was only observed just for a look at its log.
func TestRemovedContainersAreForgotten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		managed bool
		kept    time.Duration
	}{
		{"managed", true, 24 * time.Hour},
		{"observed", false, 10 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, nil)
				l := w.begin()
				defer func() { <-l.done; w.incoming.Wait() }()
				defer l.cancel()
				w.mu.Lock()
				w.say("docker.create", nil, nil)
				w.facts[0].Target = worldSpec()
				w.facts[0].Target.Managed = test.managed
				w.say("docker.destroy", nil, nil)
				w.mu.Unlock()
				time.Sleep(test.kept - time.Minute) // virtual
				if w.view().GetState() != "destroyed" {
					t.Errorf("a minute before it is time: %q, want destroyed", w.view().GetState())
				}
				time.Sleep(3 * time.Minute) // virtual; it is looked for once a minute
				if w.view() != nil {
					t.Errorf("%s after its end it is still there", test.kept)
				}
			})
		})
	}
}
