// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// brief is what a scenario shows once it has said "brief": for charts with so
// many states that the whole trace hides the story.
type brief struct {
	on    bool
	paths []string
	// leaves and values are what was shown last, so that only changes are.
	leaves []string
	values map[string]string
}

// report renders a step: atomic states that were not active before, faults,
// effects that reach the world, and the watched values that changed.
func (b *brief) report(ip *scxml.Interpreter, step scxml.Macrostep) string {
	var out strings.Builder
	var leaves, entered []string
	for _, id := range ip.Configuration() {
		if s := ip.Chart().Document().State(id); s == nil || !s.IsAtomic() {
			continue
		}
		leaves = append(leaves, id)
		if !slices.Contains(b.leaves, id) {
			entered = append(entered, id)
		}
	}
	b.leaves = leaves
	if len(entered) > 0 {
		fmt.Fprintf(&out, "now: %s\n", strings.Join(entered, " "))
	}
	for _, m := range step.Microsteps {
		for _, f := range m.Faults {
			fmt.Fprintf(&out, "%s in <%s> line %d: %s\n", f.Event, f.Element, f.Line, f.Message)
		}
	}
	for _, e := range step.Effects {
		switch e.(type) {
		case scxml.Cancel, scxml.Log:
		default:
			fmt.Fprintf(&out, "%s\n", FormatEffect(e))
		}
	}
	for _, path := range b.paths {
		v, _ := ip.Value(path)
		if text := compact(v); b.values[path] != text {
			b.values[path] = text
			fmt.Fprintf(&out, "%s: %s\n", path, text)
		}
	}
	if out.Len() == 0 {
		return "no change\n"
	}
	return out.String()
}

// defaults are the values that "with" gives to the data of events.
type defaults []struct {
	descriptor string
	data       map[string]any
}

func (d *defaults) add(line string) error {
	descriptor, text, _ := strings.Cut(line, " ")
	var data map[string]any
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return fmt.Errorf("data for %s: %w", descriptor, err)
	}
	*d = append(*d, struct {
		descriptor string
		data       map[string]any
	}{descriptor, data})
	return nil
}

// apply fills in what the event's own data leave out; later lines win.
func (d defaults) apply(ev *scxml.Event) {
	filled := map[string]any{}
	found := false
	for _, e := range d {
		if ev.Name == e.descriptor || strings.HasPrefix(ev.Name, e.descriptor+".") {
			found = true
			maps.Copy(filled, e.data)
		}
	}
	own, isMap := ev.Data.(map[string]any)
	if !found || ev.Data != nil && !isMap {
		return
	}
	maps.Copy(filled, own)
	ev.Data = filled
}
