// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// observe takes in one observation: its number is compared with the mark, the
// instance is found or made, and the chart is told.
func (w *Worker) observe(s *Shard, b *Batch, o *Observation, now time.Time) {
	h := s.hosts[o.Host]
	if h == nil || h.conn != o.Conn {
		o.Conn.Close("not the stream of this host")
		return
	}
	m, g, f := s.mark(o.Host), b.group(s), o.Fact
	if o.Journal != m.GetIncarnation() || f.GetSequence() > m.GetSequence()+1 {
		o.Conn.Close("observations are missing")
		return
	}
	defer g.acknowledge(o.Host, o.Conn, m.GetIncarnation(), func() uint64 { return m.GetSequence() })
	if f.GetSequence() <= m.GetSequence() {
		return // taken in before
	}
	m.Sequence = f.GetSequence()
	h.view.JournalSequence = m.GetSequence()
	g.marks[m.GetSource()] = true
	b.steps++
	if f.GetInstance() != "" {
		w.observeInstance(s, b, o, now)
	} else {
		w.observeHost(s, b, h, f, now)
	}
	w.caughtUp(s, b, h, now)
}

// acknowledge makes one acknowledgement of the newest number, however many
// observations a group takes in.
func (g *group) acknowledge(host string, conn Conn, journal string, sequence func() uint64) {
	for _, e := range g.effects {
		if a, ok := e.(*Acknowledge); ok && a.Conn == conn {
			a.Sequence = sequence()
			return
		}
	}
	g.then(&Acknowledge{Host: host, Conn: conn, Journal: journal, Sequence: sequence()})
}

func (w *Worker) observeInstance(s *Shard, b *Batch, o *Observation, now time.Time) {
	f := o.Fact
	id := HostedID(f.GetInstance(), o.Host)
	if _, broken := s.broken[id]; broken {
		return
	}
	i, ok := s.instances[id]
	if !ok {
		if isOutcome(f.GetEvent()) || f.GetEvent() == "docker.destroy" {
			return // of an instance that was forgotten
		}
		i = w.discover(s, b, o, now)
		if i == nil {
			return
		}
	}
	traceparent, end := traced(f.GetTraceparent(), id, f.GetEvent())
	defer end()
	w.turn(s, b, i, now, traceparent).observe(o)
}

// discover makes the instance of a container that is observed for the first
// time.
func (w *Worker) discover(s *Shard, b *Batch, o *Observation, now time.Time) *Instance {
	f := o.Fact
	if o.Chart == nil {
		return nil // not even the built-in chart; said by whoever looked it up
	}
	i := &Instance{id: HostedID(f.GetInstance(), o.Host), chart: o.Chart, view: &fleetv1.Instance{
		InstanceId: HostedID(f.GetInstance(), o.Host), Name: f.GetInstance(), HostId: o.Host,
		ChartName: o.Chart.Name, ChartDigest: o.Chart.Digest,
		Target: &fleetv1.Target{Kind: "container"}, CreateTime: stamp(now),
	}}
	t := w.turn(s, b, i, now, f.GetTraceparent())
	t.spec(f.GetTarget(), o.Missing)
	if err := t.begin(i.hostedData()); err != nil {
		w.log.Error("instance cannot be started", "instance", i.id, "err", err)
		s.Break(i.id, err) // until the shard is loaded again: each observation of it would try anew
		return nil
	}
	s.instances[i.id] = i
	return i
}

// begin starts the session of an instance and takes the first step.
func (t *turn) begin(data map[string]any) error {
	seed := t.seed()
	step, err := t.instance.start(scxml.Input{Now: t.now, Seed: seed}, data)
	if err != nil {
		return err
	}
	t.run(stimulus{origin: "runtime", done: &step, seed: seed, data: anyOf(data)})
	return nil
}

// isOutcome says whether an event is the agent's answer to a command.
func isOutcome(event string) bool {
	return strings.HasPrefix(event, "done.command.") || strings.HasPrefix(event, "error.docker.") ||
		strings.HasPrefix(event, "error.outcome_")
}

