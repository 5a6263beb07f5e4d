// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"strings"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// TestActivity: a state says for those inside it what it means, unless they do.
func TestActivity(t *testing.T) {
	t.Parallel()
	c, err := Confined("c", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0">
		<state id="at-sea"><state id="sailing"/><state id="hove-to" cr:activity="paused"/></state>
		<state id="in-port" cr:activity="idle"><state id="moored"/><state id="casting-off" cr:activity="busy"><state id="slipping" cr:activity="running"/></state></state>
	</scxml>`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]fleetv1.Activity{
		"at-sea":      fleetv1.Activity_ACTIVITY_RUNNING,
		"sailing":     fleetv1.Activity_ACTIVITY_RUNNING,
		"hove-to":     fleetv1.Activity_ACTIVITY_PAUSED,
		"moored":      fleetv1.Activity_ACTIVITY_IDLE,
		"casting-off": fleetv1.Activity_ACTIVITY_BUSY,
		"slipping":    fleetv1.Activity_ACTIVITY_RUNNING,
	} {
		if got := c.activity(state); got != want {
			t.Errorf("%s is %v, want %v", state, got, want)
		}
	}
}

// TestConfinedIsNotParsed makes a chart of code whose parser would work for years.
func TestConfinedIsNotParsed(t *testing.T) {
	t.Parallel()
	c, err := Confined("c", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="go" cond="`+
		strings.Repeat("(a=", 60)+"1"+strings.Repeat(")=&gt;1", 60)+`"/></state></scxml>`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Bounded() || len(c.Problems()) > 0 {
		t.Errorf("bounded %v with %d problems, want neither", c.Bounded(), len(c.Problems()))
	}
	_, err = Confined("c", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="go" target="b"/></state></scxml>`), nil)
	if r, ok := err.(*Refusal); !ok || r.Line != 1 {
		t.Errorf("a wrong one: %v, want the position", err)
	}
}
