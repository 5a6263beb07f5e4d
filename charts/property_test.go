// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyEvent draws an event of the engine, an answer of the agent, an intent, or
// the passing of time, in an order that no engine would keep. With relabel the
// labels change now and then.
func anyEvent(t *rapid.T, d *driver, container string, relabel bool) string {
	run := fmt.Sprintf("2026-01-01T00:%02d:00Z", rapid.IntRange(1, 9).Draw(t, "run"))
	data := map[string]any{"containerId": container, "startedAt": run, "inferred": rapid.Bool().Draw(t, "inferred")}
	if rapid.IntRange(0, 2).Draw(t, "ours") == 0 {
		data["commandId"] = "bot/1"
	}
	name := rapid.SampledFrom([]string{
		"docker.create", "docker.start", "docker.start", "docker.die", "docker.die", "docker.die", "docker.kill",
		"docker.stop", "docker.restart", "docker.pause", "docker.unpause", "docker.oom", "docker.destroy",
		"docker.rename", "docker.update", "docker.health_status", "docker.exec_die", "docker.inspect",
		"app.ready", "app.ready", "app.snapshot", "app.answer", "app.error", "app.lost", "app.refused", "breaker.dispatched",
		"system.start", "system.stop", "system.restart", "system.kill", "system.pause", "system.unpause",
		"system.remove", "system.restore", "system.take_snapshot",
		"done.command.stop", "done.command.start", "error.docker.start", "error.docker.stop", "error.docker.pause",
		"error.docker.remove", "error.outcome_unknown.start", "error.outcome_stale.stop", "advance", "advance",
	}).Draw(t, "event")
	if relabel && (name == "docker.create" || name == "docker.inspect" || name == "docker.update") && rapid.Bool().Draw(t, "relabelled") {
		data["managed"] = rapid.Bool().Draw(t, "managed")
	}
	switch name {
	case "advance":
		d.advance(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
		return name
	case "docker.die":
		data["exitCode"] = rapid.SampledFrom([]int{0, 1, 137, 143, 255}).Draw(t, "exitCode")
		data["oomKilled"] = rapid.Bool().Draw(t, "oomKilled")
		if rapid.Bool().Draw(t, "evidence") {
			data["evidence"] = map[string]any{
				"command":    rapid.SampledFrom([]string{"", "stop", "kill"}).Draw(t, "command"),
				"signal":     rapid.SliceOfN(rapid.SampledFrom([]any{9, 10, 15}), 0, 2).Draw(t, "signal"),
				"stopEvent":  rapid.Bool().Draw(t, "stopEvent"),
				"hostSignal": false, "oom": false, "engineShutdown": rapid.Bool().Draw(t, "engineShutdown"),
			}
		}
		if rapid.Bool().Draw(t, "flight") {
			data["inFlight"] = map[string]any{
				"sequence": rapid.IntRange(1, 3).Draw(t, "sequence"),
				"deaths":   rapid.IntRange(1, 4).Draw(t, "deaths"),
			}
		}
	case "docker.inspect":
		inspect(t, data)
	case "docker.health_status":
		data["health"] = rapid.SampledFrom([]string{"healthy", "unhealthy"}).Draw(t, "health")
	case "app.snapshot":
		data["number"] = rapid.IntRange(1, 99).Draw(t, "number")
		data["sequence"] = rapid.IntRange(0, 9).Draw(t, "sequence")
	case "app.ready", "app.answer", "breaker.dispatched":
		data["sequence"] = rapid.IntRange(0, 9).Draw(t, "sequence")
	case "app.refused":
		data["code"] = rapid.SampledFrom([]string{"snapshot.too-large", "message.unknown"}).Draw(t, "code")
		data["message"] = "no"
	case "system.restore":
		data["snapshot"] = rapid.IntRange(0, 9).Draw(t, "snapshot")
	case "system.stop", "system.restart":
		if rapid.Bool().Draw(t, "hasGrace") {
			data["grace"] = rapid.IntRange(0, 5).Draw(t, "grace")
		}
	default:
		data["message"] = "no"
	}
	d.deliver(name, data)
	return name
}

func inspect(t *rapid.T, data map[string]any) string {
	status := rapid.SampledFrom([]string{"created", "running", "paused", "restarting", "exited", "dead", "removing"}).Draw(t, "status")
	data["status"] = status
	data["exitCode"] = rapid.SampledFrom([]int{0, 1, 137}).Draw(t, "exitCode")
	data["health"] = rapid.SampledFrom([]string{"", "healthy", "unhealthy"}).Draw(t, "health")
	return status
}

// Law 6: whatever was lost, repeated or out of order, the state after an
// inspect is the one that inspect names; and nothing that arrives is a fault of
// the chart.
func TestInspectIsTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		managed := rapid.Bool().Draw(t, "managed")
		d := drive(t, managed, nil)
		container := "c1"
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			if container == "c1" && !d.ip.In("absent") && rapid.IntRange(0, 20).Draw(t, "replace") == 0 {
				container = "c2"
				d.deliver("docker.create", map[string]any{"containerId": "c2"})
			}
			about := container
			if container == "c2" && !d.ip.In("destroyed") && rapid.IntRange(0, 3).Draw(t, "former") == 0 {
				about = "c1" // late news of the container that was replaced
			}
			anyEvent(t, d, about, true)
		}
		data := map[string]any{
			"containerId": container, "inferred": true,
			"startedAt": fmt.Sprintf("2026-01-01T00:%02d:00Z", rapid.IntRange(1, 9).Draw(t, "run")),
		}
		status := inspect(t, data)
		d.deliver("docker.inspect", data)
		if !d.agrees(status) {
			t.Fatalf("inspect says %s, the chart is in %v", status, d.ip.Configuration())
		}
		d.deliver("docker.inspect", data)
		if !d.agrees(status) {
			t.Fatalf("the second time inspect says %s, the chart is in %v", status, d.ip.Configuration())
		}
		d.deliver("docker.destroy", map[string]any{"containerId": container})
		if !d.ip.In("destroyed") {
			t.Fatalf("destroyed, the chart is in %v", d.ip.Configuration())
		}
		if v, _ := d.ip.Value("container"); v != container {
			t.Fatalf("container %v, want %s", v, container)
		}
	})
}

