// SPDX-License-Identifier: AGPL-3.0-or-later

// The rig: the real chartroom in one process, on the real engine, with
// containers of its own that are removed at the end.

import { test as base, type APIRequestContext, type Page } from "@playwright/test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ListHostsResponseJson } from "../src/gen/chartroom/fleet/v1/fleet_pb";

const bin = process.env["CHARTROOM_BIN"] ?? "../../bin";
const image = process.env["CHARTROOM_TEST_IMAGE"] ?? "chartroom/scxml:latest";
/** mark is the value of the label chartroom.test on everything that is made here. */
const mark = process.env["CHARTROOM_TEST_RUN"] ?? `browser-${process.pid}`;
const volume = `chartroom-${mark}`;

function docker(...args: string[]): string {
  return execFileSync("docker", args, { encoding: "utf8" }).trim();
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const address = server.address();
  const port = address && typeof address === "object" ? address.port : 0;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Rig is one running chartroom. */
export class Rig {
  private child: ChildProcess | undefined;
  private readonly data = mkdtempSync(join(tmpdir(), "chartroom-browser-"));
  private said = "";

  private constructor(readonly port: number) {}

  static async start(): Promise<Rig> {
    docker("volume", "create", "--label", `chartroom.test=${mark}`, volume);
    const rig = new Rig(await freePort());
    await rig.up();
    return rig;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** up starts chartroom on the data it had before, and waits until its agent is there. */
  async up(): Promise<void> {
    const child = spawn(join(bin, "chartroom"), ["up", "--data", this.data, "--listen", `127.0.0.1:${this.port}`, "--host-id", "host-1", "--only", `chartroom.test=${mark}`], {
      // Whatever else is managed on this engine is somebody else's.
      env: { ...process.env, CHARTROOM_ONLY: `chartroom.test=${mark}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    const keep = (chunk: Buffer) => (this.said = (this.said + chunk.toString()).slice(-20_000));
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    for (;;) {
      if (child.exitCode !== null) throw new Error(`chartroom up ended with ${child.exitCode}:\n${this.said}`);
      const answer = await fetch(`${this.url}/v1/hosts`).catch(() => undefined);
      if (answer?.ok && ((await answer.json()) as ListHostsResponseJson).hosts?.some((host) => host.connected && !host.unknown)) return;
      await new Promise((again) => setTimeout(again, 50));
    }
  }

  /** kill ends it as a power cut would. */
  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
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
          labels: { "chartroom.test": mark, "chartroom.snapshot": "socket" },
          mounts: [`${volume}:/run/chartroom`],
          environment: [`CHARTROOM_SOCKET=/run/chartroom/${full}.sock`],
          network: "none",
        },
      },
    });
    if (!answer.ok()) throw new Error(`create ${full}: ${answer.status()} ${await answer.text()}`);
    return full;
  }

  /** observe starts a container that nothing here may touch. */
  observe(name: string): string {
    const full = `${name}-${process.pid}`;
    docker("run", "--detach", "--name", full, "--label", `chartroom.test=${mark}`, "--network", "none", image, "--alone");
    return full;
  }

  /** remove takes a container away behind chartroom's back. */
  remove(name: string): void {
    docker("rm", "--force", name);
  }

  /** murder ends the container's process from the host, which no engine command does. */
  murder(name: string): void {
    process.kill(Number(docker("inspect", "-f", "{{.State.Pid}}", name)), "SIGKILL");
  }

  async end(): Promise<void> {
    await this.kill();
    const left = docker("ps", "-aq", "--filter", `label=chartroom.test=${mark}`);
    if (left) docker("rm", "-f", ...left.split("\n"));
    docker("volume", "rm", "-f", volume);
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** test gives each worker one rig. */
export const test = base.extend<object, { rig: Rig }>({
  rig: [
    async ({}, use) => {
      const rig = await Rig.start();
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

export { expect } from "@playwright/test";
