// SPDX-License-Identifier: Apache-2.0

package scxml

// Namespace is the XML namespace of SCXML elements.
const Namespace = "http://www.w3.org/2005/07/scxml"

// Document is a parsed SCXML document: structure checked, targets resolved,
// expressions not looked at. It is what drawings and linters walk. Do not
// change it; it may be read by many goroutines.
type Document struct {
	// Source is the name given to [Parse], for messages.
	Source string
	// Name is the name attribute; empty without one.
	Name string
	// Datamodel is the datamodel attribute; empty without one.
	Datamodel string
	// Binding is "early" or "late".
	Binding string
	// Root is the <scxml> element as a state: Kind [KindRoot], ID empty.
	Root *State
	// States are all states but the root in document order, <initial>
	// excluded, <history> included.
	States []*State

	digest  string
	byID    map[string]*State
	element *Element
	scripts []*Element
}

// State looks up a state by id; nil if there is none.
func (d *Document) State(id string) *State { return d.byID[id] }

// Digest is "sha256:" and the hexadecimal digest of the document's bytes.
func (d *Document) Digest() string { return d.digest }

// Kind tells the kinds of states apart.
type Kind uint8

// The kinds of states. An atomic state is a KindState without Children.
const (
	KindRoot Kind = iota
	KindState
	KindParallel
	KindFinal
	KindHistoryShallow
	KindHistoryDeep
)

// String gives the name of the element, and for history its type.
func (k Kind) String() string {
	switch k {
	case KindRoot:
		return "scxml"
	case KindState:
		return "state"
	case KindParallel:
		return "parallel"
	case KindFinal:
		return "final"
	case KindHistoryShallow:
		return "history(shallow)"
	case KindHistoryDeep:
		return "history(deep)"
	default:
		return "unknown"
	}
}

// IsHistory says whether k is one of the two kinds of history.
func (k Kind) IsHistory() bool { return k == KindHistoryShallow || k == KindHistoryDeep }

// State is a <state>, <parallel>, <final>, <history> or the root.
type State struct {
	// ID is the id attribute, or one made up ("_state7") when Anonymous.
	ID        string
	Anonymous bool
	Kind      Kind
	Parent    *State
	// Children are the child states in document order, history included.
	Children []*State
	// Initial is where the default entry goes: from the initial attribute,
	// from <initial>, or to the first child in document order. nil for states
	// without children, for <parallel> and for <final>. For history it is the
	// default transition.
	Initial *Transition
	// Transitions in document order.
	Transitions []*Transition
	// OnEntry and OnExit hold one element a handler.
	OnEntry, OnExit []*Element
	// Data are the <data> elements of the state's <datamodel>.
	Data []*Element
	// Invokes are the <invoke> elements.
	Invokes []*Element
	// DoneData is the <donedata> of a final state, or nil.
	DoneData *Element
	// Element is the XML element, with attributes of other namespaces.
	Element *Element
	// Order is the place in document order: 0 for the root.
	Order int
	Position
}

// IsAtomic says whether s is a <state> without children or a <final>.
func (s *State) IsAtomic() bool {
	return s.Kind == KindFinal || s.Kind == KindState && len(s.Children) == 0
}

// Attribute gives an attribute of another namespace, such as `cr:admit`.
func (s *State) Attribute(namespace, local string) (value string, ok bool) {
	return s.Element.Attribute(namespace, local)
}

// Transition is a <transition>, or the initial one of a state.
type Transition struct {
	Source *State
	// Targets are the resolved targets; empty for a targetless transition.
	Targets []*State
	// Events are the descriptors, normalised: without trailing "." and ".*".
	// Empty means eventless.
	Events []string
	// Event and Cond are the attributes as written.
	Event, Cond string
	// Internal says type="internal".
	Internal bool
	// Element holds the executable content; nil for an initial attribute and
	// for the default of a document-order initial.
	Element *Element
	Position
}

// Element is an XML element as read, namespaces resolved. Comments and
// processing instructions are gone.
type Element struct {
	// Space is the namespace URI, Name the local name.
	Space, Name string
	Attrs       []Attr
	Children    []Node
	Position
	// prefix is that of the name.
	prefix string
}

// Node is either an element or text: exactly one of the two is set, except
// that Element nil with an empty Text does not occur.
type Node struct {
	Element *Element
	Text    string
}

// Attr is an attribute. Space is empty for attributes without a prefix.
// Namespace declarations are kept with Space "xmlns".
type Attr struct {
	Space, Name, Value string
	prefix             string
}

// Attribute gives the value of an attribute; namespace is empty for attributes
// without a prefix.
func (e *Element) Attribute(namespace, local string) (value string, ok bool) {
	if e == nil {
		return "", false
	}
	for _, a := range e.Attrs {
		if a.Space == namespace && a.Name == local {
			return a.Value, true
		}
	}
	return "", false
}

// IsSCXML says whether e is the SCXML element of that name.
func (e *Element) IsSCXML(name string) bool {
	return e != nil && e.Space == Namespace && e.Name == name
}
