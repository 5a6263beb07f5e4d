// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"strings"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// A container outside of --only says so, as something to know and not to mend, and so
// does the refusal of a command.
func TestOutsideSaysWhy(t *testing.T) {
	t.Parallel()
	c, f := newCentre(t), engine.NewFake()
	id, err := f.Create(t.Context(), engine.Spec{Name: "other", Image: "img", Labels: map[string]string{"chartroom.enable": "true", "team": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, c, t.TempDir(), f, func(c *Config) { c.Only = "team=a" })
	target := c.find("other", "docker.create", 1).GetTarget()
	if n := target.GetFindings(); target.GetManaged() || len(n) != 1 || n[0].GetCode() != "outside" || n[0].GetSeverity() != fleetv1.Severity_SEVERITY_INFO {
		t.Errorf("target: %v", target)
	}
	o := c.outcome(c.command("other", id, "stop", nil))
	if message, _ := field(o, "message").(string); o.GetEvent() != "error.docker.stop" || !strings.Contains(message, "team=a") {
		t.Errorf("stop: %s %s", o.GetEvent(), o.GetDataJson())
	}
}
