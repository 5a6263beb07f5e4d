// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/internal/application"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// hello is the main scene: events, a kill, the restore, the replay.
func (s *stage) hello(ctx context.Context) (*app, error) {
	s.scene("A container that runs helloworld.scxml")
	var command []string
	if s.cfg.Fault != "" {
		mount, err := s.docker.run(ctx, "volume", "inspect", "--format", "{{.Mountpoint}}", s.volume)
		if err != nil {
			return nil, err
		}
		// The agent dials the proxy; the application listens beside it.
		s.fault, err = newFault(ctx, s.cfg.Fault, "hello", filepath.Join(mount, "helloworld.sock"), filepath.Join(mount, "inner.sock"))
		if err != nil {
			return nil, err
		}
		s.running.Go(func() { s.fault.run(ctx) })
		command = []string{"--socket", "/run/chartroom/inner.sock"}
		s.say("The fault %q is built in on the application's socket.", s.cfg.Fault)
	}
	a, err := s.make(ctx, "helloworld", nil, command)
	if err != nil {
		return a, err
	}
	s.say("%s runs. Its instance is %s.", a.name, a.instance)
	s.report.Instance = a.instance

	if err := s.tally.send(ctx, s.fleet, a, leastEvents/2); err != nil {
		return a, err
	}
	i, err := s.untilDrained(ctx, a)
	if err != nil {
		return a, err
	}
	s.say("Sent %d numbered events; it has answered each.", s.tally.count())
	if err := s.collect(ctx, a); err != nil {
		return a, err
	}
	s.say("Its chart says: %s (%s)", i.GetState(), strings.Join(i.GetConfiguration(), " "))
	if err := s.showSnapshot(ctx, a); err != nil {
		return a, err
	}

	s.scene("It is killed")
	// A machine may bring it back before fifty events are in: then once more.
	for round := 0; ; round++ {
		if err := s.crash(ctx, a); err != nil {
			return a, err
		}
		if s.report.WhileDown >= leastDown || round == 4 {
			break
		}
	}
	if err := s.tally.send(ctx, s.fleet, a, max(leastEvents-s.tally.count(), leastEvents/4)); err != nil {
		return a, err
	}
	if _, err := s.untilDrained(ctx, a); err != nil {
		return a, err
	}
	s.say("And it goes on: %d events acknowledged in all.", s.tally.count())
	return a, nil
}

// crash kills the application and sends events until it is back.
func (s *stage) crash(ctx context.Context, a *app) error {
	before, err := s.fleet.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: a.instance})
	if err != nil {
		return fmt.Errorf("read %s: %w", a.name, err)
	}
	last := before.GetInstance().GetLogSequence()
	at, err := s.kill(ctx, a.name)
	if err != nil {
		return err
	}
	s.say("kill -9 to its process on the host, at %s.", at.Format("15:04:05.000"))
	from := s.tally.count()
	flood := s.tally.flood(ctx, s.fleet, a, 8, 2*leastDown)
	ready, how, err := s.untilRestored(ctx, a, at)
	if e := flood(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	down := s.tally.between(at, ready)
	s.report.WhileDown += down
	s.say("Sent %d events meanwhile; %d were acknowledged while it was down.", s.tally.count()-from, down)
	i, err := s.untilDrained(ctx, a)
	if err != nil {
		return err
	}
	if err := s.tell(ctx, a, last); err != nil {
		return err
	}
	if err := s.collect(ctx, a); err != nil {
		return err
	}
	s.say("Ready again %d ms after the kill (%s); what waited was replayed: %d of %d events answered.",
		ready.Sub(at).Milliseconds(), how, i.GetQueue().GetDeliveredSequence(), i.GetQueue().GetAcceptedSequence())
	return nil
}

// tell shows what the log of the instance says of the crash: the steps in which
// the container's life changed.
func (s *stage) tell(ctx context.Context, a *app, after uint64) error {
	r, err := s.fleet.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: a.instance, AfterSequence: after, PageSize: 1000})
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", a.name, err)
	}
	told := 0
	for _, e := range r.GetEntries() {
		switch e.GetEvent() {
		case "docker.die", "docker.start", "app.ready":
		default:
			continue
		}
		if told++; told > 4 {
			break
		}
		s.say("  %s  %-13s %s", e.GetTime().AsTime().Local().Format("15:04:05.000"), e.GetEvent(), e.GetSummary())
		for _, f := range e.GetEffects() {
			if f.GetKind() == "command" && f.GetName() == "start" {
				if n := snapshotOf(f.GetDataJson()); n > 0 {
					s.report.RestoredSnapshot = n
				}
			}
		}
	}
	return nil
}

