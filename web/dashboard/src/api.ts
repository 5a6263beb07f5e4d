// SPDX-License-Identifier: AGPL-3.0-or-later

// The REST calls that the page makes. Types are those of the protos.

import type {
  GetChartResponseJson,
  GetDrawingResponseJson,
  GetSnapshotResponseJson,
  ListChartsResponseJson,
  ListLogResponseJson,
  SendEventResponseJson,
} from "./gen/chartroom/fleet/v1/fleet_pb";
import type { ChartJson, LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";

/** Refused is an answer other than 2xx, in the server's words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly allowed: readonly string[] = [],
  ) {
    super(message);
  }
}

interface ErrorBody {
  message?: string;
  allowed_intents?: string[];
  allowedIntents?: string[];
}

/** reach is fetch, with words for a server that does not answer. */
async function reach(path: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw new Refused(0, "No answer from the server. Nothing is known to have been done; try again when the connection is back.");
  }
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await reach(path, init);
  if (!answer.ok) {
    const body = (await answer.json().catch(() => ({}))) as ErrorBody;
    throw new Refused(answer.status, body.message ?? answer.statusText, body.allowed_intents ?? body.allowedIntents);
  }
  return (await answer.json()) as T;
}

const instance = (id: string) => `/v1/instances/${encodeURIComponent(id)}`;

/** send gives an event to an instance; a fresh request_id makes a retry by the browser harmless. */
export function send(id: string, event: string, data?: unknown): Promise<SendEventResponseJson> {
  const body = { event, data, requestId: crypto.randomUUID() };
  return call(`${instance(id)}:send`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** log reads up to size entries before a sequence (0: the newest), oldest first; with problems, only warnings and errors. */
export async function log(id: string, before = 0, { problems = false, size = 200 } = {}): Promise<LogEntryJson[]> {
  const page = await call<ListLogResponseJson>(`${instance(id)}/log?descending=true&pageSize=${size}&beforeSequence=${before}&problemsOnly=${problems}`);
  return (page.entries ?? []).reverse();
}

export async function drawing(chart: string, digest: string): Promise<GetDrawingResponseJson> {
  return call(`/v1/charts/${encodeURIComponent(chart)}/drawing?digest=${digest}`);
}

export async function charts(): Promise<ChartJson[]> {
  return (await call<ListChartsResponseJson>("/v1/charts")).charts ?? [];
}

export async function chart(name: string, digest: string): Promise<ChartJson> {
  return (await call<GetChartResponseJson>(`/v1/charts/${encodeURIComponent(name)}?digest=${digest}`)).chart ?? {};
}

export async function snapshot(id: string, number: string): Promise<GetSnapshotResponseJson> {
  return call(`${instance(id)}/snapshots/${number}`);
}

interface LogsLine {
  result?: { data?: string; stderr?: boolean };
}

/** output follows what the target writes, until signal; each call of take is one piece of text. */
export async function output(id: string, signal: AbortSignal, take: (text: string, stderr: boolean) => void): Promise<void> {
  const answer = await reach(`${instance(id)}/logs?follow=true&tail=500`, { signal });
  if (!answer.ok || !answer.body) throw new Refused(answer.status, ((await answer.json().catch(() => ({}))) as ErrorBody).message ?? answer.statusText);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line) continue;
      const piece = (JSON.parse(line) as LogsLine).result;
      if (piece?.data) take(decode(piece.data), piece.stderr ?? false);
    }
  }
}

/** decode turns base64 of UTF-8 into text. */
export function decode(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
}
