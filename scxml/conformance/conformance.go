// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scenario"
)

// Kind is how a case is judged.
type Kind string

// The kinds of cases.
const (
	// W3C is a document that passes by ending in the top-level state "pass".
	W3C Kind = "w3c"
	// SCION is a document with a script of events and configurations.
	SCION Kind = "scion"
	// Scenario is a file of package scenario.
	Scenario Kind = "scenario"
)

// Case is one test.
type Case struct {
	// Name is the id in the manifest, or the path.
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// File is the document, or the scenario. Script is that of SCION.
	File   string `json:"file"`
	Script string `json:"script,omitempty"`
	// Class is "mandatory" or "optional" in W3C's plan, else empty.
	Class string `json:"class,omitempty"`
	// Assertion is what is tested, if the manifest tells.
	Assertion string `json:"assertion,omitempty"`
	// Manual says that a person judges the log (W3C).
	Manual bool `json:"manual,omitempty"`
	// Excluded is why it does not count; empty if it does.
	Excluded string `json:"excluded,omitempty"`
}

// Result is what became of a case.
type Result struct {
	// Failure is why it failed; empty if it passed.
	Failure string `json:"failure,omitempty"`
	// Log are the lines that the charts wrote, and what ended them.
	Log []string `json:"log,omitempty"`
	// Took is the processor's time, as measured by the caller's clock: zero
	// from [Case.Run].
	Took time.Duration `json:"took,omitempty"`
}

// Passed says whether nothing failed.
func (r Result) Passed() bool { return r.Failure == "" }

// Run runs the case straight, and saved and restored after every step.
func (c Case) Run() Result {
	run := func(restore bool) ([]string, error) {
		switch c.Kind {
		case W3C:
			return runW3C(c.File, restore)
		case SCION:
			return nil, runSCION(c.File, c.Script, restore)
		}
		return nil, fmt.Errorf("unknown kind of test %q", c.Kind)
	}
	if c.Kind == Scenario {
		// Check does both.
		if _, err := scenario.Check(c.File, scenario.Config{}); err != nil {
			return Result{Failure: err.Error()}
		}
		return Result{}
	}
	log, err := run(false)
	if err != nil {
		return Result{Failure: err.Error(), Log: log}
	}
	if _, err := run(true); err != nil {
		return Result{Failure: "saved and restored after every step: " + err.Error(), Log: log}
	}
	return Result{Log: log}
}

// compile reads and compiles a document with what is beside it.
func compile(file string, o scxml.Options) (*scxml.Chart, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d, err := scxml.Parse(filepath.Base(file), b, o.Limits)
	if err != nil {
		return nil, err
	}
	return scxml.Compile(d, o)
}

// Beside reads files in the folder dir and below it, and no others; URIs may
// begin with "file:".
func Beside(dir string) func(uri string) ([]byte, error) {
	return func(uri string) ([]byte, error) {
		name := strings.TrimPrefix(uri, "file:")
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s is not beside the document", uri)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		b, err := root.ReadFile(filepath.FromSlash(name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s does not exist", uri)
		}
		return b, err
	}
}
