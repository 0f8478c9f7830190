// The first run, as a person goes through it: whose box it is, its name, channels, groups, a program. At stake: nobody
// needs a shell, and nobody gives up. Steps and clicks are counted, against the box of cardboard.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { DESK, PHONE, accessible, eventually, fits, looks, picture, startBrowser, visit } from "./kit.mjs";
import { startMock } from "./mock.mjs";

const PASSWORD = "lantern orchard velvet";
let browser;
let mock;
before(async () => {
  browser = await startBrowser();
  mock = await startMock();
  mock.isFirstRun = true;
});
after(async () => {
  await browser.close();
  await mock.close();
});
beforeEach(() => {
  mock.state("new");
  mock.asked.length = 0;
});

const clean = async (page) => {
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
};
const step = (page, title) => page.getByRole("heading", { name: title }).waitFor();

for (const [width, size] of Object.entries({ 360: PHONE, 1280: DESK })) {
  test(`from a bare box to one that is found, at ${width} pixels, in both themes`, async () => {
    const begun = Date.now();
    let clicks = 0;
    const page = await visit(browser, mock.url, { size });
    const press = async (name) => {
      clicks += 1;
      await page.getByRole("button", { name, exact: true }).click();
    };
    const look = (name) => looks(page, name, [size]);

    await step(page, "Welcome. This box is new");
    await page.locator("#nav").waitFor({ state: "hidden" });
    await look("first-0-claim");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press("Make it mine");

    await step(page, "What is it called, and where is it?");
    await page.getByLabel("Name").fill("Living room");
    await look("first-1-name");
    await press("Next");

    await step(page, "Where do the channels come from?");
    await page.getByLabel("Address of the playlist").fill("https://provider.example/list.m3u");
    await look("first-2-channels");
    await press("Read the channels");

    await step(page, "Which of them do you want?");
    await page.getByText("463 channels").waitFor();
    await page.getByText("Fits Plex (at most 480).").waitFor();
    await look("first-3-groups");
    await press("Next");

    await step(page, "Add it to your program");
    await page.getByText("Waiting to be found…").waitFor();
    mock.status.clients = [{ address: "192.168.1.12", name: "Plex", user_agent: "Plex", asked: "discovery", asked_s_ago: 1, lineup_s_ago: null, requests: 3 }];
    mock.tell();
    await page.getByText("I have been found by one device").waitFor();
    await page.locator(".found-by").getByText("Plex at 192.168.1.12 looked for tuners, just now").waitFor();
    await look("first-4-add");
    await press("Finish");

    await page.waitForSelector(".hero");
    assert.equal(await page.getByText("Setting up is not finished yet.").count(), 0);
    const seconds = (Date.now() - begun) / 1000;
    console.log(`# 5 pages, ${clicks} clicks, 3 fields, ${seconds.toFixed(1)} s for a machine`);
    assert.equal(clicks, 5);
    assert.deepEqual(mock.asked.map(({ method, path }) => `${method} ${path}`),
      ["POST /claim", "PATCH /settings", "POST /subscriptions", "PUT /subscriptions/1/groups"]);
    assert.deepEqual(mock.asked[3].body.groups.length, 7);
    await clean(page);
  });
}

test("what a password must be is said before, and why one was refused, after", async () => {
  const page = await visit(browser, mock.url, { size: PHONE });
  const field = page.getByLabel("Password", { exact: true });
  await page.getByText("At least 10 characters").waitFor();
  await field.fill("short");
  await page.getByRole("button", { name: "Make it mine" }).click();
  await page.getByText("This is shorter than 10 characters.").waitFor();
  assert.deepEqual(mock.asked, [], "the box was not asked");
  await field.fill("password12345");
  await eventually(async () => assert.equal(await page.locator("[data-kept=yes]").count(), 2));
  await page.getByRole("button", { name: "Make it mine" }).click();
  await page.getByText("This is one of the first that people try; three or four unrelated words are good.").waitFor();
  await eventually(async () => assert.equal(await field.getAttribute("aria-invalid"), "true"));
  await eventually(async () => assert.ok(await field.evaluate((element) => element === document.activeElement)));
  await accessible(page, "a password refused");
  await picture(page, "claim-refused-360-light");
  await page.getByLabel("Show what I type").check();
  await eventually(async () => assert.equal(await field.getAttribute("type"), "text"));
  await clean(page);
});

test("whoever comes too late is told what to do", async () => {
  mock.session.claim_left_s = null;
  const page = await visit(browser, mock.url);
  await page.getByText("It was not claimed in time").waitFor();
  assert.equal(await page.locator("input[type=password]").count(), 0);
  await accessible(page, "too late");
  await clean(page);
});

