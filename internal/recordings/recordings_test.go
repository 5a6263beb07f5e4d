// SPDX-License-Identifier: AGPL-3.0-or-later

package recordings_test

import (
	"testing"

	"github.com/chartroom/chartroom/internal/recordings"
)

// TestRows checks that nothing was lost when the rows were compacted, and that
// each row says of which container it is.
func TestRows(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, r := range recordings.Rows() {
		count[r.Engine]++
		if (r.InspectStatus == 200) != (r.State != nil) {
			t.Errorf("%s %q: inspect status %d, state %v", r.Engine, r.Scenario, r.InspectStatus, r.State)
		}
		if r.ContainerID == "" && (r.State != nil || len(r.Events) > 0) {
			t.Errorf("%s %q: no container id", r.Engine, r.Scenario)
		}
		for i, e := range r.Events {
			if e.Action == "" || e.ContainerID == "" || e.TimeNano == 0 || e.Attributes["name"] == "" {
				t.Errorf("%s %q: event %d is incomplete: %+v", r.Engine, r.Scenario, i, e)
			}
		}
	}
	if count["20.10.24"] != 422 || count["29.7.2"] != 139 {
		t.Errorf("rows by engine: got %v, want 422 of 20.10.24 and 139 of 29.7.2", count)
	}
}
