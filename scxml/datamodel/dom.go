// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// node is an XML element or, with an empty name, a piece of text.
type node struct {
	name     string
	text     string
	attrs    []xml.Attr
	children []*node
	parent   *node
}

// parseXML reads one element; prefixes are kept as written.
func parseXML(s string) (*node, error) {
	d := xml.NewDecoder(strings.NewReader(s))
	var root, cur *node
	for depth := 0; ; {
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return nil, errors.New("XML is nested too deeply")
			}
			if cur == nil && root != nil {
				return nil, errors.New("more than one root element")
			}
			n := &node{name: qualified(t.Name), attrs: append([]xml.Attr(nil), t.Attr...), parent: cur}
			if cur == nil {
				root = n
			} else {
				cur.children = append(cur.children, n)
			}
			cur = n
		case xml.EndElement:
			if cur == nil || cur.name != qualified(t.Name) {
				return nil, errors.New("end tag does not match")
			}
			depth--
			cur = cur.parent
		case xml.CharData:
			if cur != nil {
				cur.children = append(cur.children, &node{text: string(t), parent: cur})
			} else if strings.TrimSpace(string(t)) != "" {
				return nil, errors.New("text outside of the root element")
			}
		case xml.Directive:
			return nil, errors.New("directives are refused")
		}
	}
	if root == nil || cur != nil {
		return nil, errors.New("no complete element")
	}
	return root, nil
}

