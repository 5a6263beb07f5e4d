// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect } from "react";
import { ago, exact, together } from "./format";
import type { HostJson } from "./gen/chartroom/fleet/v1/instance_pb";
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
            <div className="bar">
              <h2>{host.hostId}</h2>
              <Agent host={host} now={now} />
            </div>
            <dl>
              <dt>Computer</dt>
              <dd>
                {host.displayName}, {host.platform}
              </dd>
              <dt>Engine</dt>
              <dd>
                <Engine host={host} now={now} />
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
                  {together(host.gaps ?? []).map(({ fromTime, toTime, reason, times }) => (
                    <li key={fromTime}>
                      {exact(fromTime)}
                      {toTime !== fromTime && ` – ${toTime ? exact(toTime) : "now"}`}: {reason}
                      {times > 1 && `, ${times} times`}
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

/** Agent says whether the agent's stream is open; whether its engine answers is said apart. */
function Agent({ host, now }: { host: HostJson; now: number }) {
  const seen = `last seen ${ago(host.lastSeenTime, now)}`;
  if (host.unknown) return <span className="pill unknown">? {seen}</span>;
  if (!host.connected) return <span className="pill unknown">? away, {seen}</span>;
  return <span className="pill good">● connected</span>;
}

function Engine({ host, now }: { host: HostJson; now: number }) {
  const version = host.engineVersion ? `${host.engineVersion}, API ${host.engineApiVersion}` : "not known yet";
  if (host.unknown || !host.connected) return version;
  if (host.engineReachable) return `${version}, answers`;
  return (
    <>
      {version} <span className="pill error">✕ does not answer{host.engineSeenTime && `, last did ${ago(host.engineSeenTime, now)}`}</span>
    </>
  );
}
