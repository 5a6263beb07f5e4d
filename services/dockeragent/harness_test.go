// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/transport"
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// centre plays statemachine: it keeps what agents say and sends commands.
type centre struct {
	agentv1.UnimplementedAgentServiceServer
	t      *testing.T
	server *grpc.Server
	memory transport.Memory // where it serves

	mu      sync.Mutex
	changed chan struct{}
	journal string
	mark    uint64
	got     []*agentv1.Observation
	hello   *agentv1.Hello
	hellos  int
	beat    *agentv1.Heartbeat // the last
	blobs   map[string][]byte
	without int                           // how many times a body cannot be had
	out     chan *agentv1.ConnectResponse // of the present stream; nil when none
	cut     context.CancelFunc
	deaf    bool // does not acknowledge
	unheard []*agentv1.Observation
	relist  bool
	fence   *agentv1.Fence
	rows    map[string]*agentv1.Command // the outbox: sent again with every stream
	pipes   map[string]*pipeEnd
	number  int
}

type pipeEnd struct {
	input chan *agentv1.PipeResponse
	out   bytes.Buffer
	err   string
	done  chan struct{}
}

func newCentre(t *testing.T) *centre {
	t.Helper()
	c := &centre{
		t: t, server: grpc.NewServer(), memory: transport.NewMemory(), changed: make(chan struct{}), blobs: map[string][]byte{},
		fence: &agentv1.Fence{Epoch: 1, Nonce: "n"}, rows: map[string]*agentv1.Command{}, pipes: map[string]*pipeEnd{},
	}
	agentv1.RegisterAgentServiceServer(c.server, c)
	go func() { _ = c.server.Serve(c.memory) }()
	t.Cleanup(c.server.Stop)
	return c
}

// listen serves on loopback too, for agents that are processes of their own.
func (c *centre) listen() (address string) {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = c.server.Serve(l) }()
	return l.Addr().String()
}

func (c *centre) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *centre) Connect(s agentv1.AgentService_ConnectServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	out := make(chan *agentv1.ConnectResponse, 1024)
	c.mu.Lock()
	if c.cut != nil {
		c.cut()
	}
	c.hello, c.out, c.cut = first.GetHello(), out, cancel
	c.hellos++
	if c.journal != c.hello.GetJournalId() {
		c.journal, c.mark = c.hello.GetJournalId(), max(c.hello.GetFirstSequence(), 1)-1
	}
	out <- &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: &agentv1.Welcome{
		AcknowledgedSequence: c.mark, Fence: c.fence, Relist: c.relist,
	}}}
	c.relist = false
	for _, id := range slices.Sorted(maps.Keys(c.rows)) {
		out <- &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Command{Command: c.rows[id]}}
	}
	c.wake()
	c.mu.Unlock()
	go func() {
		defer cancel()
		for {
			m, err := s.Recv()
			if err != nil {
				return
			}
			if b := m.GetHeartbeat(); b != nil {
				c.mu.Lock()
				c.beat = b
				c.wake()
				c.mu.Unlock()
			}
			if b := m.GetBatch(); b != nil {
				if err := c.take(b, out); err != nil {
					c.t.Errorf("batch: %v", err)
					return
				}
			}
		}
	}()
	for {
		select {
		case m := <-out:
			if err := s.Send(m); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.New("cut")
		}
	}
}

func (c *centre) take(b *agentv1.Batch, out chan *agentv1.ConnectResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf {
		c.unheard = append(c.unheard, b.GetObservations()...)
		c.wake()
		return nil
	}
	for _, o := range b.GetObservations() {
		if o.GetSequence() <= c.mark {
			continue
		}
		if o.GetSequence() != c.mark+1 {
			return fmt.Errorf("observation %d after %d", o.GetSequence(), c.mark)
		}
		if s := o.GetSnapshot(); s != nil && len(s.GetInline()) == 0 && s.GetSizeBytes() > 0 && c.blobs[s.GetSha256()] == nil {
			return fmt.Errorf("observation %d names a body that was not stored", o.GetSequence())
		}
		if s := o.GetSnapshot(); len(s.GetInline()) > 0 {
			c.blobs[s.GetSha256()] = s.GetInline()
		}
		c.mark = o.GetSequence()
		c.got = append(c.got, o)
		if isOutcome(o.GetEvent()) {
			delete(c.rows, o.GetCommandId())
		}
	}
	out <- &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Acknowledgement{Acknowledgement: &agentv1.Acknowledgement{
		JournalId: b.GetJournalId(), Sequence: c.mark, Fence: c.fence,
	}}}
	c.wake()
	return nil
}

func isOutcome(event string) bool {
	return strings.HasPrefix(event, "done.command.") || strings.HasPrefix(event, "error.docker.") || strings.HasPrefix(event, "error.outcome_")
}

func (c *centre) PutBlob(s agentv1.AgentService_PutBlobServer) error {
	name, body := "", []byte{}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m.GetSha256() != "" {
			name = m.GetSha256()
		}
		body = append(body, m.GetChunk()...)
	}
	c.mu.Lock()
	c.blobs[name] = body
	c.mu.Unlock()
	return s.SendAndClose(&agentv1.PutBlobResponse{SizeBytes: uint64(len(body))})
}

