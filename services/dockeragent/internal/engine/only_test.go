// SPDX-License-Identifier: AGPL-3.0-or-later

package engine_test

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

func TestOnly(t *testing.T) {
	t.Parallel()
	fake := engine.NewFake()
	mine, err := engine.Only(fake, "team=a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := fake.Create(t.Context(), engine.Spec{Name: "other", Image: "x", Labels: map[string]string{"chartroom.enable": "true", "team": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := mine.Create(t.Context(), engine.Spec{Name: "ours", Image: "x", Labels: map[string]string{"chartroom.enable": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{other: "label team=a (--only)", ours: ""} {
		c, err := mine.Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Outside.Why; (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: outside because %q, want %q", c.Name, got, want)
		}
	}
	// What the engine itself says is untouched.
	if c, err := fake.Inspect(t.Context(), other); err != nil || c.Outside != (engine.Outside{}) {
		t.Errorf("the engine's own answer changed: %v %v", c.Outside, err)
	}
	for _, bad := range []string{"", "team", "=a", "team="} {
		if _, err := engine.Only(fake, bad); err == nil {
			t.Errorf("%q is taken for a label", bad)
		}
	}
}

// A fleet that is started beside a demonstration leaves its containers to it.
func TestWithoutDemos(t *testing.T) {
	t.Parallel()
	fake := engine.NewFake()
	rest := engine.WithoutDemos(fake)
	for mark, want := range map[string]string{engine.Demo: "belongs to a demonstration", "team": ""} {
		id, err := rest.Create(t.Context(), engine.Spec{Name: mark, Image: "x", Labels: map[string]string{"chartroom.enable": "true", mark: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := rest.Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Outside.Why; (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("with the label %s: outside because %q, want %q", mark, got, want)
		}
	}
}
