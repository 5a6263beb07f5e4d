// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/dockeragent/internal/journal"
	"github.com/chartroom/chartroom/services/dockeragent/internal/label"
)

func (c *Client) hello(ctx context.Context, id string) *agentv1.Hello {
	h := c.handler.Hello(ctx)
	first, last := c.journal.Range()
	m := &agentv1.Hello{
		HostId: h.HostID, DisplayName: h.DisplayName, AgentVersion: h.Version, Platform: h.Platform,
		JournalId: id, FirstSequence: first, LastSequence: last, Findings: findings(h.Findings),
	}
	if f := c.journal.Fence(); f.Epoch > 0 {
		m.Fence = &agentv1.Fence{Epoch: f.Epoch, Nonce: f.Nonce, CommitSequence: f.Commit}
	}
	if h.EngineID != "" {
		m.Engine = &agentv1.Engine{EngineId: h.EngineID, Version: h.EngineVersion, ApiVersion: h.EngineAPI}
	}
	for id, instance := range h.Inventory {
		m.Inventory = append(m.Inventory, &agentv1.Container{ContainerId: id, Instance: instance})
	}
	return m
}

func findings(list []label.Finding) []*fleetv1.Finding {
	var out []*fleetv1.Finding
	for _, f := range list {
		severity := fleetv1.Severity_SEVERITY_WARNING
		switch f.Severity {
		case label.Info:
			severity = fleetv1.Severity_SEVERITY_INFO
		case label.Error:
			severity = fleetv1.Severity_SEVERITY_ERROR
		}
		out = append(out, &fleetv1.Finding{Code: f.Code, Message: f.Message, Fix: f.Fix, Severity: severity})
	}
	return out
}

func observation(o *journal.Observation) *agentv1.Observation {
	m := &agentv1.Observation{
		Sequence: o.Sequence, Time: timestamppb.New(o.Time), Instance: o.Instance, ContainerId: o.ContainerID, Event: o.Event,
		DataJson: o.Data, Inferred: o.Inferred, CommandId: o.CommandID, Traceparent: o.Traceparent,
	}
	if s := o.Snapshot; s != nil {
		m.Snapshot = &agentv1.Snapshot{
			Sha256: s.SHA256, SizeBytes: s.Size, Inline: s.Inline, ContainedSequence: s.Sequence, RunTime: moment(s.Run),
		}
	}
	if t := o.Target; t != nil {
		options, err := json.Marshal(t.Options)
		if err != nil {
			options = nil // plain values; cannot be
		}
		m.Target = &agentv1.TargetSpec{
			Managed: t.Managed, Image: t.Image, ContainerName: t.Name, Chart: t.Chart, Channel: t.Channel,
			OptionsJson: options, Findings: findings(t.Findings), EngineId: t.EngineID,
		}
	}
	return m
}

// moment reads a StartedAt; nil when it is none.
func moment(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil
	}
	return timestamppb.New(t)
}

func command(m *agentv1.Command) Command {
	c := Command{
		ID: m.GetCommandId(), Instance: m.GetInstance(), ContainerID: m.GetContainerId(), Verb: m.GetVerb(),
		Arguments: m.GetArgumentsJson(), Traceparent: m.GetTraceparent(),
	}
	if m.GetRunTime() != nil {
		c.Run = m.GetRunTime().AsTime()
	}
	if s := m.GetSnapshot(); s != nil {
		c.Snapshot = &journal.Snapshot{SHA256: s.GetSha256(), Size: s.GetSizeBytes(), Inline: s.GetInline(), Sequence: s.GetContainedSequence()}
	}
	if d := m.GetDelivery(); d != nil {
		c.Sequence, c.After, c.Name, c.Data = d.GetSequence(), d.GetAfterSequence(), d.GetName(), d.GetDataJson()
	}
	return c
}
