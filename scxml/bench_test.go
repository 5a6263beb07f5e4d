// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// counter has a guard and an assignment an event.
const counter = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript" initial="a">
  <datamodel><data id="n" expr="0"/></datamodel>
  <state id="a">
    <transition event="inc" cond="n &lt; 9" target="a"><assign location="n" expr="n + 1"/></transition>
    <transition event="inc" target="b"><assign location="n" expr="0"/></transition>
  </state>
  <state id="b"><transition event="inc" target="a"/></state>
</scxml>`

const toggle = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null">
  <state id="a"><transition event="inc" target="b"/></state>
  <state id="b"><transition event="inc" target="a"/></state>
</scxml>`

func BenchmarkDeliver(b *testing.B) {
	for name, doc := range map[string]string{"toggle": toggle, "guard": counter} {
		b.Run(name, func(b *testing.B) {
			ip, _, err := scxml.Start(compile(doc), scxml.Input{Now: time.Unix(0, 0)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ip.Deliver(scxml.Event{Name: "inc"}, scxml.Input{Now: time.Unix(1, 0)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	c := compile(counter)
	ip, _, err := scxml.Start(c, scxml.Input{})
	if err != nil {
		b.Fatal(err)
	}
	var snapshot []byte
	b.Run("take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if snapshot, err = ip.AppendSnapshot(snapshot[:0]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(snapshot)), "bytes")
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := scxml.Restore(c, snapshot); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkIdle reports the memory of an idle session.
func BenchmarkIdle(b *testing.B) {
	c := compile(counter)
	var before, after runtime.MemStats
	for b.Loop() {
		sessions := make([]*scxml.Interpreter, 10_000)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range sessions {
			ip, _, err := scxml.Start(c, scxml.Input{})
			if err != nil {
				b.Fatal(err)
			}
			sessions[i] = ip
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(sessions)), "bytes/session")
		runtime.KeepAlive(sessions)
	}
}
