// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/chartroom/chartroom/scxml"
)

const head = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">`

// What is no XML, or more than the limits allow, is refused; what is no SCXML, by
// TestRefused.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, at, want string
	}{
		{"nothing", ``, "1:1", "no root element"},
		{"no XML", `hello`, "1:1", "text outside of the root element"},
		{"not closed", head + `<state id="a">`, "1:", "unexpected EOF"},
		{"not well-formed", "<scxml\n<", "2:", "expected"},
		{"entity", head + `<state id="a"><onentry><log label="&lol;"/></onentry></state></scxml>`, "1:", "entity"},
		{"encoding", "<?xml version=\"1.0\" encoding=\"UTF-16\"?>" + head + `<state id="a"/></scxml>`, "1:", "UTF-16"},
		{"encoding of nobody", "<?xml version=\"1.0\" encoding=\"x-own\"?>" + head + `<state id="a"/></scxml>`, "1:", `encoding "x-own" is not supported`},
		{"late XML declaration", "\n<?xml version=\"1.0\"?>" + head + `<state id="a"/></scxml>`, "2:1", "at the beginning"},
		{"XML declaration inside", head + `<state id="a"><?xml version="1.0"?></state></scxml>`, "", "at the beginning"},
		{"XML declaration of nothing", `<?xml?>` + head + `<state/></scxml>`, "1:1", "declaration is not well-formed"},
		{"XML declaration without version", `<?xml encoding="UTF-8"?>` + head + `<state/></scxml>`, "1:1", "declaration is not well-formed"},
		{"XML declaration in another order", `<?xml encoding="UTF-8" version="1.0"?>` + head + `<state/></scxml>`, "1:1", "declaration is not well-formed"},
		{"standalone that is none", `<?xml version="1.0" standalone="maybe"?>` + head + `<state/></scxml>`, "1:1", "declaration is not well-formed"},
		{"ISO-8859-1 in UTF-16", "\xff\xfe" + inUTF16(`<?xml version="1.0" encoding="ISO-8859-1"?>`+head+`<state/></scxml>`), "1:1", "not that of the document"},
		{"half a character", "\xff\xfe" + inUTF16(head+`<state/></scxml>`) + " ", "1:1", "half a character"},
		{"half of a pair", "\xff\xfe" + inUTF16(head+`<state id="`) + "\x00\xd8" + inUTF16(`"/></scxml>`), "1:1", "half of a surrogate pair"},
		{"no blank between attributes", head + "\n<state id=\"a\"initial=\"b\"><state id=\"b\"/></state></scxml>", "2:1", "no blank between"},
		{"reference to half of a pair", head + "<state><onentry>\n<log label=\"&#xD800;\"/></onentry></state></scxml>", "2:1", "&#xD800; is no character"},
		{"reference to half of a pair in text", head + `<datamodel><data id="d">&#057343;</data></datamodel><state/></scxml>`, "1:", "&#057343; is no character"},
		{"CDATA after the root", head + `<state/></scxml><![CDATA[ ]]>`, "1:", "text outside of the root"},
		{"reference after the root", head + `<state/></scxml>&#32;`, "1:", "text outside of the root"},
		{"xml declared anew", head + `<state xmlns:xml="urn:x"/></scxml>`, "1:", "xml stands for"},
		{"xml by another name", head + `<state xmlns:x="http://www.w3.org/XML/1998/namespace"/></scxml>`, "1:", "xml stands for"},
		{"xmlns declared", head + `<state xmlns:xmlns="urn:x"/></scxml>`, "1:", "xmlns cannot be declared"},
		{"xmlns by another name", head + `<state xmlns:x="http://www.w3.org/2000/xmlns/"/></scxml>`, "1:", "xmlns cannot be declared"},
		{"prefix of nothing", head + `<state xmlns:p=""/></scxml>`, "1:", "declared for no namespace"},
		{"two roots", head + `<state id="a"/></scxml><scxml/>`, "1:", "more than one root"},
		{"root without a namespace", `<scxml version="1.0"><state id="a"/></scxml>`, "1:1", `write <scxml xmlns="http://www.w3.org/2005/07/scxml">`},
		{"attribute twice", head + "\n<state id=\"a\" id=\"b\"/></scxml>", "2:", "twice"},
		{"history and what it restores", head + `<state id="a"><transition event="e" target="b1 h"/></state><parallel id="p"><history id="h" type="deep"><transition target="b2"/></history><state id="b"><state id="b1"/><state id="b2"/></state></parallel></scxml>`, "1:", "brings back"},
		{"two histories of one state", head + `<state id="a"><transition event="e" target="g h"/></state><parallel id="p"><history id="g"><transition target="b"/></history><history id="h" type="deep"><transition target="b"/></history><state id="b"/></parallel></scxml>`, "1:", "brings back"},
		{"undeclared prefix", head + "\n<x:state id=\"a\"/><state id=\"b\"/></scxml>", "2:1", `prefix "x" is not declared`},
		{"undeclared prefix of an attribute", head + "\n<state id=\"a\" cr:admit=\"queue\"/></scxml>", "2:1", `prefix "cr" is not declared`},
		{"prefix of another element", head + "<state id=\"a\" xmlns:x=\"urn:x\"/>\n<state x:y=\"1\"/></scxml>", "2:1", `prefix "x" is not declared`},
		{"prefixed root of nobody", `<s:scxml version="1.0"><s:state id="a"/></s:scxml>`, "1:1", `prefix "s" is not declared`},
		{"unescaped", head + "<state id=\"a\">\n<transition cond=\"1 < 2\"/></state></scxml>", "2:", "unescaped <"},
		{"too deep", head + strings.Repeat("<state>", 200) + strings.Repeat("</state>", 200) + `</scxml>`, "1:", "deep"},
		{"too large", head + strings.Repeat(" ", 2<<20) + `<state/></scxml>`, "1:1", "larger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := scxml.Parse("test.scxml", []byte(tt.doc), scxml.Limits{})
			se, ok := errors.AsType[*scxml.SyntaxError](err)
			if !ok {
				t.Fatalf("got %v, want a *SyntaxError", err)
			}
			if !strings.HasPrefix(se.Position.String(), tt.at) || !strings.Contains(se.Message, tt.want) || strings.Contains(se.Message, "xml: ") {
				t.Errorf("got %q, want %q at %s", err, tt.want, tt.at)
			}
		})
	}
}

