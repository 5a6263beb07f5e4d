// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
)

// GetChart implements FleetService.
func (s *Server) GetChart(ctx context.Context, r *fleetv1.GetChartRequest) (*fleetv1.GetChartResponse, error) {
	c, err := s.chart(ctx, r.GetName(), r.GetDigest())
	if err != nil {
		return nil, err
	}
	return &fleetv1.GetChartResponse{Chart: c}, nil
}

// chart reads a chart with its document.
func (s *Server) chart(ctx context.Context, name, digest string) (*fleetv1.Chart, error) {
	if name == "" && digest == "" {
		return nil, invalid("the chart's name is needed")
	}
	if name != "" {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	resp, err := s.store.GetChart(ctx, &snapshotv1.GetChartRequest{Name: name, Digest: digest})
	if status.Code(err) == codes.NotFound || err == nil && resp.GetChart() == nil {
		return nil, Refuse(codes.NotFound, fleetv1.Reason_REASON_CHART_UNKNOWN, "no such chart: %q", strings.Trim(name+" "+digest, " "))
	}
	if err != nil {
		return nil, err
	}
	return resp.GetChart(), nil
}

// place is where a text ends.
func place(text string) (line, column uint32) {
	return uint32(strings.Count(text, "\n")) + 1, uint32(len(text) - strings.LastIndexByte(text, '\n'))
}

// PushChart implements FleetService.
func (s *Server) PushChart(ctx context.Context, r *fleetv1.PushChartRequest) (*fleetv1.PushChartResponse, error) {
	if err := checkName(r.GetName()); err != nil {
		return nil, err
	}
	if n := len(r.GetDocument()); n > maxDocument {
		line, column := place(r.GetDocument()[:maxDocument])
		return nil, refusal(codes.ResourceExhausted, &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_TOO_LARGE, Line: line, Column: column},
			fmt.Sprintf("the document has %d bytes; the most, %d, ends in line %d, column %d", n, maxDocument, line, column))
	}
	if r.GetDocument() == "" {
		return nil, Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_CHART_INVALID, "the document is empty")
	}
	resp, err := write(ctx, s, func(ctx context.Context) (*statemachinev1.PushChartResponse, error) {
		return s.statemachine.PushChart(ctx, &statemachinev1.PushChartRequest{Request: r})
	})
	if err != nil {
		return nil, err
	}
	return resp.GetResponse(), nil
}

// GetDrawing implements FleetService.
func (s *Server) GetDrawing(
	ctx context.Context, r *fleetv1.GetDrawingRequest,
) (*fleetv1.GetDrawingResponse, error) {
	c, err := s.chart(ctx, r.GetName(), r.GetDigest())
	if err != nil {
		return nil, err
	}
	return s.drawer.Draw(ctx, c.GetName(), c.GetDigest(), c.GetDocument())
}
