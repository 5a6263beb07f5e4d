// SPDX-License-Identifier: AGPL-3.0-or-later

package owner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// DefaultChart is the chart of a container that names none.
const DefaultChart = "container"

// Charts gives compiled charts: the store's, each compiled once. It is safe for
// concurrent use.
type Charts struct {
	store   snapshotv1.SnapshotServiceClient
	sandbox session.Sandbox
	trusted []string
	// checking is held by the one check that runs: documents of strangers take
	// no more than one process of the sandbox from those that step instances.
	checking chan struct{}

	mu       sync.Mutex
	byDigest map[string]*session.Chart
	newest   map[string]*session.Chart // by name
}

// NewCharts makes a Charts. Charts that were pushed run in the sandbox, unless
// their name is trusted; without one all run here.
func NewCharts(store snapshotv1.SnapshotServiceClient, sandbox session.Sandbox, trusted []string) *Charts {
	return &Charts{store: store, sandbox: sandbox, trusted: trusted, checking: make(chan struct{}, 1), byDigest: map[string]*session.Chart{}, newest: map[string]*session.Chart{}}
}

// Install stores the charts that come with chartroom, so that an instance
// keeps its chart when a later version comes with another one.
func (c *Charts) Install(ctx context.Context) error {
	for _, name := range charts.Names() {
		document, err := charts.Document(name)
		if err != nil {
			return fmt.Errorf("install charts: %w", err)
		}
		chart, err := session.Compile(name, document)
		if err != nil {
			return fmt.Errorf("install charts: %w", err)
		}
		if _, err := c.store.PutChart(ctx, &snapshotv1.PutChartRequest{Chart: stored(chart, document, time.Time{})}); err != nil {
			return fmt.Errorf("install chart %s: %w", name, err)
		}
		c.know(chart)
	}
	return nil
}

// Digest gives the chart of a digest. The error of an unknown one is a
// *session.Refusal.
func (c *Charts) Digest(ctx context.Context, digest string) (*session.Chart, error) {
	c.mu.Lock()
	chart, ok := c.byDigest[digest]
	c.mu.Unlock()
	if ok {
		return chart, nil
	}
	return c.fetch(ctx, &snapshotv1.GetChartRequest{Digest: digest})
}

// Name gives the newest chart of a name; empty means [DefaultChart]. The error
// of an unknown one is a *session.Refusal.
func (c *Charts) Name(ctx context.Context, name string) (*session.Chart, error) {
	if name == "" {
		name = DefaultChart
	}
	c.mu.Lock()
	chart, ok := c.newest[name]
	c.mu.Unlock()
	if ok {
		return chart, nil
	}
	chart, err := c.fetch(ctx, &snapshotv1.GetChartRequest{Name: name})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if pushed, ok := c.newest[name]; ok {
		return pushed, nil // meanwhile
	}
	c.newest[name] = chart
	return chart, nil
}

// Push checks a document and stores it; created is false when it was there. A
// bad document is a *session.Refusal with the position, and so is one that cannot do
// what it says, unless it is forced.
func (c *Charts) Push(ctx context.Context, name string, document []byte, force bool) (info *fleetv1.Chart, created bool, err error) {
	chart, err := c.compile(ctx, name, document)
	if err == nil && !force && !ours(document) {
		err = c.lint(ctx, name, document)
	}
	if err != nil {
		return nil, false, err
	}
	info = stored(chart, document, time.Now())
	response, err := c.store.PutChart(ctx, &snapshotv1.PutChartRequest{Chart: info})
	if err != nil {
		return nil, false, fmt.Errorf("push chart %s: %w", name, err)
	}
	c.know(chart)
	if !response.GetCreated() {
		// What is newest of the name is the store's to say: the same document
		// may be an old one.
		c.mu.Lock()
		delete(c.newest, name)
		c.mu.Unlock()
	}
	info.Document = ""
	return info, response.GetCreated(), nil
}

