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

// XML is read by its namespaces, whatever its prefixes, and a part that is taken out
// of it still says what they stand for.
func TestDOMNamespaces(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	s := l.NewStore(&fixedSystem{depth: 100, bytes: 1000}, nil)
	if err := s.Declare("x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(l.Location("x"), ParseContent(`<a xmlns="urn:a" xmlns:p="urn:old"><p:b xmlns:p="urn:b"><c xml:lang="la">1</c><p:c/>2</p:b></a>`)); err != nil {
		t.Fatal(err)
	}
	for expr, want := range map[string]any{
		"x.localName + x.namespaceURI + x.prefix":                             "aurn:anull",
		"x.firstChild.localName + x.firstChild.namespaceURI":                  "burn:b",
		"x.firstChild.prefix":                                                 "p",
		"x.firstChild.lastChild.nodeValue":                                    "2",
		"x.firstChild.lastChild.previousSibling.namespaceURI":                 "urn:b",
		"x.firstChild.lastChild.nextSibling":                                  nil,
		"x.firstChild.firstChild.previousSibling":                             nil,
		"x.firstChild.firstChild.nextSibling.tagName":                         "p:c",
		"x.previousSibling":                                                   nil,
		"x.getElementsByTagNameNS('urn:b', '*').length":                       2.0,
		"x.getElementsByTagNameNS('*', 'c').length":                           2.0,
		"x.getElementsByTagNameNS('urn:a', 'c')[0].textContent":               "1",
		"x.getElementsByTagNameNS('urn:old', 'b').length":                     0.0,
		"x.getElementsByTagName('*').length":                                  4.0,
		"x.firstChild.getElementsByTagName('*').length":                       2.0,
		"x.firstChild.firstChild.lastChild.lastChild":                         nil,
		"x.firstChild.firstChild.getAttribute('xml:lang')":                    "la",
		"x.getElementsByTagName('p:c')[0].localName":                          "c",
		"x.getElementsByTagName('p:c')[0].parentNode.parentNode.namespaceURI": "urn:a",
	} {
		if got, err := s.Eval(l.Expr(expr)); err != nil || got != want {
			t.Errorf("%s: got %v (%T), %v, want %v", expr, got, got, err, want)
		}
	}
	part, err := s.Eval(l.Expr("x.firstChild.firstChild"))
	if want := XML(`<c xml:lang="la" xmlns:p="urn:b" xmlns="urn:a">1</c>`); err != nil || part != want {
		t.Errorf("the part is %v, %v, want %v", part, err, want)
	}
}
