// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	statemachinev1 "github.com/chartroom/chartroom/proto/gen/chartroom/statemachine/v1"
)

// Logs implements FleetService.
func (s *Server) Logs(r *fleetv1.LogsRequest, stream grpc.ServerStreamingServer[fleetv1.LogsResponse]) error {
	v, err := s.withContainer(r.GetInstanceId())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	pipe, err := s.openPipe(ctx, &statemachinev1.PipeOpen{
		InstanceId: v.GetInstanceId(), Follow: r.GetFollow(), Tail: r.GetTail(),
	})
	if err != nil {
		return err
	}
	if err := pipe.CloseSend(); err != nil {
		return err
	}
	return drain(pipe, func(p *statemachinev1.PipeResponse) error {
		return stream.Send(&fleetv1.LogsResponse{Data: p.GetData(), Stderr: p.GetStderr()})
	})
}

// Attach implements FleetService. It ends when the target's streams end; the
// end of the caller's input alone does not end it. What is observed only is refused:
// joining its streams can write to them, and end its input.
func (s *Server) Attach(stream grpc.BidiStreamingServer[fleetv1.AttachRequest, fleetv1.AttachResponse]) error {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return invalid("the first message names the instance")
	}
	if err != nil {
		return err
	}
	v, err := s.withContainer(first.GetInstanceId())
	if err == nil && !v.GetManaged() {
		err = refusal(codes.FailedPrecondition, &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_UNMANAGED},
			fmt.Sprintf("instance %q is observed only, and attach could write to it: read what it writes with logs", v.GetInstanceId()))
	}
	if err == nil && !mayRun(v) {
		err = stateRefuses(v, "instance %q does not run: there is nothing to attach to", v.GetInstanceId())
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	pipe, err := s.openPipe(ctx, &statemachinev1.PipeOpen{InstanceId: v.GetInstanceId(), Attach: true, Follow: true})
	if err != nil {
		return err
	}
	// The goroutine ends with the stream's context, which gRPC ends when this
	// method returns; it cannot be waited for, since Recv blocks until then.
	go func() {
		defer cancel()
		for r := first; ; {
			if len(r.GetData()) > 0 || r.GetCloseInput() {
				m := &statemachinev1.PipeRequest{Data: r.GetData(), CloseInput: r.GetCloseInput()}
				if pipe.Send(m) != nil {
					return // Recv of the pipe tells why
				}
			}
			next, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				_ = pipe.Send(&statemachinev1.PipeRequest{CloseInput: true})
				_ = pipe.CloseSend()
				<-ctx.Done()
				return
			}
			if err != nil {
				return
			}
			r = next
		}
	}()
	return drain(pipe, func(p *statemachinev1.PipeResponse) error {
		return stream.Send(&fleetv1.AttachResponse{Data: p.GetData(), Stderr: p.GetStderr()})
	})
}

// pipeClient is the stream to statemachine.
// withContainer finds an instance that has a container to reach the streams of.
func (s *Server) withContainer(id string) (*fleetv1.Instance, error) {
	v, err := s.instance(id)
	switch {
	case err != nil:
		return nil, err
	case v.GetTarget() == nil:
		return nil, invalid("%q is a chart by itself: it has no container", v.GetInstanceId())
	case v.GetTarget().GetContainerId() == "":
		return nil, stateRefuses(v, "instance %q has no container now", v.GetInstanceId())
	}
	return v, nil
}

// mayRun says whether the target may run; a chart that has other states than
// those of a container says nothing about it.
func mayRun(v *fleetv1.Instance) bool {
	return !slices.ContainsFunc(v.GetConfiguration(), func(state string) bool {
		return state == "created" || state == "stopped" || state == "destroyed"
	})
}

func stateRefuses(v *fleetv1.Instance, format string, args ...any) error {
	return refusal(codes.FailedPrecondition, &fleetv1.Refusal{
		Reason: fleetv1.Reason_REASON_STATE_REFUSES, Configuration: v.GetConfiguration(), AllowedIntents: v.GetAllowedIntents(),
	}, fmt.Sprintf(format, args...))
}

type pipeClient = grpc.BidiStreamingClient[statemachinev1.PipeRequest, statemachinev1.PipeResponse]

func (s *Server) openPipe(ctx context.Context, open *statemachinev1.PipeOpen) (pipeClient, error) {
	pipe, err := s.statemachine.Pipe(ctx)
	if err != nil {
		return nil, err
	}
	if err := pipe.Send(&statemachinev1.PipeRequest{Open: open}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return pipe, nil // of an EOF, the first Recv tells why
}

func drain(pipe pipeClient, send func(*statemachinev1.PipeResponse) error) error {
	for {
		p, err := pipe.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(p); err != nil {
			return err
		}
	}
}
