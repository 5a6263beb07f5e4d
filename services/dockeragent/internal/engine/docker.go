// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// RunDir is where containers that speak over a socket mount the volume for it,
// and where an agent in a container of its own finds the same volume.
const RunDir = "/run/chartroom"

// Docker is an [Engine] over the Docker API. The API version is negotiated with
// the first call.
type Docker struct {
	cli *client.Client

	mu      sync.Mutex // guards settled
	settled bool       // the API version has been agreed on
}

// NewDocker makes a Docker for the engine that DOCKER_HOST names, or the local
// default one. It does not connect yet: the engine may be away.
func NewDocker() (*Docker, error) {
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation(),
		client.WithHTTPHeaders(map[string]string{"Connection": "close"})) // see the package comment
	if err != nil {
		return nil, fmt.Errorf("docker client: %w", err)
	}
	return &Docker{cli: cli}, nil
}

// settle agrees on the API version. The client does it by itself with the first
// call, but its Events reads the version unguarded while another call may be
// about to write it.
func (d *Docker) settle(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return nil
	}
	if _, err := d.cli.ServerVersion(ctx); err != nil {
		return refusal("version", "", err)
	}
	d.settled = true
	return nil
}

// Close drops idle connections.
func (d *Docker) Close() error { return d.cli.Close() }

var _ Engine = (*Docker)(nil)

// Info implements Engine.
func (d *Docker) Info(ctx context.Context) (Info, error) {
	in, err := d.cli.Info(ctx)
	if err != nil {
		return Info{}, refusal("info", "", err)
	}
	// Until 23 the engine's id is kept in /etc/docker, not with its data: one that
	// has lost them has the same. The network "none" is made with the data, once.
	id := in.ID
	none, err := d.cli.NetworkInspect(ctx, network.NetworkNone, network.InspectOptions{})
	if err = refusal("inspect network", network.NetworkNone, err); err == nil {
		id += "/" + none.ID[:min(12, len(none.ID))]
	} else if StatusOf(err) == 0 {
		return Info{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, in.SystemTime)
	if err != nil {
		at = time.Now()
	}
	return Info{ID: id, Name: in.Name, Version: in.ServerVersion, APIVersion: d.cli.ClientVersion(), Time: at, LiveRestore: in.LiveRestoreEnabled}, nil
}

// Ping implements Engine.
func (d *Docker) Ping(ctx context.Context) error {
	_, err := d.cli.Ping(ctx)
	return refusal("ping", "", err)
}

// Memory implements Engine.
func (d *Docker) Memory(ctx context.Context, until time.Time) (Memory, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := d.settle(ctx); err != nil {
		return Memory{}, err
	}
	messages, errs := d.cli.Events(ctx, events.ListOptions{Since: "1", Until: timestamp(until)})
	m, n := Memory{Starts: map[string]time.Time{}}, 0
	for {
		select {
		case e := <-messages:
			n++
			if e.Type == events.ContainerEventType && e.Action == events.ActionStart {
				m.Starts[e.Actor.ID] = event(e).Time
			}
		case err := <-errs:
			if err != nil && !errors.Is(err, io.EOF) {
				return Memory{}, refusal("events", "", err)
			}
			m.Whole = n < ringSize
			return m, nil
		}
	}
}

func timestamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// Events implements Engine.
func (d *Docker) Events(ctx context.Context, since time.Time) (*Stream, error) {
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
	messages, errs := d.cli.Events(ctx, events.ListOptions{
		Since:   timestamp(since),
		Filters: filters.NewArgs(filters.Arg("type", string(events.ContainerEventType))),
	})
	// The client reports a refused subscription here before any message.
	select {
	case err := <-errs:
		return nil, refusal("events", "", err)
	default:
	}
	out := make(chan Event)
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case m := <-messages:
				select {
				case out <- event(m):
				case <-ctx.Done():
					done <- ctx.Err()
					return
				}
			case err := <-errs:
				if err == nil {
					err = io.EOF
				}
				done <- err
				return
			}
		}
	}()
	return &Stream{Events: out, Err: done}, nil
}

func event(m events.Message) Event {
	at := time.Unix(0, m.TimeNano)
	if m.TimeNano == 0 {
		at = time.Unix(m.Time, 0)
	}
	return Event{
		Action: string(m.Action), ContainerID: m.Actor.ID, Name: m.Actor.Attributes["name"],
		Image: m.Actor.Attributes["image"], Time: at, Attributes: m.Actor.Attributes,
	}
}

