// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmltest"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// values are expressions whose values are hard to keep.
var values = []string{
	"1", "'text'", "null", "undefined", "NaN", "-0", "1/0", "-1/0", "0.1+0.2", "true", "[]", "{}", "[1,,3]", "[undefined]",
	"{a:1,b:{c:[1,2]}}", "{$:1}", "{$:'NaN'}", "{$:{$:2}}", "x", "[x,x]", "{a:x,b:x}", "y", "function(){}", "[function(){}]", "new Date(0)", "nothing",
	"_event", "_event.data", "_event.raw", "Math.random()", "Date.now()", "'\\u2028\\ud83d\\ude00'", "/a/", "x.a", "this", "(function(){var o={};o.o=o;return o})()",
	"twice(2)", "twice", "counter", "JSON.stringify(x)", "{__proto__: null, a: 1}", "Object.keys(y||{}).join()",
}

// scripts leave traces where a snapshot cannot see them.
var scripts = []string{
	"x = {a: 1}; y = x; y.a = 2", "var fresh = x", "let hidden = 1; hidden++", "Array.prototype.evil = 1", "counter++",
	"class P { #a = 1 } y = [new P()]", "y = new WeakMap()", "x = {i: [1].values()}", "x = Symbol('s')", "delete x", "y = [].evil", "Math.max = function() { return 7 }", "y = Math.max(1)", "function later() {}", "x = hidden", "throw 'up'",
}

var conds = []string{"true", "x == 1", "y === undefined", "In('s1')", "!In('s2')", "_event.data > 1", "1/x < 0", "isNaN(x)", "x === y", "counter > 2", "return"}

// chartGen draws a document with n states at most.
type chartGen struct {
	t     *rapid.T
	n     int
	ids   []string
	kinds map[string]string
	// stack are the states around the one that is drawn, and around those of
	// each state and history, the outermost first.
	stack  []string
	around map[string][]string
	conds  []string
}

