// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Parse reads an SCXML document. name is used in messages only. A document that
// is not well-formed, has a DOCTYPE, a wrong structure, a target that does not
// exist, an id twice, or goes beyond l is refused with a *[SyntaxError].
// Elements and attributes of other namespaces are kept and otherwise ignored.
func Parse(name string, doc []byte, l Limits) (*Document, error) {
	l = l.resolved()
	if len(doc) > l.DocumentBytes {
		kept := doc[:l.DocumentBytes]
		end := Position{bytes.Count(kept, []byte("\n")) + 1, len(kept) - bytes.LastIndexByte(kept, '\n')}
		return nil, &SyntaxError{Name: name, Position: end,
			Message: fmt.Sprintf("document of %d bytes is larger than the limit of %d, which is reached here", len(doc), l.DocumentBytes)}
	}
	root, err := readElements(name, doc, l)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(doc)
	b := builder{name: name, doc: &Document{
		Source:  name,
		Binding: "early",
		digest:  "sha256:" + hex.EncodeToString(sum[:]),
		byID:    map[string]*State{},
		element: root,
	}}
	return b.build(root)
}

// maxAttributes bounds the attributes of one element: each is compared with each.
const maxAttributes = 1000

// readElements reads the XML into a tree. It knows nothing of SCXML.
func readElements(name string, doc []byte, l Limits) (*Element, error) {
	fail := func(p Position, format string, args ...any) error {
		return &SyntaxError{Name: name, Position: p, Message: fmt.Sprintf(format, args...)}
	}
	doc, err := decode(doc)
	if err != nil {
		return nil, fail(Position{1, 1}, "%v", err)
	}
	d := xml.NewDecoder(bytes.NewReader(doc))
	d.Strict = true
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var root *Element
	var open []*Element
	declared := namespaces{}
	count := 0
	for {
		line, column := d.InputPos()
		at := Position{line, column}
		begin := d.InputOffset()
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, column = d.InputPos()
			msg := strings.TrimPrefix(err.Error(), "xml: ")
			if s, ok := errors.AsType[*xml.SyntaxError](err); ok {
				msg = s.Msg
			} else if cause := errors.Unwrap(err); cause != nil {
				msg = cause.Error()
			}
			return nil, fail(Position{line, column}, "%s", msg)
		}
		written := doc[begin:d.InputOffset()]
		switch t := tok.(type) {
		case xml.ProcInst:
			if strings.EqualFold(t.Target, "xml") && at != (Position{1, 1}) {
				return nil, fail(at, "<?xml is not at the beginning of the document")
			}
		case xml.Directive:
			return nil, fail(at, "<!%.7s is refused: documents with a DOCTYPE are not accepted", t)
		case xml.StartElement:
			if len(open) == 0 && root != nil {
				return nil, fail(at, "more than one root element")
			}
			if len(open) >= l.Depth {
				return nil, fail(at, "elements are nested more than %d deep", l.Depth)
			}
			if count++; count > l.Elements {
				return nil, fail(at, "more than %d elements", l.Elements)
			}
			if len(t.Attr) > maxAttributes {
				return nil, fail(at, "more than %d attributes", maxAttributes)
			}
			values, err := attributeValues(written, len(t.Attr))
			if err != nil {
				return nil, fail(at, "%v", err)
			}
			e := &Element{Space: t.Name.Space, Name: t.Name.Local, Position: at}
			for i, a := range t.Attr {
				a.Value = normalized(a.Value, values[i])
				if a.Name.Space == "" && a.Name.Local == "xmlns" {
					a.Name = xml.Name{Space: "xmlns"}
				}
				if err := declaration(a); err != nil {
					return nil, fail(at, "%v", err)
				}
				for _, b := range e.Attrs {
					if b.Space == a.Name.Space && b.Name == a.Name.Local {
						return nil, fail(at, "attribute %q occurs twice", a.Name.Local)
					}
				}
				e.Attrs = append(e.Attrs, Attr{Space: a.Name.Space, Name: a.Name.Local, Value: a.Value})
			}
			declared.open(e)
			if prefix, ok := declared.unbound(e); ok {
				return nil, fail(at, "prefix %q is not declared", prefix)
			}
			if len(open) == 0 {
				root = e
			} else {
				p := open[len(open)-1]
				p.Children = append(p.Children, Node{Element: e})
			}
			open = append(open, e)
		case xml.EndElement:
			declared.close(open[len(open)-1])
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 0 {
				if !blank(string(written)) {
					return nil, fail(at, "text outside of the root element")
				}
				continue
			}
			if err := references(written); err != nil {
				return nil, fail(at, "%v", err)
			}
			p := open[len(open)-1]
			if n := len(p.Children); n > 0 && p.Children[n-1].Element == nil {
				p.Children[n-1].Text += string(t)
			} else if len(t) > 0 {
				p.Children = append(p.Children, Node{Text: string(t)})
			}
		}
	}
	if root == nil {
		return nil, fail(Position{1, 1}, "no root element")
	}
	return root, nil
}