// observe tells the chart of an observation, after the runtime has taken from
// it what is its own.
func (t *turn) observe(o *Observation) {
	f, i := o.Fact, t.instance
	if f.GetCommandId() != "" && isOutcome(f.GetEvent()) && t.outcome(f) {
		return
	}
	if i.former(f.GetContainerId()) && !t.reinstated(f) {
		return // of a generation that was replaced: no end of this one
	}
	data, _ := decode(f.GetDataJson()).(map[string]any)
	if data == nil {
		data = map[string]any{}
	}
	t.generation(f)
	if f.GetTarget() != nil {
		t.spec(f.GetTarget(), o.Missing)
		switch f.GetEvent() {
		case "docker.create", "docker.update", "docker.inspect":
			data["managed"] = i.view.GetManaged()
			if len(i.book.Options) > 0 {
				data["options"] = i.options()
			}
		}
	}
	if f.GetEvent() == "app.cursor" {
		t.cursor(data)
		return
	}
	if n := number(data["sequence"]); f.GetEvent() == "app.answer" && t.unasked(n) {
		if n > i.book.Delivered && t.shard.ready(i.view.GetHostId()) { // else it is told again
			t.remark(fleetv1.Severity_SEVERITY_WARNING, f.GetEvent(), fmt.Sprintf(
				"The application answered event %d, which it was not sent; event %d waits for its answer.", n, i.book.Flight))
		}
		return
	}
	t.before(f, data)
	t.run(stimulus{origin: "observation", event: f.GetEvent(), data: data, inferred: f.GetInferred()})
	t.after(f)
}

// outcome takes the row of a command out of the outbox. It reports true when
// the chart need not hear of it.
func (t *turn) outcome(f *agentv1.Observation) bool {
	i := t.instance
	verb := f.GetEvent()[strings.LastIndexByte(f.GetEvent(), '.')+1:]
	inFlight := f.GetCommandId() == i.book.FlightCommand
	if !t.settle(f.GetCommandId()) && verb == "deliver" {
		return true // its run is over
	}
	if f.GetCommandId() == i.book.Forced && !strings.HasPrefix(f.GetEvent(), "done.") {
		i.book.Forced = ""
	}
	if verb != "deliver" {
		return false
	}
	if strings.HasPrefix(f.GetEvent(), "done.") {
		return true // sent; app.answer tells what matters
	}
	if inFlight && !strings.HasPrefix(f.GetEvent(), "error.outcome_unknown.") {
		// The application has not seen it. It goes again once there is a sign
		// that the channel works.
		i.book.Flight, i.book.FlightCommand, i.book.Stalled = 0, "", true
	}
	return false
}

// generation notes another container id.
func (t *turn) generation(f *agentv1.Observation) {
	i, id := t.instance, f.GetContainerId()
	if id == "" || id == i.container() || f.GetEvent() == "docker.destroy" || isOutcome(f.GetEvent()) {
		return
	}
	target := t.target()
	if target.GetContainerId() != "" {
		t.retire(target.GetContainerId())
	}
	target.ContainerId, target.StartedTime, target.EngineId = id, nil, ""
	target.Generation++
	if kept := i.view.GetSnapshots(); len(kept) > 0 {
		i.book.Inherited = kept[0].GetNumber()
	}
	i.book.Ended, i.book.Flaws = time.Time{}, nil
	t.endRun()
	if i.ip.Finished() != nil {
		// The chart of the former generation has ended; the instance goes on
		// under its name with what was kept.
		if err := t.begin(i.hostedData()); err != nil {
			t.remark(fleetv1.Severity_SEVERITY_ERROR, f.GetEvent(), err.Error())
		}
	}
}

// reinstated says whether a container that was replaced takes its place again: the
// one that stood in for it is gone, and somebody started it.
func (t *turn) reinstated(f *agentv1.Observation) bool {
	i := t.instance
	if i.container() != "" || f.GetEvent() != "docker.start" {
		return false
	}
	i.book.Former = slices.DeleteFunc(slices.Clone(i.book.Former), func(id string) bool { return id == f.GetContainerId() })
	return true
}

func (t *turn) target() *fleetv1.Target { return t.instance.target() }

// retire remembers a container of an earlier generation.
func (t *turn) retire(container string) {
	book := &t.instance.book
	book.Former = append(slices.Clone(book.Former), container)
	if len(book.Former) > formerKept {
		book.Former = book.Former[1:]
	}
}

