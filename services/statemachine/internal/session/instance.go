// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// Instance is one instance in memory: a session with an identity, and what
// the runtime keeps beside it. It belongs to the goroutine of its worker.
type Instance struct {
	id    string
	chart *Chart
	ip    running
	// view holds the fields that change seldom; record adds the rest. Its
	// messages are replaced, never changed, once they were in a record.
	view   *fleetv1.Instance
	book   bookkeeping
	outbox []*snapshotv1.OutboxRow
	queue  []*snapshotv1.QueueEntry // by sequence
	// queueBytes is what the queue takes, see entrySize.
	queueBytes int
	// known is the newest event that the store had when the instance was loaded, but for
	// News, or that was sent to the application since: what came later is news to it.
	known uint64
	// reached is the newest app.cursor; see [turn.resumed].
	reached map[string]any
	why     string // as of the last macrostep
	// events are the descriptors that have a transition now, sorted; nil when
	// that has to be found out again.
	events []string
	bytes  int       // size of the last record
	fired  time.Time // when a delayed send fired last
	// withheld is what it waits for and has not gone out.
	withheld withheld

	// saved is the session of the last record, since what it took after that.
	saved []byte
	since []taken
	// watch is that of the worker; nil watches nothing.
	watch *watch
	// trouble is the stack of the last panic in the kernel, until it is logged.
	trouble []byte
}

// bookkeeping is the runtime's own part of a record
// (chartroom.snapshot.v1.Record.runtime_state), as JSON. Fields are added,
// never given another meaning.
type bookkeeping struct {
	// Accepted and Delivered are the ends of the queue.
	Accepted  uint64 `json:"accepted,omitempty"`
	Delivered uint64 `json:"delivered,omitempty"`
	// Trimmed is the newest entry that is no longer kept.
	Trimmed uint64 `json:"trimmed,omitempty"`
	// News are the entries that came while the agent was not heard, until it is: the
	// application may know their numbers as those of events that the store has lost.
	News []news `json:"news,omitempty"`
	// Flight is the entry that the application has not answered yet, and
	// FlightCommand the command that took it there.
	Flight        uint64 `json:"flight,omitempty"`
	FlightCommand string `json:"flightCommand,omitempty"`
	// Stalled is set when a delivery failed without the application having
	// seen it: the next waits for a sign that the channel is back.
	Stalled bool `json:"stalled,omitempty"`
	// Ready is set from app.ready to the end of the run.
	Ready bool `json:"ready,omitempty"`
	// Snapshots counts application snapshots; Restored is the one that the
	// present run resumed from.
	Snapshots uint64 `json:"snapshots,omitempty"`
	Restored  uint64 `json:"restored,omitempty"`
	// Inherited is the newest snapshot of the generation before.
	Inherited uint64 `json:"inherited,omitempty"`
	// Forced is the command that asked for a snapshot because the queue was
	// nearly full.
	Forced string `json:"forced,omitempty"`
	// Former are containers of earlier generations, newest last.
	Former []string `json:"former,omitempty"`
	// Start starts the container once it exists.
	Start bool `json:"start,omitempty"`
	// Options are the chart's options as last read from the labels.
	Options json.RawMessage `json:"options,omitempty"`
	// Incarnation and Sent number the events for other instances, by shard.
	Incarnation string            `json:"incarnation,omitempty"`
	Sent        map[uint32]uint64 `json:"sent,omitempty"`
	// Flaws are what is wrong with what the application says.
	Flaws []flaw `json:"flaws,omitempty"`
	// Strikes are steps that went beyond what they were granted.
	Strikes strikes `json:"strikes,omitempty"`
	// Ended is when the target was destroyed or the chart finished, for the
	// retention.
	Ended time.Time `json:"ended,omitzero"`
}

// formerKept bounds how many earlier generations are known.
const formerKept = 16

// defaultQueue is the bound of a queue whose options name none.
const defaultQueue = 1000

// hosted says whether the instance has a host.
func (i *Instance) hosted() bool { return i.view.GetHostId() != "" }

// container is the engine's id of the present generation; may be empty.
func (i *Instance) container() string { return i.view.GetTarget().GetContainerId() }

// target gives the target to be changed: a copy, because records may hold the
// old one.
func (i *Instance) target() *fleetv1.Target {
	t := proto.CloneOf(i.view.GetTarget())
	if t == nil {
		t = &fleetv1.Target{Kind: "container"}
	}
	i.view.Target = t
	return t
}

// options is what the labels say, as the chart sees it.
func (i *Instance) options() map[string]any {
	if o, ok := decode(i.book.Options).(map[string]any); ok {
		return o
	}
	return map[string]any{}
}

// queueLimit is the bound of the queue in entries; [MaxQueueBytes] is the other.
func (i *Instance) queueLimit() int {
	var o struct {
		Breaker struct {
			Queue int `json:"queue"`
		} `json:"breaker"`
	}
	if err := json.Unmarshal(i.book.Options, &o); err == nil && o.Breaker.Queue > 0 {
		return o.Breaker.Queue
	}
	return defaultQueue
}

// admission is what the active states say about an application event; the
// strictest wins.
func (i *Instance) admission() fleetv1.Admission {
	if i.ip.Finished() != nil {
		return fleetv1.Admission_ADMISSION_FAIL
	}
	strictest := fleetv1.Admission_ADMISSION_FORWARD
	for _, v := range i.ip.Attributes(Namespace, "admit") {
		switch v {
		case "fail":
			return fleetv1.Admission_ADMISSION_FAIL
		case "queue":
			strictest = fleetv1.Admission_ADMISSION_QUEUE
		}
	}
	return strictest
}

