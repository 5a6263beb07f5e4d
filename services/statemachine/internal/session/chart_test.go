// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"strings"
	"testing"
)

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
