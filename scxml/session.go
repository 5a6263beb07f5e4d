// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"maps"
	"slices"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// newInterpreter makes a session that has not begun.
func newInterpreter(c *Chart, in Input) *Interpreter {
	ip := &Interpreter{
		chart:        c,
		active:       make([]bool, len(c.states)),
		entered:      make([]bool, len(c.states)),
		historyValue: map[*state][]*state{},
		invokeID:     in.InvokeID,
	}
	ip.sys = &datamodel.System{
		In: func(id string) bool {
			s := c.byID[id]
			return s != nil && ip.active[s.order]
		},
		SessionID: in.SessionID,
		Name:      in.Name,
		CallDepth: c.limits.ScriptDepth,
		DataBytes: c.limits.DataBytes,
	}
	if ip.sys.SessionID == "" {
		ip.sys.SessionID = "session"
	}
	if ip.sys.Name == "" {
		ip.sys.Name = c.doc.Name
	}
	ip.processors = maps.Clone(in.IOProcessors)
	ip.sys.IOProcessors = map[string]string{}
	maps.Copy(ip.sys.IOProcessors, ip.processors)
	ip.sys.IOProcessors[SCXMLProcessor] = ip.origin()
	ip.sys.IOProcessors["scxml"] = ip.origin()
	ip.data = c.lang.NewStore(ip.sys, c.scripts)
	return ip
}

// begin and end frame one call: what a step is made of is collected between.
func (ip *Interpreter) begin(in Input) {
	ip.now = in.Now.UTC().Round(0)
	ip.sys.Now, ip.sys.Seed = ip.now, in.Seed
	ip.step = Macrostep{}
	ip.microsteps, ip.iterations = 0, 0
}

func (ip *Interpreter) end() Macrostep {
	step := ip.step
	ip.step = Macrostep{}
	// Between calls _event is not bound: it is not part of the session.
	ip.data.SetEvent(nil)
	return step
}

// settle brings the data into canonical form. It says true if that raised an
// error, so that the session has to go on.
func (ip *Interpreter) settle() bool {
	faults := ip.data.Settle()
	for _, err := range faults {
		ip.raiseFault(&fault{event: errorExecution, element: "data", err: err})
	}
	return len(faults) > 0
}

// beginMicrostep starts a record and counts.
func (ip *Interpreter) beginMicrostep(ev *Event) {
	ip.step.Microsteps = append(ip.step.Microsteps, Microstep{Event: ev})
	if ip.microsteps++; ip.microsteps > ip.chart.limits.Microsteps {
		ip.breakOff("more than %d microsteps in one step", ip.chart.limits.Microsteps)
	}
}

// record is the microstep being made. The pointer is good until the next one
// begins.
func (ip *Interpreter) record() *Microstep {
	if len(ip.step.Microsteps) == 0 {
		ip.step.Microsteps = append(ip.step.Microsteps, Microstep{})
	}
	return &ip.step.Microsteps[len(ip.step.Microsteps)-1]
}

func (ip *Interpreter) noteRaised(name string) {
	r := ip.record()
	r.Raised = append(r.Raised, name)
}

func (ip *Interpreter) emit(e Effect) {
	if len(ip.step.Effects) >= ip.chart.limits.Effects {
		ip.breakOff("more than %d effects in one step", ip.chart.limits.Effects)
		return
	}
	ip.step.Effects = append(ip.step.Effects, e)
}

func (ip *Interpreter) enqueueInternal(ev Event) {
	ip.internalQueue = append(ip.internalQueue, ev)
	ip.checkQueues()
}

func (ip *Interpreter) enqueueExternal(ev Event) {
	ip.externalQueue = append(ip.externalQueue, ev)
	ip.checkQueues()
}

func (ip *Interpreter) checkQueues() {
	if len(ip.internalQueue)+len(ip.externalQueue) > ip.chart.limits.Queue {
		ip.breakOff("more than %d events waiting in the session", ip.chart.limits.Queue)
	}
}

// breakOff notes that a limit was broken; the loops end as soon as they can.
func (ip *Interpreter) breakOff(format string, args ...any) {
	if ip.fault == "" {
		ip.fault = fmt.Sprintf(format, args...)
	}
}

func (ip *Interpreter) broken() bool { return ip.fault != "" }

// abandon ends a session that broke a limit. Its own content no longer runs: it
// might be what broke the limit.
func (ip *Interpreter) abandon() {
	r := ip.record()
	r.Faults = append(r.Faults, Fault{Event: errorExecution, Message: ip.fault})
	for _, v := range ip.invocations {
		ip.step.Effects = append(ip.step.Effects, Uninvoke{v.id})
	}
	ip.finish(Done{})
}

// finish leaves nothing behind but the data.
func (ip *Interpreter) finish(done Done) {
	done.Fault = ip.fault
	for _, s := range slices.Clone(ip.configuration) {
		ip.deactivate(s)
	}
	ip.data.Settle()
	ip.running = false
	ip.internalQueue, ip.externalQueue, ip.statesToInvoke = nil, nil, nil
	ip.pending, ip.invocations = nil, nil
	ip.done = &done
	ip.step.Effects = append(ip.step.Effects, done)
	ip.step.Done = &done
}

func (ip *Interpreter) activate(s *state) {
	if ip.active[s.order] {
		return
	}
	ip.active[s.order] = true
	i, _ := slices.BinarySearchFunc(ip.configuration, s, entryOrder)
	ip.configuration = slices.Insert(ip.configuration, i, s)
}

func (ip *Interpreter) deactivate(s *state) {
	ip.active[s.order] = false
	if i, ok := slices.BinarySearchFunc(ip.configuration, s, entryOrder); ok {
		ip.configuration = slices.Delete(ip.configuration, i, i+1)
	}
}

// bind makes ev what _event shows.
func (ip *Interpreter) bind(ev Event) {
	typ := ev.Type
	if typ == "" {
		typ = External
	}
	ip.data.SetEvent(&datamodel.Event{
		Name: ev.Name, Type: string(typ), SendID: ev.SendID, Origin: ev.Origin,
		OriginType: ev.OriginType, InvokeID: ev.InvokeID, Data: ev.Data, Raw: ev.Raw,
	})
}
