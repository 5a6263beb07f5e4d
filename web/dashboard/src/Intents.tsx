// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import { createPortal } from "react-dom";
import { Button } from "react-aria-components";
import { Refused, send } from "./api";
import { Confirm } from "./Confirm";
import { words } from "./format";
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
 * What is not allowed stays visible, greyed, and says why.
 */
export function Intents({ instance, small = false }: { instance: InstanceJson; small?: boolean }) {
  const [problem, setProblem] = useState("");
  const id = instance.instanceId ?? "";
  const allowed = new Set(instance.allowedIntents);
  const ask = (intent: string) => {
    setProblem("");
    send(id, `system.${intent}`).catch((error: unknown) => setProblem(explain(error)));
  };
  return (
    <span className="intents">
      {INTENTS.filter((intent) => (small ? SMALL.has(intent) && instance.target : instance.target || allowed.has(`system.${intent}`))).map((intent) => {
        const enabled = allowed.has(`system.${intent}`) && !instance.unknown;
        const label = words(intent);
        const text = grave(intent, instance);
        return (
          <span key={intent} title={enabled ? undefined : `cannot ${label}${refusal(instance)}`}>
            {enabled && text ? (
              <Confirm title={`${label} ${instance.name}?`} text={text} verb={label} then={() => ask(intent)}>
                <Button>{label}</Button>
              </Confirm>
            ) : (
              <Button isDisabled={!enabled} onPress={() => ask(intent)}>
                {label}
              </Button>
            )}
          </span>
        );
      })}
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

/** refusal is why what is greyed is so, to follow "cannot stop". */
export function refusal(instance: InstanceJson): string {
  if (instance.unknown) return `: ${instance.unknownReason ?? "it is not heard of"}`;
  if (!instance.managed) return ": observed only; add the label chartroom.enable=true";
  return ` while ${words(instance.state ?? "in this state")}`;
}

/** explain says what the server said, and what is allowed instead. */
export function explain(error: unknown): string {
  if (!(error instanceof Refused)) return error instanceof Error ? error.message : String(error);
  const allowed = error.allowed.length > 0 ? ` Allowed now: ${error.allowed.map((a) => a.replace("system.", "")).join(", ")}.` : "";
  return error.message + allowed;
}
