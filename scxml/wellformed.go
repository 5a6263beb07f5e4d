// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// What XML 1.0 and its namespaces ask for and encoding/xml does not look at.

// blanks are the white space of XML.
const blanks = " \t\r\n"

const (
	xmlNamespace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsNamespace = "http://www.w3.org/2000/xmlns/"
)

// xmlDeclaration is the form of an XML declaration (XML 1.0, 2.8), with the name of the
// encoding; declares finds one.
var (
	xmlDeclaration = regexp.MustCompile(`^<\?xml\s+version\s*=\s*(?:"1\.([0-9]+)"|'1\.([0-9]+)')` +
		`(?:\s+encoding\s*=\s*(?:"([A-Za-z][\w.\-]*)"|'([A-Za-z][\w.\-]*)'))?` +
		`(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>`)
	declares = regexp.MustCompile(`^<\?xml[\s?]`)
)

// blank says whether there is nothing but white space of XML in s.
func blank(s string) bool { return strings.Trim(s, blanks) == "" }

// decode makes UTF-8 of a document, from what it declares and begins with (XML 1.0,
// 4.3.3).
func decode(doc []byte) ([]byte, error) {
	doc, wide, err := decodeUTF16(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	if err != nil || !declares.Match(doc) {
		return doc, err
	}
	m := xmlDeclaration.FindSubmatch(doc)
	if m == nil {
		return nil, errors.New("the XML declaration is not well-formed")
	}
	if version := "1." + string(m[1]) + string(m[2]); version != "1.0" {
		// A document of a later version is read as one of 1.0 (XML 1.0, 2.8), which is all that
		// encoding/xml knows.
		doc = bytes.Replace(doc, []byte(version), []byte("1.0"), 1)
	}
	label := string(m[3]) + string(m[4])
	charset := strings.ToLower(label)
	switch {
	case charset == "":
		return doc, nil
	case wide != strings.HasPrefix(charset, "utf-16"):
		return nil, fmt.Errorf("encoding %q is not that of the document", label)
	case wide, charset == "utf-8", charset == "utf8":
		return doc, nil
	case charset == "us-ascii", charset == "ascii":
		if bytes.ContainsFunc(doc, func(r rune) bool { return r > unicode.MaxASCII }) {
			return nil, fmt.Errorf("the document has characters that encoding %q has not", label)
		}
		return doc, nil
	case charset == "iso-8859-1", charset == "latin1":
		// Its bytes are code points.
		runes := make([]rune, len(doc))
		for i, b := range doc {
			runes[i] = rune(b)
		}
		return []byte(string(runes)), nil
	}
	return nil, fmt.Errorf("encoding %q is not supported, use UTF-8", label)
}

// decodeUTF16 turns a document in UTF-16 into UTF-8, as every XML processor must (XML
// 1.0, 4.3.3). It is known by its byte order mark, or by its first < (appendix F).
func decodeUTF16(doc []byte) (utf8 []byte, was bool, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	begins := func(with string) bool { return bytes.HasPrefix(doc, []byte(with)) }
	switch {
	case begins("\xff\xfe"):
		doc = doc[2:]
	case begins("\xfe\xff"):
		order, doc = binary.BigEndian, doc[2:]
	case begins("<\x00"):
	case begins("\x00<"):
		order = binary.BigEndian
	default:
		return doc, false, nil
	}
	if len(doc)%2 != 0 {
		return nil, true, errors.New("the document in UTF-16 has half a character at its end")
	}
	units := make([]uint16, 0, len(doc)/2)
	for ; len(doc) > 0; doc = doc[2:] {
		units = append(units, order.Uint16(doc))
	}
	runes := utf16.Decode(units)
	back := utf16.Encode(runes)
	for i, u := range units {
		if back[i] != u {
			return nil, true, errors.New("the document in UTF-16 has half of a surrogate pair")
		}
	}
	return []byte(string(runes)), true, nil
}

// attributeValues gives the n values in a start tag as they are written, with their
// quotation marks: in what encoding/xml takes for one, nothing else has such marks.
func attributeValues(tag []byte, n int) ([]string, error) {
	values := make([]string, 0, n)
	for i := 0; i < len(tag); i++ {
		if tag[i] != '"' && tag[i] != '\'' {
			continue
		}
		length := bytes.IndexByte(tag[i+1:], tag[i]) + 2
		values = append(values, string(tag[i:i+length]))
		if i += length; i < len(tag) && !bytes.ContainsRune([]byte(blanks+"/>"), rune(tag[i])) {
			return nil, errors.New("there is no blank between two attributes")
		}
	}
	if len(values) != n {
		return nil, errors.New("the attributes are not well-formed")
	}
	return values, references(tag)
}

// normalized gives the value of an attribute with blanks for the line breaks and tabs
// that were written as such (XML 1.0, 3.3.3).
func normalized(value, written string) string {
	if !strings.ContainsAny(value, "\t\n\r") {
		return value
	}
	written = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(written)
	var again struct {
		Value string `xml:"v,attr"`
	}
	if err := xml.Unmarshal([]byte("<a v="+written+"/>"), &again); err != nil {
		return value
	}
	return again.Value
}

var reference = regexp.MustCompile(`&#(x?)([0-9A-Fa-f]+);`)

// references refuses those to half of a surrogate pair, which is no character (XML 1.0,
// 4.1).
func references(written []byte) error {
	if !bytes.Contains(written, []byte("&#")) || bytes.HasPrefix(written, []byte("<![CDATA[")) {
		return nil
	}
	for _, m := range reference.FindAllSubmatch(written, -1) {
		base := 10
		if len(m[1]) > 0 {
			base = 16
		}
		if n, err := strconv.ParseUint(string(m[2]), base, 32); err == nil && utf16.IsSurrogate(rune(n)) {
			return fmt.Errorf("%s is no character", m[0])
		}
	}
	return nil
}

// declaration refuses an attribute that declares a namespace where none may be declared
// (Namespaces in XML 1.0, 2.2 and 3).
func declaration(a xml.Attr) error {
	if a.Name.Space != "xmlns" {
		return nil
	}
	switch prefix := a.Name.Local; {
	case prefix == "xmlns", a.Value == xmlnsNamespace:
		return errors.New("xmlns cannot be declared")
	case (prefix == "xml") != (a.Value == xmlNamespace):
		return errors.New("xml stands for its own namespace, and nothing else does")
	case prefix != "" && a.Value == "":
		return fmt.Errorf("prefix %q is declared for no namespace", prefix)
	}
	return nil
}
