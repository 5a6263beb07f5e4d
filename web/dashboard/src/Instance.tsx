// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, useParams } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { log as readLog, send } from "./api";
import { ChartView } from "./ChartView";
import { EventLog, Moment } from "./EventLog";
import { StatePill } from "./Fleet";
import { ago, barrier, exact, pretty, sentence, severity, SIGN, until } from "./format";
import type { InstanceJson, LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { explain, Intents } from "./Intents";
import { Output } from "./Output";
import { Snapshots } from "./Snapshots";
import { stream, useFleet } from "./stream";
import { useNow } from "./useNow";

/** InstancePage is one instance: why it is as it is, its chart, its log, and only the buttons that make sense. */
export function InstancePage() {
  const { id } = useParams({ from: "/instances/$id" });
  const { instances, log, synced, missing, problem, link } = useFleet();
  const [older, setOlder] = useState<LogEntryJson[]>([]);
  const [olderProblems, setOlderProblems] = useState<LogEntryJson[]>([]);
  const [selected, setSelected] = useState<LogEntryJson>();
  const [wanted, setWanted] = useState<string>();
  const [lastError, setLastError] = useState<LogEntryJson>();
  const now = useNow();
  useEffect(() => {
    let current = true;
    setOlder([]);
    setOlderProblems([]);
    setSelected(undefined);
    setWanted(undefined);
    setLastError(undefined);
    // First what was, then what comes: the watch goes on after the last entry read.
    readLog(id)
      .catch(() => [])
      .then((entries) => current && stream.watch({ instanceId: id, log: true }, entries));
    return () => {
      current = false;
    };
  }, [id]);

  // The crash may be far below what is read of the log.
  useEffect(() => {
    let current = true;
    readLog(id, 0, { problems: true }).then(
      (entries) => current && setLastError(newestError(entries)),
      () => undefined, // asked again when the server is back
    );
    return () => {
      current = false;
    };
  }, [id, link]);

  const instance = instances.get(id);
  if (!instance && (synced || missing)) {
    return (
      <p className="empty">
        There is no instance {id}. It may have been removed. <Link to="/">See the fleet</Link>
      </p>
    );
  }
  if (!instance) return <p className="empty">{problem || "Reading the instance…"}</p>;
  const entries = [...older, ...log];
  const first = Number(entries[0]?.sequence ?? 0);
  const readOlder = () => void readLog(id, first).then((more) => setOlder((known) => [...more, ...known]));
  const mine = entries.filter((entry) => entry.instanceId === id);
  const problems = olderProblems.filter((entry) => entry.instanceId === id && Number(entry.sequence) < first);
  const readProblems = () => {
    if (first > 1) void readLog(id, first, { problems: true }).then(setOlderProblems);
  };
  // Everything from an entry to here is read, so that the log has no hole.
  const readBack = async (wanted: number) => {
    let read: LogEntryJson[] = [];
    for (let before = first; before > wanted; before = Number(read[0]?.sequence ?? 0)) {
      const more = await readLog(id, before, { size: 1000 });
      if (more.length === 0) break;
      read = [...more, ...read];
    }
    setOlder((known) => [...read, ...known]);
  };
  const findError = async () => {
    const error = newestError(await readLog(id, first, { problems: true }));
    await readBack(Number(error?.sequence ?? first));
    return error;
  };
  const error = newestError(mine) ?? lastError;
  const live = () => setSelected(undefined);
  const showError = () => {
    if (selected?.sequence === error?.sequence) return live();
    setWanted(error?.sequence);
    void readBack(Number(error?.sequence ?? first));
  };
  return (
    <>
      <div className="title">
        <h1>{instance.name}</h1>
        {/* The drawing shows another time, what stands here does not. */}
        {selected && <b className="present">now</b>}
        <StatePill instance={instance} now={now} />
        <Intents instance={instance} />
      </div>
      <p className="sentence">
        {selected && <b>Now: </b>}
        {sentence(instance, now)}
      </p>
      {instance.target && !instance.managed && !barrier(instance) && (
        <p>
          Only observed: nothing here acts on it. To have it managed, make the container with the label <code>chartroom.enable=true</code>.
        </p>
      )}
      <Findings instance={instance} />
      {error && (
        <section className="crash" aria-label="Last error">
          <p>
            <b>
              <span aria-hidden="true">{SIGN.error}</span> Last error
            </b>{" "}
            #{error.sequence}, {ago(error.time, now)}
            {error.summary !== instance.why && `: ${error.summary}`}
          </p>
          <button type="button" aria-pressed={selected?.sequence === error.sequence} onClick={showError}>
            Show that moment
          </button>
        </section>
      )}
      <div className="columns">
        <ChartView
          chart={instance.chartName ?? ""}
          digest={instance.chartDigest ?? ""}
          active={selected ? (selected.configuration ?? []) : (instance.configuration ?? [])}
          unsure={!selected && Boolean(instance.unknown)}
          log={mine}
          moment={selected}
          live={live}
        />
        {/* Beside the chart: what a click on an entry shows must be in sight. */}
        <aside>
          <EventLog
            log={mine}
            read={synced}
            problems={problems}
            selected={selected}
            select={setSelected}
            readProblems={readProblems}
            wanted={wanted}
            want={setWanted}
            {...(first > 1 ? { older: readOlder, findError } : {})}
          />
          {selected && <Moment entry={selected} live={live} />}
          <Facts instance={instance} />
          {hasChannel(instance) && <SendForm instance={instance} />}
          {instance.target && <Snapshots instance={instance} now={now} />}
          {(instance.timers ?? []).length > 0 && (
            <section className="card">
              <h2>Timers</h2>
              <ul>
                {(instance.timers ?? []).map((timer) => (
                  <li key={`${timer.sendId}${timer.dueTime}`}>
                    {/* The timers of what is unknown may be held. */}
                    <code>{timer.event}</code> {!instance.unknown && `${until(timer.dueTime, now)}, `}at {exact(timer.dueTime)}
                  </li>
                ))}
              </ul>
            </section>
          )}
          <section className="card">
            <details>
              <summary>Datamodel</summary>
              <pre tabIndex={0} aria-label="Data">
                {pretty(instance.dataJson)}
              </pre>
            </details>
          </section>
          {instance.target && <Output id={id} />}
        </aside>
      </div>
    </>
  );
}

function newestError(entries: readonly LogEntryJson[]): LogEntryJson | undefined {
  return entries.findLast((entry) => severity(entry).word === "error");
}

function Findings({ instance }: { instance: InstanceJson }) {
  return (instance.findings ?? []).map((finding) => (
    <div key={`${finding.code}${finding.message}`} className="finding" role="note">
      <b>
        {finding.severity !== "SEVERITY_INFO" && "! "}
        {finding.message}
      </b>
      {finding.fix && (
        <>
          <p>{finding.severity === "SEVERITY_INFO" ? "To change that:" : "Mend it with:"}</p>
          <pre>{finding.fix}</pre>
        </>
      )}
    </div>
  ));
}

const ADMISSION: Readonly<Record<string, string>> = {
  ADMISSION_FORWARD: "forwarded to the application",
  ADMISSION_QUEUE: "queued until it can take them",
  ADMISSION_FAIL: "refused in this state",
};

/** hasChannel says whether events can reach the instance at all: a chart by itself takes them, a container by its channel. */
function hasChannel({ target }: InstanceJson): boolean {
  return !target || !(target.channel === "" || target.channel === "none" || target.channel?.startsWith("file:"));
}

function Facts({ instance }: { instance: InstanceJson }) {
  const { target, queue } = instance;
  const events = hasChannel(instance) ? (target || instance.admission !== "ADMISSION_FORWARD" ? ADMISSION[instance.admission ?? ""] : "taken by the chart") : "none: it has no channel for them";
  return (
    <section className="card">
      <dl>
        <dt>Id</dt>
        <dd>{instance.instanceId}</dd>
        {target && (
          <>
            <dt>Container</dt>
            <dd>
              {target.containerId ? target.containerId.slice(0, 12) : "none"}, generation {target.generation ?? 0}
            </dd>
            <dt>Image</dt>
            <dd>{target.image}</dd>
            <dt>Channel</dt>
            <dd>{target.channel}</dd>
          </>
        )}
        <dt>Chart</dt>
        <dd>
          {instance.chartName} <small>{instance.chartDigest?.slice(0, 12)}</small>
        </dd>
        <dt>Events</dt>
        <dd>{events}</dd>
        {target && hasChannel(instance) && (
          <>
            <dt>Queue</dt>
            <dd>
              {queue?.waiting ?? 0} waiting of at most {queue?.limit ?? 0}
              {Number(queue?.acceptedSequence ?? 0) > 0 &&
                `; accepted up to #${queue?.acceptedSequence}, answered #${queue?.deliveredSequence ?? 0}, in a snapshot #${queue?.containedSequence ?? 0}`}
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

function SendForm({ instance }: { instance: InstanceJson }) {
  const { link } = useFleet();
  const [said, setSaid] = useState("");
  const submit = (form: FormEvent<HTMLFormElement>) => {
    form.preventDefault();
    const fields = new FormData(form.currentTarget);
    const text = String(fields.get("data") ?? "").trim();
    let data: unknown;
    try {
      data = text ? JSON.parse(text) : undefined;
    } catch (error) {
      setSaid(`The data is not JSON: ${error instanceof Error ? error.message : ""}`);
      return;
    }
    send(instance.instanceId ?? "", String(fields.get("event")), data).then(
      (answer) => setSaid(`${(answer.outcome ?? "").replace("OUTCOME_", "").toLowerCase()}${answer.sequence ? ` as #${answer.sequence}` : ""}`),
      (error: unknown) => setSaid(explain(error)),
    );
  };
  return (
    <section className="card">
      <h2>Send an event</h2>
      <form onSubmit={submit}>
        <input name="event" aria-label="Event name" placeholder="event name" list="events" autoComplete="off" required />
        {/* Of a container nobody knows what the application takes; a chart by itself tells. */}
        <datalist id="events">{!instance.target && (instance.enabledEvents ?? []).map((event) => <option key={event} value={event} />)}</datalist>
        <input name="data" aria-label="Event data as JSON" placeholder='data, such as {"n": 1}' />
        {/* An instance that is unknown can still be sent events; a server that is, cannot. */}
        <button type="submit" disabled={link !== "open"}>
          Send
        </button>
      </form>
      <p role="status">{link === "open" ? said : "Cannot send: the connection to chartroom is lost."}</p>
    </section>
  );
}
