// SPDX-License-Identifier: AGPL-3.0-or-later

package spelling_test

import (
	"slices"
	"testing"

	"github.com/chartroom/chartroom/internal/spelling"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"running", "running", 0}, {"runing", "running", 1}, {"paused", "pause", 1},
		{"stoped", "started", 3}, {"abc", "xyz", 3},
	} {
		if got := spelling.Distance(test.a, test.b); got != test.want {
			t.Errorf("distance of %q and %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"bbbbbbb", "aaaaaaa", "ruined", "Running"}
	if got, want := spelling.Nearest("runing", known), []string{"Running", "ruined", "bbbbbbb", "aaaaaaa"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if known[0] != "bbbbbbb" {
		t.Error("what was given is changed")
	}
}
