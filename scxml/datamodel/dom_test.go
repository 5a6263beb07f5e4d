// SPDX-License-Identifier: Apache-2.0

package datamodel

import "testing"

func TestDOM(t *testing.T) {
	t.Parallel()
	v := ParseContent(`<books><book title="title1"/>text<book title="title2"/></books>`)
	if _, ok := v.(XML); !ok {
		t.Fatalf("ParseContent gives %T, want XML", v)
	}
	l := ECMAScript()
	s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, nil)
	if err := s.Declare("x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(l.Location("x"), v); err != nil {
		t.Fatal(err)
	}
	got, err := s.Eval(l.Expr("x.getElementsByTagName('book')[1].getAttribute('title')"))
	if err != nil || got != "title2" {
		t.Fatalf("got %v, %v", got, err)
	}
}
