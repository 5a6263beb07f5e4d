// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/chartroom/chartroom/scxml"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// sessionEvery is how often a log entry carries the session snapshot.
const sessionEvery = 100

// traceBytes bounds what an entry tells of microsteps beside the first, of the log
// lines of one, and of effects. A step may have ten thousand microsteps and more
// lines, and names and conditions may be as long as the document.
const traceBytes = 1 << 20

// namesShown bounds the names in a sentence, in bytes.
const namesShown = 1 << 10

// alarming states make an entry that enters them an error.
var alarming = []string{"crashed", "given_up"}

// describe fills in what the macrostep did, how serious that is, and a
// sentence for people.
func (t *turn) describe(e *fleetv1.LogEntry, s stimulus, taken scxml.Macrostep, before fleetv1.Severity) {
	i := t.instance
	var entered []string
	faults, left := 0, traceBytes
	for n, m := range taken.Microsteps {
		if left > 0 {
			told := microstep(m)
			if left -= proto.Size(told); left <= 0 && n > 0 {
				told = &fleetv1.Microstep{Messages: []string{fmt.Sprintf("(%d more microsteps are not told: they would take more than %d bytes)", len(taken.Microsteps)-n, traceBytes)}}
			}
			e.Microsteps = append(e.Microsteps, told)
		}
		entered = append(entered, m.Entered...)
		faults += len(m.Faults)
	}
	why, now := i.reason()
	e.Severity = fleetv1.Severity_SEVERITY_INFO
	switch {
	case strings.HasPrefix(s.event, "error.") || s.event == "app.refused" || faults > 0:
		e.Severity = fleetv1.Severity_SEVERITY_ERROR
	case slices.ContainsFunc(entered, func(id string) bool { return slices.Contains(alarming, id) }):
		e.Severity = fleetv1.Severity_SEVERITY_ERROR
	case now > before:
		e.Severity = now
	case s.event == "app.error" || s.event == "app.lost" || s.event == "docker.oom" || answerFailed(s) ||
		s.event == "app.unready" && !i.book.Ready:
		e.Severity = fleetv1.Severity_SEVERITY_WARNING
	}
	if e.Summary = s.summary; e.Summary == "" || faults > 0 {
		e.Summary = sentence(s, entered, faults)
	}
	if why != i.why && why != "" {
		e.Summary = why
		if answerFailed(s) {
			e.Summary = words(s) + " " + why
		}
	}
	i.why = why
}

// perform does what a macrostep asks for, and tells of it in its entry.
func (t *turn) perform(e *fleetv1.LogEntry, effects []scxml.Effect) {
	left, untold := traceBytes, 0
	for _, effect := range effects {
		shown := t.effect(effect)
		if left -= proto.Size(shown); left < 0 {
			untold++
			continue
		}
		e.Effects = append(e.Effects, shown)
	}
	if untold > 0 {
		e.Effects = append(e.Effects, &fleetv1.Effect{Kind: "log", Name: fmt.Sprintf("(%d more effects are not told: they would take more than %d bytes)", untold, traceBytes)})
	}
}

func answerFailed(s stimulus) bool { return s.event == "app.answer" && words(s) != "" }

// sentence tells what happened when the chart does not.
func sentence(s stimulus, entered []string, faults int) string {
	if said := words(s); said != "" && faults == 0 {
		return said
	}
	name := s.event
	switch {
	case s.done != nil:
		name = "Started"
	case s.origin == "timer":
		name = "Timer " + s.event
	case name == "":
		name = "Step"
	}
	if data, ok := s.data.(map[string]any); ok && strings.HasPrefix(s.event, "error.") {
		if message, ok := data["message"].(string); ok && message != "" {
			name += ": " + message
		}
	}
	if faults > 0 {
		name += fmt.Sprintf(" (%d faults of the chart)", faults)
	}
	if len(entered) == 0 {
		return name + "; no change of state."
	}
	return name + "; entered " + enumerate(entered) + "."
}

// enumerate lists names, as far as there is room; the first in any case.
func enumerate(names []string) string {
	var b strings.Builder
	for n, name := range names {
		if n > 0 && b.Len()+len(name) > namesShown {
			fmt.Fprintf(&b, " and %d more", len(names)-n)
			break
		}
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

func microstep(m scxml.Microstep) *fleetv1.Microstep {
	out := &fleetv1.Microstep{Exited: m.Exited, Entered: m.Entered}
	if m.Event != nil {
		out.Event = m.Event.Name
	}
	for _, taken := range m.Transitions {
		out.Transitions = append(out.Transitions, transition(taken))
	}
	left := traceBytes
	for n, l := range m.Log {
		line := string(encode(l.Value))
		if l.Label != "" {
			line = l.Label + ": " + line
		}
		if left -= len(line) + 8; left < 0 {
			out.Messages = append(out.Messages, fmt.Sprintf("(%d more lines are not told: they would take more than %d bytes)", len(m.Log)-n, traceBytes))
			break
		}
		out.Messages = append(out.Messages, line)
	}
	for _, f := range m.Faults {
		out.Messages = append(out.Messages, fmt.Sprintf("%s in <%s>, line %d: %s", f.Event, f.Element, f.Line, f.Message))
	}
	return out
}

// transition renders one as "running -> crashed on docker.die".
func transition(taken scxml.Taken) string {
	source := taken.Source
	if source == "" {
		source = "(start)"
	}
	text := source
	if len(taken.Targets) > 0 {
		text += " -> " + strings.Join(taken.Targets, " ")
	}
	if taken.Event != "" {
		text += " on " + taken.Event
	}
	if taken.Cond != "" {
		text += " [" + taken.Cond + "]"
	}
	return text
}
