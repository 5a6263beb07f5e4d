// SPDX-License-Identifier: Apache-2.0

package diff_test

import (
	"fmt"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/diff"
)

// Two versions of a chart are compared in words.
func ExampleDocuments() {
	parse := func(event string) *scxml.Document {
		d, err := scxml.Parse("door.scxml", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="closed"><transition event="`+event+`" target="opened"/></state><state id="opened"/>
</scxml>`), scxml.Limits{})
		if err != nil {
			panic(err)
		}
		return d
	}
	for _, change := range diff.Documents(parse("open"), parse("unlock")) {
		fmt.Println(change)
	}
	// Output:
	// + transition added: from closed on unlock to opened
	// - transition removed: from closed on open to opened
}