// compile makes a chart of a document. One of a stranger goes to the sandbox first:
// reading its code can already take all time and memory. Unless it turns out to
// be bounded, its code is never parsed in this process.
func (c *Charts) compile(ctx context.Context, name string, document []byte) (*session.Chart, error) {
	if c.sandbox == nil || c.trusts(name) || ours(document) {
		return session.Compile(name, document)
	}
	var passed chartwork.CheckResponse
	err := c.try(ctx, chartwork.OpCheck, chartwork.CheckRequest{Name: name, Document: document, Options: session.CompileOptions()}, &passed)
	if _, wrong := errors.AsType[*sandbox.Failure](err); wrong {
		// What is wrong with it is told again, with the position.
		if _, refused := session.Confined(name, document, c.sandbox); refused != nil {
			return nil, refused
		}
		return nil, session.InvalidChart(name, err)
	}
	switch {
	case errors.Is(err, sandbox.ErrBroken):
		return nil, session.InvalidChart(name, err)
	case err != nil:
		return nil, fmt.Errorf("check chart %s: %w", name, err)
	case passed.Bounded:
		return session.Compile(name, document)
	}
	return session.Confined(name, document, c.sandbox)
}

// lint refuses a document that can be run and cannot do what it says, with the
// position of the first mistake. It is looked at where it would be run.
func (c *Charts) lint(ctx context.Context, name string, document []byte) error {
	look := c.try
	if c.sandbox == nil || c.trusts(name) {
		look = (&chartwork.Direct{}).Call
	}
	var found []lint.Finding
	err := look(ctx, chartwork.OpLint, chartwork.LintRequest{Name: name, Document: document}, &found)
	if broken, ok := errors.AsType[*sandbox.Broken](err); ok {
		return &session.Refusal{Reason: fleetv1.Reason_REASON_CHART_INVALID, Message: fmt.Sprintf("chart %s cannot be looked at within the limits of time and memory: %s", name, broken.Reason)}
	}
	if err != nil {
		return fmt.Errorf("lint chart %s: %w", name, err)
	}
	found = slices.DeleteFunc(found, func(f lint.Finding) bool { return !chartwork.Prevents(f) })
	if len(found) == 0 {
		return nil
	}
	refusal := session.InvalidChart(name, &scxml.SyntaxError{Name: name, Position: found[0].Position, Message: found[0].Message})
	if more := len(found) - 1; more > 0 {
		refusal.Message += fmt.Sprintf("; chartroom chart lint tells %d more", more)
	}
	return refusal
}

// try does an operation on the document of a stranger in the sandbox.
func (c *Charts) try(ctx context.Context, op string, in, out any) error {
	select {
	case c.checking <- struct{}{}:
		defer func() { <-c.checking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.sandbox.Call(ctx, op, in, out)
}

func (c *Charts) trusts(name string) bool {
	return slices.Contains(c.trusted, name) || slices.Contains(c.trusted, "*")
}

// ours says whether a document comes with chartroom.
func ours(document []byte) bool {
	return slices.ContainsFunc(charts.Names(), func(name string) bool {
		own, err := charts.Document(name)
		return err == nil && bytes.Equal(own, document)
	})
}

func (c *Charts) know(chart *session.Chart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byDigest[chart.Digest] = chart
	c.newest[chart.Name] = chart
}

func (c *Charts) fetch(ctx context.Context, r *snapshotv1.GetChartRequest) (*session.Chart, error) {
	response, err := c.store.GetChart(ctx, r)
	if status.Code(err) == codes.NotFound {
		return nil, &session.Refusal{Reason: fleetv1.Reason_REASON_CHART_UNKNOWN, Message: fmt.Sprintf("no chart %q", r.GetName()+r.GetDigest())}
	}
	if err != nil {
		return nil, fmt.Errorf("get chart %s%s: %w", r.GetName(), r.GetDigest(), err)
	}
	info := response.GetChart()
	chart, err := c.compile(ctx, info.GetName(), []byte(info.GetDocument()))
	if invalid, ok := errors.AsType[*session.Refusal](err); ok && c.sandbox != nil {
		// It was valid when it was pushed: what it costs depends on the computer.
		// Its sessions are in the store; whoever steps them is bounded.
		if chart, err = session.Confined(info.GetName(), []byte(info.GetDocument()), c.sandbox); err != nil {
			err = invalid
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stored chart: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byDigest[chart.Digest] = chart
	return chart, nil
}

func stored(chart *session.Chart, document []byte, at time.Time) *fleetv1.Chart {
	out := &fleetv1.Chart{Name: chart.Name, Digest: chart.Digest, States: uint32(len(chart.Document().States)), Document: string(document)}
	if !at.IsZero() {
		out.CreateTime = timestamppb.New(at)
	}
	return out
}
