// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/google/go-cmp/cmp"
)

// SCXML 5.10.1: _event.data has "whatever data the sending entity chose to
// include". Inside a session that is every value of the datamodel, at once, by
// <donedata>, and through a snapshot between a <send> and its delay.
func TestEventDataKeepTheirValues(t *testing.T) {
	t.Parallel()
	for value, cond := range map[string]string{
		"NaN":                  "d !== d",
		"-0":                   "1 / d === -Infinity",
		"1 / 0":                "d === Infinity",
		"undefined":            "d === undefined",
		"null":                 "d === null",
		"[undefined, null]":    "d.length === 2 && d[0] === undefined && d[1] === null",
		"{a: undefined, b: 0}": "'a' in d && d.a === undefined && d.b === 0",
	} {
		for name, form := range map[string]string{"<content>": `<content expr="%s"/>`, "<param>": `<param name="d" expr="%s"/>`} {
			path := "_event.data"
			if name == "<param>" {
				path = "_event.data.d"
			}
			body := fmt.Sprintf(form, value)
			ip, _ := start(t, fmt.Sprintf(`<datamodel><data id="d"/><data id="right" expr="''"/></datamodel>
				<state id="s">
				<onentry><send event="sent">%[1]s</send><send event="internal" target="#_internal">%[1]s</send><send event="later" delay="1s">%[1]s</send></onentry>
				<state id="a"><transition target="f"/></state><final id="f"><donedata>%[1]s</donedata></final>
				<transition event="*"><script><![CDATA[d = %[2]s; if (%[3]s) right += _event.name + ' ']]></script></transition>
				</state>`, body, path, cond), scxml.Limits{})
			snapshot, err := ip.AppendSnapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			if ip, err = scxml.Restore(ip.Chart(), snapshot); err != nil {
				t.Fatal(err)
			}
			step, err := ip.Fire(ip.Pending()[0].Seq, scxml.Input{Now: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := ip.Value("right"); got != "internal done.state.s sent later " {
				t.Errorf("%s of %s arrives in %q only", name, value, got)
			}
			if _, err := json.Marshal(step); err != nil {
				t.Errorf("%s of %s: the trace is not for everyone: %v", name, value, err)
			}
		}
	}
}

// What leaves a session is JSON: effects, the trace and Pending.
func TestEffectsArePlain(t *testing.T) {
	t.Parallel()
	ip, step := start(t, `<datamodel><data id="x" expr="[NaN, undefined, -0]"/></datamodel>
		<state id="s"><onentry><send type="t" target="there" event="e"><param name="p" expr="x"/></send><log expr="x"/>
		<send type="t" target="there" delay="1s"><content expr="x"/></send></onentry>
		<invoke type="service" id="i"><param name="p" expr="x"/></invoke><transition event="end" target="f"/></state>
		<final id="f"><donedata><content expr="NaN"/></donedata></final>`, scxml.Limits{})
	pending := ip.Pending()
	effects := step.Clone().Effects
	last, err := ip.Deliver(scxml.Event{Name: "end"}, scxml.Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{effects, pending, last} {
		if b, err := json.Marshal(v); err != nil {
			t.Errorf("%v after %s", err, b)
		}
	}
	const list = "[null,null,0]"
	for i, want := range []string{`[{"name":"p","value":` + list + `}]`, list, `{"p":` + list + `}`} {
		var got any
		switch e := effects[i].(type) {
		case scxml.Send:
			got = e.Params
		case scxml.Log:
			got = e.Value
		case scxml.Invoke:
			got = e.Data
		}
		if b, err := json.Marshal(got); err != nil || string(b) != want {
			t.Errorf("effect %d carries %s, %v, want %s", i, b, err, want)
		}
	}
}

// What a macrostep leaves is what a session restored after it would have, also when the
// next macrostep of the same call follows at once: aliases split, keys are sorted, and a
// function is told before the next event. Only Math.random goes on.
func TestDataSettleAfterEachMacrostep(t *testing.T) {
	t.Parallel()
	c := clause{events: []string{"go"}, body: `
		<datamodel><data id="a"/><data id="b"/><data id="f"/><data id="r"/></datamodel>
		<state id="s"><transition event="go" target="t"><script>a = {z: 1, n: 1}; b = a; f = function() {}; r = Math.random()</script><send event="own"/></transition></state>
		<state id="t"><transition event="error.execution"><log expr="typeof f"/></transition>
		<transition event="own"><script>a.n = 2</script><log expr="b.n + ' ' + Object.keys(b) + ' ' + (r == Math.random())"/></transition></state>`}
	want := `
		start: enter s
		go: exit s; take s->t on go; enter t; raise own
		  error.execution in <data>: f cannot be kept: it is no data: it is or contains a Function
		error.execution: take t->- on error.execution; log: undefined
		own: take t->- on own; log: 1 n,z false
	`
	for _, restore := range []bool{false, true} {
		if diff := cmp.Diff(dedent(want), trace(t, c, restore)); diff != "" {
			t.Errorf("restored %v (-want +got):\n%s", restore, diff)
		}
	}
}
