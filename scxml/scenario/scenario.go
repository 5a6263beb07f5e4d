// SPDX-License-Identifier: Apache-2.0

// Package scenario tells the story of a chart in files that people can read
// and programs can run. A scenario is a text file of blocks: comments, commands, a
// line "----", and what comes out, up to an empty line.
//
//	# A crash without a command of ours is answered by a restart.
//	chart ../container.scxml
//	start {"restartMax": 3}
//	----
//	start: enter lifecycle created
//	configuration: lifecycle created
//
//	deliver docker.die {"exitCode": 137}
//	advance 100ms
//	----
//	...
//
// The commands, one a line, JSON and what is in brackets optional:
//
//	chart FILE            compile FILE, relative to the scenario; prints its problems
//	start [{JSON}]        start a session; the JSON gives Input.Data
//	deliver NAME [JSON]   deliver an external event with data
//	deliver NAME from=ID [JSON]   the same, as sent by the invocation ID
//	advance DURATION      move the clock; delayed sends fire at their times
//	stop                  end the session from outside
//	restore               save and restore; fails if the copy is not the same
//	outage DURATION       save, let the clock go on while nobody runs the session,
//	                      restore and resume
//	enabled [PREFIX]      print the events that have a transition now
//	accepts NAME          print true or false
//	pending               print the delayed sends
//	data [PATH]           print the datamodel, or one value
//	attributes NS LOCAL   print the foreign attributes of active states
//	configuration         print the active states
//	with EVENT {JSON}     fill in data of events that match the descriptor EVENT
//	brief [PATH …]        from here on print atomic states entered, effects and
//	                      changes of the values PATH instead of the whole trace
//
// A scenario is meant to run twice: straight, and saved and restored after every
// command; both must give the same output ([Check]). Tests run scenarios with
// package scxmltest.
//
// The package uses the scenario's own virtual clock. It starts no goroutine.
package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// Config says how charts of scenarios are compiled. The zero value is usable.
type Config struct {
	Options scxml.Options
	// Input is used by start; Now defaults to 2000-01-01 UTC, SessionID to
	// "test". Data are overridden by those of the command.
	Input scxml.Input
}

// Check plays the scenario in file straight, and saved and restored after every
// command. The error says where the two, or what is written, differ from what
// came out, which is returned for rewriting.
func Check(file string, c Config) (got []byte, err error) {
	want, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	got, err = Play(file, want, c, false)
	if err != nil {
		return nil, err
	}
	restored, err := Play(file, want, c, true)
	if err != nil {
		return nil, fmt.Errorf("saved and restored after every command: %w", err)
	}
	if d := Difference(string(got), string(restored)); d != "" {
		return nil, fmt.Errorf("%s: saved and restored after every command it goes another way: %s", file, d)
	}
	if d := Difference(string(want), string(got)); d != "" {
		return got, fmt.Errorf("%w: %s: %s", ErrDiffers, file, d)
	}
	return got, nil
}

// ErrDiffers is returned by [Check], wrapped, when what came out is not what is
// written.
var ErrDiffers = errors.New("the output is another one")

