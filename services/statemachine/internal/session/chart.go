// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
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

// Chart is a compiled chart under the name it was pushed by. It is safe for
// concurrent use.
type Chart struct {
	*scxml.Chart
	// Name is the name it is stored under.
	Name string
	// Digest is the SHA-256 of the document, lower-case hex.
	Digest string
	// document and sandbox are set when its sessions are stepped elsewhere.
	document []byte
	sandbox  Sandbox
	// record is what its instances did to others.
	record *record
}

// sendTypes, sendTargets and invokeTypes are what the runtime performs.
var (
	sendTypes   = []string{TargetType, InstanceType}
	sendTargets = []string{"#"}
	invokeTypes = []string{}
)

// CompileOptions are those of every chart of the fleet.
func CompileOptions() chartwork.CompileOption {
	return chartwork.CompileOption{SendTypes: sendTypes, SendTargets: sendTargets, InvokeTypes: invokeTypes}
}

// Compile makes a chart of a document that may be compiled in this process. A bad
// document is a *[Refusal] with the position.
func Compile(name string, document []byte) (*Chart, error) {
	return compile(name, document, CompileOptions().Options())
}

// Confined makes a chart whose sessions are stepped in the sandbox. Nothing of its
// code is even parsed here. A bad document is a *[Refusal] with the position.
func Confined(name string, document []byte, s Sandbox) (*Chart, error) {
	options := CompileOptions().Options()
	options.ReadOnly = true
	c, err := compile(name, document, options)
	if err == nil {
		c.sandbox, c.document = s, document
	}
	return c, err
}

func compile(name string, document []byte, o scxml.Options) (_ *Chart, err error) {
	defer func() {
		if p := recover(); p != nil { // of a parser that was not ready for this document
			err = InvalidChart(name, fmt.Errorf("it cannot be compiled: %v", p))
		}
	}()
	doc, err := scxml.Parse(name, document, scxml.Limits{})
	if err != nil {
		return nil, InvalidChart(name, err)
	}
	c, err := scxml.Compile(doc, o)
	if err != nil {
		return nil, InvalidChart(name, err)
	}
	return &Chart{Chart: c, Name: name, Digest: strings.TrimPrefix(c.Digest(), "sha256:"), record: &record{}}, nil
}

// InvalidChart is the refusal of a document, with the position that err tells.
func InvalidChart(name string, err error) *Refusal {
	r := refuse(fleetv1.Reason_REASON_CHART_INVALID, "chart %s: %v", name, err)
	if syntax, ok := errors.AsType[*scxml.SyntaxError](err); ok {
		r.Message = fmt.Sprintf("chart %s, line %d, column %d: %s", name, syntax.Line, syntax.Column, syntax.Message)
		r.Line, r.Column = syntax.Line, syntax.Column
	} else if broken, ok := errors.AsType[*sandbox.Broken](err); ok {
		at, _ := chartwork.Where(err)
		r.Message = fmt.Sprintf("chart %s: %s: this cannot be compiled and started within the limits of time and memory: %s", name, at, broken.Reason)
		r.Line, r.Column = at.Line, at.Column
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

// activity is what a state says of itself with cr:activity, or what is nearest
// around it.
func (c *Chart) activity(state string) fleetv1.Activity {
	for s := c.Document().State(state); s != nil; s = s.Parent {
		switch v, _ := s.Attribute(Namespace, "activity"); v {
		case "running":
			return fleetv1.Activity_ACTIVITY_RUNNING
		case "busy":
			return fleetv1.Activity_ACTIVITY_BUSY
		case "paused":
			return fleetv1.Activity_ACTIVITY_PAUSED
		case "idle":
			return fleetv1.Activity_ACTIVITY_IDLE
		}
	}
	return fleetv1.Activity_ACTIVITY_RUNNING
}

// String is for messages.
func (c *Chart) String() string { return fmt.Sprintf("%s (%.12s)", c.Name, c.Digest) }
