// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect, useState } from "react";
import { output } from "./api";
import { useFleet } from "./stream";

const KEPT_CHARACTERS = 100_000;

/** Output follows what the target writes, while it is open. */
export function Output({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <section className="card">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Output of the container</summary>
        {open && <Lines id={id} />}
      </details>
    </section>
  );
}

function Lines({ id }: { id: string }) {
  const { link } = useFleet();
  const [text, setText] = useState("");
  useEffect(() => {
    if (link !== "open") return undefined; // what was written stays; it is read again when the server is back
    setText("");
    const abort = new AbortController();
    const add = (more: string) => setText((known) => (known + more).slice(-KEPT_CHARACTERS));
    output(id, abort.signal, add).then(
      () => add("— end of output —\n"),
      (error: unknown) => !abort.signal.aborted && add(`— ${error instanceof Error ? error.message : String(error)} —\n`),
    );
    return () => abort.abort();
  }, [id, link]);
  return (
    <pre className="output" tabIndex={0} aria-label="Output">
      {text || "Nothing yet."}
    </pre>
  );
}
