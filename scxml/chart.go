// SPDX-License-Identifier: Apache-2.0

package scxml

// Chart is a compiled document: immutable, safe for concurrent use, identified
// by [Chart.Name] and [Chart.Digest]. One chart serves any number of sessions.
type Chart struct {
	doc *Document
}

// Parse reads an SCXML document. name is used in messages only. A document that
// is not well-formed, has a DOCTYPE, a wrong structure, a target that does not
// exist, an id twice, or goes beyond l is refused with a *[SyntaxError].
// Elements and attributes of other namespaces are kept and otherwise ignored.
func Parse(name string, doc []byte, l Limits) (*Document, error) {
	return nil, &SyntaxError{Name: name, Message: "not implemented yet"}
}

// Compile makes a chart of d. It refuses with a *[SyntaxError] what cannot run
// at all: an unknown datamodel, a <script src> that cannot be loaded.
// Expressions that are wrong raise error.execution when they are evaluated
// (SCXML 5.9) and are listed by [Chart.Problems].
func Compile(d *Document, o Options) (*Chart, error) {
	return &Chart{doc: d}, nil
}

// Name is the name attribute of the document, or the name given to [Parse].
func (c *Chart) Name() string {
	if c.doc.Name != "" {
		return c.doc.Name
	}
	return c.doc.Source
}

// Digest identifies the content: "sha256:" and hexadecimal digits.
func (c *Chart) Digest() string { return c.doc.digest }

// Document is the document that the chart was made of, for drawing.
func (c *Chart) Document() *Document { return c.doc }

// Problem is something in a chart that will fail when it is reached.
type Problem struct {
	Position
	Message string `json:"message"`
}

// Problems lists expressions and scripts that do not compile, in document
// order. A chart with problems runs: they raise error.execution when reached.
func (c *Chart) Problems() []Problem { return nil }
