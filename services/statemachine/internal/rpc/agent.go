// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/dispatch"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

const (
	// seenEvery is how often it is committed that an agent lives.
	seenEvery = 3 * time.Second
	// silence is after how long without a word an agent is cut off.
	silence = 8 * time.Second
	// farewell bounds the telling of a worker that a stream ended.
	farewell = 5 * time.Second
	// maxBodyBytes bounds one application snapshot.
	maxBodyBytes = 64 << 20
	// maxBatch bounds the observations of one message.
	maxBatch = 256
)

type agentServer struct {
	agentv1.UnimplementedAgentServiceServer
	*Server
}

// Connect is the stream of one agent: hello, welcome, then observations one
// way and commands the other.
func (a agentServer) Connect(stream agentv1.AgentService_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return status.Error(codes.InvalidArgument, "the stream ended before hello")
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return a.failure(stream.Context(), "connect", err)
	}
	host := hello.GetHostId()
	if !a.c.Owner.Holds(session.ShardOf(host)) {
		return a.failure(stream.Context(), "connect", session.Unavailable("the shard of host %q is not owned here now", host))
	}
	conn := dispatch.NewConn(host, hello.GetJournalId())
	if !a.c.Dispatcher.Claim(conn) {
		return a.cloned(stream, hello)
	}
	defer func() {
		a.c.Dispatcher.Release(conn)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(stream.Context()), farewell)
		defer cancel()
		if err := a.c.Owner.Post(ctx, &session.HostLeft{Host: host, Conn: conn}); err != nil {
			a.c.Log.Warn("the end of an agent's stream is not noted", "host", host, "err", err)
		}
	}()
	if err := a.c.Owner.Post(stream.Context(), &session.HostJoined{Conn: conn, Hello: hello}); err != nil {
		return a.failure(stream.Context(), "connect", err)
	}
	// Ends with the stream, that is when this function returns; gRPC gives no
	// way to wait for it before.
	go a.receive(stream, conn, hello)
	return a.send(stream, conn)
}

func checkHello(hello *agentv1.Hello) error {
	switch {
	case hello == nil:
		return session.Invalid("the first message is not hello")
	case hello.GetJournalId() == "":
		return session.Invalid("hello without a journal id")
	}
	return session.CheckName(hello.GetHostId())
}

// cloned refuses a second live journal under one host id, and has it shown.
func (a agentServer) cloned(stream agentv1.AgentService_ConnectServer, hello *agentv1.Hello) error {
	host := hello.GetHostId()
	message := fmt.Sprintf("another agent is connected as host %q with another journal; give each computer its own --host-id and an empty --state directory", host)
	_ = a.c.Owner.Post(stream.Context(), &session.HostFinding{Host: host, Finding: &fleetv1.Finding{
		Code: "host.cloned", Severity: fleetv1.Severity_SEVERITY_ERROR,
		Message: fmt.Sprintf("A second agent (%s) tried to connect as this host.", hello.GetDisplayName()),
		Fix:     "dockeragent --host-id OTHER --state EMPTY_DIRECTORY",
	}})
	_ = stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Refusal{
		Refusal: &agentv1.Refusal{Reason: "HOST_ID_IN_USE", Message: message}}})
	return status.Error(codes.AlreadyExists, message)
}

// send sends what is queued for the agent until the stream has to end.
func (a agentServer) send(stream agentv1.AgentService_ConnectServer, conn *dispatch.Conn) error {
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case messages := <-conn.Out():
			for _, m := range messages {
				if err := stream.Send(m); err != nil {
					return err
				}
			}
		case <-conn.Closed():
			why, told := conn.Why()
			if told != nil {
				_ = stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Refusal{Refusal: told}})
			}
			a.c.Log.Info("agent's stream ended", "host", conn.Host(), "why", why)
			return status.Error(codes.Unavailable, why)
		case <-stream.Context().Done():
			a.c.Log.Info("agent's stream ended", "host", conn.Host(), "why", "the agent went away")
			return nil
		case <-alive.C:
			if conn.Silent() > silence {
				conn.Close("the agent is silent")
			}
		}
	}
}

// receive takes what the agent says until the stream ends.
func (a agentServer) receive(stream agentv1.AgentService_ConnectServer, conn *dispatch.Conn, hello *agentv1.Hello) {
	ctx := stream.Context()
	seen, reachable := time.Now(), hello.GetEngine() != nil
	for {
		m, err := stream.Recv()
		if err != nil {
			conn.Close("the agent went away")
			return
		}
		conn.Heard()
		now := time.Now()
		changed := false
		if beat := m.GetHeartbeat(); beat != nil {
			changed, reachable = beat.GetEngineReachable() != reachable, beat.GetEngineReachable()
		}
		if batch := m.GetBatch(); batch != nil {
			if err := a.observe(ctx, conn, hello, batch); err != nil {
				conn.Close(err.Error())
				return
			}
		}
		if changed || now.Sub(seen) >= seenEvery {
			seen = now
			if a.c.Owner.Post(ctx, &session.HostSeen{Host: conn.Host(), Conn: conn, EngineReachable: reachable}) != nil {
				return // closed by the refusal
			}
		}
	}
}

