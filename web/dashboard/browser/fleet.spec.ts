// SPDX-License-Identifier: AGPL-3.0-or-later

// What a person sees on the page, from the first container to the morning
// after a power cut.

import AxeBuilder from "@axe-core/playwright";
import type { Locator } from "@playwright/test";
import { expect, green, row, test } from "./rig";

test("a container appears, takes an event, and its log tells of it", async ({ page, request, rig }) => {
  const name = await rig.create(request, "hello");
  await page.goto(rig.url);
  await expect(row(page, name)).toContainText("running");
  await row(page, name).getByRole("link").click();
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
  await page.getByLabel("Event name").fill("hello");
  await page.getByLabel("Event data as JSON").fill('{"n": 1}');
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await expect(page.getByText(/(forwarded|queued) as #1/)).toBeVisible();
  await expect(page.locator(".entry", { hasText: "app.answer" }).first()).toBeVisible();
  await expect(page.getByLabel("Snapshots", { exact: true })).toContainText("candidate");
  await expect(page.getByRole("region", { name: "Event log" })).toContainText(/Times in \S+\./);
});

test("only the buttons that the state allows can be pressed, and a greyed one says why", async ({ page, request, rig }) => {
  const name = await rig.create(request, "buttons");
  await page.goto(rig.url);
  const mine = row(page, name);
  await expect(mine).toContainText("running");
  const start = mine.getByRole("button", { name: "start", exact: true });
  await expect(start).toBeDisabled();
  await expect(start).toHaveAttribute("title", "cannot start in state running");
  await expect(start).toHaveAccessibleDescription("cannot start in state running");
  // By keyboard and touch, too.
  await start.focus();
  await expect(start).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toHaveText(`${name}: cannot start in state running Dismiss`);
  await page.getByRole("button", { name: "Dismiss" }).click();
  await mine.getByRole("button", { name: "stop" }).click();
  await expect(mine).toContainText("user requested");
  await expect(mine.getByRole("button", { name: "stop" })).toBeDisabled();
  await start.click();
  await expect(mine).toContainText("running");
  await mine.getByRole("link").click();
  await expect(page.getByText("cannot start, unpause, remove in state running")).toBeVisible();
  await expect(page.getByRole("button", { name: "unpause" })).toHaveAccessibleDescription(/unpause.* in state running/);
});

test("a paused container does not look like one that runs", async ({ page, request, rig }) => {
  const name = await rig.create(request, "frozen");
  await page.goto(rig.url);
  const pill = row(page, name).locator(".pill");
  await expect(pill).toHaveClass("pill good");
  await row(page, name).getByRole("link").click();
  await page.getByRole("button", { name: "pause", exact: true }).click();
  await expect(page.locator(".title .pill")).toHaveText("‖ paused");
  await page.getByRole("link", { name: "Fleet" }).click();
  await expect(pill).toHaveClass("pill paused");
});

test("a container that was only observed leaves the list when it is removed, and can be shown", async ({ page, rig }) => {
  const name = rig.observe("passer-by");
  await page.goto(rig.url);
  const mine = row(page, name);
  await expect(mine).toContainText("observed only");
  await expect(mine.getByRole("button", { name: "stop" })).toHaveAccessibleDescription(/stop.*: observed only; add the label chartroom.enable=true/);
  rig.remove(name);
  await expect(mine).toHaveCount(0);
  await expect(page.getByText(/removed containers? (is|are) not shown/)).toBeVisible();
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(mine).toContainText("destroyed");
});

test("a container that the engine restarts says so where its buttons are greyed", async ({ page, rig }) => {
  const name = rig.observe("doubly-kept", "--label", "chartroom.enable=true", "--restart", "unless-stopped");
  await page.goto(rig.url);
  const stop = row(page, name).getByRole("button", { name: "stop" });
  await expect(stop).toHaveAccessibleDescription(/own restart policy is "unless-stopped".*docker update --restart=no/);
  await row(page, name).getByRole("link").click();
  await expect(page.getByText(/^cannot start.*own restart policy is "unless-stopped"/)).toBeVisible();
  await expect(page.getByText("make the container with the label")).toHaveCount(0);
  rig.remove(name);
});

test("what cannot be taken back is asked for first", async ({ page, request, rig }) => {
  const name = await rig.create(request, "killed");
  await page.goto(rig.url);
  await row(page, name).getByRole("link").click();
  const kill = page.getByRole("button", { name: "kill" });
  await kill.click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.locator(".title .pill")).toHaveText("● running");
  await kill.press("Enter");
  await page.getByRole("alertdialog").getByRole("button", { name: "kill" }).press("Enter");
  await expect(page.locator(".title .pill")).toContainText("user requested");
});

test("a crash stands out in the log, the container comes back, and a click shows the chart at that moment", async ({ page, request, rig }) => {
  const name = await rig.create(request, "victim");
  await page.goto(`${rig.url}/`);
  await row(page, name).getByRole("link").click();
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
  rig.murder(name);
  const death = page.locator(".entry.error", { hasText: "docker.die" });
  await expect(death).toBeVisible();
  await expect(page.locator(".sentence")).toContainText(/137|killed|resumed|restored|clean/i);
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
  await page.getByLabel("only warnings and errors").check();
  await death.click();
  await expect(page.locator('[data-state="running"][data-active="true"]')).toHaveCount(0);
  await expect(page.locator('[data-state="crashed"][data-active="true"]')).toHaveCount(1);
  // The transition starts at the top and has no line: it is drawn all the same.
  await expect(page.locator('path.arc.failed[data-from="running"][data-to="backoff"]')).toHaveCount(1);
  await expect(page.locator("figcaption")).toContainText("Way here: running → backoff");
  // Which moment it is, what the chart was then, and what is of now.
  const past = page.getByRole("region", { name: "Past moment" });
  await expect(past).toContainText(/You look at the past: .*\d\d:\d\d:\d\d\.\d{3} \S+, state (backoff|restarting)/);
  await expect(past).toContainText(/docker\.die #\d+: Crashed: exit 137/);
  await expect(page.locator(".title")).toContainText(/now\s*● running/);
  await expect(page.locator(".sentence")).toContainText(/^Now: /);
  await past.getByRole("button", { name: "Back to now" }).click();
  await expect(past).toHaveCount(0);
  await expect(page.locator(".sentence")).not.toContainText("Now:");
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
  await expect(page.locator("figcaption")).toContainText(/Way here: running → backoff → restarting → .*→ running/);
});

test("what somebody reads in the log stays where it is while more happens", async ({ page, request, rig }) => {
  const name = await rig.create(request, "busy");
  const send = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const answer = await request.post(`${rig.url}/v1/instances/${name}@host-1:send`, { data: { event: "hello", data: { n } } });
      expect(answer.ok(), await answer.text()).toBe(true);
    }
  };
  await page.goto(`${rig.url}/instances/${name}@host-1`);
  await expect(page.locator(".title .pill")).toHaveText("● running");
  await send(10);
  await expect(page.getByText("answered #10")).toBeVisible();
  const read = page.locator(".entry", { hasText: "Event 8 (hello) accepted" });
  await read.scrollIntoViewIfNeeded();
  await read.click();
  const place = async () => Math.round((await read.boundingBox())?.y ?? 0);
  const height = () => page.locator(".log .scroll").evaluate((box) => box.scrollHeight);
  const [before, lower] = [await place(), await height()];
  await send(5);
  // Three entries an event, at least, above the one that is read.
  await expect.poll(height).toBeGreaterThan(lower + 15 * 40);
  await expect.poll(place).toBe(before);
});

