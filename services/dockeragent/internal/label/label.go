// SPDX-License-Identifier: AGPL-3.0-or-later

// Package label reads the labels chartroom.* of a container, and what else
// decides whether the agent may act on it, into a checked [Target]. Nothing that is
// misspelt is ignored: it becomes a [Finding] that says what to write instead.
//
// The package is pure: functions of their arguments, safe for concurrent use.
package label

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chartroom/chartroom/internal/spelling"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// Keys of the labels.
const (
	Enable         = "chartroom.enable"
	Instance       = "chartroom.instance"
	Chart          = "chartroom.chart"
	Snapshot       = "chartroom.snapshot"
	SnapshotPolicy = "chartroom.snapshot.policy"
	RestartMax     = "chartroom.restart.max"
	RestartBackoff = "chartroom.restart.backoff"
	Unhealthy      = "chartroom.restart.unhealthy"
	BreakerTimeout = "chartroom.breaker.timeout"
	BreakerQueue   = "chartroom.breaker.queue"
	RecoverImage   = "chartroom.recover.image"
	RecoverEnv     = "chartroom.recover.env." // and the variable's name
	StartTimeout   = "chartroom.start-timeout"
	StopTimeout    = "chartroom.stop-timeout"
	// Command is written by the agent itself: the command that made the container.
	Command = "chartroom.command"
	// Recovery is, too: the name of the container that this one, made by its recovery
	// profile, stands in for. It has no profile itself: what does not help once does
	// not help twice.
	Recovery = "chartroom.recovery"
)

// keys are all that a user may write; ours are chartroom's own marks, which mean nothing here.
var (
	keys = []string{
		Enable, Instance, Chart, Snapshot, SnapshotPolicy, RestartMax, RestartBackoff, Unhealthy, BreakerTimeout, BreakerQueue,
		RecoverImage, StartTimeout, StopTimeout,
	}
	ours = []string{Command, Recovery, "chartroom.demo", "chartroom.test", "chartroom.cache"}
)

// Severities of findings.
const (
	// Info is nothing to mend.
	Info    = "info"
	Warning = "warning"
	Error   = "error"
)

// Codes of the findings that keep a container from being managed whatever its label
// says.
const (
	codeOutside       = "outside"
	codeRestartPolicy = "restart-policy"
)

