// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect } from "react";
import { ago, clock } from "./format";
import { stream, useFleet } from "./stream";
import { useNow } from "./useNow";

/** Hosts shows where agents run, when each was last heard of, and what may have been missed. */
export function Hosts() {
  const { hosts, instances, synced } = useFleet();
  const now = useNow();
  useEffect(() => stream.watch({}), []);
  const counts = new Map<string, number>();
  for (const { hostId } of instances.values()) if (hostId) counts.set(hostId, (counts.get(hostId) ?? 0) + 1);
  if (hosts.size === 0) return <p className="empty">{synced ? "No agent has ever connected. Start dockeragent on a host." : "Reading the hosts…"}</p>;
  return (
    <>
      <h1 className="unseen">Hosts</h1>
      <div className="cards">
        {[...hosts.values()].map((host) => (
          <section key={host.hostId} className="card" data-host={host.hostId}>
            <h2>{host.hostId}</h2>
            <p>
              <span className={`pill ${host.unknown ? "unknown" : host.engineReachable ? "good" : "error"}`}>
                {host.unknown ? `? last seen ${ago(host.lastSeenTime, now)}` : host.engineReachable ? "● connected" : "✕ engine does not answer"}
              </span>
            </p>
            <dl>
              <dt>Computer</dt>
              <dd>
                {host.displayName}, {host.platform}
              </dd>
              <dt>Engine</dt>
              <dd>
                {host.engineVersion ? `${host.engineVersion}, API ${host.engineApiVersion}` : "not known yet"}
              </dd>
              <dt>Agent</dt>
              <dd>{host.agentVersion}</dd>
              <dt>Instances</dt>
              <dd>{counts.get(host.hostId ?? "") ?? 0}</dd>
              <dt>Journal</dt>
              <dd>up to observation {host.journalSequence ?? 0}</dd>
            </dl>
            {(host.findings ?? []).map((finding) => (
              <div key={finding.code} className="finding">
                <b>! {finding.message}</b>
                {finding.fix && <pre>{finding.fix}</pre>}
              </div>
            ))}
            {(host.gaps ?? []).length > 0 && (
              <>
                <h3>Gaps</h3>
                <ul>
                  {(host.gaps ?? []).map((gap) => (
                    <li key={gap.fromTime}>
                      {clock(gap.fromTime)} – {gap.toTime ? clock(gap.toTime) : "now"}: {gap.reason}
                    </li>
                  ))}
                </ul>
              </>
            )}
          </section>
        ))}
      </div>
    </>
  );
}
