// SPDX-License-Identifier: Apache-2.0

// Package scxml is a pure interpreter of W3C State Chart XML (SCXML) 1.0.
//
// # Pure
//
// State and input in, state and effects out. The package has no clock, no
// goroutine, no I/O, no logger and no source of randomness: time, seed and ids
// come with [Input], and what the chart wants done comes back as [Effect]
// values. The same chart, session and input give the same step, byte for byte.
//
// A [Chart] is immutable and may be shared by any number of goroutines. An
// [Interpreter] is a plain value machine and not safe for concurrent use: one
// owner at a time.
//
// # The handling loop
//
//	for {
//		ev := take()                        // from your inbox
//		step, err := session.Deliver(ev, scxml.Input{Now: now(), Seed: seed()})
//		// err is ErrFinished, or ev.Data is not JSON: faults of the chart are data.
//		snapshot, err := session.AppendSnapshot(nil)
//		commit(snapshot, step, session.Pending()) // 1. make it durable
//		for _, e := range step.Effects {           // 2. then act, in order
//			perform(e)
//		}
//	}
//
// When a [Delayed] of Pending is due, call [Interpreter.Fire] with its number
// and go on as above. After an outage call [Restore], and then
// [Interpreter.Resume], which moves the delayed sends that ask for it. A crash between 1 and 2 means performing the effects
// again; a crash before 1 means that nothing happened.
// step.Microsteps, the trace, is good until the next call on that session:
// render it, or keep step.Clone().
//
// # What a call runs
//
// [Start], Deliver and Fire run to completion: the external event, then every
// internal event and eventless transition, then the invocations of states
// entered, and, as long as there are any, the events that the session sent to
// itself without delay (sends without target, to "#_scxml_OWNID", or by HTTP to its
// own location).
// Those come before anything delivered later, so the external queue of a
// session is empty between calls. One call can therefore hold several
// macrosteps in the sense of SCXML 3.13.
//
// # Data
//
// Between macrosteps the datamodel is plain JSON. At the end of each macrostep it is
// brought into that canonical form whether it is saved or not, so that a live
// session and a restored one cannot be told apart: aliases are split, object
// keys are sorted, functions and cycles are refused with error.execution that
// names the location, and NaN, the infinities, -0, undefined and XML are kept.
// Local time in Date is that of the process; let it run in UTC.
// Functions and variables that a load-time <script> makes belong to the chart:
// variables are data, functions are made anew from the source.
package scxml
