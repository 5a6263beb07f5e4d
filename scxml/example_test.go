// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"fmt"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

const lamp = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="lamp" datamodel="ecmascript">
  <datamodel><data id="presses" expr="0"/></datamodel>
  <state id="off">
    <transition event="press" target="on"/>
  </state>
  <state id="on">
    <onentry>
      <assign location="presses" expr="presses + 1"/>
      <send event="timeout" delay="3s"/>
      <send type="power" event="switch"><param name="to" expr="'on'"/></send>
    </onentry>
    <transition event="press timeout" target="off"/>
  </state>
</scxml>`

func compile(doc string) *scxml.Chart {
	d, err := scxml.Parse("example.scxml", []byte(doc), scxml.Limits{})
	if err != nil {
		panic(err)
	}
	c, err := scxml.Compile(d, scxml.Options{})
	if err != nil {
		panic(err)
	}
	return c
}

// A session is started, gets an event, and says what it wants done.
func Example() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	session, _, err := scxml.Start(compile(lamp), scxml.Input{Now: now, SessionID: "lamp-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Configuration(), session.Enabled())

	step, err := session.Deliver(scxml.Event{Name: "press"}, scxml.Input{Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Commit a snapshot here; only then perform the effects.
	for _, e := range step.Effects {
		if send, ok := e.(scxml.Send); ok {
			fmt.Println(send.Type, send.Event.Name, send.Event.Data)
		}
	}
	fmt.Println(session.Configuration(), session.Data())
	// Output:
	// [off] [press]
	// power switch map[to:on]
	// [on] map[presses:1]
}

// A saved session goes on as if nothing had happened, its timers included.
func ExampleRestore() {
	chart := compile(lamp)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	session, _, _ := scxml.Start(chart, scxml.Input{Now: now})
	_, _ = session.Deliver(scxml.Event{Name: "press"}, scxml.Input{Now: now})
	snapshot, _ := session.AppendSnapshot(nil)

	restored, err := scxml.Restore(chart, snapshot)
	if err != nil {
		fmt.Println(err)
		return
	}
	timer := restored.Pending()[0]
	fmt.Println(timer.Send.Event.Name, "after", timer.Due.Sub(now))
	_, _ = restored.Fire(timer.Seq, scxml.Input{Now: timer.Due})
	fmt.Println(restored.Configuration())
	// Output:
	// timeout after 3s
	// [off]
}

// After an outage the chart says what its delays were for.
func ExampleInterpreter_Resume() {
	chart := compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0" datamodel="null">
  <state id="baking">
    <onentry>
      <send event="closing" delay="3600s"/>
      <send event="baked" delay="1200s" cr:resume="remaining"/>
      <send event="silent" delay="5s" cr:resume="restart"/>
    </onentry>
  </state>
</scxml>`)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	session, _, _ := scxml.Start(chart, scxml.Input{Now: now})
	snapshot, _ := session.AppendSnapshot(nil)

	restored, _ := scxml.Restore(chart, snapshot)
	restored.Resume(now.Add(5*time.Minute), now.Add(2*time.Hour))
	for _, d := range restored.Pending() {
		fmt.Println(d.Send.Event.Name, "at", d.Due.Format("15:04:05"))
	}
	// Output:
	// closing at 13:00:00
	// silent at 14:00:05
	// baked at 14:15:00
}

// A document that is not acceptable is refused with its position.
func ExampleParse() {
	_, err := scxml.Parse("door.scxml", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="closed">
    <transition event="open" target="opened"/>
  </state>
</scxml>`), scxml.Limits{})
	fmt.Println(err)
	// Output:
	// door.scxml:3:5: target "opened" does not exist
}

// A fault of the chart is an event, and data in the trace.
func ExampleInterpreter_Deliver() {
	session, _, _ := scxml.Start(compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="a">
    <transition event="go" target="b"><assign location="nothing" expr="1"/></transition>
  </state>
  <state id="b"><transition event="error.execution" target="c"/></state>
  <state id="c"/>
</scxml>`), scxml.Input{})
	step, _ := session.Deliver(scxml.Event{Name: "go"}, scxml.Input{})
	for _, m := range step.Microsteps {
		for _, f := range m.Faults {
			fmt.Printf("%s in <%s> line %d: %s\n", f.Event, f.Element, f.Line, f.Message)
		}
	}
	fmt.Println(session.Configuration())
	// Output:
	// error.execution in <assign> line 3: ReferenceError: nothing is not defined
	// [c]
}

// What will fail when it is reached is known before anything runs.
func ExampleCompile() {
	document, err := scxml.Parse("door.scxml", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="closed">
    <transition event="open" cond="key ==" target="closed"/>
    <transition event="knock"><script>answer()</script></transition>
  </state>
</scxml>`), scxml.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	chart, err := scxml.Compile(document, scxml.Options{SendTypes: []string{"power"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range chart.Problems() {
		fmt.Println(p.Position)
	}
	fmt.Println("bounded:", chart.Bounded())
	// Output:
	// 3:5
	// bounded: false
}

// Delayed sends wait; whoever has the clock fires them.
func ExampleInterpreter_Fire() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	session, _, _ := scxml.Start(compile(lamp), scxml.Input{Now: now})
	_, _ = session.Deliver(scxml.Event{Name: "press"}, scxml.Input{Now: now})
	for next, ok := session.Next(); ok; next, ok = session.Next() {
		now = next.Due // or wait until then
		step, _ := session.Fire(next.Seq, scxml.Input{Now: now})
		fmt.Println(now.Format("15:04:05"), step.Microsteps[1].Exited, step.Microsteps[1].Entered)
	}
	// Output:
	// 12:00:03 [on] [off]
}

// Stop ends a session from outside, and lets it say goodbye.
func ExampleInterpreter_Stop() {
	session, _, _ := scxml.Start(compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="a"><onexit><log label="goodbye"/></onexit></state>
</scxml>`), scxml.Input{})
	step, _ := session.Stop(scxml.Input{})
	for _, e := range step.Effects {
		fmt.Println(e.Kind())
	}
	_, err := session.Deliver(scxml.Event{Name: "hello"}, scxml.Input{})
	fmt.Println(err)
	// Output:
	// log
	// done
	// session has finished
}

// A session can be read by people, too.
func ExampleInterpreter_AppendJSON() {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	session, _, _ := scxml.Start(compile(lamp), scxml.Input{Now: now, SessionID: "lamp-1"})
	snapshot, _ := session.AppendJSON(nil)
	fmt.Println(string(snapshot))
	// Output:
	// {"v":1,"session":"lamp-1","configuration":["off"],"data":{"presses":0},"now":1767268800000000000}
}

// A send by HTTP is a request, and a request is an event.
func ExampleHTTPEvent() {
	session, step, _ := scxml.Start(compile(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="a"><onentry>
    <send type="basichttp" target="http://bell.example/door" event="ring"><param name="who" expr="'the cat'"/></send>
  </onentry></state>
</scxml>`), scxml.Input{})
	send := step.Effects[0].(scxml.Send)
	contentType, body := send.HTTPBody()
	fmt.Println("POST", send.Target, contentType)
	fmt.Println(body)

	received := scxml.HTTPEvent("POST", send.Target, contentType, body)
	fmt.Println(received.Name, received.Data)
	_, _ = session.Deliver(received, scxml.Input{})
	// Output:
	// POST http://bell.example/door application/x-www-form-urlencoded
	// _scxmleventname=ring&who=the+cat
	// ring map[who:the cat]
}
