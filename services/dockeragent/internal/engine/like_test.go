// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
)

// What a container has from its image goes with the image; what its user wished stays.
func TestForgetImage(t *testing.T) {
	t.Parallel()
	var from image.InspectResponse
	if err := json.Unmarshal([]byte(`{"Config": {"Env": ["PATH=/old", "MODE=quick"], "Entrypoint": ["/old"], "Cmd": ["serve"],
		"WorkingDir": "/app", "User": "app", "StopSignal": "SIGINT", "Healthcheck": {"Test": ["CMD", "/old", "health"]}}}`), &from); err != nil {
		t.Fatal(err)
	}
	health := &container.HealthConfig{Test: []string{"CMD", "/old", "health"}}
	tests := []struct {
		name     string
		in, want container.Config
	}{
		{
			name: "all from the image",
			in: container.Config{Env: []string{"PATH=/old", "MODE=quick"}, Entrypoint: []string{"/old"}, Cmd: []string{"serve"},
				WorkingDir: "/app", User: "app", StopSignal: "SIGINT", Healthcheck: health},
			want: container.Config{Env: []string{}},
		},
		{
			name: "all by wish",
			in: container.Config{Env: []string{"PATH=/mine", "MODE=quick", "NEW=1"}, Entrypoint: []string{"/mine"}, Cmd: []string{"serve", "-v"},
				WorkingDir: "/", User: "root", StopSignal: "SIGTERM", Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}},
			want: container.Config{Env: []string{"PATH=/mine", "NEW=1"}, Entrypoint: []string{"/mine"}, Cmd: []string{"serve", "-v"},
				WorkingDir: "/", User: "root", StopSignal: "SIGTERM", Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.in
			forgetImage(&got, from)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}
