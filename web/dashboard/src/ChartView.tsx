// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Arc, ArcLabel, ARROWS } from "./Arc";
import { drawing } from "./api";
import { words } from "./format";
import type { GetDrawingResponseJson, DrawingEdgeJson, DrawingNodeJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { Past } from "./Past";
import { useFleet } from "./stream";
import { useNarrow } from "./useNarrow";
import { useWidth } from "./useWidth";
import { Waiting } from "./Waiting";
import { mark, moves, path, state, way } from "./way";

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
  /** The log that tells how it came to be in these states, or the one entry of it that is looked at. */
  log?: readonly LogEntryJson[];
  moment?: LogEntryJson | undefined;
  /** Goes back from that moment to now. */
  live?: () => void;
}

/**
 * ChartView draws what the server laid out, with the active states lit, and the way that led there; without colour when
 * they are unsure.
 * It is as wide as its box, and scrolls when it is higher; what gets too small to read can be seen in full size, and on a
 * telephone is from the beginning.
 */
export function ChartView({ chart, digest, active, unsure = false, log = [], moment, live }: Props) {
  const [drawn, setDrawn] = useState<GetDrawingResponseJson>();
  const [problem, setProblem] = useState("");
  const [part, setPart] = useState<string>();
  // What fits a telephone is too small to read: there it scrolls, until somebody wants to see all of it.
  const narrow = useNarrow();
  const [chosen, setFull] = useState<boolean>();
  const full = chosen ?? narrow;
  const { link } = useFleet();
  const canvas = useRef<HTMLDivElement>(null);
  const [measured, room] = useWidth();
  // Where the box is too small, what is active is in it, and the last move that led there if there is room.
  const lively = (active ?? []).join(" ");
  const [tall, setTall] = useState(false);
  useEffect(() => {
    const box = canvas.current;
    if (!box) return;
    setTall(box.scrollHeight > box.clientHeight);
    const lit = around(box, ".node.active.atomic");
    const all = around(box, ".node.active.atomic, path.arc:not(.older)");
    const view = box.getBoundingClientRect();
    const shown = all.height < view.height && all.width < view.width ? all : lit;
    if (shown.width === 0 || (shown.top >= view.top && shown.bottom <= view.bottom && shown.left >= view.left && shown.right <= view.right)) return;
    box.scrollBy(shown.left + shown.width / 2 - view.left - view.width / 2, shown.top + shown.height / 2 - view.top - view.height / 2);
  }, [drawn, part, lively, full, room, moment]);
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
  const text = active ? `${unsure ? "Last known" : "Active"} states${moment ? " then" : ""}: ${active.map(words).join(", ") || "none"}` : "";
  const frame = (inner: ReactNode, nodes: readonly DrawingNodeJson[] = [], told = "") => (
    <figure className={unsure ? "chart unsure" : "chart"} ref={measured}>
      {moment && live && <Past entry={moment} state={state(nodes, active ?? [])} live={live} />}
      {inner}
      {text && (
        <figcaption>
          {told && <p>{told}</p>}
          {text}
        </figcaption>
      )}
    </figure>
  );
  if (problem) return frame(<p className="empty">The chart cannot be drawn: {problem}</p>);
  if (!drawn || (digest && drawn.digest !== digest)) return frame(<Waiting />);
  const lit = new Set(active ?? []);
  const parts = regions(drawn.nodes ?? []);
  const proposed = parts[0] && legible(drawn.nodes ?? [], parts[0], lit, room);
  const shown = part === undefined ? proposed : parts.find((node) => node.id === part);
  const names = new Set([proposed?.id ?? WHOLE, ...parts.map((node) => node.id ?? ""), WHOLE]);
  const nodes = shown ? within(drawn.nodes ?? [], shown) : (drawn.nodes ?? []);
  const ids = new Set(nodes.map((node) => node.id));
  const edges = (drawn.edges ?? []).filter((edge) => inside(edge, ids));
  // Arcs pass behind the boxes with nothing inside, so that these can be read.
  const parents = new Set(nodes.map((node) => node.parent));
  const outer = nodes.filter((node) => parents.has(node.id));
  const atomic = nodes.filter((node) => !parents.has(node.id));
  // What happened in all regions at once is one entry's; the way of one region goes further back, also beyond a part of it.
  const region = shown && (parts.includes(shown) ? within(drawn.nodes ?? [], shown) : within(drawn.nodes ?? [], parts[0] ?? shown));
  const here = new Map((region ?? nodes).map((node) => [node.id, node]));
  const taken = moment ? moves(moment, here) : region || parts.length === 0 ? way(log, here) : [];
  const seen = taken.filter((move) => ids.has(move.from.id) && ids.has(move.to.id));
  const { marked, arcs } = mark(seen, edges, new Map((drawn.nodes ?? []).map((node) => [node.id, node])));
  const told = path(taken);
  const { x = 0, y = 0, width = drawn.width ?? 0, height = drawn.height ?? 0 } = shown ?? {};
  const size = framed(width);
  const box = `${Number(x) - FRAME} ${Number(y) - FRAME} ${size} ${framed(height)}`;
  const shrunk = room > 0 && room < size;
  const scrolls = full && shrunk;
  return frame(
    <>
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
      <div className={`canvas${scrolls ? " full" : ""}${scrolls || tall ? " part" : ""}`} ref={canvas} {...(scrolls || tall ? SCROLLABLE : {})}>
        <svg viewBox={box} style={{ maxWidth: size, minWidth: scrolls ? size : 0 }} role="img" aria-label={`Chart ${chart}. ${text}. ${told}`}>
          {ARROWS}
          {outer.map((node) => (
            <Node key={node.id} node={node} active={lit.has(node.id ?? "")} />
          ))}
          {arcs.map((move, index) => (
            <Arc key={index} move={move} older={!moment && move !== taken.at(-1)} />
          ))}
          {atomic.map((node) => (
            <Node key={node.id} node={node} active={lit.has(node.id ?? "")} atomic />
          ))}
          {edges.map((edge, index) => (
            <Edge key={index} edge={edge} ready={lit.has(edge.source ?? "")} taken={marked.has(edge)} />
          ))}
          {arcs.map((move, index) => (
            <ArcLabel key={index} move={move} boxes={atomic} />
          ))}
        </svg>
      </div>
    </>,
    drawn.nodes ?? [],
    told,
  );
}

