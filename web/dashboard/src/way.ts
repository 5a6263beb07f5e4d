// SPDX-License-Identifier: AGPL-3.0-or-later

// The way that a chart went through its drawing. Many transitions have no line:
// they start at a state around everything and go straight to one inside, such
// as that of a death. What was taken can be shown all the same, from the state
// that was left to the one that was entered.

import { words } from "./format";
import type { DrawingEdgeJson, DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";

/** Move is one move of a chart, from an innermost state to another. */
export interface Move {
  readonly from: DrawingNodeJson;
  readonly to: DrawingNodeJson;
  /** What the chart took: an event from outside, or one that it raised itself; empty for none. */
  readonly event: string;
  /** The entry of the log that tells of it. */
  readonly entry: LogEntryJson;
}

type Nodes = ReadonlyMap<string | undefined, DrawingNodeJson>;

/** The most moves that are shown at a time. */
const LONGEST = 6;

/** moves are those that an entry tells of among these states, in order. */
export function moves(entry: LogEntryJson, nodes: Nodes): Move[] {
  return (entry.microsteps ?? []).flatMap((step) => {
    const left = innermost(step.exited ?? [], nodes);
    const entered = innermost(step.entered ?? [], nodes);
    return entered.flatMap((to) =>
      left.filter((from) => from !== to && !beside(from, to, nodes)).map((from) => ({ from, to, event: step.event ?? "", entry })),
    );
  });
}

/** way is how the chart came to where it is: its last moves, back to where they meet. The log is oldest first. */
export function way(log: readonly LogEntryJson[], nodes: Nodes): Move[] {
  const taken: Move[] = [];
  for (const entry of [...log].reverse()) {
    for (const move of moves(entry, nodes).reverse()) {
      taken.unshift(move);
      if (taken.length === LONGEST || taken.some(({ to }) => to === move.from)) return taken;
    }
  }
  return taken;
}

/** state is the active state that one word best tells, as the server chooses it: the deepest one of the first region. */
export function state(nodes: readonly DrawingNodeJson[], active: readonly string[]): string {
  let found = "";
  for (;;) {
    const next = nodes.find((node) => (node.parent ?? "") === found && active.includes(node.id ?? ""));
    if (!next?.id) return found;
    found = next.id;
  }
}

/** mark finds what of the drawing was taken: lines and notes; the moves without a line want an arc. */
export function mark(taken: readonly Move[], edges: readonly DrawingEdgeJson[], nodes: Nodes): { marked: ReadonlySet<DrawingEdgeJson>; arcs: readonly Move[] } {
  const marked = new Set<DrawingEdgeJson>();
  const arcs = taken.filter((move) => {
    const mine = edges.filter((edge) => took(move, edge, nodes));
    // Transitions of one source and target share the line of the first.
    const lines = edges.filter((edge) => edge.points?.length && mine.some((m) => m.source === edge.source && m.target === edge.target));
    for (const edge of [...mine, ...lines]) marked.add(edge);
    return lines.length === 0;
  });
  return { marked, arcs };
}

/** path says the way in words. */
export function path(taken: readonly Move[]): string {
  const legs: string[] = [];
  let at: DrawingNodeJson | undefined;
  for (const { from, to } of taken) {
    legs.push(`${from === at ? "" : `${legs.length ? "; " : ""}${words(from.id ?? "")}`} → ${words(to.id ?? "")}`);
    at = to;
  }
  return legs.length ? `Way here: ${legs.join("")}` : "";
}

/** took says whether a transition that is drawn, as a line or as a note, is the one of a move. */
export function took(move: Move, edge: DrawingEdgeJson, nodes: Nodes): boolean {
  const left = around(move.from, nodes);
  const entered = around(move.to, nodes).filter((node) => !left.includes(node));
  return left.some((node) => node.id === edge.source) && entered.some((node) => node.id === edge.target) && answers(edge.event ?? "", move.event);
}

/** answers says whether a list of event descriptors matches an event (SCXML 3.12.1); none matches no event. */
function answers(descriptors: string, event: string): boolean {
  if (!descriptors || !event) return !descriptors && !event;
  return descriptors.split(/\s+/).some((d) => {
    const prefix = d.replace(/\.?\*$/, "").replace(/\.$/, "");
    return !prefix || event === prefix || event.startsWith(`${prefix}.`);
  });
}

function innermost(ids: readonly string[], nodes: Nodes): DrawingNodeJson[] {
  const drawn = ids.flatMap((id) => nodes.get(id) ?? []);
  const parents = new Set(drawn.map((node) => node.parent));
  return drawn.filter((node) => !parents.has(node.id));
}

/** around is a state and what it stands in, outwards. */
function around(node: DrawingNodeJson, nodes: Nodes): DrawingNodeJson[] {
  const found: DrawingNodeJson[] = [];
  for (let at: DrawingNodeJson | undefined = node; at; at = at.parent ? nodes.get(at.parent) : undefined) found.push(at);
  return found;
}

/** beside says whether two states are in regions of a parallel one: then the chart did not go from one to the other. */
function beside(a: DrawingNodeJson, b: DrawingNodeJson, nodes: Nodes): boolean {
  const outer = around(a, nodes);
  return around(b, nodes).find((node) => outer.includes(node))?.kind === "parallel";
}
