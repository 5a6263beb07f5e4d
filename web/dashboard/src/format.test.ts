// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, test } from "vitest";
import { ago, barrier, bytes, clock, exact, gone, grade, pretty, refusal, sentence, together, until, wrong, zone } from "./format";

test("an instance whose host is silent is never green", () => {
  const running = { state: "sailing", activity: "ACTIVITY_RUNNING" } as const;
  expect(grade({ ...running, unknown: true })).toBe("unknown");
  expect(grade(running)).toBe("good");
  expect(grade({ ...running, severity: "SEVERITY_ERROR" })).toBe("error");
  expect(grade({ state: "moored", activity: "ACTIVITY_IDLE" })).toBe("idle");
  expect(grade({ state: "running" })).toBe("idle");
});

test("what is unknown says why, and what was last known", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  const lost = { unknown: true, unknownReason: "the engine of host-1 does not answer", why: "Running.", lastSeenTime: "2026-01-01T00:09:00Z" };
  expect(sentence(lost, now)).toMatch(/^The engine of host-1 does not answer, last seen .*:09:00\.000 \S+\. Last known: Running\.$/);
  expect(sentence({ why: "Running." }, now)).toBe("Running.");
});

test("what is paused or about to start is not shown as running", () => {
  expect(grade({ state: "hove-to", activity: "ACTIVITY_PAUSED" })).toBe("paused");
  expect(grade({ state: "casting-off", activity: "ACTIVITY_BUSY" })).toBe("busy");
});

test("a removed container is left out only when nothing of it is kept", () => {
  const target = { generation: 2, containerId: "" };
  expect(gone({ target })).toBe(true);
  expect(gone({ target, managed: true })).toBe(false);
  expect(gone({ target, snapshots: [{ number: "1" }] })).toBe(false);
  expect(gone({ target: { generation: 2, containerId: "c2" } })).toBe(false);
  // One that has no container yet, and a chart by itself.
  expect(gone({ target: {} })).toBe(false);
  expect(gone({})).toBe(false);
});

test("what cannot be asked for says why, and what would change it", () => {
  const always = { code: "restart-policy", message: "the engine restarts it", fix: "docker update --restart=no web", severity: "SEVERITY_ERROR" } as const;
  const outside = { code: "outside", message: "the agent acts only on team=a", fix: "make it with the label team=a", severity: "SEVERITY_INFO" } as const;
  const misspelt = { code: "label.unknown", message: "label chartroom.enabled is not known", fix: "chartroom.enable=true", severity: "SEVERITY_ERROR" } as const;
  expect(refusal({ state: "user_requested", managed: true })).toBe(" in state user requested");
  expect(refusal({})).toBe(": observed only; add the label chartroom.enable=true");
  expect(refusal({ findings: [misspelt] })).toBe(": observed only; add the label chartroom.enable=true");
  expect(refusal({ findings: [always] })).toBe(": the engine restarts it; docker update --restart=no web");
  expect(refusal({ findings: [misspelt, outside] })).toBe(": the agent acts only on team=a; make it with the label team=a");
  expect(refusal({ findings: [always], unknown: true, unknownReason: "the connection is lost" })).toBe(": the connection is lost");
  expect(barrier({ managed: true, findings: [outside] })).toBeUndefined();
  expect(wrong({ findings: [outside, misspelt] })).toEqual([misspelt]);
});

test("ages and sizes read as people say them", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  expect(ago("2026-01-01T00:09:48Z", now)).toBe("12 s ago");
  expect(ago("2026-01-01T00:00:00Z", now)).toBe("10 min ago");
  expect(ago(undefined, now)).toBe("never");
  expect(until("2026-01-01T00:10:12Z", now)).toBe("in 12 s");
  expect(until("2026-01-01T00:09:48Z", now)).toBe("now");
  expect(bytes("2048")).toBe("2.0 KiB");
});

test("a time that stands alone names its zone, and midnight is the hour 0", () => {
  const time = "2026-07-01T12:00:00.250Z";
  expect(zone(Date.parse(time))).not.toBe("");
  expect(exact(time, Date.parse(time))).toBe(`${clock(time, Date.parse(time))} ${zone(Date.parse(time))}`);
  expect(exact(undefined)).toBe("");
  const midnight = new Date(2026, 0, 1, 0, 0, 5);
  expect(clock(midnight.toISOString(), midnight.getTime())).toMatch(/\b0?0:00:05\.000/);
});

test("gaps that follow each other for one reason are told once, and one that goes on by itself", () => {
  const gap = (fromTime: string, toTime: string, reason: string) => ({ fromTime, reason, ...(toTime && { toTime }) });
  const gaps = [gap("09:05", "", "away"), gap("09:03", "09:04", "away"), gap("09:02", "09:02", "full"), gap("09:01", "09:01", "full"), gap("09:00", "09:00", "away")];
  expect(together(gaps).map(({ fromTime, toTime, times }) => [fromTime, toTime, times])).toEqual([
    ["09:05", undefined, 1],
    ["09:03", "09:04", 1],
    ["09:01", "09:02", 2],
    ["09:00", "09:00", 1],
  ]);
});

test("data that is not JSON is shown as it is", () => {
  expect(pretty("{")).toBe("{");
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
});
