// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rpc is the agent's end of the wire: the one Connect stream, pipes and
// bodies. It converts between the messages of the protocol and the agent's own types,
// which no other package of the agent does.
//
// [Client.Run] keeps a stream open: hello, welcome, then the journal from where the
// server has it, and commands the other way. A stream that breaks is opened again with
// back-off and jitter; nothing is lost by that, since observations stay in the
// journal until they are acknowledged. One goroutine sends, one receives; pipes
// have one each. At most [window] observations are sent and not acknowledged.
package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
	// window bounds what is sent and not acknowledged.
	window        = 4096
	heartbeatTime = 2 * time.Second
	// lookTime is how often it is looked whether the engine answers.
	lookTime    = 100 * time.Millisecond
	welcomeTime = 10 * time.Second
	chunkBytes  = 64 << 10
	blobTime    = time.Minute
	maxPipes    = 64
)

// Hello says who the agent is and what it has.
type Hello struct {
	HostID, DisplayName, Version, Platform string
	// EngineID is empty while the engine is not reachable; then Inventory is not complete.
	EngineID, EngineVersion, EngineAPI string
	// Inventory is container ids with instance names.
	Inventory map[string]string
	// Findings are about the host.
	Findings []label.Finding
}

// Command is something to do.
type Command struct {
	ID, Instance, ContainerID, Verb string
	// Arguments is a JSON object.
	Arguments json.RawMessage
	// Run is the start of the run that it is for; zero when any will do.
	Run time.Time
	// Snapshot is for start and restore; nil for a clean start.
	Snapshot *journal.Snapshot
	// Sequence, After, Name and Data are for deliver.
	Sequence, After uint64
	Name            string
	Data            json.RawMessage
	// Traceparent is W3C's; may be empty.
	Traceparent string
}

// Pipe is a request for bytes of a container.
type Pipe struct {
	ID, Instance   string
	Attach, Follow bool
	Tail           uint32
}

// Handler is the agent as the client sees it. Its methods must not block, save Pipe and Hello.
type Handler interface {
	// Hello is called for every stream.
	Hello(ctx context.Context) Hello
	// Command takes a command whose fence was accepted.
	Command(Command)
	// Relist is called when the server has lost what it was told: tell everything again, then host.relisted.
	Relist()
	// Pipe serves a pipe until it ends. in is what the server writes.
	Pipe(ctx context.Context, p Pipe, in io.Reader, stdout, stderr io.Writer) error
	// Body opens the body of a snapshot that was not inline; the error means that it is gone.
	Body(sha256 string) ([]byte, error)
	// Acknowledged is called when observations up to seq are safe.
	Acknowledged(seq uint64)
	// EngineID is that of the engine while it answers, else empty. Whether one does is
	// said in heartbeats; another than hello said begins a new stream.
	EngineID() string
}

// Client keeps the agent connected.
type Client struct {
	api     agentv1.AgentServiceClient
	journal *journal.Journal
	handler Handler
	log     *slog.Logger

	pipes chan struct{}

	mu        sync.Mutex
	connected bool
	acked     chan struct{} // closed and replaced when an acknowledgement arrives
}

// New makes a client of a connection to statemachine.
func New(conn grpc.ClientConnInterface, j *journal.Journal, h Handler, log *slog.Logger) *Client {
	return &Client{
		api: agentv1.NewAgentServiceClient(conn), journal: j, handler: h, log: log,
		pipes: make(chan struct{}, maxPipes), acked: make(chan struct{}),
	}
}

// Connected reports whether a stream is welcomed. Safe for concurrent use.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// Run keeps a stream open until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	delay := time.Duration(0)
	for ctx.Err() == nil {
		welcomed, err := c.stream(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("not connected to statemachine", "err", transport.Advised(err))
		if welcomed {
			delay = 0
		}
		delay = min(max(2*delay, 50*time.Millisecond), 2*time.Second)
		select {
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		case <-ctx.Done():
		}
	}
	return nil
}

// Refused is returned when the server ends a stream with a reason.
type Refused struct{ Reason, Message, Address string }

// Error implements error.
func (r *Refused) Error() string { return fmt.Sprintf("refused (%s): %s", r.Reason, r.Message) }

