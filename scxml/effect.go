// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// Effect is one thing that a step asks the world to do. The set is closed:
// [Send], [Cancel], [Invoke], [Uninvoke], [Forward], [Log] and [Done], always as
// values, never as pointers. The kernel performs none of them. Perform them in
// order, after the step has been made durable; each must bear being
// performed twice.
type Effect interface {
	// Kind is the name of the effect in lower case: "send", "cancel",
	// "invoke", "uninvoke", "forward", "log" or "done". It is meant as the
	// tag of a stored effect.
	Kind() string
	// size is about what it takes in memory beyond its own struct.
	size() int
}

// SCXMLProcessor is the canonical type of the SCXML event I/O processor
// (SCXML C.1). A <send> without a type has it; "scxml" and the same URI without
// its last "/" part are accepted as aliases and turned into this.
const SCXMLProcessor = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"

// BasicHTTPProcessor is the type of the basic HTTP event I/O processor
// (SCXML C.2).
const BasicHTTPProcessor = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"

// SCXMLInvoke is the canonical type of an invoked SCXML session (SCXML 6.4.2).
const SCXMLInvoke = "http://www.w3.org/TR/scxml/"

// Send asks for an event to be delivered elsewhere (SCXML 6.2). The kernel
// itself handles what stays inside the session ("#_internal", and the session's
// own external queue); everything else comes out here, unresolved.
//
// A delayed <send> makes no effect when it is executed: it goes to
// [Interpreter.Pending] and becomes a Send when [Interpreter.Fire] is called.
type Send struct {
	// SendID is the author's id, or one made by the kernel, unique within the
	// session. Name it in an error.communication event about this send.
	SendID string `json:"sendid"`
	// Target is as written: "#_parent", "#_INVOKEID", "#_scxml_SESSIONID", or
	// whatever the Type defines. It may be empty for types other than
	// [SCXMLProcessor].
	Target string `json:"target,omitempty"`
	// Type is [SCXMLProcessor], or the type as written.
	Type string `json:"type"`
	// Event is ready to be delivered to a session: name, type external, data
	// (params and namelist as a map, or the evaluated content), origin,
	// origintype, invokeid if the session was invoked, and sendid if the
	// author gave one. Name is empty for a <send> with content alone. An XML
	// document in the data has the type datamodel.XML, a string.
	Event Event `json:"event"`
	// Params holds the <param> children and the namelist in document order,
	// duplicates included, for types that need them as written (Basic HTTP).
	// Event.Data holds the same as a map in which the last of a name wins; then
	// Event.Raw has all of them, for [SCXMLProcessor].
	Params []Param `json:"params,omitempty"`
	// Content says that Event.Data comes from <content>.
	Content bool `json:"content,omitempty"`
}

// Param is one evaluated <param> or name of a namelist (SCXML 5.7).
type Param struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// Cancel says that a delayed send was taken out of [Interpreter.Pending]
// before it was due (SCXML 6.3). It is for those who index Pending; nothing
// needs to be undone elsewhere.
type Cancel struct {
	SendID string `json:"sendid"`
	// Seq is the number that [Delayed] had.
	Seq uint64 `json:"seq"`
}

// Invoke asks for an external service to be started as a child of a state
// (SCXML 6.4). Tell the session what became of it with events that carry
// InvokeID = ID: "done.invoke."+ID when it ended by itself,
// error.communication when it cannot be started.
type Invoke struct {
	// ID is unique within the session: the author's, or "STATE.N".
	ID string `json:"id"`
	// Type is [SCXMLInvoke], or the type as written.
	Type string `json:"type"`
	Src  string `json:"src,omitempty"`
	// Content is the evaluated <content>: for inline SCXML its text.
	Content any `json:"content,omitempty"`
	// Data holds params and namelist; for SCXML it goes to [Input.Data].
	Data        map[string]any `json:"data,omitempty"`
	Autoforward bool           `json:"autoforward,omitempty"`
	// State is the id of the state that holds the <invoke>.
	State string `json:"state"`
}

// Uninvoke asks for the invocation ID to be ended, because its state was left
// or the session ended (SCXML 6.4.3). Events of it that arrive later are
// delivered as usual; discard them before Deliver if they must not be seen.
type Uninvoke struct {
	ID string `json:"id"`
}

