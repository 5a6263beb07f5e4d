// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect, useRef, useState } from "react";
import { drawing } from "./api";
import { words } from "./format";
import type { GetDrawingResponseJson, DrawingEdgeJson, DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import { useFleet } from "./stream";

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

/** ChartView draws what the server laid out, with the active states lit; without colour when they are unsure. */
export function ChartView({ chart, digest, active, unsure = false }: Props) {
  const [drawn, setDrawn] = useState<GetDrawingResponseJson>();
  const [problem, setProblem] = useState("");
  const [part, setPart] = useState<string>();
  const { link } = useFleet();
  const canvas = useRef<HTMLDivElement>(null);
  // Where the window is too small for the drawing, what is active is in the middle.
  const lively = (active ?? []).join(" ");
  useEffect(() => {
    const lit = canvas.current?.querySelector(".node.active.atomic")?.getBoundingClientRect();
    const view = canvas.current?.getBoundingClientRect();
    if (lit && view) canvas.current?.scrollBy(lit.left + lit.width / 2 - view.left - view.width / 2, lit.top + lit.height / 2 - view.top - view.height / 2);
  }, [drawn, part, lively]);
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
  const shown = part === undefined ? parts[0] : parts.find((node) => node.id === part);
  const nodes = shown ? within(drawn.nodes ?? [], shown) : (drawn.nodes ?? []);
  const ids = new Set(nodes.map((node) => node.id));
  const parents = new Set(nodes.map((node) => node.parent));
  const text = active ? `${unsure ? "Last known" : "Active"} states: ${active.map(words).join(", ") || "none"}` : "";
  const { x = 0, y = 0, width = drawn.width ?? 0, height = drawn.height ?? 0 } = shown ?? {};
  const box = `${Number(x) - 4} ${Number(y) - 4} ${Number(width) + 8} ${Number(height) + 8}`;
  return (
    <figure className={unsure ? "chart unsure" : "chart"}>
      {parts.length > 0 && (
        <div className="chips" role="group" aria-label="Part of the chart">
          {[...parts.map((node) => node.id ?? ""), WHOLE].map((id) => (
            <button key={id} type="button" className="chip" aria-pressed={(shown?.id ?? WHOLE) === id} onClick={() => setPart(id)}>
              {words(id)}
            </button>
          ))}
        </div>
      )}
      <div className="canvas" ref={canvas} tabIndex={0} role="group" aria-label="Drawing, scrollable">
        <svg viewBox={box} style={room(Number(width), Number(height))} role="img" aria-label={`Chart ${chart}. ${text}`}>
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
              <path d="M0 0 L8 4 L0 8 z" />
            </marker>
          </defs>
          {nodes.map((node) => (
            <Node key={node.id} node={node} active={lit.has(node.id ?? "")} atomic={!parents.has(node.id)} />
          ))}
          {(drawn.edges ?? []).filter((edge) => ids.has(edge.source)).map((edge, index) => (
            <Edge key={index} edge={edge} ready={lit.has(edge.source ?? "")} />
          ))}
        </svg>
      </div>
      {text && <figcaption>{text}</figcaption>}
    </figure>
  );
}

const WHOLE = "whole chart";
/** The scale at which a drawing is read with ease, where it does not get too large for that. */
const LEGIBLE = 0.75;
const LARGEST_PX = 900;

/** room is the least width and the greatest height of a drawing; a smaller window scrolls. */
function room(width: number, height: number): { minWidth: string; maxHeight: string } {
  const size = (length: number) => Math.min(Math.round(length * LEGIBLE), LARGEST_PX);
  return { minWidth: `${size(width)}px`, maxHeight: `max(62vh, ${size(height)}px)` };
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