test("the page says at the top what the last crash was, though it is far down in the log", async ({ page, request, rig }) => {
  const name = await rig.create(request, "buried");
  await page.goto(`${rig.url}/instances/${name}@host-1`);
  await expect(page.locator(".title .pill")).toHaveText("● running");
  const crash = page.getByRole("region", { name: "Last error" });
  await expect(crash).toHaveCount(0);
  rig.murder(name);
  await expect(crash).toContainText(/s ago: Crashed: exit 137/);
  await expect(page.locator(".title .pill")).toHaveText("● running");
  // More entries than the page reads of a log.
  for (let n = 0; n < 80; n++) {
    const answer = await request.post(`${rig.url}/v1/instances/${name}@host-1:send`, { data: { event: "hello", data: { n } } });
    expect(answer.ok(), await answer.text()).toBe(true);
  }
  await page.reload();
  await expect(crash).toContainText(/s ago: Crashed: exit 137/);
  await expect(page.locator(".entry", { hasText: "docker.die" })).toHaveCount(0);
  const moment = crash.getByRole("button", { name: "Show that moment" });
  await moment.click();
  await expect(page.locator('[data-state="crashed"][data-active="true"]')).toHaveCount(1);
  await expect(page.locator('.entry.error[aria-pressed="true"]', { hasText: "docker.die" })).toBeVisible();
  await page.getByRole("button", { name: "Previous error" }).click();
  await expect(page.getByText("There is no older error.")).toBeVisible();
  await moment.click();
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
});

test("while a chart is laid out for the first time, the page says so and for how long", async ({ page, request, rig }) => {
  const name = await rig.create(request, "undrawn");
  let layOut = () => {};
  const laidOut = new Promise<void>((done) => (layOut = done));
  await page.route("**/drawing?*", async (route) => {
    await laidOut;
    await route.continue();
  });
  await page.goto(`${rig.url}/instances/${name}@host-1`);
  const chart = page.locator("figure.chart");
  await expect(chart.getByRole("status")).toHaveText("Drawing the chart…");
  await expect(chart).toContainText(/the first time that anybody looks at this version of the chart: \d+ s so far/);
  await expect(chart).toContainText("Active states: container, lifecycle, started");
  layOut();
  await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
  await expect(chart.getByRole("status")).toHaveCount(0);
});

