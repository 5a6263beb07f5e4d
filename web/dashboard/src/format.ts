// SPDX-License-Identifier: AGPL-3.0-or-later

// How things are said: one place for words, ages and grades.

import type { ActivityJson, FindingJson, GapJson, InstanceJson, LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";

/** Grade is how a state or an entry is shown: by sign, colour and word. */
export type Grade = "unknown" | "error" | "warning" | "paused" | "busy" | "good" | "idle";

export const SIGN: Record<Grade, string> = { unknown: "?", error: "✕", warning: "!", paused: "‖", busy: "◌", good: "●", idle: "○" };

// What the chart says of its state; one that nothing is known of does not run.
const ACTIVITY: Readonly<Record<ActivityJson, Grade>> = {
  ACTIVITY_UNSPECIFIED: "idle",
  ACTIVITY_RUNNING: "good",
  ACTIVITY_BUSY: "busy",
  ACTIVITY_PAUSED: "paused",
  ACTIVITY_IDLE: "idle",
};

/** grade of an instance. Unknown is never green, and neither is what does not run. */
export function grade(instance: InstanceJson): Grade {
  if (instance.unknown) return "unknown";
  if (instance.severity === "SEVERITY_ERROR") return "error";
  if (instance.severity === "SEVERITY_WARNING") return "warning";
  return ACTIVITY[instance.activity ?? "ACTIVITY_UNSPECIFIED"];
}

/** gone says of a container that it was removed and left nothing that a later one could be given. */
export function gone(instance: InstanceJson): boolean {
  const { containerId, generation } = instance.target ?? {};
  return Boolean(generation) && !containerId && !instance.managed && (instance.snapshots ?? []).length === 0;
}

/** severity of a log entry as a grade, with the word that is read out. */
export function severity(entry: LogEntryJson): { grade: Grade; word: string } {
  if (entry.severity === "SEVERITY_ERROR") return { grade: "error", word: "error" };
  if (entry.severity === "SEVERITY_WARNING") return { grade: "warning", word: "warning" };
  return { grade: "idle", word: "" };
}

/** barrier is what keeps an instance from being managed whatever its label says, if anything does. */
export function barrier(instance: InstanceJson): FindingJson | undefined {
  return instance.managed ? undefined : instance.findings?.find((finding) => finding.code === "outside" || finding.code === "restart-policy");
}

/** wrong are the findings that are to be mended; others only tell. */
export function wrong(instance: InstanceJson): readonly FindingJson[] {
  return (instance.findings ?? []).filter((finding) => finding.severity !== "SEVERITY_INFO");
}

/** refusal is why nothing, or not this, can be asked of an instance now; it follows "cannot stop". */
export function refusal(instance: InstanceJson): string {
  if (instance.unknown) return `: ${instance.unknownReason ?? "it is not heard of"}`;
  if (instance.managed) return ` in state ${words(instance.state ?? "")}`;
  const found = barrier(instance);
  return found ? `: ${found.message}; ${found.fix}` : ": observed only; add the label chartroom.enable=true";
}

/** words turns an id such as user_requested into words. */
export function words(id: string): string {
  return id.replaceAll("_", " ");
}

/** ago says how long before now a time was, such as "12 s ago". */
export function ago(time: string | undefined, now: number): string {
  return time ? `${span(Math.max(0, now - Date.parse(time)))} ago` : "never";
}

/** until says how long after now a time will be, such as "in 12 s". */
export function until(time: string | undefined, now: number): string {
  const left = time ? Date.parse(time) - now : 0;
  return left > 0 ? `in ${span(left)}` : "now";
}

function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 90) return `${Math.floor(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** sentence says why an instance is as it is; of one that is unknown, why it is and what was last known. */
export function sentence(instance: InstanceJson, now: number): string {
  if (!instance.unknown) return instance.why ?? "";
  const reason = instance.unknownReason ?? "it is not heard of";
  const seen = instance.lastSeenTime ? `, last seen ${exact(instance.lastSeenTime, now)}` : "";
  return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}${seen}. Last known: ${instance.why || words(instance.state ?? "")}`;
}

/** together takes gaps that follow each other for the same reason as one; they come newest first. */
export function together(gaps: readonly GapJson[]): (GapJson & { times: number })[] {
  const found: (GapJson & { times: number })[] = [];
  for (const gap of gaps) {
    const later = found.at(-1);
    if (later?.reason === gap.reason && later?.toTime && gap.toTime) found[found.length - 1] = { ...later, fromTime: gap.fromTime, times: later.times + 1 };
    else found.push({ ...gap, times: 1 });
  }
  return found;
}

/** clock shows a time of day with milliseconds, with the date unless it is today's. */
export function clock(time: string | undefined, now = Date.now()): string {
  if (!time) return "";
  const at = new Date(time);
  const text = `${at.toLocaleTimeString([], { hourCycle: "h23" })}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return at.toDateString() === new Date(now).toDateString() ? text : `${at.toLocaleDateString([], { month: "short", day: "numeric" })} ${text}`;
}

/** exact is clock with the zone that it is in, for where a time stands alone. */
export function exact(time: string | undefined, now?: number): string {
  return time ? `${clock(time, now)} ${zone(Date.parse(time))}` : "";
}

/** zone names the zone in which times are shown, as it is at a time: "UTC", "GMT+1". */
export function zone(at = Date.now()): string {
  return new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** bytes shows a size. */
export function bytes(count: string | number | undefined): string {
  const n = Number(count ?? 0);
  if (n < 1024) return `${n} B`;
  if (n < 1048576) return `${(n / 1024).toFixed(1)} KiB`;
  return `${(n / 1048576).toFixed(1)} MiB`;
}

/** pretty lays out JSON text for reading; text that is not JSON stays as it is. */
export function pretty(json: string | undefined): string {
  if (!json) return "";
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
