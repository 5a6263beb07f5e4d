// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/cli"
	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/internal/sandbox"
)

// TestMain lets the test program be the process that charts run in.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Command {
		fmt.Fprintln(os.Stderr, sandbox.Serve(os.Stdin, os.Stdout, (&chartwork.Host{}).Handle))
		os.Exit(1)
	}
	time.Local = time.UTC // as charts have it, which may be run here
	os.Exit(m.Run())
}

const doorChart = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="opened" expr="0"/></datamodel>
  <state id="closed">
    <transition event="open" target="ajar"><assign location="opened" expr="opened + (_event.data ? _event.data.by : 1)"/></transition>
  </state>
  <state id="ajar">
    <onentry><send event="wind" delay="2s" id="wind"/></onentry>
    <transition event="wind shut" target="closed"/>
    <transition event="lock" target="pass"/>
  </state>
  <final id="pass"/>
</scxml>`

// files writes files into a folder and returns its path.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// endless is a file without an end. Reading much more of it than a document may have
// fails, so that a test of it ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 40<<20 {
		return 0, errors.New("read too far")
	}
	clear(p)
	e.read += len(p)
	return len(p), nil
}

func TestDocumentWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"lint", "-"}, {"render", "-"}, {"push", "--name", "x", "-"}} {
		var fault bytes.Buffer
		code := cli.Main(t.Context(), append([]string{"chart"}, args...), cli.Env{
			Stdin: &endless{}, Stdout: io.Discard, Stderr: &fault, Getenv: func(string) string { return "" },
		})
		if code != int(cli.Usage) || !strings.Contains(fault.String(), "more than 16777216 bytes") {
			t.Errorf("chart %s: exit code %d: %s", args[0], code, &fault)
		}
	}
}

func TestChartLint(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"good.scxml": doorChart,
		"bad.scxml":  strings.Replace(doorChart, `target="pass"`, `target="nowhere"`, 1),
		"warn.scxml": strings.Replace(doorChart, `<send `, `<cancel sendid="nothing"/><send `, 1),
	})
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"good.scxml"}, 0, ""},
		{[]string{"bad.scxml"}, 8, "bad.scxml:9:5: error: target \"nowhere\" does not exist\n"},
		{[]string{"warn.scxml"}, 0, "warn.scxml:7:14: warning: no <send> has the id \"nothing\"\n"},
		{[]string{"warn.scxml", "--strict"}, 8, "warn.scxml:7:14: warning: no <send> has the id \"nothing\"\n"},
		{[]string{"missing.scxml"}, 3, ""},
	} {
		args := append([]string{"chart", "lint", filepath.Join(dir, test.args[0])}, test.args[1:]...)
		code, out, fault := run(t, nil, "", args...)
		if code != test.code || strings.ReplaceAll(out, dir+"/", "") != test.want {
			t.Errorf("%v: exit code %d, output %q (%s), want %d and %q", test.args, code, out, fault, test.code, test.want)
		}
	}
	code, out, _ := run(t, nil, "", "chart", "lint", "-o", "json", filepath.Join(dir, "bad.scxml"))
	var got struct {
		Findings []struct {
			File, Severity, Rule, Message string
			Line, Column                  int
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 8 || len(got.Findings) != 1 || got.Findings[0].Line != 9 || got.Findings[0].Rule != "syntax" {
		t.Errorf("json: exit code %d, %s: %v", code, out, err)
	}
}

// TestChartRunWritesPlainText: what a chart sends stands in the output as it is, not
// escaped for HTML.
func TestChartRunWritesPlainText(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"c.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><datamodel><data id="d" expr="'&lt;a&amp;b>'"/></datamodel>
		<state id="s"><onentry><log expr="d"/><send type="t" target="http://h/?a=1&amp;b=2" event="e"><param name="&lt;p>" expr="d"/></send></onentry></state></scxml>`}), "c.scxml")
	code, out, fault := run(t, nil, "", "chart", "run", chart)
	if code != 0 || strings.Contains(out, `\u00`) || strings.Count(out, "<a&b>") != 4 || !strings.Contains(out, "a=1&b=2") {
		t.Errorf("exit code %d (%s), output without escapes wanted:\n%s", code, fault, out)
	}
}

