// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"regexp"
	"strings"
)

// joins is how many "+" a bounded expression may have: each may copy all of the
// data.
const joins = 32

// path is a location that evaluates nothing but names and numbers.
var path = regexp.MustCompile(`^\s*[\p{L}_$][\p{L}\p{N}_$]*(\s*\.\s*[\p{L}_$][\p{L}\p{N}_$]*|\s*\[\s*[0-9]{1,6}\s*\])*\s*$`)

// Bounded says that a [Meter] can tell what evaluating e takes, at most, and end it: it
// has literals, names, members and operators only. Calls, other
// than of In, and scripts are not bounded: what they need cannot be told.
func (e *Expr) Bounded() bool {
	if e == nil || e.Err != nil {
		return true
	}
	if e.kind == kindLocation {
		return path.MatchString(e.Source)
	}
	c, ok := e.prog.(*compiled)
	if !ok {
		// The null datamodel knows In alone.
		return e.kind != kindScript
	}
	return c.isConstant || c.fast != nil && !c.literals && strings.Count(e.Source, "+") <= joins
}
