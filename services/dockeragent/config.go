// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dockeragent is the agent of a host with a container engine: it observes
// every container, keeps what it saw in a journal until it is durable elsewhere,
// and carries out commands, each at most once.
//
// How it is put together (each part is a package below internal):
//
//	engine ── events, lists, inspects ──▶ observe ── observations ──▶ journal ──▶ rpc ──▶ statemachine
//	   ▲                                                                 ▲           │
//	   └──────────── calls ◀── lanes (one an instance) ◀── commands ─────┼───────────┘
//	application ◀── events, restore ── channel ── snapshots, answers ────┘
//
// Concurrency: the observer's goroutine owns what is believed of the containers; each
// instance with a command has one goroutine at a time, its lane; each running
// application with a socket has one goroutine that reads. They meet in the journal.
//
// Guarantees: an observation is on disk before it is sent. A command begins in the
// journal before the engine is called and ends there with its outcome; a command that is
// sent again is answered from the journal; one that began and has no end is resolved by
// inspect. What the application wrote before it died is journaled before docker.die, and
// app.ready after docker.start. Without the label chartroom.enable nothing is touched.
// The host's id is enrolled once, in the state directory, and never guessed anew (law
// 11): renaming the computer does not change it, and a copy of the directory is refused
// while the other agent lives.
package dockeragent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"

	"google.golang.org/grpc"

	"github.com/chartroom/chartroom/internal/transport"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// DefaultAddress is where health is served.
const DefaultAddress = "127.0.0.1:7403"

// Config configures a Service.
type Config struct {
	// State is the directory for the journal and the host's id. Required; made when missing.
	State string
	// HostID enrols this host in an empty State; in a State that is enrolled it
	// must be the same or empty. Empty in an empty State: the host name.
	HostID string
	// DisplayName is for people (default: the host name).
	DisplayName string
	// Statemachine is the connection to the statemachine service. nil: dial StatemachineAddress.
	Statemachine grpc.ClientConnInterface
	// StatemachineAddress is "HOST:PORT" (default 127.0.0.1:7402).
	StatemachineAddress string
	// Security is for dialling and for the health listener.
	Security transport.Security
	// Engine is "docker" (default; DOCKER_HOST or the local socket) or "fake".
	Engine string
	// Only is a label, "NAME=VALUE": containers without it are observed and
	// never touched, whatever their other labels say. Empty: only those of a demonstration are
	// left alone, which has a fleet of its own.
	Only string
	// Address is where health is served (default DefaultAddress); "none" serves none.
	Address string
	// Listener replaces Address; the service closes it.
	Listener net.Listener
	// JournalBytes and JournalAge bound the journal (64 MiB, 7 days).
	JournalBytes int64
	JournalAge   time.Duration
	// SpoolBytes bounds the bodies of snapshots that wait to be stored (256 MiB).
	SpoolBytes int64
	// StartEvery is the pause between two starts of stopped containers of one image,
	// once many stop together (50 ms).
	StartEvery time.Duration
	// Log is required.
	Log *slog.Logger

	// engine replaces Engine in tests.
	engine engine.Engine
	// fault is called at points where tests let the agent die; true ends it there
	// and then, without another call or record.
	fault func(point, verb string) bool
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// check fills in defaults.
func (c *Config) check() error {
	if c.State == "" {
		return errors.New("the state directory is missing (--state DIR)")
	}
	if c.Log == nil {
		return errors.New("config has no log")
	}
	if c.HostID != "" && !hostName.MatchString(c.HostID) {
		return fmt.Errorf("host id %q: want letters, digits, '.', '_' and '-', at most 128", c.HostID)
	}
	if c.DisplayName == "" {
		c.DisplayName, _ = os.Hostname()
	}
	if c.StatemachineAddress == "" {
		c.StatemachineAddress = "127.0.0.1:7402"
	}
	if c.Engine == "" {
		c.Engine = "docker"
	}
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.SpoolBytes == 0 {
		c.SpoolBytes = 256 << 20
	}
	if c.StartEvery == 0 {
		c.StartEvery = 50 * time.Millisecond
	}
	if c.fault == nil {
		c.fault = func(string, string) bool { return false }
	}
	return nil
}
