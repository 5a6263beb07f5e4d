// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrDown is what every call of a Fake returns while it is down, as a client
// would that finds nobody listening.
var ErrDown = errors.New("cannot connect to the engine")

// Fake is an [Engine] in memory that behaves as real ones were measured to:
// the same states, orders of events and refusals. Containers run one of a few
// simulated programs, chosen by the first word of the command:
//
//	app            an application that speaks the contract over a socket (also without a command)
//	run            runs until SIGTERM, then exits 0
//	stubborn       ignores SIGTERM
//	exit N         exits at once with code N
//
// A first word "/probe" is skipped: it is the program of package enginetest.
// The methods that are not of Engine are for tests: they kill, break and
// perturb. Restart policies are not simulated. A Fake is safe for concurrent use.
type Fake struct {
	mu         sync.Mutex
	id         string
	containers map[string]*fakeContainer
	ring       []Event
	subs       map[*fakeSub]struct{}
	stamp      time.Time
	down       bool
	stops      bool // containers end with the engine
	images     map[string]bool
	perturb    func(Event) []Event
	delay      func(op, id string) time.Duration
	calls      []string
}

type fakeSub struct {
	queue chan Event
	end   chan error
}

// NewFake makes an empty engine that has every image.
func NewFake() *Fake {
	return &Fake{id: randomHex(8), containers: map[string]*fakeContainer{}, subs: map[*fakeSub]struct{}{}}
}

var _ Engine = (*Fake)(nil)

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// SetImages limits the images that Create finds; none given means all.
func (f *Fake) SetImages(images ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images = map[string]bool{}
	for _, i := range images {
		f.images[i] = true
	}
}

// SetPerturb sets what happens to every event on its way to subscribers: it may
// return none (lost), several (repeated) or others it kept earlier (reordered).
// It is called with the engine locked and must not call it. nil is the identity.
func (f *Fake) SetPerturb(p func(Event) []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.perturb = p
}

// SetDelay makes calls take time: d gets the operation ("start", "stop" …) and
// the container's id.
func (f *Fake) SetDelay(d func(op, id string) time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Break ends all event streams.
func (f *Fake) Break() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breakStreams()
}

func (f *Fake) breakStreams() {
	for s := range f.subs {
		s.end <- io.EOF
		delete(f.subs, s)
	}
}

// Replace turns it into another engine without containers.
func (f *Fake) Replace() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		c.halt()
	}
	f.id, f.containers, f.ring = randomHex(8), map[string]*fakeContainer{}, nil
	f.breakStreams()
}

// Calls returns the mutating calls so far, as "verb id" with ids as given.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// HostKill ends the main process as a signal from the host does: die, and no kill event.
func (f *Fake) HostKill(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("host kill", id)
	if err != nil {
		return err
	}
	if !c.state.Running {
		return fmt.Errorf("container %s does not run", id)
	}
	f.die(c, 137)
	return nil
}

// OutOfMemory ends the main process as the kernel does for want of memory.
func (f *Fake) OutOfMemory(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("oom", id)
	if err != nil {
		return err
	}
	c.state.OOMKilled = true
	f.emit(c, "oom", nil)
	f.die(c, 137)
	return nil
}

// SetHealth reports a result of the health check.
func (f *Fake) SetHealth(id, health string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("health", id)
	if err != nil {
		return err
	}
	c.state.Health = health
	f.emit(c, "health_status: "+health, nil)
	return nil
}

// Rename gives a container another name, as a person would.
func (f *Fake) Rename(id, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("rename", id)
	if err != nil {
		return err
	}
	old := c.spec.Name
	c.spec.Name = name
	f.emit(c, "rename", map[string]string{"oldName": "/" + old})
	return nil
}

