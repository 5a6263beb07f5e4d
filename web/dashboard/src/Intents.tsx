// SPDX-License-Identifier: AGPL-3.0-or-later
import { useId, useState } from "react";
import { createPortal } from "react-dom";
import { Button } from "react-aria-components";
import { Refused, send } from "./api";
import { Confirm } from "./Confirm";
import { refusal, words } from "./format";
import type { InstanceJson } from "./gen/chartroom/fleet/v1/instance_pb";

const INTENTS = ["start", "stop", "restart", "pause", "unpause", "kill", "take_snapshot", "remove"] as const;
const SMALL = new Set<string>(["start", "stop", "restart"]);

/** grave says what an intent does that cannot be taken back; undefined for one that needs no question. */
function grave(intent: string, instance: InstanceJson): string | undefined {
  if (intent === "kill") return "The process ends at once, without a chance to save. It is not started again until somebody says so.";
  if (intent !== "remove") return undefined;
  if (instance.target?.containerId) return "The container is removed. Its snapshots are kept for a while, for a container of the same name.";
  return instance.target ? "The container is gone already: what is left of it, its log and its snapshots, is forgotten." : "The instance ends, and its log is forgotten.";
}

/**
 * Intents offers what the state allows: the server lists it, the page decides nothing.
 * What is not allowed stays visible, greyed, and says why: below the buttons, or in a row when it is pressed.
 */
export function Intents({ instance, small = false }: { instance: InstanceJson; small?: boolean }) {
  const [problem, setProblem] = useState("");
  const reason = useId();
  const id = instance.instanceId ?? "";
  const allowed = new Set(instance.allowedIntents);
  const enabled = (intent: string) => allowed.has(`system.${intent}`) && !instance.unknown;
  const offered = INTENTS.filter((intent) => (small ? SMALL.has(intent) && instance.target : instance.target || allowed.has(`system.${intent}`)));
  const greyed = offered.filter((intent) => !enabled(intent)).map(words);
  const why = (labels: readonly string[]) => `cannot ${labels.join(", ")}${refusal(instance)}`;
  const ask = (intent: string) => {
    setProblem("");
    send(id, `system.${intent}`).catch((error: unknown) => setProblem(explain(error)));
  };
  return (
    <span className="intents">
      {offered.map((intent) => {
        const label = words(intent);
        const text = grave(intent, instance);
        if (!enabled(intent)) return <Greyed key={intent} label={label} why={why([label])} reason={reason} press={() => small && setProblem(why([label]))} />;
        if (!text) {
          return (
            <Button key={intent} onPress={() => ask(intent)}>
              {label}
            </Button>
          );
        }
        return (
          <Confirm key={intent} title={`${label} ${instance.name}?`} text={text} verb={label} then={() => ask(intent)}>
            <Button>{label}</Button>
          </Confirm>
        );
      })}
      {greyed.length > 0 && (
        <small id={reason} className={small ? "unseen" : "reason"}>
          {why(greyed)}
        </small>
      )}
      {problem && !small && (
        <span role="alert" className="problem">
          {problem}
        </span>
      )}
      {/* A row has no room for it. */}
      {problem &&
        small &&
        createPortal(
          <p role="alert" className="toast">
            <b>{instance.name}</b>: {problem}{" "}
            <button type="button" className="plain" onClick={() => setProblem("")}>
              Dismiss
            </button>
          </p>,
          document.body,
        )}
    </span>
  );
}

interface GreyedProps {
  label: string;
  why: string;
  /** The id of the text that says why, for those who cannot point at the button. */
  reason: string;
  press?: () => void;
}

/** Greyed is a button that does nothing now: it can still be reached by keyboard, so that it can say why. */
export function Greyed({ label, why, reason, press }: GreyedProps) {
  return (
    <button type="button" aria-disabled="true" aria-describedby={reason} title={why} onClick={press}>
      {label}
    </button>
  );
}

/** explain says what the server said, and what is allowed instead. */
export function explain(error: unknown): string {
  if (!(error instanceof Refused)) return error instanceof Error ? error.message : String(error);
  const allowed = error.allowed.length > 0 ? ` Allowed now: ${error.allowed.map((a) => a.replace("system.", "")).join(", ")}.` : "";
  return error.message + allowed;
}
