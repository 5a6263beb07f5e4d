// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// Format renders a step in the form of the scenarios: a line for each
// microstep, for each fault, and for each effect that is no log.
//
//	tick: exit s11; take s11->s12 on tick; enter s12
//	  error.execution in <assign> line 12: ReferenceError: x is not defined
//	effect 1: send type=container event=start
func Format(step scxml.Macrostep) string {
	var b strings.Builder
	for i, m := range step.Microsteps {
		b.WriteString(label(m, i))
		b.WriteString(": ")
		b.WriteString(strings.Join(parts(m), "; "))
		b.WriteByte('\n')
		for _, f := range m.Faults {
			fmt.Fprintf(&b, "  %s", f.Event)
			if f.Element != "" {
				fmt.Fprintf(&b, " in <%s>", f.Element)
			}
			if f.Line > 0 {
				fmt.Fprintf(&b, " line %d", f.Line)
			}
			fmt.Fprintf(&b, ": %s\n", f.Message)
		}
	}
	n := 0
	for _, e := range step.Effects {
		if _, isLog := e.(scxml.Log); isLog {
			continue
		}
		n++
		fmt.Fprintf(&b, "effect %d: %s\n", n, FormatEffect(e))
	}
	return b.String()
}

func label(m scxml.Microstep, i int) string {
	switch {
	case m.Event != nil:
		return m.Event.Name
	case i == 0 && len(m.Transitions) == 0 && len(m.Entered) > 0:
		return "start"
	case i == 0 && len(m.Exited) > 0 && len(m.Transitions) == 0:
		return "stop"
	case len(m.Transitions) == 0:
		return "then"
	default:
		return "eventless"
	}
}

func parts(m scxml.Microstep) []string {
	var out []string
	if len(m.Exited) > 0 {
		out = append(out, "exit "+list(m.Exited))
	}
	for _, t := range m.Transitions {
		out = append(out, "take "+FormatTransition(t))
	}
	if len(m.Entered) > 0 {
		out = append(out, "enter "+list(m.Entered))
	}
	if len(m.Assigned) > 0 {
		out = append(out, "assign "+list(m.Assigned))
	}
	if len(m.Raised) > 0 {
		out = append(out, "raise "+list(m.Raised))
	}
	for _, d := range m.Delayed {
		out = append(out, fmt.Sprintf("delay %s %s by %s", d.SendID, d.Event, d.Delay))
	}
	for _, l := range m.Log {
		text := "log"
		if l.Label != "" {
			text += " " + l.Label
		}
		if l.Value != nil {
			if s, ok := l.Value.(string); ok {
				text += ": " + s
			} else {
				text += ": " + compact(l.Value)
			}
		}
		out = append(out, text)
	}
	if len(m.Transitions) == 0 && m.Event != nil {
		out = append(out, "no transition")
	}
	return out
}

// FormatTransition renders a transition: "a->b on e if x > 1", and "a->- on e"
// without a target.
func FormatTransition(t scxml.Taken) string {
	s := t.Source + "->" + strings.Join(t.Targets, ",")
	if len(t.Targets) == 0 {
		s += "-"
	}
	if t.Event != "" {
		s += " on " + strings.Join(strings.Fields(t.Event), " ")
	}
	if t.Cond != "" {
		s += " if " + strings.Join(strings.Fields(t.Cond), " ")
	}
	return s
}

// FormatEffect renders an effect on one line: its kind, then what is set.
func FormatEffect(e scxml.Effect) string {
	var b strings.Builder
	b.WriteString(e.Kind())
	text := func(name, v string) {
		if v != "" {
			fmt.Fprintf(&b, " %s=%s", name, v)
		}
	}
	value := func(name string, v any) {
		if v != nil {
			fmt.Fprintf(&b, " %s=%s", name, compact(v))
		}
	}
	switch e := e.(type) {
	case scxml.Send:
		if e.Type != scxml.SCXMLProcessor {
			text("type", e.Type)
		}
		text("target", e.Target)
		text("event", e.Event.Name)
		text("id", e.Event.SendID)
		value("data", e.Event.Data)
	case scxml.Cancel:
		text("id", e.SendID)
	case scxml.Invoke:
		if e.Type != scxml.SCXMLInvoke {
			text("type", e.Type)
		}
		text("id", e.ID)
		text("src", e.Src)
		if len(e.Data) > 0 {
			value("data", e.Data)
		}
		if e.Autoforward {
			b.WriteString(" autoforward")
		}
	case scxml.Uninvoke:
		text("id", e.ID)
	case scxml.Forward:
		text("to", e.InvokeID)
		text("event", e.Event.Name)
	case scxml.Log:
		text("label", e.Label)
		value("value", e.Value)
	case scxml.Done:
		text("state", e.State)
		value("data", e.Data)
		text("fault", e.Fault)
	}
	return b.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

// compact is JSON on one line, without escapes that hinder reading.
func compact(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
