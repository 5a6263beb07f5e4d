// SPDX-License-Identifier: AGPL-3.0-or-later
import { useState } from "react";
import { Button, Dialog, DialogTrigger, Heading, Modal } from "react-aria-components";
import { Refused, send } from "./api";
import { words } from "./format";
import type { InstanceJson } from "./gen/chartroom/fleet/v1/instance_pb";

const INTENTS = ["start", "stop", "restart", "pause", "unpause", "kill", "take_snapshot", "remove"] as const;
const SMALL = new Set<string>(["start", "stop", "restart"]);
const GRAVE: Readonly<Record<string, string>> = {
  kill: "The process ends at once, without a chance to save. It is not started again until somebody says so.",
  remove: "The container is removed. Its snapshots are kept for the retention time.",
};

/**
 * Intents offers what the state allows: the server lists it, the page decides nothing.
 * What is not allowed stays visible, greyed, and says why.
 */
export function Intents({ instance, small = false }: { instance: InstanceJson; small?: boolean }) {
  const [problem, setProblem] = useState("");
  const id = instance.instanceId ?? "";
  if (!instance.target) return null;
  const allowed = new Set(instance.allowedIntents);
  const ask = (intent: string) => {
    setProblem("");
    send(id, `system.${intent}`).catch((error: unknown) => setProblem(explain(error)));
  };
  return (
    <span className="intents">
      {INTENTS.filter((intent) => !small || SMALL.has(intent)).map((intent) => {
        const enabled = allowed.has(`system.${intent}`) && !instance.unknown;
        const label = words(intent);
        const button = (
          <Button isDisabled={!enabled} {...(enabled && !(intent in GRAVE) ? { onPress: () => ask(intent) } : {})}>
            {label}
          </Button>
        );
        return (
          <span key={intent} title={enabled ? undefined : refusal(instance, label)}>
            {enabled && intent in GRAVE ? (
              <DialogTrigger>
                {button}
                <Modal isDismissable className="modal">
                  <Dialog role="alertdialog">
                    {({ close }) => (
                      <>
                        <Heading slot="title">
                          {label} {instance.name}?
                        </Heading>
                        <p>{GRAVE[intent]}</p>
                        <Button onPress={close}>Cancel</Button>{" "}
                        <Button
                          className="grave"
                          onPress={() => {
                            close();
                            ask(intent);
                          }}
                        >
                          {label}
                        </Button>
                      </>
                    )}
                  </Dialog>
                </Modal>
              </DialogTrigger>
            ) : (
              button
            )}
          </span>
        );
      })}
      {problem && (
        <span role="alert" className="problem">
          {problem}
        </span>
      )}
    </span>
  );
}

function refusal(instance: InstanceJson, label: string): string {
  if (instance.unknown) return `cannot ${label}: the host is not heard of`;
  if (!instance.managed) return `cannot ${label}: observed only; add the label chartroom.enable=true`;
  return `cannot ${label} while ${words(instance.state ?? "in this state")}`;
}

/** explain says what the server said, and what is allowed instead. */
export function explain(error: unknown): string {
  if (!(error instanceof Refused)) return error instanceof Error ? error.message : String(error);
  const allowed = error.allowed.length > 0 ? ` Allowed now: ${error.allowed.map((a) => a.replace("system.", "")).join(", ")}.` : "";
  return error.message + allowed;
}
