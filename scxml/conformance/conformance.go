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
	// EitherLCCA lets a script hold under [scxml.Options.ParallelLCCA] if it does not
	// under the specification's reading, which [Result.Note] then says. It is set for
	// scripts that a manifest lists: they come from another engine.
	EitherLCCA bool `json:"eitherLCCA,omitempty"`
}

// Result is what became of a case.
type Result struct {
	// Failure is why it failed; empty if it passed.
	Failure string `json:"failure,omitempty"`
	// Note is what whoever reads "passed" should know.
	Note string `json:"note,omitempty"`
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
	switch c.Kind {
	case Scenario:
		// Check does both.
		if _, err := scenario.Check(c.File, scenario.Config{}); err != nil {
			return Result{Failure: err.Error()}
		}
		return Result{}
	case W3C:
		return twice(func(restore bool) ([]string, error) { return runW3C(c.File, restore) })
	case SCION:
		return c.script()
	}
	return Result{Failure: fmt.Sprintf("unknown kind of test %q", c.Kind)}
}

// script runs a script as the specification and this engine have it, and if that
// fails in the other ways in which engines read it.
func (c Case) script() Result {
	run := func(r reading) Result {
		return twice(func(restore bool) ([]string, error) { return nil, runSCION(c.File, c.Script, restore, r) })
	}
	result := run(reading{})
	for _, other := range []struct {
		reading
		note string
	}{
		{reading{passing: true}, "where an event that the session sends to itself, or is sent by what it invokes, comes in a later turn"},
		{reading{parallel: true}, "only where a <parallel> may be the least common compound ancestor (Options.ParallelLCCA)"},
	} {
		if result.Passed() || other.parallel && !c.EitherLCCA {
			continue
		}
		if r := run(other.reading); r.Passed() {
			r.Note = other.note
			return r
		}
	}
	return result
}

// twice runs a case straight, and saved and restored after every step.
func twice(run func(restore bool) ([]string, error)) Result {
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
