// SPDX-License-Identifier: Apache-2.0

// Package scxmltest runs the scenarios of package scenario as tests.
//
// Each scenario runs twice: straight, and saved and restored after every
// command; both must give the same output. With the flag -rewrite the files are
// rewritten with what came out; read the diff before you commit it.
//
// The package uses the scenario's own virtual clock. It starts no goroutine.
package scxmltest

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml/scenario"
)

var rewrite = flag.Bool("rewrite", false, "rewrite scenario files with the actual output")

// Config says how charts of scenarios are compiled. The zero value is usable.
type Config = scenario.Config

// Run runs all scenarios (*.txt) of a folder as parallel subtests. A folder
// without any fails the test.
func Run(t *testing.T, dir string) {
	t.Helper()
	RunWith(t, dir, Config{})
}

// RunWith is [Run] with a configuration.
func RunWith(t *testing.T, dir string, c Config) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no scenario (*.txt) in %s", dir)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			runFile(t, file, c)
		})
	}
}

func runFile(t *testing.T, file string, c Config) {
	t.Helper()
	got, err := scenario.Check(file, c)
	if *rewrite && errors.Is(err, scenario.ErrDiffers) {
		err = os.WriteFile(file, got, 0o644)
	}
	if err != nil {
		t.Errorf("%v\nRun with -rewrite if the new output is right.", err)
	}
}
