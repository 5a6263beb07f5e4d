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

	mu       sync.Mutex
	byDigest map[string]*session.Chart
	newest   map[string]*session.Chart // by name
}

// NewCharts makes a Charts. Charts that were pushed run in the sandbox, unless
// their name is trusted; without one all run here.
func NewCharts(store snapshotv1.SnapshotServiceClient, sandbox session.Sandbox, trusted []string) *Charts {
	return &Charts{store: store, sandbox: sandbox, trusted: trusted, byDigest: map[string]*session.Chart{}, newest: map[string]*session.Chart{}}
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
// bad document is a *session.Refusal with the position.
func (c *Charts) Push(ctx context.Context, name string, document []byte) (info *fleetv1.Chart, created bool, err error) {
	chart, err := c.checked(ctx, name, document)
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

// checked compiles a document of a stranger: first where it can do no harm, because
// reading a script can already take all memory.
func (c *Charts) checked(ctx context.Context, name string, document []byte) (*session.Chart, error) {
	if c.sandbox != nil && !c.trusts(name) {
		err := c.sandbox.Call(ctx, chartwork.OpCheck, chartwork.LintRequest{Name: name, Document: document}, nil)
		if errors.Is(err, sandbox.ErrBroken) {
			return nil, &session.Refusal{Reason: fleetv1.Reason_REASON_CHART_INVALID, Message: fmt.Sprintf("chart %s cannot be compiled: %v", name, err)}
		}
		// What is wrong with the document is told below, with the position.
		if _, wrong := errors.AsType[*sandbox.Failure](err); err != nil && !wrong {
			return nil, fmt.Errorf("check chart %s: %w", name, err)
		}
	}
	chart, err := session.Compile(name, document)
	if err != nil {
		return nil, err
	}
	c.confine(chart, document)
	return chart, nil
}

func (c *Charts) trusts(name string) bool {
	return slices.Contains(c.trusted, name) || slices.Contains(c.trusted, "*")
}

// confine lets a chart run in the sandbox, unless it is trusted or ours.
func (c *Charts) confine(chart *session.Chart, document []byte) {
	if c.trusts(chart.Name) {
		return
	}
	for _, name := range charts.Names() {
		if own, err := charts.Document(name); err == nil && bytes.Equal(own, document) {
			return
		}
	}
	chart.Confine(c.sandbox, document)
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
	chart, err := session.Compile(info.GetName(), []byte(info.GetDocument()))
	if err != nil {
		return nil, fmt.Errorf("stored chart: %w", err)
	}
	c.confine(chart, []byte(info.GetDocument()))
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
