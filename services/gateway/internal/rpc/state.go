// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/internal/spelling"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/scxml"
)

// shownStates bounds the states that a refusal lists.
const shownStates = 20

// checkState refuses a state that the chart of v does not have, since it would be
// waited for without end. A chart that cannot be read keeps nobody from waiting.
func (s *Server) checkState(ctx context.Context, v *fleetv1.Instance, state string) error {
	if state == "" || slices.Contains(v.GetConfiguration(), state) {
		return nil
	}
	c, err := s.chart(ctx, v.GetChartName(), v.GetChartDigest())
	if err != nil {
		return nil
	}
	d, err := scxml.Parse(c.GetName(), []byte(c.GetDocument()), scxml.Limits{})
	if err != nil || d.State(state) != nil {
		return nil
	}
	var known []string
	for _, st := range d.States {
		if !st.Anonymous && !st.Kind.IsHistory() {
			known = append(known, st.ID)
		}
	}
	known = spelling.Nearest(state, known)
	more := ""
	if n := len(known) - shownStates; n > 0 {
		known, more = known[:shownStates], fmt.Sprintf(" and %d more", n)
	}
	return invalid("chart %s of %s has no state %q; it has %s%s", v.GetChartName(), v.GetInstanceId(), state, strings.Join(known, ", "), more)
}
