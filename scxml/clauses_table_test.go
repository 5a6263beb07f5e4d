// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// row is a line of testdata/clauses.tsv.
type row struct {
	section string
	// cover are the tests that show the clause, or none for reason.
	cover         []string
	reason, words string
}

func readClauses(t *testing.T) []row {
	t.Helper()
	b, err := os.ReadFile("testdata/clauses.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 || slices.Contains(f, "") {
			t.Fatalf("testdata/clauses.tsv:%d: want section, cover and words", i+1)
		}
		r := row{section: f[0], words: f[2]}
		if reason, none := strings.CutPrefix(f[1], "- "); none {
			r.reason = reason
		} else {
			r.cover = strings.Split(f[1], ", ")
		}
		rows = append(rows, r)
	}
	return rows
}

var (
	numbered = regexp.MustCompile(`^\d+[a-z]?$`)
	function = regexp.MustCompile(`^(?:(\w+)\.)?(Test\w+)$`)
	declared = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// functions are the tests of a folder.
func functions(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// TestClausesAreListed compares the table of clauses with our cases: each stands at a
// clause of its section, and each that a clause names is there.
func TestClausesAreListed(t *testing.T) {
	t.Parallel()
	section := map[string]string{}
	add := func(name, in string) {
		if section[name] != "" {
			t.Errorf("there are two cases %q", name)
		}
		section[name] = in
	}
	for _, c := range clauses() {
		add(c.name, c.section)
	}
	for _, c := range refused {
		add(c.name, c.section)
	}
	tests := map[string][]string{"": functions(t, "."), "scxmlenv": functions(t, "scxmlenv")}
	listed := map[string]bool{}
	for _, r := range readClauses(t) {
		for _, name := range r.cover {
			if numbered.MatchString(name) {
				continue // TestClausesOfW3C
			}
			if m := function.FindStringSubmatch(name); m != nil {
				if !slices.Contains(tests[m[1]], m[2]) {
					t.Errorf("%s %s: there is no test %s", r.section, r.words, name)
				}
				continue
			}
			if section[name] == "" {
				t.Errorf("%s %s: there is no case %q", r.section, r.words, name)
			}
			// 3.14 is not of 3.1; 6.2 and 6.2.3 are of one chapter.
			if r.section == section[name] || strings.HasPrefix(r.section, section[name]+".") {
				listed[name] = true
			}
		}
	}
	for name, in := range section {
		if !listed[name] {
			t.Errorf("the case %q is at no clause of %s in testdata/clauses.tsv", name, in)
		}
	}
}

// TestClausesOfW3C compares the table of clauses with the W3C suite: each test that it
// names is there, and it names each.
func TestClausesOfW3C(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CHARTROOM_CONFORMANCE")
	if dir == "" {
		if strings.Contains(os.Getenv("CHARTROOM_REQUIRE"), "conformance") {
			t.Fatal("CHARTROOM_REQUIRE names conformance and CHARTROOM_CONFORMANCE is not set")
		}
		t.Skip("needs conformance: CHARTROOM_CONFORMANCE is not set")
	}
	b, err := os.ReadFile(filepath.Join(dir, "w3c", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest []struct{ ID, Suite, Section string }
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	chapters := map[string][]string{}
	for _, r := range readClauses(t) {
		for _, id := range r.cover {
			if numbered.MatchString(id) {
				chapters[id] = append(chapters[id], r.section)
			}
		}
	}
	for _, m := range manifest {
		if m.Suite != "final" {
			continue
		}
		if !slices.ContainsFunc(chapters[m.ID], func(s string) bool { return s == m.Section || strings.HasPrefix(s, m.Section+".") }) {
			t.Errorf("test %s is at no clause of %s in testdata/clauses.tsv", m.ID, m.Section)
		}
		delete(chapters, m.ID)
	}
	for id := range chapters {
		t.Errorf("testdata/clauses.tsv names test %s, which is not in the suite", id)
	}
}
