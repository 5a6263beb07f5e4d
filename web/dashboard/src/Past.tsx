// SPDX-License-Identifier: AGPL-3.0-or-later
import { ago, exact, severity, SIGN, words } from "./format";
import type { LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { useNow } from "./useNow";

interface Props {
  entry: LogEntryJson;
  /** The state then, in one word; empty while it is not known. */
  state: string;
  live: () => void;
}

/** Past says above a drawing that it shows a moment that is over: which, in what state the chart was, and how to get back. */
export function Past({ entry, state, live }: Props) {
  const now = useNow();
  const { grade, word } = severity(entry);
  return (
    <section className="past" aria-label="Past moment">
      <div role="status">
        <b>You look at the past</b>: {exact(entry.time, now)}
        {state && (
          <>
            , state <b>{words(state)}</b>
          </>
        )}
        <p>
          {word && <span aria-hidden="true">{SIGN[grade]} </span>}
          <code>{entry.event || "start"}</code> #{entry.sequence}
          {entry.summary && `: ${entry.summary}`}
        </p>
      </div>
      {/* Not in the status, which would be read out each second. */}
      <small>{ago(entry.time, now)}</small>
      <button type="button" onClick={live}>
        Back to now
      </button>
    </section>
  );
}
