// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import "testing"

func TestLicence(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"scxml/chart.go":                      "Apache-2.0",
		"proto/chartroom/fleet/v1/a.proto":    "Apache-2.0",
		"services/gateway/gateway.go":         "AGPL-3.0-or-later",
		"scripts/build":                       "AGPL-3.0-or-later",
		"deploy/Dockerfile.scxml":             "AGPL-3.0-or-later",
		"deploy/Dockerfile.dockerignore":      "",
		"proto/gen/chartroom/a.pb.go":         "",
		"proto/google/api/http.proto":         "",
		"scxml/testdata/broken.scxml":         "",
		"docs/architecture.md":                "",
		"web/dashboard/src/main.tsx":          "AGPL-3.0-or-later",
		"deploy/examples/bot/bot.py":          "AGPL-3.0-or-later",
		"examples/application/python/main.py": "Apache-2.0",
	} {
		if got := licence(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