// Finding is something wrong with the labels or settings of a container.
type Finding struct {
	// Code is stable, such as "label.unknown".
	Code string `json:"code"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Fix is what to do, where possible to paste.
	Fix string `json:"fix"`
	// Severity is Info, Warning or Error.
	Severity string `json:"severity"`
}

// Target is what the agent read, checked.
type Target struct {
	// Managed is true when the agent may act on the container.
	Managed bool `json:"managed"`
	// Instance is the label's value; empty when there is none.
	Instance string `json:"instance,omitempty"`
	// Image is the reference that the container was created with.
	Image string `json:"image"`
	// Name is the container's name without the slash.
	Name string `json:"name"`
	// Chart is "container" by default.
	Chart string `json:"chart"`
	// Channel is "socket", "file:/path" or "none".
	Channel string `json:"channel"`
	// Socket is the socket's path in the container; empty unless Channel is "socket".
	Socket string `json:"socket,omitempty"`
	// Options are the chart's.
	Options Options `json:"options"`
	// Findings may be empty.
	Findings []Finding `json:"findings,omitempty"`
	// EngineID is that of the engine that has the container; Parse leaves it empty.
	EngineID string `json:"engineId,omitempty"`
}

// Options are the chart's options, as docs/architecture.md lists them.
// Durations are in milliseconds.
type Options struct {
	Channel        string  `json:"channel"`
	Policy         string  `json:"policy"`
	PolicyInterval int64   `json:"policyInterval"`
	Restart        Restart `json:"restart"`
	Breaker        Breaker `json:"breaker"`
	StartTimeout   int64   `json:"startTimeout"`
	StopTimeout    int64   `json:"stopTimeout"`
	Proving        int64   `json:"proving"`
	EventDeaths    int     `json:"eventDeaths"`
	Recover        Recover `json:"recover"`
}

// Restart is how often and how fast the chart starts again.
type Restart struct {
	Max     int   `json:"max"`
	First   int64 `json:"first"`
	Backoff int64 `json:"backoff"`
	Ceiling int64 `json:"ceiling"`
	// Unhealthy makes a failing health check count as a crash.
	Unhealthy bool `json:"unhealthy"`
}

// Breaker is when the chart stops passing events on.
type Breaker struct {
	Timeout int64 `json:"timeout"`
	Open    int64 `json:"open"`
	Queue   int   `json:"queue"`
}

// Recover is the recovery profile.
type Recover struct {
	Image string            `json:"image"`
	Env   map[string]string `json:"env"`
}

// Given reports whether there is a profile.
func (r Recover) Given() bool { return r.Image != "" || len(r.Env) > 0 }

// fileInterval is the policy of the file channel when no label says otherwise:
// a file brings no events that could be followed by a snapshot.
const fileInterval = 10 * time.Second

// Defaults are the options of a container without labels.
func Defaults() Options {
	return Options{
		Channel: "none", Policy: "event",
		Restart:      Restart{Max: 10, Backoff: 100, Ceiling: 60_000},
		Breaker:      Breaker{Timeout: 250, Open: 1000, Queue: 1000},
		StartTimeout: 30_000, StopTimeout: 10_000, Proving: 5000, EventDeaths: 3,
		Recover: Recover{Env: map[string]string{}},
	}
}

// Parse reads a container. It never fails: what it cannot read has its default and a finding.
func Parse(c engine.Container) Target {
	p := parser{labels: c.Labels, t: Target{Image: c.Image, Name: c.Name, Chart: "container", Channel: "none", Options: Defaults()}}
	p.unknown()
	enabled := p.boolean(Enable)
	if v, ok := p.labels[Instance]; ok {
		if name(v) {
			p.t.Instance = v
		} else {
			p.bad(Instance, v, "letters, digits, '.', '_' and '-', at most 128", c.Name)
		}
	}
	if v := p.labels[Chart]; v != "" {
		p.t.Chart = v
	}
	o := &p.t.Options
	p.number(RestartMax, 0, 1_000_000, &o.Restart.Max)
	p.number(BreakerQueue, 1, 50_000, &o.Breaker.Queue)
	p.duration(RestartBackoff, &o.Restart.Backoff)
	if o.Restart.Unhealthy = p.boolean(Unhealthy); o.Restart.Unhealthy && !c.HealthCheck {
		p.find("health.none", Error, "healthcheck:\n  test: [\"CMD\", …]", "label %s=true has no effect: the container has no health check", Unhealthy)
	}
	p.duration(BreakerTimeout, &o.Breaker.Timeout)
	p.duration(StartTimeout, &o.StartTimeout)
	p.duration(StopTimeout, &o.StopTimeout)
	p.recover(c)
	p.channel(c)
	p.policy()
	switch {
	case c.Outside != engine.Outside{}:
		p.find(codeOutside, Info, c.Outside.Fix, "%s", c.Outside.Why)
		enabled = false
	case enabled && c.RestartPolicy != "no" && c.RestartPolicy != "":
		p.find(codeRestartPolicy, Error, "docker update --restart=no "+c.Name,
			"the engine's own restart policy is %q and would restart the container behind the chart's back, so it is observed only", c.RestartPolicy)
		enabled = false
	}
	p.t.Managed = enabled
	slices.SortFunc(p.t.Findings, func(a, b Finding) int { return strings.Compare(a.Code+a.Message, b.Code+b.Message) })
	return p.t
}

// Unmanaged says why the agent may not act on a container that is not Managed.
func (t Target) Unmanaged() string {
	for _, f := range t.Findings {
		if f.Code == codeOutside || f.Code == codeRestartPolicy {
			return f.Message
		}
	}
	return "it has no label " + Enable + "=true"
}

type parser struct {
	labels map[string]string
	t      Target
}

func (p *parser) find(code, severity, fix, format string, args ...any) {
	p.t.Findings = append(p.t.Findings, Finding{Code: code, Severity: severity, Fix: fix, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) bad(key, value, want, example string) {
	p.find("label.value", Error, key+"="+example, "label %s=%q is not understood: want %s", key, value, want)
}

// unknown finds keys that nobody reads.
func (p *parser) unknown() {
	for k := range p.labels {
		if k == "chartroom" || !strings.HasPrefix(strings.ToLower(k), "chartroom") {
			continue
		}
		if slices.Contains(keys, k) || slices.Contains(ours, k) || (strings.HasPrefix(k, RecoverEnv) && len(k) > len(RecoverEnv)) {
			continue
		}
		best, distance := "", 4
		for _, known := range append([]string{RecoverEnv + "NAME"}, keys...) {
			if d := spelling.Distance(strings.ToLower(k), known); d < distance {
				best, distance = known, d
			}
		}
		if best == "" {
			p.find("label.unknown", Error, "remove it; known are "+strings.Join(keys, ", ")+", "+RecoverEnv+"NAME", "label %s is not known and has no effect", k)
		} else {
			p.find("label.unknown", Error, best+"="+p.labels[k], "label %s is not known and has no effect; did you mean %s?", k, best)
		}
	}
}

// recover reads the recovery profile, or that it is in use.
func (p *parser) recover(c engine.Container) {
	if old := p.labels[Recovery]; old != "" {
		p.find("recovery.active", Warning, fmt.Sprintf("docker stop %s && docker rm %[1]s && docker start %s", c.Name, old),
			"it runs by the recovery profile in place of the container %s; go back when that is mended", old)
		return
	}
	p.t.Options.Recover.Image = p.labels[RecoverImage]
	for k, v := range p.labels {
		if env, ok := strings.CutPrefix(k, RecoverEnv); ok && env != "" {
			p.t.Options.Recover.Env[env] = v
		}
	}
}

func (p *parser) boolean(key string) bool {
	v, ok := p.labels[key]
	switch {
	case !ok || v == "false":
		return false
	case v == "true":
		return true
	}
	p.bad(key, v, `"true" or "false"`, "true")
	return false
}

func (p *parser) number(key string, low, high int, to *int) {
	v, ok := p.labels[key]
	if !ok {
		return
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		p.bad(key, v, fmt.Sprintf("a whole number from %d to %d", low, high), strconv.Itoa(*to))
		return
	}
	*to = n
}

func (p *parser) duration(key string, to *int64) {
	v, ok := p.labels[key]
	if !ok {
		return
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Millisecond || d > 24*time.Hour {
		p.bad(key, v, `a duration with its unit from 1ms to 24h, such as "500ms" or "10s"`, (time.Duration(*to) * time.Millisecond).String())
		return
	}
	*to = d.Milliseconds()
}

// channel decides how state gets out of and into the application.
func (p *parser) channel(c engine.Container) {
	socket := environment(c.Env, "CHARTROOM_SOCKET")
	v, ok := p.labels[Snapshot]
	if !ok && socket != "" {
		v = "socket"
	}
	switch {
	case v == "" && !ok, v == "none":
	case v == "socket":
		if socket == "" {
			socket = path.Join(engine.RunDir, c.Name+".sock")
			p.find("socket.environment", Error, "environment:\n  - CHARTROOM_SOCKET="+socket,
				"the channel is socket, but CHARTROOM_SOCKET is not set: the application does not know where to listen")
		}
		if !mounted(c.Mounts, socket) {
			fix := "volumes:\n  - chartroom-run:" + engine.RunDir
			if !mounted([]engine.Mount{{Destination: engine.RunDir}}, socket) {
				// A volume at its own directory would share what else is there.
				fix = "environment:\n  - CHARTROOM_SOCKET=" + path.Join(engine.RunDir, c.Name+".sock") + "\n" + fix
			}
			p.find("socket.mount", Error, fix, "the socket %s is on no volume, so the agent cannot reach it", socket)
		}
		p.t.Channel, p.t.Socket = "socket", socket
	case strings.HasPrefix(v, "file:/") && len(v) > len("file:/") && path.Clean(v[5:]) == v[5:]:
		p.t.Channel = v
	case v == "stdio", strings.HasPrefix(v, "http:"), strings.HasPrefix(v, "exec:"):
		p.find("channel.unsupported", Error, Snapshot+"=socket", "the channel %q is not built yet; socket, file:/path and none are", v)
	default:
		example := "socket"
		if file, ok := strings.CutPrefix(v, "file:"); ok {
			if example = "file:" + path.Clean("/"+file); example == "file:/" {
				example = "file:/state.json"
			}
		}
		p.bad(Snapshot, v, `"socket", "file:/path" or "none"`, example)
	}
	p.t.Options.Channel = p.t.Channel
}

// policy decides when a snapshot is taken.
func (p *parser) policy() {
	o := &p.t.Options
	file := strings.HasPrefix(p.t.Channel, "file:")
	if file {
		o.Policy, o.PolicyInterval = "interval", fileInterval.Milliseconds()
	}
	v, ok := p.labels[SnapshotPolicy]
	if !ok {
		return
	}
	switch v {
	case "manual":
		o.Policy, o.PolicyInterval = v, 0
		return
	case "event":
		if !file {
			return
		}
		p.find("label.value", Error, SnapshotPolicy+"=10s", "a file brings no events: the policy of a file channel is an interval or manual")
		return
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		p.bad(SnapshotPolicy, v, `"event", "manual" or an interval from 100ms to 24h`, "event")
		return
	}
	o.Policy, o.PolicyInterval = "interval", d.Milliseconds()
}

func environment(env []string, key string) string {
	value := ""
	for _, line := range env {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			value = v
		}
	}
	return value
}

func mounted(mounts []engine.Mount, file string) bool {
	return slices.ContainsFunc(mounts, func(m engine.Mount) bool {
		dir := path.Clean(m.Destination)
		return dir != "/" && strings.HasPrefix(path.Clean(file), dir+"/")
	})
}

func name(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	})
}