// Law 9: without the label nothing is ever commanded.
func TestUnmanagedIsNeverTouched(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drive(t, false, nil)
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			anyEvent(t, d, "c1", false)
			for _, intent := range []string{"start", "stop", "restart", "kill", "pause", "unpause", "remove", "restore", "take_snapshot"} {
				if d.ip.Accepts("system." + intent) {
					t.Fatalf("system.%s is accepted in %v", intent, d.ip.Configuration())
				}
			}
		}
		for _, c := range d.commands {
			if c.verb != "queue.rewind" {
				t.Fatalf("sent %s %v", c.verb, c.args)
			}
		}
	})
}

// Law 4: no command to the engine follows an unfinished stop before its grace
// has passed.
func TestNothingFollowsAnUnfinishedStop(t *testing.T) {
	t.Parallel()
	engine := map[string]bool{"replace": true, "start": true, "stop": true, "kill": true, "pause": true, "unpause": true, "remove": true}
	rapid.Check(t, func(t *rapid.T) {
		d := drive(t, true, ladder(rapid.IntRange(1, 3).Draw(t, "max"), true))
		d.deliver("docker.create", nil)
		seen, container := 0, "c1"
		var until time.Time // a stop is out until then, or until it is answered
		for range rapid.IntRange(1, 16).Draw(t, "events") {
			name := anyEvent(t, d, container, true)
			if d.ip.In("replacing") {
				container = "c2"
				d.deliver("docker.create", map[string]any{"containerId": "c2", "commandId": "bot/9"})
			}
			if name == "done.command.stop" || name == "error.docker.stop" || name == "error.outcome_stale.stop" {
				until = time.Time{}
			}
			for ; seen < len(d.commands); seen++ {
				c := d.commands[seen]
				if !engine[c.verb] {
					continue
				}
				if c.at.Before(until) {
					t.Fatalf("%s %v at %s, while a stop is out until %s", c.verb, c.args, c.at, until)
				}
				if c.verb == "stop" {
					grace, _ := c.args.(map[string]any)["grace"].(float64)
					until = c.at.Add(time.Duration(grace) * time.Second)
				}
			}
		}
	})
}

