// SPDX-License-Identifier: AGPL-3.0-or-later

// How long it takes until a person sees what happened: measured and printed,
// asserted only within what any machine keeps.

import type { Page } from "@playwright/test";
import { docker, expect, test } from "./rig";

const ROUNDS = 5;
const GENEROUS_MS = 2000;

/** watchFor begins to wait for an element with a text that is not there yet; seen says when it was painted, in ms since 1970. */
async function watchFor(page: Page, selector: string, text = ""): Promise<{ seen: () => Promise<number> }> {
  const found = await page.evaluateHandle(([selector, text]) => {
    const texts = () => [...document.querySelectorAll(selector)].map((element) => element.textContent ?? "");
    const before = new Set(texts());
    const painted = new Promise<number>((done) => {
      const look = () => {
        const match = texts().some((found) => found.includes(text) && !before.has(found));
        // What is there at the beginning of a frame is painted when a task behind it runs.
        if (match) requestAnimationFrame(() => setTimeout(() => done(Date.now())));
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    return { painted };
  }, [selector, text] as const);
  return { seen: () => found.evaluate(({ painted }) => painted) };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function told(what: string, values: readonly number[]): string {
  return `${what} ${median(values).toFixed(0)} ms (${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)})`;
}

test("from the engine's event to paint", async ({ page, request, rig }) => {
  const name = await rig.create(request, "measured");
  await page.goto(`${rig.url}/instances/${name}@host-1`);
  const state = (id: string) => `[data-state="${id}"][data-active="true"]`;
  const deaths: number[] = [];
  const kills: number[] = [];
  const pauses: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await expect(page.locator(state("running"))).toBeVisible();
    const death = await watchFor(page, ".entry.error", "docker.die");
    const killed = rig.murder(name);
    const seen = await death.seen();
    kills.push(seen - killed);
    deaths.push(seen - rig.happened(name, "die", killed));
  }
  for (let round = 0; round < ROUNDS; round++) {
    await expect(page.locator(state("running"))).toBeVisible();
    const paused = await watchFor(page, state("paused"));
    const since = Date.now();
    docker("pause", name);
    pauses.push((await paused.seen()) - rig.happened(name, "pause", since));
    docker("unpause", name);
  }
  console.log(`engine event to paint, median of ${ROUNDS}: ${told("a death in the log", deaths)}, ${told("a pause lit in the chart", pauses)}; ${told("from kill -9 to the death in the log", kills)}`);
  expect(median(deaths)).toBeLessThan(GENEROUS_MS);
  expect(median(pauses)).toBeLessThan(GENEROUS_MS);
});