func (a agentServer) observe(ctx context.Context, conn *dispatch.Conn, hello *agentv1.Hello, batch *agentv1.Batch) error {
	if batch.GetJournalId() != hello.GetJournalId() {
		return fmt.Errorf("a batch of journal %q on the stream of %q", batch.GetJournalId(), hello.GetJournalId())
	}
	if len(batch.GetObservations()) > maxBatch {
		return fmt.Errorf("a batch of %d observations, at most %d", len(batch.GetObservations()), maxBatch)
	}
	for _, fact := range batch.GetObservations() {
		o := &session.Observation{Host: conn.Host(), Journal: batch.GetJournalId(), Conn: conn, Fact: fact}
		if fact.GetInstance() != "" {
			if err := a.resolve(ctx, o); err != nil {
				return err
			}
		}
		if err := a.c.Owner.Post(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the chart that a container asks for. When there is none of
// that name the default runs, and the row says so.
func (a agentServer) resolve(ctx context.Context, o *session.Observation) error {
	if strings.ContainsAny(o.Fact.GetInstance(), "@/") {
		return fmt.Errorf("instance name %q", o.Fact.GetInstance())
	}
	name := o.Fact.GetTarget().GetChart()
	chart, err := a.c.Charts.Name(ctx, name)
	if _, refused := errors.AsType[*session.Refusal](err); refused && name != "" {
		o.Missing = &fleetv1.Finding{
			Code: "chart.unknown", Severity: fleetv1.Severity_SEVERITY_ERROR,
			Message: fmt.Sprintf("The label chartroom.chart names %q, which is not stored; the chart of a container runs instead.", name),
			Fix:     "chartroom chart push FILE.scxml --name " + name,
		}
		chart, err = a.c.Charts.Name(ctx, "")
	}
	if err != nil {
		return fmt.Errorf("chart of %s: %w", o.Fact.GetInstance(), err)
	}
	o.Chart = chart
	return nil
}

// Pipe is the agent's side of a pipe.
func (a agentServer) Pipe(stream agentv1.AgentService_PipeServer) error {
	first, err := stream.Recv()
	if err != nil {
		return status.Error(codes.InvalidArgument, "the pipe ended before its name")
	}
	if !a.c.Dispatcher.ServePipe(stream.Context(), first.GetPipeId(), &begun{AgentService_PipeServer: stream, first: first}) {
		return status.Errorf(codes.NotFound, "nobody waits for pipe %q", first.GetPipeId())
	}
	return nil
}

// begun is a stream whose first message was read already; it is read again.
type begun struct {
	agentv1.AgentService_PipeServer
	first *agentv1.PipeRequest
}

// Recv gives the first message again, then the others.
func (b *begun) Recv() (*agentv1.PipeRequest, error) {
	if m := b.first; m != nil {
		b.first = nil
		return m, nil
	}
	return b.AgentService_PipeServer.Recv()
}

// PutBlob passes a body on to the store.
func (a agentServer) PutBlob(stream agentv1.AgentService_PutBlobServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	out, err := a.c.Snapshot.PutBlob(ctx)
	if err != nil {
		return a.failure(ctx, "put blob", err)
	}
	size := 0
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if size += len(m.GetChunk()); size > maxBodyBytes {
			return refusal(&session.Refusal{Reason: fleetv1.Reason_REASON_TOO_LARGE, Message: fmt.Sprintf("a body of more than %d bytes", maxBodyBytes)})
		}
		if err := out.Send(&snapshotv1.PutBlobRequest{Sha256: m.GetSha256(), Chunk: m.GetChunk()}); err != nil {
			break // CloseAndRecv tells why
		}
	}
	response, err := out.CloseAndRecv()
	if err != nil {
		return a.failure(ctx, "put blob", err)
	}
	return stream.SendAndClose(&agentv1.PutBlobResponse{SizeBytes: response.GetSizeBytes()})
}

// GetBlob passes a body on from the store.
func (a agentServer) GetBlob(r *agentv1.GetBlobRequest, stream agentv1.AgentService_GetBlobServer) error {
	in, err := a.c.Snapshot.GetBlob(stream.Context(), &snapshotv1.GetBlobRequest{Sha256: r.GetSha256()})
	if err != nil {
		return a.failure(stream.Context(), "get blob", err)
	}
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return a.failure(stream.Context(), "get blob", err)
		}
		if err := stream.Send(&agentv1.GetBlobResponse{Chunk: m.GetChunk()}); err != nil {
			return err
		}
	}
}
