// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// manifest is the name of the file that tells what is in a folder.
const manifest = "manifest.json"

// row is a row of a manifest, of either suite.
type row struct {
	ID          string `json:"id"`
	File        string `json:"file"`
	Script      string `json:"script"`
	Conformance string `json:"conformance"`
	Suite       string `json:"suite"`
	Datamodel   string `json:"datamodel"`
	Assertion   string `json:"assertion"`
	Manual      bool   `json:"manual"`
}

// Find lists the cases at path, in the order of the manifest or of the names.
// A file is a case if it is a document (.scxml), a script (.json) or a scenario
// (.txt); a script that a manifest lists, in its folder or in the one around, is
// judged as by that. A folder is run by its manifest.json; without one it is searched, with
// the folders in it: a document counts if it has a script of the same name
// beside it, or a top-level state "pass"; a text file if it is a scenario. The
// error is for paths that cannot be read, and for those without any case.
func Find(path string) ([]Case, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return file(path)
	}
	var cases []Case
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			found, err := byManifest(p)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			cases = append(cases, found...)
			return fs.SkipDir
		}
		cases = append(cases, searched(p)...)
		return nil
	})
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("%s: there is no test in this folder", path)
	}
	return cases, err
}

// file is the case that a file named by hand is.
func file(path string) ([]Case, error) {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	switch filepath.Ext(path) {
	case ".scxml":
		if isScript(stem + ".json") {
			return []Case{scripted(path, path, stem+".json")}, nil
		}
		return []Case{{Name: path, Kind: W3C, File: path}}, nil
	case ".json":
		if filepath.Base(path) == manifest {
			return byManifest(filepath.Dir(path))
		}
		return []Case{scripted(path, stem+".scxml", path)}, nil
	case ".txt":
		return []Case{{Name: path, Kind: Scenario, File: path}}, nil
	}
	return nil, fmt.Errorf("%s is no test: want a document (.scxml), a script (.json), a scenario (.txt) or a folder", path)
}

// scripted is the case of a script named by hand. It is judged as it is by the
// manifest that lists it, in its folder or in the one around.
func scripted(name, document, script string) Case {
	c := Case{Name: name, Kind: SCION, File: document, Script: script}
	around := filepath.Join(filepath.Dir(script), "..")
	for _, dir := range []string{filepath.Dir(script), around} {
		rows, err := byManifest(dir)
		if err != nil {
			continue // none, or that of something else
		}
		c.EitherLCCA = c.EitherLCCA || slices.ContainsFunc(rows, func(r Case) bool { return r.Script == filepath.Clean(script) && r.EitherLCCA })
	}
	return c
}

// searched is the case that a file in a folder is, if it is one.
func searched(path string) []Case {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	switch filepath.Ext(path) {
	case ".scxml":
		if isScript(stem + ".json") {
			return []Case{{Name: path, Kind: SCION, File: path, Script: stem + ".json"}}
		}
		// What does not name a state "pass" is a chart, or one that another
		// document invokes.
		if b, err := os.ReadFile(path); err == nil && (bytes.Contains(b, []byte(`id="pass"`)) || bytes.Contains(b, []byte(`id='pass'`))) {
			return []Case{{Name: path, Kind: W3C, File: path}}
		}
	case ".txt":
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte("\n----")) && (bytes.HasPrefix(b, []byte("chart ")) || bytes.Contains(b, []byte("\nchart "))) {
			return []Case{{Name: path, Kind: Scenario, File: path}}
		}
	}
	return nil
}

// byManifest lists the rows of a folder's manifest.
func byManifest(dir string) ([]Case, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifest))
	if err != nil {
		return nil, err
	}
	var rows []row
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifest), err)
	}
	cases := make([]Case, 0, len(rows))
	for i, r := range rows {
		if !filepath.IsLocal(filepath.FromSlash(r.File)) || r.Script != "" && !filepath.IsLocal(filepath.FromSlash(r.Script)) {
			return nil, fmt.Errorf("%s: row %d names a file outside of the folder", filepath.Join(dir, manifest), i+1)
		}
		c := Case{Name: r.ID, Kind: W3C, File: filepath.Join(dir, filepath.FromSlash(r.File)),
			Class: r.Conformance, Assertion: r.Assertion, Manual: r.Manual}
		if c.Name == "" {
			c.Name = r.File
		}
		if r.Script != "" {
			c.Kind, c.Script, c.EitherLCCA = SCION, filepath.Join(dir, filepath.FromSlash(r.Script)), true
		} else if filepath.Ext(r.File) == ".txt" && !r.Manual {
			c.Kind = Scenario
		}
		switch {
		case r.Suite != "" && r.Suite != "final":
			c.Excluded = fmt.Sprintf("suite %s", r.Suite)
			if r.Datamodel != "" && r.Datamodel != "ecmascript" {
				c.Excluded += ", datamodel " + r.Datamodel
			}
		case r.Manual:
			c.Excluded = "manual: judged by reading the log"
		}
		cases = append(cases, c)
	}
	return cases, nil
}
