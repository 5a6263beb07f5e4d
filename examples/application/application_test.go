// SPDX-License-Identifier: Apache-2.0

// Package application_test runs the examples as the programs that they are.
package application_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chartroom/chartroom/internal/application/contracttest"
	"github.com/chartroom/chartroom/internal/need"
)

func TestExamplesKeepTheContract(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "example")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./go").CombinedOutput(); err != nil {
		t.Fatalf("build the Go example: %v\n%s", err, out)
	}
	for _, test := range []struct {
		name    string
		needs   []string
		command []string
		env     []string
	}{
		{name: "go", command: []string{binary}},
		{name: "python", needs: []string{"python3"}, command: []string{"python3", "python/main.py"}},
		{
			name: "shell", needs: []string{"socat", "jq"}, command: []string{"sh", "shell/main.sh"},
			env: []string{"STATE=" + filepath.Join(t.TempDir(), "state")},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, program := range test.needs {
				if _, err := exec.LookPath(program); err != nil {
					need.Missing(t, program, "it is not installed; on Debian: apt-get install "+program)
				}
			}
			contracttest.Check(t, contracttest.Program{
				Command: test.command, Env: test.env,
				Event: "add", Data: func(n int) any { return map[string]any{"number": n} },
			})
		})
	}
}
