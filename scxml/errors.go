// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"errors"
	"fmt"
)

// ErrFinished is returned by calls on a session that has ended. Nothing was
// changed.
var ErrFinished = errors.New("session has finished")

// ErrUnknownState is returned by [Restore], wrapped with the id, when the
// snapshot names a state that the chart does not have: it was taken of another
// chart.
var ErrUnknownState = errors.New("unknown state")

// ErrBadSnapshot is returned by [Restore], wrapped with the reason, when the
// bytes are not a session snapshot of this kernel, or describe a configuration
// that is not legal in the chart (SCXML 3.11).
var ErrBadSnapshot = errors.New("bad session snapshot")

// Position is a place in a document. Line and Column count from 1; the zero
// value means that the place is not known.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// String gives "line:column".
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// SyntaxError says where and why a document is not acceptable. [Parse] and
// [Compile] return it, never wrapped.
type SyntaxError struct {
	// Name is the name given to [Parse].
	Name string
	Position
	// Message is lower case, without position.
	Message string
}

// Error gives "name:line:column: message".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Message)
}