func TestChartRun(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"door.scxml": doorChart}), "door.scxml")
	code, out, fault := run(t, nil, `{"name": "open", "data": {"by": 3}}
{"after": "2s"}
{"event": "open"}
{"name": "lock"}
`, "chart", "run", chart)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, fault)
	}
	type step struct {
		Event         string
		Time          string
		Configuration []string
		Data          map[string]any
		Done          *struct{ State string }
	}
	var got []string
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
		var s step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, fmt.Sprintf("%s %v %v %s", s.Event, s.Configuration, s.Data["opened"], s.Time[17:19]))
		if (s.Done != nil) != (s.Event == "lock") {
			t.Errorf("%s: done %v", s.Event, s.Done)
		}
	}
	want := " [closed] 0 00; open [ajar] 3 00; wind [closed] 3 02; open [ajar] 4 02; lock [] 4 02"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("steps\ngot  %s\nwant %s", s, want)
	}
	if code, _, fault := run(t, nil, "{\"nam\": 1}\n", "chart", "run", chart); code != 2 || !strings.Contains(fault, "line 1") {
		t.Errorf("a wrong line: exit code %d: %s", code, fault)
	}
	if code, out, _ := run(t, nil, `{"name": "open"}`, "chart", "run", "--for", "5s", chart); code != 0 || !strings.Contains(out, `"event":"wind","transitions"`) {
		t.Errorf("the clock does not run on after the input: %d %s", code, out)
	}
	if code, out, _ := run(t, nil, `{"name": "open"}`, "chart", "run", "--clock", "real", "--for", "10ms", chart); code != 0 || strings.Contains(out, `"event":"wind","transitions"`) {
		t.Errorf("a real clock does not wait: %d %s", code, out)
	}
}

// A delay is printed as a chart writes it (SCXML 6.2.4).
func TestChartRunDelays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ written, want string }{
		{"3s", "3s"}, {"250ms", "250ms"}, {"1.5s", "1.5s"}, {".25s", "250ms"}, {"0.5ms", "0.5ms"}, {"90m", "5400s"},
	} {
		chart := filepath.Join(files(t, map[string]string{"c.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="a"><onentry><send event="tick" delay="` + test.written + `"/></onentry></state></scxml>`}), "c.scxml")
		code, out, fault := run(t, nil, "", "chart", "run", chart)
		if want := `"event":"tick","delay":"` + test.want + `"`; code != 0 || !strings.Contains(out, want) {
			t.Errorf("delay %s: exit code %d: want %s in\n%s%s", test.written, code, want, out, fault)
		}
	}
}

func TestChartRunHostile(t *testing.T) {
	t.Parallel()
	if need.Race {
		t.Skip("the race detector takes more memory than the limit under test")
	}
	chart := filepath.Join(files(t, map[string]string{"c.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="a"><transition event="go"><script>'x'['rep' + 'eat'](Math.pow(2, 40))</script></transition></state></scxml>`}), "c.scxml")
	code, out, fault := run(t, nil, `{"name": "go"}`, "chart", "run", chart)
	if code != 1 || !strings.Contains(out, `{"fault":"the sandbox was ended: it used up its memory"}`) || !strings.Contains(fault, "the session is lost") {
		t.Errorf("exit code %d: %s%s", code, out, fault)
	}
}

// TestChartWithoutEnd has code whose parser would work for years. Every command answers:
// those that compile with the place, those that do not as for any other chart.
func TestChartWithoutEnd(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"c.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="a"><transition event="go" cond="` + strings.Repeat("(a=", 60) + "1" + strings.Repeat(")=&gt;1", 60) + `"/></state></scxml>`})
	chart := filepath.Join(dir, "c.scxml")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"chart", "lint", "--timeout", "2s", chart}, 8, "c.scxml:2:17: error: the sandbox was ended: it took longer than 2s"},
		{[]string{"chart", "run", "--timeout", "2s", chart}, 1, "c.scxml:2:17: the session is lost: the sandbox was ended: it took longer than 2s"},
		{[]string{"chart", "test", "--timeout", "2s", chart}, 8, "the sandbox was ended: it took longer than 2s\n0 passed, 1 failed"},
		{[]string{"chart", "diff", chart, chart}, 0, ""},
		{[]string{"chart", "render", chart}, 0, `data-state="a"`},
	} {
		t.Run(test.args[1], func(t *testing.T) {
			t.Parallel()
			code, out, fault := run(t, nil, `{"name": "go"}`, test.args...)
			if code != test.code || !strings.Contains(out+fault, test.want) {
				t.Errorf("exit code %d, want %d and %q in\n%s%s", code, test.code, test.want, out, fault)
			}
		})
	}
}

func TestChartTest(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"manifest.json": `[{"id": "1", "file": "pass.scxml", "suite": "final", "conformance": "mandatory"},
			{"id": "2", "file": "door.scxml", "suite": "final", "conformance": "optional"},
			{"id": "3", "file": "pass.scxml", "suite": "dropped"},
			{"id": "4", "file": "pass.scxml", "suite": "final", "manual": true, "assertion": "It MUST pass."}]`,
		"pass.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="s"><onentry><log expr="'hi'"/></onentry><transition target="pass"/></state><final id="pass"/></scxml>`,
		"door.scxml": doorChart,
		"door.txt":   "chart door.scxml\nstart\nenabled\n----\nstart: enter closed\nconfiguration: closed\nenabled: open\n",
	})
	report := filepath.Join(t.TempDir(), "report.xml")
	code, out, fault := run(t, nil, "", "chart", "test", dir, filepath.Join(dir, "door.txt"), "--junit", report)
	if code != 8 || fault != "" {
		t.Errorf("exit code %d, want 8: %s", code, fault)
	}
	want := "ok       1 (mandatory)\nFAILED   2 (optional): did not end, is in closed\nexcluded 3: suite dropped\nexcluded 4: manual: judged by reading the log\nok       " + dir + "/door.txt\n2 passed, 1 failed\n"
	if out != want {
		t.Errorf("output\n%s\nwant\n%s", out, want)
	}
	b, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(b), `<testsuite name="chart test" tests="5" failures="1" skipped="2">`) {
		t.Errorf("report %v:\n%s", err, b)
	}
	code, out, fault = run(t, nil, "", "chart", "test", filepath.Join(dir, "door.txt"), "--junit", filepath.Join(dir, "nowhere", "report.xml"))
	if code != 3 || !strings.HasSuffix(out, "1 passed, 0 failed\n") || !strings.Contains(fault, "nowhere") {
		t.Errorf("a report that cannot be written: exit code %d, %s%s", code, out, fault)
	}
	code, out, _ = run(t, nil, "", "chart", "test", "--manual", dir)
	if code != 8 || !strings.Contains(out, "manual   4: It MUST pass.\n") || !strings.Contains(out, "  | log hi\n") || !strings.HasSuffix(out, "1 passed, 1 failed\n") {
		t.Errorf("manual: exit code %d:\n%s", code, out)
	}
	code, out, _ = run(t, nil, "", "chart", "test", "-o", "json", dir)
	var summary struct {
		Passed, Failed, Excluded int
		Tests                    []struct{ Name, Result, Message string }
	}
	if err := json.Unmarshal([]byte(out), &summary); err != nil || code != 8 || summary.Passed != 1 || summary.Failed != 1 || summary.Excluded != 2 || len(summary.Tests) != 4 || summary.Tests[1].Result != "failed" {
		t.Errorf("json: exit code %d: %v\n%s", code, err, out)
	}
	if code, out, _ := run(t, nil, "", "chart", "test", filepath.Join(dir, "pass.scxml")); code != 0 || !strings.HasSuffix(out, "1 passed, 0 failed\n") {
		t.Errorf("one that passes: exit code %d:\n%s", code, out)
	}
	if code, _, _ := run(t, nil, "", "chart", "test", filepath.Join(dir, "nothing")); code != 3 {
		t.Errorf("missing: exit code %d, want 3", code)
	}
}

