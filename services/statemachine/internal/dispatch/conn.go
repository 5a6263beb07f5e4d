// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// outgoing is how many messages wait for one agent at most, where all that it is
// welcomed with counts as one: else an agent that has more to do than that could
// never come. One that does not keep up is cut off; it comes back and is sent what
// is still to do.
const outgoing = 4096

// Conn is the stream of one agent. It is safe for concurrent use.
type Conn struct {
	host    string
	journal string
	// out has many senders (under mu) and one receiver, the stream's; it is
	// never closed.
	out    chan []*agentv1.ConnectResponse
	closed chan struct{} // closed once, by Close
	heard  atomic.Int64  // when the agent was last heard of, Unix ns

	mu      sync.Mutex
	why     string
	refusal *agentv1.Refusal
	ended   bool
}

// NewConn makes the stream of the agent of host, heard of now.
func NewConn(host, journal string) *Conn {
	c := &Conn{host: host, journal: journal, out: make(chan []*agentv1.ConnectResponse, outgoing), closed: make(chan struct{})}
	c.Heard()
	return c
}

// Host is the host's id.
func (c *Conn) Host() string { return c.host }

// Heard notes that the agent said something.
func (c *Conn) Heard() { c.heard.Store(time.Now().UnixNano()) }

// Silent is for how long the agent has said nothing.
func (c *Conn) Silent() time.Duration { return time.Since(time.Unix(0, c.heard.Load())) }

// Out is what to send, in order.
func (c *Conn) Out() <-chan []*agentv1.ConnectResponse { return c.out }

// Closed is closed when the stream has to end.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Close ends the stream; the first reason holds. It does not wait.
func (c *Conn) Close(why string) { c.end(why, nil) }

// Refuse ends the stream and tells the agent a stable reason.
func (c *Conn) Refuse(r *agentv1.Refusal) { c.end(r.GetMessage(), r) }

func (c *Conn) end(why string, r *agentv1.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended, c.why, c.refusal = true, why, r
	close(c.closed)
}

// Why is the reason of Close, and what to tell the agent, which may be nil.
func (c *Conn) Why() (string, *agentv1.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why, c.refusal
}

// send queues messages; an agent that does not keep up is cut off.
func (c *Conn) send(m ...*agentv1.ConnectResponse) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	select {
	case c.out <- m:
		return true
	default:
		c.ended, c.why = true, "the agent does not keep up"
		close(c.closed)
		return false
	}
}
