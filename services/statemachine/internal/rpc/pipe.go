// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/dispatch"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// pipeTime is how long the agent may take to open a pipe.
const pipeTime = 10 * time.Second

// Pipe joins the caller to the target of an instance, through its agent.
func (m machineServer) Pipe(stream statemachinev1.StatemachineService_PipeServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil || first.GetOpen() == nil {
		return status.Error(codes.InvalidArgument, "the first message does not open a pipe")
	}
	name, host, hosted := strings.Cut(first.GetOpen().GetInstanceId(), "@")
	if !hosted {
		return m.failure(ctx, "pipe", session.Invalid("%s is a chart by itself: it has no container to attach to", first.GetOpen().GetInstanceId()))
	}
	open := &agentv1.OpenPipe{Instance: name, Kind: agentv1.PipeKind_PIPE_KIND_LOGS, Follow: first.GetOpen().GetFollow(), Tail: first.GetOpen().GetTail()}
	if first.GetOpen().GetAttach() {
		open.Kind = agentv1.PipeKind_PIPE_KIND_ATTACH
	}
	pipe, err := m.c.Dispatcher.OpenPipe(host, open)
	if errors.Is(err, dispatch.ErrAway) {
		return m.failure(ctx, "pipe", away(host))
	}
	if err != nil {
		return m.failure(ctx, "pipe", err)
	}
	defer m.c.Dispatcher.ClosePipe(pipe)
	timeout := time.NewTimer(pipeTime)
	defer timeout.Stop()
	select {
	case agent := <-pipe.Agent:
		return bridge(ctx, first, stream, agent)
	case <-timeout.C:
		return m.failure(ctx, "pipe", away(host))
	case <-ctx.Done():
		return nil
	}
}

func away(host string) *session.Refusal {
	r := session.Unavailable("the agent of host %q is not connected", host)
	r.Reason = fleetv1.Reason_REASON_AGENT_AWAY
	return r
}

// bridge passes bytes both ways until the agent's side ends or the caller goes.
func bridge(ctx context.Context, first *statemachinev1.PipeRequest, caller statemachinev1.StatemachineService_PipeServer, agent agentv1.AgentService_PipeServer) error {
	if len(first.GetData()) > 0 || first.GetCloseInput() {
		if err := agent.Send(&agentv1.PipeResponse{Data: first.GetData(), CloseInput: first.GetCloseInput()}); err != nil {
			return status.Error(codes.Unavailable, "the agent's side of the pipe broke")
		}
	}
	// Both end with their streams: the caller's when this function returns,
	// the agent's when its pipe is closed right after.
	go func() {
		for {
			in, err := caller.Recv()
			if err != nil {
				_ = agent.Send(&agentv1.PipeResponse{CloseInput: true})
				return
			}
			if agent.Send(&agentv1.PipeResponse{Data: in.GetData(), CloseInput: in.GetCloseInput()}) != nil {
				return
			}
		}
	}()
	outcome := make(chan error, 1)
	go func() { outcome <- fromAgent(caller, agent) }()
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return nil
	}
}

func fromAgent(caller statemachinev1.StatemachineService_PipeServer, agent agentv1.AgentService_PipeServer) error {
	for {
		out, err := agent.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.Error(codes.Unavailable, "the agent's side of the pipe broke")
		}
		if out.GetError() != "" {
			// The agent's own words, or its engine's: they are for the caller.
			return status.Error(codes.FailedPrecondition, out.GetError())
		}
		if len(out.GetData()) == 0 {
			continue // the first message only names the pipe
		}
		if err := caller.Send(&statemachinev1.PipeResponse{Data: out.GetData(), Stderr: out.GetStderr()}); err != nil {
			return err
		}
	}
}
