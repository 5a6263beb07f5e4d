// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useMemo, useRef } from "react";
import { ago, type Grade, gone, grade, sentence, SIGN, words, wrong } from "./format";
import type { InstanceJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { Intents } from "./Intents";
import { stream, useFleet } from "./stream";
import { useNarrow } from "./useNarrow";
import { useNow } from "./useNow";

const ROW_HEIGHT = 52;
const NARROW_ROW_HEIGHT = 128;
/** The first key of the histogram: not a state, but what overrides all of them. */
const UNKNOWN = "unknown";

/** FleetPage shows every instance; the counts of states above it are the filter. */
export function FleetPage() {
  const { instances, synced, problem } = useFleet();
  const { state, q } = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  useEffect(() => stream.watch({}), []);

  const counts = useMemo(() => histogram(instances.values()), [instances]);
  const { rows, hidden } = useMemo(() => select(instances.values(), state, q), [instances, state, q]);

  return (
    <>
      <h1 className="unseen">Fleet</h1>
      <div className="bar">
        <div className="chips" role="group" aria-label="Filter by state">
          {counts.map(([name, count, sample]) => (
            <button
              key={name}
              type="button"
              className={`chip ${grade(sample)}`}
              aria-pressed={state === name}
              onClick={() => void navigate({ search: { q, state: state === name ? undefined : name } })}
            >
              <span aria-hidden="true">{SIGN[grade(sample)]}</span> {words(name)} <b>{count}</b>
            </button>
          ))}
        </div>
        <input
          type="search"
          aria-label="Search instances"
          placeholder="Search name, host, image"
          value={q ?? ""}
          onChange={(event) => void navigate({ search: { state, q: event.target.value || undefined }, replace: true })}
        />
      </div>
      {instances.size === 0 ? <Empty synced={synced} problem={problem} /> : <Table rows={rows} />}
      {instances.size > 0 && rows.length === 0 && (
        <p className="empty">
          {state || q ? "No instance is like that." : "Every container is removed."}{" "}
          {(state || q) && (
            <button type="button" className="plain" onClick={() => void navigate({ search: {} })}>
              Show all
            </button>
          )}
        </p>
      )}
      {hidden[0] && (
        <p className="hidden">
          {hidden.length} removed {hidden.length === 1 ? "container is" : "containers are"} not shown.{" "}
          <button type="button" className="plain" onClick={() => void navigate({ search: { q, state: hidden[0] && key(hidden[0]) } })}>
            Show
          </button>
        </p>
      )}
    </>
  );
}

function Empty({ synced, problem }: { synced: boolean; problem: string }) {
  if (!synced) return <p className="empty">{problem || "Reading the fleet…"}</p>;
  return (
    <div className="empty">
      <p>No container has been seen yet.</p>
      <p>
        Start one with the label <code>chartroom.enable=true</code>, or try <code>chartroom run IMAGE</code>. Then run <code>chartroom doctor</code> if
        it does not appear here.
      </p>
    </div>
  );
}

function Table({ rows }: { rows: InstanceJson[] }) {
  const scroll = useRef<HTMLDivElement>(null);
  const now = useNow();
  const height = useNarrow() ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroll.current, estimateSize: () => height, overscan: 12 });
  useLayoutEffect(() => virtual.measure(), [virtual, height]);
  return (
    <div className="table" role="table" aria-label="Instances" aria-rowcount={rows.length + 1}>
      <div role="row" className="row head" aria-rowindex={1}>
        {["State", "Instance", "Why", "Queue", "Changed", "Intents"].map((title) => (
          <span role="columnheader" key={title}>
            {title}
          </span>
        ))}
      </div>
      <div className="scroll" ref={scroll} role="rowgroup" tabIndex={0} aria-label="Instances, scrollable">
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const instance = rows[item.index];
            return instance && <Row key={instance.instanceId} instance={instance} now={now} index={item.index} top={item.start} height={height} />;
          })}
        </div>
      </div>
    </div>
  );
}

