// SPDX-License-Identifier: AGPL-3.0-or-later

// Package store says what the snapshot service needs of a database, in plain
// Go types; the packages filestore and redisstore provide it, and storetest
// is the suite that both pass.
//
// # Guarantees
//
//   - A group is written whole or not at all, and only by the owner of its
//     shard: the fence (epoch and nonce) is compared in the same atomic write
//     (law 5). When Commit has answered, the group is as durable as the
//     database makes it.
//   - Groups of a shard are numbered without holes. The same number, nonce
//     and digest again is answered AlreadyApplied, so a caller that does not
//     know the outcome asks again with the same group. No store retries by
//     itself.
//   - What a reader sees is durable: no view, change or row is handed out
//     before the commit that wrote it would survive.
//   - The sequence of a shard's changes is its group number. A [Position]
//     also names the content of that group, so that a position of another
//     store, or of a history that was rolled back, is found out ([ErrReset]).
//
// # Concurrency
//
// A Store is safe for concurrent use. Callbacks are called from the calling
// goroutine; bytes given to a callback or returned belong to the receiver.
// Bytes in a Group belong to the store until Commit returns and are never
// changed by it.
package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// Shards is the number of units of ownership; fixed for ever.
	Shards = 256
	// ChartShard is the place of charts in a Token. They belong to no shard.
	ChartShard = Shards

	// MaxSteps bounds the steps of one Commit call.
	MaxSteps = 256
	// MaxInlineBytes bounds a body that travels within a commit.
	MaxInlineBytes = 16 << 10
	// MaxBlobBytes bounds any body.
	MaxBlobBytes = 64 << 20

	// LeaseTime is how long a lease holds unless renewed.
	LeaseTime = 10 * time.Second
	// RequestTime is how long the result of a request is kept.
	RequestTime = 24 * time.Hour
	// BlobTime is how long a body without a reference is kept after its last
	// touch.
	BlobTime = time.Hour
)

var (
	// ErrInvalid is wrapped by the error for input that no store may take.
	// Nothing was written; the caller must not send it again.
	ErrInvalid = errors.New("invalid")
	// ErrFenced says that the fence shown is not the shard's: another owner
	// has it. The caller stops working on the shard.
	ErrFenced = errors.New("fenced")
	// ErrNotFound says that what was asked for is not there.
	ErrNotFound = errors.New("not found")
	// ErrReset says that changes cannot be told from the position given,
	// because it was trimmed or is of another history. The caller lists again.
	ErrReset = errors.New("position is trimmed or foreign")
	// ErrUnavailable is wrapped when the database does not answer. Whether a
	// commit was written is not known; asking again is safe.
	ErrUnavailable = errors.New("store unavailable")
	// ErrUnsafe is wrapped when the database is set up so that it would lose
	// data by design. Only an operator can mend it.
	ErrUnsafe = errors.New("store is not safe to use")
)

// FullError says that the database has no room and takes nothing new until an
// operator makes some. What is there can be read. It is an ErrUnavailable, too.
type FullError struct {
	// What is full, and up to which bound, for people.
	What string
	// Fix is what to do.
	Fix string
}

// Error implements error.
func (e *FullError) Error() string { return e.What + ": " + e.Fix }

// Unwrap makes it an ErrUnavailable.
func (e *FullError) Unwrap() error { return ErrUnavailable }

// Store is a database for the snapshot service.
type Store interface {
	// Acquire makes o the owner of shards: it raises the epoch of each and
	// records the nonce. A shard whose lease another owner's name holds is
	// answered with Held false. Each shard is answered alone, in order.
	Acquire(ctx context.Context, o Owner, shards []uint32) ([]Lease, error)
	// Renew extends the lease of each shard that o's nonce still owns, also
	// one that has run out while nobody else took it.
	Renew(ctx context.Context, o Owner, shards []uint32) ([]Lease, error)
	// Release ends the lease of each shard that o's nonce owns.
	Release(ctx context.Context, o Owner, shards []uint32) error

	// Commit writes groups, each for another shard, and answers each, in
	// order. An error means that the outcome of all is unknown, except
	// ErrInvalid: then nothing was written. A repeated write is safe.
	Commit(ctx context.Context, groups []Group) ([]Result, error)
	// Load reads a shard for its owner: head once, then each instance by id.
	// It returns ErrFenced when f is not the shard's fence, also when that
	// changes meanwhile: then what was read is to be dropped.
	Load(ctx context.Context, shard uint32, f Fence, head func(ShardState) error, each func(Instance) error) error
	// Request reads the result of a request of the last 24 h; ErrNotFound
	// otherwise.
	Request(ctx context.Context, shard uint32, id string) ([]byte, error)

	// List reads all views and hosts and answers the token to watch from.
	// Every change is either in the list or after the token, never both in
	// neither; within one shard the list is of one moment.
	List(ctx context.Context, each func(Change) error) (*Token, error)
	// Heads reads the newest position of every shard and of the charts.
	Heads(ctx context.Context) (*Token, error)
	// Changes reads at most limit groups of changes after a position, oldest
	// first. It returns ErrReset when it cannot be done without a gap.
	Changes(ctx context.Context, shard uint32, after Position, limit int) ([]ChangeSet, error)
	// Hub tells of new changes. A hint may come without a change, and after
	// it is durable; a lost hint is repaired by the store's own polling.
	Hub() *Hub
	// Log reads log entries of an instance; see [LogQuery]. An instance that
	// is not there has none.
	Log(ctx context.Context, q LogQuery) ([][]byte, error)

	// PutChart stores a chart unless its name has the digest already.
	PutChart(ctx context.Context, c Chart) (created bool, err error)
	// Chart reads a chart by digest, else the newest of name; ErrNotFound.
	Chart(ctx context.Context, digest, name string) (Chart, error)
	// Charts reads all without documents, by name, newest first within one.
	Charts(ctx context.Context) ([]Chart, error)

	// PutBlob stores a body under its SHA-256, or touches the one there.
	PutBlob(ctx context.Context, b Blob) error
	// Blob reads a body; ErrNotFound.
	Blob(ctx context.Context, sha256 string) ([]byte, error)
	// Collect deletes what is due: bodies that nothing refers to an hour
	// after their last touch, and results of requests after 24 h. It answers
	// the number of bodies deleted.
	Collect(ctx context.Context) (int, error)

	// Ping asks whether the database answers, has room and is safe:
	// ErrUnavailable, a *FullError, or ErrUnsafe, which does not pass by itself.
	Ping(ctx context.Context) error
	// Close frees everything. No call may be in progress.
	Close() error
}

// Options are common to all stores. The zero value is good.
type Options struct {
	// Now is the clock for leases, expiry and collection; nil for time.Now.
	Now func() time.Time
	// LogRetention is how many log entries of an instance are kept at least;
	// 0 means 1000. The log is cut only at an entry that carries a session
	// snapshot, except that it never holds more than four times as many.
	LogRetention int
	// ChangeRetention is how many groups of a shard a watch may be behind;
	// 0 means 1024.
	ChangeRetention int
	// ChangeBytes bounds the same in bytes; 0 means 4 MiB. The newest group
	// is kept whatever its size.
	ChangeBytes int
	// Log takes what an operator should know; nil for none.
	Log *slog.Logger
}

// WithDefaults fills in what is zero.
func (o Options) WithDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LogRetention <= 0 {
		o.LogRetention = 1000
	}
	if o.ChangeRetention <= 0 {
		o.ChangeRetention = 1024
	}
	if o.ChangeBytes <= 0 {
		o.ChangeBytes = 4 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