// spec takes in labels and settings.
func (t *turn) spec(spec *agentv1.TargetSpec, missing *fleetv1.Finding) {
	if spec == nil {
		return
	}
	i, target := t.instance, t.target()
	i.view.Managed = spec.GetManaged()
	target.Image, target.Channel, target.EngineId = spec.GetImage(), spec.GetChannel(), spec.GetEngineId()
	if decode(spec.GetOptionsJson()) != nil {
		i.book.Options = slices.Clone(spec.GetOptionsJson())
	}
	i.view.Findings = slices.Clone(spec.GetFindings())
	if missing != nil {
		i.view.Findings = append(i.view.Findings, missing)
	}
}

// before does what has to be true when the chart hears of f, and adds to its
// data what only the runtime knows.
func (t *turn) before(f *agentv1.Observation, data map[string]any) {
	i := t.instance
	switch f.GetEvent() {
	case "docker.start":
		t.startedAt(data["startedAt"])
		t.endRun()
		t.supersede(func(c *agentv1.Command) bool { return c.GetVerb() == "start" })
		t.mended(flawedMessage)
		if i.view.GetTarget().GetChannel() != "socket" {
			t.mended(flawedStart)
		}
	case "docker.inspect":
		if running, _ := data["running"].(bool); running {
			t.startedAt(data["startedAt"])
		}
	case "docker.die":
		if flight := t.diedInFlight(); flight != nil {
			data["inFlight"] = flight
		}
		t.endRun()
	case "app.answer":
		t.answered(number(data["sequence"]))
	case "app.snapshot":
		if s := f.GetSnapshot(); s != nil {
			number := t.keep(s, f.GetTime().AsTime())
			data["number"] = float64(number)
			i.book.Forced = ""
			if number != 0 {
				t.mended(flawedSnapshot)
			}
		}
	case "app.ready":
		t.startedAt(data["run"])
		i.book.Ready, i.book.Stalled = true, false
		i.book.Restored = number(data["snapshot"])
		t.mended(flawedStart)
		t.supersede(restoresRun)
		t.overtaken(number(data["sequence"]))
		t.rewind(number(data["sequence"]))
	case "app.unready":
		if message, _ := data["message"].(string); !i.book.Ready {
			t.flawed(unready, "the application is not ready: "+message)
		}
	case "app.refused":
		t.refused(data)
	case "error.docker.take_snapshot":
		if strings.HasPrefix(i.view.GetTarget().GetChannel(), "file:") {
			t.refused(map[string]any{"code": "snapshot.failed", "message": fmt.Sprintf("no snapshot could be taken: %v", data["message"])})
		}
	case "app.lost":
		i.book.Ready = false
	}
}

// startedAt notes the start of the present run, of which an agent tells in
// order. The newest word counts, also when it is an earlier time: docker.start has
// the stamp of its event when the engine did not answer inspect, and what comes
// after it the exact time. Commands for the run are refused with any other.
func (t *turn) startedAt(started any) {
	at, ok := startTime(started)
	if !ok {
		return
	}
	if old := t.instance.view.GetTarget().GetStartedTime(); old == nil || !at.Equal(old.AsTime()) {
		t.target().StartedTime = timestamppb.New(at)
	}
}

// startTime reads a StartedAt; an engine gives year 1 for "never".
func startTime(started any) (time.Time, bool) {
	text, _ := started.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil && at.Year() >= 2000
}

// endRun forgets what was true of the run that is over.
func (t *turn) endRun() {
	i := t.instance
	t.land()
	i.book.Ready, i.book.Stalled, i.book.Restored, i.book.Forced = false, false, 0, ""
}

// after does what follows once the chart has heard of f.
func (t *turn) after(f *agentv1.Observation) {
	i := t.instance
	if f.GetEvent() == "docker.inspect" {
		t.resumed()
	}
	switch {
	case f.GetEvent() == "docker.destroy":
		t.destroyed(f.GetContainerId())
	case f.GetEvent() == "error.docker.create":
		i.book.Start = false
		if i.container() == "" {
			i.book.Ended = t.now // nothing came of it: it may be forgotten, or made again
		}
	case i.book.Start && i.container() != "" && i.takes("system.start"):
		i.book.Start = false
		t.run(stimulus{origin: "intent", event: "system.start"})
	}
}

// destroyed notes that the container is gone.
func (t *turn) destroyed(container string) {
	i := t.instance
	if container != i.container() {
		return
	}
	t.endRun()
	target := t.target()
	if container != "" {
		t.retire(container)
	}
	target.ContainerId = ""
	i.book.Ended, i.book.Flaws = t.now, nil
	t.step()
}