func qualified(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func (n *node) appendTo(b *strings.Builder) {
	if n.name == "" {
		_ = xml.EscapeText(b, []byte(n.text))
		return
	}
	b.WriteString("<" + n.name)
	for _, a := range n.attrs {
		b.WriteString(" " + qualified(a.Name) + `="`)
		_ = xml.EscapeText(b, []byte(a.Value))
		b.WriteByte('"')
	}
	if len(n.children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	for _, c := range n.children {
		c.appendTo(b)
	}
	b.WriteString("</" + n.name + ">")
}

func (n *node) attribute(name string) (value string, ok bool) {
	for _, a := range n.attrs {
		if qualified(a.Name) == name {
			return a.Value, true
		}
	}
	return "", false
}

// namespace is what a prefix stands for at n.
func (n *node) namespace(prefix string) string {
	if prefix == "xml" {
		return "http://www.w3.org/XML/1998/namespace"
	}
	for ; n != nil; n = n.parent {
		if space, ok := n.attribute(strings.TrimSuffix("xmlns:"+prefix, ":")); ok {
			return space
		}
	}
	return ""
}

// alone is n as a document of its own, with the declarations of the elements around it.
func (n *node) alone() string {
	root := *n
	for p := n.parent; p != nil && n.name != ""; p = p.parent {
		for _, a := range p.attrs {
			name := qualified(a.Name)
			if _, ok := root.attribute(name); !ok && (name == "xmlns" || a.Name.Space == "xmlns") {
				root.attrs = append(root.attrs[:len(root.attrs):len(root.attrs)], a)
			}
		}
	}
	var b strings.Builder
	root.appendTo(&b)
	return b.String()
}

// split takes the name apart.
func (n *node) split() (prefix, local string) {
	if prefix, local, ok := strings.Cut(n.name, ":"); ok {
		return prefix, local
	}
	return "", n.name
}

// find appends the elements below n that match, and n if it may be one of them.
func (n *node) find(found []*node, self bool, match func(*node) bool) []*node {
	if self && n.name != "" && match(n) {
		found = append(found, n)
	}
	for _, c := range n.children {
		found = c.find(found, true, match)
	}
	return found
}

// sibling is the child of the same parent so many places further, or nil.
func (n *node) sibling(further int) *node {
	if n.parent == nil {
		return nil
	}
	all := n.parent.children
	if i := slices.Index(all, n) + further; i >= 0 && i < len(all) {
		return all[i]
	}
	return nil
}

func (n *node) textContent(b *strings.Builder) {
	b.WriteString(n.text)
	for _, c := range n.children {
		c.textContent(b)
	}
}

// domObject makes the DOM object of n, and remembers what it stands for so that
// it can be saved as text again. text is what the whole document was, if n is
// its root.
func (m *machine) domObject(n *node, text string) *goja.Object {
	if o, ok := m.domByNode[n]; ok {
		return o
	}
	if m.domByNode == nil {
		m.domByNode = map[*node]*goja.Object{}
		m.domText = map[*goja.Object]func() XML{}
	}
	vm := m.vm
	o := vm.NewObject()
	m.domByNode[n] = o
	m.domText[o] = func() XML {
		if text != "" {
			return XML(text)
		}
		return XML(n.alone())
	}
	getter := func(name string, f func() any) {
		_ = o.DefineAccessorProperty(name, vm.ToValue(func(goja.FunctionCall) goja.Value {
			// It may look at all of the document.
			m.charge(costRun + m.documents/charsAUnit)
			return vm.ToValue(f())
		}), nil, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	object := func(c *node) any {
		if c == nil {
			return goja.Null()
		}
		m.charge(costNode)
		return m.domObject(c, "")
	}
	list := func(ns []*node) any {
		m.charge(len(ns) * costNode)
		items := make([]any, len(ns))
		for i, c := range ns {
			items[i] = m.domObject(c, "")
		}
		a := vm.NewArray(items...)
		_ = a.DefineDataProperty("item", vm.ToValue(func(i int) any {
			if i < 0 || i >= len(items) {
				return goja.Null()
			}
			return items[i]
		}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
		return a
	}
	getter("nodeType", func() any {
		if n.name == "" {
			return 3
		}
		return 1
	})
	getter("nodeName", func() any {
		if n.name == "" {
			return "#text"
		}
		return n.name
	})
	getter("nodeValue", func() any {
		if n.name == "" {
			return n.text
		}
		return goja.Null()
	})
	getter("textContent", func() any {
		var b strings.Builder
		n.textContent(&b)
		return b.String()
	})
	getter("parentNode", func() any { return object(n.parent) })
	getter("childNodes", func() any { return list(n.children) })
	child := func(i int) any {
		if i < 0 || i >= len(n.children) {
			return goja.Null()
		}
		return object(n.children[i])
	}
	getter("firstChild", func() any { return child(0) })
	getter("lastChild", func() any { return child(len(n.children) - 1) })
	getter("nextSibling", func() any { return object(n.sibling(1)) })
	getter("previousSibling", func() any { return object(n.sibling(-1)) })
	if n.name == "" {
		return o
	}
	null := func(s string) any {
		if s == "" {
			return goja.Null()
		}
		return s
	}
	prefix, local := n.split()
	getter("tagName", func() any { return n.name })
	getter("localName", func() any { return local })
	getter("prefix", func() any { return null(prefix) })
	getter("namespaceURI", func() any { return null(n.namespace(prefix)) })
	getter("documentElement", func() any { return o })
	method := func(name string, f func(a, b string) any) {
		_ = o.DefineDataProperty(name, vm.ToValue(func(call goja.FunctionCall) goja.Value {
			return vm.ToValue(f(call.Argument(0).String(), call.Argument(1).String()))
		}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	method("getAttribute", func(name, _ string) any {
		if v, ok := n.attribute(name); ok {
			return v
		}
		return goja.Null()
	})
	method("hasAttribute", func(name, _ string) any { _, ok := n.attribute(name); return ok })
	// A document would find its root too; ours is the root.
	method("getElementsByTagName", func(name, _ string) any {
		return list(n.find(nil, n.parent == nil, func(c *node) bool { return name == "*" || c.name == name }))
	})
	method("getElementsByTagNameNS", func(space, name string) any {
		return list(n.find(nil, n.parent == nil, func(c *node) bool {
			prefix, local := c.split()
			return (name == "*" || local == name) && (space == "*" || c.namespace(prefix) == space)
		}))
	})
	return o
}
