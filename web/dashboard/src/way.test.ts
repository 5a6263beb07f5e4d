// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, test } from "vitest";
import type { DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { LogEntryJson, MicrostepJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { type Move, moves, state, took, way } from "./way";

const nodes = new Map(
  (
    [
      ["both", "", "parallel"],
      ["life", "both"],
      ["up", "life"],
      ["starting", "up"],
      ["running", "up"],
      ["down", "life"],
      ["backoff", "down"],
      ["gone", "life"],
      ["breaker", "both"],
      ["ready", "breaker"],
      ["waiting", "breaker"],
    ] as const
  ).map(([id, parent, kind = "state"]): [string, DrawingNodeJson] => [id, { id, parent, kind }]),
);

const step = (event: string, exited: string[], entered: string[]): MicrostepJson => ({ event, exited, entered });
const entry = (event: string, ...microsteps: MicrostepJson[]): LogEntryJson => ({ event, microsteps });
const told = (taken: readonly Move[]) => taken.map(({ from, to, event }) => `${from.id} -> ${to.id} on ${event}`);

const death = entry("docker.die", step("docker.die", [], []), step("run.over", ["ready", "running", "up"], ["down", "backoff", "waiting"]));
const start = entry("docker.start", step("docker.start", ["backoff", "down"], ["up", "starting"]));
const ready = entry("app.ready", step("app.ready", ["starting"], ["running"]), step("run.ready", ["waiting"], ["ready"]));

test("a move goes from innermost state to innermost state, and from no region to another", () => {
  expect(told(moves(death, nodes))).toEqual(["running -> backoff on run.over", "ready -> waiting on run.over"]);
  expect(told(moves(entry("again", step("again", ["running"], ["running"])), nodes))).toEqual([]);
});

test("the way goes back to where the moves meet, and tells of the states that are shown", () => {
  const shown = new Map([...nodes].filter(([id]) => id !== "breaker" && id !== "ready" && id !== "waiting"));
  const crash = ["running -> backoff on run.over", "backoff -> starting on docker.start", "starting -> running on app.ready"];
  expect(told(way([death, start, ready, death, start, ready, entry("hello")], shown))).toEqual(crash);
  expect(told(way([start, ready], shown))).toEqual(crash.slice(1));
  const stillborn = ["starting -> backoff on run.over", "backoff -> starting on docker.start", "starting -> gone on docker.destroy"];
  const again = entry("docker.die", step("run.over", ["starting", "up"], ["down", "backoff"]));
  const end = entry("docker.destroy", step("docker.destroy", ["starting", "up"], ["gone"]));
  expect(told(way([again, start, again, start, end], shown))).toEqual(stillborn);
});

test("a move is that of a line or of a note, whichever the chart took", () => {
  const [move] = moves(death, nodes);
  if (!move) throw new Error("no move");
  const edge = (source: string, target: string, event: string) => took(move, { source, target, event }, nodes);
  expect(edge("life", "backoff", "docker.inspect run.over")).toBe(true);
  expect(edge("up", "down", "run.*")).toBe(true);
  expect(edge("life", "backoff", "run.ov")).toBe(false);
  expect(edge("life", "backoff", "")).toBe(false);
  expect(edge("backoff", "running", "run.over")).toBe(false);
  // A state that was not left is not entered either.
  expect(edge("running", "life", "run.over")).toBe(false);
});

test("the word for where a chart is is the deepest state of the first region", () => {
  const drawn = [...nodes.values()];
  expect(state(drawn, ["both", "life", "down", "backoff", "breaker", "waiting"])).toBe("backoff");
  expect(state(drawn, ["both", "life", "gone", "breaker", "ready"])).toBe("gone");
  expect(state(drawn, [])).toBe("");
});
