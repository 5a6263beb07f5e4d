// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// report is what the unattended demonstration writes.
type report struct {
	// Acknowledged is the number of events for which the sender got an answer.
	Acknowledged int `json:"acknowledged"`
	// WhileDown is how many of them were acknowledged between a kill and the
	// next ready of the application.
	WhileDown int `json:"acknowledged_while_down"`
	// Processed is the length of the application's own list, read at the end.
	Processed int `json:"processed"`
	Lost      int `json:"lost"`
	Doubled   int `json:"doubled"`
	// Commands and CommandsDoubled: commands of chartroom, and how many engine
	// events there are beyond one for each.
	Commands        int `json:"commands"`
	CommandsDoubled int `json:"commands_doubled"`

	Recovery      timing `json:"recovery_ms"`
	DockerRestart timing `json:"docker_restart_ms"`

	RestoredSnapshot uint64   `json:"restored_snapshot"`
	Instance         string   `json:"instance"`
	Dashboard        string   `json:"dashboard"`
	Fault            string   `json:"fault,omitempty"`
	Wrong            []string `json:"wrong"`
}

// timing is a list of milliseconds and its median.
type timing struct {
	Median  float64   `json:"median"`
	Samples []float64 `json:"samples"`
}

// newTiming computes the median: the middle one, or the mean of the two.
func newTiming(samples []time.Duration) timing {
	t := timing{Samples: make([]float64, 0, len(samples))}
	for _, d := range samples {
		t.Samples = append(t.Samples, float64(d.Microseconds())/1000)
	}
	if n := len(samples); n > 0 {
		sorted := slices.Sorted(slices.Values(t.Samples))
		t.Median = (sorted[(n-1)/2] + sorted[n/2]) / 2
	}
	return t
}

// prove asks the witnesses, measures, writes the report and judges.
func (s *stage) prove(ctx context.Context, hello *app) error {
	s.scene("The witnesses")
	wrong := func(format string, args ...any) {
		s.report.Wrong = append(s.report.Wrong, fmt.Sprintf(format, args...))
	}
	s.report.Wrong = []string{}
	s.report.Recovery, s.report.DockerRestart = newTiming(nil), newTiming(nil) // lists also where nothing is measured
	processed, err := s.ownList(ctx, hello)
	if err != nil {
		wrong("%v", err)
	}
	lost, doubled := s.tally.compare(processed)
	r := &s.report
	r.Acknowledged, r.Processed, r.Lost, r.Doubled, r.Fault = s.tally.count(), len(processed), len(lost), len(doubled), s.cfg.Fault
	s.say("The application's own list has %d numbers; %d were acknowledged: %d lost, %d doubled.", r.Processed, r.Acknowledged, r.Lost, r.Doubled)
	if r.Lost > 0 {
		wrong("acknowledged and never processed: %s", some(lost))
	}
	if r.Doubled > 0 {
		wrong("processed more than once: %s", some(doubled))
	}
	if r.Acknowledged < leastEvents {
		wrong("%d events were acknowledged, at least %d are needed", r.Acknowledged, leastEvents)
	}
	if r.WhileDown < leastDown {
		wrong("%d events were acknowledged while it was down, at least %d are needed", r.WhileDown, leastDown)
	}
	if r.RestoredSnapshot == 0 {
		wrong("no snapshot was restored")
	}
	if err := s.engineWitness(ctx, hello, wrong); err != nil {
		wrong("%v", err)
	}
	if s.cfg.Fault == "" && s.cfg.Pairs > 0 && len(r.Wrong) == 0 {
		if err := s.measure(ctx); err != nil {
			wrong("%v", err)
		}
	}
	if err := s.writeReport(); err != nil {
		return err
	}
	if len(r.Wrong) > 0 {
		return fmt.Errorf("%w:\n%s", errFound, strings.Join(r.Wrong, "\n"))
	}
	s.scene("Every claim holds: %d events acknowledged, %d of them while it was down; 0 lost, 0 doubled.", r.Acknowledged, r.WhileDown)
	return nil
}

