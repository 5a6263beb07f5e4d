// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// Judgement is a manual test of W3C's plan, documented.
type Judgement struct {
	// Holds says whether what is looked for was seen. It is a proposal: the
	// judge is the reader of Log.
	Holds bool `json:"holds"`
	// Look is what has to be seen in the log.
	Look string `json:"look"`
	// Log is what was seen.
	Log []string `json:"log"`
}

// manuals are the manual tests by id: what to look for, and what finds it.
var manuals = map[string]struct {
	look string
	seen func(log []string) bool
}{
	"178": {"both values of the parameter given twice, 2 and 3, are delivered, as a processor that knows duplicates shows them",
		func(log []string) bool { return has(log, "Var1=2&Var1=3") }},
	"230": {"the child logs the same fields as the parent", sameFields},
	"250": {"the <onexit> of both states of the cancelled child has run", func(log []string) bool {
		return has(log, "Exiting sub01") && has(log, "Exiting sub0") && !has(log, "not cancelled")
	}},
	"301": {"the document is rejected, because its script cannot be loaded", func(log []string) bool {
		return has(log, "rejected:")
	}},
	"307": {"a variable that is not bound yet, and a property that does not exist, are no values", func(log []string) bool {
		return has(log, "ended in final") && !has(log, "Var 1 is: 1")
	}},
	"313": {"an illegal expression is an error when it is evaluated, or the document is rejected", ended},
	"314": {"the same, and not before it is reached", ended},
	"415": {"the session has ended, and nothing is after it", func(log []string) bool {
		return len(log) > 0 && strings.HasPrefix(log[len(log)-1], "ended in final")
	}},
	"513": {"an HTTP POST with an event becomes that event", func(log []string) bool { return has(log, "ended in pass") }},
}

func ended(log []string) bool { return has(log, "ended in pass") || has(log, "rejected:") }

func has(log []string, part string) bool {
	return slices.ContainsFunc(log, func(l string) bool { return strings.Contains(l, part) })
}

// sameFields compares what parent and child logged of the forwarded event.
func sameFields(log []string) bool {
	var parent, child []string
	for _, l := range log {
		if _, rest, ok := strings.Cut(l, ": log "); ok && !strings.HasPrefix(l, "log ") {
			child = append(child, rest)
		} else if rest, ok := strings.CutPrefix(l, "log "); ok {
			parent = append(parent, rest)
		}
	}
	return len(parent) > 0 && slices.Equal(parent, child)
}

// Judge runs a manual test of W3C's plan and documents what happened. Ids that
// are not in the plan are documented without a proposal.
func (c Case) Judge() Judgement {
	m := manuals[c.Name]
	j := Judgement{Look: m.look}
	switch {
	case c.Name == "513":
		j.Log = basicHTTP()
	case c.Name == "178":
		j.Log, _ = runW3C(c.File, false)
		j.Log = append(j.Log, duplicates()...)
	case filepath.Ext(c.File) == ".scxml":
		j.Log, _ = runW3C(c.File, false)
	default:
		j.Log = []string{"there is nothing to run: " + filepath.Base(c.File) + " is an instruction"}
	}
	j.Holds = m.seen != nil && m.seen(j.Log)
	return j
}

// duplicates tells the parameters as a processor that keeps them all gets
// them: the document of test 178, sending to another session's HTTP address.
func duplicates() []string {
	return session(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="s"><onentry><send event="event1" type="`+scxml.BasicHTTPProcessor+`" targetexpr="_ioprocessors['basichttp'].location">
    <param name="Var1" expr="2"/><param name="Var1" expr="3"/></send></onentry>
  <transition event="event1" target="final"><log label="the same by HTTP:" expr="_event.raw"/></transition></state>
  <final id="final"/></scxml>`, nil)
}

// basicHTTP does what the instruction of test 513 says, without a network: the
// body of its request is handed to the processor.
func basicHTTP() []string {
	log := []string{"POST key1=value1&key2=value2&_scxmleventname=test"}
	return append(log, session(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="s">
  <transition event="test" cond="_event.data.key1 == 'value1'" target="pass"><log label="event" expr="_event.name"/></transition>
  <transition event="*" target="fail"/></state><final id="pass"/><final id="fail"/></scxml>`,
		func(env *scxmlenv.Env, s *scxmlenv.Session) error {
			return env.Deliver(s, scxml.HTTPEvent("POST", "http://localhost/", "application/x-www-form-urlencoded",
				"key1=value1&key2=value2&_scxmleventname=test"))
		})...)
}

// session runs a document of our own and tells its log.
func session(document string, then func(*scxmlenv.Env, *scxmlenv.Session) error) (log []string) {
	fail := func(err error) []string { return append(log, fmt.Sprintf("failed: %v", err)) }
	d, err := scxml.Parse("manual", []byte(document), scxml.Limits{})
	if err != nil {
		return fail(err)
	}
	c, err := scxml.Compile(d, scxml.Options{})
	if err != nil {
		return fail(err)
	}
	env := scxmlenv.New(scxmlenv.Config{
		Observe: func(s *scxmlenv.Session, step scxml.Macrostep) { log = append(log, lines(s, step)...) },
	})
	s, err := env.Start(c, scxml.Input{})
	if err == nil && then != nil {
		err = then(env, s)
	}
	if err != nil {
		return fail(err)
	}
	return log
}
