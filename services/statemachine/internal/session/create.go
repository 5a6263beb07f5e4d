// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// create makes an instance: a free one, or one whose container the agent is
// then told to make.
func (w *Worker) create(s *Shard, b *Batch, c *Create, now time.Time) {
	g := b.group(s)
	if s.repeated(g, c.ID, c.LookedUp, c.Digest, c.Reply) {
		return
	}
	i, goesOn, err := s.vacancy(c, now)
	if err != nil {
		g.then(&Answer{Reply: c.Reply, Err: err})
		return
	}
	traceparent, end := traced(c.Traceparent, i.id, "create")
	defer end()
	t := w.turn(s, b, i, now, traceparent)
	data := c.Data
	if c.Host != "" {
		target := t.target()
		target.Image, target.Kind = c.Image, "container"
		i.view.Managed = true
		i.book.Start = c.Start
		data = i.hostedData()
	}
	i.book.Ended = time.Time{}
	if !goesOn {
		if err := t.begin(data); err != nil {
			g.then(&Answer{Reply: c.Reply, Err: Invalid("%v", err)})
			return
		}
		s.instances[i.id] = i
	}
	if c.Host != "" {
		t.make(c)
	}
	t.respond(c.ID, c.Digest, c.Reply, &fleetv1.CreateInstanceResponse{Instance: proto.CloneOf(i.render())})
}

// make commands the container, and logs it: no chart has asked for this one. The
// arguments stay out of the log, since an environment may hold secrets.
func (t *turn) make(c *Create) {
	command := t.command("create", c.Arguments, nil)
	e := t.entry(stimulus{origin: "intent", event: "create", requestID: c.ID}, 0)
	e.Summary = "Asked for the container to be made."
	e.Effects = []*fleetv1.Effect{{
		Kind: "command", Name: "create", CommandId: command.GetCommandId(), DataJson: string(encode(map[string]any{"image": c.Image})),
	}}
	t.finish(e)
}

// vacancy is the instance to be begun: a new one, or, under the name of a
// container that is gone, the one whose snapshots and queue are still kept. That
// one goes on, in the version of the chart that it has: its chart knows which
// snapshot to start from. Only under another chart is it begun anew.
func (s *Shard) vacancy(c *Create, now time.Time) (i *Instance, goesOn bool, err error) {
	id := c.Name
	if c.Host != "" {
		id = HostedID(c.Name, c.Host)
		if h := s.hosts[c.Host]; h == nil {
			return nil, false, refuse(fleetv1.Reason_REASON_HOST_UNKNOWN, "no host %q", c.Host)
		}
	}
	if why, broken := s.broken[id]; broken {
		return nil, false, refuse(fleetv1.Reason_REASON_INSTANCE_EXISTS, "instance %q exists and cannot be loaded: %v", id, why)
	}
	if i, ok := s.instances[id]; ok {
		if !i.hosted() || !i.forgettable() {
			return nil, false, refuse(fleetv1.Reason_REASON_INSTANCE_EXISTS, "instance %q exists", id)
		}
		if i.view.GetChartName() == c.Chart.Name && i.ip.Finished() == nil {
			return i, true, nil
		}
		i.chart = c.Chart
		i.view.ChartName, i.view.ChartDigest = c.Chart.Name, c.Chart.Digest
		return i, false, nil
	}
	i = &Instance{id: id, chart: c.Chart, view: &fleetv1.Instance{
		InstanceId: id, Name: c.Name, HostId: c.Host, ChartName: c.Chart.Name, ChartDigest: c.Chart.Digest,
		CreateTime: stamp(now),
	}}
	return i, false, nil
}
