// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/scxml"
)

// probe looks at whatever another session, or an earlier step, might have changed.
const probe = `seen = [
	[1, 2, 3].map(String).join('-'), [3, 1, 2].sort().join(), [].concat([1], [2]).length, [1, 2][7], [...'ab'].length,
	JSON.stringify({a: [1]}), JSON.parse('{"a": 1}').a, ({}).polluted, ({}).toString(), Object.keys({b: 1}).join(),
	typeof leak, typeof polluted, String(_event.name), typeof _event.data, _sessionid.length, typeof _x, In('a'),
	Math.max(1, 2), Math.random(), Date.now(), new Date(2020, 1, 1).getTimezoneOffset(), 'ab'.toUpperCase(), (12).toFixed(1),
	tag` + "`x${1}y`" + `, next(), next(), /b/.test('abc'), 'aXb'.replace(/x/i, '-'), parseInt('7'), isNaN(NaN),
	(function() { var s = []; for (var k in {q: 1}) s.push(k); for (var k in [1]) s.push(k); return s.join() })(),
	Object.isFrozen(Object.prototype), Object.isExtensible(globalThis), Symbol.for('k').description, typeof Function.prototype.call,
	(function() { try { return null.x } catch (e) { return e.name + ' ' + (e instanceof TypeError) } })(), count
]; count = seen.length`

// tricks try to leave something behind. What is not caught by the language is gone
// with the step.
var tricks = map[string]string{
	"prototype of objects":      `Object.prototype.polluted = 1; Object.prototype.toString = function() { return 'gotcha' }`,
	"prototype of arrays":       `Array.prototype.map = Array.prototype.join = Array.prototype.sort = function() { return 'gotcha' }; Array.prototype[7] = 'gotcha'`,
	"enumerable":                `Object.prototype.q2 = 1; Array.prototype.extra = 1`,
	"getters for variables":     `Object.defineProperty(Object.prototype, 'seen', {get: function() { return 'gotcha' }, set: function() {}})`,
	"getters on the global":     `Object.defineProperty(globalThis, 'x', {get: function() { return {gotcha: 1} }}); Object.defineProperty(globalThis, 'parseInt', {get: function() { return null }})`,
	"system variables":          `for (var v of ['_event', '_sessionid', '_x', 'In']) try { Object.defineProperty(globalThis, v, {value: 'gotcha'}) } catch (e) {}`,
	"members of _x":             `_x.leak = 1; _event.name = 'gotcha'; try { _ioprocessors.leak = {} } catch (e) {}`,
	"built-in functions":        `JSON.stringify = JSON.parse = Math.max = Math.random = Date.now = parseInt = isNaN = function() { return 'gotcha' }`,
	"constructors":              `Object = Array = String = Date = Symbol = Promise = RegExp = function() { return {gotcha: 1} }`,
	"iterators":                 `String.prototype[Symbol.iterator] = Array.prototype[Symbol.iterator] = function*() { yield 'gotcha' }`,
	"regular expressions":       `RegExp.prototype.exec = RegExp.prototype.test = RegExp.prototype[Symbol.replace] = function() { return 'gotcha' }`,
	"the Function constructor":  `Function('return this')().x = 1; (function() {}).constructor('Object.prototype.polluted = 2')()`,
	"indirect eval":             `(0, eval)('x = 3; Array.prototype.push = null')`,
	"__proto__ of data":         `x = {}; x['__proto__'].polluted = 4; x.__proto__ = {polluted: 5}; ({}).constructor.prototype.polluted = 6`,
	"merged event data":         `(function merge(a, b) { for (var k in b) typeof b[k] == 'object' && a[k] ? merge(a[k], b[k]) : a[k] = b[k] })(x = {}, _event.data)`,
	"event data":                `x = _event.data; x.own = Object.keys(x).join()`,
	"freezing":                  `Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.preventExtensions(globalThis)`,
	"state of chart closures":   `next(); next(); next(); tag.calls = 7`,
	"template objects":          `(function(s) { try { s[0] = 'gotcha' } catch (e) {}; try { s.raw.reverse() } catch (e) {}; try { s.sort(); s.fill('gotcha'); s.copyWithin(0, 1); s.splice(0) } catch (e) {} })(template())`,
	"prototype of functions":    `Function.prototype.call = Function.prototype.apply = null; Function.prototype.toString = function() { return 'gotcha' }`,
	"prototype of errors":       `TypeError.prototype.name = 'gotcha'; Object.defineProperty(TypeError, Symbol.hasInstance, {value: function() { return 'gotcha' }})`,
	"a generator":               `x = (function*() { for (;;) yield x++ })(); x.next()`,
	"a promise":                 `x = 0; Promise.resolve().then(function() { x = 1 }).then(function() { x = 2; Object.prototype.polluted = 3 })`,
	"an async function":         `(async function() { await null; x = 5; await new Promise(function() {}); x = 6 })()`,
	"a thenable":                `Object.prototype.then = function(f) { f('gotcha') }; (async function() { await {} })()`,
	"a proxy":                   `x = new Proxy({}, {get: function() { return 'gotcha' }, ownKeys: function() { return ['a'] }, getOwnPropertyDescriptor: function() { return {value: 1, enumerable: true, configurable: true} }})`,
	"a prototype of the global": `Object.setPrototypeOf(Object.getPrototypeOf(globalThis) || {}, null); try { Object.setPrototypeOf(globalThis, {leak: 1, polluted: 1}) } catch (e) {}`,
	"symbols":                   `Symbol.prototype.toString = Symbol.for = function() { return {description: 'gotcha'} }`,
	"toJSON":                    `Object.prototype.toJSON = function() { return 'gotcha' }; String.prototype.toJSON = function() { return 'gotcha' }`,
	"an accessor in data":       `x = {get a() { Object.prototype.polluted = 9; return 1 }}`,
}

