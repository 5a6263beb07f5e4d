// SPDX-License-Identifier: AGPL-3.0-or-later

// Package engine is the only place that talks to a container engine. It offers
// a narrow [Engine] in plain Go types, with two implementations: [Docker], over
// the Docker API, and [Fake], in memory. Package enginetest holds the one
// conformance suite that both pass.
//
// All methods are safe for concurrent use and block until the engine has
// answered or the context ended. Each asks on a connection of its own: an engine that
// shuts down first stops listening, then its containers, so an answer to a question
// that was put after a signal was seen says that this signal is no shutdown. An engine promises little about its events: they
// may be lost, repeated and reordered, and they wait for nobody, so whoever
// reads [Stream] must never stall. The truth is what [Engine.Inspect] says.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Engine is what the agent needs of a container engine. Every error that the
// engine itself gave is an [*Error]; all others mean that it could not be asked.
type Engine interface {
	// Info identifies the engine.
	Info(ctx context.Context) (Info, error)
	// Ping returns nil when the engine answers.
	Ping(ctx context.Context) error
	// Memory returns what the engine remembers of its past, up to until on the
	// engine's clock, which must not lie ahead.
	Memory(ctx context.Context, until time.Time) (Memory, error)
	// Events subscribes to container events, beginning with those stamped since
	// (inclusive) that the engine still remembers. It returns once subscribed.
	Events(ctx context.Context, since time.Time) (*Stream, error)
	// List returns all containers, running or not.
	List(ctx context.Context) ([]Summary, error)
	// Inspect returns one container by id or name; 404 when there is none.
	Inspect(ctx context.Context, id string) (Container, error)
	// Create makes a container and returns its id; 409 when the name is taken,
	// 404 when the image, or the container that it shall be like, is missing. The
	// engine emits create.
	Create(ctx context.Context, spec Spec) (string, error)
	// Join connects a container to the networks of another that it is not on yet.
	Join(ctx context.Context, id, like string) error
	// Start starts a container; nil also when it runs already (304).
	Start(ctx context.Context, id string) error
	// Stop sends the stop signal, kills after grace, and returns when the
	// container has ended; nil also when it had (304).
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Kill sends a signal by name or number; 409 unless it runs.
	Kill(ctx context.Context, id, signal string) error
	// Pause freezes the processes; 409 unless running.
	Pause(ctx context.Context, id string) error
	// Unpause thaws them; 500 unless paused.
	Unpause(ctx context.Context, id string) error
	// Remove removes a container and its anonymous volumes; 409 while it runs,
	// unless force.
	Remove(ctx context.Context, id string, force bool) error
	// CopyFrom reads a path out of the container as a tar archive; 404 when
	// there is no such path. The caller closes it.
	CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, error)
	// CopyTo unpacks a tar archive into a directory of the container.
	CopyTo(ctx context.Context, id, dir string, archive io.Reader) error
	// Logs writes the container's output until its end, or with Follow until the
	// container or ctx ends.
	Logs(ctx context.Context, id string, o LogOptions, stdout, stderr io.Writer) error
	// Attach joins standard input and output of a container.
	Attach(ctx context.Context, id string) (Terminal, error)
	// DialSocket connects to a unix socket that the container's application
	// listens on, by its path inside the container. [ErrNoMount] means that this
	// path is not on a mount that the agent can reach.
	DialSocket(ctx context.Context, c Container, path string) (net.Conn, error)
}

// ErrNoMount is returned by DialSocket when the socket's path is not on a mount.
var ErrNoMount = errors.New("the socket's path is not on a mount that the agent can reach")

// Error is a refusal by the engine.
type Error struct {
	// Op is the operation, such as "start".
	Op string
	// ID is the container it was for, by id or name; may be empty.
	ID string
	// Status is the HTTP status: 400, 404, 409, 500 …
	Status int
	// Message is the engine's own text.
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("%s: %s (status %d)", e.Op, e.Message, e.Status)
	}
	return fmt.Sprintf("%s container %s: %s (status %d)", e.Op, e.ID, e.Message, e.Status)
}

// StatusOf returns the status with which the engine refused, or 0 when err is
// not the engine's answer.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// IsNotFound reports whether the engine said that there is no such thing.
func IsNotFound(err error) bool { return StatusOf(err) == http.StatusNotFound }

// IsConflict reports whether the engine refused because of the state.
func IsConflict(err error) bool { return StatusOf(err) == http.StatusConflict }

// Info identifies an engine.
type Info struct {
	// ID is random and made with the engine's data. Another id means other containers.
	ID string
	// Name is the host name as the engine sees it.
	Name string
	// Version is the engine's version.
	Version string
	// APIVersion is the version agreed on.
	APIVersion string
	// Time is the engine's clock.
	Time time.Time
	// LiveRestore is true when containers run on while the engine is down.
	LiveRestore bool
}

// ringSize is how many events an engine remembers, in memory only: one that has
// restarted begins anew.
const ringSize = 256

// Memory is what an engine remembers of its past.
type Memory struct {
	// Whole is true when it reaches back to the start of the engine itself.
	Whole bool
	// Starts is the last start of each container in it.
	Starts map[string]time.Time
}

