// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml/conformance"
)

// minimums are the passes below which a suite fails, by class. They are
// committed: raise them, never lower them.
var minimums = map[string]map[string]int{
	"w3c":   {"mandatory": 160, "optional": 33},
	"scion": {"": 88},
}

// suite is the folder of a suite; without it there is nothing to test.
func suite(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CHARTROOM_CONFORMANCE")
	if dir == "" {
		if strings.Contains(os.Getenv("CHARTROOM_REQUIRE"), "conformance") {
			t.Fatal("CHARTROOM_REQUIRE names conformance and CHARTROOM_CONFORMANCE is not set")
		}
		t.Skip("needs conformance: CHARTROOM_CONFORMANCE is not set")
	}
	return filepath.Join(dir, name)
}

func score(t *testing.T, name string) {
	t.Helper()
	cases, err := conformance.Find(suite(t, name))
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]int{}
	for _, c := range cases {
		if c.Excluded != "" {
			continue
		}
		// A test each, so that the counts of a whole run are those of the suite.
		t.Run(c.Name, func(t *testing.T) {
			if r := c.Run(); !r.Passed() {
				t.Fatalf("%s: %s", r.Failure, c.Assertion)
			}
			passed[c.Class]++
		})
	}
	for class, minimum := range minimums[name] {
		t.Logf("%s %s: %d passed", name, class, passed[class])
		if passed[class] < minimum {
			t.Errorf("%s %s: %d passed, want at least %d", name, class, passed[class], minimum)
		}
	}
}

// TestW3C runs the automated tests of the W3C implementation report plan.
func TestW3C(t *testing.T) {
	t.Parallel()
	score(t, "w3c")
}

// TestSCION runs the scripted tests of SCION.
func TestSCION(t *testing.T) {
	t.Parallel()
	score(t, "scion")
}

