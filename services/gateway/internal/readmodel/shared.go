// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// CodeShared is the code of [Model.Shared]'s findings.
const CodeShared = "engine.shared"

// containerRun is one run of a container. A machine that was cloned has the engine id
// and the container ids of the other, but started its containers itself.
type containerRun struct {
	container   string
	seconds     int64
	nanoseconds int32
}

// Shared is a finding for each engine that several connected agents reach, if there
// is a container that more than one of them acts on: they would undo what the other
// does. Containers that are outside of an agent's --only are not managed by it.
func (m *Model) Shared() []*fleetv1.Finding {
	m.mu.RLock()
	defer m.mu.RUnlock()
	now := time.Now()
	hosts := map[string][]string{} // by engine id
	for k, e := range m.byKey {
		if k.kind != kindHost {
			continue
		}
		h := e.Value.(*item).host
		if v := h.view; v.GetEngineId() != "" && v.GetConnected() && v.GetEngineReachable() && !m.hostUnknown(h, now) {
			hosts[v.GetEngineId()] = append(hosts[v.GetEngineId()], k.id)
		}
	}
	var findings []*fleetv1.Finding
	for _, engine := range slices.Sorted(maps.Keys(hosts)) {
		if on := hosts[engine]; len(on) > 1 {
			if f := m.sharedBy(engine, on); f != nil {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

// sharedBy is the finding for an engine that the agents of hosts reach; nil when no
// container is managed by two of them.
func (m *Model) sharedBy(engine string, hosts []string) *fleetv1.Finding {
	managers := map[containerRun][]string{} // instance ids
	for _, host := range hosts {
		for id := range m.byHost[host] {
			v := m.instance(id)
			if t := v.GetTarget(); v.GetManaged() && t.GetContainerId() != "" && t.GetEngineId() == engine {
				run := containerRun{t.GetContainerId(), t.GetStartedTime().GetSeconds(), t.GetStartedTime().GetNanos()}
				managers[run] = append(managers[run], id)
			}
		}
	}
	involved, names, containers := map[string]bool{}, "", 0
	for _, ids := range managers {
		if len(ids) < 2 {
			continue
		}
		containers++
		for _, id := range ids {
			involved[m.instance(id).GetHostId()] = true
		}
		slices.Sort(ids)
		if s := strings.Join(ids, " = "); names == "" || s < names {
			names = s
		}
	}
	if containers == 0 {
		return nil
	}
	if containers > 1 {
		names += fmt.Sprintf(" and %d more", containers-1)
	}
	return &fleetv1.Finding{
		Code: CodeShared, Severity: fleetv1.Severity_SEVERITY_ERROR,
		Message: fmt.Sprintf("the agents of the hosts %s are on one engine and act on the same containers (%s): each undoes what the other does",
			strings.Join(slices.Sorted(maps.Keys(involved)), " and "), names),
		Fix: "stop one of these agents, or give each of them --only NAME=VALUE of its own",
	}
}
