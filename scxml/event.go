// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// EventType says where an event came from (SCXML 5.10.1, `_event.type`).
type EventType = datamodel.EventType

// The three types of SCXML 5.10.1. The zero value counts as [External].
const (
	// Platform marks events that the processor itself raised, such as
	// error.execution and done.state.ID.
	Platform EventType = "platform"
	// Internal marks events of <raise> and of <send target="#_internal">.
	Internal EventType = "internal"
	// External marks everything that came in through [Interpreter.Deliver],
	// and what the session sent to itself.
	External EventType = "external"
)

// Event is one SCXML event (SCXML 5.10.1). Only Name is required.
//
// Data is plain JSON: nil, bool, float64, string, []any, map[string]any (ints
// are accepted and become float64). nil means that the event carries no data:
// `_event.data` is then undefined. The kernel copies Data; the caller may reuse
// it after the call.
type Event struct {
	Name string    `json:"name"`
	Type EventType `json:"type,omitempty"`
	// SendID is the id of the <send> that made the event: given by its author,
	// or set on error events that a <send> caused. Otherwise empty.
	SendID string `json:"sendid,omitempty"`
	// Origin and OriginType are a target and a type that can be used to answer
	// (`<send targetexpr="_event.origin" typeexpr="_event.origintype">`).
	Origin     string `json:"origin,omitempty"`
	OriginType string `json:"origintype,omitempty"`
	// InvokeID names the invocation that sent the event. It selects the
	// <finalize> that runs before transitions are selected (SCXML 6.5).
	InvokeID string `json:"invokeid,omitempty"`
	Data     any    `json:"data,omitempty"`
	// Raw is the message, for `_event.raw`: of [HTTPEvent] the request as it came
	// in (SCXML C.2.1), of a <send> that names a parameter more than once all of
	// them in JSON, [Send.Params], as Data has one of a name (SCXML 6.2.3). It is
	// empty for everything else.
	Raw string `json:"raw,omitempty"`
}

// plain gives v as JSON can say it, for what leaves the session.
func plain(v any) any {
	if datamodel.IsPlain(v) {
		return v
	}
	return datamodel.Plain(v)
}

func (ev Event) plain() Event {
	ev.Data = plain(ev.Data)
	return ev
}

func (ev Event) size() int { return len(ev.Name) + len(ev.SendID) + len(ev.Raw) + sizeOf(ev.Data) }

// Input is everything that a step may know about the world. Two calls with the
// same chart, the same session and an equal Input give the same result byte for
// byte; a log of inputs is therefore enough to replay a session.
//
// Now and Seed are read at every call. The other fields are read by [Start]
// alone, kept in the session and saved in its snapshot.
type Input struct {
	// Now is the time that `Date` reads and from which delays are counted. It
	// is kept in UTC with nanoseconds.
	Now time.Time
	// Seed seeds `Math.random` for this one call.
	Seed uint64

	// SessionID is `_sessionid` and must be unique in the fleet: it is what
	// other sessions address as "#_scxml_SESSIONID". Empty becomes "session".
	SessionID string
	// Name is `_name`; empty means the name attribute of the document.
	Name string
	// Data gives initial values that replace those of top-level <data> with
	// the same id (SCXML 5.3.2, 6.4). Names that the document does not declare
	// are ignored, as the specification demands.
	Data map[string]any
	// InvokeID is the id under which a parent invoked this session. Empty
	// means that there is no parent: sends to "#_parent" then raise
	// error.communication.
	InvokeID string
	// IOProcessors gives `_ioprocessors`: type to location. The SCXML event
	// I/O processor is always there, with location "#_scxml_SESSIONID".
	IOProcessors map[string]string
	// Begun, if not nil, is called by [Start] with the interpreter that it will
	// return, before anything of the chart runs, so that an environment can
	// call [Interpreter.Interrupt]. It must call nothing else of it.
	Begun func(*Interpreter)
}
