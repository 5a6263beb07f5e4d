// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"testing"

	"github.com/chartroom/chartroom/scxml/scxmltest"
)

// TestScenarios plays the stories in testdata, one clause of the specification
// after the other.
func TestScenarios(t *testing.T) {
	t.Parallel()
	scxmltest.Run(t, "testdata")
}