test("a step that was left is offered again, and any of them is skipped", async () => {
  Object.assign(mock.session, { claimed: true, signed_in: true, scope: "admin" });
  const page = await visit(browser, `${mock.url}/#/setup`);
  await step(page, "What is it called, and where is it?");
  await page.getByRole("link", { name: "Skip", exact: true }).click();
  await step(page, "Where do the channels come from?");
  await page.goto(`${mock.url}/#/home`);
  await page.reload();
  await page.getByText("Setting up is not finished yet.").waitFor();
  await page.getByRole("link", { name: "Go on" }).click();
  await step(page, "Where do the channels come from?");
  await page.getByRole("link", { name: "Skip", exact: true }).click();
  await step(page, "Which of them do you want?");
  await page.getByText("There is nothing to choose").waitFor();
  await page.getByRole("link", { name: "Skip", exact: true }).click();
  await step(page, "Add it to your program");
  assert.deepEqual(mock.asked, []);
  await clean(page);
});

test("an address that does not work says why, and the next one takes its place", async () => {
  Object.assign(mock.session, { claimed: true, signed_in: true, scope: "admin" });
  const page = await visit(browser, `${mock.url}/#/setup/channels`, { size: PHONE });
  const address = page.getByLabel("Address of the playlist");
  const read = page.getByRole("button", { name: "Read the channels" });
  await read.click();
  await page.getByText("Type an address first.").waitFor();
  await address.fill("provider.example/list");
  await read.click();
  await page.getByText("An address begins with http:// or https://.").waitFor();
  await address.fill("https://provider.example/wrong.m3u");
  await read.click();
  await page.getByText("It could not be read: it answers 404.").waitFor();
  await accessible(page, "an address refused");
  await address.fill("https://provider.example/right.m3u");
  await read.click();
  await step(page, "Which of them do you want?");
  assert.deepEqual(mock.subscriptions.map((one) => one.address), ["https://provider.example/right.m3u"]);
  await clean(page);
});

test("a login, a file, another tuner and the demo channels do as well", async () => {
  Object.assign(mock.session, { claimed: true, signed_in: true, scope: "admin" });
  const page = await visit(browser, `${mock.url}/#/setup/channels`);
  await page.getByText("Login of a provider").click();
  await page.getByLabel("Server", { exact: true }).fill("http://tv.example:8080");
  await page.getByLabel("User", { exact: true }).fill("anna");
  await page.getByLabel("Password of the provider").fill("secret");
  await accessible(page, "login");
  await page.getByRole("button", { name: "Read the channels" }).click();
  await step(page, "Which of them do you want?");
  assert.deepEqual(mock.asked.at(-1).body, { kind: "xtream", name: "tv.example", address: "http://tv.example:8080", username: "anna", password: "secret" });

  await page.evaluate(() => sessionStorage.clear());
  await page.goto(`${mock.url}/#/setup/channels`);
  await page.getByText("Playlist", { exact: true }).click();
  await page.locator("input[type=file]").setInputFiles({ name: "mine.m3u", mimeType: "audio/x-mpegurl", buffer: Buffer.from("#EXTM3U\n") });
  await page.getByRole("button", { name: "Read the channels" }).click();
  await step(page, "Which of them do you want?");
  assert.deepEqual(mock.asked.slice(-2).map(({ method, path }) => `${method} ${path}`), ["POST /subscriptions", "PUT /subscriptions/2/playlist"]);
  assert.equal(mock.asked.at(-1).body, "#EXTM3U\n");

  mock.neighbours = [{ device_id: "10A4B2C6", address: "http://192.168.1.9" }];
  await page.goto(`${mock.url}/#/setup/channels`);
  await page.getByText("1 found in this home").click();
  await eventually(async () => assert.equal(await page.getByLabel("Address of the tuner").inputValue(), "http://192.168.1.9"));

  await page.getByText("Demo channels").click();
  await page.getByRole("button", { name: "Next" }).click();
  await step(page, "Add it to your program");
  await clean(page);
});

test("too many for Plex is said while ticking, in German as well", async () => {
  Object.assign(mock.session, { claimed: true, signed_in: true, scope: "admin" });
  mock.state("well");
  const page = await visit(browser, `${mock.url}/#/setup/groups`, { language: "de-AT", size: PHONE });
  await page.getByText("463 Sender").waitFor();
  await page.getByLabel("World").check();
  await page.getByText("7.047 Sender").waitFor();
  await page.getByText("Zu viele für Plex (höchstens 480).").waitFor();
  assert.ok(await page.getByLabel("World").evaluate((element) => element === document.activeElement));
  await accessible(page, "too many");
  await fits(page, "too many");
  await picture(page, "first-3-many-de-360-light");
  await page.getByLabel("Gruppe finden").fill("germ");
  await page.getByText("2 Gruppen").waitFor();
  await page.getByRole("button", { name: "Alle abhaken" }).click();
  await page.getByText("6.809 Sender").waitFor();
  await clean(page);
});