// List implements Engine.
func (d *Docker) List(ctx context.Context) ([]Summary, error) {
	list, err := d.cli.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, refusal("list", "", err)
	}
	out := make([]Summary, 0, len(list))
	for _, c := range list {
		s := Summary{ID: c.ID, Status: c.State}
		for _, n := range c.Names {
			// A name with a second slash is a link's alias.
			if strings.Count(n, "/") == 1 {
				s.Name = n[1:]
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Inspect implements Engine.
func (d *Docker) Inspect(ctx context.Context, id string) (Container, error) {
	in, err := d.cli.ContainerInspect(ctx, id)
	if err != nil {
		return Container{}, refusal("inspect", id, err)
	}
	c := Container{ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"), RestartCount: in.RestartCount}
	c.Created, _ = time.Parse(time.RFC3339Nano, in.Created)
	if in.Config != nil {
		c.Image, c.Labels, c.Env = in.Config.Image, in.Config.Labels, in.Config.Env
		c.StopSignal, c.TTY = in.Config.StopSignal, in.Config.Tty
		h := in.Config.Healthcheck
		c.HealthCheck = h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
	}
	if in.HostConfig != nil {
		c.RestartPolicy, c.AutoRemove = string(in.HostConfig.RestartPolicy.Name), in.HostConfig.AutoRemove
	}
	if c.RestartPolicy == "" {
		c.RestartPolicy = "no"
	}
	for _, m := range in.Mounts {
		c.Mounts = append(c.Mounts, Mount{Volume: m.Name, Source: m.Source, Destination: m.Destination, ReadOnly: !m.RW})
	}
	if s := in.State; s != nil {
		c.State = State{
			Status: s.Status, Running: s.Running, Paused: s.Paused, Restarting: s.Restarting, OOMKilled: s.OOMKilled,
			ExitCode: s.ExitCode, Pid: s.Pid, Error: s.Error, StartedAt: moment(s.StartedAt), FinishedAt: moment(s.FinishedAt),
		}
		if s.Health != nil && s.Health.Status != "none" {
			c.State.Health = s.Health.Status
		}
	}
	return c, nil
}

// moment makes the engine's word for "never" empty.
func moment(s string) string {
	if strings.HasPrefix(s, "0001-01-01") {
		return ""
	}
	return s
}

// Create implements Engine.
func (d *Docker) Create(ctx context.Context, spec Spec) (string, error) {
	if spec.Like != "" {
		return d.createLike(ctx, spec)
	}
	host := &container.HostConfig{NetworkMode: container.NetworkMode(spec.Network), Binds: spec.Mounts}
	var net *network.NetworkingConfig
	res, err := d.cli.ContainerCreate(ctx, &container.Config{
		Image: spec.Image, Cmd: spec.Command, Env: spec.Env, Labels: spec.Labels, OpenStdin: spec.OpenStdin,
	}, host, net, nil, spec.Name)
	if err != nil {
		return "", refusal("create", spec.Name, err)
	}
	return res.ID, nil
}

// Start implements Engine.
func (d *Docker) Start(ctx context.Context, id string) error {
	return refusal("start", id, d.cli.ContainerStart(ctx, id, container.StartOptions{}))
}

// Stop implements Engine. Grace is rounded up to whole seconds.
func (d *Docker) Stop(ctx context.Context, id string, grace time.Duration) error {
	seconds := int((grace + time.Second - 1) / time.Second)
	return refusal("stop", id, d.cli.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds}))
}

// Kill implements Engine.
func (d *Docker) Kill(ctx context.Context, id, signal string) error {
	return refusal("kill", id, d.cli.ContainerKill(ctx, id, signal))
}

// Pause implements Engine.
func (d *Docker) Pause(ctx context.Context, id string) error {
	return refusal("pause", id, d.cli.ContainerPause(ctx, id))
}

// Unpause implements Engine.
func (d *Docker) Unpause(ctx context.Context, id string) error {
	return refusal("unpause", id, d.cli.ContainerUnpause(ctx, id))
}

// Remove implements Engine.
func (d *Docker) Remove(ctx context.Context, id string, force bool) error {
	return refusal("remove", id, d.cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: force, RemoveVolumes: true}))
}

// CopyFrom implements Engine.
func (d *Docker) CopyFrom(ctx context.Context, id, name string) (io.ReadCloser, error) {
	r, _, err := d.cli.CopyFromContainer(ctx, id, name)
	if err != nil {
		return nil, refusal("copy from", id, err)
	}
	return r, nil
}

// CopyTo implements Engine.
func (d *Docker) CopyTo(ctx context.Context, id, dir string, archive io.Reader) error {
	return refusal("copy to", id, d.cli.CopyToContainer(ctx, id, dir, archive, container.CopyToContainerOptions{}))
}

