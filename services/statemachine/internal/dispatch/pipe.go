// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// ErrAway says that the agent of the host is not connected.
var ErrAway = errors.New("the agent is not connected")

// Pipe joins a caller to an agent's stream of bytes: whoever asked for it
// waits at Agent, the agent's call at Done.
type Pipe struct {
	// ID names the pipe.
	ID string
	// Agent gets the agent's side, once.
	Agent chan agentv1.AgentService_PipeServer
	// Done is closed by the caller's side when it is over.
	Done chan struct{}
}

// OpenPipe asks the agent of host for a pipe; open is what is wanted, without
// id. The caller must call ClosePipe. The error is [ErrAway].
func (d *Dispatcher) OpenPipe(host string, open *agentv1.OpenPipe) (*Pipe, error) {
	c := d.to(host)
	if c == nil {
		return nil, fmt.Errorf("open pipe on %s: %w", host, ErrAway)
	}
	p := &Pipe{ID: rand.Text(), Agent: make(chan agentv1.AgentService_PipeServer, 1), Done: make(chan struct{})}
	d.mu.Lock()
	d.pipes[p.ID] = p
	d.mu.Unlock()
	open.PipeId = p.ID
	if !c.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_OpenPipe{OpenPipe: open}}) {
		d.ClosePipe(p)
		return nil, fmt.Errorf("open pipe on %s: %w", host, ErrAway)
	}
	return p, nil
}

// ClosePipe ends a pipe: the agent's call returns.
func (d *Dispatcher) ClosePipe(p *Pipe) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pipes, p.ID)
	select {
	case <-p.Done:
	default:
		close(p.Done)
	}
}

// ServePipe gives the agent's stream to whoever asked for the pipe, and waits
// until that side is over. It reports false when nobody asked.
func (d *Dispatcher) ServePipe(ctx context.Context, id string, stream agentv1.AgentService_PipeServer) bool {
	d.mu.Lock()
	p, ok := d.pipes[id]
	delete(d.pipes, id) // a pipe is served once
	d.mu.Unlock()
	if !ok {
		return false
	}
	p.Agent <- stream // has room for the one
	select {
	case <-p.Done:
	case <-ctx.Done():
	}
	return true
}