/** around is the rectangle around some of what is drawn; empty when there is none. */
function around(box: HTMLElement, selector: string): DOMRect {
  const found = [...box.querySelectorAll(selector)].map((element) => element.getBoundingClientRect());
  if (found.length === 0) return new DOMRect();
  const left = Math.min(...found.map((r) => r.left));
  const top = Math.min(...found.map((r) => r.top));
  return new DOMRect(left, top, Math.max(...found.map((r) => r.right)) - left, Math.max(...found.map((r) => r.bottom)) - top);
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

function Node({ node, active, atomic = false }: { node: DrawingNodeJson; active: boolean; atomic?: boolean }) {
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

function Edge({ edge, ready, taken }: { edge: DrawingEdgeJson; ready: boolean; taken: boolean }) {
  const points = (edge.points ?? []).map((p) => `${p.x ?? 0},${p.y ?? 0}`).join(" ");
  return (
    <g className={`edge${ready ? " ready" : ""}${taken ? " taken" : ""}`} data-from={edge.source} data-to={edge.target}>
      <polyline points={points} markerEnd={`url(#arrow${ready || taken ? "-lit" : ""})`} />
      {edge.label && (
        <text x={edge.labelX ?? 0} y={Number(edge.labelY ?? 0) + 9}>
          {edge.label}
        </text>
      )}
    </g>
  );
}