// intents are the names that an operator may ask for.
var intents = []string{
	"system.kill", "system.pause", "system.remove", "system.restart", "system.restore",
	"system.start", "system.stop", "system.take_snapshot", "system.unpause",
}

// allowed lists the intents that are accepted now, sorted.
func (i *Instance) allowed() []string {
	var names []string
	for _, name := range intents {
		if i.takes(name) {
			names = append(names, name)
		}
	}
	return names
}

// takes says whether an intent is accepted now.
func (i *Instance) takes(intent string) bool {
	if intent == "system.remove" && i.forgettable() {
		return true
	}
	return (i.view.GetManaged() || !i.hosted()) && i.ip.Finished() == nil && i.accepts(intent)
}

// enabled lists the descriptors that have a transition now, sorted. Guards are
// costly, so it is found out once a macrostep, and only when asked for.
func (i *Instance) enabled() []string {
	if !i.suspended().IsZero() {
		return []string{}
	}
	if i.events == nil {
		var names []string
		if i.call(func() { names = i.ip.Enabled() }) != nil {
			names = nil // a guard that does not end takes nothing
		}
		i.events = append([]string{}, names...)
		slices.Sort(i.events)
	}
	return i.events
}

// accepts says whether an event of that name has a transition now (SCXML
// 3.12.1).
func (i *Instance) accepts(name string) bool {
	for _, d := range i.enabled() {
		if d == "*" || d == name || strings.HasPrefix(name, d) && name[len(d)] == '.' {
			return true
		}
	}
	return false
}

// forgettable says whether system.remove means the record itself: there is no
// target that it could be about.
func (i *Instance) forgettable() bool {
	if !i.hosted() {
		return true
	}
	return i.container() == "" && !i.book.Ended.IsZero()
}

// takesEvents says whether the target has a channel for events.
func (i *Instance) takesEvents() bool {
	switch c := i.view.GetTarget().GetChannel(); {
	case c == "", c == "none", len(c) >= 5 && c[:5] == "file:":
		return false
	default:
		return true
	}
}

// start begins a session for the instance; the caller logs the step.
func (i *Instance) start(in scxml.Input, data map[string]any) (scxml.Macrostep, error) {
	in.SessionID = i.id
	in.Name = i.view.GetName()
	in.Data = data
	in.Begun = i.watch.begun
	var ip running
	var step scxml.Macrostep
	var err error
	if fault := i.guarded(func() { ip, step, err = i.begin(in) }); fault != nil {
		err = fault
	}
	if err != nil {
		return scxml.Macrostep{}, fmt.Errorf("start %s: %w", i.id, err)
	}
	saved, err := ip.AppendSnapshot(nil)
	if err != nil {
		return scxml.Macrostep{}, fmt.Errorf("start %s: %w", i.id, err)
	}
	i.ip, i.events, i.saved, i.since = ip, nil, saved, nil
	i.view.Finished = false
	i.book.Ended = time.Time{}
	return step, nil
}

// hostedData is the initial data of a hosted chart.
func (i *Instance) hostedData() map[string]any {
	data := map[string]any{"managed": i.view.GetManaged(), "instance": i.id}
	if len(i.book.Options) > 0 {
		data["options"] = i.options()
	}
	return data
}

// record is the instance as it is stored now. It shares nothing that changes.
func (i *Instance) record() *snapshotv1.Record {
	session, err := i.ip.AppendSnapshot(nil)
	if err != nil {
		// The kernel keeps its data canonical after every step, so this is a
		// broken invariant of ours.
		panic(fmt.Sprintf("session snapshot of %s: %v", i.id, err))
	}
	book, err := json.Marshal(&i.book)
	if err != nil {
		panic(fmt.Sprintf("bookkeeping of %s: %v", i.id, err))
	}
	r := &snapshotv1.Record{View: i.render(), SessionSnapshot: session, RuntimeState: book}
	i.bytes = len(session) + len(book) + 1024
	i.saved, i.since = session, nil
	return r
}

// load makes an instance of what the store has.
func load(state *snapshotv1.InstanceState, chart *Chart) (*Instance, error) {
	r := state.GetRecord()
	i := &Instance{
		id:     r.GetView().GetInstanceId(),
		chart:  chart,
		view:   r.GetView(),
		outbox: state.GetOutbox(),
		queue:  state.GetQueue(),
		why:    r.GetView().GetWhy(),
		bytes:  len(r.GetSessionSnapshot()) + len(r.GetRuntimeState()) + 1024,
	}
	if err := json.Unmarshal(r.GetRuntimeState(), &i.book); err != nil {
		return nil, fmt.Errorf("load %s: bookkeeping: %w", i.id, err)
	}
	i.known = i.book.known()
	for _, e := range i.queue {
		i.queueBytes += sizeOf(e)
	}
	ip, err := i.resume(r.GetSessionSnapshot())
	if err != nil {
		return nil, fmt.Errorf("load %s: chart %s: %w", i.id, chart, err)
	}
	i.ip, i.saved = ip, r.GetSessionSnapshot()
	return i, nil
}

// former says whether a container is of an earlier generation.
func (i *Instance) former(container string) bool {
	return slices.Contains(i.book.Former, container)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// decode reads JSON; bad or empty JSON is nil, for senders were checked at the
// edge.
func decode(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil
	}
	return v
}

// encode writes plain JSON values; nil is nothing.
func encode(v any) []byte {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil // plain values only; NaN cannot leave the kernel
	}
	return b
}