// inUTF16 gives ASCII in UTF-16.
func inUTF16(text string) string { return strings.Join(strings.Split(text, ""), "\x00") + "\x00" }

// XML 1.0, 3.3.3: a line break or a tab that stands in an attribute is a blank, one that
// a reference stands for is itself. What is no reference, in CDATA and comments, may say
// anything.
func TestParseAttributeValues(t *testing.T) {
	t.Parallel()
	d, err := scxml.Parse("x", []byte("<?xml version='1.0' standalone = \"yes\" ?>\n"+head+"<state id='a' \n xmlns:xml='http://www.w3.org/XML/1998/namespace'\tinitial=\"b\">"+
		"<transition cond=\"x\r\n&amp;&amp;\ty == '\"\n event='e&#10;f\n g'/><state id=\"b\"/><!-- &#xD800; --><transition event=\"q\"><script><![CDATA[a='x'\n+\"&#xD800;\"]]></script></transition></state></scxml>\n<!-- end -->\n"), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	x := d.State("a").Transitions[0]
	if v, _ := x.Element.Attribute("", "event"); x.Cond != "x && y == '" || v != "e\nf  g" {
		t.Errorf("cond is %q, event %q", x.Cond, v)
	}
}

// Targets in different regions go together (3.11), also where one is a history.
func TestParseTargetsOfRegions(t *testing.T) {
	t.Parallel()
	for _, targets := range []string{"b1 c1", "b h", "&#10;h  b1\t", "q c1", "b1 c"} {
		doc := head + `<state id="a"><transition event="e" target="` + targets + `"/></state><parallel id="p">
			<state id="b"><parallel id="q"><state id="b1"/><state id="b2"/></parallel></state>
			<state id="c"><history id="h" type="deep"><transition target="c1"/></history><state id="c1"/></state></parallel></scxml>`
		if _, err := scxml.Parse("x", []byte(doc), scxml.Limits{}); err != nil {
			t.Errorf("%q: %v", targets, err)
		}
	}
}

// White space around a word is no part of it, as XML Schema has it. Elements of other
// namespaces keep theirs.
func TestParseWords(t *testing.T) {
	t.Parallel()
	d, err := scxml.Parse("x", []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:o="urn:o" version=" 1.0" datamodel="ecmascript&#10;" binding=" late ">
		<datamodel><data id=" d "/></datamodel>
		<state id=" a "><history id="h " type="&#9;deep "><transition target="b"/></history><state id="b"/>
		<transition event="e" type=" internal " target=" h "/><o:e type=" x "/></state></scxml>`), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	a := d.State("a")
	if d.Datamodel != "ecmascript" || d.Binding != "late" || a == nil || !a.Transitions[0].Internal || d.State("h").Kind != scxml.KindHistoryDeep {
		t.Errorf("got %+v", d)
	}
	if v, _ := a.Element.Children[len(a.Element.Children)-1].Element.Attribute("", "type"); v != " x " {
		t.Errorf("the attribute of another namespace becomes %q", v)
	}
	if _, err := scxml.Compile(d, scxml.Options{}); err != nil {
		t.Error(err)
	}
}

// So it is around a URI and the name of a parameter.
func TestParseURIs(t *testing.T) {
	t.Parallel()
	ip := begin(t, strings.Replace(head, ">", ` name=" n ">`, 1)+`<state id="s"><onentry><send target=" #_internal " event="x"><param name="&#10;p " expr="_name"/></send></onentry>
		<transition event="x" cond="_event.data.p == 'n'" target="t"/></state><state id="t"/></scxml>`, scxml.Options{})
	if got := ip.Configuration(); !slices.Equal(got, []string{"t"}) {
		t.Errorf("it is in %v, want t", got)
	}
	d, err := scxml.Parse("x", []byte(head+`<state id="s"><invoke src=" there&#9;"/></state></scxml>`), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if src, _ := d.State("s").Invokes[0].Attribute("", "src"); src != "there" {
		t.Errorf("src is %q", src)
	}
}

func TestParseTooManyElements(t *testing.T) {
	t.Parallel()
	doc := head + strings.Repeat("<state/>", 20) + `</scxml>`
	if _, err := scxml.Parse("x", []byte(doc), scxml.Limits{Elements: 10}); err == nil {
		t.Error("21 elements are accepted with a limit of 10")
	}
}

// Prefixes are resolved, and what belongs to others is kept and ignored.
func TestParseNamespaces(t *testing.T) {
	t.Parallel()
	doc := "\xef\xbb\xbf" + `<?xml version="1.0" encoding="utf-8"?>
<s:scxml xmlns:s="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:cr" version="1.0" datamodel="null" name="n">
  <cr:note>text <cr:more/></cr:note>
  <s:state cr:admit="queue"><s:transition event="a.* b. *" target="f"/></s:state>
  <s:final id="f"/>
</s:scxml>`
	d, err := scxml.Parse("x", []byte(doc), scxml.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s := d.States[0]
	if v, ok := s.Attribute("urn:cr", "admit"); !ok || v != "queue" {
		t.Errorf("attribute is %q, %v", v, ok)
	}
	if got := strings.Join(s.Transitions[0].Events, " "); got != "a b *" {
		t.Errorf("descriptors are %q", got)
	}
	if !s.Anonymous || s.ID == "" || d.State(s.ID) != s {
		t.Errorf("the anonymous state has id %q", s.ID)
	}
	c, err := scxml.Compile(d, scxml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != "n" || !strings.HasPrefix(c.Digest(), "sha256:") {
		t.Errorf("name %q, digest %q", c.Name(), c.Digest())
	}
}

// FuzzParse looks for documents that crash the parser or the interpreter.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + `<state id="a"><transition event="e" target="b"/></state><final id="b"/></scxml>`))
	f.Add([]byte(head + `<parallel><history id="h"><transition target="x"/></history><state id="x"/><state><onentry><send event="x" delay="1s"/></onentry></state></parallel></scxml>`))
	f.Add([]byte(head + `<datamodel><data id="x">[1,{"a":null}]</data></datamodel><state><onentry><foreach array="x" item="y"><log expr="y"/></foreach></onentry></state></scxml>`))
	f.Add([]byte(`<!DOCTYPE a>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := scxml.Parse("fuzz", doc, scxml.Limits{DocumentBytes: 1 << 14})
		if err != nil {
			if _, ok := errors.AsType[*scxml.SyntaxError](err); !ok {
				t.Fatalf("%v is no *SyntaxError", err)
			}
			return
		}
		// Scripts may loop; the null datamodel evaluates none.
		d.Datamodel = "null"
		c, err := scxml.Compile(d, scxml.Options{Limits: scxml.Limits{Microsteps: 100, Effects: 1000}})
		if err != nil {
			return
		}
		ip, _, err := scxml.Start(c, scxml.Input{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ip.Deliver(scxml.Event{Name: "e"}, scxml.Input{}); err != nil && !errors.Is(err, scxml.ErrFinished) {
			t.Fatal(err)
		}
		b, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := scxml.Restore(c, b); err != nil {
			t.Fatalf("%v\nsnapshot: %s", err, b)
		}
	})
}

// Documents come in UTF-8, in UTF-16 with or without its mark, and in ISO-8859-1 that
// says so.
func TestEncodings(t *testing.T) {
	t.Parallel()
	const text = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version=" 1.0 "><state id="größe"/></scxml>`
	encoded := func(order binary.AppendByteOrder, mark uint16) []byte {
		out := order.AppendUint16(nil, mark)
		for _, unit := range utf16.Encode([]rune(`<?xml version="1.0" encoding="UTF-16"?>` + text)) {
			out = order.AppendUint16(out, unit)
		}
		return out
	}
	var latin []byte
	for _, r := range `<?xml version="1.0" encoding="ISO-8859-1"?>` + text {
		latin = append(latin, byte(r))
	}
	for name, doc := range map[string][]byte{
		"UTF-8": []byte(text), "UTF-8 with mark": []byte("\ufeff" + text), "ISO-8859-1": latin,
		"UTF-16LE": encoded(binary.LittleEndian, 0xfeff), "UTF-16BE": encoded(binary.BigEndian, 0xfeff),
		"UTF-16LE without mark": encoded(binary.LittleEndian, 0xfeff)[2:], "UTF-16BE without mark": encoded(binary.BigEndian, 0xfeff)[2:],
	} {
		d, err := scxml.Parse(name, doc, scxml.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d.State("größe") == nil {
			t.Errorf("%s: the state is called %q", name, d.States[0].ID)
		}
	}
}

// XML inside a document keeps its prefixes, and says what they stand for where it
// stands alone.
func TestInlineXMLKeepsItsNames(t *testing.T) {
	t.Parallel()
	for inline, want := range map[string]string{
		`<b:books xmlns:b="urn:b"><b:book title="t1"/></b:books>`:                 `<b:books xmlns:b="urn:b"><b:book title="t1"/></b:books>`,
		`<o:a o:x="1"><o:b/><c xmlns="urn:c" xmlns:d="urn:d" d:y="2"/></o:a>`:     `<o:a xmlns:o="urn:o" o:x="1"><o:b/><c xmlns="urn:c" xmlns:d="urn:d" d:y="2"/></o:a>`,
		`<a xmlns="" o:x="1"><o:b xmlns:o="urn:p" o:x="2"/></a>`:                  `<a xmlns:o="urn:o" o:x="1"><o:b xmlns:o="urn:p" o:x="2"/></a>`,
		`<p:a xmlns:p="urn:p"><p:b xmlns:q="urn:p" p:x="1"><p:c/></p:b></p:a>`:    `<p:a xmlns:p="urn:p"><q:b xmlns:q="urn:p" q:x="1"><q:c/></q:b></p:a>`,
		`<o:a xmlns:p="urn:p"><o:b xmlns:o="urn:p" p:x="1"><o:c/></o:b></o:a>`:    `<o:a xmlns:o="urn:o"><o:b xmlns:o="urn:p" o:x="1"><o:c/></o:b></o:a>`,
		`<a xmlns="urn:a" xmlns:q="urn:q" q:x="1"><b xmlns="urn:q" q:y="2"/></a>`: `<a xmlns="urn:a" xmlns:q="urn:q" q:x="1"><b xmlns="urn:q" xmlns:ns1="urn:q" ns1:y="2"/></a>`,
	} {
		ip := begin(t, `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:o="urn:o" version="1.0"><datamodel><data id="d">`+inline+`</data></datamodel><state id="s"/></scxml>`, scxml.Options{})
		if got, _ := ip.Value("d"); fmt.Sprint(got) != want {
			t.Errorf("%s\nbecomes %v\nwant    %s", inline, got, want)
		}
	}
}
