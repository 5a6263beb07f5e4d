// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
)

// TestMain lets the test program be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Command {
		fmt.Fprintln(os.Stderr, sandbox.Serve(os.Stdin, os.Stdout, (&chartwork.Host{}).Handle))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func document(body string) []byte {
	return []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"><datamodel><data id="x" expr="1"/></datamodel>` + body + `</scxml>`)
}

func onGo(content string) string {
	return `<state id="a"><transition event="go">` + content + `</transition></state>`
}

// TestHostile tries charts that want more than they may have. Whatever happens,
// the child or the session pays, this process goes on, and so does the next
// session in a new child.
func TestHostile(t *testing.T) {
	t.Parallel()
	if need.Race {
		t.Skip("the race detector takes more memory than the limit under test")
	}
	for _, test := range []struct{ name, body, want string }{
		{"endless loop", onGo(`<script>for(;;);</script>`), "broken: it took longer than"},
		{"endless guard", `<state id="a"><transition event="go" cond="(function() { for (;;); })()"/></state>`, "broken: it took longer than"},
		{"huge string", onGo(`<assign location="x" expr="'x'.repeat(Math.pow(2, 40)).length"/>`), "fault: RangeError: Invalid string length"},
		{"huge string by another name", onGo(`<assign location="x" expr="'x'['rep' + 'eat'](Math.pow(2, 40)).length"/>`), "broken: it used up its memory"},
		{"huge array", onGo(`<script>x = new Array(4294967295).fill(1)</script>`), "fault: RangeError: Invalid array length"},
		{"huge list", onGo(`<script>x = Array.from({length: 4294967295})</script>`), "broken: it"},
		{"growing array", onGo(`<script>for (var a = [], i = 0; ; i++) a.push('x' + i)</script>`), "broken: it"},
		{"padded string", onGo(`<assign location="x" expr="''.padEnd(Math.pow(2, 36), 'ab').length"/>`), "fault: RangeError: Invalid string length"},
		{"backtracking", onGo(`<assign location="x" expr="/^(?=(a+)+b)/.test('` + strings.Repeat("a", 60) + `')"/>`), "broken: it took longer than"},
		{"eventless loop", onGo(``) + `<state id="b"/>`, ""}, // replaced below
		{"doubling", onGo(`<script>x = new Array(40).fill('y'); var s = 'y'</script><foreach array="x" item="p"><assign location="s" expr="s + s"/></foreach>`), "fault: the data grow beyond the limit"},
		{"giant foreach", onGo(`<script>for (var i = 0, a = []; i &lt; 3000; i++) a.push(i); x = a</script>
			<foreach array="x" item="p"><foreach array="x" item="q"><assign location="z" expr="1"/></foreach></foreach>`), "fault: "},
		{"deep expression", `<state id="a"><transition event="go" cond="` + strings.Repeat("!", 900_000) + `1"/></state>`, "fault: SyntaxError"},
		{"deep brackets", `<state id="a"><transition event="go" cond="` + strings.Repeat("(", 400_000) + "1" + strings.Repeat(")", 400_000) + `"/></state>`, "fault: SyntaxError"},
		{"deep calls", onGo(`<script>function f() { f() } f()</script>`), "fault: "},
	} {
		if test.name == "eventless loop" {
			test.body = `<state id="a"><transition event="go" target="b"/></state><state id="b"><transition target="c"/></state><state id="c"><transition target="b"/></state>`
			test.want = "done: more than 10000 microsteps"
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// What ends by itself has as long as it takes on a busy machine.
			timeout := time.Minute
			if test.want == "broken: it" || strings.HasPrefix(test.want, "broken: it took longer") {
				timeout = 4 * time.Second
			}
			w := sandbox.New(sandbox.Config{Memory: 256 << 20, Timeout: timeout})
			defer w.Close()
			got := outcome(t, w, test.body)
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("outcome %q, want %q", got, test.want)
			}
			// The next session knows nothing of it.
			if got := outcome(t, w, onGo(`<assign location="x" expr="2"/>`)); got != "fine" {
				t.Errorf("after it: outcome %q, want fine", got)
			}
		})
	}
}

