// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/google/go-cmp/cmp"
)

// start compiles and starts a chart that has body inside <scxml>.
func start(t *testing.T, body string, l scxml.Limits) (*scxml.Interpreter, scxml.Macrostep) {
	t.Helper()
	d, err := scxml.Parse(t.Name(), []byte(head+body+"</scxml>"), l)
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	ip, step, err := scxml.Start(c, scxml.Input{Now: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return ip, step
}

// Law 10: what a hostile chart does costs its own session, at the same place in
// every replay, and nothing else.
func TestHostile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		// ends says whether the session is ended; otherwise a fault is raised.
		ends bool
		want string
	}{
		{"eventless loop", `<state id="a"><transition target="a"/></state>`, true, "microsteps"},
		{"internal loop", `<state id="a"><onentry><raise event="e"/></onentry><transition event="e" target="a"/></state>`, true, "microsteps"},
		{"self-send loop", `<state id="a"><onentry><send event="e"/></onentry><transition event="e" target="a"/></state>`, true, "microsteps"},
		{"queue", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><foreach array="l" item="j"><raise event="e"/></foreach></foreach></onentry></state>`, true, "waiting"},
		{"effects", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><foreach array="l" item="j"><log expr="i"/></foreach></foreach></onentry></state>`, true, "effects"},
		{"iterations", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data><data id="n" expr="0"/></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><foreach array="l" item="j"><assign location="n" expr="n+1"/></foreach></foreach></onentry></state>`, false, "iterations"},
		{"pending", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><send event="e" delay="1s"/></foreach></onentry></state>`, false, "delayed sends"},
		{"large effects", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><log expr="l"/><log expr="l"/></foreach></onentry></state>`, true, "bytes of effects"},
		{"large events", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="l" item="i"><raise event="e"/><send event="f"><param name="l" expr="[l,l]"/></send></foreach></onentry></state>`, true, "bytes of effects and events"},
		{"large delayed sends", `<datamodel><data id="l">[1,2,3,4,5,6,7,8,9,10,11,12]</data></datamodel>
			<state id="a"><onentry><foreach array="[1,2,3,4,5,6,7,8]" item="i"><send event="e" delay="1s"><param name="l" expr="[l,l,l,l,l]"/></send></foreach></onentry></state>`, false, "bytes in delayed sends"},
		{"recursion", `<state id="a"><onentry><script>function f() { f() } f()</script></onentry></state>`, false, "nested calls"},
		{"large value", `<datamodel><data id="x" expr="''"/></datamodel><state id="a"><onentry><assign location="x" expr="new Array(5000).join('x')"/></onentry></state>`, false, "limit"},
		{"aliases", `<datamodel><data id="x" expr="[1]"/></datamodel><state id="a"><onentry>` +
			strings.Repeat(`<assign location="x" expr="[x,x]"/>`, 60) + `</onentry></state>`, false, "limit"},
		{"doubling text", `<datamodel><data id="x" expr="'x'"/></datamodel><state id="a"><onentry>` +
			strings.Repeat(`<assign location="x" expr="x+x"/>`, 60) + `</onentry></state>`, false, "limit"},
		{"cycle", `<datamodel><data id="x"/></datamodel><state id="a"><onentry><script>x = {}; x.x = x</script></onentry></state>`, false, "cyclic"},
		{"throwing getter", `<datamodel><data id="x"/></datamodel><state id="a"><onentry><script>x = {get a() { throw new Error('up') }}</script></onentry></state>`, false, "up"},
		{"throwing toString", `<state id="a"><onentry><script>throw {toString: function() { throw 1 }}</script></onentry></state>`, false, "exception"},
	}
	limits := scxml.Limits{Microsteps: 50, Queue: 100, Effects: 100, StepBytes: 2500, Iterations: 130, Pending: 10, PendingBytes: 4096, DataBytes: 4096}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ip, step := start(t, tt.body, limits)
			var faults []string
			for _, m := range step.Microsteps {
				for _, f := range m.Faults {
					faults = append(faults, f.Message)
				}
			}
			if all := strings.Join(faults, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("faults are %q, want %q among them", all, tt.want)
			}
			if done := ip.Finished(); (done != nil) != tt.ends {
				t.Errorf("finished is %v, want %v", done, tt.ends)
			}
			again, step2 := start(t, tt.body, limits)
			if d := cmp.Diff(step, step2); d != "" {
				t.Errorf("a replay gives another step: %s", d)
			}
			a, err := ip.AppendSnapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := again.AppendSnapshot(nil)
			if err != nil || !bytes.Equal(a, b) {
				t.Errorf("a replay gives another session: %s and %s, %v", a, b, err)
			}
		})
	}
}

