// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chartroom/chartroom/scxml"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Types of <send> that the runtime performs, beside the SCXML processor.
const (
	// TargetType sends a command to the instance's target.
	TargetType = "chartroom:target"
	// InstanceType tells the runtime something about the instance itself.
	InstanceType = "chartroom:instance"
)

// Namespace is the XML namespace of chartroom's attributes in charts.
const Namespace = "urn:chartroom:chart"

// Chart is a compiled chart under the name it was pushed by. It is immutable
// and safe for concurrent use.
type Chart struct {
	*scxml.Chart
	// Name is the name it is stored under.
	Name string
	// Digest is the SHA-256 of the document, lower-case hex.
	Digest string
	// document and sandbox are set when its sessions are stepped elsewhere.
	document []byte
	sandbox  Sandbox
}

// sendTypes, sendTargets and invokeTypes are what the runtime performs.
var (
	sendTypes   = []string{TargetType, InstanceType}
	sendTargets = []string{"#"}
	invokeTypes = []string{}
)

// Compile makes a chart of a document. A bad document is a *[Refusal] with the
// position.
func Compile(name string, document []byte) (_ *Chart, err error) {
	defer func() {
		if p := recover(); p != nil { // of a parser that was not ready for this document
			err = invalidChart(name, fmt.Errorf("it cannot be compiled: %v", p))
		}
	}()
	doc, err := scxml.Parse(name, document, scxml.Limits{})
	if err != nil {
		return nil, invalidChart(name, err)
	}
	c, err := scxml.Compile(doc, scxml.Options{
		SendTypes: sendTypes, SendTargets: sendTargets, InvokeTypes: invokeTypes,
	})
	if err != nil {
		return nil, invalidChart(name, err)
	}
	return &Chart{Chart: c, Name: name, Digest: strings.TrimPrefix(c.Digest(), "sha256:")}, nil
}

func invalidChart(name string, err error) error {
	r := refuse(fleetv1.Reason_REASON_CHART_INVALID, "chart %s: %v", name, err)
	if syntax, ok := errors.AsType[*scxml.SyntaxError](err); ok {
		r.Line, r.Column = syntax.Line, syntax.Column
	}
	return r
}

// state is the active state that one word best tells: the deepest one of the
// first region.
func (c *Chart) state(active func(string) bool) string {
	at, found := c.Document().Root, ""
	for {
		next := (*scxml.State)(nil)
		for _, child := range at.Children {
			if !child.Kind.IsHistory() && active(child.ID) {
				next = child
				break
			}
		}
		if next == nil {
			return found
		}
		at, found = next, next.ID
	}
}

// String is for messages.
func (c *Chart) String() string { return fmt.Sprintf("%s (%.12s)", c.Name, c.Digest) }