// enter checks that the engine is there, notes the call and waits as SetDelay says.
func (f *Fake) enter(ctx context.Context, op, id string) error {
	f.mu.Lock()
	down, delay := f.down, f.delay
	switch op {
	case "create", "start", "stop", "kill", "pause", "unpause", "remove":
		if !down {
			f.calls = append(f.calls, op+" "+id)
		}
	}
	f.mu.Unlock()
	if down {
		return fmt.Errorf("%s %s: %w", op, id, ErrDown)
	}
	if delay != nil {
		if d := delay(op, id); d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}

// find returns a container by id or name. The caller holds the lock.
func (f *Fake) find(op, id string) (*fakeContainer, error) {
	if c, ok := f.containers[id]; ok {
		return c, nil
	}
	for _, c := range f.containers {
		if c.spec.Name == strings.TrimPrefix(id, "/") {
			return c, nil
		}
	}
	return nil, &Error{Op: op, ID: id, Status: http.StatusNotFound, Message: "No such container: " + id}
}

// now is the next stamp: stamps of one engine never repeat.
func (f *Fake) now() time.Time {
	t := time.Now().Round(0)
	if !t.After(f.stamp) {
		t = f.stamp.Add(1)
	}
	f.stamp = t
	return t
}

// emit publishes an event. The caller holds the lock.
func (f *Fake) emit(c *fakeContainer, action string, attributes map[string]string) {
	all := maps.Clone(c.spec.Labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, attributes)
	all["name"], all["image"] = c.spec.Name, c.spec.Image
	ev := Event{Action: action, ContainerID: c.id, Name: c.spec.Name, Image: c.spec.Image, Time: f.now(), Attributes: all}
	f.ring = append(f.ring, ev)
	if len(f.ring) > ringSize {
		f.ring = f.ring[len(f.ring)-ringSize:]
	}
	out := []Event{ev}
	if f.perturb != nil {
		out = f.perturb(ev)
	}
	for s := range f.subs {
		for _, ev := range out {
			select {
			case s.queue <- ev:
			default: // A subscriber that does not read loses events, silently.
			}
		}
	}
}

func (c *fakeContainer) fail(op string, status int, format string, args ...any) error {
	return &Error{Op: op, ID: c.id, Status: status, Message: fmt.Sprintf(format, args...)}
}

// Info implements Engine.
func (f *Fake) Info(ctx context.Context) (Info, error) {
	if err := f.enter(ctx, "info", ""); err != nil {
		return Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return Info{ID: f.id, Name: "fake", Version: "fake", APIVersion: "1.41", Time: time.Now(), LiveRestore: !f.stops}, nil
}

// Ping implements Engine.
func (f *Fake) Ping(ctx context.Context) error { return f.enter(ctx, "ping", "") }

// Events implements Engine. Like the real one it replays at most 256 events,
// and drops events for a subscriber that is 1024 behind.
func (f *Fake) Events(ctx context.Context, since time.Time) (*Stream, error) {
	if err := f.enter(ctx, "events", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &fakeSub{queue: make(chan Event, 1024+ringSize), end: make(chan error, 1)}
	for _, ev := range f.ring {
		if !ev.Time.Before(since) {
			s.queue <- ev
		}
	}
	f.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, ok := f.subs[s]; ok {
			delete(f.subs, s)
			s.end <- ctx.Err()
		}
	})
	return &Stream{Events: s.queue, Err: s.end}, nil
}

// List implements Engine.
func (f *Fake) List(ctx context.Context) ([]Summary, error) {
	if err := f.enter(ctx, "list", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Summary, 0, len(f.containers))
	for _, c := range f.containers {
		out = append(out, Summary{ID: c.id, Name: c.spec.Name, Status: c.state.Status})
	}
	slices.SortFunc(out, func(a, b Summary) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Inspect implements Engine.
func (f *Fake) Inspect(ctx context.Context, id string) (Container, error) {
	if err := f.enter(ctx, "inspect", id); err != nil {
		return Container{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("inspect", id)
	if err != nil {
		return Container{}, err
	}
	out := Container{
		ID: c.id, Name: c.spec.Name, Image: c.spec.Image, Created: c.created, Labels: maps.Clone(c.spec.Labels),
		Env: slices.Clone(c.spec.Env), RestartPolicy: "no", State: c.state,
	}
	for _, m := range c.spec.Mounts {
		source, rest, _ := strings.Cut(m, ":")
		destination, mode, _ := strings.Cut(rest, ":")
		mount := Mount{Source: source, Destination: destination, ReadOnly: mode == "ro"}
		if !strings.HasPrefix(source, "/") {
			mount.Volume, mount.Source = source, "/fake/volumes/"+source
		}
		out.Mounts = append(out.Mounts, mount)
	}
	return out, nil
}

// Create implements Engine.
func (f *Fake) Create(ctx context.Context, spec Spec) (string, error) {
	if err := f.enter(ctx, "create", spec.Name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if spec.Like != "" {
		like, err := f.find("create", spec.Like)
		if err != nil {
			return "", err
		}
		spec = like.like(spec)
	}
	if f.images != nil && !f.images[spec.Image] {
		return "", &Error{Op: "create", ID: spec.Name, Status: http.StatusNotFound, Message: "No such image: " + spec.Image}
	}
	if spec.Name == "" {
		spec.Name = "fake_" + randomHex(4)
	}
	if other, err := f.find("create", spec.Name); err == nil {
		return "", &Error{Op: "create", ID: spec.Name, Status: http.StatusConflict, Message: fmt.Sprintf(
			"Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.",
			"/"+spec.Name, other.id)}
	}
	c := &fakeContainer{engine: f, id: randomHex(32), spec: spec, files: map[string][]byte{}, state: State{Status: "created"}}
	c.created = f.now()
	f.containers[c.id] = c
	f.emit(c, "create", nil)
	return c.id, nil
}

// Start implements Engine.
func (f *Fake) Start(ctx context.Context, id string) error {
	if err := f.enter(ctx, "start", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("start", id)
	if err != nil {
		return err
	}
	switch {
	case c.state.Paused:
		return c.fail("start", http.StatusConflict, "cannot start a paused container, try unpause instead")
	case c.state.Running:
		return nil
	}
	program, code := c.program()
	if program == "" {
		c.state.ExitCode = 127
		return c.fail("start", http.StatusBadRequest, "exec: %q: executable file not found in $PATH", c.spec.Command[0])
	}
	at := f.now()
	c.state = State{
		Status: "running", Running: true, Pid: 1000 + len(f.calls), StartedAt: at.UTC().Format(time.RFC3339Nano),
		FinishedAt: c.state.FinishedAt,
	}
	c.run = &fakeRun{ended: make(chan struct{})}
	if program == "app" {
		c.run.app = newFakeApp(c)
	}
	f.emit(c, "start", nil)
	if program == "exit" {
		f.die(c, code)
	}
	return nil
}

// die ends the run. The caller holds the lock.
func (f *Fake) die(c *fakeContainer, code int) {
	c.halt()
	oom := c.state.OOMKilled
	c.state = State{
		Status: "exited", ExitCode: code, OOMKilled: oom, StartedAt: c.state.StartedAt, FinishedAt: f.now().UTC().Format(time.RFC3339Nano),
		Health: c.state.Health,
	}
	f.emit(c, "die", map[string]string{"exitCode": strconv.Itoa(code)})
}

// signal sends one, with its event. The caller holds the lock.
func (f *Fake) signal(c *fakeContainer, number int) {
	f.emit(c, "kill", map[string]string{"signal": strconv.Itoa(number)})
	if number == 9 {
		f.die(c, 137)
		return
	}
	if c.state.Paused {
		c.state.Paused, c.state.Status = false, "running"
		f.emit(c, "unpause", nil)
	}
	if program, _ := c.program(); number == 15 && program != "stubborn" {
		f.die(c, 0)
	}
}

// Stop implements Engine.
func (f *Fake) Stop(ctx context.Context, id string, grace time.Duration) error {
	if err := f.enter(ctx, "stop", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("stop", id)
	if err != nil || !c.state.Running {
		return err
	}
	run := c.run
	f.signal(c, 15)
	if c.run == run && c.state.Running {
		f.mu.Unlock()
		select {
		case <-run.ended:
		case <-time.After(grace):
		case <-ctx.Done():
		}
		f.mu.Lock()
		if c.run == run && c.state.Running {
			f.signal(c, 9)
		}
	}
	f.emit(c, "stop", nil)
	return nil
}

// Kill implements Engine.
func (f *Fake) Kill(ctx context.Context, id, signal string) error {
	if err := f.enter(ctx, "kill", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("kill", id)
	if err != nil {
		return err
	}
	number, ok := SignalNumber(signal)
	if !ok {
		return c.fail("kill", http.StatusBadRequest, "Invalid signal: %s", signal)
	}
	if !c.state.Running {
		return c.fail("kill", http.StatusConflict, "Cannot kill container: %s: Container %s is not running", id, c.id)
	}
	f.signal(c, number)
	return nil
}

// Pause implements Engine.
func (f *Fake) Pause(ctx context.Context, id string) error {
	if err := f.enter(ctx, "pause", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("pause", id)
	switch {
	case err != nil:
		return err
	case c.state.Paused:
		return c.fail("pause", http.StatusConflict, "Container %s is already paused", c.id)
	case !c.state.Running:
		return c.fail("pause", http.StatusConflict, "Container %s is not running", c.id)
	}
	c.state.Paused, c.state.Status = true, "paused"
	f.emit(c, "pause", nil)
	return nil
}

// Unpause implements Engine.
func (f *Fake) Unpause(ctx context.Context, id string) error {
	if err := f.enter(ctx, "unpause", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("unpause", id)
	if err != nil {
		return err
	}
	if !c.state.Paused {
		return c.fail("unpause", http.StatusInternalServerError, "Container %s is not paused", c.id)
	}
	c.state.Paused, c.state.Status = false, "running"
	f.emit(c, "unpause", nil)
	if c.run.app != nil {
		c.run.app.thaw()
	}
	return nil
}

// Remove implements Engine.
func (f *Fake) Remove(ctx context.Context, id string, force bool) error {
	if err := f.enter(ctx, "remove", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("remove", id)
	if err != nil {
		return err
	}
	if c.state.Running {
		if !force {
			return c.fail("remove", http.StatusConflict,
				"You cannot remove a %s container %s. Stop the container before attempting removal or force remove", c.state.Status, c.id)
		}
		f.signal(c, 9)
	}
	delete(f.containers, c.id)
	f.emit(c, "destroy", nil)
	return nil
}

// DialSocket implements Engine; the simulated application listens at
// $CHARTROOM_SOCKET of its container.
func (f *Fake) DialSocket(ctx context.Context, in Container, path string) (net.Conn, error) {
	if err := f.enter(ctx, "dial", in.ID); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("dial", in.ID)
	if err != nil {
		return nil, err
	}
	if !c.reaches(path) {
		return nil, fmt.Errorf("dial %s of container %s: %w", path, c.spec.Name, ErrNoMount)
	}
	if c.run == nil || c.run.app == nil || !c.state.Running || !slices.Contains(c.spec.Env, "CHARTROOM_SOCKET="+path) {
		return nil, fmt.Errorf("dial %s of container %s: connection refused", path, c.spec.Name)
	}
	return c.run.app.accept(), nil
}
