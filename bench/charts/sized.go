// SPDX-License-Identifier: AGPL-3.0-or-later

package charts

import (
	"fmt"
	"strings"
)

// Sized is a document of n states, ten in each state of the level above, with a
// guarded transition from each to the next of its siblings. Documents with
// different marks have different digests and mean the same.
func Sized(n, mark int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %d -->\n"+`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><datamodel><data id="n" expr="0"/></datamodel>`+"\n", mark)
	level(&b, "s", n)
	b.WriteString("</scxml>\n")
	return []byte(b.String())
}

// level writes n states below the one whose id is given.
func level(b *strings.Builder, id string, n int) {
	here := min(n, 10)
	for i := range here {
		fmt.Fprintf(b, `<state id="%s%d"><transition event="next" cond="n &lt; 1000" target="%s%d"><assign location="n" expr="n + 1"/></transition>`+"\n", id, i, id, (i+1)%here)
		below := (n - here) / here
		if i < (n-here)%here {
			below++
		}
		level(b, fmt.Sprintf("%s%d.", id, i), below)
		b.WriteString("</state>\n")
	}
}
