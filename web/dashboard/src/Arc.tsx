// SPDX-License-Identifier: AGPL-3.0-or-later
import { severity } from "./format";
import type { DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { Move } from "./way";

interface Place {
  x: number;
  y: number;
}

/** The heads of arrows: of a transition, of one that can be taken or was, and of one that was a failure. */
export const ARROWS = (
  <defs>
    {["arrow", "arrow-lit", "arrow-failed"].map((id) => (
      <marker key={id} id={id} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto-start-reverse">
        <path d="M0 0 L8 4 L0 8 z" />
      </marker>
    ))}
  </defs>
);

/** Arc shows a move that has no line in the drawing, from box to box. */
export function Arc({ move, older }: { move: Move; older: boolean }) {
  const { start, over, end } = bow(move);
  return (
    <path
      className={`arc${failed(move) ? " failed" : ""}${older ? " older" : ""}`}
      data-from={move.from.id}
      data-to={move.to.id}
      d={`M${start.x} ${start.y} Q${over.x} ${over.y} ${end.x} ${end.y}`}
      markerEnd={`url(#arrow-${failed(move) ? "failed" : "lit"})`}
    />
  );
}

/** ArcLabel says what came from outside, where the box that was entered names only what the chart made of it. */
export function ArcLabel({ move, boxes }: { move: Move; boxes: readonly DrawingNodeJson[] }) {
  if (!move.event || move.event === move.entry.event) return null;
  const bent = bow(move);
  const places = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8].map((part) => along(bent, part));
  const free = places.find((place) => !boxes.some((box) => covers(box, place))) ?? along(bent, 0.5);
  return (
    <text className={failed(move) ? "arc failed" : "arc"} x={free.x} y={free.y}>
      {move.entry.event}
    </text>
  );
}

function failed(move: Move): boolean {
  return severity(move.entry).word === "error";
}

/** How far an arc is bent to one side, in parts of its length, so that there and back are two lines. */
const BEND = 0.18;

function bow(move: Move): { start: Place; over: Place; end: Place } {
  const from = middle(move.from);
  const to = middle(move.to);
  const over = { x: (from.x + to.x) / 2 + (to.y - from.y) * BEND, y: (from.y + to.y) / 2 - (to.x - from.x) * BEND };
  return { start: border(move.from, over), over, end: border(move.to, over) };
}

/** along is the place of an arc after a part of the way. */
function along({ start, over, end }: ReturnType<typeof bow>, part: number): Place {
  const [a, b, c] = [(1 - part) ** 2, 2 * part * (1 - part), part ** 2];
  return { x: a * start.x + b * over.x + c * end.x, y: a * start.y + b * over.y + c * end.y };
}

/** covers says whether a label in the middle of which a place is would stand on a box. */
function covers(box: DrawingNodeJson, { x, y }: Place): boolean {
  const at = middle(box);
  return Math.abs(x - at.x) < Number(box.width ?? 0) / 2 + 36 && Math.abs(y - at.y) < Number(box.height ?? 0) / 2 + 10;
}

function middle({ x, y, width, height }: DrawingNodeJson): Place {
  return { x: Number(x ?? 0) + Number(width ?? 0) / 2, y: Number(y ?? 0) + Number(height ?? 0) / 2 };
}

/** border is where the way from the middle of a box to a place leaves it; the place itself when it is inside. */
function border(box: DrawingNodeJson, to: Place): Place {
  const { x, y } = middle(box);
  const dx = to.x - x;
  const dy = to.y - y;
  const part = Math.min(Number(box.width ?? 0) / 2 / Math.abs(dx), Number(box.height ?? 0) / 2 / Math.abs(dy), 1);
  return { x: x + dx * part, y: y + dy * part };
}
