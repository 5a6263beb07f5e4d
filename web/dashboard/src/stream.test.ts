// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** Socket stands in for the browser's: the test is its server. */
class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  asked: string[] = [];

  constructor() {
    Socket.all.push(this);
  }

  send(text: string): void {
    this.asked.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  accept(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(...frames: object[]): void {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

const running = (instanceId: string) => ({ instance: { instanceId, state: "running" } });

async function open() {
  const { Stream } = await import("./stream");
  const stream = new Stream("ws://test/v1/stream");
  stream.watch({});
  server().accept();
  server().say(running("a@h"), running("b@h"), { host: { hostId: "h", connected: true } }, { synced: true });
  vi.advanceTimersByTime(20);
  return stream;
}

/** server is the end of the newest connection. */
function server(): Socket {
  const newest = Socket.all.at(-1);
  if (!newest) throw new Error("nobody has connected");
  return newest;
}

/** unknown lists what the page takes for unknown, and why. */
function unknown(stream: Awaited<ReturnType<typeof open>>): Record<string, string | undefined> {
  return Object.fromEntries([...stream.snapshot().instances.values()].filter((i) => i.unknown).map((i) => [i.instanceId ?? "", i.unknownReason]));
}

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-01-01T00:00:00Z") });
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("requestAnimationFrame", (paint: () => void) => setTimeout(paint, 16));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  vi.stubGlobal("location", { protocol: "http:", host: "test" });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  Socket.all = [];
});

const LOST = "the connection to chartroom is lost";

test("everything is unknown as soon as the connection closes, and each row is known again when it is named again", async () => {
  const stream = await open();
  expect(unknown(stream)).toEqual({});
  server().say(running("c@h")); // on the page before it is painted
  server().onclose?.();
  expect(stream.snapshot().link).toBe("lost");
  expect(unknown(stream)).toEqual({ "a@h": LOST, "b@h": LOST, "c@h": LOST });
  expect(stream.snapshot().hosts.get("h")?.unknown).toBe(true);
  vi.advanceTimersByTime(100);
  server().accept();
  expect(unknown(stream)).toEqual({ "a@h": LOST, "b@h": LOST, "c@h": LOST });
  server().say(running("b@h"));
  vi.advanceTimersByTime(20);
  expect(unknown(stream)).toEqual({ "a@h": LOST, "c@h": LOST });
  server().say(running("a@h"), { synced: true });
  vi.advanceTimersByTime(20);
  expect(unknown(stream)).toEqual({});
  expect([...stream.snapshot().instances.keys()]).toEqual(["a@h", "b@h"]);
});

test("a connection without a frame for 8 s is given up, and one with an empty frame is not", async () => {
  const stream = await open();
  const engine = "the engine of h does not answer";
  server().say({ instance: { instanceId: "d@h", state: "running", unknown: true, unknownReason: engine } });
  vi.advanceTimersByTime(7000);
  server().say({});
  vi.advanceTimersByTime(7900);
  expect(stream.snapshot().link).toBe("open");
  const silent = server();
  vi.advanceTimersByTime(700);
  expect(stream.snapshot().link).toBe("lost");
  expect(unknown(stream)).toEqual({ "a@h": LOST, "b@h": LOST, "d@h": engine }); // what was unknown before stays so, for its own reason
  expect(stream.snapshot().instances.get("a@h")?.lastSeenTime).toBe("2026-01-01T00:00:07.020Z");
  expect(silent.readyState).toBe(3);
  expect(Socket.all.length).toBe(2);
  silent.say(running("a@h")); // too late
  vi.advanceTimersByTime(20);
  expect(unknown(stream)["a@h"]).toBe(LOST);
});

test("a row that the server does not name again within a second is unknown", async () => {
  const stream = await open();
  stream.watch({});
  server().say(running("a@h"));
  vi.advanceTimersByTime(900);
  expect(unknown(stream)).toEqual({});
  vi.advanceTimersByTime(600);
  expect(unknown(stream)).toEqual({ "b@h": "the server has not told of it again" });
  server().say(running("b@h"), { synced: true });
  vi.advanceTimersByTime(20);
  expect(unknown(stream)).toEqual({});
});
