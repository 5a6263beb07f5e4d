// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/chartroom/chartroom/internal/layout"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
	"github.com/chartroom/chartroom/services/gateway/internal/stream"
)

// drawer draws charts for the API.
type drawer struct {
	layouter *layout.Layouter
}

// Draw implements rpc.Drawer.
func (d *drawer) Draw(ctx context.Context, name, digest, document string) (*fleetv1.GetDrawingResponse, error) {
	drawing, err := d.draw(ctx, name, document)
	if err != nil {
		return nil, err
	}
	return toProto(drawing, digest), nil
}

func (d *drawer) draw(ctx context.Context, name, document string) (*layout.Drawing, error) {
	doc, err := scxml.Parse(name, []byte(document), scxml.Limits{})
	if syntax, ok := errors.AsType[*scxml.SyntaxError](err); ok {
		return nil, rpc.Refuse(codes.FailedPrecondition, fleetv1.Reason_REASON_CHART_INVALID, "%v", syntax)
	}
	if err != nil {
		return nil, fmt.Errorf("parse chart %s: %w", name, err)
	}
	return d.layouter.Draw(ctx, doc)
}

func toProto(d *layout.Drawing, digest string) *fleetv1.GetDrawingResponse {
	out := &fleetv1.GetDrawingResponse{Width: d.Width, Height: d.Height, Digest: digest}
	for _, n := range d.Nodes {
		out.Nodes = append(out.Nodes, &fleetv1.DrawingNode{
			Id: n.ID, Parent: n.Parent, Kind: string(n.Kind), Admit: n.Admit,
			X: n.X, Y: n.Y, Width: n.Width, Height: n.Height,
		})
	}
	for _, e := range d.Edges {
		edge := &fleetv1.DrawingEdge{
			Source: e.Source, Target: e.Target, Event: e.Event, Label: e.Label, LabelX: e.LabelX, LabelY: e.LabelY,
		}
		for _, p := range e.Points {
			edge.Points = append(edge.Points, &fleetv1.DrawingPoint{X: p.X, Y: p.Y})
		}
		out.Edges = append(out.Edges, edge)
	}
	return out
}

// picture serves /v1/charts/NAME.svg, with the active states of an instance
// lit when the query names one; then its own version of the chart is drawn.
func picture(fleet *rpc.Server, d *drawer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := render(r, fleet, d)
		if err != nil {
			stream.WriteError(w, fleet.Visible(r.Context(), "Picture", err))
			return
		}
		w.Header().Set("Content-Type", "image/svg+xml")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = w.Write(b)
	})
}

func render(r *http.Request, fleet *rpc.Server, d *drawer) ([]byte, error) {
	name := strings.TrimSuffix(path.Base(r.URL.Path), ".svg")
	digest := r.URL.Query().Get("digest")
	var active []string
	if id := r.URL.Query().Get("instance"); id != "" {
		resp, err := fleet.GetInstance(r.Context(), &fleetv1.GetInstanceRequest{InstanceId: id})
		if err != nil {
			return nil, err
		}
		v := resp.GetInstance()
		if v.GetChartName() != name {
			return nil, rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID,
				"instance %s runs chart %s, not %s", v.GetInstanceId(), v.GetChartName(), name)
		}
		digest = v.GetChartDigest()
		if !v.GetUnknown() { // what was last known is not lit
			active = v.GetConfiguration()
		}
	}
	resp, err := fleet.GetChart(r.Context(), &fleetv1.GetChartRequest{Name: name, Digest: digest})
	if err != nil {
		return nil, err
	}
	drawing, err := d.draw(r.Context(), name, resp.GetChart().GetDocument())
	if err != nil {
		return nil, err
	}
	return layout.SVG(drawing, active), nil
}

// metrics writes the gateway's numbers in the text format of Prometheus.
func metrics(m *readmodel.Model) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c := m.Counts()
		ready := 0
		if m.Ready() {
			ready = 1
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, g := range []struct {
			name, help string
			value      int
		}{
			{"chartroom_gateway_ready", "1 while the store is heard of.", ready},
			{"chartroom_gateway_instances", "Instances in the read model.", c.Instances},
			{"chartroom_gateway_hosts", "Hosts in the read model.", c.Hosts},
			{"chartroom_gateway_hosts_unknown", "Hosts not heard of for longer than the limit.", c.HostsUnknown},
		} {
			_, _ = fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", g.name, g.help, g.name, g.name, g.value)
		}
	}
}