// some shows the first few numbers.
func some(numbers []int) string {
	text := strings.Trim(fmt.Sprint(numbers[:min(len(numbers), 10)]), "[]")
	if len(numbers) > 10 {
		text += fmt.Sprintf(" and %d more", len(numbers)-10)
	}
	return text
}

// ownList asks the application for what it processed and reads its answer where
// the engine keeps it.
func (s *stage) ownList(ctx context.Context, a *app) ([]int, error) {
	asked := time.Now()
	if err := s.sendOne(ctx, a, "report", nil); err != nil {
		return nil, err
	}
	var list []int
	err := s.until(ctx, a.name+" reports what it processed", func() (bool, error) {
		all, err := s.docker.logs(ctx, a.name)
		if err != nil {
			return false, err
		}
		for _, l := range slices.Backward(all) {
			if text, ok := strings.CutPrefix(l.text, "report: "); ok && l.at.After(asked) {
				return true, json.Unmarshal([]byte(text), &list)
			}
		}
		return false, nil
	})
	return list, err
}

// engineWitness compares the engine's record with the commands in the log: each
// command id acted once, and every death was ours.
func (s *stage) engineWitness(ctx context.Context, a *app, wrong func(string, ...any)) error {
	c, err := s.docker.inspect(ctx, a.name)
	if err != nil {
		return err
	}
	events, err := s.docker.events(ctx, s.began)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	created := map[string]int{} // command id on the container → containers
	for _, e := range events {
		if e.Action == "create" {
			created[e.Actor.Attributes["chartroom.command"]]++
		}
		if e.Actor.ID == c.ID {
			seen[e.Action]++
		}
	}
	if err := s.collect(ctx, a); err != nil {
		return err
	}
	commands := s.commands
	for id, n := range created {
		if n > 1 {
			s.report.CommandsDoubled += n - 1
			wrong("the command %q made %d containers", id, n)
		}
	}
	if id := c.Config.Labels["chartroom.command"]; !commands["create"][id] {
		wrong("the container was made by the command %q, which is not in the log", id)
	}
	s.report.Commands = len(commands["create"]) + len(commands["start"]) + len(commands["stop"])
	for _, verb := range []string{"create", "start"} {
		if got, want := seen[verb], len(commands[verb]); got != want {
			s.report.CommandsDoubled += max(0, got-want)
			wrong("%d commands to %s, and the engine did it %d times", want, verb, got)
		}
	}
	if seen["die"] != s.kills[a.name] {
		wrong("it was killed %d times and died %d times", s.kills[a.name], seen["die"])
	}
	s.say("The engine saw %s once for each of our commands: %d create, %d start. Kills: %d, deaths: %d.",
		a.name, seen["create"], seen["start"], s.kills[a.name], seen["die"])
	return nil
}

// collect reads on in the log of an instance and keeps the ids of all commands,
// by verb. It is called after each scene: the log is kept for a while only.
func (s *stage) collect(ctx context.Context, a *app) error {
	for {
		r, err := s.fleet.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: a.instance, AfterSequence: s.collected, PageSize: 1000})
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", a.name, err)
		}
		if len(r.GetEntries()) == 0 {
			return nil
		}
		if first := r.GetEntries()[0].GetSequence(); first != s.collected+1 {
			return fmt.Errorf("the log of %s lacks the entries %d to %d", a.name, s.collected+1, first-1)
		}
		for _, e := range r.GetEntries() {
			s.collected = e.GetSequence()
			for _, f := range e.GetEffects() {
				if f.GetKind() != "command" {
					continue
				}
				if s.commands[f.GetName()] == nil {
					s.commands[f.GetName()] = map[string]bool{}
				}
				s.commands[f.GetName()][f.GetCommandId()] = true
			}
		}
	}
}

