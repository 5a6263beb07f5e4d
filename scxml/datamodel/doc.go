// SPDX-License-Identifier: Apache-2.0

// Package datamodel holds the data of a session and evaluates the expressions
// of a chart (SCXML 5 and appendix B).
//
// A [Language] compiles expressions; what it makes is immutable and shared by
// all sessions of a chart. A [Store] is the data of one session. It keeps plain
// Go values between the steps of a session; the ECMAScript store makes a virtual
// machine when a step first needs one and drops it at the end of the step, after
// the data were brought into canonical form. Nothing can therefore survive a
// step that a snapshot would not hold: not aliases, not closures, not changed
// built-ins. Neither is safe for concurrent use, except [Store] interrupts.
//
// # Values
//
// Canonical values are nil, bool, float64 (NaN, infinities and -0 included),
// string, []any, map[string]any, [Undefined] and [XML]. Plain values are those of
// them that JSON can say, see [Plain].
package datamodel

import (
	"errors"
	"time"
)

// Language compiles what stands in attributes and scripts. It never fails at
// once: the error of a wrong expression is kept and returned when it is
// evaluated (SCXML 5.9), and [Expr.Err] tells it to linters.
type Language interface {
	// Expr compiles a value expression.
	Expr(src string) *Expr
	// Cond compiles a boolean expression.
	Cond(src string) *Expr
	// Location compiles an expression that can be assigned to.
	Location(src string) *Expr
	// Value compiles a location whose value is wanted.
	Value(src string) *Expr
	// Script compiles statements.
	Script(src string) *Expr
	// NewStore makes the data of a session. scripts are those that the chart
	// runs when it is loaded; functions that they declare are available
	// at all times.
	NewStore(sys System, scripts []*Expr) Store
}

// Expr is a compiled expression, location or script. It is immutable.
type Expr struct {
	// Source is the text as written.
	Source string
	// Err is why it does not compile, or nil.
	Err  error
	prog any
	kind exprKind
	// usesEvent says that _event is mentioned.
	usesEvent bool
	// pure says that evaluation certainly changes nothing.
	pure bool
}

// UsesEvent says whether the text mentions _event.
func (e *Expr) UsesEvent() bool { return e != nil && e.usesEvent }

type exprKind uint8

const (
	kindExpr exprKind = iota
	kindCond
	kindLocation
	kindScript
)

// System is what expressions may know beside the data.
type System interface {
	// Now is what the clock shows; Seed seeds Math.random for a call.
	Now() time.Time
	Seed() uint64
	// In is the predicate In(id).
	In(id string) bool
	// SessionID, Name and IOProcessors are the system variables.
	SessionID() string
	Name() string
	IOProcessors() map[string]string
	// CallDepth bounds the depth of calls, DataBytes the size of the data.
	CallDepth() int
	DataBytes() int
	// Meter counts the work of the call that runs; without one, of what is
	// evaluated between two calls, anew each time that it is asked for.
	Meter() *Meter
}

// EventType says where an event came from (SCXML 5.10.1).
type EventType string

// Event is what `_event` shows. Data holds canonical values; nil shows as
// undefined, [NullValue] as null. It has the fields of scxml.Event, so that one is the other.
type Event struct {
	Name       string
	Type       EventType
	SendID     string
	Origin     string
	OriginType string
	InvokeID   string
	Data       any
	Raw        string
}

// Store is the data of one session.
type Store interface {
	// Declare makes id known; a new one has the value undefined.
	Declare(id string) error
	// Eval gives the value of e in canonical form; it is the caller's. What is no
	// data is an error.
	Eval(e *Expr) (any, error)
	// Bool gives the truth of e.
	Bool(e *Expr) (bool, error)
	// Assign evaluates e and stores the result at loc, which must exist.
	Assign(loc, e *Expr) error
	// Put stores a canonical value at loc, which must exist.
	Put(loc *Expr, v any) error
	// Run runs a script.
	Run(e *Expr) error
	// Load runs the scripts of the chart, once, when a session starts. It
	// returns one error a script, nil for those that ran.
	Load() []error
	// Each calls body for each element of the array as it is at the start,
	// with item and index set. item and index are declared if they are new;
	// index may be empty.
	Each(array *Expr, item, index string, body func() error) error
	// SetEvent binds _event; nil unbinds it. The store keeps ev until then.
	SetEvent(ev *Event)
	// Settle ends a macrostep: it brings the data into canonical form and says
	// which locations had to be made undefined, and why. Beyond the limit of the
	// [Meter] it stops: Discard then.
	Settle() []error
	// Discard ends evaluations without keeping what they may have changed.
	Discard()
	// Data gives the canonical data after Settle: the values are not to be
	// changed, the map is the caller's.
	Data() map[string]any
	// Get gives one canonical value, not to be changed.
	Get(id string) (v any, ok bool)
	// Restore replaces the data by canonical values, which it keeps.
	Restore(data map[string]any)
	// Interrupt makes a running evaluation end with ErrInterrupted. It is the
	// only method that may be called from another goroutine.
	Interrupt()
}

// ErrInterrupted is returned by an evaluation that [Store] Interrupt ended.
var ErrInterrupted = errors.New("interrupted")

// Undefined is the value of a location that was never assigned.
type Undefined struct{}

// NullValue is null as the data of an event, where nil says that there are none.
type NullValue struct{}

// XML is an XML document held as data; expressions see a small DOM.
type XML string
