// SPDX-License-Identifier: Apache-2.0

package scxml

import "time"

// Limits bounds what a document and a session may cost. All of them are
// deterministic: a replay meets the same limit at the same place. A zero field
// means the default of [DefaultLimits], a negative one no limit. Wall time is
// not among them: it belongs to the environment.
type Limits struct {
	// DocumentBytes is the size of a document. Default 1 MiB.
	DocumentBytes int
	// Depth is the nesting of elements. Default 128.
	Depth int
	// Elements is the number of elements in a document. Default 50,000.
	Elements int

	// Microsteps is the number of microsteps in one call, that is, how long a
	// chart may keep itself busy without an event from outside. A session that
	// exceeds it is ended with [Done.Fault]. Default 10,000.
	Microsteps int
	// DataBytes is the size of the datamodel in canonical form at the end of
	// a step. A location that goes beyond it raises error.execution and
	// becomes undefined. Default 1 MiB.
	DataBytes int
	// Pending is the number of delayed sends. A <send> beyond it raises
	// error.execution. Default 10,000.
	Pending int
	// PendingBytes is the size of all delayed sends. A <send> beyond it raises
	// error.execution. Default 1 MiB.
	PendingBytes int
	// Queue is the number of events waiting inside a session. A session that
	// exceeds it is ended with [Done.Fault]. Default 100,000.
	Queue int
	// Effects is the number of effects of one call. A session that exceeds it
	// is ended with [Done.Fault]. Default 100,000.
	Effects int
	// StepBytes is the size of the effects of one call and of the events that the
	// session sends to itself in it. A session that exceeds it is ended with
	// [Done.Fault]. Default 16 MiB.
	StepBytes int
	// Iterations is the number of <foreach> iterations in one call. Beyond it
	// error.execution is raised. Default 1,000,000.
	Iterations int
	// Work is what one call may do altogether, in units of about 10 ns: steps of
	// expressions, elements and characters that are looked at, copied and converted,
	// states that are left and entered. It is counted by what is done, never measured.
	// What scripts and functions do inside is not known and not counted (see
	// [Chart.Bounded]). A session that exceeds it is ended with [Done.Fault]. Default
	// 20,000,000: 0.1 to 0.2 s. With a mebibyte of data in small objects, that is taking
	// them into the JavaScript machine and out of it once.
	Work int
	// ScriptDepth is the depth of calls in ECMAScript. Default 512.
	ScriptDepth int
}

// DefaultLimits returns the limits that stand for zero fields.
func DefaultLimits() Limits {
	return Limits{
		DocumentBytes: 1 << 20,
		Depth:         128,
		Elements:      50_000,
		Microsteps:    10_000,
		DataBytes:     1 << 20,
		Pending:       10_000,
		PendingBytes:  1 << 20,
		Queue:         100_000,
		Effects:       100_000,
		StepBytes:     16 << 20,
		Iterations:    1_000_000,
		Work:          20_000_000,
		ScriptDepth:   512,
	}
}

const unlimited = int(^uint(0) >> 1)

// resolved replaces zero fields by defaults and negative ones by the largest
// number, so that the code compares and never asks.
func (l Limits) resolved() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, d *int }{
		{&l.DocumentBytes, &d.DocumentBytes}, {&l.Depth, &d.Depth}, {&l.Elements, &d.Elements},
		{&l.Microsteps, &d.Microsteps}, {&l.DataBytes, &d.DataBytes}, {&l.Pending, &d.Pending}, {&l.PendingBytes, &d.PendingBytes},
		{&l.Queue, &d.Queue}, {&l.Effects, &d.Effects}, {&l.StepBytes, &d.StepBytes}, {&l.Iterations, &d.Iterations},
		{&l.Work, &d.Work}, {&l.ScriptDepth, &d.ScriptDepth},
	} {
		switch {
		case *f.v == 0:
			*f.v = *f.d
		case *f.v < 0:
			*f.v = unlimited
		}
	}
	return l
}

// Options says how a document is compiled. The zero value is usable: any type
// of <send> and <invoke> is passed on, nothing is fetched.
type Options struct {
	// Limits bounds sessions of the chart.
	Limits Limits
	// Load fetches what `src` of <script> and <data> names, while compiling
	// and never later. nil refuses everything: a <script src> is then a
	// *SyntaxError, a <data src> raises error.execution when the session starts.
	Load func(uri string) ([]byte, error)
	// SendTypes lists the types of <send>, beside the SCXML processor, that
	// the runtime can perform; others raise error.execution (SCXML 6.2.3).
	// nil allows any.
	SendTypes []string
	// SendTargets lists prefixes of targets of the SCXML processor that the
	// runtime can route, beside "#_internal", "#_parent", "#_INVOKEID", the
	// session itself, and the origin of the event being handled. A target
	// "#_scxml_ID" that is not listed raises error.communication, any other
	// error.execution (SCXML C.1). Use []string{"#_scxml_"} to route between
	// sessions.
	SendTargets []string
	// InvokeTypes lists the types of <invoke>, beside SCXML, that the runtime
	// can perform; others raise error.execution. nil allows any.
	InvokeTypes []string
	// ParallelLCCA lets the least common compound ancestor be a <parallel>, as
	// SCION and XState do: an external transition inside it leaves and enters
	// its regions, but not the <parallel> itself. By SCXML 3.13 it leaves that,
	// too, because the ancestor is a <state> or the <scxml>.
	ParallelLCCA bool
	// Resume is the [Resumption] of delayed sends in charts that do not say it.
	Resume Resumption
	// ReadOnly compiles no expression and no script. Sessions of such a chart can
	// be restored, looked at and saved; what would be evaluated raises
	// error.execution. It is for a process that must not run what a stranger
	// wrote, not even its parser, beside one that may.
	ReadOnly bool
	// Compiling, if it is not nil, is called before each expression is compiled,
	// with the place of its element: it tells which one took too long.
	Compiling func(at Position)
	// NoTrace leaves [Macrostep.Microsteps] empty.
	NoTrace bool
	// Datamodel is used by documents without a datamodel attribute:
	// "ecmascript" (the default) or "null".
	Datamodel string
}

// maxDelay is the longest delay, about 100 years.
const maxDelay = 100 * 365 * 24 * time.Hour