func (s *stage) writeReport() error {
	if s.cfg.Report == "" {
		return nil
	}
	b, err := json.MarshalIndent(s.report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(s.cfg.Report, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	s.say("The figures are in %s.", s.cfg.Report)
	return nil
}

// measure times recoveries, each beside one of the engine's own restart policy.
// Both clocks run from the SIGKILL to the host pid to the line with which the
// application says that it is ready, as the engine stamped it; same image,
// volume and network; a fresh container for each sample of either side, so that
// neither pays for the one before.
func (s *stage) measure(ctx context.Context) error {
	s.scene("Recovery, measured %d times beside the engine's own restart policy", s.cfg.Pairs)
	var ours, theirs []time.Duration
	for n := range s.cfg.Pairs {
		var d, e time.Duration
		sides := []func() error{
			func() (err error) { d, err = s.sampleOurs(ctx, fmt.Sprintf("recovery-%s-%d", s.id, n)); return err },
			func() (err error) { e, err = s.sampleDocker(ctx, fmt.Sprintf("restart-%s-%d", s.id, n)); return err },
		}
		for i := range sides { // in turn, each side first in every other pair
			if err := sides[(i+n)%2](); err != nil {
				return fmt.Errorf("sample %d: %w", n+1, err)
			}
		}
		ours, theirs = append(ours, d), append(theirs, e)
		s.say("%2d  with state restored %4d ms   the engine, without state %4d ms", n+1, d.Milliseconds(), e.Milliseconds())
	}
	s.report.Recovery, s.report.DockerRestart = newTiming(ours), newTiming(theirs)
	s.say("Median: %.0f ms with its state, %.0f ms the engine's blank restart.", s.report.Recovery.Median, s.report.DockerRestart.Median)
	return nil
}

func (s *stage) sampleOurs(ctx context.Context, name string) (time.Duration, error) {
	a, err := s.make(ctx, name, nil, nil)
	if err != nil {
		return 0, err
	}
	if err := s.sendOne(ctx, a, "hello", map[string]any{"number": 1}); err != nil {
		return 0, err
	}
	if _, err := s.untilInstance(ctx, a, "has a snapshot", func(i *fleetv1.Instance) bool {
		return len(i.GetSnapshots()) > 0 && i.GetQueue().GetContainedSequence() == 1
	}); err != nil {
		return 0, err
	}
	at, err := s.kill(ctx, a.name)
	if err != nil {
		return 0, err
	}
	ready, _, err := s.untilRestored(ctx, a, at)
	if err != nil {
		return 0, err
	}
	return ready.Sub(at), s.discard(ctx, a)
}

// discard stops and removes an application by intents: what is taken away from
// under chartroom would be started again.
func (s *stage) discard(ctx context.Context, a *app) error {
	if _, err := s.untilState(ctx, a, "running"); err != nil {
		return err
	}
	if err := s.sendOne(ctx, a, "system.stop", map[string]any{"grace": 1}); err != nil {
		return err
	}
	if _, err := s.untilState(ctx, a, "stopped"); err != nil {
		return err
	}
	return s.sendOne(ctx, a, "system.remove", nil)
}

func (s *stage) sampleDocker(ctx context.Context, name string) (time.Duration, error) {
	began := time.Now()
	if _, err := s.docker.run(ctx, "run", "--detach", "--name", name, "--label", s.docker.label, "--restart", "always",
		"--network", "none", "--volume", s.volume+":/run/chartroom", s.image, "--alone", "--socket", "/run/chartroom/"+name+".sock"); err != nil {
		return 0, err
	}
	if _, _, err := s.untilReady(ctx, name, began); err != nil {
		return 0, err
	}
	at, err := s.kill(ctx, name)
	if err != nil {
		return 0, err
	}
	ready, _, err := s.untilReady(ctx, name, at)
	if err != nil {
		return 0, err
	}
	_, err = s.docker.run(ctx, "rm", "-f", name)
	return ready.Sub(at), err
}
