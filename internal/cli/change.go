// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// views are what a watch has told of instances and hosts, to tell of each only what is
// new. The zero value has seen nothing.
type views struct {
	instances map[string]*fleetv1.Instance
	hosts     map[string]string // in words
}

// instance takes in a view and gives what is new in it, in words: the sentence of the
// chart if that or the state is, else what else a reader sees change. It is empty when
// nothing is that anybody sees, such as when the marks of a source moved on.
func (v *views) instance(i *fleetv1.Instance, now time.Time) string {
	old := v.instances[i.GetInstanceId()]
	if v.instances == nil {
		v.instances = map[string]*fleetv1.Instance{}
	}
	v.instances[i.GetInstanceId()] = i
	if old == nil || stateOf(old) != stateOf(i) || old.GetUnknownReason() != i.GetUnknownReason() ||
		old.GetWhy() != i.GetWhy() || !old.GetCreateTime().AsTime().Equal(i.GetCreateTime().AsTime()) {
		return dash(whyOf(i, now))
	}
	return strings.Join(slices.Concat(targetChanges(old, i), eventChanges(old, i), snapshotChanges(old, i), chartChanges(old, i), findingChanges(old, i)), "; ")
}

// gone forgets an instance.
func (v *views) gone(id string) { delete(v.instances, id) }

// host takes in a view and gives its words, empty when they are those of before.
func (v *views) host(h *fleetv1.Host) string {
	said := hostState(h)
	if n := len(h.GetFindings()); n > 0 {
		said += fmt.Sprintf(", %s: chartroom doctor", counted(n, "finding"))
	}
	if v.hosts[h.GetHostId()] == said {
		return ""
	}
	if v.hosts == nil {
		v.hosts = map[string]string{}
	}
	v.hosts[h.GetHostId()] = said
	return said
}

func targetChanges(old, i *fleetv1.Instance) (said []string) {
	was, is := old.GetTarget(), i.GetTarget()
	if is.GetContainerId() != was.GetContainerId() {
		said = append(said, "container "+or(short(is.GetContainerId()), "none"))
	}
	if is.GetChannel() != was.GetChannel() {
		said = append(said, "channel "+or(is.GetChannel(), "none"))
	}
	if started := is.GetStartedTime(); started != nil && !started.AsTime().Equal(was.GetStartedTime().AsTime()) {
		said = append(said, "started at "+started.AsTime().Local().Format("15:04:05.000"))
	}
	return said
}

// eventChanges tell of the application events on their way.
func eventChanges(old, i *fleetv1.Instance) (said []string) {
	was, is := old.GetQueue(), i.GetQueue()
	if n := is.GetAcceptedSequence(); n != was.GetAcceptedSequence() {
		said = append(said, fmt.Sprintf("event %d accepted", n))
	}
	if n := is.GetDeliveredSequence(); n != was.GetDeliveredSequence() {
		said = append(said, fmt.Sprintf("event %d delivered", n))
	}
	if n := is.GetWaiting(); n != was.GetWaiting() {
		said = append(said, fmt.Sprintf("%d waiting", n))
	}
	if old.GetAdmission() != i.GetAdmission() {
		said = append(said, "events "+admissionWords(i))
	}
	return said
}

func snapshotChanges(old, i *fleetv1.Instance) (said []string) {
	if len(i.GetSnapshots()) == 0 {
		return nil
	}
	verdicts := map[uint64]fleetv1.Verdict{}
	for _, s := range old.GetSnapshots() {
		verdicts[s.GetNumber()] = s.GetVerdict()
	}
	for _, s := range slices.Backward(i.GetSnapshots()) {
		if verdict, known := verdicts[s.GetNumber()]; !known || verdict != s.GetVerdict() {
			said = append(said, fmt.Sprintf("snapshot #%d %s", s.GetNumber(), word(s.GetVerdict().String(), "VERDICT_")))
		}
	}
	return said
}

// chartChanges tell of the chart: its states, and the data of one by itself.
func chartChanges(old, i *fleetv1.Instance) (said []string) {
	var entered []string
	for _, state := range i.GetConfiguration() {
		if !slices.Contains(old.GetConfiguration(), state) {
			entered = append(entered, state)
		}
	}
	if len(entered) > 0 {
		said = append(said, "in "+strings.Join(entered, " "))
	}
	if i.GetHostId() == "" && i.GetDataJson() != old.GetDataJson() {
		said = append(said, "data "+dataWords(i))
	}
	return said
}

func findingChanges(old, i *fleetv1.Instance) (said []string) {
	for _, f := range i.GetFindings() {
		if !hasFinding(old, f) {
			said = append(said, fmt.Sprintf("finding %s: %s", f.GetCode(), f.GetMessage()))
		}
	}
	for _, f := range old.GetFindings() {
		if !hasFinding(i, f) {
			said = append(said, "mended: "+f.GetCode())
		}
	}
	return said
}

func hasFinding(i *fleetv1.Instance, f *fleetv1.Finding) bool {
	return slices.ContainsFunc(i.GetFindings(), func(g *fleetv1.Finding) bool {
		return g.GetCode() == f.GetCode() && g.GetMessage() == f.GetMessage()
	})
}

// counted is a number of things: "1 finding", "2 findings".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
