// The page over a real daemon with its demo channels: what the box says comes through, live, and buttons do what they say.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { startDaemon } from "./daemon.mjs";
import { DESK, PHONE, accessible, eventually, fits, picture, startBrowser, until, visit } from "./kit.mjs";
import { FILES, bare } from "./mock.mjs";

/** An examination waits for pictures, as clients do. */
const DOCTOR_MS_MAX = 180_000;
let browser;
let daemon;
const daemons = [];
before(async () => {
  browser = await startBrowser();
  daemon = await startDaemon("[access]\nopen = true\n");
});
after(async () => {
  await browser.close();
  await Promise.all([daemon, ...daemons].map((one) => one.stop()));
});

const clean = async (page) => {
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
};

test("a viewer is on the page by himself, with channel, program, rate and picture", async () => {
  const page = await visit(browser, `${daemon.url}/`, { size: DESK });
  await page.getByText("Everything works").waitFor();
  assert.equal(await page.locator(".tuner").count(), 4);
  const viewer = daemon.watch("1.1");
  await page.getByText("Demo Bars", { exact: true }).waitFor();
  await page.locator(".tuner").first().getByText("Playing").waitFor();
  await page.getByText(/VLC \(127\./).waitFor();
  await page.waitForFunction(() => /[1-9][\d.]* Mbit\/s|0\.[1-9] Mbit/.test(document.querySelector(".tuner-rate")?.textContent ?? ""));
  await accessible(page, "a real box that plays");
  await fits(page, "a real box");
  const second = daemon.watch("1.3", "Jellyfin-Server/10.10.7");
  await page.locator(".tuner").nth(1).getByText("Playing").waitFor();
  await page.waitForFunction(() => (document.querySelector(".tuner .line")?.getAttribute("d").length ?? 0) > 60);
  await picture(page, "real-1280-light");
  second.stop();

  await page.getByRole("button", { name: "Free it Tuner 1" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Free it" }).click();
  await page.locator(".tuner").first().getByText("Free", { exact: true }).waitFor();
  await viewer.done;
  await clean(page);
});

test("a preview plays in the page, gives its tuner back, and gives way to who watches", async () => {
  const small = await startDaemon("[access]\nopen = true\n[slots]\ncount = 1\n");
  daemons.push(small);
  const page = await visit(browser, `${small.url}/#/channels`, { size: DESK });
  const dialog = page.getByRole("dialog").last();
  const status = async () => (await fetch(`${small.url}/api/v1/status`)).json();
  const viewers = async () => (await status()).tuners.flatMap((tuner) => tuner.viewers).length;
  const until = async (what, is) => {
    for (let tries = 0; tries < 900; tries += 1) {
      if (await is()) return;
      await new Promise((done) => { setTimeout(done, 100); });
    }
    assert.fail(`never: ${what}`);
  };
  const plays = () => page.waitForFunction(() => {
    const video = document.querySelector("video");
    return video?.videoWidth > 0 && video.currentTime > 1 && !video.paused;
  }, null, { timeout: 60000 });
  // A machine that is busy with other tests may need more than one trial.
  await until("an encoder works", async () => {
    const { state } = (await status()).encoders[0] ?? {};
    if (state === "fails") await fetch(`${small.url}/api/v1/encoders/try`, { method: "POST" });
    return state === "works";
  });
  await page.getByRole("button", { name: "Demo Bars", exact: true }).click();
  await page.getByRole("button", { name: "Preview" }).click();
  await dialog.getByText("Starting.").waitFor();
  await plays();
  assert.equal(await page.evaluate(() => document.querySelector("video").muted), true);
  await accessible(page, "a preview that plays");
  await fits(page, "a preview that plays");
  await picture(page, "real-preview-1280-light", { full: false });
  assert.equal(await viewers(), 1);
  await page.keyboard.press("Escape");
  await until("its tuner is given back", async () => await viewers() === 0);

  // Somebody wants the only tuner.
  await page.getByRole("button", { name: "Preview" }).click();
  await plays();
  const other = small.watch("1.2");
  await dialog.getByText("somebody needed the tuner").waitFor({ timeout: 60000 });
  assert.equal(await viewers(), 1);
  other.stop();
  await clean(page);
});

test("what the page shows is what the box has", async () => {
  const page = await visit(browser, `${daemon.url}/`, { size: PHONE, theme: "dark" });
  await page.getByText("Everything works").waitFor();
  for (const path of ["", "/lineup.m3u", "/xmltv.xml"]) {
    await eventually(async () => assert.ok((await page.locator(".addresses").innerText()).replaceAll("\n", "").includes(`${daemon.url}${path}`), path));
    assert.ok((await fetch(daemon.url + path)).status < 500, path);
  }
  await page.locator("#events + *, .events").getByText("The box started.").first().waitFor();
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

test("the box serves what the box of cardboard serves", async () => {
  for (const file of FILES) assert.equal(await (await fetch(`${daemon.url}${file.path}`)).text(), bare(file), file.path);
});

test("the pages that programs read have the page's looks", async () => {
  for (const path of ["lineup.html", "tuners.html"]) {
    const page = await visit(browser, `${daemon.url}/${path}`, { size: PHONE });
    await fits(page, path);
    await picture(page, `${path.replace(".html", "")}-360-light`);
    await clean(page);
  }
});

test("the doctor examines a real box from its page, and what fails says what to do", async () => {
  const page = await visit(browser, `${daemon.url}/#/system/doctor`);
  await page.getByRole("button", { name: "Examine the box" }).click();
  await page.getByRole("progressbar", { name: "Examining…" }).waitFor();
  // Results come one by one, each client's as they are.
  await page.locator(".check-line").first().waitFor({ timeout: DOCTOR_MS_MAX });
  await page.getByRole("button", { name: "Examine again" }).waitFor({ timeout: DOCTOR_MS_MAX });
  const { checks, checks_len: all } = await (await fetch(`${daemon.url}/api/v1/doctor`)).json();
  assert.equal(checks.length, all);
  const shown = await page.locator(".check-line").evaluateAll((lines) => lines.map(({ dataset, textContent }) => [dataset.level, textContent]));
  assert.equal(shown.length, all);
  const level = { pass: "good", fail: "ill", skip: "off" };
  for (const check of checks) {
    const told = [check.name, check.detail, check.outcome === "fail" ? check.fix ?? "" : ""];
    assert.ok(shown.some(([is, text]) => is === level[check.outcome] && told.every((one) => text.includes(one))), `${check.id} is not shown: ${told}`);
  }
  // Its discovery is switched off, and its pictures are made by the real FFmpeg.
  assert.ok(checks.some(({ outcome, fix }) => outcome === "fail" && fix), JSON.stringify(checks));
  assert.ok(checks.filter(({ outcome }) => outcome === "pass").length > all / 2, JSON.stringify(checks));
  await page.locator(".fix").first().waitFor();
  await accessible(page, "an examination of a real box");
  await fits(page, "an examination of a real box");
  await picture(page, "real-doctor-1280-light");
  await clean(page);
});

/** A provider: a playlist of `len` channels in groups of fifty. */
async function provider(len) {
  const lines = Array.from({ length: len }, (_, n) => `#EXTINF:-1 tvg-id="c${n}" group-title="Group ${1 + Math.floor(n / 50)}",Channel ${n + 1}\nhttp://127.0.0.1:9/${n}.ts`);
  const server = createServer((question, answer) => {
    if (question.url === "/list.m3u") answer.writeHead(200, { "content-type": "audio/x-mpegurl" }).end(`#EXTM3U\n${lines.join("\n")}\n`);
    else answer.writeHead(404).end();
  });
  await new Promise((done) => { server.listen(0, "127.0.0.1", done); });
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.close(); server.closeAllConnections(); } };
}

test("the first run of a real box: a password, a name, a playlist, groups, and a program that finds it", async () => {
  const box = await startDaemon("[lineup]\nthis_box = true\n");
  const shop = await provider(700);
  try {
    const begun = Date.now();
    const page = await visit(browser, `${box.url}/`, { size: PHONE });
    const press = (name) => page.getByRole("button", { name, exact: true }).click();
    const step = (title) => page.getByRole("heading", { name: title }).waitFor();
    await step("Welcome. This box is new");
    assert.equal((await fetch(`${box.url}/api/v1/status`)).status, 401, "a stranger gets nothing");
    const password = page.getByLabel("Password", { exact: true });
    await password.fill("password2026");
    await press("Make it mine");
    await page.getByText("This is one of the first that people try").waitFor();
    await password.fill("lantern orchard velvet");
    await press("Make it mine");

    await step("What is it called, and where is it?");
    await page.getByLabel("Name").fill("Kitchen");
    await press("Next");

    await step("Where do the channels come from?");
    await page.getByLabel("Address of the playlist").fill(`${shop.url}/nothing.m3u`);
    await press("Read the channels");
    await page.getByText("It could not be read:").waitFor();
    await accessible(page, "a playlist that is not there");
    await picture(page, "real-first-refused-360-light");
    await page.getByLabel("Address of the playlist").fill(`${shop.url}/list.m3u`);
    await press("Read the channels");

    await step("Which of them do you want?");
    await page.getByText("450 channels", { exact: true }).waitFor();
    await picture(page, "real-first-groups-360-light");
    await press("Next");

    await step("Add it to your program");
    await fetch(`${box.url}/discover.json`, { headers: { "user-agent": "Plex Media Server/1.41" } });
    await page.getByText("I have been found by one device").waitFor();
    await picture(page, "real-first-add-360-light", { full: false });
    await press("Finish");
    await page.getByText(/^450 channels ·/).waitFor();
    await page.locator("#brand-name").getByText("Kitchen", { exact: true }).waitFor();
    console.log(`# the first run took a machine ${((Date.now() - begun) / 1000).toFixed(1)} s, with two mistakes`);
    await until("450 are listed", async () => (await (await fetch(`${box.url}/lineup.json`)).json()).length === 450);
    assert.deepEqual(page.wrongs, []);

    const other = await visit(browser, `${box.url}/`);
    await other.getByRole("heading", { name: "Sign in" }).waitFor();
    await other.getByLabel("Password").fill("lantern orchard violet");
    await other.keyboard.press("Enter");
    await other.getByText("That is not the password.").waitFor();
    await other.getByLabel("Password").fill("lantern orchard velvet");
    await other.keyboard.press("Enter");
    await other.waitForSelector(".hero");
    await other.locator("#menu summary").click();
    await other.getByRole("button", { name: "Sign out" }).click();
    await other.getByRole("heading", { name: "Sign in" }).waitFor();
    await clean(other);
    await clean(page);
  } finally {
    shop.stop();
    await box.stop();
  }
});
