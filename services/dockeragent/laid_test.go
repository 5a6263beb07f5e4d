// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// A snapshot is copied into a container that was made and not started, unless the file
// is there; never into one that has run.
func TestFileIsLaidIn(t *testing.T) {
	t.Parallel()
	const path = "/data/state.json"
	c, f := newCentre(t), engine.NewFake()
	start(t, c, t.TempDir(), f)
	spec := map[string]any{"image": "bot:1", "command": []string{"run"}, "labels": map[string]string{"chartroom.snapshot": "file:" + path}}
	sum := sha256.Sum256([]byte("58"))
	lay := func(name, id string) string {
		return c.command(name, id, "restore", map[string]any{"snapshot": 2}, func(m *agentv1.Command) {
			m.Snapshot = &agentv1.Snapshot{Sha256: hex.EncodeToString(sum[:]), SizeBytes: 2, Inline: []byte("58")}
		})
	}
	for _, test := range []struct {
		name, there, want string
		laid              bool
	}{
		{"empty", "", "58", true},
		{"volume", "59", "59", false},
		{"again", "58", "58", true},
	} {
		id := created(c, test.name, spec)
		if test.there != "" {
			if err := f.WriteFile(id, path, []byte(test.there)); err != nil {
				t.Fatal(err)
			}
		}
		o := c.done(lay(test.name, id))
		if got := string(f.ReadFile(id, path)); got != test.want || field(o, "laid") != test.laid {
			t.Errorf("%s: the file is %q, want %q; %s", test.name, got, test.want, o.GetDataJson())
		}
	}
	id := created(c, "started", spec)
	if err := f.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c.find("started", "docker.start", 1)
	o := c.outcome(lay("started", id))
	if got := f.ReadFile(id, path); len(got) != 0 || o.GetEvent() != "error.outcome_stale.restore" {
		t.Errorf("of a container that runs the file is %q; %s", got, o.GetEvent())
	}
}