// A chart is shared by goroutines, each with its own sessions.
func TestChartIsShared(t *testing.T) {
	t.Parallel()
	c := compile(counter)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ip, _, err := scxml.Start(c, scxml.Input{})
			if err != nil {
				t.Error(err)
				return
			}
			for range 100 {
				if _, err := ip.Deliver(scxml.Event{Name: "inc"}, scxml.Input{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	c := compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
		<parallel id="p"><state id="a"/><state id="b"><state id="b1"/><state id="b2"/></state></parallel></scxml>`)
	tests := []struct {
		name, snapshot string
		want           error
	}{
		{"nothing", ``, scxml.ErrBadSnapshot},
		{"no JSON", `hello`, scxml.ErrBadSnapshot},
		{"other version", `{"v":99}`, scxml.ErrBadSnapshot},
		{"unknown state", `{"v":1,"session":"s","configuration":["p","a","x"]}`, scxml.ErrUnknownState},
		{"nowhere", `{"v":1,"session":"s"}`, scxml.ErrBadSnapshot},
		{"region missing", `{"v":1,"session":"s","configuration":["p","a"]}`, scxml.ErrBadSnapshot},
		{"child missing", `{"v":1,"session":"s","configuration":["p","a","b"]}`, scxml.ErrBadSnapshot},
		{"two children", `{"v":1,"session":"s","configuration":["p","a","b","b1","b2"]}`, scxml.ErrBadSnapshot},
		{"bad data", `{"v":1,"session":"s","configuration":["p","a","b","b1"],"data":{"x":{"$":"what"}}}`, scxml.ErrBadSnapshot},
		{"bad timer", `{"v":1,"session":"s","configuration":["p","a","b","b1"],"pending":[{"seq":"x"}]}`, scxml.ErrBadSnapshot},
	}
	for _, tt := range tests {
		if _, err := scxml.Restore(c, []byte(tt.snapshot)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := scxml.Restore(c, []byte(`{"v":1,"session":"s","configuration":["p","a","b","b1"]}`)); err != nil {
		t.Error(err)
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	ip, step := start(t, `<final id="end"><donedata><content expr="{a: 1}"/></donedata></final>`, scxml.Limits{})
	want := &scxml.Done{State: "end", Data: map[string]any{"a": 1.0}}
	if d := cmp.Diff(want, step.Done); d != "" {
		t.Error(d)
	}
	if _, err := ip.Deliver(scxml.Event{Name: "e"}, scxml.Input{}); !errors.Is(err, scxml.ErrFinished) {
		t.Errorf("Deliver gives %v", err)
	}
	b, err := ip.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := scxml.Restore(ip.Chart(), b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, restored.Finished()); d != "" {
		t.Error(d)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		content string
		want    bool
	}{
		{`<assign location="x.y[3]" expr="x.z + 1"/>`, true},
		{`<if cond="In('a') &amp;&amp; x > 2"><raise event="e"/></if>`, true},
		{`<assign location="x" expr="'x'.repeat(9)"/>`, false},
		{`<assign location="x[f()]" expr="1"/>`, false},
		{`<script>x = 1</script>`, false},
		{`<log expr="/(a+)+b/.test(x)"/>`, false},
		{`<assign location="x" expr="` + strings.Repeat("x+", 100) + `1"/>`, false},
		{`<send event="e"><content>{"a": 1}</content></send>`, true},
		{`<send event="e"><content>{a: f()}</content></send>`, false},
		{`<send event="e" namelist="x"/>`, true},
		{`<foreach array="x" item="i"><log expr="i"/></foreach>`, true},
		{`<foreach array="f()" item="i"/>`, false},
	} {
		d, err := scxml.Parse("c", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><datamodel><data id="x"/></datamodel>
			<state id="a"><onentry>`+test.content+`</onentry></state></scxml>`), scxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := scxml.Compile(d, scxml.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Bounded() != test.want {
			t.Errorf("%s: bounded %v, want %v", test.content, c.Bounded(), test.want)
		}
	}
}

// What a document of little more than the size of a page can ask for by its
// structure alone is worked out in moderate time: each of these took for ever.
func TestHostileStructure(t *testing.T) {
	t.Parallel()
	var histories strings.Builder
	for i := range 60 {
		for _, h := range "ab" {
			fmt.Fprintf(&histories, `<history id="h%d%c" type="deep"><transition target="h%d%c"/></history>`, i, h, i+1, h)
		}
	}
	regions := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `<state id="r%d"><transition event="e" target="s%d"/><transition event="e" cond="In('r0')"/><state id="s%d"/><final id="f%d"/></state>`, i, i, i, i)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"histories": `<state id="z"><transition event="e" target="h0a"/></state><parallel id="p">` + histories.String() +
			`<history id="h60a"><transition target="x"/></history><history id="h60b"><transition target="x"/></history><state id="x"/></parallel>`,
		"regions":         `<parallel id="p">` + regions(600) + `</parallel>`,
		"regions in turn": `<parallel id="p"><transition event="e" cond="In('none')"/>` + regions(600) + `</parallel>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip, _ := start(t, body, scxml.Limits{})
			if !ip.Chart().Bounded() {
				t.Error("it is not taken for bounded")
			}
			if _, err := ip.Deliver(scxml.Event{Name: "e"}, scxml.Input{Now: time.Unix(1, 0)}); err != nil {
				t.Error(err)
			}
		})
	}
	ip, _ := start(t, `<parallel id="p">`+regions(1500)+`</parallel>`, scxml.Limits{})
	if ip.Chart().Bounded() {
		t.Error("thousands of states and transitions are taken for bounded")
	}
}

// An interruption ends a loop in which no script runs.
func TestInterruptWithoutScripts(t *testing.T) {
	t.Parallel()
	limits := scxml.Limits{Microsteps: -1, Work: -1}
	begun := make(chan *scxml.Interpreter, 1)
	d, err := scxml.Parse("loop", []byte(head+`<state id="a"><transition target="b"/></state><state id="b"><transition target="a"/></state></scxml>`), limits)
	if err != nil {
		t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{Limits: limits, NoTrace: true})
	if err != nil {
		t.Fatal(err)
	}
	go func() { (<-begun).Interrupt() }()
	ip, _, err := scxml.Start(c, scxml.Input{Begun: func(ip *scxml.Interpreter) { begun <- ip }})
	if err != nil {
		t.Fatal(err)
	}
	if done := ip.Finished(); done == nil || done.Fault != "interrupted" {
		t.Errorf("ended with %v, want interrupted", done)
	}
}
