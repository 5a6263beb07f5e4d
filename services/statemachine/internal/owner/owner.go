// SPDX-License-Identifier: AGPL-3.0-or-later

// Package owner holds the shards of this process: it acquires them from the
// store under a stable name and random nonces, loads them, gives them to
// workers, and renews their leases.
//
// A lease is for liveness only: it says when another process may take over. It
// is given up early, by this process's own monotonic clock. Safety is the
// fence (epoch and nonce) that every commit shows; a process that is late can
// do nothing.
//
// [Owner.Run] starts the workers and a few goroutines and has stopped them all
// when it returns. Everything else is safe for concurrent use.
package owner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

const (
	// renewEvery is how often leases are renewed.
	renewEvery = 3 * time.Second
	// leaseTime is how long shards count as ours after the last renewal was
	// asked for: less than the 10 s of the store.
	leaseTime = 8 * time.Second
	// retryEvery is how often shards are asked for that others still hold.
	retryEvery = time.Second
	// loading is how many shards are loaded at once.
	loading = 16
	// callTime bounds one call to the store.
	callTime = 5 * time.Second
	// maxRaise bounds how far an epoch is raised over what an agent has seen.
	maxRaise = 100_000
)

// ErrReplaced is returned by [Owner.Run] when another process took the shards
// under the same owner name: two processes must not share one.
var ErrReplaced = errors.New("another process owns the shards under the same name")

// DefaultWorkers is how many workers share the shards unless told otherwise.
const DefaultWorkers = 4

// Config is what an Owner needs.
type Config struct {
	// Name is stable over restarts, so that a restarted process gets its
	// shards back without waiting for its old lease.
	Name string
	// Address is where agents and gateways reach this process.
	Address string
	// Snapshot is the store.
	Snapshot snapshotv1.SnapshotServiceClient
	// Charts gives the charts of instances that are loaded.
	Charts *Charts
	// Workers is how many workers share the shards; default [DefaultWorkers].
	Workers int
	// Worker is the configuration of each; Store and Lost are filled in.
	Worker session.Config
	// Log is never nil.
	Log *slog.Logger
}

// Owner owns shards. Make one with [New], then call Run once.
type Owner struct {
	c       Config
	workers []*session.Worker
	ready   chan struct{} // closed once every shard was acquired and loaded
	wanted  chan struct{} // capacity 1: a shard has to be acquired

	mu     sync.Mutex
	leases [session.Shards]lease
}

// lease is what is known of one shard.
type lease struct {
	held  bool
	nonce string
	until time.Time // monotonic
	// above is the epoch that has to be exceeded, from an agent that saw it.
	above   uint64
	recover bool
	// check says that a write was refused for the fence: somebody else has it.
	check bool
}

// New makes an Owner that holds nothing yet.
func New(c Config) *Owner {
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}
	o := &Owner{c: c, ready: make(chan struct{}), wanted: make(chan struct{}, 1)}
	worker := c.Worker
	worker.Store, worker.Lost, worker.Log = store{c.Snapshot}, o.lost, c.Log
	for range c.Workers {
		o.workers = append(o.workers, session.NewWorker(worker))
	}
	return o
}

// store gives the workers the one call that they need. It bounds each attempt;
// the worker repeats it.
type store struct {
	snapshotv1.SnapshotServiceClient
}

// Commit implements session.Store.
func (s store) Commit(ctx context.Context, r *snapshotv1.CommitRequest) (*snapshotv1.CommitResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return s.SnapshotServiceClient.Commit(ctx, r)
}

// Ready is closed once every shard was acquired and loaded.
func (o *Owner) Ready() <-chan struct{} { return o.ready }

// Holds says whether a shard is ours now, by our own clock.
func (o *Owner) Holds(shard uint32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.leases[shard]
	return l.held && time.Now().Before(l.until)
}

// Missing is how many shards are not ours now, by our own clock.
func (o *Owner) Missing() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	missing, now := 0, time.Now()
	for _, l := range o.leases {
		if !l.held || !now.Before(l.until) {
			missing++
		}
	}
	return missing
}

// Post gives an input to the worker of its shard, waiting while the inbox is
// full until ctx ends. An input that cannot be given is refused.
func (o *Owner) Post(ctx context.Context, in session.Input) error {
	if err := o.worker(in).Post(ctx, in); err != nil {
		err = session.Unavailable("too busy: %v", err)
		session.Refuse(in, err)
		return err
	}
	return nil
}

// TryPost is Post that does not wait; it reports whether there was room.
func (o *Owner) TryPost(in session.Input) bool { return o.worker(in).TryPost(in) }

func (o *Owner) worker(in session.Input) *session.Worker {
	return o.workers[int(session.ShardOfInput(in))%len(o.workers)]
}

// Run owns shards until ctx ends, then releases them. It returns [ErrReplaced]
// when it must not go on.
func (o *Owner) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range o.workers {
		g.Go(func() error { return ended(ctx, w.Run(ctx)) })
	}
	g.Go(func() error { return ended(ctx, o.acquire(ctx)) })
	g.Go(func() error { return ended(ctx, o.renew(ctx)) })
	err := g.Wait()
	o.release(context.WithoutCancel(ctx))
	return err
}

// ended turns the end of ctx into success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lost takes note of a shard that a worker cannot go on with.
func (o *Owner) lost(loss session.Loss) {
	o.mu.Lock()
	l := &o.leases[loss.Shard]
	l.held = false
	l.check = loss.Status == snapshotv1.GroupStatus_GROUP_STATUS_FENCED
	if loss.Above > 0 {
		l.above, l.recover = loss.Above, true
	}
	o.mu.Unlock()
	o.want()
}

