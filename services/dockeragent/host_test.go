// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"os"
	"testing"
)

// TestEnrolledOnce is law 11: a host keeps the id under which it was enrolled,
// whatever it is called later, and one state directory serves one agent.
func TestEnrolledOnce(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if !hostName.MatchString(name) {
		name = "" // cannot be an id: one has to be chosen
	}
	unnamed, chosen := t.TempDir(), t.TempDir()
	for _, step := range []struct {
		dir, wanted, want string // no id wanted back: refused
	}{
		{unnamed, "", name},
		{unnamed, "", name},
		{chosen, "not-" + name, "not-" + name},
		{chosen, "", "not-" + name}, // though the computer is called something else
		{chosen, "another", ""},
		{chosen, "not-" + name, "not-" + name},
	} {
		if id, err := enrol(step.dir, step.wanted); id != step.want || (err != nil) != (step.want == "") {
			t.Errorf("enrol as %q: %q, %v; want %q", step.wanted, id, err, step.want)
		}
	}
	first, err := lock(chosen)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lock(chosen); err == nil {
		_ = second.Close()
		t.Error("two agents have one state directory")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lock(chosen)
	if err != nil {
		t.Fatalf("the next agent: %v", err)
	}
	_ = again.Close()
}