// TestManual documents the manual tests of the plan.
func TestManual(t *testing.T) {
	t.Parallel()
	cases, err := conformance.Find(suite(t, "w3c"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range cases {
		if !c.Manual {
			continue
		}
		n++
		j := c.Judge()
		t.Logf("%s: %v: %s\n\t%s", c.Name, j.Holds, j.Look, strings.Join(j.Log, "\n\t"))
		if !j.Holds {
			t.Errorf("manual test %s does not show what is looked for", c.Name)
		}
	}
	if n != 9 {
		t.Errorf("%d manual tests, want 9", n)
	}
}

// TestManualOverHTTP: what the instruction of test 513 says is done over a connection,
// and the answer is in the log.
func TestManualOverHTTP(t *testing.T) {
	t.Parallel()
	j := conformance.Case{Name: "513", File: "test513.txt", Manual: true}.Judge()
	log := strings.Join(j.Log, "\n")
	if n := strings.Count(log, "answered: 200 OK"); !j.Holds || n != 2 {
		t.Errorf("holds: %v, %d requests answered with 200, want true and 2:\n%s", j.Holds, n, log)
	}
}

const passing = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="s"><onentry><log label="here" expr="1+1"/></onentry><transition target="pass"/></state><final id="pass"/></scxml>`

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"suite/manifest.json": `[{"id":"one","file":"a.scxml","suite":"final","conformance":"mandatory"},
			{"id":"two","file":"a.scxml","suite":"dropped","datamodel":"xpath"},
			{"id":"three","file":"a.scxml","suite":"final","manual":true}]`,
		"suite/a.scxml":        passing,
		"suite/unlisted.scxml": passing,
		"own/fails.scxml":      strings.Replace(passing, `target="pass"`, `event="never" target="pass"`, 1),
		"own/chart.scxml":      strings.ReplaceAll(passing, "pass", "end"),
		"own/script.scxml":     strings.Replace(passing, "<transition ", `<transition event="go" `, 1),
		"own/script.json":      `{"initialConfiguration":["s"],"events":[{"event":{"name":"go"},"nextConfiguration":["pass"]}]}`,
		"own/wrong.scxml":      strings.Replace(passing, "<transition ", `<transition event="go" `, 1),
		"own/wrong.json":       `{"initialConfiguration":["s"],"events":[{"event":{"name":"go"},"nextConfiguration":["s"]}]}`,
		"own/story.txt":        "chart chart.scxml\nstart\n----\nstart: enter s; log here: 2\neventless: exit s; take s->end; enter end\neffect 1: done state=end\n",
		"own/notes.txt":        "nothing",
	})
	cases, err := conformance.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cases {
		name, _ := strings.CutPrefix(c.Name, dir+"/")
		switch r := c.Run(); {
		case c.Excluded != "":
			name += " excluded"
		case r.Passed():
			name += " passed"
		default:
			name += " failed"
		}
		got = append(got, name)
	}
	want := "own/fails.scxml failed, own/script.scxml passed, own/story.txt passed, own/wrong.scxml failed, " +
		"one passed, two excluded, three excluded"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("cases:\ngot  %s\nwant %s", s, want)
	}
}

// Which state is left by a transition inside of a <parallel> is read in two ways. A
// script is judged by that of the specification, where a manifest lists it also by the
// other, and then it says so.
func TestEitherLCCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const script = `{"initialConfiguration":["a"],"events":[{"event":{"name":"again"},"nextConfiguration":["a"]},{"event":{"name":"end"},"nextConfiguration":["kept"]}]}`
	const chart = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><datamodel><data id="left" expr="0"/></datamodel>
		<parallel id="p"><onexit><assign location="left" expr="left + 1"/></onexit>
			<state id="a"><transition event="again" target="a"/></state><transition event="end" cond="left === 0" target="kept"/></parallel>
		<state id="kept"/></scxml>`
	write(t, dir, map[string]string{
		"suite/manifest.json": `[{"id":"one","file":"p.scxml","script":"p.json"},{"id":"two","file":"in/p.scxml","script":"in/p.json"}]`,
		"suite/p.json":        script, "suite/p.scxml": chart,
		"suite/in/p.json": script, "suite/in/p.scxml": chart,
		"suite/in/unlisted.json": script, "suite/in/unlisted.scxml": chart,
		"else/manifest.json": `{"name": "of something else"}`,
		"else/p.json":        script, "else/p.scxml": chart,
	})
	for path, want := range map[string]bool{
		"suite": true, "suite/p.json": true, "suite/p.scxml": true, "suite/in/p.json": true, "suite/in/p.scxml": true,
		"suite/in/unlisted.json": false, "else/p.json": false,
	} {
		cases, err := conformance.Find(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		r := cases[0].Run()
		if r.Passed() != want || r.Passed() && !strings.Contains(r.Note, "least common") {
			t.Errorf("%s: failure %q, note %q; want that it passes: %v", path, r.Failure, r.Note, want)
		}
	}
}

// Engines that take an event of the session's own in a later turn are in between for
// a moment; a script may name that, but no configuration that was not stable, and none
// from before the event that it sent.
func TestLaterTurn(t *testing.T) {
	t.Parallel()
	const chart = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
		<state id="a"><transition target="b"/></state><state id="b"><onentry><send event="own"/></onentry><transition event="own" target="c"/></state>
		<state id="c"><transition event="go" target="d"/></state>
		<state id="d"><invoke><content><scxml version="1.0"><final/></scxml></content></invoke><transition event="done.invoke" target="e"/></state><state id="e"/></scxml>`
	for _, tt := range []struct{ start, next, note string }{
		{"c", "e", ""},
		{"b", "e", "later turn"},
		{"c", "d", "later turn"},
		{"a", "e", "fails"},
		{"c", "c", "fails"},
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{
			"own.scxml": chart,
			"own.json":  `{"initialConfiguration":["` + tt.start + `"],"events":[{"event":{"name":"go"},"nextConfiguration":["` + tt.next + `"]}]}`,
		})
		cases, err := conformance.Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := cases[0].Run()
		got := r.Note
		if !r.Passed() {
			got = "fails: " + r.Failure
		}
		if !strings.Contains(got, tt.note) || tt.note == "" && got != "" {
			t.Errorf("%s, then %s: %q, want %q", tt.start, tt.next, got, tt.note)
		}
	}
}

func TestManifestStaysInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"manifest.json": `[{"id":"x","file":"../../etc/passwd"}]`})
	if _, err := conformance.Find(dir); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("error %v, want one that names the row", err)
	}
}