func (c *Client) stream(ctx context.Context) (welcomed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	s, err := c.api.Connect(ctx)
	if err != nil {
		return false, err
	}
	id := c.journal.ID()
	hello := c.hello(ctx, id)
	if err := s.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return false, c.reason(s)
	}
	guard := time.AfterFunc(welcomeTime, cancel)
	first, err := s.Recv()
	if !guard.Stop() && err == nil {
		err = errors.New("no welcome in time")
	}
	if err != nil {
		return false, fmt.Errorf("hello: %w", err)
	}
	if r := first.GetRefusal(); r != nil {
		return false, refused(r)
	}
	w := first.GetWelcome()
	if w == nil {
		return false, errors.New("the first message is not welcome")
	}
	if !c.fence(w.GetFence(), true) {
		return false, fmt.Errorf("the server's fence %v is below %+v, which was accepted before", w.GetFence(), c.journal.Fence())
	}
	held, last := c.journal.Range()
	if w.GetAcknowledgedSequence() > max(last, c.journal.Acked()) {
		// Numbers would be used twice: this journal has lost what it had said.
		return false, errors.Join(errors.New("the journal is behind the server"), c.journal.Reset("the journal was behind the server"))
	}
	if w.GetRelist() || held > w.GetAcknowledgedSequence()+1 {
		c.handler.Relist()
	}
	c.setConnected(true)
	defer c.setConnected(false)
	c.log.Info("connected to statemachine", "journal", id, "acknowledged", w.GetAcknowledgedSequence(), "last", last)
	c.acknowledge(w.GetAcknowledgedSequence())
	failed := make(chan error, 1)
	wg.Go(func() {
		failed <- c.send(ctx, s, id, w.GetAcknowledgedSequence()+1, hello.GetEngine().GetEngineId())
		cancel()
	})
	err = c.receive(ctx, s, id, &wg)
	cancel()
	return true, errors.Join(err, <-failed)
}

// reason prefers what the server said to the failure of a send.
func (c *Client) reason(s agentv1.AgentService_ConnectClient) error {
	for {
		m, rerr := s.Recv()
		if rerr != nil {
			return rerr
		}
		if r := m.GetRefusal(); r != nil {
			return refused(r)
		}
	}
}

func refused(r *agentv1.Refusal) error {
	return &Refused{Reason: r.GetReason(), Message: r.GetMessage(), Address: r.GetAddress()}
}

func (c *Client) setConnected(v bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = v
}

// fence accepts a fence that is not below the highest one seen (law 5).
func (c *Client) fence(f *agentv1.Fence, welcome bool) bool {
	if f.GetEpoch() == 0 {
		return welcome // Nothing is owned yet, and nothing commanded.
	}
	have := c.journal.Fence()
	if f.GetEpoch() < have.Epoch || f.GetEpoch() == have.Epoch && f.GetNonce() != have.Nonce {
		return false
	}
	next := journal.Fence{Epoch: f.GetEpoch(), Nonce: f.GetNonce(), Commit: f.GetCommitSequence()}
	if next.Epoch == have.Epoch && !welcome {
		next.Commit = max(next.Commit, have.Commit)
	}
	if err := c.journal.SetFence(next); err != nil {
		c.log.Error("fence cannot be stored", "err", err)
		return false
	}
	return true
}

// receive takes what the server says until the stream ends.
func (c *Client) receive(ctx context.Context, s agentv1.AgentService_ConnectClient, id string, wg *sync.WaitGroup) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *agentv1.ConnectResponse_Acknowledgement:
			a := m.Acknowledgement
			if a.GetJournalId() != id {
				continue
			}
			c.fence(a.GetFence(), false)
			c.acknowledge(a.GetSequence())
		case *agentv1.ConnectResponse_Command:
			if !c.fence(m.Command.GetFence(), false) {
				c.log.Warn("command of a stale owner refused", "instance", m.Command.GetInstance(), "event", m.Command.GetVerb(), "fence", m.Command.GetFence().String())
				continue
			}
			c.handler.Command(command(m.Command))
		case *agentv1.ConnectResponse_OpenPipe:
			p := m.OpenPipe
			wg.Go(func() { c.pipe(ctx, p) })
		case *agentv1.ConnectResponse_Refusal:
			return refused(m.Refusal)
		}
	}
}

func (c *Client) acknowledge(seq uint64) {
	if err := c.journal.Ack(seq); err != nil {
		c.log.Error("acknowledgement cannot be stored", "err", err)
	}
	c.handler.Acknowledged(seq)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.acked)
	c.acked = make(chan struct{})
}

