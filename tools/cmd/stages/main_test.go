// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	all := func() []stage { return []stage{{name: "lint"}, {name: "build"}, {name: "unit"}} }
	chosen, err := choose(all(), []string{"unit", "lint"})
	if err != nil || len(chosen) != 2 || chosen[0].name != "lint" || chosen[1].name != "unit" {
		t.Errorf("chosen %v, %v; want lint and unit, in that order", chosen, err)
	}
	if _, err := choose(all(), []string{"lint", "conformance"}); err == nil || !strings.Contains(err.Error(), "set CHARTROOM_CONFORMANCE") {
		t.Errorf("conformance without its suites: %v", err)
	}
	if _, err := choose(all(), []string{"nope"}); err == nil || !strings.Contains(err.Error(), "no such stage") {
		t.Errorf("a stage that does not exist: %v", err)
	}
}
