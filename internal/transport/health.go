// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// healthTimeout is how long [Trouble] waits for an answer.
const healthTimeout = time.Second

// RegisterHealth registers grpc.health.v1 on srv; call it before serving. The
// whole server ("") is NOT_SERVING until SetServingStatus says otherwise. What it
// needs from others has a status under its own name ([SetNeed]).
func RegisterHealth(srv *grpc.Server) *health.Server {
	h := health.NewServer()
	h.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(srv, h)
	return h
}

// SetNeed says whether a server has something that it needs to serve, such as
// "redis". Set it before the status of the whole server, so that whoever sees that
// one finds the cause.
func SetNeed(h *health.Server, name string, met bool) {
	h.SetServingStatus(name, servingStatus(met))
}

func servingStatus(serving bool) healthv1.HealthCheckResponse_ServingStatus {
	if serving {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

// Trouble asks a server for its health and says why it does not serve, as what
// follows its name in a sentence. It is empty when the server serves, or does not tell.
// An answer is waited for a second.
func Trouble(ctx context.Context, conn grpc.ClientConnInterface) string {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable, codes.DeadlineExceeded:
		return "does not answer"
	default:
		return ""
	}
	if r.GetStatus() == healthv1.HealthCheckResponse_SERVING {
		return ""
	}
	return "does not serve" + ForWant(ctx, conn)
}

// ForWant names what a server lacks that does not serve: ", for want of redis". It is
// empty when the server does not tell.
func ForWant(ctx context.Context, conn grpc.ClientConnInterface) string {
	r, err := healthv1.NewHealthClient(conn).List(ctx, &healthv1.HealthListRequest{})
	if err != nil {
		return ""
	}
	var lacks []string
	for name, s := range r.GetStatuses() {
		if name != "" && s.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) == 0 {
		return ""
	}
	slices.Sort(lacks)
	return ", for want of " + strings.Join(lacks, " and ")
}
