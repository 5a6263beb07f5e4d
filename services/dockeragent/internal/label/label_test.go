// SPDX-License-Identifier: AGPL-3.0-or-later

package label_test

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	socket := []string{"CHARTROOM_SOCKET=/run/chartroom/web.sock"}
	volume := []engine.Mount{{Volume: "chartroom-run", Destination: "/run/chartroom"}}
	tests := []struct {
		name     string
		in       engine.Container
		managed  bool
		channel  string
		policy   string
		findings []string // code, and part of the fix
	}{
		{name: "no labels", channel: "none", policy: "event"},
		{name: "enabled", in: engine.Container{Labels: map[string]string{"chartroom.enable": "true"}}, managed: true, channel: "none", policy: "event"},
		{
			name: "socket", in: engine.Container{Env: socket, Mounts: volume, Labels: map[string]string{"chartroom.enable": "true"}},
			managed: true, channel: "socket", policy: "event",
		},
		{
			name: "socket without a mount", in: engine.Container{Env: socket, Labels: map[string]string{"chartroom.enable": "true"}},
			managed: true, channel: "socket", policy: "event",
			findings: []string{"socket.mount", "volumes:\n  - chartroom-run:/run/chartroom"},
		},
		{
			name: "socket in a directory with other things", in: engine.Container{Name: "web", Env: []string{"CHARTROOM_SOCKET=/tmp/x.sock"}},
			channel: "socket", policy: "event",
			findings: []string{"socket.mount", "environment:\n  - CHARTROOM_SOCKET=/run/chartroom/web.sock\nvolumes:\n  - chartroom-run:/run/chartroom"},
		},
		{
			name: "file without its slash", in: engine.Container{Labels: map[string]string{"chartroom.snapshot": "file:state.json"}},
			channel: "none", policy: "event", findings: []string{"label.value", "chartroom.snapshot=file:/state.json"},
		},
		{
			name: "file without a name", in: engine.Container{Labels: map[string]string{"chartroom.snapshot": "file:/"}},
			channel: "none", policy: "event", findings: []string{"label.value", "chartroom.snapshot=file:/state.json"},
		},
		{
			name: "file", in: engine.Container{Labels: map[string]string{"chartroom.snapshot": "file:/data/state.json", "chartroom.snapshot.policy": "500ms"}},
			channel: "file:/data/state.json", policy: "interval",
		},
		{
			name: "file by event", in: engine.Container{Labels: map[string]string{"chartroom.snapshot": "file:/s", "chartroom.snapshot.policy": "event"}},
			channel: "file:/s", policy: "interval", findings: []string{"label.value", "chartroom.snapshot.policy=10s"},
		},
		{
			name: "misspelt key", in: engine.Container{Labels: map[string]string{"chartroom.enabel": "true"}}, channel: "none", policy: "event",
			findings: []string{"label.unknown", "chartroom.enable=true"},
		},
		{
			name: "a mark of a stand-in image", in: engine.Container{Labels: map[string]string{"chartroom.cache": "standin"}}, channel: "none", policy: "event",
		},
		{
			name: "not built", in: engine.Container{Labels: map[string]string{"chartroom.events": "state"}}, channel: "none", policy: "event",
			findings: []string{"label.unknown", "remove it"},
		},
		{
			name: "misspelt value", in: engine.Container{Labels: map[string]string{"chartroom.enable": "yes"}}, channel: "none", policy: "event",
			findings: []string{"label.value", "chartroom.enable=true"},
		},
		{
			name: "duration without a unit", in: engine.Container{Labels: map[string]string{"chartroom.stop-timeout": "10"}}, channel: "none", policy: "event",
			findings: []string{"label.value", "chartroom.stop-timeout=10s"},
		},
		{
			name: "the engine restarts it", in: engine.Container{Name: "web", RestartPolicy: "always", Labels: map[string]string{"chartroom.enable": "true"}},
			channel: "none", policy: "event", findings: []string{"restart-policy", "docker update --restart=no web"},
		},
		{
			name: "outside of what the agent acts on",
			in: engine.Container{
				RestartPolicy: "always", Labels: map[string]string{"chartroom.enable": "true"},
				Outside: engine.Outside{Why: "the agent acts only on team=a", Fix: "make it with team=a"},
			},
			channel: "none", policy: "event", findings: []string{"outside", "make it with team=a"},
		},
		{
			name: "not built", in: engine.Container{Labels: map[string]string{"chartroom.snapshot": "stdio"}}, channel: "none", policy: "event",
			findings: []string{"channel.unsupported", ""},
		},
		{
			name: "unhealthy without a health check", in: engine.Container{Labels: map[string]string{"chartroom.restart.unhealthy": "true"}},
			channel: "none", policy: "event", findings: []string{"health.none", "healthcheck:"},
		},
		{name: "unhealthy", in: engine.Container{HealthCheck: true, Labels: map[string]string{"chartroom.restart.unhealthy": "true"}}, channel: "none", policy: "event"},
		{
			name: "in place of another", in: engine.Container{Name: "bot.recovery.1", Labels: map[string]string{"chartroom.recovery": "bot", "chartroom.recover.image": "bot:1"}},
			channel: "none", policy: "event", findings: []string{"recovery.active", "docker stop bot.recovery.1 && docker rm bot.recovery.1 && docker start bot"},
		},
		{name: "others' labels", in: engine.Container{Labels: map[string]string{"com.example": "x", "chartroom.command": "c", "chartroom.recover.env.MODE": "safe"}}, channel: "none", policy: "event"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := label.Parse(tt.in)
			if got.Managed != tt.managed || got.Channel != tt.channel || got.Options.Policy != tt.policy {
				t.Errorf("got managed %t channel %q policy %q, want %t %q %q", got.Managed, got.Channel, got.Options.Policy, tt.managed, tt.channel, tt.policy)
			}
			var codes []string
			for _, f := range got.Findings {
				codes = append(codes, f.Code)
			}
			var want []string
			if tt.findings != nil {
				want = tt.findings[:1]
				if len(got.Findings) > 0 && !strings.Contains(got.Findings[0].Fix, tt.findings[1]) {
					t.Errorf("fix: got %q, want it to contain %q", got.Findings[0].Fix, tt.findings[1])
				}
			}
			if diff := cmp.Diff(want, codes); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// A container that is in place of another has no recovery profile, whatever its
// image says: it would be replaced without end.
func TestRecover(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"chartroom.recover.image": "bot:1", "chartroom.recover.env.SAFE": "1"}
	got := label.Parse(engine.Container{Labels: labels}).Options.Recover
	if diff := cmp.Diff(label.Recover{Image: "bot:1", Env: map[string]string{"SAFE": "1"}}, got); diff != "" || !got.Given() {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	labels["chartroom.recovery"] = "bot"
	if got := label.Parse(engine.Container{Labels: labels}).Options.Recover; got.Given() {
		t.Errorf("got %+v, want none", got)
	}
}