// send sends the journal from a sequence on, and heartbeats between. When the
// hello told of no engine and there is one now, it ends the stream: the next
// hello tells which engine it is and what it has.
func (c *Client) send(ctx context.Context, s agentv1.AgentService_ConnectClient, id string, next uint64, engine string) error {
	look := time.NewTicker(lookTime)
	defer look.Stop()
	reachable, said := engine != "", time.Now()
	for {
		changed := c.journal.Changed()
		c.mu.Lock()
		acked := c.acked
		c.mu.Unlock()
		if c.journal.ID() != id {
			return errors.New("the journal began anew")
		}
		var list []journal.Observation
		if next <= c.journal.Acked()+window {
			var err error
			if list, err = c.journal.Read(next, maxBatch); err != nil {
				return err
			}
			acked = nil
		}
		if len(list) > 0 {
			batch, sent, err := c.batch(ctx, id, list)
			if err != nil {
				return err
			}
			if err := s.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Batch{Batch: batch}}); err != nil {
				return err
			}
			next = sent + 1
			continue
		}
		select {
		case <-changed:
		case <-acked:
		case <-look.C:
			answers := c.handler.EngineID()
			if answers != "" && answers != engine {
				return errors.New("an engine answers now that the hello did not know")
			}
			if reachable == (answers != "") && time.Since(said) < heartbeatTime {
				continue
			}
			reachable, said = answers != "", time.Now()
			h := &agentv1.Heartbeat{EngineReachable: reachable}
			if err := s.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Heartbeat{Heartbeat: h}}); err != nil {
				return err
			}
		case <-ctx.Done():
			_ = s.CloseSend()
			return ctx.Err()
		}
	}
}

// batch converts observations, and stores the bodies that they name before.
func (c *Client) batch(ctx context.Context, id string, list []journal.Observation) (*agentv1.Batch, uint64, error) {
	b := &agentv1.Batch{JournalId: id}
	size, last := 0, uint64(0)
	for i := range list {
		o := &list[i]
		size += len(o.Data) + 512
		if o.Snapshot != nil {
			size += len(o.Snapshot.Inline)
		}
		if len(b.Observations) > 0 && size > maxBatchBytes {
			break
		}
		if o.Snapshot != nil && o.Snapshot.Inline == nil && o.Snapshot.Size > 0 {
			if err := c.putBlob(ctx, o.Snapshot.SHA256); err != nil {
				code := "snapshot.too-large"
				switch {
				case errors.Is(err, errGone):
					code = "snapshot.gone"
				case !tooLarge(err):
					return nil, 0, err
				}
				// Said instead of kept from the chart: it waits for this snapshot. And
				// one body that is never taken must not hold up the whole host.
				c.log.Error("snapshot lost before it was stored", "instance", o.Instance, "err", err)
				run := o.Snapshot.Run
				o.Event, o.Snapshot = "app.refused", nil
				o.Data, _ = json.Marshal(map[string]string{"run": run, "code": code, "message": "its snapshot cannot be stored: " + err.Error()})
			}
		}
		b.Observations = append(b.Observations, observation(o))
		last = o.Sequence
	}
	return b, last, nil
}

var errGone = errors.New("its body is gone from the agent's disk")

// tooLarge reports whether the server will never take a body.
func tooLarge(err error) bool {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			return r.GetReason() == fleetv1.Reason_REASON_TOO_LARGE
		}
	}
	return status.Code(err) == codes.InvalidArgument
}

// putBlob stores a body from the agent's disk.
func (c *Client) putBlob(ctx context.Context, sha string) error {
	body, err := c.handler.Body(sha)
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	ctx, cancel := context.WithTimeout(ctx, blobTime)
	defer cancel()
	s, err := c.api.PutBlob(ctx)
	if err != nil {
		return fmt.Errorf("put blob %s: %w", sha, err)
	}
	name := sha
	for chunk := range chunks(body) {
		if err := s.Send(&agentv1.PutBlobRequest{Sha256: name, Chunk: chunk}); err != nil {
			break // CloseAndRecv tells why.
		}
		name = ""
	}
	if _, err := s.CloseAndRecv(); err != nil {
		return fmt.Errorf("put blob %s: %w", sha, err)
	}
	return nil
}

func chunks(body []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(body) > 0 {
			n := min(len(body), chunkBytes)
			if !yield(body[:n]) {
				return
			}
			body = body[n:]
		}
	}
}

// Blob reads a body that a command names, and checks it.
func (c *Client) Blob(ctx context.Context, sha string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, blobTime)
	defer cancel()
	s, err := c.api.GetBlob(ctx, &agentv1.GetBlobRequest{Sha256: sha})
	if err != nil {
		return nil, fmt.Errorf("get blob %s: %w", sha, err)
	}
	var b bytes.Buffer
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("get blob %s: %w", sha, err)
		}
		b.Write(m.GetChunk())
	}
	if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != sha {
		return nil, fmt.Errorf("get blob %s: the body has another digest", sha)
	}
	return b.Bytes(), nil
}
