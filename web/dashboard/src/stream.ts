// SPDX-License-Identifier: AGPL-3.0-or-later

// The one owner of what the server said: a WebSocket, and a store of which
// every view reads a snapshot. Changes are gathered and shown once a frame, so
// that ten thousand rows cost one render.

import { useSyncExternalStore } from "react";
import type { WatchRequestJson, WatchResponseJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { HostJson, InstanceJson, LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";

/** What the page knows. A new object for every frame in which it changed. */
export interface Fleet {
  readonly link: "connecting" | "open" | "lost";
  /** True once everything that was asked for has been sent once. */
  readonly synced: boolean;
  readonly instances: ReadonlyMap<string, InstanceJson>;
  readonly hosts: ReadonlyMap<string, HostJson>;
  /** Log of the watched instance, oldest first, at most LOG_LIMIT entries. */
  readonly log: readonly LogEntryJson[];
  /** Why the watch was refused, in the server's words; asked again until it is not. */
  readonly problem: string;
  /** True when it was refused because there is no such instance. */
  readonly missing: boolean;
}

/** Frame is what the server sends: a change, or why there is none. */
interface Frame extends WatchResponseJson {
  error?: { message?: string; reason?: string; retryAfterSeconds?: number };
}

/** Entries of a log that the page keeps; older ones are read from the server. */
export const LOG_LIMIT = 2000;

const RECONNECT_MS = [100, 300, 1000, 3000];

/** Stream keeps one watch alive over any number of connections. */
export class Stream {
  private fleet: Fleet = { link: "connecting", synced: false, instances: new Map(), hosts: new Map(), log: [], problem: "", missing: false };
  private readonly listeners = new Set<() => void>();
  private pending: Frame[] = [];
  private frame = 0;
  private again: ReturnType<typeof setTimeout> | undefined;
  private socket: WebSocket | undefined;
  private attempt = 0;
  private watched: WatchRequestJson = {};
  private seen = new Set<string>();

  constructor(private readonly url: string) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): Fleet => this.fleet;

  /** Watch replaces what is watched. For an instance, log holds what the page has read already. */
  watch(request: WatchRequestJson, log: readonly LogEntryJson[] = []): void {
    this.watched = request;
    this.pending = [];
    this.set({ ...this.fleet, synced: false, log, problem: "", missing: false });
    if (!this.socket) this.connect();
    else if (this.socket.readyState === WebSocket.OPEN) this.ask();
  }

  private connect(): void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      this.attempt = 0;
      this.set({ ...this.fleet, link: "open" });
      this.ask();
    };
    socket.onmessage = (message: MessageEvent<string>) => this.take(JSON.parse(message.data) as Frame);
    socket.onclose = () => {
      this.set({ ...this.fleet, link: "lost", synced: false });
      const wait = RECONNECT_MS[Math.min(this.attempt++, RECONNECT_MS.length - 1)] ?? 3000;
      setTimeout(() => this.connect(), wait);
    };
  }

  private ask(): void {
    clearTimeout(this.again);
    this.seen = new Set();
    const last = this.fleet.log.at(-1)?.sequence;
    const request = this.watched.log && last ? { ...this.watched, afterLogSequence: last } : this.watched;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ watch: request }));
  }

  private take(frame: Frame): void {
    this.pending.push(frame);
    if (!this.frame) this.frame = requestAnimationFrame(() => this.apply());
    // A hidden tab gets no frames; do not let it pile up.
    if (this.pending.length > 5000) this.apply();
  }

  private apply(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const changes = this.pending;
    this.pending = [];
    const instances = new Map(this.fleet.instances);
    const hosts = new Map(this.fleet.hosts);
    let log = this.fleet.log;
    let { synced, problem, missing } = this.fleet;
    for (const change of changes) {
      if (change.instance?.instanceId) {
        instances.set(change.instance.instanceId, change.instance);
        this.seen.add(change.instance.instanceId);
      } else if (change.removedInstanceId) instances.delete(change.removedInstanceId);
      else if (change.host?.hostId) hosts.set(change.host.hostId, change.host);
      else if (change.log) log = append(log, change.log);
      else if (change.synced) {
        synced = true;
        problem = "";
        missing = false;
        // What the full list no longer names is gone.
        if (!this.watched.instanceId) for (const id of instances.keys()) if (!this.seen.has(id)) instances.delete(id);
      } else if (change.reset) this.ask();
      else if (change.error) {
        // A server that has just started may not have read the fleet yet.
        problem = change.error.message ?? "the server refuses the watch";
        missing = change.error.reason === "INSTANCE_UNKNOWN";
        this.again = setTimeout(() => this.ask(), Math.max(missing ? 3 : 0.5, change.error.retryAfterSeconds ?? 0) * 1000);
      }
    }
    this.set({ ...this.fleet, instances, hosts, log, synced, problem, missing });
  }

  private set(fleet: Fleet): void {
    this.fleet = fleet;
    for (const listener of this.listeners) listener();
  }
}

/** append adds an entry unless it is there already: a resumed watch may repeat. */
export function append(log: readonly LogEntryJson[], entry: LogEntryJson): readonly LogEntryJson[] {
  const last = Number(log.at(-1)?.sequence ?? 0);
  if (Number(entry.sequence ?? 0) <= last) return log;
  return [...log.slice(-(LOG_LIMIT - 1)), entry];
}

const scheme = location.protocol === "https:" ? "wss:" : "ws:";

export const stream = new Stream(`${scheme}//${location.host}/v1/stream`);

/** useFleet reads the store; the view renders again when it changed. */
export function useFleet(): Fleet {
  return useSyncExternalStore(stream.subscribe, stream.snapshot);
}
