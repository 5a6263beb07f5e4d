// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"google.golang.org/protobuf/proto"
)

// Input is something for a worker to step. The set is closed: the exported
// structs of this file.
type Input interface {
	// shard is where it goes.
	shard() uint32
	// refused is called, at most once, when it cannot be stepped at all.
	refused(error)
}

// ShardOfInput is the shard that an input goes to.
func ShardOfInput(in Input) uint32 { return in.shard() }

// Refuse tells whoever waits for an input that it cannot be stepped. It is for
// inputs that were never posted.
func Refuse(in Input, err error) { in.refused(err) }

// Conn is the stream of an agent, as far as instances care. Values are
// compared: one Conn, one stream.
type Conn interface {
	// Close ends the stream; the agent comes back. It does not wait.
	Close(why string)
}

// Reply takes the answer to a request: a response or an error, once, after
// the commit. It must not block.
type Reply func(response proto.Message, err error)

// Observation is one numbered observation of an agent.
type Observation struct {
	Host    string
	Journal string
	Conn    Conn
	// Fact is the observation itself; it is not changed.
	Fact *agentv1.Observation
	// Chart is what Fact.Target.Chart names, for an instance that is new;
	// nil when that was not found, with Missing telling so.
	Chart   *Chart
	Missing *fleetv1.Finding
}

// HostJoined says that an agent's stream opened.
type HostJoined struct {
	Conn  Conn
	Hello *agentv1.Hello
}

// HostSeen says that an agent's stream is alive.
type HostSeen struct {
	Host            string
	Conn            Conn
	EngineReachable bool
}

// HostLeft says that an agent's stream ended.
type HostLeft struct {
	Host string
	Conn Conn
}

// HostFinding adds something that is wrong with a host, until its agent
// connects the next time.
type HostFinding struct {
	Host    string
	Finding *fleetv1.Finding
}

// Request gives an intent or an application event to an instance.
type Request struct {
	Instance string
	Event    string
	// DataJSON is the event's data; empty for none.
	DataJSON []byte
	// ID is the request_id; never empty.
	ID string
	// LookedUp is when the store was asked for the ID, and had no answer; zero
	// for an ID that was made here and nobody else has.
	LookedUp time.Time
	// Digest tells two requests with one ID apart.
	Digest      []byte
	Traceparent string
	Reply       Reply
}

// Create makes an instance.
type Create struct {
	// Name is the name (hosted) or id (free).
	Name string
	// Host is empty for a free instance.
	Host  string
	Chart *Chart
	// Data replaces initial data of a free instance.
	Data map[string]any
	// Arguments are those of the command create, for a hosted instance.
	Arguments map[string]any
	// Image is shown until the container exists.
	Image string
	// Start starts the container once it exists.
	Start bool
	// ID, LookedUp and Digest are as in [Request].
	ID          string
	LookedUp    time.Time
	Digest      []byte
	Traceparent string
	Reply       Reply
}

// Relay is an event of one instance for another.
type Relay struct {
	// From is the sender, To the receiver.
	From, To string
	// Incarnation and Number are those of the sender for the receiver's shard.
	Incarnation string
	Number      uint64
	// CommandID is the sender's outbox row.
	CommandID string
	Event     string
	SendID    string
	DataJSON  []byte
}

// RelayResult tells the sender what became of a [Relay].
type RelayResult struct {
	From      string
	CommandID string
	SendID    string
	// Problem is empty when the receiver has it.
	Problem string
}

// Adopt gives a loaded shard to the worker.
type Adopt struct{ Shard *Shard }

// Drop takes a shard away from the worker.
type Drop struct{ Number uint32 }

// timer is a due delayed send.
type timer struct {
	at       uint32
	instance string
	number   uint64
}

// tick is the worker's own second.
type tick struct{ at time.Time }

func (o *Observation) shard() uint32 { return ShardOf(o.Host) }
func (j *HostJoined) shard() uint32  { return ShardOf(j.Hello.GetHostId()) }
func (s *HostSeen) shard() uint32    { return ShardOf(s.Host) }
func (l *HostLeft) shard() uint32    { return ShardOf(l.Host) }
func (f *HostFinding) shard() uint32 { return ShardOf(f.Host) }
func (r *Request) shard() uint32     { return ShardOfInstance(r.Instance) }
func (r *Relay) shard() uint32       { return ShardOfInstance(r.To) }
func (r *RelayResult) shard() uint32 { return ShardOfInstance(r.From) }
func (a *Adopt) shard() uint32       { return a.Shard.number }
func (d *Drop) shard() uint32        { return d.Number }
func (t *timer) shard() uint32       { return t.at }
func (*tick) shard() uint32          { return 0 }

func (c *Create) shard() uint32 {
	if c.Host != "" {
		return ShardOf(c.Host)
	}
	return ShardOf(c.Name)
}

func (o *Observation) refused(err error) { o.Conn.Close(err.Error()) }
func (j *HostJoined) refused(err error)  { j.Conn.Close(err.Error()) }
func (*HostSeen) refused(error)          {}
func (*HostLeft) refused(error)          {}
func (*HostFinding) refused(error)       {}
func (r *Request) refused(err error)     { r.Reply(nil, err) }
func (c *Create) refused(err error)      { c.Reply(nil, err) }
func (*Relay) refused(error)             {} // the sender keeps it and tries again
func (*RelayResult) refused(error)       {} // asked for again by the sender
func (*Adopt) refused(error)             {}
func (*Drop) refused(error)              {}
func (*timer) refused(error)             {}
func (*tick) refused(error)              {}