// TestNatives calls what no interrupt of the interpreter reaches while it runs, or
// what needs memory without bound. Each ends the step or its child; the session of
// somebody else, in the same sandbox, begins all the same.
func TestNatives(t *testing.T) {
	t.Parallel()
	if need.Race {
		t.Skip("the race detector takes more memory than the limit under test")
	}
	w := sandbox.New(sandbox.Config{Memory: 256 << 20, Timeout: time.Second})
	t.Cleanup(w.Close)
	for _, script := range []string{
		"x = 'ab'; for (;;) x = x.concat(x)", "x = 'a'.repeat(1e6); x.replace(/a/g, x)",
		"Array.from({length: 4294967295})", "[...new Array(4294967295)]", "Array.prototype.reverse.call({length: 9e15})",
		"String.fromCharCode.apply(null, {length: 4294967295})", "new ArrayBuffer(Math.pow(2, 40))", "new Float64Array(1e9).sort()", "[3, 1, 2].sort(function() { for (;;); })",
		"2n ** 2n ** 40n", "x = 3n; for (;;) x = x * x",
		"/(?=(a+)+b)/.test('a'.repeat(60))", "new RegExp('(a?){60}a{60}\\\\1').test('a'.repeat(60))", "('a'.repeat(60) + 'b').replace(/(?=(a|aa)+$)/g, '')", "new RegExp('('.repeat(2e6))",
		"x = []; for (var i = 0; i < 1e6; i++) x = [x]; JSON.stringify(x)", "x = {}; for (var i = 0; i < 1e6; i++) x = {a: x}", "JSON.parse('['.repeat(2e6))",
		"JSON.stringify({toJSON: function() { return new Proxy([], {get: function(t, k) { return k == 'length' ? 4e9 : 1 }}) }})",
		"eval('(a='.repeat(40) + '1' + ')=>1'.repeat(40))", "eval('['.repeat(2e6))",
		"(function f() { Promise.resolve().then(f) })()", "[...(function*() { for (;;) yield 1 })()]", "x = {toString: function() { return x + '' }}; x + ''",
		"x = new Proxy({}, {}); for (var i = 0; i < 1e6; i++) x = new Proxy(x, {}); x.a", "try { for (;;); } finally { for (;;); }",
		"new Map(Array.from({length: 1e9}, function(_, i) { return [i, i] }))", "'é'.repeat(6e7).normalize('NFKD') + encodeURIComponent('é'.repeat(6e7))",
	} {
		escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(script)
		if got := outcome(t, w, onGo(`<script>`+escaped+`</script>`)); got == "fine" {
			t.Errorf("%s did no harm; this test wants some", script)
		}
		if got := outcome(t, w, onGo(`<assign location="x" expr="2"/>`)); got != "fine" {
			t.Errorf("after %s: outcome %q, want fine", script, got)
		}
	}
}

// outcome starts a session, sends it "go", and tells in a word what happened.
func outcome(t *testing.T, w chartwork.Caller, body string) string {
	t.Helper()
	var r chartwork.Report
	err := w.Call(t.Context(), chartwork.OpOpen, chartwork.OpenRequest{Name: "c", Document: document(body)}, &r)
	if err == nil {
		err = w.Call(t.Context(), chartwork.OpInput, chartwork.InputRequest{Event: &chartwork.Event{Name: "go"}}, &r)
	}
	if errors.Is(err, sandbox.ErrBroken) {
		return "broken: " + strings.TrimPrefix(err.Error(), sandbox.ErrBroken.Error()+": ")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Steps {
		for _, f := range s.Faults {
			if s.Done == nil {
				return "fault: " + f.Message
			}
		}
		if s.Done != nil && s.Done.Fault != "" {
			return "done: " + s.Done.Fault
		}
	}
	return "fine"
}

// TestStepsAreRepeatable takes the same step twice in different children, and once
// here: the snapshots are equal byte for byte.
func TestStepsAreRepeatable(t *testing.T) {
	t.Parallel()
	request := chartwork.StepRequest{
		Name: "c", Digest: "d", Document: document(onGo(`<script>x = [Math.random(), new Date().getTime(), new Date(2020, 1, 1).getHours(), new Date().getTimezoneOffset()]</script>`)),
		Input: chartwork.Input{Now: time.Unix(1_700_000_000, 0), Seed: 7},
	}
	step := func(w chartwork.Caller) chartwork.StepResponse {
		var started, stepped chartwork.StepResponse
		if err := w.Call(t.Context(), chartwork.OpStep, request, &started); err != nil {
			t.Fatal(err)
		}
		next := request
		next.Snapshot, next.Event = started.Snapshot, &scxml.Event{Name: "go"}
		if err := w.Call(t.Context(), chartwork.OpStep, next, &stepped); err != nil {
			t.Fatal(err)
		}
		return stepped
	}
	a, b := sandbox.New(sandbox.Config{}), sandbox.New(sandbox.Config{})
	defer a.Close()
	defer b.Close()
	first, second := step(a), step(b)
	if string(first.Snapshot) != string(second.Snapshot) {
		t.Errorf("two children differ:\n%s\n%s", first.Snapshot, second.Snapshot)
	}
	if len(first.Enabled) != 1 || first.Enabled[0] != "go" {
		t.Errorf("enabled %v, want [go]", first.Enabled)
	}
	if m := first.Macrostep(); len(m.Microsteps) != 1 || m.Microsteps[0].Event.Name != "go" {
		t.Errorf("macrostep %+v", m)
	}
}

// TestCancel ends the context of a call that would not end.
func TestCancel(t *testing.T) {
	t.Parallel()
	w := sandbox.New(sandbox.Config{Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := w.Call(ctx, chartwork.OpOpen, chartwork.OpenRequest{Name: "c", Document: document(`<script>for(;;);</script><state id="a"/>`)}, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
}
