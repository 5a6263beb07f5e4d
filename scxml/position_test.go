// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// The data of error.execution say where the element is that failed.
func TestFaultsSayWhere(t *testing.T) {
	t.Parallel()
	ip, _ := start(t, `
<datamodel><data id="at" expr="''"/></datamodel>
<state id="s">
  <transition event="e" cond="nothing"/>
  <transition event="error.execution"><assign location="at" expr="_event.data.tagname + ' ' + _event.data.line + ':' + _event.data.column"/></transition>
</state>`, scxml.Limits{})
	if _, err := ip.Deliver(scxml.Event{Name: "e"}, scxml.Input{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := ip.Value("at"); fmt.Sprint(got) != "transition 4:3" {
		t.Errorf("the guard that failed is at %v, want transition 4:3", got)
	}
}
