// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// patience is how much virtual time a document may take.
const patience = time.Minute

// runW3C runs a document until it ends or a minute of virtual time has passed.
func runW3C(file string, restore bool) (log []string, err error) {
	load := Beside(filepath.Dir(file))
	options := standard(load)
	c, err := compile(file, options)
	if err != nil {
		return []string{"rejected: " + err.Error()}, err
	}
	env := scxmlenv.New(scxmlenv.Config{Load: load, Options: options, Restore: restore,
		Observe: func(s *scxmlenv.Session, step scxml.Macrostep) { log = append(log, lines(s, step)...) }})
	s, err := env.Start(c, scxml.Input{})
	if err != nil {
		return log, err
	}
	if err := env.Run(s, patience); err != nil {
		return log, err
	}
	switch done := s.Finished(); {
	case done == nil:
		return log, fmt.Errorf("did not end, is in %s", strings.Join(s.Configuration(), " "))
	case done.Fault != "":
		return log, fmt.Errorf("was ended: %s", done.Fault)
	case done.State != "pass":
		return log, fmt.Errorf("ended in %q", done.State)
	}
	return log, nil
}

// standard are the processors and services that SCXML itself has.
func standard(load func(uri string) ([]byte, error)) scxml.Options {
	return scxml.Options{Load: load, SendTypes: []string{scxml.BasicHTTPProcessor}, InvokeTypes: []string{}}
}

// lines tells what a step logged and which faults it had.
func lines(s *scxmlenv.Session, step scxml.Macrostep) []string {
	who := ""
	if s.Parent != nil {
		who = s.InvokeID + ": "
	}
	var out []string
	for _, m := range step.Microsteps {
		for _, l := range m.Log {
			out = append(out, who+"log "+strings.TrimSpace(l.Label+" "+value(l.Value)))
		}
		for _, f := range m.Faults {
			out = append(out, fmt.Sprintf("%s%s in <%s> line %d: %s", who, f.Event, f.Element, f.Line, f.Message))
		}
	}
	if step.Done != nil {
		out = append(out, who+"ended in "+or(step.Done.State, "no final state"))
	}
	return out
}

func value(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
