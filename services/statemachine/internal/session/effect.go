// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"google.golang.org/protobuf/proto"
)

// Effect is what a written group lets out. The set is closed: [Command],
// [Welcome], [Acknowledge], [Answer] and [Post]. Each may be performed twice.
type Effect interface {
	// dropped is called instead when the group was not written.
	dropped(error)
}

// Command sends a row of the outbox to the agent of a host; when that is not
// connected nothing happens, for Welcome sends all rows.
type Command struct {
	Host    string
	Command *agentv1.Command
}

// Welcome answers hello on a stream, joins the stream to the host, and sends
// the rows of the outbox that there are for it.
type Welcome struct {
	Host     string
	Conn     Conn
	Message  *agentv1.Welcome
	Commands []*agentv1.Command
}

// Acknowledge tells the agent of a host that observations are durable.
type Acknowledge struct {
	Host     string
	Conn     Conn
	Journal  string
	Sequence uint64
}

// Answer answers a request.
type Answer struct {
	Reply    Reply
	Response proto.Message
	Err      error
}

// Post gives an input to the worker that owns its shard: an event for another
// instance, or its result. It may be lost; its sender repeats it.
type Post struct{ Input Input }

func (*Command) dropped(error)       {}
func (w *Welcome) dropped(err error) { w.Conn.Close(err.Error()) }
func (*Acknowledge) dropped(error)   {}
func (a *Answer) dropped(err error)  { a.Reply(nil, err) }
func (*Post) dropped(error)          {}
