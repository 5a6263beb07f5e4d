// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
)

// echo answers an agent's open_pipe with what comes in, until the input ends.
func echo(ctx context.Context, c agentv1.AgentServiceClient, id string) error {
	pipe, err := c.Pipe(ctx)
	if err != nil {
		return err
	}
	if err := pipe.Send(&agentv1.PipeRequest{PipeId: id}); err != nil {
		return err
	}
	for {
		in, err := pipe.Recv()
		if err != nil {
			return err
		}
		if len(in.GetData()) > 0 {
			if err := pipe.Send(&agentv1.PipeRequest{Data: in.GetData(), Stderr: true}); err != nil {
				return err
			}
		}
		if in.GetCloseInput() {
			return pipe.CloseSend()
		}
	}
}

// TestPipe joins a caller to an agent through the service.
func TestPipe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	agents := agentv1.NewAgentServiceClient(r.link)
	open := func(instance string) (statemachinev1.StatemachineService_PipeClient, error) {
		pipe, err := r.api.Pipe(ctx)
		if err != nil {
			return nil, err
		}
		return pipe, pipe.Send(&statemachinev1.PipeRequest{Open: &statemachinev1.PipeOpen{InstanceId: instance, Attach: true}})
	}

	pipe, err := open("web@h1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Recv(); status.Code(err) != codes.Unavailable || reason(t, err).GetReason() != fleetv1.Reason_REASON_AGENT_AWAY {
		t.Errorf("without an agent: %v, want AGENT_AWAY", err)
	}

	stream, err := agents.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{HostId: "h1", JournalId: "j"}}}); err != nil {
		t.Fatal(err)
	}
	welcome, echoed := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				echoed <- err
				return
			}
			if m.GetWelcome() != nil {
				close(welcome)
			}
			if p := m.GetOpenPipe(); p != nil {
				echoed <- echo(ctx, agents, p.GetPipeId())
				return
			}
		}
	}()
	// What is stored says so sooner: the welcome goes out after its commit.
	select {
	case <-welcome:
	case err := <-echoed:
		t.Fatalf("the agent is not welcome: %v", err)
	}
	if pipe, err = open("web@h1"); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Send(&statemachinev1.PipeRequest{Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	out, err := pipe.Recv()
	if err != nil || string(out.GetData()) != "hello" || !out.GetStderr() {
		t.Errorf("got %v, %v; want the echo", out, err)
	}
	if err := pipe.Send(&statemachinev1.PipeRequest{CloseInput: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v, want EOF", err)
	}
	if err := <-echoed; err != nil {
		t.Errorf("agent: %v", err)
	}
}
