// SPDX-License-Identifier: AGPL-3.0-or-later

// The rig: the real chartroom on the real engine, in one process or in one for
// each service, with containers of its own that are removed at the end.

import { test as base, type APIRequestContext, type Page } from "@playwright/test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ListHostsResponseJson } from "../src/gen/chartroom/fleet/v1/fleet_pb";

const bin = process.env["CHARTROOM_BIN"] ?? "../../bin";
const image = process.env["CHARTROOM_TEST_IMAGE"] ?? "chartroom/scxml:latest";
/** mark is the value of the label chartroom.test on everything that is made here. */
const mark = process.env["CHARTROOM_TEST_RUN"] ?? `browser-${process.pid}`;
const volume = `chartroom-${mark}`;

/** docker is the engine's own command line. */
export function docker(...args: string[]): string {
  return execFileSync("docker", args, { encoding: "utf8" }).trim();
}

const given = new Set<number>();

/** freePort is below the ports that the system gives to whoever dials: a service that was killed finds its own free when it comes back. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((said) => server.once("error", () => said(false)).listen(port, "127.0.0.1", () => said(true)));
    if (free) await new Promise((closed) => server.close(closed));
    if (free && !given.has(port)) {
      given.add(port);
      return port;
    }
  }
}

/** Program is one of chartroom's, which can be killed and started again. */
class Program {
  private child: ChildProcess | undefined;
  private said = "";

  constructor(
    readonly name: string,
    private readonly args: readonly string[],
    private readonly env: NodeJS.ProcessEnv = {},
  ) {}

