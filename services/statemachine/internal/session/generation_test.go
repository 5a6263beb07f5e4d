// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"testing"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// The recovery profile, seen from the runtime: the chart's command goes to the broken
// container, the start that follows to the one made in its place; news of the broken
// one are none until the other is gone and it is started again.
func TestReplacedAndReinstated(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	of := func(id string) func(*agentv1.Observation) {
		return func(o *agentv1.Observation) { o.ContainerId = id }
	}
	spec := func(o *agentv1.Observation) {
		o.Target = &agentv1.TargetSpec{Managed: true, Channel: "socket", OptionsJson: []byte(`{"channel":"socket","policyInterval":0,
			"restart":{"max":1,"first":0,"backoff":100,"ceiling":60000},"breaker":{"timeout":250,"open":1000,"queue":10},
			"startTimeout":30000,"stopTimeout":10000,"proving":5000,"eventDeaths":3,"recover":{"image":"","env":{"SAFE":"1"}}}`)}
	}
	b.say("docker.inspect", `{"containerId":"c1","name":"web","image":"web:2","status":"running","running":true,"startedAt":"2026-01-02T00:00:00Z"}`, spec)
	b.say("docker.die", `{"containerId":"c1","startedAt":"2026-01-02T00:00:00Z","exitCode":1}`)
	out := b.say("error.docker.start", `{"containerId":"c1","commandId":"x","status":500,"message":"no"}`)
	for len(out.GetOutboxPut()) == 0 {
		due := b.i.ip.Pending()
		if len(due) == 0 {
			t.Fatalf("nothing is sent in %v", b.i.ip.Configuration())
		}
		out = b.do(func(t *turn) { t.run(stimulus{origin: "timer", fire: due[0].Seq}) })
	}
	c := out.GetOutboxPut()[len(out.GetOutboxPut())-1].GetCommand()
	if c.GetVerb() != "replace" || c.GetContainerId() != "c1" {
		t.Fatalf("command %v, want replace of c1", c)
	}
	out = b.say("docker.create", `{"containerId":"c2","name":"web.recovery.1","image":"web:2","commandId":"`+c.GetCommandId()+`"}`, of("c2"))
	if put := out.GetOutboxPut(); len(put) != 1 || put[0].GetCommand().GetVerb() != "start" || put[0].GetCommand().GetContainerId() != "c2" {
		t.Fatalf("commands %v, want a start of c2", put)
	}
	b.say("done.command.replace", `{}`, of("c1"), func(o *agentv1.Observation) { o.CommandId = c.GetCommandId() })
	for _, row := range b.i.outbox {
		if row.GetCommand().GetVerb() == "replace" {
			t.Error("the command is still in the outbox")
		}
	}
	b.say("docker.start", `{"containerId":"c2","startedAt":"2026-01-02T00:01:00Z"}`, of("c2"))
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:02:00Z"}`)
	if got := b.i.container(); got != "c2" {
		t.Errorf("the container is %s while the replacement runs, want c2", got)
	}
	b.say("docker.destroy", `{"containerId":"c2"}`, of("c2"))
	b.say("docker.inspect", `{"containerId":"c1","status":"exited","startedAt":"2026-01-02T00:02:00Z"}`)
	if got := b.i.container(); got != "" || !b.i.ip.In("destroyed") {
		t.Errorf("the container is %q in %v, want none", got, b.i.ip.Configuration())
	}
	b.say("docker.start", `{"containerId":"c1","startedAt":"2026-01-02T00:03:00Z"}`)
	if got := b.i.container(); got != "c1" || !b.i.ip.In("starting") {
		t.Errorf("the container is %q in %v, want c1, starting", got, b.i.ip.Configuration())
	}
}