// A restart loop ends: with the given number of attempts, each pause within its
// bounds, and the reason kept.
func TestRestartsAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 12).Draw(t, "max")
		backoff := rapid.IntRange(1, 500).Draw(t, "backoff")
		ceiling := rapid.IntRange(500, 5000).Draw(t, "ceiling")
		d := drive(t, true, map[string]any{
			"channel": "none", "policy": "manual", "policyInterval": 0,
			"restart":      map[string]any{"max": most, "first": 0, "backoff": backoff, "ceiling": ceiling},
			"breaker":      map[string]any{"timeout": 250, "open": 1000, "queue": 1000},
			"startTimeout": 30000, "stopTimeout": 10000, "proving": 5000, "eventDeaths": 3,
		})
		d.deliver("docker.create", nil)
		for n := range most + 1 {
			run := fmt.Sprintf("2026-01-01T00:%02d:00Z", n)
			d.deliver("docker.start", map[string]any{"startedAt": run, "commandId": "bot/1"})
			died := d.now
			d.deliver("docker.die", map[string]any{"startedAt": run, "exitCode": 1})
			if n == most {
				break
			}
			d.advance(10 * time.Second)
			if d.sent("start") != n+1 {
				t.Fatalf("%d starts after %d deaths", d.sent("start"), n+1)
			}
			pause := d.commands[len(d.commands)-1].at.Sub(died)
			base := 0.0
			if n > 0 {
				base = min(float64(backoff)*float64(uint(1)<<(n-1)), float64(ceiling))
			}
			low, high := time.Duration(base*0.8-1)*time.Millisecond, time.Duration(base*1.2+1)*time.Millisecond
			if pause < low || pause > high {
				t.Fatalf("pause %d is %s, want between %s and %s", n+1, pause, low, high)
			}
		}
		if !d.ip.In("given_up") {
			t.Fatalf("after %d attempts: %v", most, d.ip.Configuration())
		}
		d.advance(time.Hour)
		if d.sent("start") != most {
			t.Fatalf("%d starts, want %d", d.sent("start"), most)
		}
	})
}

// ladder are options of a container that is restarted max times, with or without
// a recovery profile.
func ladder(most int, profile bool) map[string]any {
	image := ""
	if profile {
		image = "bot:0"
	}
	return map[string]any{
		"channel": "socket", "policy": "event", "policyInterval": 0,
		"restart":      map[string]any{"max": most, "first": 0, "backoff": 100, "ceiling": 1000},
		"breaker":      map[string]any{"timeout": 250, "open": 1000, "queue": 1000},
		"startTimeout": 30000, "stopTimeout": 1000, "proving": 5000, "eventDeaths": 3,
		"recover": map[string]any{"image": image, "env": map[string]any{}},
	}
}

// An application that always dies, however, is replaced once by its recovery
// profile, as the last thing that is tried, and then given up.
func TestTheLadderEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "max")
		d := drive(t, true, ladder(most, true))
		d.deliver("docker.create", nil)
		d.deliver("system.start", nil)
		container, run, seen := "c1", 0, 0
		for !d.ip.In("given_up") {
			if d.advance(2 * time.Second); seen == len(d.commands) {
				t.Fatalf("nothing is sent in %v", d.ip.Configuration())
			}
			for ; seen < len(d.commands); seen++ {
				switch d.commands[seen].verb {
				case "replace":
					if container = "c2"; run > 1+most {
						t.Fatalf("replaced after %d runs, with %d attempts", run, most)
					}
					d.deliver("docker.create", map[string]any{"containerId": container, "commandId": "bot/1", "options": ladder(most, false)})
				case "start":
					run++
					lifeAndDeath(t, d, container, run)
				}
			}
		}
		d.advance(time.Hour)
		if n := d.sent("replace"); n != 1 || container != "c2" {
			t.Fatalf("replaced %d times, given up on %s", n, container)
		}
		if n := d.sent("start"); n > 2*most+2 {
			t.Fatalf("%d starts with %d attempts", n, most)
		}
	})
}

// lifeAndDeath is a run that comes more or less far and dies.
func lifeAndDeath(t *rapid.T, d *driver, container string, run int) {
	started := fmt.Sprintf("2026-01-01T00:%02d:00Z", run)
	about := func(data map[string]any) map[string]any { data["containerId"] = container; return data }
	if rapid.IntRange(0, 4).Draw(t, "refused") == 0 {
		d.deliver("error.docker.start", map[string]any{"message": "no", "commandId": "bot/1", "status": 500})
		if d.ip.In("backoff") || d.ip.In("given_up") || d.ip.In("replacing") || d.ip.In("restarting") {
			return
		}
	}
	d.deliver("docker.start", about(map[string]any{"startedAt": started, "commandId": "bot/1"}))
	end := about(map[string]any{"startedAt": started, "exitCode": 1, "evidence": evidence()})
	switch rapid.SampledFrom([]string{"starting", "ready", "snapshot", "event"}).Draw(t, "dies") {
	case "ready":
		d.deliver("app.ready", map[string]any{"sequence": 0})
	case "snapshot":
		d.deliver("app.ready", map[string]any{"sequence": 0})
		d.deliver("app.snapshot", map[string]any{"number": run, "sequence": 0})
	case "event":
		d.deliver("app.ready", map[string]any{"sequence": 0})
		d.deliver("breaker.dispatched", map[string]any{"sequence": 1})
		end["inFlight"] = map[string]any{"sequence": 1, "deaths": 1}
	}
	d.deliver("docker.die", end)
}
