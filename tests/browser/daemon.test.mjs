// The page over a real daemon with its demo channels: what the box says comes through, live, and buttons do what they say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startDaemon } from "./daemon.mjs";
import { DESK, PHONE, accessible, fits, picture, startBrowser, visit } from "./kit.mjs";

let browser;
let daemon;
before(async () => {
  browser = await startBrowser();
  daemon = await startDaemon(process.env.OLD ? "" : "[access]\nopen = true\n");
});
after(async () => {
  await browser.close();
  await daemon.stop();
});

const clean = async (page) => {
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
};

test("a viewer is on the page within two seconds, with channel, program, rate and picture", async () => {
  const page = await visit(browser, `${daemon.url}/`, { size: DESK });
  await page.getByText("Everything works").waitFor();
  assert.equal(await page.locator(".tuner").count(), 4);
  const viewer = daemon.watch("1.1");
  await page.getByText("Demo Bars", { exact: true }).waitFor({ timeout: 15000 });
  await page.locator(".tuner").first().getByText("Playing").waitFor({ timeout: 15000 });
  await page.getByText(/VLC \(127\./).waitFor();
  await page.waitForFunction(() => /[1-9][\d.]* Mbit\/s|0\.[1-9] Mbit/.test(document.querySelector(".tuner-rate")?.textContent ?? ""), null, { timeout: 15000 });
  await accessible(page, "a real box that plays");
  await fits(page, "a real box");
  const second = daemon.watch("1.3", "Jellyfin-Server/10.10.7");
  await page.locator(".tuner").nth(1).getByText("Playing").waitFor({ timeout: 15000 });
  await page.waitForFunction(() => (document.querySelector(".tuner .line")?.getAttribute("d").length ?? 0) > 60, null, { timeout: 15000 });
  await picture(page, "real-1280-light");
  second.stop();

  await page.getByRole("button", { name: "Free it Tuner 1" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Free it" }).click();
  await page.locator(".tuner").first().getByText("Free", { exact: true }).waitFor({ timeout: 15000 });
  await viewer.done;
  await clean(page);
});

test("what the page shows is what the box has", async () => {
  const page = await visit(browser, `${daemon.url}/`, { size: PHONE, theme: "dark" });
  await page.getByText("Everything works").waitFor();
  const addresses = await page.locator(".addresses").innerText();
  for (const path of ["", "/lineup.m3u", "/xmltv.xml"]) {
    assert.ok(addresses.replaceAll("\n", "").includes(`${daemon.url}${path}`), path);
    assert.ok((await fetch(daemon.url + path)).status < 500, path);
  }
  assert.ok((await page.locator("#events + *, .events").allInnerTexts()).join(" ").includes("The box started."));
  await accessible(page, "a real box on a phone");
  await fits(page, "a real box on a phone");
  await picture(page, "real-360-dark");
  await clean(page);
});

test("a browser gets the first page in a few small answers, and the second time in almost none", async () => {
  const page = await visit(browser, `${daemon.url}/`, { cache: true });
  await page.getByText("Everything works").waitFor();
  const own = () => page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .filter((one) => !one.name.includes("/api/")).map((one) => [one.name, one.transferSize, one.duration]));
  const first = await own();
  const bytes = first.reduce((sum, [, size]) => sum + size, 0);
  console.log(`# first page: ${first.length} files, ${bytes} bytes`);
  await page.reload();
  await page.getByText("Everything works").waitFor();
  const second = (await own()).reduce((sum, [, size]) => sum + size, 0);
  console.log(`# second time: ${second} bytes`);
  assert.ok(second < 10_000, `${second} bytes again`);
  await clean(page);
});

test("the pages that programs read have the page's looks", async () => {
  for (const path of ["lineup.html", "tuners.html"]) {
    const page = await visit(browser, `${daemon.url}/${path}`, { size: PHONE });
    await fits(page, path);
    await picture(page, `${path.replace(".html", "")}-360-light`);
    await clean(page);
  }
});