func (c *centre) GetBlob(r *agentv1.GetBlobRequest, s agentv1.AgentService_GetBlobServer) error {
	c.mu.Lock()
	body, none := c.blobs[r.GetSha256()], c.without > 0
	c.without = max(c.without-1, 0)
	c.mu.Unlock()
	if none {
		return status.Error(codes.Unavailable, "the store does not answer")
	}
	for len(body) > 0 {
		n := min(len(body), 64<<10)
		if err := s.Send(&agentv1.GetBlobResponse{Chunk: body[:n]}); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// open asks the agent for a pipe to the instance web.
func (c *centre) open(name string, kind agentv1.PipeKind) *pipeEnd {
	p := &pipeEnd{input: make(chan *agentv1.PipeResponse, 4), done: make(chan struct{})}
	c.mu.Lock()
	c.pipes[name] = p
	c.mu.Unlock()
	c.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_OpenPipe{OpenPipe: &agentv1.OpenPipe{PipeId: name, Instance: "web", Kind: kind, Follow: true}}})
	return p
}

func (c *centre) Pipe(s agentv1.AgentService_PipeServer) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	c.mu.Lock()
	p := c.pipes[m.GetPipeId()]
	c.mu.Unlock()
	go func() {
		for r := range p.input {
			_ = s.Send(r)
		}
	}()
	defer close(p.done)
	for {
		m, err := s.Recv()
		if err != nil {
			return nil
		}
		c.mu.Lock()
		p.out.Write(m.GetData())
		if m.GetError() != "" {
			p.err = m.GetError()
		}
		c.wake()
		c.mu.Unlock()
	}
}

// until waits for a condition on what the centre knows; it is called with the lock held.
func (c *centre) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			var events []string
			for _, o := range c.got {
				events = append(events, fmt.Sprintf("%d %s %s %.300s", o.GetSequence(), o.GetInstance(), o.GetEvent(), o.GetDataJson()))
			}
			c.t.Fatalf("waited 30 s for: %s\n%s", what, strings.Join(events, "\n"))
		}
	}
}

// find waits for the n-th observation (from 1) of an event of an instance.
func (c *centre) find(instance, event string, n int) *agentv1.Observation {
	c.t.Helper()
	var found *agentv1.Observation
	c.until(fmt.Sprintf("%s %s number %d", instance, event, n), func() bool {
		k := 0
		for _, o := range c.got {
			if o.GetInstance() == instance && o.GetEvent() == event {
				if k++; k == n {
					found = o
					return true
				}
			}
		}
		return false
	})
	return found
}

func (c *centre) events(instance string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, o := range c.got {
		if o.GetInstance() == instance {
			out = append(out, o.GetEvent())
		}
	}
	return out
}

func (c *centre) send(m *agentv1.ConnectResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out != nil {
		c.out <- m
	}
}

// command sends one and returns its id.
func (c *centre) command(instance, container, verb string, arguments any, fill ...func(*agentv1.Command)) string {
	c.mu.Lock()
	c.number++
	b, _ := json.Marshal(arguments)
	m := &agentv1.Command{
		CommandId: fmt.Sprintf("%s@h/n/%d", instance, c.number), Fence: c.fence, Instance: instance, ContainerId: container, Verb: verb, ArgumentsJson: b,
	}
	for _, f := range fill {
		f(m)
	}
	c.rows[m.GetCommandId()] = m
	c.mu.Unlock()
	c.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Command{Command: m}})
	return m.GetCommandId()
}

// outcome waits for the outcome of a command.
func (c *centre) outcome(id string) *agentv1.Observation {
	c.t.Helper()
	var found *agentv1.Observation
	c.until("outcome of "+id, func() bool {
		for _, o := range c.got {
			if o.GetCommandId() == id && isOutcome(o.GetEvent()) {
				found = o
				return true
			}
		}
		return false
	})
	return found
}

func (c *centre) done(id string) *agentv1.Observation {
	c.t.Helper()
	o := c.outcome(id)
	if !strings.HasPrefix(o.GetEvent(), "done.") {
		c.t.Fatalf("%s: %s %s", id, o.GetEvent(), o.GetDataJson())
	}
	return o
}

func field(o *agentv1.Observation, name string) any {
	var m map[string]any
	_ = json.Unmarshal(o.GetDataJson(), &m)
	return m[name]
}

func runTime(startedAt string) *timestamppb.Timestamp {
	t, _ := time.Parse(time.RFC3339Nano, startedAt)
	return timestamppb.New(t)
}

// logger writes to the test's log while the test runs.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs an agent and returns how to stop it.
func start(t *testing.T, c *centre, state string, e engine.Engine, change ...func(*Config)) (stop func()) {
	t.Helper()
	conn, err := c.memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	conf := Config{State: state, HostID: "h", Statemachine: conn, Address: "none", Log: logger(t), engine: e}
	for _, f := range change {
		f(&conf)
	}
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("agent: %v", err)
			}
			_ = conn.Close()
		})
	}
	t.Cleanup(stop)
	return stop
}
