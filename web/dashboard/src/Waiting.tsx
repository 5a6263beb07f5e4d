// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import { useNow } from "./useNow";

/** Waiting stands where a drawing will be: the server lays a chart out when somebody first looks at it. */
export function Waiting() {
  const [since] = useState(() => Date.now());
  const seconds = Math.floor((useNow() - since) / 1000);
  return (
    <div className="empty">
      <p role="status">Drawing the chart…</p>
      {/* Not in the status, which would be read out each second. */}
      {seconds >= 1 && <p>This takes some seconds the first time that anybody looks at this version of the chart: {seconds} s so far.</p>}
    </div>
  );
}
