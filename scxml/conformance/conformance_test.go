// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

type w3cRow struct {
	ID          string `json:"id"`
	File        string `json:"file"`
	Conformance string `json:"conformance"`
	Manual      bool   `json:"manual"`
	Suite       string `json:"suite"`
	Assertion   string `json:"assertion"`
}

// folder is where the suites are; without it there is nothing to test.
func folder(t *testing.T, suite string) string {
	dir := os.Getenv("CHARTROOM_CONFORMANCE")
	if dir == "" {
		if strings.Contains(os.Getenv("CHARTROOM_REQUIRE"), "conformance") {
			t.Fatal("CHARTROOM_REQUIRE names conformance and CHARTROOM_CONFORMANCE is not set")
		}
		t.Skip("CHARTROOM_CONFORMANCE is not set")
	}
	return filepath.Join(dir, suite)
}

func readManifest(t *testing.T, dir string, rows any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, rows); err != nil {
		t.Fatal(err)
	}
}

// loader reads the files beside a document, and no others.
func loader(dir string) func(string) ([]byte, error) {
	return func(uri string) ([]byte, error) {
		name := strings.TrimPrefix(uri, "file:")
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s is not beside the document", uri)
		}
		return os.ReadFile(filepath.Join(dir, name))
	}
}

// w3cMinimum are the passes below which the suite fails, by conformance.
var w3cMinimum = map[string]int{"mandatory": 160, "optional": 33}

// TestW3C runs the automated tests of the W3C implementation report plan.
func TestW3C(t *testing.T) {
	t.Parallel()
	dir := folder(t, "w3c")
	var rows []w3cRow
	readManifest(t, dir, &rows)
	passed, total := map[string]int{}, map[string]int{}
	for _, r := range rows {
		if r.Suite != "final" || r.Manual {
			continue
		}
		total[r.Conformance]++
		// Straight, and saved and restored after every step.
		err := runW3C(filepath.Join(dir, r.File), false)
		if err == nil {
			if err = runW3C(filepath.Join(dir, r.File), true); err != nil {
				err = fmt.Errorf("restored after every step: %w", err)
			}
		}
		if err != nil {
			t.Logf("%s (%s): %v: %s", r.ID, r.Conformance, err, r.Assertion)
			continue
		}
		passed[r.Conformance]++
	}
	for _, c := range []string{"mandatory", "optional"} {
		t.Logf("W3C %s: %d of %d", c, passed[c], total[c])
		if passed[c] < w3cMinimum[c] {
			t.Errorf("W3C %s: %d of %d, want at least %d", c, passed[c], total[c], w3cMinimum[c])
		}
	}
}

func runW3C(file string, restore bool) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d, err := scxml.Parse(filepath.Base(file), b, scxml.Limits{})
	if err != nil {
		return err
	}
	load := loader(filepath.Dir(file))
	options := scxml.Options{Load: load, SendTypes: []string{scxml.BasicHTTPProcessor}, InvokeTypes: []string{}}
	c, err := scxml.Compile(d, options)
	if err != nil {
		return err
	}
	env := scxmlenv.New(scxmlenv.Config{Load: load, Options: options, Restore: restore})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		return err
	}
	if err := env.Run(s, time.Minute); err != nil {
		return err
	}
	switch done := s.Finished(); {
	case done == nil:
		return fmt.Errorf("did not end, is in %v", s.Configuration())
	case done.State != "pass":
		return fmt.Errorf("ended in %q %s", done.State, done.Fault)
	}
	return nil
}

type scionRow struct {
	ID     string `json:"id"`
	File   string `json:"file"`
	Script string `json:"script"`
}

type scionScript struct {
	InitialConfiguration []string `json:"initialConfiguration"`
	Events               []struct {
		After int `json:"after"`
		Event struct {
			Name string `json:"name"`
			Data any    `json:"data"`
		} `json:"event"`
		NextConfiguration []string `json:"nextConfiguration"`
	} `json:"events"`
}

const scionMinimum = 87

// scionExcluded are tests that demand something else than the specification.
var scionExcluded = map[string]string{
	"more-parallel/test10": "wants an external transition from a region to itself not to leave the <parallel>; by SCXML 3.13 " +
		"it does, because the least common compound ancestor is a <state> or <scxml>, never a <parallel>",
}

// TestSCION runs the scripted tests of SCION.
func TestSCION(t *testing.T) {
	t.Parallel()
	dir := folder(t, "scion")
	var rows []scionRow
	readManifest(t, dir, &rows)
	passed := 0
	for _, r := range rows {
		if reason := scionExcluded[r.ID]; reason != "" {
			t.Logf("%s is excluded: %s", r.ID, reason)
			continue
		}
		if err := runSCION(filepath.Join(dir, r.File), filepath.Join(dir, r.Script)); err != nil {
			t.Logf("%s: %v", r.ID, err)
			continue
		}
		passed++
	}
	t.Logf("SCION: %d of %d", passed, len(rows))
	if passed < scionMinimum {
		t.Errorf("SCION: %d of %d, want at least %d", passed, len(rows), scionMinimum)
	}
}

func runSCION(file, scriptFile string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d, err := scxml.Parse(filepath.Base(file), b, scxml.Limits{})
	if err != nil {
		return err
	}
	c, err := scxml.Compile(d, scxml.Options{Load: loader(filepath.Dir(file))})
	if err != nil {
		return err
	}
	var script scionScript
	if b, err = os.ReadFile(scriptFile); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &script); err != nil {
		return err
	}
	env := scxmlenv.New(scxmlenv.Config{})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		return err
	}
	check := func(want []string) error {
		var got []string
		if done := s.Finished(); done != nil {
			got = []string{done.State}
		}
		for _, id := range s.Configuration() {
			if d.State(id).IsAtomic() {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			return fmt.Errorf("configuration %v, want %v", got, want)
		}
		return nil
	}
	errs := []error{check(script.InitialConfiguration)}
	for i, e := range script.Events {
		if err := env.Advance(time.Duration(e.After) * time.Millisecond); err != nil {
			return err
		}
		if err := env.Deliver(s, scxml.Event{Name: e.Event.Name, Data: e.Event.Data}); err != nil {
			return err
		}
		if err := check(e.NextConfiguration); err != nil {
			errs = append(errs, fmt.Errorf("after event %d %s: %w", i+1, e.Event.Name, err))
		}
	}
	return errors.Join(errs...)
}
