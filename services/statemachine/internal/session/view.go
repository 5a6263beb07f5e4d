// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"slices"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// timersShown bounds the pending timers of a view.
const timersShown = 100

// render is the instance as readers see it: a message of its own, which shares
// with the instance only what is replaced and never changed.
func (i *Instance) render() *fleetv1.Instance {
	v := i.view
	out := &fleetv1.Instance{
		InstanceId: v.GetInstanceId(), Name: v.GetName(), HostId: v.GetHostId(),
		ChartName: v.GetChartName(), ChartDigest: v.GetChartDigest(),
		Target: v.GetTarget(), Managed: v.GetManaged(),
		Snapshots:  slices.Clone(v.GetSnapshots()),
		Findings:   i.findings(),
		CreateTime: v.GetCreateTime(), UpdateTime: v.GetUpdateTime(),
		LogSequence: v.GetLogSequence(), Finished: v.GetFinished(),
	}
	out.Configuration = i.ip.Configuration()
	out.State = i.chart.state(i.ip.In)
	out.Activity = i.chart.activity(out.State)
	if done := i.ip.Finished(); done != nil {
		out.Finished = true
		out.State, out.Activity = done.State, fleetv1.Activity_ACTIVITY_IDLE
	}
	out.Admission = i.admission()
	out.AllowedIntents = i.allowed()
	out.EnabledEvents = i.enabled()
	out.Why, out.Severity = i.reason()
	out.Queue = i.queueView()
	for _, d := range i.ip.Pending() {
		if len(out.Timers) == timersShown {
			break
		}
		out.Timers = append(out.Timers, &fleetv1.PendingTimer{Event: d.Send.Event.Name, SendId: d.Send.SendID, DueTime: stamp(d.Due)})
	}
	out.DataJson = string(encode(i.ip.Data()))
	return out
}

// reason is the chart's own sentence about the state, and how serious it is.
func (i *Instance) reason() (string, fleetv1.Severity) {
	why, _ := i.value("why").(string)
	if done := i.ip.Finished(); done != nil && done.Fault != "" {
		return "Ended by the runtime: " + done.Fault, fleetv1.Severity_SEVERITY_ERROR
	}
	return why, i.severity()
}

func (i *Instance) value(path string) any {
	v, _ := i.ip.Value(path)
	return v
}

func (i *Instance) severity() fleetv1.Severity {
	switch i.value("severity") {
	case "error":
		return fleetv1.Severity_SEVERITY_ERROR
	case "warning":
		return fleetv1.Severity_SEVERITY_WARNING
	default:
		return fleetv1.Severity_SEVERITY_INFO
	}
}

func (i *Instance) queueView() *fleetv1.Queue {
	q := &fleetv1.Queue{
		AcceptedSequence:  i.book.Accepted,
		DeliveredSequence: i.book.Delivered,
		InFlightSequence:  i.book.Flight,
		Limit:             uint32(i.queueLimit()),
	}
	if newest := i.view.GetSnapshots(); len(newest) > 0 {
		q.ContainedSequence = newest[0].GetContainedSequence()
	}
	q.Waiting = uint32(i.waiting())
	return q
}
