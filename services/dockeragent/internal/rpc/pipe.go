// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// pipe serves one pipe until either side closes. With 64 open, another is refused.
func (c *Client) pipe(ctx context.Context, open *agentv1.OpenPipe) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.api.Pipe(ctx)
	if err != nil {
		c.log.Warn("pipe cannot be opened", "instance", open.GetInstance(), "err", err)
		return
	}
	if err := s.Send(&agentv1.PipeRequest{PipeId: open.GetPipeId()}); err != nil {
		return
	}
	select {
	case c.pipes <- struct{}{}:
		defer func() { <-c.pipes }()
	default:
		_ = s.Send(&agentv1.PipeRequest{Error: "too many pipes are open on this host"})
		over := make(chan struct{})
		go func() {
			defer close(over)
			for { // ends with the server's side, or with ctx
				if _, err := s.Recv(); err != nil {
					return
				}
			}
		}()
		part(s, over)
		return
	}
	in, input := io.Pipe()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	over := make(chan struct{})
	gone, hangUp := context.WithCancel(ctx)
	wg.Go(func() {
		defer close(over)
		defer hangUp()
		for {
			m, err := s.Recv()
			if err != nil {
				_ = input.CloseWithError(io.EOF)
				return
			}
			if _, err := input.Write(m.GetData()); err != nil && len(m.GetData()) > 0 {
				// Nobody reads input (logs): what comes is dropped, the pipe stays.
				continue
			}
			if m.GetCloseInput() {
				_ = input.Close()
			}
		}
	})
	var mu sync.Mutex
	err = c.handler.Pipe(gone, Pipe{
		ID: open.GetPipeId(), Instance: open.GetInstance(), Attach: open.GetKind() == agentv1.PipeKind_PIPE_KIND_ATTACH,
		Follow: open.GetFollow(), Tail: open.GetTail(),
	}, in, &pipeWriter{s: s, mu: &mu}, &pipeWriter{s: s, mu: &mu, stderr: true})
	_ = in.Close()
	if err != nil && !errors.Is(err, context.Canceled) {
		mu.Lock()
		_ = s.Send(&agentv1.PipeRequest{Error: err.Error()})
		mu.Unlock()
	}
	part(s, over)
}

// pipeFarewell bounds how long the server may take to read the rest of a pipe.
const pipeFarewell = 5 * time.Second

// part ends the agent's side of a pipe and waits until the server's is over: what is
// still on its way would be thrown away with the stream.
func part(s agentv1.AgentService_PipeClient, over <-chan struct{}) {
	_ = s.CloseSend()
	select {
	case <-over:
	case <-time.After(pipeFarewell):
	}
}

type pipeWriter struct {
	s      agentv1.AgentService_PipeClient
	mu     *sync.Mutex
	stderr bool
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for chunk := range chunks(p) {
		if err := w.s.Send(&agentv1.PipeRequest{Data: chunk, Stderr: w.stderr}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
