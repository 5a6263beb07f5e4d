// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect, useState } from "react";
import { charts as readCharts, chart as readChart } from "./api";
import { ChartView } from "./ChartView";
import { ago } from "./format";
import type { ChartJson } from "./gen/chartroom/fleet/v1/instance_pb";
import { explain } from "./Intents";
import { stream, useFleet } from "./stream";
import { useNow } from "./useNow";

/** Charts lists every chart and its versions; a click draws it and shows the document. */
export function Charts() {
  const { instances, link } = useFleet();
  const [charts, setCharts] = useState<ChartJson[]>();
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState<ChartJson>();
  const now = useNow();
  useEffect(() => stream.watch({}), []);
  useEffect(() => {
    setProblem("");
    readCharts().then(setCharts, (error: unknown) => setProblem(explain(error)));
  }, [link]); // what could not be read is read when the server is back
  const choose = (c: ChartJson) => void readChart(c.name ?? "", c.digest ?? "").then(setChosen, (error: unknown) => setProblem(explain(error)));
  if (problem) return <p className="empty">{problem}</p>;
  if (!charts) return <p className="empty">Reading the charts…</p>;
  const used = (digest: string) => [...instances.values()].filter((instance) => instance.chartDigest === digest).length;
  return (
    <>
      <h1 className="unseen">Charts</h1>
      <div className="wide">
        <table className="list">
          <thead>
            <tr>
              <th>Name</th>
              <th>Digest</th>
              <th>States</th>
              <th>Instances</th>
              <th>Pushed</th>
            </tr>
          </thead>
          <tbody>
            {charts.map((c) => (
              <tr key={`${c.name}${c.digest}`} aria-current={c.digest === chosen?.digest && c.name === chosen?.name ? true : undefined}>
                <td>
                  <button type="button" className="plain" onClick={() => choose(c)}>
                    {c.name}
                  </button>
                </td>
                <td>
                  <code>{c.digest?.slice(0, 12)}</code>
                </td>
                <td>{c.states ?? 0}</td>
                <td>{used(c.digest ?? "")}</td>
                <td>{c.createTime ? ago(c.createTime, now) : "built in"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {!chosen && <p className="empty">Choose a chart to see its drawing and its document.</p>}
      {chosen && (
        <>
          <h2>
            {chosen.name} <small>{chosen.digest?.slice(0, 12)}</small>
          </h2>
          <ChartView chart={chosen.name ?? ""} digest={chosen.digest ?? ""} />
          <pre className="document">{chosen.document}</pre>
        </>
      )}
    </>
  );
}