// Logs implements Engine.
func (d *Docker) Logs(ctx context.Context, id string, o LogOptions, stdout, stderr io.Writer) error {
	c, err := d.Inspect(ctx, id)
	if err != nil {
		return err
	}
	tail := "all"
	if o.Tail > 0 {
		tail = strconv.FormatUint(uint64(o.Tail), 10)
	}
	r, err := d.cli.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow, Tail: tail})
	if err != nil {
		return refusal("logs", id, err)
	}
	defer r.Close()
	return demultiplex(c.TTY, r, stdout, stderr)
}

func demultiplex(tty bool, r io.Reader, stdout, stderr io.Writer) error {
	var err error
	if tty {
		_, err = io.Copy(stdout, r)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, r)
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Attach implements Engine.
func (d *Docker) Attach(ctx context.Context, id string) (Terminal, error) {
	c, err := d.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	h, err := d.cli.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return nil, refusal("attach", id, err)
	}
	return &terminal{conn: h.Conn, reader: h.Reader, closeWrite: h.CloseWrite, tty: c.TTY}, nil
}

type terminal struct {
	conn       net.Conn
	reader     io.Reader
	closeWrite func() error
	tty        bool
}

func (t *terminal) Write(p []byte) (int, error)    { return t.conn.Write(p) }
func (t *terminal) CloseWrite() error              { return t.closeWrite() }
func (t *terminal) Copy(out, errw io.Writer) error { return demultiplex(t.tty, t.reader, out, errw) }
func (t *terminal) Close() error                   { return t.conn.Close() }

// DialSocket implements Engine. An agent on the host reaches the socket through
// the mount's source; one in a container through its own mount of the volume.
func (d *Docker) DialSocket(ctx context.Context, c Container, name string) (net.Conn, error) {
	var dialer net.Dialer
	candidates := socketPaths(c, name)
	if len(candidates) == 0 {
		return nil, fmt.Errorf("dial %s of container %s: %w", name, c.Name, ErrNoMount)
	}
	var first error
	for _, p := range candidates {
		if _, err := os.Stat(filepath.Dir(p)); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		conn, err := dialUnix(ctx, &dialer, p)
		if err == nil {
			return conn, nil
		}
		first = err
	}
	return nil, fmt.Errorf("dial %s of container %s: %w", name, c.Name, first)
}

// dialUnix connects also where the path is longer than a socket address may be
// (108 bytes), through a descriptor of its directory.
func dialUnix(ctx context.Context, dialer *net.Dialer, p string) (net.Conn, error) {
	if len(p) < 100 {
		return dialer.DialContext(ctx, "unix", p)
	}
	dir, err := os.Open(filepath.Dir(p))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(p)))
}

// socketPaths maps a path in the container to paths that the agent may have.
func socketPaths(c Container, name string) []string {
	var best *Mount
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if within(m.Destination, name) && (best == nil || len(m.Destination) > len(best.Destination)) {
			best = m
		}
	}
	if best == nil {
		return nil
	}
	rest := strings.TrimPrefix(path.Clean(name), path.Clean(best.Destination))
	paths := []string{filepath.Join(best.Source, rest)}
	if best.Volume != "" {
		paths = append(paths, filepath.Join(RunDir, rest))
	}
	return paths
}

func within(dir, name string) bool {
	dir, name = path.Clean(dir), path.Clean(name)
	return dir == "/" || strings.HasPrefix(name, dir+"/")
}

// refusal makes an error of the client an [*Error] when it is the engine's
// answer, and wraps it otherwise.
func refusal(op, id string, err error) error {
	if err == nil {
		return nil
	}
	status := 0
	switch {
	case errdefs.IsNotModified(err):
		return nil
	case client.IsErrConnectionFailed(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errdefs.IsNotFound(err):
		status = http.StatusNotFound
	case errdefs.IsConflict(err):
		status = http.StatusConflict
	case errdefs.IsInvalidArgument(err):
		status = http.StatusBadRequest
	case errdefs.IsUnauthorized(err):
		status = http.StatusUnauthorized
	case errdefs.IsPermissionDenied(err):
		status = http.StatusForbidden
	case errdefs.IsNotImplemented(err):
		status = http.StatusNotImplemented
	case errdefs.IsUnavailable(err):
		status = http.StatusServiceUnavailable
	case errdefs.IsInternal(err):
		status = http.StatusInternalServerError
	}
	if status == 0 {
		return fmt.Errorf("%s %s: %w", op, id, err)
	}
	return &Error{Op: op, ID: id, Status: status, Message: strings.TrimPrefix(err.Error(), "Error response from daemon: ")}
}
