// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, test } from "vitest";
import { ago, bytes, gone, grade, pretty, sentence } from "./format";

test("an instance whose host is silent is never green", () => {
  expect(grade({ state: "running", unknown: true })).toBe("unknown");
  expect(grade({ state: "running" })).toBe("good");
  expect(grade({ state: "running", severity: "SEVERITY_ERROR" })).toBe("error");
  expect(grade({ state: "completed" })).toBe("idle");
});

test("what is unknown says why, and what was last known", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  const lost = { unknown: true, unknownReason: "the engine of host-1 does not answer", why: "Running.", lastSeenTime: "2026-01-01T00:09:00Z" };
  expect(sentence(lost, now)).toMatch(/^The engine of host-1 does not answer, last seen .*:09:00.*\. Last known: Running\.$/);
  expect(sentence({ why: "Running." }, now)).toBe("Running.");
});

test("what is paused or about to start is not shown as running", () => {
  expect(grade({ state: "paused" })).toBe("paused");
  expect(grade({ state: "launching" })).toBe("busy");
  expect(grade({ state: "brewing" })).toBe("good");
});

test("a removed container is left out only when nothing of it is kept", () => {
  expect(gone({ state: "destroyed" })).toBe(true);
  expect(gone({ state: "destroyed", managed: true })).toBe(false);
  expect(gone({ state: "destroyed", snapshots: [{ number: "1" }] })).toBe(false);
  expect(gone({ state: "running" })).toBe(false);
});

test("ages and sizes read as people say them", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  expect(ago("2026-01-01T00:09:48Z", now)).toBe("12 s ago");
  expect(ago("2026-01-01T00:00:00Z", now)).toBe("10 min ago");
  expect(ago(undefined, now)).toBe("never");
  expect(bytes("2048")).toBe("2.0 KiB");
});

test("data that is not JSON is shown as it is", () => {
  expect(pretty("{")).toBe("{");
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
});