func (g *chartGen) pick(label string, from []string) string {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

func (g *chartGen) chance(label string, percent int) bool {
	return rapid.IntRange(0, 99).Draw(g.t, label) < percent
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

func (g *chartGen) content() string {
	return g.contentOf("assign", "raise", "log", "send", "self", "delayed", "cancel", "if", "foreach", "script", "out")
}

func (g *chartGen) contentOf(elements ...string) string {
	var b strings.Builder
	for range rapid.IntRange(0, 2).Draw(g.t, "content") {
		v := escape(g.pick("value", values))
		loc := g.pick("location", []string{"x", "y", "x.a", "y[0]", "counter", "nowhere", "_event"})
		ev := g.pick("event", []string{"e1", "e2", "e3"})
		switch g.pick("element", elements) {
		case "assign":
			fmt.Fprintf(&b, `<assign location="%s" expr="%s"/>`, loc, v)
		case "raise":
			fmt.Fprintf(&b, `<raise event="i.%s"/>`, ev)
		case "log":
			fmt.Fprintf(&b, `<log label="l" expr="%s"/>`, v)
		case "send":
			fmt.Fprintf(&b, `<send event="%s" target="#_internal"><param name="p" expr="%s"/></send>`, ev, v)
		case "self":
			fmt.Fprintf(&b, `<if cond="counter &lt; 5"><assign location="counter" expr="counter+1"/><send event="%s"><content expr="%s"/></send></if>`, ev, v)
		case "delayed":
			resume := g.pick("resume", []string{"", ` xmlns:cr="urn:chartroom:chart" cr:resume="deadline"`, ` xmlns:cr="urn:chartroom:chart" cr:resume="remaining"`, ` xmlns:cr="urn:chartroom:chart" cr:resume="restart"`})
			fmt.Fprintf(&b, `<send event="%s" id="%s" delay="%dms" namelist="x"%s><param name="%s" expr="%s"/></send>`, ev, ev, rapid.IntRange(1, 30).Draw(g.t, "delay"), resume, g.pick("name", []string{"x", "p"}), v)
		case "cancel":
			fmt.Fprintf(&b, `<cancel sendid="%s"/>`, ev)
		case "if":
			fmt.Fprintf(&b, `<if cond="%s"><log expr="%s"/><else/><assign location="%s" expr="%s"/></if>`, escape(g.pick("cond", conds)), v, loc, v)
		case "foreach":
			fmt.Fprintf(&b, `<foreach array="%s" item="it" index="ix"><assign location="%s" expr="it"/></foreach>`, v, loc)
		case "script":
			fmt.Fprintf(&b, `<script>%s</script>`, escape(g.pick("script", scripts)))
		case "out":
			fmt.Fprintf(&b, `<send type="t" target="there" event="%s"><param name="a" expr="%s"/><param name="a" location="y"/></send>`, ev, v)
		}
	}
	return b.String()
}

// state draws a state; its transitions are filled in when all ids are known.
func (g *chartGen) state(depth int, inParallel bool) string {
	g.n--
	id := fmt.Sprintf("s%d", len(g.ids))
	g.ids = append(g.ids, id)
	g.around[id] = slices.Clone(g.stack)
	g.stack = append(g.stack, id)
	defer func() { g.stack = g.stack[:len(g.stack)-1] }()
	kind := "atomic"
	if depth > 0 && g.n > 1 {
		kind = g.pick("kind", []string{"atomic", "compound", "compound", "parallel"})
	}
	if kind == "atomic" && !inParallel && len(g.ids) > 1 && g.chance("final", 15) {
		g.kinds[id] = "final"
		return fmt.Sprintf(`<final id="%s"><onentry>%s</onentry><donedata><param name="d" expr="x"/></donedata></final>`, id, g.content())
	}
	g.kinds[id] = kind
	element := "state"
	if kind == "parallel" {
		element = "parallel"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<%s id="%s">`, element, id)
	if g.chance("onentry", 40) {
		fmt.Fprintf(&b, `<onentry>%s</onentry>`, g.content())
	}
	if g.chance("onexit", 40) {
		fmt.Fprintf(&b, `<onexit>%s</onexit>`, g.content())
	}
	if g.chance("data", 20) {
		fmt.Fprintf(&b, `<datamodel><data id="d%s" expr="%s"/></datamodel>`, id, escape(g.pick("value", values)))
	}
	if g.chance("invoke", 15) {
		fmt.Fprintf(&b, `<invoke type="service" src="it" autoforward="true"><param name="p" location="x"/><finalize>%s</finalize></invoke>`,
			g.contentOf("assign", "log", "cancel", "if", "foreach", "script"))
	}
	fmt.Fprintf(&b, "@T%s@", id)
	if kind != "atomic" {
		first := len(g.ids)
		initial := kind == "compound" && g.chance("initial", 40)
		toHistory := initial && g.chance("to history", 30)
		if initial {
			target := fmt.Sprintf("s%d", first)
			if toHistory {
				target = "h" + id
			}
			fmt.Fprintf(&b, `<initial><transition target="%s">%s</transition></initial>`, target, g.content())
		}
		for i := range rapid.IntRange(1, 3).Draw(g.t, "children") {
			if i == 0 || g.n > 0 {
				b.WriteString(g.state(depth-1, kind == "parallel"))
			}
		}
		if toHistory || g.chance("history", 50) {
			h := fmt.Sprintf("h%s", id)
			historyType := g.pick("history type", []string{"deep", "shallow"})
			inside := slices.Clone(g.ids[first:])
			if historyType == "shallow" {
				inside = slices.DeleteFunc(inside, func(s string) bool { return len(g.around[s]) > len(g.stack) })
			}
			fmt.Fprintf(&b, `<history id="%s" type="%s"><transition target="%s">%s</transition></history>`,
				h, historyType, strings.Join(g.targets("default", inside), " "), g.content())
			g.kinds[h] = "history"
			g.around[h] = slices.Clone(g.stack)
		}
	}
	fmt.Fprintf(&b, `</%s>`, element)
	return b.String()
}

// targets draws states that can be active together, one at least.
func (g *chartGen) targets(label string, from []string) []string {
	drawn := []string{g.pick(label, from)}
	for range rapid.IntRange(0, 2).Draw(g.t, "more") {
		also := g.pick(label, from)
		if !slices.ContainsFunc(drawn, func(d string) bool { return !g.orthogonal(d, also) }) {
			drawn = append(drawn, also)
		}
	}
	return drawn
}

// orthogonal says whether a and b are in different regions of a parallel state.
func (g *chartGen) orthogonal(a, b string) bool {
	wayToA, wayToB := append(slices.Clone(g.around[a]), a), append(slices.Clone(g.around[b]), b)
	i := 0
	for i < len(wayToA) && i < len(wayToB) && wayToA[i] == wayToB[i] {
		i++
	}
	if i == 0 || i == len(wayToA) || i == len(wayToB) || g.kinds[wayToA[i]] == "history" || g.kinds[wayToB[i]] == "history" {
		return false
	}
	return g.kinds[wayToA[i-1]] == "parallel"
}

func drawChart(t *rapid.T) string { return drawChartWith(t, conds) }

// drawChartWith draws a chart whose transitions have some of the conditions.
func drawChartWith(t *rapid.T, conds []string) string {
	g := &chartGen{t: t, n: rapid.IntRange(1, 10).Draw(t, "states"), kinds: map[string]string{}, around: map[string][]string{}, conds: conds}
	var body strings.Builder
	for i := 0; i == 0 || g.n > 0; i++ {
		body.WriteString(g.state(3, false))
	}
	targets := append([]string{}, g.ids...)
	for _, id := range g.ids {
		if g.kinds["h"+id] != "" {
			targets = append(targets, "h"+id)
		}
	}
	doc := body.String()
	for _, id := range g.ids {
		var b strings.Builder
		if g.kinds[id] != "final" {
			for range rapid.IntRange(0, 3).Draw(t, "transitions") {
				if g.chance("eventless", 15) {
					// Not for ever: each counts.
					fmt.Fprintf(&b, `<transition cond="steps &lt; 4" target="%s"><assign location="steps" expr="steps + 1"/></transition>`, g.pick("target", targets))
					continue
				}
				b.WriteString("<transition")
				fmt.Fprintf(&b, ` event="%s"`, g.pick("descriptor", []string{"e1", "e2", "e3", "i.*", "*", "error", "done.state", "e1 e2"}))
				if g.chance("cond?", 30) {
					fmt.Fprintf(&b, ` cond="%s"`, escape(g.pick("cond", g.conds)))
				}
				if g.chance("target?", 80) {
					fmt.Fprintf(&b, ` target="%s"`, strings.Join(g.targets("target", targets), " "))
				}
				if g.chance("internal?", 30) {
					b.WriteString(` type="internal"`)
				}
				fmt.Fprintf(&b, ">%s</transition>", g.content())
			}
		}
		doc = strings.ReplaceAll(doc, "@T"+id+"@", b.String())
	}
	return fmt.Sprintf(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript" binding="%s">
<datamodel><data id="x" expr="%s"/><data id="y"/><data id="steps" expr="0"/><data id="z"><b a="1"/></data></datamodel>
%s
%s</scxml>`, g.pick("binding", []string{"early", "late"}), escape(g.pick("value", values)),
		g.pick("load", []string{"", "<script>var counter = 0; function twice(n) { return 2*n } const lib = {f: function() { return 1 }};</script>"}), doc)
}

// drawnEvents are what a script is made of; "wait" fires what is due next, "outage" is
// a time in which nobody runs the session.
var drawnEvents = []string{"e1", "e2", "e3", "wait", "done", "outage"}

const outage = 7 * time.Millisecond

// drawnLimits are low, so that they are met; those that the oracle does not know are off.
var drawnLimits = scxml.Limits{Microsteps: 80, DataBytes: 1 << 12, Effects: 10_000, Iterations: 1000, StepBytes: -1, PendingBytes: -1}

// play runs a chart with a script of events and gives everything that can be
// seen of it. With restore it is saved and restored after every step.
func play(t *rapid.T, doc string, l scxml.Limits, events []string, restore bool) []string {
	d, err := scxml.Parse("drawn", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	c, err := scxml.Compile(d, scxml.Options{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ip, step, err := scxml.Start(c, scxml.Input{Now: now, Seed: 1, SessionID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	note := func(what string) {
		b, err := json.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		readable, err := ip.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, what, string(b), string(readable), string(snapshot), fmt.Sprint(ip.Enabled(), ip.Configuration(), ip.Invocations()))
		if restore {
			// The readable form says the same; they take turns.
			saved := snapshot
			if len(out)%10 == 0 {
				saved = readable
			}
			if ip, err = scxml.Restore(c, saved); err != nil {
				t.Fatalf("%v\nsnapshot: %s\n%s", err, readable, doc)
			}
		}
	}
	note("start")
	for i, name := range events {
		if ip.Finished() != nil {
			break
		}
		in := scxml.Input{Now: now, Seed: uint64(i)}
		if name == "outage" {
			stopped := now
			now = now.Add(outage)
			ip.Resume(stopped, now)
			step = scxml.Macrostep{}
		} else if p := ip.Pending(); name == "wait" {
			if len(p) == 0 {
				continue
			}
			if p[0].Due.After(now) {
				now = p[0].Due
			}
			in.Now = now
			step, err = ip.Fire(p[0].Seq, in)
		} else {
			ev := scxml.Event{Name: name, Data: float64(i)}
			if running := ip.Invocations(); name == "done" && len(running) > 0 {
				ev = scxml.Event{Name: "done.invoke." + running[0], InvokeID: running[0], Data: map[string]any{"x": 1}}
			}
			step, err = ip.Deliver(ev, in)
		}
		if err != nil {
			t.Fatal(err)
		}
		note(name)
	}
	return out
}

// TestLiveEqualsRestored is the rule "live equals restored" of the design:
// straight, straight again, and saved and restored after every step, a session
// shows the same trace, effects and snapshots, byte for byte. A failure prints
// the command that repeats it.
func TestLiveEqualsRestored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := drawChart(t)
		events := rapid.SliceOfN(rapid.SampledFrom(drawnEvents), 0, 8).Draw(t, "events")
		l := drawnLimits
		if rapid.Bool().Draw(t, "little work") {
			l.Work = rapid.IntRange(100, 20_000).Draw(t, "work")
		}
		straight := play(t, doc, l, events, false)
		if d := cmp.Diff(straight, play(t, doc, l, events, false)); d != "" {
			t.Fatalf("the same input gives another step:\n%s\n%s", d, doc)
		}
		if d := cmp.Diff(straight, play(t, doc, l, events, true)); d != "" {
			t.Fatalf("a restored session is another one:\n%s\n%s", d, doc)
		}
	})
}

// TestOracle compares the kernel, straight and restored after every step, with
// the transcription of Appendix D: traces, effects, configurations, data and
// what is pending. A failure prints the command that repeats it.
func TestOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// The oracle knows no XML.
		doc := strings.Replace(drawChart(t), `<data id="z"><b a="1"/></data>`, `<data id="z">some text</data>`, 1)
		events := rapid.SliceOfN(rapid.SampledFrom(drawnEvents), 0, 8).Draw(t, "events")
		want := oracle(t, doc, events)
		for _, restore := range []bool{false, true} {
			if d := cmp.Diff(want, kernel(t, doc, events, restore)); d != "" {
				t.Fatalf("the kernel (restored: %v) and Appendix D disagree (-oracle +kernel):\n%s\n%s", restore, d, doc)
			}
		}
	})
}

