// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"slices"
	"time"
)

// Extension is the XML namespace of attributes that SCXML does not have. The
// kernel reads one of them, "resume" on <send> and <scxml>; others are for those
// who ask [Interpreter.Attributes].
const Extension = "urn:chartroom:chart"

// Resumption says what [Interpreter.Resume] makes of a delayed <send>: when it is
// due after a time in which nobody ran its session. A chart says it for a send
// or for all of its sends, because its author knows what a delay stands for:
//
//	<send event="unpaid" delay="3600s"/>                      an appointment
//	<send event="dry" delay="600s" cr:resume="remaining"/>    a time of work
//	<send event="silent" delay="5s" cr:resume="restart"/>     a patience
type Resumption string

// The resumptions. The zero value counts as [ResumeDeadline].
const (
	// ResumeDeadline keeps the deadline; a send that is late is due at once.
	ResumeDeadline Resumption = "deadline"
	// ResumeRemaining waits as long as there was left to wait.
	ResumeRemaining Resumption = "remaining"
	// ResumeRestart waits for the whole delay again.
	ResumeRestart Resumption = "restart"
)

// check gives r in its canonical form, in which a deadline is the zero value.
func (r Resumption) check() (Resumption, error) {
	switch r {
	case "", ResumeDeadline:
		return "", nil
	case ResumeRemaining, ResumeRestart:
		return r, nil
	}
	return "", fmt.Errorf("resume %q is none of deadline, remaining and restart", shorten(string(r)))
}

// resumption gives what holds for a <send>: what its own attribute says, else that
// of the <scxml>, else the option. An error is why the <send> cannot be executed.
func (k *compiler) resumption(e *Element) (Resumption, error) {
	v, ok := e.Attribute(Extension, "resume")
	if !ok && e != k.doc.Root.Element {
		return k.resume, k.resumeErr
	}
	if !ok {
		v = string(k.chart.options.Resume)
	}
	r, err := Resumption(v).check()
	if err != nil {
		k.problem(e.Position, "%v", err)
	}
	return r, err
}

// Resume moves the delayed sends of a session that nobody ran from stopped until
// now, each as its [Resumption] says, and tells whether any was moved: only then
// has the session changed. No content runs and no effect comes out; a session
// that has ended has nothing to move.
//
// Call it after [Restore] when the session was away because of an outage, and
// not when a snapshot merely travels: Restore alone changes nothing, so that a
// live session and a restored one are the same. It is an input like those of
// Deliver: commit a snapshot of what it changed before anything else is done, and
// keep both times in a log that is replayed. A stopped before the last step, such
// as the zero time, means the last step, which is all that a snapshot knows; a
// now before that means that no time has passed.
func (ip *Interpreter) Resume(stopped, now time.Time) bool {
	stopped, now = stopped.UTC().Round(0), now.UTC().Round(0)
	if stopped.Before(ip.now) {
		stopped = ip.now
	}
	if now.Before(stopped) {
		now = stopped
	}
	moved := false
	for i := range ip.pending() {
		d := &ip.rare.pending[i]
		due := d.Due
		switch d.Resume {
		case ResumeRemaining:
			due = due.Add(now.Sub(stopped))
		case ResumeRestart:
			due = now.Add(d.Delay)
		}
		moved = moved || !due.Equal(d.Due)
		d.Due = due
	}
	if moved {
		ip.now = now
		slices.SortFunc(ip.rare.pending, compareDelayed)
	}
	return moved
}
