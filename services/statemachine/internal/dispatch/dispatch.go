// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dispatch lets out what a written group allows: commands and
// acknowledgements to the agents that are connected, answers to callers, and
// events to other instances.
//
// Everything may be dispatched twice and acts once: an agent knows a command
// by its id, a receiver an event by its number, a caller its request. What
// cannot be sent now (the agent is away, an inbox is full) is not kept here:
// the outbox is in the store and goes out again when the agent is back, or
// after a while.
//
// A [Dispatcher] is safe for concurrent use; it starts no goroutine and never
// blocks. Effects of one shard go out in order, because one worker dispatches
// them.
package dispatch

import (
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// dead is after how much silence a stream no longer counts as live.
const dead = 8 * time.Second

// Dispatcher joins workers and agents. Make one with [New].
type Dispatcher struct {
	post func(session.Input) bool
	log  *slog.Logger

	mu sync.Mutex
	// claimed are the streams that hold a host id, joined those that were
	// welcomed and take commands.
	claimed, joined map[string]*Conn
	pipes           map[string]*Pipe
}

// New makes a Dispatcher. post gives an input to the worker that owns its
// shard and reports whether there was room.
func New(post func(session.Input) bool, log *slog.Logger) *Dispatcher {
	return &Dispatcher{post: post, log: log, claimed: map[string]*Conn{}, joined: map[string]*Conn{}, pipes: map[string]*Pipe{}}
}

// Claim takes the host id for c. It refuses while another journal is live
// under it: then a computer was cloned, and both would act. The same journal
// again is the agent that came back before its old stream was missed.
func (d *Dispatcher) Claim(c *Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.claimed[c.host]
	if ok && old.journal != c.journal && old.Silent() < dead {
		return false
	}
	if ok {
		old.Close("the agent opened another stream")
		delete(d.joined, c.host)
	}
	d.claimed[c.host] = c
	return true
}

// Release gives the host id up, if c still has it.
func (d *Dispatcher) Release(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claimed[c.host] == c {
		delete(d.claimed, c.host)
	}
	if d.joined[c.host] == c {
		delete(d.joined, c.host)
	}
}

// Connected lists the hosts whose agents were welcomed.
func (d *Dispatcher) Connected() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	hosts := make([]string, 0, len(d.joined))
	for host := range d.joined {
		hosts = append(hosts, host)
	}
	return hosts
}

// CloseAll ends all streams.
func (d *Dispatcher) CloseAll(why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.claimed {
		c.Close(why)
	}
}

// Dispatch implements session.Dispatcher.
func (d *Dispatcher) Dispatch(_ uint32, fence session.Fence, effects []session.Effect) {
	shown := &agentv1.Fence{Epoch: fence.Epoch, Nonce: fence.Nonce, CommitSequence: fence.Group}
	for _, e := range effects {
		switch e := e.(type) {
		case *session.Answer:
			e.Reply(e.Response, e.Err)
		case *session.Acknowledge:
			if c, ok := e.Conn.(*Conn); ok {
				c.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Acknowledgement{
					Acknowledgement: &agentv1.Acknowledgement{JournalId: e.Journal, Sequence: e.Sequence, Fence: shown}}})
			}
		case *session.Command:
			if c := d.to(e.Host); c != nil {
				c.send(order(e.Command, shown))
			}
		case *session.Welcome:
			d.welcome(e, shown)
		case *session.Post:
			if !d.post(e.Input) {
				d.log.Warn("inbox is full; an event for an instance goes again later")
			}
		}
	}
}

// to is the stream that takes commands for a host; nil while there is none.
func (d *Dispatcher) to(host string) *Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.joined[host]
}

func (d *Dispatcher) welcome(e *session.Welcome, fence *agentv1.Fence) {
	c, ok := e.Conn.(*Conn)
	if !ok {
		return
	}
	d.mu.Lock()
	current := d.claimed[c.host] == c
	if current {
		d.joined[c.host] = c
	}
	d.mu.Unlock()
	if !current {
		return // it ended meanwhile
	}
	e.Message.Fence = fence
	all := []*agentv1.ConnectResponse{{Message: &agentv1.ConnectResponse_Welcome{Welcome: e.Message}}}
	for _, command := range e.Commands {
		all = append(all, order(command, fence))
	}
	c.send(all...)
	d.log.Info("agent connected", "host", c.host, "commands", len(e.Commands), "relist", e.Message.GetRelist())
}

// order is a command under the fence of the commit that lets it out. The row
// in the outbox stays as it is.
func order(c *agentv1.Command, fence *agentv1.Fence) *agentv1.ConnectResponse {
	out := proto.CloneOf(c)
	out.Fence = fence
	return &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Command{Command: out}}
}
