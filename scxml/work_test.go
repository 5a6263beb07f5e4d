// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// Law 10: whatever a chart makes the kernel do, the step ends at the limit of work. It
// does so at the same place whether the session is live or restored, and whether the
// chart remembers its moves or not.
func TestWork(t *testing.T) {
	t.Parallel()
	const most = 1_000_000
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := r.compile(t, scxml.Limits{Work: most})
			if !c.Bounded() {
				t.Fatal("the chart is not bounded")
			}
			step, ip := r.run(t, c, false)
			want := fmt.Sprintf("more than %d units of work in one step", most)
			if done := ip.Finished(); done == nil || done.Fault != want {
				t.Fatalf("it ended with %+v, want %q", done, want)
			}
			saved, err := ip.AppendSnapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []struct {
				name    string
				chart   *scxml.Chart
				restore bool
			}{{"a chart with memory", c, false}, {"a restored session", c, true}, {"a restored session of a new chart", r.compile(t, scxml.Limits{Work: most}), true}} {
				step2, ip := r.run(t, again.chart, again.restore)
				if !reflect.DeepEqual(step, step2) {
					t.Errorf("%s takes another step", again.name)
				}
				if saved2, err := ip.AppendSnapshot(nil); err != nil || !bytes.Equal(saved, saved2) {
					t.Errorf("%s ends as another session: %v", again.name, err)
				}
			}
		})
	}
}
