// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"encoding/xml"
	"errors"
	"io"
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
		var b strings.Builder
		n.appendTo(&b)
		return XML(b.String())
	}
	getter := func(name string, f func() any) {
		_ = o.DefineAccessorProperty(name, vm.ToValue(func(goja.FunctionCall) goja.Value {
			return vm.ToValue(f())
		}), nil, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	object := func(c *node) any {
		if c == nil {
			return goja.Null()
		}
		return m.domObject(c, "")
	}
	list := func(ns []*node) any {
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
	getter("firstChild", func() any {
		if len(n.children) == 0 {
			return goja.Null()
		}
		return object(n.children[0])
	})
	getter("nextSibling", func() any {
		if n.parent == nil {
			return goja.Null()
		}
		for i, c := range n.parent.children {
			if c == n && i+1 < len(n.parent.children) {
				return object(n.parent.children[i+1])
			}
		}
		return goja.Null()
	})
	if n.name == "" {
		return o
	}
	getter("tagName", func() any { return n.name })
	getter("documentElement", func() any { return o })
	method := func(name string, f func(arg string) any) {
		_ = o.DefineDataProperty(name, vm.ToValue(func(call goja.FunctionCall) goja.Value {
			return vm.ToValue(f(call.Argument(0).String()))
		}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	attribute := func(name string) (string, bool) {
		for _, a := range n.attrs {
			if qualified(a.Name) == name {
				return a.Value, true
			}
		}
		return "", false
	}
	method("getAttribute", func(name string) any {
		if v, ok := attribute(name); ok {
			return v
		}
		return goja.Null()
	})
	method("hasAttribute", func(name string) any { _, ok := attribute(name); return ok })
	method("getElementsByTagName", func(name string) any {
		var found []*node
		var walk func(*node)
		walk = func(p *node) {
			for _, c := range p.children {
				if c.name != "" && (name == "*" || c.name == name) {
					found = append(found, c)
				}
				walk(c)
			}
		}
		// A document would find its root too; ours is the root.
		if n.parent == nil && (name == "*" || n.name == name) {
			found = append(found, n)
		}
		walk(n)
		return list(found)
	})
	return o
}
