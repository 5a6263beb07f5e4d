// SPDX-License-Identifier: Apache-2.0

package scenario_test

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml/scenario"
)

// A scenario that compares nothing does not pass.
func TestNothingTested(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n\n", "# only a comment\n"} {
		if _, err := scenario.Play("empty.txt", []byte(text), scenario.Config{}, false); err == nil || !strings.Contains(err.Error(), "tests nothing") {
			t.Errorf("%q gives %v", text, err)
		}
	}
}