// trickster is a chart whose first transition does a trick, and whose second looks.
func trickster(trick string) []byte {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;")
	return []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
	<datamodel><data id="x"/><data id="count" expr="0"/><data id="seen"/></datamodel>
	<script>
		var next = (function() { var n = 0; return function() { return ++n } })();
		function tag(s) { return s.raw.join('|') + s.join('|') }
		function template() { return (function(s) { return s })` + "`x${1}y`" + ` }
	</script>
	<state id="a">
		<transition event="trick"><script>` + escape.Replace(trick) + `</script></transition>
		<transition event="look"><script>` + escape.Replace(probe) + `</script></transition>
	</state></scxml>`)
}

// life is a session of which only the snapshot is kept between its steps.
type life struct {
	t       *testing.T
	w       chartwork.Caller
	request chartwork.StepRequest
	faults  []string
}

func begin(t *testing.T, w chartwork.Caller, document []byte, digest string) *life {
	l := &life{t: t, w: w, request: chartwork.StepRequest{
		Name: "c", Digest: digest, Document: document, Input: chartwork.Input{Now: time.Unix(1_700_000_000, 0), Seed: 7, SessionID: "s"},
	}}
	l.step()
	return l
}

func (l *life) step() {
	l.t.Helper()
	var r chartwork.StepResponse
	if err := l.w.Call(l.t.Context(), chartwork.OpStep, l.request, &r); err != nil {
		l.t.Fatal(err)
	}
	for _, m := range r.Microsteps {
		for _, f := range m.Faults {
			l.faults = append(l.faults, f.Message)
		}
	}
	l.request.Snapshot = r.Snapshot
}

func (l *life) take(event string) {
	l.t.Helper()
	var data any
	// As it comes from outside: a member that is called __proto__ is an own one.
	if err := json.Unmarshal([]byte(`{"__proto__": {"polluted": 7}, "constructor": {"prototype": {"polluted": 8}}, "a": 1}`), &data); err != nil {
		l.t.Fatal(err)
	}
	l.request.Event = &scxml.Event{Name: event, Data: data}
	l.step()
}

// seen is what the session has seen.
func (l *life) seen() string {
	l.t.Helper()
	d, err := scxml.Parse("c", l.request.Document, scxml.Limits{})
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := scxml.Compile(d, scxml.Options{ReadOnly: true})
	if err != nil {
		l.t.Fatal(err)
	}
	ip, err := scxml.Restore(c, l.request.Snapshot)
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprint(ip.Data()["seen"])
}

// TestTricks lets one session do a trick between the steps of others, of the same
// chart and of another, in this process and in a child. Nobody sees anything of it,
// not even its own next step; and taking the same steps again gives the same bytes.
func TestTricks(t *testing.T) {
	t.Parallel()
	calm := trickster("")
	clean := begin(t, &chartwork.Direct{}, calm, "calm")
	clean.take("look")
	want := clean.seen()
	if len(clean.faults) > 0 || !strings.Contains(want, "1-2-3 1,2,3") {
		t.Fatalf("without a trick: %s %v", want, clean.faults)
	}
	child := sandbox.New(sandbox.Config{Timeout: time.Minute})
	t.Cleanup(child.Close)
	for where, w := range map[string]chartwork.Caller{"here": &chartwork.Direct{}, "child": child} {
		t.Run(where, func(t *testing.T) {
			for name, trick := range tricks {
				document := trickster(trick)
				villain, victim, other := begin(t, w, document, name), begin(t, w, document, name), begin(t, w, calm, "calm")
				villain.take("trick")
				after := villain.request.Snapshot
				victim.take("look")
				other.take("look")
				villain.take("look")
				for who, l := range map[string]*life{"its own session": villain, "another of the chart": victim, "one of another chart": other} {
					if got := l.seen(); got != want {
						t.Errorf("%s: %s saw\n%s, want\n%s (faults %q)", name, who, got, want, l.faults)
					}
				}
				again := begin(t, &chartwork.Direct{}, document, name)
				again.take("trick")
				if string(again.request.Snapshot) != string(after) {
					t.Errorf("%s: once more it gives\n%q, first\n%q", name, again.request.Snapshot, after)
				}
			}
		})
	}
}