// machine is what the kernel and the oracle have in common.
type machine interface {
	Configuration() []string
	Invocations() []string
	Pending() []scxml.Delayed
	Resume(stopped, now time.Time)
	Data() map[string]any
}

// drive runs a script of events and tells what can be seen.
func drive(t *rapid.T, m machine, step scxml.Macrostep, events []string, finished func() bool,
	deliver func(scxml.Event, scxml.Input) scxml.Macrostep, fire func(uint64, scxml.Input) scxml.Macrostep) []string {
	var out []string
	note := func(what string) {
		b, err := json.Marshal([]any{what, step, m.Configuration(), m.Invocations(), append([]scxml.Delayed{}, m.Pending()...), m.Data()})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	note("start")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, name := range events {
		if finished() {
			break
		}
		in := scxml.Input{Now: now, Seed: uint64(i)}
		if name == "outage" {
			stopped := now
			now = now.Add(outage)
			m.Resume(stopped, now)
			step = scxml.Macrostep{}
		} else if p := m.Pending(); name == "wait" {
			if len(p) == 0 {
				continue
			}
			if p[0].Due.After(now) {
				now = p[0].Due
			}
			in.Now = now
			step = fire(p[0].Seq, in)
		} else {
			ev := scxml.Event{Name: name, Data: float64(i)}
			if running := m.Invocations(); name == "done" && len(running) > 0 {
				ev = scxml.Event{Name: "done.invoke." + running[0], InvokeID: running[0], Data: map[string]any{"x": 1}}
			}
			step = deliver(ev, in)
		}
		note(name)
	}
	return out
}

var drawnInput = scxml.Input{Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Seed: 1, SessionID: "m"}

func oracle(t *rapid.T, doc string, events []string) []string {
	d, err := scxml.Parse("drawn", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	o, step := scxmltest.NewOracle(d, drawnLimits, drawnInput)
	return drive(t, o, step, events, o.Finished, o.Deliver, o.Fire)
}

// restoring is a session that can be replaced by what was saved of it.
type restoring struct{ *scxml.Interpreter }

// Resume makes Resume what the oracle has.
func (r *restoring) Resume(stopped, now time.Time) { r.Interpreter.Resume(stopped, now) }

func (r *restoring) restore(t *rapid.T) {
	b, err := r.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Interpreter, err = scxml.Restore(r.Chart(), b); err != nil {
		t.Fatal(err)
	}
}

func kernel(t *rapid.T, doc string, events []string, restore bool) []string {
	d, err := scxml.Parse("drawn", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	c, err := scxml.Compile(d, scxml.Options{Limits: drawnLimits})
	if err != nil {
		t.Fatal(err)
	}
	ip, step, err := scxml.Start(c, drawnInput)
	if err != nil {
		t.Fatal(err)
	}
	r := &restoring{ip}
	after := func(step scxml.Macrostep, err error) scxml.Macrostep {
		if err != nil {
			t.Fatal(err)
		}
		if restore {
			r.restore(t)
		}
		return step
	}
	return drive(t, r, step, events, func() bool { return r.Finished() != nil },
		func(ev scxml.Event, in scxml.Input) scxml.Macrostep { return after(r.Deliver(ev, in)) },
		func(seq uint64, in scxml.Input) scxml.Macrostep { return after(r.Fire(seq, in)) })
}