// startLag is how much later than StartedAt the engine may stamp the start event.
const startLag = 5 * time.Second

// Lacks reports that the run of a container that began at startedAt began under
// an engine that has ended since. False also when that cannot be told.
func (m Memory) Lacks(id string, startedAt time.Time) bool {
	at, ok := m.Starts[id]
	return m.Whole && (!ok || at.Sub(startedAt).Abs() > startLag)
}

// Stream is a subscription. Events is never closed: when the stream ends, one
// error arrives on Err, and it is io.EOF when the engine said good-bye.
type Stream struct {
	// Events are the container events in order of arrival.
	Events <-chan Event
	// Err has capacity 1.
	Err <-chan error
}

// Event is one container event.
type Event struct {
	// Action is the engine's word with its text, such as "die", "exec_start: ls"
	// or "health_status: healthy".
	Action string
	// ContainerID is the whole id.
	ContainerID string
	// Name is the container's name without the slash.
	Name string
	// Image is the image reference.
	Image string
	// Time is the engine's stamp, in nanoseconds.
	Time time.Time
	// Attributes are all attributes, labels of the container among them.
	Attributes map[string]string
}

// Summary is one line of List.
type Summary struct {
	// ID is the whole id.
	ID string
	// Name is without the slash.
	Name string
	// Status is as in Container.
	Status string
}

// Container is what inspect says.
type Container struct {
	// ID is the whole id.
	ID string
	// Name is without the slash.
	Name string
	// Image is the reference that it was created with.
	Image string
	// Created is when.
	Created time.Time
	// Labels may be nil.
	Labels map[string]string
	// Env are NAME=VALUE lines, those of the image among them.
	Env []string
	// Mounts are where host directories and volumes appear in it.
	Mounts []Mount
	// RestartPolicy is "no", "always", "unless-stopped" or "on-failure".
	RestartPolicy string
	// AutoRemove is true when the engine removes it at its end.
	AutoRemove bool
	// StopSignal is by name or number as configured; empty means SIGTERM.
	StopSignal string
	// HealthCheck is true when the engine checks its health.
	HealthCheck bool
	// TTY is true when output is one raw stream.
	TTY bool
	// State is the state now.
	State State
	// RestartCount counts restarts by the policy.
	RestartCount int
	// Outside is for an agent that leaves the container alone whatever its labels
	// say; see [Only]. The engine itself leaves it zero.
	Outside Outside
}

// Outside says why an agent leaves a container alone. The zero value: it does not.
type Outside struct {
	// Why is for people, and Fix what would change it.
	Why, Fix string
}

// State is the engine's state of a container.
type State struct {
	// Status is created, running, paused, restarting, removing, exited or dead.
	Status string
	// Running is true also while paused and while restarting.
	Running bool
	// Paused is true while frozen.
	Paused bool
	// Restarting is true while a restart policy waits.
	Restarting bool
	// OOMKilled is true when killed for want of memory.
	OOMKilled bool
	// ExitCode is that of the last run.
	ExitCode int
	// Pid is the main process on the host; 0 when none.
	Pid int
	// Error is why the last start failed.
	Error string
	// StartedAt is as the engine gives it (RFC 3339); empty when never started.
	StartedAt string
	// FinishedAt likewise.
	FinishedAt string
	// Health is "", "starting", "healthy" or "unhealthy".
	Health string
}

// Live reports whether a process is there: running or paused, not waiting for a
// restart by the engine.
func (s State) Live() bool {
	return s.Running && !s.Restarting
}

// Mount is where a directory of the host appears in a container.
type Mount struct {
	// Volume is the volume's name; empty for a bind.
	Volume string
	// Source is the directory on the host.
	Source string
	// Destination is the directory in the container.
	Destination string
	// ReadOnly is true when the container cannot write.
	ReadOnly bool
}

// Spec says how to make a container.
type Spec struct {
	// Name is required.
	Name string
	// Image is required.
	Image string
	// Command replaces the image's; empty keeps it.
	Command []string
	// Env are NAME=VALUE lines.
	Env []string
	// Labels may be nil.
	Labels map[string]string
	// Mounts are "SOURCE:DESTINATION[:ro]" lines, SOURCE a volume or a path.
	Mounts []string
	// Network is "bridge", "none", "host" or a name; empty is the default one.
	Network string
	// OpenStdin keeps standard input open for Attach.
	OpenStdin bool
	// Like is a container whose settings the new one has: mounts with what is in
	// them, its network (the first; the others with Join), ports, bounds, and its image with command and environment.
	// Then of the fields above only Name, Labels (instead of its own), Image (empty:
	// its own; another one comes with its own command) and Env (added to its own) count.
	Like string
}

// LogOptions selects output.
type LogOptions struct {
	// Follow goes on with new lines.
	Follow bool
	// Tail is how many old lines; 0 means all.
	Tail uint32
}

// Terminal is standard input and output of a container.
type Terminal interface {
	// Write writes to standard input.
	io.Writer
	// CloseWrite ends standard input.
	CloseWrite() error
	// Copy writes output until the container or the terminal ends.
	Copy(stdout, stderr io.Writer) error
	// Close detaches.
	Close() error
}