// namespaces are those in force, with the prefixes that stand for them, the
// innermost last; the default namespace has the empty prefix.
type namespaces map[string][]string

// open takes what e declares into force, and notes the prefixes in e: the decoder
// tells only what they stand for.
func (n namespaces) open(e *Element) {
	for _, a := range e.Attrs {
		if a.Space == "xmlns" {
			n[a.Value] = append(n[a.Value], a.Name)
		}
	}
	e.prefix = n.prefix(e.Space)
	for i, a := range e.Attrs {
		e.Attrs[i].prefix = n.prefix(a.Space)
	}
}

func (n namespaces) close(e *Element) {
	for _, a := range e.Attrs {
		if a.Space == "xmlns" {
			n[a.Value] = n[a.Value][:len(n[a.Value])-1]
		}
	}
}

func (n namespaces) prefix(space string) string {
	if prefixes := n[space]; len(prefixes) > 0 {
		return prefixes[len(prefixes)-1]
	}
	return ""
}

// unbound finds a prefix of e that is not declared. The decoder leaves it as the
// namespace.
func (n namespaces) unbound(e *Element) (prefix string, found bool) {
	declared := func(space string) bool {
		switch space {
		case "", "xmlns", "xml", xmlNamespace:
			return true
		}
		return len(n[space]) > 0
	}
	if !declared(e.Space) {
		return e.Space, true
	}
	for _, a := range e.Attrs {
		if !declared(a.Space) {
			return a.Space, true
		}
	}
	return "", false
}

// attr gives an attribute of SCXML itself.
func (e *Element) attr(name string) string {
	v, _ := e.Attribute("", name)
	return v
}

func (e *Element) hasAttr(name string) bool {
	_, ok := e.Attribute("", name)
	return ok
}

// text is the text directly inside e.
func (e *Element) text() string {
	var b strings.Builder
	for _, c := range e.Children {
		b.WriteString(c.Text)
	}
	return b.String()
}

// elements are the SCXML children of e; those of other namespaces are left out.
func (e *Element) elements() []*Element {
	var out []*Element
	for _, c := range e.Children {
		if c.Element != nil && c.Element.Space == Namespace {
			out = append(out, c.Element)
		}
	}
	return out
}

// child is the first SCXML child of that name, or nil.
func (e *Element) child(name string) *Element {
	for _, c := range e.Children {
		if c.Element.IsSCXML(name) {
			return c.Element
		}
	}
	return nil
}

// find is the first SCXML element inside e, at any depth, with one of the names.
func (e *Element) find(names ...string) *Element {
	for _, c := range e.elements() {
		if slices.Contains(names, c.Name) {
			return c
		}
		if found := c.find(names...); found != nil {
			return found
		}
	}
	return nil
}

// inner is what stands inside e: text as it is, or XML text that can be read
// alone, where the namespaces that are in force are declared where they are used.
func (e *Element) inner() string {
	if !slices.ContainsFunc(e.Children, func(n Node) bool { return n.Element != nil }) {
		return strings.TrimSpace(e.text())
	}
	var b strings.Builder
	for _, c := range e.Children {
		if c.Element == nil {
			_, _ = escapeText.WriteString(&b, c.Text)
		} else {
			c.Element.write(&b, nil)
		}
	}
	return strings.TrimSpace(b.String())
}

// write writes e, with the namespaces in force by their prefixes.
func (e *Element) write(b *strings.Builder, scope map[string]string) {
	name := e.Name
	if e.prefix != "" {
		name = e.prefix + ":" + name
	}
	b.WriteString("<" + name)
	own := map[string]string{}
	declare := func(prefix, space string) {
		if _, here := own[prefix]; !here && scope[prefix] != space {
			own[prefix] = space
			attribute(b, strings.TrimSuffix("xmlns:"+prefix, ":"), space)
		}
	}
	declare(e.prefix, e.Space)
	for _, a := range e.Attrs {
		switch a.Space {
		case "":
			attribute(b, a.Name, a.Value)
		case "xmlns":
		case "xml", xmlNamespace:
			attribute(b, "xml:"+a.Name, a.Value)
		default:
			prefix := a.prefix
			for i := 1; prefix == "" || own[prefix] != "" && own[prefix] != a.Space; i++ {
				prefix = fmt.Sprintf("ns%d", i)
			}
			declare(prefix, a.Space)
			attribute(b, prefix+":"+a.Name, a.Value)
		}
	}
	if len(own) > 0 {
		inherited := scope
		scope = maps.Clone(own)
		for prefix, space := range inherited {
			if _, here := own[prefix]; !here {
				scope[prefix] = space
			}
		}
	}
	if len(e.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	for _, c := range e.Children {
		if c.Element == nil {
			_, _ = escapeText.WriteString(b, c.Text)
		} else {
			c.Element.write(b, scope)
		}
	}
	b.WriteString("</" + name + ">")
}

func attribute(b *strings.Builder, name, value string) {
	b.WriteString(" " + name + `="`)
	_, _ = escapeAttr.WriteString(b, value)
	b.WriteByte('"')
}

var (
	escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	escapeAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")
)
