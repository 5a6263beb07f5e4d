// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/chartroom/chartroom/internal/sandbox"
	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/services/statemachine/internal/owner"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// DefaultAddress is where the service listens unless told otherwise.
const DefaultAddress = "127.0.0.1:7402"

// Config is what operators set. The zero value of a field means its default.
type Config struct {
	// Address is where to listen, "HOST:PORT" or "unix:PATH"; default
	// [DefaultAddress]. An address beyond loopback needs Security.
	Address string
	// Listener is used instead of Address when it is set. The service closes
	// it.
	Listener net.Listener
	// Advertise is the address by which agents and gateways reach this
	// process, as recorded with its leases; default that of the listener.
	Advertise string
	// SnapshotAddress is where the snapshot service is; default
	// "127.0.0.1:7401".
	SnapshotAddress string
	// Snapshot is used instead of SnapshotAddress when it is set. The service
	// does not close it.
	Snapshot grpc.ClientConnInterface
	// Owner is the name under which shards are owned. It must be the same
	// after a restart and different from that of any other statemachine on
	// the same store; default "statemachine".
	Owner string
	// Workers is how many goroutines step instances; default 4. More than the
	// processors gives nothing.
	Workers int
	// Inbox is how many inputs wait for one worker; default 1024. When it is
	// full, agents are held back and callers wait.
	Inbox int
	// Retain is how long an instance is kept after its target was destroyed or
	// its chart ended; default 24 h, negative for ever. A container that was
	// only observed is kept for 10 min at most.
	Retain time.Duration
	// Security is what connections are trusted by; zero: loopback only, plain.
	Security transport.Security
	// Sandbox, if it is not nil, steps instances whose chart was pushed and may
	// take any time and memory; see [NewSandbox]. Without it they are stepped in
	// this process.
	Sandbox Sandbox
	// Trusted are names of charts that are stepped in this process all the same;
	// "*" means all.
	Trusted []string
	// Log is required.
	Log *slog.Logger
}

// Sandbox is where charts of strangers run: what [NewSandbox] makes.
type Sandbox = session.Sandbox

// NewSandbox makes a sandbox of child processes of this program, which must run
// package chartwork when it is called with the argument sandbox.Command. A step
// that takes more than 250 ms of the processor, 2 s on the wall, or 256 MiB ends its
// child. Close it after Run.
func NewSandbox() *sandbox.Pool {
	// One for each worker, and one for documents that are pushed.
	return sandbox.NewPool(owner.DefaultWorkers+1, sandbox.Config{Timeout: 2 * time.Second, Memory: 256 << 20})
}

func (c Config) resolved() (Config, error) {
	if c.Log == nil {
		return c, errors.New("statemachine: no logger")
	}
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.SnapshotAddress == "" {
		c.SnapshotAddress = "127.0.0.1:7401"
	}
	if c.Owner == "" {
		c.Owner = "statemachine"
	}
	return c, nil
}
