// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import "time"

// Fence is what an owner shows at every commit. A higher epoch is a later
// owner; an equal epoch with another nonce is an impostor or a rolled-back
// store, and refused as well.
type Fence struct {
	Epoch uint64 // from 1
	Nonce string // not empty
}

// Owner is who asks for shards.
type Owner struct {
	Name    string // stable, so that a restarted owner need not wait
	Nonce   string // random, new for every start
	Address string // where it is reached; only Acquire reads it
}

// Lease answers for one shard.
type Lease struct {
	Shard     uint32
	Held      bool      // by the asker, from now on
	Epoch     uint64    // of the shard now
	LastGroup uint64    // number of the last group committed
	Owner     string    // of whoever holds it; empty when nobody does
	Address   string    // of the same
	Expire    time.Time // zero when nobody holds it
}

// Group is one atomic write to one shard.
type Group struct {
	Shard  uint32
	Fence  Fence
	Number uint64 // the last group's plus one
	Steps  []Step // applied in order
	Marks  []Mark
	Hosts  []Row // by host id; each replaces the one before
}

// Step is the outcome of one or more macrosteps of one instance. Within a
// step puts come before deletes and trims.
type Step struct {
	Instance string
	// Record is the instance after the step; nil exactly when Remove is set.
	Record *Record
	// Remove deletes the instance with all its rows, those of this step
	// included, except Requests.
	Remove bool
	// OutboxPut adds commands; an id that is there is replaced and goes to
	// the end. OutboxDelete of an id that is not there does nothing.
	OutboxPut    []Row
	OutboxDelete []string
	// QueuePut adds or replaces entries by sequence; QueueTrim deletes all up
	// to and including it (0: none), QueueDelete single ones.
	QueuePut    []QueueRow
	QueueTrim   uint64
	QueueDelete []uint64
	// Log entries have sequences above all before.
	Log []LogRow
	// Requests are results by request id, kept for RequestTime.
	Requests []Row
	// BlobAdd and BlobRemove count references of the instance up and down: a
	// body that was added twice is referred to until it was removed twice.
	BlobAdd, BlobRemove []string
	// Blobs are bodies of at most MaxInlineBytes written with the group.
	Blobs []Blob
}

// Record is what is kept of an instance. The store reads none of it.
type Record struct {
	View    []byte // what readers see
	Session []byte // the session snapshot
	State   []byte // the owner's bookkeeping
}

// Row is a body with an id.
type Row struct {
	ID   string
	Body []byte
}

// QueueRow is an accepted application event.
type QueueRow struct {
	Sequence uint64 // from 1
	Body     []byte
}

// LogRow is a log entry.
type LogRow struct {
	Sequence uint64 // from 1
	// Snapshot is true when the entry carries a session snapshot, so that the
	// log may be cut before it.
	Snapshot bool
	Body     []byte
}

// Mark is the high-water mark of a source.
type Mark struct {
	Source      string
	Incarnation string
	Sequence    uint64
}

// Blob is a body under its SHA-256 in lower-case hex.
type Blob struct {
	SHA256 string
	Body   []byte
}

// Status is what became of a group.
type Status int

// The statuses, as in snapshot.v1 GroupStatus.
const (
	Unknown        Status = iota // never answered by a store
	Applied                      // written now
	AlreadyApplied               // written before: same number, nonce and digest
	Fenced                       // refused: another owner
	OutOfOrder                   // refused: not the next number, or a log entry not after the last
	BlobMissing                  // refused: a body it refers to is not stored
)

// String gives the status a name for people.
func (s Status) String() string {
	names := [...]string{"unknown", "applied", "already applied", "fenced", "out of order", "blob missing"}
	if s < 0 || int(s) >= len(names) {
		return "status?"
	}
	return names[s]
}

// Result answers for one group.
type Result struct {
	Status    Status
	Epoch     uint64 // of the shard now
	LastGroup uint64 // of the shard now
	Message   string // why it was refused, for people
}

// ShardState is what an owner needs of the shard itself.
type ShardState struct {
	LastGroup uint64
	Marks     []Mark // by source
	Hosts     []Row  // by id
}

// Instance is what an owner needs of an instance.
type Instance struct {
	ID     string
	Record Record
	Outbox []Row      // in the order they were put
	Queue  []QueueRow // by sequence
}

// Kind says what changed.
type Kind uint8

// The kinds of a Change.
const (
	InstanceChanged Kind = iota + 1
	InstanceRemoved
	HostChanged
	ChartChanged
)

// Change is one committed step as readers see it.
type Change struct {
	Kind Kind
	ID   string   // of the instance or host; the digest of a chart
	View []byte   // of the instance, host or chart (its head); nil when removed
	Log  [][]byte // what the instance's log gained
}

// ChangeSet is what one group changed; Changes may be empty.
type ChangeSet struct {
	Shard    uint32
	Position Position
	Changes  []Change
}

// LogQuery selects log entries.
type LogQuery struct {
	Shard      uint32
	Instance   string
	After      uint64 // entries above; 0 from the oldest kept
	Before     uint64 // entries below; 0 for no bound
	Limit      int    // at most this many; must be positive
	Descending bool   // newest first
}

// Chart is a chart under its name and digest.
type Chart struct {
	Name     string
	Digest   string
	Head     []byte // what lists show
	Document []byte // nil in lists
}
