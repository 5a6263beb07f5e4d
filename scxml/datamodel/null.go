// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Null is the null datamodel (SCXML B.1): no data, and conditions of the form
// In('id') only.
func Null() Language { return nullLanguage{} }

type nullLanguage struct{}

var errNull = errors.New("the null datamodel has no data")

var nullIn = regexp.MustCompile(`^\s*In\s*\(\s*(?:'([^']*)'|"([^"]*)"|([^\s'"()]+))\s*\)\s*$`)

func (nullLanguage) Expr(src string) *Expr     { return &Expr{Source: src, Err: errNull} }
func (nullLanguage) Location(src string) *Expr { return &Expr{Source: src, Err: errNull} }
func (nullLanguage) Value(src string) *Expr    { return &Expr{Source: src, Err: errNull} }
func (nullLanguage) Script(src string) *Expr   { return &Expr{Source: src, Err: errNull} }

func (nullLanguage) Cond(src string) *Expr {
	e := &Expr{Source: src, kind: kindCond, pure: true}
	m := nullIn.FindStringSubmatch(src)
	if m == nil {
		e.Err = fmt.Errorf("the null datamodel knows only In('id'), not %q", src)
		return e
	}
	e.prog = strings.Join(m[1:], "")
	return e
}

func (nullLanguage) NewStore(sys System, _ []*Expr) Store { return &nullStore{sys: sys} }

// None is the data of sessions of a chart without data or expressions.
func None() Store { return none }

var none = &nullStore{}

type nullStore struct{ sys System }

func (s *nullStore) Declare(string) error    { return errNull }
func (s *nullStore) Eval(*Expr) (any, error) { return nil, errNull }
func (s *nullStore) Bool(e *Expr) (bool, error) {
	if e.Err != nil {
		return false, e.Err
	}
	return s.sys.In(e.prog.(string)), nil
}
func (s *nullStore) Assign(_, _ *Expr) error                        { return errNull }
func (s *nullStore) Put(*Expr, any) error                           { return errNull }
func (s *nullStore) Run(*Expr) error                                { return errNull }
func (s *nullStore) Load() []error                                  { return nil }
func (s *nullStore) Each(*Expr, string, string, func() error) error { return errNull }
func (s *nullStore) SetEvent(*Event)                                {}
func (s *nullStore) Settle() []error                                { return nil }
func (s *nullStore) Data() map[string]any                           { return nil }
func (s *nullStore) Get(string) (any, bool)                         { return nil, false }
func (s *nullStore) Restore(map[string]any)                         {}
func (s *nullStore) Discard()                                       {}
func (s *nullStore) Interrupt()                                     {}