function Row({ instance, now, index, top, height }: { instance: InstanceJson; now: number; index: number; top: number; height: number }) {
  const id = instance.instanceId ?? "";
  const why = sentence(instance, now);
  const found = wrong(instance)[0];
  const place = `${instance.hostId ? `on ${instance.hostId}` : "free"} · ${instance.target?.image ?? instance.chartName}`;
  return (
    <div role="row" className="row" aria-rowindex={index + 2} data-instance={id} style={{ transform: `translateY(${top}px)`, height }}>
      <span role="cell" className="state">
        <StatePill instance={instance} now={now} />
      </span>
      <span role="cell" className="name" title={`${instance.name}\n${place}`}>
        <Link to="/instances/$id" params={{ id }}>
          {instance.name}
        </Link>
        <small>
          {instance.target && !instance.managed && "observed only · "}
          {place}
        </small>
      </span>
      <span role="cell" className="why" title={found ? `${why}\n${found.message}` : why}>
        <span className={found ? "one" : "two"}>{why}</span>
        {found && <small className="warning">! {found.message}</small>}
      </span>
      <span role="cell" className="queue">{instance.target ? (instance.queue?.waiting ?? 0) : ""}</span>
      <span role="cell" className="changed">{ago(instance.updateTime, now)}</span>
      <span role="cell" className="buttons">
        <Intents instance={instance} small />
      </span>
    </div>
  );
}

/** StatePill says the state by sign, colour and word; what is unknown is grey and says since when. */
export function StatePill({ instance, now }: { instance: InstanceJson; now: number }) {
  const g = grade(instance);
  return (
    <>
      <span className={`pill ${g}`}>
        <span aria-hidden="true">{SIGN[g]}</span> {g === "unknown" ? `was ${words(instance.state ?? "")}` : words(instance.state ?? "")}
      </span>
      {g === "unknown" && instance.lastSeenTime && <small className="seen">last seen {ago(instance.lastSeenTime, now)}</small>}
    </>
  );
}

function key(instance: InstanceJson): string {
  return instance.unknown ? UNKNOWN : (instance.state ?? "");
}

/**
 * histogram counts the states, in the order of the rows and not of the counts, so that nothing jumps while these change;
 * the sample is the least alarming, so that one warning does not colour all that run.
 */
function histogram(instances: Iterable<InstanceJson>): [string, number, InstanceJson][] {
  const counts = new Map<string, [number, InstanceJson]>();
  for (const instance of instances) {
    const entry = counts.get(key(instance));
    if (!entry) {
      counts.set(key(instance), [1, instance]);
      continue;
    }
    entry[0]++;
    if (RANK.indexOf(grade(instance)) > RANK.indexOf(grade(entry[1]))) entry[1] = instance;
  }
  const order = ([, , sample]: [string, number, InstanceJson]) => (gone(sample) ? RANK.length : RANK.indexOf(grade(sample)));
  return [...counts].map(([name, [count, sample]]): [string, number, InstanceJson] => [name, count, sample]).sort((a, b) => order(a) - order(b) || ORDER.compare(a[0], b[0]));
}

/** select gives the rows to show, and what was left out because nothing is left of it; a filter shows these too. */
function select(instances: Iterable<InstanceJson>, state: string | undefined, q: string | undefined): { rows: InstanceJson[]; hidden: InstanceJson[] } {
  const wanted = q?.toLowerCase();
  const found = [...instances].filter((i) => (!state || key(i) === state) && (!wanted || `${i.instanceId} ${i.target?.image ?? ""}`.toLowerCase().includes(wanted)));
  const hides = (i: InstanceJson) => !state && !wanted && gone(i);
  const hidden = found.filter(hides);
  const rows = found.filter((i) => !hides(i));
  rows.sort((a, b) => rank(a) - rank(b) || ORDER.compare(a.instanceId ?? "", b.instanceId ?? ""));
  return { rows, hidden };
}

const ORDER = new Intl.Collator(undefined, { numeric: true });
const RANK: readonly Grade[] = ["error", "unknown", "warning", "paused", "busy", "good", "idle"];

/** rank puts what needs a look first, and what is only observed last. */
function rank(instance: InstanceJson): number {
  return (instance.target && !instance.managed ? RANK.length : 0) + RANK.indexOf(grade(instance));
}
