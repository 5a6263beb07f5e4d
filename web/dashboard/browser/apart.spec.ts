// SPDX-License-Identifier: AGPL-3.0-or-later

// What is unknown is never green (law 7): each part that can go away goes away
// by itself, and the page says which it is.

import type { Page } from "@playwright/test";
import { expect, green, row, test } from "./rig";

test.use({ apart: true });

/** grey checks that a row is unknown for a reason, that nothing else is green, and that nothing can be asked for. */
async function grey(page: Page, name: string, reason: RegExp): Promise<void> {
  const mine = row(page, name);
  await expect(mine.locator(".pill")).toHaveClass("pill unknown");
  await expect(mine).toContainText("was running");
  await expect(mine.locator(".seen")).toHaveText(/^last seen \d+ s ago$/);
  await expect(mine.locator(".why")).toContainText(reason);
  const stop = mine.getByRole("button", { name: "stop" });
  await expect(stop).toBeDisabled();
  await expect(stop).toHaveAccessibleDescription(reason);
  await expect(green(page)).toHaveCount(0);
}

/** live checks that a row is known again and can be acted upon. */
async function live(page: Page, name: string): Promise<void> {
  await expect(row(page, name).locator(".pill")).toHaveClass("pill good");
  await expect(row(page, name).getByRole("button", { name: "stop" })).toBeEnabled();
}

test("a row turns grey when its agent is killed, and is live when it is back", async ({ page, request, rig }) => {
  const name = await rig.create(request, "orphan");
  await page.goto(rig.url);
  await live(page, name);
  await rig.program("dockeragent").kill();
  await grey(page, name, /the agent of host-1 is not heard of/i);
  await expect(page.getByRole("status").first()).toHaveText("live");
  await page.getByRole("link", { name: "Hosts" }).click();
  const host = page.locator('[data-host="host-1"]');
  await expect(host).toContainText(/\? last seen \d+ s ago/);
  await expect(green(page)).toHaveCount(0);
  await rig.up();
  await expect(host).toContainText("● connected");
  await page.getByRole("link", { name: "Fleet" }).click();
  await live(page, name);
});

test("a row turns grey when its engine does not answer, though its agent is connected", async ({ page, request, rig }) => {
  const name = await rig.create(request, "adrift");
  await page.goto(rig.url);
  await live(page, name);
  rig.wire.cut();
  await grey(page, name, /the engine of host-1 does not answer/i);
  await page.getByRole("link", { name: "Hosts" }).click();
  const host = page.locator('[data-host="host-1"]');
  await expect(host).toContainText("● connected");
  await expect(host).toContainText("✕ does not answer, last did");
  await rig.wire.mend();
  await expect(host).toContainText(/API [\d.]+, answers/);
  await page.getByRole("link", { name: "Fleet" }).click();
  await live(page, name);
});

test("on the page of an instance nothing can be asked for while the connection is lost", async ({ page, request, rig }) => {
  const name = await rig.create(request, "asked");
  await page.goto(`${rig.url}/instances/${name}@host-1`);
  await page.getByRole("button", { name: "take snapshot" }).click();
  const show = page.getByRole("button", { name: "Show", exact: true }).first();
  await expect(show).toBeEnabled();
  await page.getByRole("button", { name: "kill" }).click();
  await expect(page.getByRole("alertdialog")).toBeVisible();
  await rig.program("gateway").kill();
  // A question that is open is withdrawn.
  await expect(page.getByRole("alertdialog")).toHaveCount(0);
  for (const button of ["kill", "Restore", "Show"]) {
    const greyed = page.getByRole("button", { name: button, exact: true }).first();
    await expect(greyed).toBeDisabled();
    await expect(greyed).toHaveAccessibleDescription(/the connection to chartroom is lost/);
  }
  await expect(page.getByRole("button", { name: "Send" })).toBeDisabled();
  await expect(page.getByText("Cannot send: the connection to chartroom is lost.")).toBeVisible();
  await rig.up();
  await expect(show).toBeEnabled();
  await expect(page.getByRole("button", { name: "kill" })).toBeEnabled();
});

test("everything turns grey when the server falls silent without a word", async ({ page, request, rig }) => {
  const name = await rig.create(request, "deaf");
  await page.goto(rig.url);
  await live(page, name);
  // As when a cable is pulled: the connection stays open, and nothing comes.
  rig.program("gateway").signal("SIGSTOP");
  await expect(page.getByRole("alert")).toContainText("The connection to chartroom is lost");
  await grey(page, name, /the connection to chartroom is lost/i);
  rig.program("gateway").signal("SIGCONT");
  await live(page, name);
  await expect(page.getByRole("alert")).toHaveCount(0);
});