func TestChartDiffAndRender(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"a.scxml": doorChart,
		"b.scxml": strings.Replace(doorChart, "wind shut", "wind", 1),
	})
	a, b := filepath.Join(dir, "a.scxml"), filepath.Join(dir, "b.scxml")
	code, out, _ := run(t, nil, "", "chart", "diff", a, b)
	if want := "+ transition added: from ajar on wind to closed\n- transition removed: from ajar on wind shut to closed\n"; code != 0 || out != want {
		t.Errorf("diff: exit code %d:\n%s", code, out)
	}
	if code, _, _ := run(t, nil, "", "chart", "diff", "--exit-code", a, b); code != 8 {
		t.Errorf("diff --exit-code: %d, want 8", code)
	}
	if code, out, _ := run(t, nil, "", "chart", "diff", a, a); code != 0 || out != "" {
		t.Errorf("diff of equal charts: %d %q", code, out)
	}
	svg := filepath.Join(dir, "a.svg")
	if code, out, fault := run(t, nil, "", "chart", "render", a, "-o", svg); code != 0 || out != "" {
		t.Errorf("render: exit code %d: %s%s", code, out, fault)
	}
	if b, err := os.ReadFile(svg); err != nil || !strings.HasPrefix(string(b), "<svg") || !strings.Contains(string(b), `data-state="ajar"`) {
		t.Errorf("render wrote %.100q: %v", b, err)
	}
}

func TestRenderHuge(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"huge.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">` +
		strings.Repeat(`<state><transition event="e"/></state>`, 20_000) + `</scxml>`}), "huge.scxml")
	code, out, fault := run(t, nil, "", "chart", "render", chart)
	if code != 0 || !strings.Contains(out, "… 19000 more states") {
		t.Errorf("exit code %d: %s%.400s", code, fault, out)
	}
}
