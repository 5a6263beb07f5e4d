// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/conformance"
	"github.com/chartroom/chartroom/scxml/lint"
)

// sandboxFlags say where charts run that are tried out.
type sandboxFlags struct {
	trust   bool
	memory  int64
	timeout time.Duration
}

func (f *sandboxFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.BoolVar(&f.trust, "trust", false, "run charts in this process, without limits of memory and time")
	s.Int64Var(&f.memory, "memory", 512, "MiB that charts may take in their own process")
	s.DurationVar(&f.timeout, "timeout", 10*time.Second, "wall time that one step, or one test, may take")
}

// caller gives what does the work, and what ends it.
func (f *sandboxFlags) caller() (chartwork.Caller, func()) {
	if f.trust {
		inUTC()
		return &chartwork.Direct{}, func() {}
	}
	w := sandbox.New(sandbox.Config{Memory: f.memory << 20, Timeout: f.timeout})
	return w, w.Close
}

// inUTC makes Date in charts that run here mean what it does in a process of theirs.
func inUTC() {
	if time.Local != time.UTC {
		time.Local = time.UTC
	}
}

// workerCommand is the child that charts run in; people do not call it.
func (a *app) workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: sandbox.Command, Hidden: true, Args: cobra.NoArgs,
		Short: "Run charts for another process of chartroom",
		RunE: func(*cobra.Command, []string) error {
			return sandbox.Serve(a.env.Stdin, a.env.Stdout, (&chartwork.Host{}).Handle)
		},
	}
}

