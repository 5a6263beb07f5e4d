// SPDX-License-Identifier: AGPL-3.0-or-later
import { useId, useState } from "react";
import { Button } from "react-aria-components";
import { decode, send, snapshot } from "./api";
import { Confirm } from "./Confirm";
import { ago, bytes, pretty, refusal } from "./format";
import type { InstanceJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { explain, Greyed } from "./Intents";
import { useLost } from "./stream";

/** Snapshots lists the application snapshots kept, newest first, with what is known of their worth. */
export function Snapshots({ instance, now }: { instance: InstanceJson; now: number }) {
  const [shown, setShown] = useState<{ number: string; body: string }>();
  const [problem, setProblem] = useState("");
  const reason = useId();
  const id = instance.instanceId ?? "";
  const snapshots = instance.snapshots ?? [];
  const restorable = (instance.allowedIntents ?? []).includes("system.restore") && !instance.unknown;
  const why = `cannot restore${refusal(instance)}`;
  const lost = useLost();
  const fail = (error: unknown) => setProblem(explain(error));
  return (
    <section className="card" aria-label="Snapshots">
      <h2>Snapshots</h2>
      {snapshots.length === 0 && <p>None yet. The next crash would be a clean start.</p>}
      {snapshots.length > 0 && (
        <div className="wide">
          <table>
            <thead>
              <tr>
                <th>No.</th>
                <th>Verdict</th>
                <th>Events</th>
                <th>Size</th>
                <th>Age</th>
                <th aria-label="Actions" />
              </tr>
            </thead>
            <tbody>
              {snapshots.map((s) => (
                <tr key={s.number}>
                  <td>#{s.number}</td>
                  <td className={`verdict ${s.verdict}`}>{(s.verdict ?? "VERDICT_CANDIDATE").replace("VERDICT_", "").toLowerCase()}</td>
                  <td title="holds the effect of every event up to this one">≤ {s.containedSequence ?? 0}</td>
                  <td>{bytes(s.sizeBytes)}</td>
                  <td>{ago(s.createTime, now).replace(" ago", "")}</td>
                  <td className="actions">
                    {lost ? (
                      <Greyed label="Show" why={`cannot show: ${lost}`} reason={reason} />
                    ) : (
                      <button type="button" onClick={() => void snapshot(id, s.number ?? "0").then((b) => setShown({ number: s.number ?? "0", body: pretty(decode(b.body ?? "")) }), fail)}>
                        Show
                      </button>
                    )}
                    {restorable ? (
                      <Confirm
                        title={`Restore #${s.number} in ${instance.name}?`}
                        text={`The application goes back to the state after event ${s.containedSequence ?? 0}; later events that are kept are sent to it again.`}
                        verb="Restore"
                        then={() => void send(id, "system.restore", { snapshot: Number(s.number) }).then(() => setProblem(""), fail)}
                      >
                        <Button>Restore</Button>
                      </Confirm>
                    ) : (
                      <Greyed label="Restore" why={why} reason={reason} />
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {!restorable && (
            <small id={reason} className="reason">
              {why}
            </small>
          )}
        </div>
      )}
      {problem && (
        <p role="alert" className="problem">
          {problem}
        </p>
      )}
      {shown && (
        <details open>
          <summary>State in #{shown.number}</summary>
          <pre tabIndex={0} aria-label="State">
            {shown.body}
          </pre>
        </details>
      )}
    </section>
  );
}
