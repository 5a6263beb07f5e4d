// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// script is what SCION's tests do: the atomic states after the start, and after
// each event.
type script struct {
	InitialConfiguration []string `json:"initialConfiguration"`
	Events               []struct {
		// After is in milliseconds.
		After int `json:"after"`
		Event struct {
			Name string `json:"name"`
			Data any    `json:"data"`
		} `json:"event"`
		NextConfiguration []string `json:"nextConfiguration"`
	} `json:"events"`
}

// isScript says whether a JSON file looks like a script.
func isScript(file string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(b, &keys) != nil {
		return false
	}
	_, ok := keys["initialConfiguration"]
	return ok
}

// reading is how a script is understood where engines differ.
type reading struct {
	// parallel is [scxml.Options.ParallelLCCA].
	parallel bool
	// passing lets a configuration count that the session left again at once, for an
	// event of its own or of what it invokes: other engines take it in a later turn.
	passing bool
}

func runSCION(file, scriptFile string, restore bool, r reading) error {
	load := Beside(filepath.Dir(file))
	options := standard(load)
	options.ParallelLCCA = r.parallel
	c, err := compile(file, options)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(scriptFile)
	if err != nil {
		return err
	}
	var play script
	if err := json.Unmarshal(b, &play); err != nil {
		return fmt.Errorf("%s: %w", scriptFile, err)
	}
	way := passage{doc: c.Document()}
	env := scxmlenv.New(scxmlenv.Config{Load: load, Options: options, Restore: restore, Observe: way.observe})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		return err
	}
	var errs []error
	if err := way.check(play.InitialConfiguration, r.passing); err != nil {
		errs = append(errs, fmt.Errorf("after the start: %w", err))
	}
	for i, e := range play.Events {
		if err := env.Advance(time.Duration(e.After) * time.Millisecond); err != nil {
			return err
		}
		way.passed, way.begun = nil, false
		if err := env.Deliver(s, scxml.Event{Name: e.Event.Name, Data: e.Event.Data}); err != nil {
			return err
		}
		if err := way.check(e.NextConfiguration, r.passing); err != nil {
			errs = append(errs, fmt.Errorf("after event %d %s: %w", i+1, e.Event.Name, err))
		}
	}
	return errors.Join(errs...)
}

// passage is the way of a session through its configurations.
type passage struct {
	doc *scxml.Document
	// now are the atomic states, sorted; of an ended session the last one.
	now []string
	// passed are the stable configurations that were left again since begun was false.
	passed [][]string
	begun  bool
	fault  string
}

// observe follows a step of the session, but not those of what it invokes.
func (p *passage) observe(s *scxmlenv.Session, step scxml.Macrostep) {
	if s.Parent != nil {
		return
	}
	for _, m := range step.Microsteps {
		if p.begun && m.Event != nil && m.Event.Type == scxml.External {
			p.passed = append(p.passed, slices.Clone(p.now))
		}
		p.begun = true
		p.now = slices.DeleteFunc(p.now, func(id string) bool { return slices.Contains(m.Exited, id) })
		for _, id := range m.Entered {
			if p.doc.State(id).IsAtomic() {
				p.now = append(p.now, id)
			}
		}
		slices.Sort(p.now)
	}
	if step.Done != nil {
		p.now, p.fault = []string{step.Done.State}, step.Done.Fault
	}
}

// check compares the atomic states with those of a script.
func (p *passage) check(want []string, passing bool) error {
	want = slices.Sorted(slices.Values(want))
	equal := func(got []string) bool { return slices.Equal(got, want) }
	switch {
	case p.fault != "":
		return fmt.Errorf("was ended: %s", p.fault)
	case equal(p.now), passing && slices.ContainsFunc(p.passed, equal):
		return nil
	}
	return fmt.Errorf("is in %s, want %s", strings.Join(p.now, " "), strings.Join(want, " "))
}