for (const [width, region] of [[1400, "lifecycle"], [390, "started"]] as const) {
  test(`the chart fits a window of ${width} px or scrolls in it, and its names can be read`, async ({ page, request, rig }) => {
    const name = await rig.create(request, `fit-${width}`);
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${rig.url}/instances/${name}@host-1`);
    await expect(page.locator('[data-state="running"][data-active="true"]')).toBeVisible();
    await expect(page.locator(".edge text", { hasText: "» docker.start" }).first()).toBeVisible();
    const border = page.locator(`[data-state="${region}"] > rect`);
    const inside = async (what: Locator) => {
      const [inner, outer] = [await what.boundingBox(), await page.locator(".canvas").boundingBox()];
      return inner !== null && outer !== null && inner.x >= outer.x && inner.x + inner.width <= outer.x + outer.width && inner.x + inner.width <= width;
    };
    const scale = () => page.locator(".chart svg").evaluate((svg: SVGSVGElement) => svg.getScreenCTM()?.a ?? 0);
    const size = page.getByRole("button", { name: "full size" });
    const active = page.locator('[data-state="running"] > rect');
    const fitted = async () => {
      await expect(size).toHaveAttribute("aria-pressed", "false");
      expect(await inside(border)).toBe(true);
      expect(await scale()).toBeGreaterThan(0.6);
    };
    const scrolled = async () => {
      await expect(size).toHaveAttribute("aria-pressed", "true");
      expect(await scale()).toBeCloseTo(1, 2);
      await expect(active).toBeInViewport();
      expect(await inside(active)).toBe(true);
    };
    // On a telephone what fits cannot be read.
    const [first, second] = width < 760 ? [scrolled, fitted] : [fitted, scrolled];
    await first();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await size.click();
    await second();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  });
}

test("the page survives kill -9 of the server and goes on without a hole in the log", async ({ page, request, rig }) => {
  const name = await rig.create(request, "survivor");
  await page.goto(rig.url);
  const mine = row(page, name);
  await expect(mine.locator(".pill")).toHaveClass("pill good");
  await rig.kill();
  await expect(page.getByRole("status").first()).toHaveText("connection lost");
  await expect(page.getByRole("alert")).toContainText("The connection to chartroom is lost; last heard of at");
  await expect(page.getByText(/Connecting again/)).toBeVisible();
  await expect(page.locator("main")).toHaveCSS("filter", "grayscale(1)");
  await expect(green(page)).toHaveCount(0);
  await expect(mine).toContainText(/was running.*last seen \d+ s ago/);
  await expect(mine.getByRole("button", { name: "stop" })).toBeDisabled();
  await expect(mine.getByRole("button", { name: "stop" })).toHaveAccessibleDescription(/stop.*: the connection to chartroom is lost/);
  await mine.getByRole("link").click();
  await expect(page.locator(".title .pill")).toHaveClass("pill unknown");
  await expect(green(page)).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Send", exact: true })).toBeDisabled();
  await expect(page.getByText("The log is not read yet.")).toBeVisible();
  await rig.up();
  await expect(page.getByRole("status").first()).toHaveText("live");
  await expect(page.locator("main")).toHaveCSS("filter", "none");
  await expect(page.locator(".title .pill")).toHaveClass("pill good");
  await expect(page.getByText(/Connecting again/)).toHaveCount(0);
  rig.murder(name);
  await expect(page.locator(".entry.error", { hasText: "docker.die" })).toBeVisible();
  const sequences = (await page.locator(".entry .sequence").allTextContents()).map((s) => Number(s.slice(1))).sort((a, b) => a - b);
  expect(sequences.every((s, i) => i === 0 || s === (sequences[i - 1] ?? 0) + 1), `a hole in ${sequences}`).toBe(true);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`no accessibility fault is found on any page (${colorScheme})`, async ({ browser, request, rig }) => {
    const name = await rig.create(request, `axe-${colorScheme}`);
    const context = await browser.newContext({ colorScheme });
    const page = await context.newPage();
    // After a crash there is most to see.
    await page.goto(`${rig.url}/instances/${name}@host-1`);
    await expect(page.locator(".title .pill")).toHaveText("● running");
    rig.murder(name);
    await expect(page.getByRole("region", { name: "Last error" })).toBeVisible();
    for (const path of ["/", "/hosts", "/charts", `/instances/${name}@host-1`]) {
      await page.goto(rig.url + path);
      await expect(page.getByRole("status").first()).toHaveText("live");
      await expect(page.getByText(/^Reading/)).toHaveCount(0);
      if (path.includes(name)) {
        await page.getByText("Datamodel").click();
        await page.getByRole("button", { name: "Show that moment" }).click();
        await expect(page.getByRole("region", { name: "Past moment" })).toBeVisible();
      }
      const found = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]).analyze();
      expect(found.violations.map((v) => `${path}: ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`)).toEqual([]);
    }
    await context.close();
  });
}