// Difference tells the first line that differs, with the ones before; empty if
// none does.
func Difference(want, got string) string {
	if want == got {
		return ""
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	at := func(lines []string) string {
		from, to := max(0, i-6), min(len(lines), i+4)
		return "\t" + strings.Join(lines[from:to], "\n\t")
	}
	return fmt.Sprintf("differs at line %d\nwant:\n%s\ngot:\n%s", i+1, at(w), at(g))
}

// Play runs the scenario in text and returns it with the actual output. file
// is used to find charts and in messages. With restore the session is saved and
// restored after every command.
func Play(file string, text []byte, c Config, restore bool) ([]byte, error) {
	p := &player{dir: filepath.Dir(file), config: c, restore: restore, now: c.Input.Now}
	if p.now.IsZero() {
		p.now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	p.start = p.now
	var out bytes.Buffer
	compared := false
	lines := strings.SplitAfter(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out.WriteString(line)
		if strings.TrimRight(line, "\r\n") != "----" {
			trimmed := strings.TrimSpace(line)
			if trimmed == "" || trimmed[0] == '#' {
				continue
			}
			result, err := p.command(trimmed)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %s: %w", file, i+1, trimmed, err)
			}
			p.out.WriteString(result)
			continue
		}
		compared = true
		if !strings.HasSuffix(line, "\n") {
			out.WriteByte('\n')
		}
		out.WriteString(p.out.String())
		p.out.Reset()
		for i+1 < len(lines) && strings.TrimSpace(lines[i+1]) != "" {
			i++
		}
	}
	if p.out.Len() > 0 {
		return nil, fmt.Errorf("%s: the last commands have no ----", file)
	}
	if !compared {
		return nil, fmt.Errorf("%s: it tests nothing: there is no ----", file)
	}
	return out.Bytes(), nil
}

// player is a scenario being played.
type player struct {
	dir     string
	config  Config
	restore bool
	chart   *scxml.Chart
	ip      *scxml.Interpreter
	now     time.Time
	start   time.Time
	seed    uint64
	out     strings.Builder
	brief   brief
	with    defaults
}

func (p *player) command(line string) (string, error) {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	if name == "chart" {
		return p.load(rest)
	}
	if p.chart == nil {
		return "", fmt.Errorf("no chart")
	}
	switch name {
	case "with":
		return "", p.with.add(rest)
	case "brief":
		p.brief = brief{on: true, paths: strings.Fields(rest), values: map[string]string{}}
		return "", nil
	}
	if name == "start" {
		return p.begin(rest)
	}
	if p.ip == nil {
		return "", fmt.Errorf("no session")
	}
	out, err := p.run(name, rest)
	if err == nil && p.restore {
		err = p.saveAndRestore()
	}
	return out, err
}

func (p *player) run(name, rest string) (string, error) {
	switch name {
	case "deliver":
		ev, err := parseEvent(rest)
		if err != nil {
			return "", err
		}
		p.with.apply(&ev)
		step, err := p.ip.Deliver(ev, p.input())
		return p.report(step, err)
	case "advance":
		return p.advance(rest)
	case "stop":
		step, err := p.ip.Stop(p.input())
		return p.report(step, err)
	case "restore":
		return "", p.saveAndRestore()
	case "outage":
		return "", p.outage(rest)
	case "enabled":
		enabled := slices.DeleteFunc(p.ip.Enabled(), func(e string) bool { return !strings.HasPrefix(e, rest) })
		return "enabled: " + list(enabled) + "\n", nil
	case "accepts":
		return fmt.Sprintf("accepts %s: %v\n", rest, p.ip.Accepts(rest)), nil
	case "configuration":
		return "configuration: " + list(p.ip.Configuration()) + "\n", nil
	case "pending":
		return p.pending(), nil
	case "attributes":
		ns, local, _ := strings.Cut(rest, " ")
		return local + ": " + list(p.ip.Attributes(ns, strings.TrimSpace(local))) + "\n", nil
	case "data":
		if rest == "" {
			return "data: " + compact(p.ip.Data()) + "\n", nil
		}
		v, ok := p.ip.Value(rest)
		if !ok {
			return rest + ": none\n", nil
		}
		return rest + ": " + compact(v) + "\n", nil
	}
	return "", fmt.Errorf("unknown command %q", name)
}

func (p *player) load(file string) (string, error) {
	file = filepath.Join(p.dir, file)
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	d, err := scxml.Parse(filepath.Base(file), b, p.config.Options.Limits)
	if err != nil {
		return "refused: " + err.Error() + "\n", nil
	}
	if p.chart, err = scxml.Compile(d, p.config.Options); err != nil {
		return "refused: " + err.Error() + "\n", nil
	}
	p.ip = nil
	var out strings.Builder
	for _, q := range p.chart.Problems() {
		fmt.Fprintf(&out, "problem %s: %s\n", q.Position, q.Message)
	}
	return out.String(), nil
}

// input is that of the next step.
func (p *player) input() scxml.Input {
	p.seed++
	return scxml.Input{Now: p.now, Seed: p.seed}
}

func (p *player) begin(data string) (string, error) {
	in := p.config.Input
	in.Now, in.Seed = p.input().Now, p.seed
	if in.SessionID == "" {
		in.SessionID = "test"
	}
	if data != "" {
		var overrides map[string]any
		if err := json.Unmarshal([]byte(data), &overrides); err != nil {
			return "", err
		}
		merged := map[string]any{}
		for k, v := range in.Data {
			merged[k] = v
		}
		for k, v := range overrides {
			merged[k] = v
		}
		in.Data = merged
	}
	ip, step, err := scxml.Start(p.chart, in)
	if err != nil {
		return "", err
	}
	p.ip = ip
	out, err := p.report(step, nil)
	if err == nil && p.restore {
		err = p.saveAndRestore()
	}
	return out, err
}

func parseEvent(s string) (scxml.Event, error) {
	name, rest, _ := strings.Cut(s, " ")
	ev := scxml.Event{Name: name}
	if ev.Name == "" {
		return ev, fmt.Errorf("no event")
	}
	rest = strings.TrimSpace(rest)
	if from, ok := strings.CutPrefix(rest, "from="); ok {
		ev.InvokeID, rest, _ = strings.Cut(from, " ")
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		if err := json.Unmarshal([]byte(rest), &ev.Data); err != nil {
			return ev, fmt.Errorf("data of %s: %w", name, err)
		}
	}
	return ev, nil
}

// outage lets the clock go on without the session.
func (p *player) outage(duration string) error {
	d, err := time.ParseDuration(duration)
	if err == nil {
		err = p.saveAndRestore()
	}
	if err != nil {
		return err
	}
	stopped := p.now
	p.now = stopped.Add(d)
	p.ip.Resume(stopped, p.now)
	return nil
}

// advance fires what is due on the way, each at its time.
func (p *player) advance(duration string) (string, error) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return "", err
	}
	end := p.now.Add(d)
	var out strings.Builder
	for n := 0; ; n++ {
		pending := p.ip.Pending()
		if len(pending) == 0 || pending[0].Due.After(end) {
			break
		}
		if n > 10_000 {
			return "", fmt.Errorf("more than %d delayed sends", n)
		}
		if pending[0].Due.After(p.now) {
			p.now = pending[0].Due
		}
		fmt.Fprintf(&out, "at %s fire %s\n", p.now.Sub(p.start), pending[0].Send.SendID)
		step, err := p.ip.Fire(pending[0].Seq, p.input())
		if err != nil {
			return "", err
		}
		if p.brief.on {
			out.WriteString(p.brief.report(p.ip, step))
		} else {
			out.WriteString(Format(step))
		}
		if p.restore {
			if err := p.saveAndRestore(); err != nil {
				return "", err
			}
		}
	}
	p.now = end
	if p.brief.on {
		if out.Len() == 0 {
			out.WriteString("no change\n")
		}
		return out.String(), nil
	}
	out.WriteString(p.state())
	return out.String(), nil
}

