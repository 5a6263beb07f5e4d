// SPDX-License-Identifier: AGPL-3.0-or-later

package sandbox

import "context"

// Pool is several workers: a call takes one that is free, and waits while none is.
// What a child remembers is therefore no more than a cache. It is safe for
// concurrent use.
type Pool struct {
	free chan *Worker
}

// NewPool makes a pool of n workers; nothing is started yet.
func NewPool(n int, c Config) *Pool {
	p := &Pool{free: make(chan *Worker, n)}
	for range n {
		p.free <- New(c)
	}
	return p
}

// Call is [Worker.Call] on a worker of the pool. Waiting for one does not count.
func (p *Pool) Call(ctx context.Context, op string, in, out any) error {
	select {
	case w := <-p.free:
		defer func() { p.free <- w }()
		return w.Call(ctx, op, in, out)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all children, waiting for those that work.
func (p *Pool) Close() {
	for range cap(p.free) {
		w := <-p.free
		w.Close()
		defer func() { p.free <- w }()
	}
}
