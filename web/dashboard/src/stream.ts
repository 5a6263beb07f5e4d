// SPDX-License-Identifier: AGPL-3.0-or-later

// The one owner of what the server said: a WebSocket, and a store of which
// every view reads a snapshot. Changes are gathered and shown once a frame, so
// that ten thousand rows cost one render.
//
// What is unknown is never green: when the connection is lost every row becomes
// unknown at once, and each is known again when the server has named it again.

import { useSyncExternalStore } from "react";
import type { WatchRequestJson, WatchResponseJson } from "./gen/chartroom/fleet/v1/fleet_pb";
import type { HostJson, InstanceJson, LogEntryJson } from "./gen/chartroom/fleet/v1/instance_pb";

/** What the page knows. A new object for every frame in which it changed. */
export interface Fleet {
  readonly link: "connecting" | "open" | "lost";
  /** When the server was last heard of, and when it is tried again, in ms since 1970; 0: never, and now. */
  readonly heard: number;
  readonly retry: number;
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
/** A connection without a frame for so long is taken for dead: the server sends one every 3 s. */
const SILENCE_MS = 8000;
/** What is said of everything that a lost connection takes away. */
const LOST = "the connection to chartroom is lost";
/** A row that the server has not named again by then is unknown. */
const CONFIRM_MS = 1000;

/** Stream keeps one watch alive over any number of connections. */
export class Stream {
  private fleet: Fleet = { link: "connecting", heard: 0, retry: 0, synced: false, instances: new Map(), hosts: new Map(), log: [], problem: "", missing: false };
  private readonly listeners = new Set<() => void>();
  private pending: Frame[] = [];
  private frame = 0;
  private again: ReturnType<typeof setTimeout> | undefined;
  private retrying: ReturnType<typeof setTimeout> | undefined;
  private heard = 0;
  private asked = 0;
  private socket: WebSocket | undefined;
  private attempt = 0;
  private watched: WatchRequestJson = {};
  private seen = new Set<string>();

  constructor(private readonly url: string) {
    setInterval(() => this.look(), 500);
  }

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
    clearTimeout(this.retrying);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heard = Date.now();
    this.set({ ...this.fleet, retry: 0 });
    socket.onopen = () => {
      this.attempt = 0;
      this.set({ ...this.fleet, link: "open" });
      this.ask();
    };
    socket.onmessage = (message: MessageEvent<string>) => {
      this.heard = Date.now();
      this.take(JSON.parse(message.data) as Frame);
    };
    socket.onclose = () => this.lose();
  }

  /** lose gives the connection up, whether it was closed or is silent, and makes another one soon. */
  private lose(): void {
    if (this.socket) this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket?.close();
    this.socket = undefined;
    this.apply(); // what came before, so that it cannot come after
    const wait = RECONNECT_MS[Math.min(this.attempt++, RECONNECT_MS.length - 1)] ?? 3000;
    this.retrying = setTimeout(() => this.connect(), wait);
    const heard = this.fleet.link === "open" ? this.heard : this.fleet.heard;
    const hosts = new Map([...this.fleet.hosts].map(([id, host]) => [id, { ...host, unknown: true }]));
    this.set({ ...this.fleet, link: "lost", heard, retry: Date.now() + wait, synced: false, hosts, instances: doubt(this.fleet.instances, LOST, heard) });
  }

  /** look finds out what says nothing by itself: a cable that was pulled, a row that was not named again. */
  private look(): void {
    if (this.socket && Date.now() - this.heard > SILENCE_MS) return this.lose();
    if (this.fleet.link !== "open" || this.fleet.synced || Date.now() - this.asked < CONFIRM_MS) return;
    this.apply();
    this.set({ ...this.fleet, instances: doubt(this.fleet.instances, "the server has not told of it again", this.asked, this.seen) });
  }

  private ask(): void {
    clearTimeout(this.again);
    this.asked = Date.now();
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

/** doubt makes unknown what was known, last at a time, save the instances that are sure. */
export function doubt(instances: Fleet["instances"], unknownReason: string, heard: number, sure?: ReadonlySet<string>): Fleet["instances"] {
  const lastSeenTime = new Date(heard).toISOString();
  return new Map([...instances].map(([id, i]) => [id, i.unknown || sure?.has(id) ? i : { ...i, unknown: true, unknownReason, lastSeenTime }]));
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

/** useLost is why the server can be asked for nothing now; empty when it can. */
export function useLost(): string {
  return useFleet().link === "open" ? "" : LOST;
}