func (p *player) report(step scxml.Macrostep, err error) (string, error) {
	if err != nil {
		return "refused: " + err.Error() + "\n", nil
	}
	if p.brief.on {
		return p.brief.report(p.ip, step), nil
	}
	return Format(step) + p.state(), nil
}

func (p *player) state() string {
	if p.ip.Finished() != nil {
		return ""
	}
	return "configuration: " + list(p.ip.Configuration()) + "\n"
}

func (p *player) pending() string {
	var out strings.Builder
	for _, d := range p.ip.Pending() {
		fmt.Fprintf(&out, "at %s %s event=%s\n", d.Due.Sub(p.start), d.Send.SendID, d.Send.Event.Name)
	}
	if out.Len() == 0 {
		return "pending: none\n"
	}
	return out.String()
}

func (p *player) saveAndRestore() error {
	b, err := p.ip.AppendSnapshot(nil)
	if err != nil {
		return err
	}
	ip, err := scxml.Restore(p.chart, b)
	if err != nil {
		return fmt.Errorf("%w\nsnapshot: %s", err, readable(p.ip))
	}
	again, err := ip.AppendSnapshot(nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return fmt.Errorf("the restored session is another one\nsaved:    %s\nrestored: %s", readable(p.ip), readable(ip))
	}
	p.ip = ip
	return nil
}

func readable(ip *scxml.Interpreter) []byte {
	b, err := ip.AppendJSON(nil)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