// snapshotOf is the number in the arguments of a start; 0 for a clean one.
func snapshotOf(arguments string) uint64 {
	var data struct {
		Snapshot float64 `json:"snapshot"`
	}
	if json.Unmarshal([]byte(arguments), &data) != nil {
		return 0
	}
	return uint64(data.Snapshot)
}

// showSnapshot shows the newest snapshot and what is in it.
func (s *stage) showSnapshot(ctx context.Context, a *app) error {
	r, err := s.fleet.GetSnapshot(ctx, &fleetv1.GetSnapshotRequest{InstanceId: a.instance})
	if err != nil {
		return fmt.Errorf("read the snapshot of %s: %w", a.name, err)
	}
	n := r.GetSnapshot()
	s.say("Newest snapshot: #%d, %d bytes, contains the events up to %d.", n.GetNumber(), n.GetSizeBytes(), n.GetContainedSequence())
	snapshot, err := application.ReadSnapshot(r.GetBody())
	if err != nil {
		return nil // another version of the runner: its body is its own
	}
	session := snapshot.Session
	s.say("In it: the application's chart is in %s", strings.Join(session.Configuration, " "))
	for _, name := range slices.Sorted(maps.Keys(session.Data)) {
		text := string(session.Data[name])
		if len(text) > 60 {
			text = text[:28] + " … " + text[len(text)-28:]
		}
		s.say("  %s = %s", name, text)
	}
	return nil
}

// order is the second chart: another application by another file.
func (s *stage) order(ctx context.Context) error {
	s.scene("A second container that runs another chart, order.scxml")
	document, err := charts.Document("order")
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "order.scxml")
	// The container reads it, as whoever it runs as.
	if err := os.WriteFile(path, document, 0o644); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	a, err := s.make(ctx, "order", []string{path + ":/app/chart.scxml"}, nil)
	if err != nil {
		return err
	}
	steps := []struct {
		event string
		data  map[string]any
	}{
		{"item", map[string]any{"name": "tea", "price": 4}}, {"item", map[string]any{"name": "scones", "price": 3}},
		{"checkout", nil}, {"pay", map[string]any{"amount": 5}},
	}
	for _, step := range steps {
		if err := s.sendOne(ctx, a, step.event, step.data); err != nil {
			return err
		}
	}
	if _, err := s.untilDrained(ctx, a); err != nil {
		return err
	}
	s.say("Put tea and scones in the basket, paid 5 of 7.")
	if err := s.showSnapshot(ctx, a); err != nil {
		return err
	}
	at, err := s.kill(ctx, a.name)
	if err != nil {
		return err
	}
	ready, how, err := s.untilRestored(ctx, a, at)
	if err != nil {
		return err
	}
	s.say("Killed it as well; ready after %d ms: %s.", ready.Sub(at).Milliseconds(), how)
	if err := s.sendOne(ctx, a, "pay", map[string]any{"amount": 2}); err != nil {
		return err
	}
	if _, err := s.untilDrained(ctx, a); err != nil {
		return err
	}
	if err := s.showSnapshot(ctx, a); err != nil {
		return err
	}
	state, err := s.sessionOf(ctx, a)
	if err != nil {
		return err
	}
	if !slices.Contains(state, "packed") {
		return fmt.Errorf("the order is in %s, and not packed: %w", strings.Join(state, " "), errFound)
	}
	s.say("It knew what had been paid before: the last 2 were enough, the order is packed.")
	return nil
}

// sessionOf is the configuration of the chart in the newest snapshot.
func (s *stage) sessionOf(ctx context.Context, a *app) ([]string, error) {
	r, err := s.fleet.GetSnapshot(ctx, &fleetv1.GetSnapshotRequest{InstanceId: a.instance})
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of %s: %w", a.name, err)
	}
	snapshot, err := application.ReadSnapshot(r.GetBody())
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of %s: %w", a.name, err)
	}
	return snapshot.Session.Configuration, nil
}

// sendOne gives one event to an application, again until it is admitted.
func (s *stage) sendOne(ctx context.Context, a *app, event string, data map[string]any) error {
	v, err := structpb.NewValue(data)
	if err != nil {
		return fmt.Errorf("send %s: %w", event, err)
	}
	request := fmt.Sprintf("%s-%s-%d", a.name, event, time.Now().UnixNano())
	return s.until(ctx, event+" is accepted by "+a.name, func() (bool, error) {
		r, err := s.fleet.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: a.instance, Event: event, Data: v, RequestId: request})
		a.acknowledged(r.GetSequence())
		return err == nil, err
	})
}