// Forward asks for a copy of an external event to be passed to an invocation
// with autoforward="true" (SCXML 6.4.1), unchanged.
type Forward struct {
	InvokeID string `json:"invokeid"`
	Event    Event  `json:"event"`
}

// Log is the output of a <log> (SCXML 4.7). Nothing depends on it.
type Log struct {
	Label string `json:"label,omitempty"`
	// Value is the evaluated expr, nil without one.
	Value any `json:"value,omitempty"`
	// State is the id of the state in whose content the <log> stands.
	State string `json:"state,omitempty"`
	// Line is the line of the <log> in the document.
	Line int `json:"line,omitempty"`
}

// Done says that the session has ended. It is the last effect of the last
// step; pending sends are gone with it.
type Done struct {
	// State is the id of the top-level <final>; empty when the session was
	// ended from outside or by the kernel.
	State string `json:"state,omitempty"`
	// Data is the evaluated <donedata>, for "done.invoke.ID" of a parent.
	Data any `json:"data,omitempty"`
	// Fault is empty, or says which limit the chart broke: the kernel then
	// ended the session without running its <onexit> content.
	Fault string `json:"fault,omitempty"`
}

// Kind implements [Effect].
func (Send) Kind() string { return "send" }

// Kind implements [Effect].
func (Cancel) Kind() string { return "cancel" }

// Kind implements [Effect].
func (Invoke) Kind() string { return "invoke" }

// Kind implements [Effect].
func (Uninvoke) Kind() string { return "uninvoke" }

// Kind implements [Effect].
func (Forward) Kind() string { return "forward" }

// Kind implements [Effect].
func (Log) Kind() string { return "log" }

// Kind implements [Effect].
func (Done) Kind() string { return "done" }

// plain gives the send as it leaves the session.
func (e Send) plain() Send {
	e.Event = e.Event.plain()
	if slices.ContainsFunc(e.Params, func(p Param) bool { return !datamodel.IsPlain(p.Value) }) {
		e.Params = slices.Clone(e.Params)
		for i := range e.Params {
			e.Params[i].Value = plain(e.Params[i].Value)
		}
	}
	return e
}

// message tells the parameters in JSON as they are written, duplicates included
// (SCXML 6.2.3).
func (e Send) message() string {
	b, err := json.Marshal(e.plain().Params)
	if err != nil {
		panic(fmt.Sprintf("scxml: plain data are no JSON: %v", err))
	}
	return string(b)
}

func (e Send) size() int {
	n := len(e.SendID) + len(e.Target) + len(e.Type) + e.Event.size()
	for _, p := range e.Params {
		n += len(p.Name) + sizeOf(p.Value)
	}
	return n
}

func (e Cancel) size() int   { return len(e.SendID) }
func (e Uninvoke) size() int { return len(e.ID) }
func (e Forward) size() int  { return e.Event.size() }
func (e Log) size() int      { return sizeOf(e.Value) }
func (e Done) size() int     { return sizeOf(e.Data) }

func (e Invoke) size() int {
	n := len(e.ID) + len(e.Src) + sizeOf(e.Content)
	if e.Data != nil {
		n += sizeOf(e.Data)
	}
	return n
}

// sizeOf is the size of data; a limit larger than this is none.
func sizeOf(v any) int {
	if v == nil {
		return 0
	}
	return datamodel.Size(v, 1<<40)
}

// Delayed is a <send> whose delay has not passed yet (SCXML 6.2.4). It is part
// of the session and of its snapshot: [Interpreter.Pending] is the only truth
// about it, and an index outside can be rebuilt from there at any time.
type Delayed struct {
	// Seq identifies it within the session and is never used again.
	Seq uint64 `json:"seq"`
	// Due is the Now of the step that executed the <send> plus its delay, UTC.
	Due time.Time `json:"due"`
	// Delay is the delay as evaluated.
	Delay time.Duration `json:"delay"`
	// Resume says what becomes of it after an outage; empty means
	// [ResumeDeadline].
	Resume Resumption `json:"resume,omitempty"`
	// Send is what [Interpreter.Fire] will do.
	Send Send `json:"send"`
}