func (o *Owner) want() {
	select {
	case o.wanted <- struct{}{}:
	default:
	}
}

// acquire gets and loads every shard that is not held, for as long as ctx
// lasts.
func (o *Owner) acquire(ctx context.Context) error {
	once := sync.Once{}
	for {
		missing, err := o.take(ctx)
		switch {
		case errors.Is(err, ErrReplaced):
			return err
		case err != nil && ctx.Err() == nil:
			o.c.Log.Warn("shards cannot be acquired; trying again", "err", err)
		case missing == 0:
			once.Do(func() {
				o.c.Log.Info("all shards are owned", "owner", o.c.Name)
				close(o.ready)
			})
		}
		retry := time.Duration(1<<63 - 1)
		if err != nil || missing > 0 {
			retry = retryEvery
		}
		timer := time.NewTimer(retry)
		select {
		case <-o.wanted:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// take tries once to get what is not held; missing is how many others hold.
func (o *Owner) take(ctx context.Context) (missing int, err error) {
	var numbers []uint32
	o.mu.Lock()
	for n := range o.leases {
		if !o.leases[n].held {
			numbers = append(numbers, uint32(n))
		}
	}
	o.mu.Unlock()
	if len(numbers) == 0 {
		return 0, nil
	}
	if err := o.checkReplaced(ctx, numbers); err != nil {
		return len(numbers), err
	}
	asked := time.Now()
	nonce := rand.Text()
	leases, err := o.ask(ctx, nonce, numbers)
	if err != nil {
		return len(numbers), err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loading)
	for _, l := range leases {
		if !l.GetHeld() {
			mu.Lock()
			missing++
			mu.Unlock()
			continue
		}
		g.Go(func() error { return o.adopt(ctx, l, nonce, asked) })
	}
	return missing, g.Wait()
}

func (o *Owner) ask(ctx context.Context, nonce string, numbers []uint32) ([]*snapshotv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	response, err := o.c.Snapshot.Acquire(ctx, &snapshotv1.AcquireRequest{Owner: o.c.Name, Nonce: nonce, Shards: numbers, Address: o.c.Address})
	if err != nil {
		return nil, fmt.Errorf("acquire %d shards: %w", len(numbers), err)
	}
	return response.GetLeases(), nil
}

// adopt loads an acquired shard and gives it to its worker.
func (o *Owner) adopt(ctx context.Context, l *snapshotv1.Lease, nonce string, asked time.Time) error {
	o.mu.Lock()
	known := o.leases[l.GetShard()]
	o.mu.Unlock()
	if known.recover {
		var err error
		if l, nonce, err = o.raise(ctx, l, nonce, known.above); err != nil {
			return err
		}
	}
	s, err := o.load(ctx, l, nonce)
	if err != nil {
		return err
	}
	if known.recover {
		s.Recover()
	}
	o.mu.Lock()
	o.leases[l.GetShard()] = lease{held: true, nonce: nonce, until: asked.Add(leaseTime)}
	o.mu.Unlock()
	return o.Post(ctx, &session.Adopt{Shard: s})
}

// raise acquires a shard until its epoch is above what an agent has seen.
func (o *Owner) raise(ctx context.Context, l *snapshotv1.Lease, nonce string, above uint64) (*snapshotv1.Lease, string, error) {
	for n := 0; l.GetEpoch() <= above; n++ {
		if n == maxRaise {
			return nil, "", fmt.Errorf("raise shard %d from epoch %d above %d: too far", l.GetShard(), l.GetEpoch(), above)
		}
		nonce = rand.Text()
		leases, err := o.ask(ctx, nonce, []uint32{l.GetShard()})
		if err != nil {
			return nil, "", err
		}
		if len(leases) != 1 || !leases[0].GetHeld() {
			return nil, "", fmt.Errorf("raise shard %d: lost meanwhile", l.GetShard())
		}
		l = leases[0]
	}
	return l, nonce, nil
}

// load reads a shard. One that nothing was ever written to needs no call.
func (o *Owner) load(ctx context.Context, l *snapshotv1.Lease, nonce string) (*session.Shard, error) {
	s := session.NewShard(l.GetShard(), session.Fence{Epoch: l.GetEpoch(), Nonce: nonce, Group: l.GetLastGroup()})
	if l.GetLastGroup() == 0 {
		return s, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := o.c.Snapshot.Load(ctx, &snapshotv1.LoadRequest{Shard: l.GetShard(), Fence: &snapshotv1.ShardFence{Epoch: l.GetEpoch(), Nonce: nonce}})
	if err != nil {
		return nil, fmt.Errorf("load shard %d: %w", l.GetShard(), err)
	}
	return s, o.read(ctx, s, stream)
}

func (o *Owner) read(ctx context.Context, s *session.Shard, stream grpc.ServerStreamingClient[snapshotv1.LoadResponse]) error {
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load shard %d: %w", s.Number(), err)
		}
		if state := part.GetShard(); state != nil {
			s.Restore(state)
			continue
		}
		view := part.GetInstance().GetRecord().GetView()
		chart, err := o.c.Charts.Digest(ctx, view.GetChartDigest())
		if err == nil {
			err = s.Add(part.GetInstance(), chart)
		} else if _, refused := errors.AsType[*session.Refusal](err); !refused {
			return fmt.Errorf("load shard %d: %w", s.Number(), err) // the store is away
		}
		if err != nil {
			o.c.Log.Error("an instance cannot be loaded and stays as it is", "instance", view.GetInstanceId(), "err", err)
			s.Break(view.GetInstanceId(), err)
		}
	}
}
