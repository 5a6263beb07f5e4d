// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	const local = `^chartroom  dev\nkernel     \d+\ngo         go\S+ \w+/\w+\nrevision   .+\n`
	for _, test := range []struct {
		name   string
		server *fleet
		args   string
		want   string
	}{
		{"of a server that answers", &fleet{version: "v1.1"}, "version", local + `server     v1\.1 \(127\.0\.0\.1:\d+\)\n$`},
		{"of none", nil, "version", local + `server     no answer.* \(127\.0\.0\.1:1\)\n$`},
		{"the flag", nil, "--version", local + "$"},
		{"as JSON", &fleet{version: "v1.1"}, "version -o json", `(?s)^\{.*"kernel": "\d+".*"server": "v1\.1".*"version": "dev".*\}\n$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, test.server, "", strings.Fields(test.args)...)
			if code != 0 || !regexp.MustCompile(test.want).MatchString(stdout) {
				t.Errorf("exit code %d, %q, want %s\n%s", code, stdout, test.want, stderr)
			}
		})
	}
}
