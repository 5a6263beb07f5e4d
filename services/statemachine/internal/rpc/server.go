// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rpc serves what agents and the gateway call: AgentService and
// StatemachineService. It converts requests to inputs of workers and their
// answers back, and is the only place that maps errors to codes.
//
// A [Server] is safe for concurrent use. Nothing here decides anything about
// an instance: a call waits until the worker's commit has answered.
package rpc

import (
	"log/slog"

	"google.golang.org/grpc"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/dispatch"
	"github.com/chartroom/chartroom/services/statemachine/internal/owner"
)

// Config is what a Server needs; every field is required.
type Config struct {
	Owner      *owner.Owner
	Charts     *owner.Charts
	Dispatcher *dispatch.Dispatcher
	Snapshot   snapshotv1.SnapshotServiceClient
	Log        *slog.Logger
}

// Server implements both services. Make one with [New].
type Server struct {
	c Config
}

// New makes a Server.
func New(c Config) *Server { return &Server{c: c} }

// Register registers the services on srv.
func (s *Server) Register(srv grpc.ServiceRegistrar) {
	agentv1.RegisterAgentServiceServer(srv, agentServer{Server: s})
	statemachinev1.RegisterStatemachineServiceServer(srv, machineServer{Server: s})
}
