// SPDX-License-Identifier: AGPL-3.0-or-later
import { useCallback, useEffect, useId, useMemo, useRef, useState } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { clock, exact, pretty, severity, SIGN, words, zone } from "./format";
import type { LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { explain, Greyed } from "./Intents";
import { useLost } from "./stream";

/** The height of a row whose sentence takes one line; it may take a second one. */
const ROW_HEIGHT = 48;

interface Props {
  log: readonly LogEntryJson[];
  /** False until the log was read: then nothing in it does not mean that nothing happened. */
  read: boolean;
  /** Warnings and errors older than the log; empty until readProblems was called. */
  problems: readonly LogEntryJson[];
  selected: LogEntryJson | undefined;
  select: (entry: LogEntryJson | undefined) => void;
  readProblems: () => void;
  /** Reads a page more; undefined when all is read. */
  older?: () => void;
  /** Reads back to the newest error that is older than the log; undefined when all is read. */
  findError?: () => Promise<LogEntryJson | undefined>;
  /** The sequence of an entry that is selected and scrolled to as soon as it is in the log, and is then wanted no more. */
  wanted: string | undefined;
  want: (sequence: string | undefined) => void;
}

/** EventLog lists what happened, newest first; a click shows the chart as it was then. */
export function EventLog({ log, read, problems, selected, select, readProblems, older, findError, wanted, want }: Props) {
  const [problemsOnly, setProblemsOnly] = useState(false);
  const [said, setSaid] = useState("");
  const lost = useLost();
  const why = `Older entries cannot be read: ${lost}.`;
  const reason = useId();
  const scroll = useRef<HTMLDivElement>(null);
  const rows = useMemo(
    () => (problemsOnly ? [...problems, ...log.filter((entry) => severity(entry).word !== "")] : [...log]).reverse(),
    [log, problems, problemsOnly],
  );
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    getItemKey: useCallback((index: number) => rows[index]?.sequence ?? index, [rows]),
    estimateSize: () => ROW_HEIGHT,
    overscan: 20,
    // What somebody reads stays where it is when something happens.
    anchorTo: selected || (scroll.current?.scrollTop ?? 0) > 0 ? "end" : "start",
  });
  const show = (index: number) => {
    select(rows[index]);
    virtual.scrollToIndex(index, { align: "center" });
  };
  useEffect(() => {
    const index = wanted === undefined ? -1 : rows.findIndex((entry) => entry.sequence === wanted);
    if (index < 0) return;
    want(undefined);
    show(index);
  });
  const previousError = () => {
    const from = selected ? rows.findIndex((e) => e.sequence === selected.sequence) + 1 : 0;
    const found = rows.findIndex((entry, index) => index >= from && severity(entry).word === "error");
    setSaid("");
    if (found >= 0) return show(found);
    const none = () => setSaid(selected ? "There is no older error." : "There is no error.");
    if (!findError) return none();
    findError().then(
      (error) => (error ? want(error.sequence) : none()),
      (error: unknown) => setSaid(explain(error)),
    );
  };
  return (
    <section className="log" aria-label="Event log">
      <div className="bar">
        <h2>Event log</h2>
        <label>
          <input
            type="checkbox"
            checked={problemsOnly}
            onChange={(event) => {
              setProblemsOnly(event.target.checked);
              if (event.target.checked) readProblems();
            }}
          />{" "}
          only warnings and errors
        </label>
        <button type="button" onClick={previousError}>
          {selected ? "Previous error" : "Newest error"}
        </button>
      </div>
      <div className="scroll" ref={scroll} tabIndex={0} role="list" aria-label="Entries, newest first">
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const entry = rows[item.index];
            if (!entry) return null;
            const { grade, word } = severity(entry);
            const chosen = selected?.sequence === entry.sequence;
            return (
              <div role="listitem" key={entry.sequence} className="slot" ref={virtual.measureElement} data-index={item.index} style={{ transform: `translateY(${item.start}px)` }}>
                <button type="button" className={`entry ${word}`} title={entry.summary} aria-pressed={chosen} onClick={() => select(chosen ? undefined : entry)}>
                  <b>
                    {entry.event || "start"}
                    {entry.inferred && <i title="The agent did not see this event; it concluded it from inspect."> inferred</i>}
                  </b>
                  <span className={`sign ${grade}`}>
                    {word && (
                      <>
                        <span aria-hidden="true">{SIGN[grade]}</span> {word}
                      </>
                    )}
                  </span>
                  <time>{clock(entry.time)}</time>
                  <span className="sequence">#{entry.sequence}</span>
                  <span className="summary">{entry.summary}</span>
                </button>
              </div>
            );
          })}
        </div>
        {rows.length === 0 && <p className="empty">{!read ? "The log is not read yet." : problemsOnly ? "No warnings or errors." : "Nothing has happened yet."}</p>}
      </div>
      <div className="bar">
        {older && !problemsOnly && lost && <Greyed label="Older" why={why} reason={reason} />}
        {older && !problemsOnly && !lost && (
          <button type="button" onClick={older}>
            Older
          </button>
        )}
        <small>Times in {zone()}.</small>
        <small id={reason} role="status">
          {lost ? why : said}
        </small>
      </div>
    </section>
  );
}

/** Moment shows one entry whole: what came, what the chart did, what it asked for. */
export function Moment({ entry, live }: { entry: LogEntryJson; live: () => void }) {
  return (
    <section className="card moment" aria-label={`Entry ${entry.sequence}`}>
      <div className="bar">
        <h2>
          #{entry.sequence} · {entry.event || "start"}
        </h2>
        <button type="button" onClick={live}>
          Back to now
        </button>
      </div>
      <p>
        {entry.summary} <small>
          {exact(entry.time)} · {entry.origin}
        </small>
      </p>
      <ol>
        {(entry.microsteps ?? []).map((step, index) => (
          <li key={index}>
            {(step.transitions ?? []).join("; ") || step.event || "no transition"}
            {(step.messages ?? []).map((message, k) => (
              <div key={k} className="message">
                {message}
              </div>
            ))}
          </li>
        ))}
      </ol>
      {(entry.effects ?? []).length > 0 && (
        <p>
          Asked for:{" "}
          {(entry.effects ?? []).map((effect, index) => (
            <code key={index} title={effect.dataJson}>
              {words(effect.kind ?? "")} {effect.name}{" "}
            </code>
          ))}
        </p>
      )}
      {entry.dataJson && (
        <pre tabIndex={0} aria-label="Data of the event">
          {pretty(entry.dataJson)}
        </pre>
      )}
    </section>
  );
}
