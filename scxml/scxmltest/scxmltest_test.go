// SPDX-License-Identifier: Apache-2.0

package scxmltest_test

import (
	"testing"

	"github.com/chartroom/chartroom/scxml/scxmltest"
)

func TestScenarios(t *testing.T) {
	t.Parallel()
	scxmltest.Run(t, "testdata")
}