  /** start does nothing to one that runs. */
  start(): void {
    if (this.child?.exitCode === null && this.child.signalCode === null) return;
    const child = spawn(join(bin, this.name), this.args, { env: { ...process.env, ...this.env }, stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer) => (this.said = (this.said + chunk.toString()).slice(-20_000));
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    this.child = child;
  }

  /** check throws with what it said when it has ended by itself. */
  check(): void {
    if (this.child && this.child.exitCode !== null) throw new Error(`${this.name} ended with ${this.child.exitCode}:\n${this.said}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** kill ends it as a power cut would. */
  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
  }
}

/** Wire is a way to the engine that can be cut. */
class Wire {
  private server: Server | undefined;
  private readonly open = new Set<Socket>();

  constructor(
    readonly path: string,
    private readonly engine = (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").replace(/^unix:\/\//, ""),
  ) {}

  async mend(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.engine);
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        this.open.add(socket);
        socket.on("error", () => other.destroy()).on("close", () => this.open.delete(socket));
        socket.pipe(other);
      }
    });
    this.server = server;
    await new Promise<void>((ready) => server.listen(this.path, ready));
  }

  cut(): void {
    this.server?.close();
    this.server = undefined;
    for (const socket of this.open) socket.destroy();
  }
}

/** Rig is one running chartroom. */
export class Rig {
  private constructor(
    private readonly data: string,
    readonly url: string,
    private readonly programs: readonly Program[],
    /** What the agent reaches the engine by, when it is a process of its own. */
    readonly wire: Wire,
  ) {}

  /** start starts chartroom: as one process or, apart, as one for each service. */
  static async start(apart: boolean): Promise<Rig> {
    docker("volume", "create", "--label", `chartroom.test=${mark}`, volume);
    const data = mkdtempSync(join(tmpdir(), "chartroom-browser-"));
    const wire = new Wire(join(data, "engine.sock"));
    const address = async () => `127.0.0.1:${await freePort()}`;
    const [gateway, snapshot, statemachine, health] = [await address(), await address(), await address(), await address()];
    // Whatever else is managed on this engine is somebody else's.
    const env = { CHARTROOM_ONLY: `chartroom.test=${mark}` };
    const programs = apart
      ? [
          new Program("snapshot", ["--address", snapshot, "--store", `pebble:${join(data, "store")}`]),
          new Program("statemachine", ["--address", statemachine, "--snapshot", snapshot]),
          new Program("gateway", ["--address", gateway, "--snapshot", snapshot, "--statemachine", statemachine]),
          new Program("dockeragent", ["--statemachine", statemachine, "--state", join(data, "agent"), "--host-id", "host-1", "--address", health], {
            ...env,
            DOCKER_HOST: `unix://${wire.path}`,
          }),
        ]
      : [new Program("chartroom", ["up", "--data", data, "--listen", gateway, "--host-id", "host-1", "--only", env.CHARTROOM_ONLY], env)];
    if (apart) await wire.mend();
    const rig = new Rig(data, `http://${gateway}`, programs, wire);
    await rig.up();
    return rig;
  }

  /** up starts what does not run, on the data it had before, and waits until the agent is there. */
  async up(): Promise<void> {
    for (const program of this.programs) program.start();
    for (;;) {
      for (const program of this.programs) program.check();
      const answer = await fetch(`${this.url}/v1/hosts`).catch(() => undefined);
      if (answer?.ok && ((await answer.json()) as ListHostsResponseJson).hosts?.some((host) => host.connected && !host.unknown)) return;
      await new Promise((again) => setTimeout(again, 50));
    }
  }

  /** program is one of the processes. */
  program(name: string): Program {
    const found = this.programs.find((program) => program.name === name);
    if (!found) throw new Error(`no process here is called ${name}`);
    return found;
  }

  /** kill ends all of them as a power cut would. */
  async kill(): Promise<void> {
    await Promise.all(this.programs.map((program) => program.kill()));
  }

  /** create makes and starts a hello world of that name. */
  async create(request: APIRequestContext, name: string): Promise<string> {
    const full = `${name}-${process.pid}`;
    const answer = await request.post(`${this.url}/v1/instances`, {
      data: {
        name: full,
        start: true,
        container: {
          image,
          // With the usual breaker a busy machine may have an event refused.
          labels: { "chartroom.test": mark, "chartroom.snapshot": "socket", "chartroom.breaker.timeout": "10s" },
          mounts: [`${volume}:/run/chartroom`],
          environment: [`CHARTROOM_SOCKET=/run/chartroom/${full}.sock`],
          network: "none",
        },
      },
    });
    if (!answer.ok()) throw new Error(`create ${full}: ${answer.status()} ${await answer.text()}`);
    return full;
  }

  /** observe starts a container that nothing here may touch, with options of docker run. */
  observe(name: string, ...options: string[]): string {
    const full = `${name}-${process.pid}`;
    docker("run", "--detach", "--name", full, "--label", `chartroom.test=${mark}`, "--network", "none", ...options, image, "--alone");
    return full;
  }

  /** remove takes a container away behind chartroom's back. */
  remove(name: string): void {
    docker("rm", "--force", name);
  }

  /** murder ends the container's process from the host, which no engine command does, and says when, in ms since 1970. */
  murder(name: string): number {
    const pid = Number(docker("inspect", "-f", "{{.State.Pid}}", name));
    if (!pid) throw new Error(`${name} does not run`);
    const now = Date.now();
    process.kill(pid, "SIGKILL");
    return now;
  }

  /** happened says when the engine says that something happened to a container, last, in ms since 1970. */
  happened(name: string, event: string, since: number): number {
    const times = docker("events", "--since", (since / 1000).toFixed(3), "--until", (Date.now() / 1000).toFixed(3), "--filter", `container=${name}`, "--filter", `event=${event}`, "--format", "{{.TimeNano}}");
    return Number(times.split("\n").at(-1)) / 1e6;
  }

  async end(): Promise<void> {
    await this.kill();
    this.wire.cut();
    const left = docker("ps", "-aq", "--filter", `label=chartroom.test=${mark}`);
    if (left) docker("rm", "-f", ...left.split("\n"));
    docker("volume", "rm", "-f", volume);
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** test gives each worker one rig; `test.use({ apart: true })` one of several processes. */
export const test = base.extend<object, { rig: Rig; apart: boolean }>({
  apart: [false, { option: true, scope: "worker" }],
  rig: [
    async ({ apart }, use) => {
      const rig = await Rig.start(apart);
      await use(rig);
      await rig.end();
    },
    { scope: "worker" },
  ],
});

/** row finds an instance in the fleet. */
export function row(page: Page, name: string) {
  return page.locator(`[data-instance^="${name}@"]`);
}

/** green is whatever on a page says that something runs. */
export function green(page: Page) {
  return page.locator(".good");
}

export { expect } from "@playwright/test";