// readFile reads a document; "-" is standard input. The folder is where what it
// names is loaded from.
func (a *app) readFile(path string) (document []byte, folder string, err error) {
	if path == "-" {
		document, err = readDocument(a.env.Stdin, "standard input")
		return document, "", err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", codeError{NotFound, fmt.Errorf("there is no file %s", path)}
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	if info, failed := file.Stat(); failed == nil && info.IsDir() {
		return nil, "", usagef("%s is a folder\nName files: %s", path, filepath.Join(path, "*.scxml"))
	}
	document, err = readDocument(file, path)
	return document, filepath.Dir(path), err
}

// mostRead bounds a document that is read: enough to be told where one that is too
// large reaches the limit, and an end for what has none.
const mostRead = 16 << 20

func readDocument(r io.Reader, name string) ([]byte, error) {
	document, err := io.ReadAll(io.LimitReader(r, mostRead+1))
	if err == nil && len(document) > mostRead {
		err = usagef("%s is no chart: it has more than %d bytes", name, mostRead)
	}
	return document, err
}

func (a *app) lintCommand() *cobra.Command {
	strict := false
	flags := &sandboxFlags{}
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Find mistakes in charts; - reads standard input",
		Long: "Find mistakes in charts, each with its position: unknown targets, states that cannot be reached, transitions that\n" +
			"are never taken or cannot be taken together, scripts that do not compile, data that cannot be saved, values of\n" +
			"cr:admit and cr:activity. Nothing of the chart is run. Exit code 8 when there is an error; warnings may be meant.",
		Example: "  chartroom chart lint order.scxml\n  chartroom chart lint -o json charts/*.scxml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			work, done := flags.caller()
			defer done()
			findings := []lint.Finding{}
			for _, path := range args {
				document, folder, err := a.readFile(path)
				if err != nil {
					return err
				}
				var found []lint.Finding
				err = work.Call(cmd.Context(), chartwork.OpLint, chartwork.LintRequest{Name: path, Document: document, Folder: folder}, &found)
				if errors.Is(err, sandbox.ErrBroken) {
					// Compiling already went beyond what a chart may use.
					found = []lint.Finding{{File: path, Severity: lint.Error, Rule: lint.RuleSyntax, Message: err.Error()}}
					found[0].Position = scxml.Position{Line: 1, Column: 1}
					if at, ok := chartwork.Where(err); ok {
						found[0].Position = at
					}
				} else if err != nil {
					return fmt.Errorf("lint %s: %w", path, err)
				}
				findings = append(findings, found...)
			}
			bad := 0
			for _, f := range findings {
				if f.Severity == lint.Error || strict {
					bad++
				}
			}
			return printLines(a, "findings", findings, bad > 0)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit code 8 for warnings, too")
	flags.register(cmd)
	return cmd
}

// testRun is one call of chart test.
type testRun struct {
	out    io.Writer // a line each
	work   chartwork.Caller
	report []junitCase

	passed, failed, excluded int
}

func (a *app) suiteCommand() *cobra.Command {
	manual, junit := false, ""
	flags := &sandboxFlags{}
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Test charts: W3C documents, SCION scripts, scenarios",
		Long: "Run tests on a virtual clock, a line each. A document (.scxml) passes by ending in its state pass; a script (.json)\n" +
			"beside a document compares atomic states after each event, as SCION's do; a scenario (.txt) compares what comes out\n" +
			"with what is written. Each runs straight, and saved and restored after every step. A folder with a manifest.json is run\n" +
			"by it: automated rows of the suite final count, the others are listed as excluded; other folders are searched.\n\n" +
			"The last line is \"N passed, N failed\". Exit code 8 when one failed.",
		Example: "  chartroom chart test charts/scenarios\n  chartroom chart test --manual conformance/w3c --junit report.xml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var cases []conformance.Case
			for _, path := range args {
				found, err := conformance.Find(path)
				if errors.Is(err, fs.ErrNotExist) {
					return codeError{NotFound, fmt.Errorf("test %s: there is no such file or folder", path)}
				}
				if err != nil {
					return usageError{fmt.Errorf("test: %w", err)}
				}
				cases = append(cases, found...)
			}
			work, done := flags.caller()
			defer done()
			run := &testRun{out: a.env.Stdout, work: work}
			laidOut := a.output == "json" || a.output == "yaml"
			if laidOut {
				run.out = io.Discard
			}
			for _, c := range cases {
				if err := run.one(cmd, c, manual); err != nil {
					return err
				}
			}
			var unwritten error
			if junit != "" {
				unwritten = writeJUnit(junit, run)
			}
			if laidOut {
				if err := a.encodeAny(run.summary()); err != nil {
					return err
				}
			}
			fmt.Fprintf(run.out, "%d passed, %d failed\n", run.passed, run.failed)
			if unwritten != nil {
				return unwritten
			}
			if run.failed > 0 {
				return codeError{Findings, errors.New("")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&manual, "manual", false, "document the manual tests with their logs; they are not in the score")
	cmd.Flags().StringVar(&junit, "junit", "", "write a JUnit report to this file")
	flags.register(cmd)
	return cmd
}

// one runs a case and tells about it.
func (r *testRun) one(cmd *cobra.Command, c conformance.Case, manual bool) error {
	out := r.out
	name := printable(c.Name)
	if c.Class != "" {
		name += " (" + c.Class + ")"
	}
	j := junitCase{Name: c.Name, Class: or(c.Class, string(c.Kind))}
	defer func() { r.report = append(r.report, j) }()
	switch {
	case c.Manual && manual:
		var judged conformance.Judgement
		err := r.work.Call(cmd.Context(), chartwork.OpJudge, c, &judged)
		if cmd.Context().Err() != nil {
			return err
		}
		if err != nil {
			judged.Log = append(judged.Log, err.Error())
		}
		word := "not seen"
		if judged.Holds {
			word = "seen"
		}
		fmt.Fprintf(out, "manual   %s: %s\n  look for: %s: %s\n", name, printable(strings.Join(strings.Fields(c.Assertion), " ")), judged.Look, word)
		for _, l := range judged.Log {
			for line := range strings.SplitSeq(strings.TrimSpace(l), "\n") {
				fmt.Fprintf(out, "  | %s\n", printable(strings.TrimRight(line, "\r")))
			}
		}
		r.excluded++
		j.Skipped = &junitText{Message: "manual: " + judged.Look + ": " + word, Text: strings.Join(judged.Log, "\n")}
	case c.Excluded != "":
		fmt.Fprintf(out, "excluded %s: %s\n", name, c.Excluded)
		r.excluded++
		j.Skipped = &junitText{Message: c.Excluded}
	default:
		begin := time.Now()
		var result conformance.Result
		err := r.work.Call(cmd.Context(), chartwork.OpTest, c, &result)
		if cmd.Context().Err() != nil {
			return err
		}
		if err != nil {
			result.Failure = err.Error()
		}
		j.Time = fmt.Sprintf("%.3f", time.Since(begin).Seconds())
		if result.Passed() {
			r.passed++
			if result.Note != "" {
				name += ": " + result.Note
			}
			fmt.Fprintf(out, "ok       %s\n", name)
			return nil
		}
		r.failed++
		fmt.Fprintf(out, "FAILED   %s: %s\n", name, strings.ReplaceAll(result.Failure, "\n", "\n  "))
		j.Failure = &junitText{Message: strings.SplitN(result.Failure, "\n", 2)[0], Text: strings.Join(append([]string{result.Failure}, result.Log...), "\n")}
	}
	return nil
}

// summary is the run as one value, for json and yaml.
func (r *testRun) summary() any {
	type test struct {
		Name    string `json:"name"`
		Class   string `json:"class"`
		Result  string `json:"result"`
		Message string `json:"message,omitempty"`
	}
	tests := make([]test, 0, len(r.report))
	for _, c := range r.report {
		t := test{Name: c.Name, Class: c.Class, Result: "passed"}
		switch {
		case c.Failure != nil:
			t.Result, t.Message = "failed", c.Failure.Text
		case c.Skipped != nil:
			t.Result, t.Message = "excluded", c.Skipped.Message
		}
		tests = append(tests, t)
	}
	return map[string]any{"passed": r.passed, "failed": r.failed, "excluded": r.excluded, "tests": tests}
}

// The report that CI servers read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string     `xml:"name,attr"`
		Class   string     `xml:"classname,attr"`
		Time    string     `xml:"time,attr,omitempty"`
		Failure *junitText `xml:"failure,omitempty"`
		Skipped *junitText `xml:"skipped,omitempty"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(file string, r *testRun) error {
	b, err := xml.MarshalIndent(junitSuite{
		Name: "chart test", Tests: len(r.report), Failures: r.failed, Skipped: r.excluded, Cases: r.report,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(b, '\n')...), 0o644)
}
