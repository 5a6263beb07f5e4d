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

func runSCION(file, scriptFile string, restore, parallelLCCA bool) error {
	load := Beside(filepath.Dir(file))
	c, err := compile(file, scxml.Options{Load: load, ParallelLCCA: parallelLCCA})
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
	env := scxmlenv.New(scxmlenv.Config{Load: load, Restore: restore})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		return err
	}
	var errs []error
	if err := atomic(c, s, play.InitialConfiguration); err != nil {
		errs = append(errs, fmt.Errorf("after the start: %w", err))
	}
	for i, e := range play.Events {
		if err := env.Advance(time.Duration(e.After) * time.Millisecond); err != nil {
			return err
		}
		if err := env.Deliver(s, scxml.Event{Name: e.Event.Name, Data: e.Event.Data}); err != nil {
			return err
		}
		if err := atomic(c, s, e.NextConfiguration); err != nil {
			errs = append(errs, fmt.Errorf("after event %d %s: %w", i+1, e.Event.Name, err))
		}
	}
	return errors.Join(errs...)
}

// atomic compares the atomic states, the last one of an ended session included.
func atomic(c *scxml.Chart, s *scxmlenv.Session, want []string) error {
	var got []string
	if done := s.Finished(); done != nil {
		if done.Fault != "" {
			return fmt.Errorf("was ended: %s", done.Fault)
		}
		got = []string{done.State}
	}
	for _, id := range s.Configuration() {
		if c.Document().State(id).IsAtomic() {
			got = append(got, id)
		}
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("is in %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}
