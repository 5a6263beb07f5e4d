// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/chartroom/chartroom/scxml"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// replay takes every step of a log again, as whoever asks for a moment of it would,
// and gives the session after the last. An error names the first entry that does
// not end where it ended.
func replay(c *Chart, name string, log []*fleetv1.LogEntry) ([]byte, error) {
	var ip *scxml.Interpreter
	for _, e := range log {
		in := scxml.Input{Now: e.GetTime().AsTime(), Seed: e.GetSeed()}
		var err error
		switch {
		case ip == nil:
			in.SessionID, in.Name = e.GetInstanceId(), name
			in.Data, _ = decode([]byte(e.GetDataJson())).(map[string]any)
			ip, _, err = scxml.Start(c.Chart, in)
		case e.GetSeed() == 0 && e.GetDelayedSend() != 0:
			ip.Forget(e.GetDelayedSend()) // its step was discarded
		case e.GetSeed() == 0: // no step
		case e.GetDelayedSend() != 0:
			_, err = ip.Fire(e.GetDelayedSend(), in)
		default:
			ev := scxml.Event{Name: e.GetEvent(), Type: scxml.External, Data: decode([]byte(e.GetDataJson())), SendID: e.GetSendId()}
			if e.GetSenderInstanceId() != "" {
				ev.Origin, ev.OriginType = "#"+e.GetSenderInstanceId(), scxml.SCXMLProcessor
			}
			_, err = ip.Deliver(ev, in)
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d, %s: %w", e.GetSequence(), e.GetEvent(), err)
		}
		if got := ip.Configuration(); !slices.Equal(got, e.GetConfiguration()) {
			return nil, fmt.Errorf("entry %d, %s: the replay is in %v, the log says %v", e.GetSequence(), e.GetEvent(), got, e.GetConfiguration())
		}
	}
	return ip.AppendSnapshot(nil)
}

// replays checks that the log of the world's instance holds all that its session took.
func (w *world) replays() {
	state, log := w.store.Instance(ShardOf(worldHost), worldInstance)
	session, err := replay(w.chart, state.GetRecord().GetView().GetName(), log)
	switch {
	case err != nil:
		w.violation("the log cannot be replayed: %v", err)
	case !bytes.Equal(session, state.GetRecord().GetSessionSnapshot()):
		w.violation("replayed from its log the session is another one")
	}
}

// TestLogIsReplayed checks that a log entry has all that the session took: chance at
// the start, which of two delayed sends of one name was due, and who sent an event.
func TestLogIsReplayed(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	chart, err := Compile("dice", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="thrown" expr="Math.random()"/><data id="heard" expr="''"/></datamodel>
  <state id="s">
    <onentry>
      <send event="due" delay="2s"><param name="n" expr="1"/></send>
      <send event="due" delay="1s"><param name="n" expr="2"/></send>
    </onentry>
    <transition event="due"><assign location="heard" expr="heard + _event.data.n"/></transition>
    <transition event="hello"><assign location="heard" expr="heard + _event.origin + _event.sendid + Math.random()"/></transition>
  </state></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	b.i.chart = chart
	log := b.do(func(t *turn) { _ = t.begin(nil) }).GetLog()
	for _, s := range []stimulus{
		{origin: "timer", fire: 2},
		{origin: "instance", event: "hello", from: "bell", sendID: "ring"},
		{origin: "timer", fire: 1},
	} {
		log = append(log, b.do(func(t *turn) { t.run(s) }).GetLog()...)
	}
	want, err := b.i.ip.AppendSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := replay(chart, b.i.view.GetName(), log); err != nil || !bytes.Equal(got, want) {
		t.Errorf("replayed from its log the session is %q (%v), it was %q", got, err, want)
	}
}
