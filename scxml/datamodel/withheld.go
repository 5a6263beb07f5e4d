// SPDX-License-Identifier: Apache-2.0

package datamodel

import "errors"

// Withheld is a language that compiles nothing: every expression has an error.
// Its stores hold data all the same, so that a session can be looked at by a
// process that must not run the code of its chart.
func Withheld() Language { return withheld{newSchema()} }

type withheld struct{ schema *schema }

var errWithheld = errors.New("the code of this chart is not compiled here")

func (withheld) expr(src string) *Expr { return &Expr{Source: src, Err: errWithheld} }

func (w withheld) Expr(src string) *Expr     { return w.expr(src) }
func (w withheld) Cond(src string) *Expr     { return w.expr(src) }
func (w withheld) Location(src string) *Expr { return w.expr(src) }
func (w withheld) Value(src string) *Expr    { return w.expr(src) }
func (w withheld) Script(src string) *Expr   { return w.expr(src) }

func (w withheld) NewStore(sys System, _ []*Expr) Store {
	return &ecmaStore{sys: sys, vars: newVariables(w.schema)}
}
