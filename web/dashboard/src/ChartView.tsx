// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect, useRef, useState } from "react";
import { drawing } from "./api";
import { words } from "./format";
import type { GetDrawingResponseJson, DrawingEdgeJson, DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import { useFleet } from "./stream";
import { useWidth } from "./useWidth";

const drawings = new Map<string, Promise<GetDrawingResponseJson>>();

/** geometry is asked for once for each digest: a chart never changes under its digest. */
function geometry(chart: string, digest: string): Promise<GetDrawingResponseJson> {
  const known = drawings.get(digest);
  if (known) return known;
  const asked = drawing(chart, digest);
  drawings.set(digest, asked);
  asked.catch(() => drawings.delete(digest));
  return asked;
}

interface Props {
  chart: string;
  digest: string;
  /** Without them it is the chart alone. */
  active?: readonly string[];
  /** The active states are only what was last known. */
  unsure?: boolean;
}

/**
 * ChartView draws what the server laid out, with the active states lit; without colour when they are unsure.
 * It fits its box; what gets too small to read in it can be seen in full size, which scrolls.
 */
export function ChartView({ chart, digest, active, unsure = false }: Props) {
  const [drawn, setDrawn] = useState<GetDrawingResponseJson>();
  const [problem, setProblem] = useState("");
  const [part, setPart] = useState<string>();
  const [full, setFull] = useState(false);
  const { link } = useFleet();
  const canvas = useRef<HTMLDivElement>(null);
  const [measured, room] = useWidth();
  // Where the box is too small for the full size, what is active is in the middle.
  const lively = (active ?? []).join(" ");
  useEffect(() => {
    const lit = canvas.current?.querySelector(".node.active.atomic")?.getBoundingClientRect();
    const view = canvas.current?.getBoundingClientRect();
    if (full && lit && view) canvas.current?.scrollBy(lit.left + lit.width / 2 - view.left - view.width / 2, lit.top + lit.height / 2 - view.top - view.height / 2);
  }, [drawn, part, lively, full]);
  useEffect(() => {
    let current = true;
    setProblem("");
    geometry(chart, digest).then(
      (d) => current && setDrawn(d),
      (error: unknown) => current && setProblem(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      current = false;
    };
  }, [chart, digest, link]); // what could not be read is read when the server is back
  if (problem) return <p className="empty">The chart cannot be drawn: {problem}</p>;
  if (!drawn) return <p className="empty">Drawing the chart…</p>;
  const lit = new Set(active ?? []);
  const parts = regions(drawn.nodes ?? []);
  const proposed = parts[0] && legible(drawn.nodes ?? [], parts[0], lit, room);
  const shown = part === undefined ? proposed : parts.find((node) => node.id === part);
  const names = new Set([proposed?.id ?? WHOLE, ...parts.map((node) => node.id ?? ""), WHOLE]);
  const nodes = shown ? within(drawn.nodes ?? [], shown) : (drawn.nodes ?? []);
  const ids = new Set(nodes.map((node) => node.id));
  const edges = (drawn.edges ?? []).filter((edge) => inside(edge, ids));
  const parents = new Set(nodes.map((node) => node.parent));
  const text = active ? `${unsure ? "Last known" : "Active"} states: ${active.map(words).join(", ") || "none"}` : "";
  const { x = 0, y = 0, width = drawn.width ?? 0, height = drawn.height ?? 0 } = shown ?? {};
  const size = framed(width);
  const box = `${Number(x) - FRAME} ${Number(y) - FRAME} ${size} ${framed(height)}`;
  const shrunk = room > 0 && room < size;
  const scrolls = full && shrunk;
  return (
    <figure className={unsure ? "chart unsure" : "chart"} ref={measured}>
      {(parts.length > 0 || shrunk) && (
        <div className="chips" role="group" aria-label="Part and size of the chart">
          {parts.length > 0 &&
            [...names].map((id) => (
              <button key={id} type="button" className="chip" aria-pressed={(shown?.id ?? WHOLE) === id} onClick={() => setPart(id === proposed?.id ? undefined : id)}>
                {words(id)}
              </button>
            ))}
          {shrunk && (
            <button type="button" className="chip size" aria-pressed={full} onClick={() => setFull(!full)}>
              full size
            </button>
          )}
        </div>
      )}
      <div className={scrolls ? "canvas full" : "canvas"} ref={canvas} {...(scrolls ? SCROLLABLE : {})}>
        <svg viewBox={box} style={{ maxWidth: size, minWidth: scrolls ? size : 0 }} role="img" aria-label={`Chart ${chart}. ${text}`}>
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
              <path d="M0 0 L8 4 L0 8 z" />
            </marker>
          </defs>
          {nodes.map((node) => (
            <Node key={node.id} node={node} active={lit.has(node.id ?? "")} atomic={!parents.has(node.id)} />
          ))}
          {edges.map((edge, index) => (
            <Edge key={index} edge={edge} ready={lit.has(edge.source ?? "")} />
          ))}
        </svg>
      </div>
      {text && <figcaption>{text}</figcaption>}
    </figure>
  );
}

const WHOLE = "whole chart";
const SCROLLABLE = { tabIndex: 0, role: "group", "aria-label": "Drawing, scrollable" } as const;
/** Room around a drawing for the lines of its border. */
const FRAME = 4;
/** The least scale at which names can be read: 7 px. */
const LEGIBLE = 0.55;

function framed(length: DrawingNodeJson["width"]): number {
  return Number(length ?? 0) + 2 * FRAME;
}

/** legible is the region, or, where that would be too small to read, the part of it in which the chart is. */
function legible(nodes: readonly DrawingNodeJson[], region: DrawingNodeJson, lit: ReadonlySet<string>, room: number): DrawingNodeJson {
  let shown = region;
  while (room > 0 && room < framed(shown.width) * LEGIBLE) {
    const inner = nodes.find((node) => node.parent === shown.id && lit.has(node.id ?? "") && nodes.some((child) => child.parent === node.id));
    if (!inner) break;
    shown = inner;
  }
  return shown;
}

/** Charts of so many states are shown a region at a time. */
const MANY = 25;

/** regions are the parts of a large chart that can be looked at alone; the first one tells most. */
function regions(nodes: readonly DrawingNodeJson[]): DrawingNodeJson[] {
  const top = nodes.find((node) => node.kind === "parallel" && !node.parent);
  return top && nodes.length > MANY ? nodes.filter((node) => node.parent === top.id && node.kind !== "initial") : [];
}

/** within is a region and what stands inside it; a parent stands before its children. */
function within(nodes: readonly DrawingNodeJson[], region: DrawingNodeJson): DrawingNodeJson[] {
  const ids = new Set([region.id]);
  return nodes.filter((node) => node === region || (ids.has(node.parent) && ids.add(node.id)));
}

/**
 * inside says whether a transition is drawn among these states: a line that comes from outside would be cut off. One
 * without a line is a label at its target, such as "» docker.start", or in the box of its source when it has no target.
 */
function inside(edge: DrawingEdgeJson, ids: ReadonlySet<string | undefined>): boolean {
  const lined = (edge.points ?? []).length > 0;
  return ids.has(edge.target || edge.source) && (!lined || ids.has(edge.source));
}

function Node({ node, active, atomic }: { node: DrawingNodeJson; active: boolean; atomic: boolean }) {
  const { id = "", kind = "state", x = 0, y = 0, width = 0, height = 0, admit } = node;
  if (kind === "initial") return <circle className="start" cx={Number(x) + Number(width) / 2} cy={Number(y) + Number(height) / 2} r={Number(width) / 2} />;
  return (
    <g className={`node ${kind}${active ? " active" : ""}${atomic ? " atomic" : ""}`} data-state={id} data-active={active}>
      <rect x={x} y={y} width={width} height={height} rx={8} />
      <text x={Number(x) + 8} y={Number(y) + 16}>
        {kind === "history" ? "H" : words(id)}
        {admit && (
          <tspan className="admit">
            {" "}
            {admit}
            <title>application events: {admit}</title>
          </tspan>
        )}
      </text>
    </g>
  );
}

function Edge({ edge, ready }: { edge: DrawingEdgeJson; ready: boolean }) {
  const points = (edge.points ?? []).map((p) => `${p.x ?? 0},${p.y ?? 0}`).join(" ");
  return (
    <g className={ready ? "edge ready" : "edge"}>
      <polyline points={points} markerEnd="url(#arrow)" />
      {edge.label && (
        <text x={edge.labelX ?? 0} y={Number(edge.labelY ?? 0) + 9}>
          {edge.label}
        </text>
      )}
    </g>
  );
}
