// Channels, Sources, Guide and System, as people use them: what they press arrives at the box, what the box refuses
// stands beside its field, and nothing that was typed is lost. Against the box of cardboard.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";
import { startMock } from "./mock.mjs";
import { PHONE, accessible, eventually, fits, looks, settled, startBrowser, until, visit } from "./kit.mjs";

let browser;
let mock;
let page;

before(async () => {
  browser = await startBrowser();
  mock = await startMock();
});
after(async () => {
  await browser?.close();
  await mock?.close();
});
afterEach(async () => {
  const wrongs = page?.wrongs ?? [];
  await page?.context().close();
  page = null;
  assert.deepEqual(wrongs, [], "the page says that something went wrong");
});

async function open(hash, options) {
  mock.state("well");
  mock.asked.length = 0;
  page = await visit(browser, `${mock.url}/${hash}`, options);
  await page.locator("h1").waitFor();
  return page;
}
const button = (name, options) => page.getByRole("button", { name, ...options });
const dialog = () => page.getByRole("dialog");
const said = (text) => page.locator("#said").getByText(text).first().waitFor();
/** What the box was asked to change. */
const asked = (method, path) => mock.asked.filter((one) => one.method === method && one.path === path).map((one) => one.body);
/** It was asked that, as its last question of the kind; or as its `at`th. */
const sent = (method, path, what, at = -1) => eventually(() => assert.deepEqual(asked(method, path).at(at), what));

// ---- Sources

test("a playlist is added, tested while one waits, and what works is told", async () => {
  await open("#/sources");
  await button("Add a source").click();
  await button("Add and test").click();
  await dialog().getByText("This is needed.").first().waitFor();
  await page.getByLabel("Address of the playlist").fill("ftp://a.example/x.m3u");
  await button("Add and test").click();
  await dialog().getByText("an address with http:// or https://").waitFor();
  assert.equal(await page.getByLabel("Address of the playlist").inputValue(), "ftp://a.example/x.m3u", "nothing typed is lost");
  await page.waitForFunction(() => document.activeElement.name === "address");
  await page.getByLabel("Address of the playlist").fill("http://a.example/x.m3u");
  await page.getByLabel("Name (optional)").fill("Mine");
  await button("Add and test").click();
  for (const text of ["Reached and read", "40 channels", "It names a guide"]) await dialog().getByText(text).waitFor();
  await accessible(page, "what works");
  await button("Done").click();
  await page.getByRole("article", { name: "Mine" }).waitFor();
  await sent("POST", "/subscriptions", { kind: "playlist", address: "http://a.example/x.m3u", name: "Mine" });
});

test("a source that cannot be reached says why, and is corrected without a second one", async () => {
  await open("#/sources");
  await button("Add a source").click();
  await page.getByLabel("Address of the playlist").fill("http://broken.example/x.m3u");
  await button("Add and test").click();
  await dialog().getByText("There is no server broken.example.").waitFor();
  await button("Correct it").click();
  await page.getByLabel("Address of the playlist").fill("http://good.example/x.m3u");
  await button("Add and test").click();
  await dialog().getByText("Reached and read").waitFor();
  assert.equal(asked("POST", "/subscriptions").length, 1);
});

test("a login needs a name and a password, and the password is not shown again", async () => {
  await open("#/sources", { size: PHONE });
  await button("Add a source").click();
  await dialog().getByText("Xtream login").click();
  await page.getByLabel("Address of the server").fill("http://p.example:8080");
  await page.getByRole("textbox", { name: "User name" }).fill("anna");
  await page.getByRole("textbox", { name: "Password" }).fill("secret");
  await button("Add and test").click();
  await dialog().getByText("Account: Active").waitFor();
  await eventually(() => assert.equal(asked("POST", "/subscriptions")[0].password, "secret"));
  await button("Done").click();
  await page.getByRole("article", { name: "p.example:8080" }).getByRole("button", { name: "Edit" }).click();
  await dialog().getByLabel("Password").waitFor();
  assert.equal(await dialog().getByLabel("Password").inputValue(), "");
});

test("a playlist in a file is uploaded", async () => {
  await open("#/sources");
  await button("Add a source").click();
  await dialog().getByText("Playlist from a file").click();
  await page.locator("input[type=file]").setInputFiles({ name: "a.m3u", mimeType: "audio/x-mpegurl", buffer: Buffer.from("#EXTM3U\n#EXTINF:-1,A\nhttp://h/a\n") });
  await button("Add and test").click();
  await dialog().getByText("Reached and read").waitFor();
  await eventually(() => assert.match(asked("PUT", "/subscriptions/10/playlist")[0], /^#EXTM3U/));
});

test("an edit sends what was changed, and a refusal opens the part it is in", async () => {
  await open("#/sources");
  const card = page.getByRole("article", { name: "Good Provider" });
  await card.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Streams at once").fill("1");
  await dialog().getByText("What the provider wants to see").click();
  await page.getByLabel("Proxy").fill("nonsense");
  await dialog().getByText("What the provider wants to see").click();
  await button("Save").click();
  await dialog().getByText("http://host:port or socks5://host:port").last().waitFor();
  await page.getByLabel("Proxy").fill("socks5://proxy:1080");
  await dialog().getByText("Replace the further headers").click();
  await page.getByLabel("Referer").fill("http://provider.example/");
  await button("Save").click();
  await said("Good Provider saved.");
  await sent("PATCH", "/subscriptions/1", {
    streams_max: 1, proxy: "socks5://proxy:1080", headers: { Referer: "http://provider.example/" },
  });
});

test("groups are ticked and numbered, and more than Plex takes is told", async () => {
  await open("#/sources");
  await page.getByRole("article", { name: "Good Provider" }).getByRole("button", { name: "Choose groups" }).click();
  await dialog().getByText("412 channels").waitFor();
  await page.getByLabel("Find a group").fill("UK");
  await dialog().getByText("UK: Regional").click();
  await dialog().getByText("1,892 channels").waitFor();
  await dialog().getByText("Plex copes with about 480 channels").waitFor();
  await page.getByLabel("Number channels of UK: Regional from").fill("2000");
  await accessible(page, "groups");
  await button("Save").click();
  await said("Good Provider saved.");
  await eventually(() => assert.deepEqual(asked("PUT", "/subscriptions/1/groups")[0].groups, ["News", "General", "Sports", "Children", "Culture", "UK: Regional"]));
  await eventually(() => assert.deepEqual(asked("PUT", "/subscriptions/1/ranges"), [{ group: "UK: Regional", number_from: 2000 }]));
});

test("a source is read again, stopped, and removed with an undo", async () => {
  await open("#/sources");
  const card = page.getByRole("article", { name: "Roof aerial" });
  mock.isHeld = true;
  await card.getByRole("button", { name: "Read again" }).click();
  await card.getByRole("progressbar").waitFor();
  await card.getByRole("button", { name: "Stop" }).click();
  await card.getByText("It was stopped.").waitFor();
  await card.getByRole("button", { name: "Remove" }).click();
  await dialog().getByRole("button", { name: "Remove" }).click();
  await card.waitFor({ state: "detached" });
  await button("Undo").click();
  await said("Undone.");
  await card.waitFor();
});

test("a face is added for Plex, and says what to type", async () => {
  await open("#/sources/faces");
  await button("Add a face").click();
  await page.getByLabel("Name").fill("Bedroom");
  await dialog().getByRole("radio", { name: "Favourites" }).check();
  await button("Save").click();
  await page.getByRole("article", { name: "Bedroom" }).getByText("127.0.0.1:5011").waitFor();
  await sent("POST", "/faces", { name: "Bedroom", channels: "favorites", first: 480, tuners: 2 }, 0);
});

// ---- Channels

const rows = () => page.locator("li.channel");
const names = async () => (await page.locator("li.channel .name").allTextContents()).slice(0, 8);
/** There are some, and each is so. */
const all = async (locator, is) => {
  const texts = await locator.allTextContents();
  return texts.length > 0 && texts.every(is);
};

test("channels are found by name and by group, and paged", async () => {
  await open("#/channels");
  await page.getByText("1 to 100 of 412").waitFor();
  await button("Next").click();
  await page.getByText("101 to 200 of 412").waitFor();
  await page.getByLabel("Go to place").fill("400");
  await button("Go", { exact: true }).click();
  await page.getByText("400 to 412 of 412").waitFor();
  await page.getByLabel("Find").fill("bbc");
  await until("only those", () => all(page.locator("li.channel .name"), (name) => name.startsWith("BBC")));
  await page.getByLabel("Find").fill("");
  await page.getByLabel("Group").selectOption("Sports");
  await until("one group", () => all(page.locator("li.channel .sub"), (text) => text.startsWith("Sports")));
});

test("a place that somebody is typing stays when the list is drawn anew", async () => {
  mock.state("well");
  page = await visit(browser, mock.url);
  let go;
  const held = new Promise((done) => { go = done; });
  await page.route("**/api/v1/guides/matches*", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${mock.url}/#/channels`);
  await page.getByLabel("Go to place").fill("400");
  go();
  await rows().first().getByText("Evening news").waitFor();
  assert.equal(await page.getByLabel("Go to place").inputValue(), "400");
  await button("Go", { exact: true }).click();
  await page.getByText("400 to 412 of 412").waitFor();
});

test("many are chosen with Shift, hidden at once, and shown again by undo", async () => {
  await open("#/channels");
  await rows().nth(7).getByRole("checkbox").click();
  await rows().nth(10).getByRole("checkbox").click({ modifiers: ["Shift"] });
  await page.getByText("4 channels chosen").waitFor();
  await button("Hide").click();
  await said("4 channels hidden.");
  await sent("PATCH", "/channels", { channels: [107, 108, 109, 110], mark: "hidden" }, 0);
  await until("five are hidden", async () => (await page.locator("li.channel[data-mark=hidden]").count()) === 5);
  await button("Undo").click();
  await said("Undone.");
  await until("one is hidden", async () => (await page.locator("li.channel[data-mark=hidden]").count()) === 1);
});

test("with the keyboard alone: go, choose several, put in order", async () => {
  await open("#/channels");
  await rows().nth(0).getByRole("checkbox").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Shift+ArrowDown");
  await page.keyboard.press("Shift+ArrowDown");
  await page.getByText("3 channels chosen").waitFor();
  const before_ = await names();
  await page.keyboard.press("Alt+ArrowUp");
  await until("one place up", async () => (await names())[2] === before_[3]);
  await sent("PATCH", "/channels", { channels: [103], move_behind: 101 });
  await until("the focus went along", async () => (await page.evaluate(() => document.activeElement.closest("li")?.dataset.id)) === "103");
});

test("the order is changed by buttons, over the edge of what is shown", async () => {
  await open("#/channels");
  await button("Next").click();
  await page.getByText("101 to 200 of 412").waitFor();
  await button("Change the order").click();
  await button("Move Das Erste HD +5 up").click();
  await said("Das Erste HD +5 moved.");
  await sent("PATCH", "/channels", { channels: [200], move_behind: 198 });
});

test("numbers, groups and parts of names are set for all that are chosen", async () => {
  await open("#/channels");
  for (const at of [3, 4]) await rows().nth(at).getByRole("checkbox").click();
  await button("Number", { exact: true }).click();
  await page.getByLabel("Count up from").fill("x");
  await button("Save").click();
  await dialog().getByText("a number such as 100 or 5.1").waitFor();
  await page.getByLabel("Count up from").fill("900");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await button("Rename", { exact: true }).click();
  await page.getByLabel("This part of the names").fill("BBC");
  await page.getByLabel("becomes").fill("B.B.C.");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await button("Move", { exact: true }).click();
  await dialog().getByText("To the top").click();
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await eventually(() => assert.deepEqual(asked("PATCH", "/channels").slice(1), [
    { channels: [103, 104], number_from: "900" }, { channels: [103, 104], replace: ["BBC", "B.B.C."] }, { channels: [103, 104], move_behind: 0 },
  ]));
  await until("at the top", async () => (await names())[1] === "B.B.C. One HD");
});

test("a group that only the owner named can be filtered by at once", async () => {
  await open("#/channels");
  const filter = page.locator("select").filter({ hasText: "News" }).first();
  const known = () => filter.locator("option").allTextContents();
  await until("the groups are there", async () => (await known()).includes("News"));
  assert.ok(!(await known()).includes("My own"));
  await rows().nth(3).getByRole("checkbox").click();
  await button("Group", { exact: true }).click();
  await dialog().getByLabel("Group").fill("My own");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await until("it is offered", async () => (await known()).includes("My own"));
  await filter.selectOption("My own");
  await until("it alone is shown", async () => (await rows().count()) === 1);
});

test("two channels become one with a spare source, and the order of sources is changed", async () => {
  await open("#/channels");
  for (const at of [3, 4]) await rows().nth(at).getByRole("checkbox").click();
  await button("Merge").click();
  await dialog().getByText("arte keeps its number").waitFor();
  await dialog().getByRole("button", { name: "Merge" }).click();
  await said("Merged into arte.");
  await button("arte", { exact: true }).click();
  await button("Prefer source 2 more").click();
  await until("asked", () => asked("PATCH", "/channels").some((body) => JSON.stringify(body.source_order) === "[1,0]"));
});

test("one channel: a refused logo stands beside its field, and what is right is kept", async () => {
  await open("#/channels");
  await button("ZDF HD", { exact: true }).click();
  await page.getByLabel("Name").fill("ZDF");
  await page.getByLabel("Logo").fill("file:///etc/passwd");
  await button("Save").click();
  await dialog().getByText("an address with http:// or https://, or null").waitFor();
  await page.getByLabel("Logo").fill("http://logos.example/zdf.png");
  await accessible(page, "one channel");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await button("ZDF", { exact: true }).waitFor();
});

test("whose programmes a channel shows is explained, and chosen by hand", async () => {
  await open("#/channels");
  await button("Das Erste HD", { exact: true }).click();
  for (const text of ["82 % sure", "their names are alike", "Evening news"]) await dialog().getByText(text).waitFor();
  await button("Choose another").click();
  await page.getByLabel("Channel in the guide").fill("zdf");
  await dialog().getByRole("button", { name: "ZDF HD" }).click();
  await dialog().getByText("you chose it").waitFor();
  await sent("PUT", "/channels/100/guide", { chosen: "guide", guide: 1, guide_channel: "zdfhd.tv" }, 0);
  await button("No guide").click();
  await dialog().getByText("You chose that it has no guide.").waitFor();
});

test("a change set that waits is looked into and taken over", async () => {
  await open("#/channels");
  const set = page.getByRole("region", { name: "Good Provider has changed" });
  for (const text of ["12 new", "3 gone", "2 renamed"]) await set.getByText(text).waitFor();
  await set.getByText("What exactly").click();
  await set.getByText("Channel 4 → Channel 4 HD").waitFor();
  await set.getByText("Sky News").waitFor();
  await set.getByRole("button", { name: "Take it over" }).click();
  await said("The changes are taken over.");
  await set.waitFor({ state: "detached" });
  assert.equal(asked("POST", "/subscriptions/1/approve").length, 1);
});

test("more channels than Plex takes are told, with a way out", async () => {
  await open("#/channels");
  mock.status.channels_len = 1240;
  mock.tell();
  await page.getByText("You have 1,240 channels. Plex copes with about 480").waitFor();
  await page.getByRole("link", { name: "Give Plex a face with fewer" }).click();
  await page.getByRole("heading", { name: "Faces" }).waitFor();
});

test("a preview says that it starts, why it cannot, and when it is over; and VLC is offered", async () => {
  for (const [refusal, language, button_, text] of [
    [409, "en", "Preview", "A preview takes none from those who watch."],
    [424, "en", "Preview", "The channel rests after several failures."],
    [409, "de", "Vorschau", "Eine Vorschau nimmt sie niemandem weg."],
    [null, "en", "Preview", "two minutes have passed, or somebody needed the tuner"],
  ]) {
    await page?.context().close();
    mock.refusal = refusal;
    await open("#/channels", { language, size: PHONE });
    await button("ZDF HD", { exact: true }).click();
    await button(button_).click();
    await dialog().last().getByText(text).waitFor();
    assert.equal(await dialog().last().locator("video").isVisible(), false);
    await dialog().last().getByText("/auto/v").waitFor();
  }
  assert.equal(asked("DELETE", "/preview/5").length, 1, "its tuner is given back");
  await accessible(page, "a preview that is over");
  await fits(page, "a preview that is over");
  mock.refusal = 424;
  await button("Show again").click();
  await dialog().last().getByText("The channel rests").waitFor();
  await page.keyboard.press("Escape");
  await button("Preview").waitFor();
  assert.equal(await dialog().count(), 1, "the channel's own sheet is still there");
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Preview");
  mock.refusal = null;
});

test("a browser that plays no channels is told so, and no tuner is taken", async () => {
  await open("#/channels");
  await page.evaluate(() => { HTMLMediaElement.prototype.canPlayType = () => ""; });
  await button("ZDF HD", { exact: true }).click();
  await button("Preview").click();
  await dialog().last().getByText("This browser cannot play channels").waitFor();
  await dialog().last().getByRole("link", { name: "Open in VLC" }).waitFor();
  assert.equal(asked("POST", "/channels/101/preview").length + mock.asked.filter((one) => /preview/.test(one.path)).length, 0);
});

test("a channel opens in VLC through a small playlist", async () => {
  await open("#/channels");
  await button("ZDF HD", { exact: true }).click();
  const href = await page.getByRole("link", { name: "Open in VLC" }).getAttribute("href");
  assert.match(decodeURIComponent(href), /#EXTINF:-1,5\.2 ZDF HD\nhttp:\/\/127\.0\.0\.1:\d+\/auto\/v5\.2\n$/);
});

// ---- Guide

test("the grid is walked with arrow keys, also over its edges", async () => {
  await open("#/guide");
  const at = () => page.evaluate(() => [document.activeElement.dataset.row, document.activeElement.textContent]);
  await page.locator(".tv-on.now").first().focus();
  await page.keyboard.press("ArrowDown");
  await until("the row below", async () => (await at())[0] === "1");
  const head = await page.locator(".tv-head .strong").textContent();
  for (let step = 0; step < 12; step += 1) await page.keyboard.press("ArrowRight");
  await until("later", async () => (await page.locator(".tv-head .strong").textContent()) !== head);
  await settled(page);
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await dialog().getByText("Two old friends").waitFor();
  await page.keyboard.press("Escape");
  await until("the focus is back", async () => (await at())[0] === "1");
});

test("guides are added, moved in time and removed; channels without programmes are named", async () => {
  await open("#/guide");
  await page.getByText("There is no server gone.example.").waitFor();
  await page.getByText("37 channels were found in no guide").waitFor();
  await button("Add a guide").click();
  await page.getByLabel("Address of the guide").fill("gone");
  await dialog().getByRole("button", { name: "Add a guide" }).click();
  await dialog().getByText("address of a guide in the XMLTV format").waitFor();
  await page.getByLabel("Address of the guide").fill("http://g.example/a.xml");
  await dialog().getByRole("button", { name: "Add a guide" }).click();
  await page.getByRole("article", { name: "http://g.example/a.xml" }).waitFor();
  await page.getByRole("article", { name: "https://guide.example/uk.xml.gz" }).getByRole("button", { name: "Move in time" }).click();
  await page.getByLabel("Minutes later").fill("-60");
  await button("Save").click();
  await page.getByText("−60 min").waitFor();
  await sent("PATCH", "/guides/2", { offset_minutes: -60 }, 0);
});

// ---- System

test("settings are saved: only what was changed", async () => {
  await open("#/system");
  await page.getByText("sudo apt update && sudo apt install tunerd").waitFor();
  await page.getByLabel("Time zone").fill("Europe/Lisbon");
  await button("Save").click();
  await said("Settings saved.");
  await sent("PATCH", "/settings", { time_zone: "Europe/Lisbon" }, 0);
});

test("a box of our image tells of its versions, and what is pressed arrives", async () => {
  const slots = [{ name: "A", version: "1.1", is_running: true, is_good: true }, { name: "B", version: "1.0", is_running: false, is_good: true }];
  const last = { outcome: "rolled_back", version: "1.2", from: "1.1", why: "the test picture: nothing came", at: "2026-11-22T03:00:00Z" };
  mock.update = { how: "bundle", command: null, system: "1.1", boot_slots: slots, back: "1.0", last, available: "1.3", development_keys: true };
  try {
    await open("#/system");
    await page.getByText("Version 1.2 did not play; the box went back to 1.1. the test picture: nothing came").waitFor();
    await page.getByText("This box trusts development keys").waitFor();
    await page.getByText("1.1 · runs now").waitFor();
    await button("Install", { exact: true }).first().click();
    await until("it is installed", () => asked("POST", "/update/install").length === 1);
    assert.deepEqual(asked("POST", "/update/install")[0], { address: "channel" });
    await page.getByLabel("or its address").fill("https://u.example/b.raucb");
    await button("Install", { exact: true }).last().click();
    await until("it is fetched", () => asked("POST", "/update/install").length === 2);
    await page.getByLabel("Bundle (.raucb)").setInputFiles({ name: "x.raucb", mimeType: "application/octet-stream", buffer: Buffer.from("bundle") });
    await button("Install", { exact: true }).last().click();
    await until("it is sent", () => asked("POST", "/update").length === 1);
    await button("Go back").click();
    await dialog().getByRole("button", { name: "Go back" }).click();
    await until("it goes back", () => asked("POST", "/update/back").length === 1);
    Object.assign(mock.update, { state: "waiting", target: "1.3", can_cancel: true, last: null });
    await page.reload();
    await page.getByText("Version 1.3 waits until nobody watches.").waitFor();
    await button("Cancel").click();
    await until("it is cancelled", () => asked("POST", "/update/cancel").length === 1);
    await accessible(page);
  } finally {
    delete mock.update;
  }
});

test("a backup is a file, a wrong password stands beside its field, and a restore says what came back", async () => {
  await open("#/system/backup");
  await page.getByLabel("Your password").fill("wrong");
  await button("Download a backup").click();
  await page.getByText("That is not the password.").waitFor();
  await page.getByLabel("Your password").fill("correct horse");
  const [download] = await Promise.all([page.waitForEvent("download"), button("Download a backup").click()]);
  assert.match(download.suggestedFilename(), /^tunerd-\d{4}-\d\d-\d\d\.backup$/);
  assert.ok((await readFile(await download.path())).length > 0);
  await page.getByLabel("Backup file").setInputFiles({ name: "x.backup", mimeType: "application/octet-stream", buffer: Buffer.from("tunerd") });
  await page.getByLabel("The password of then").fill("ö old");
  const [question] = await Promise.all([page.waitForRequest(/\/restore$/), (async () => {
    await button("Restore", { exact: true }).click();
    await dialog().getByRole("button", { name: "Restore" }).click();
  })()]);
  assert.equal(question.headers()["x-backup-password"], "%C3%B6%20old");
  await page.getByText("channels: 412, sources: 3").waitFor();
});

test("an earlier configuration is brought back", async () => {
  await open("#/system/backup");
  await button("Bring back").first().click();
  await dialog().getByRole("button", { name: "Bring back" }).click();
  await said("That state is back.");
  assert.equal(asked("POST", "/configurations/40/restore").length, 1);
});

test("everything is forgotten only with the password and a second yes, and elsewhere a command does it", async () => {
  await open("#/system/backup");
  await page.getByText("sudo systemctl start tunerd-factory-reset").waitFor();
  assert.equal(await button("Forget everything").count(), 0);
  mock.update = { how: "bundle", command: null };
  try {
    await page.reload();
    await page.getByLabel("Password, to forget everything").fill("wrong");
    const press = async (which) => {
      await button("Forget everything").click();
      await dialog().getByRole("button", { name: which }).click();
    };
    await press("Cancel");
    assert.equal(asked("POST", "/factory-reset").length, 0);
    await press("Forget everything");
    await page.getByText("That is not the password.").waitFor();
    await accessible(page);
    await page.getByLabel("Password, to forget everything").fill("correct horse");
    await press("Forget everything");
    await page.getByText("The box forgets everything and starts anew.").waitFor();
    assert.deepEqual(asked("POST", "/factory-reset").at(-1), { password: "correct horse" });
  } finally {
    delete mock.update;
  }
});

test("a token is shown once, and revoked", async () => {
  await open("#/system/access");
  await button("Make a token").click();
  await page.getByLabel("Name").fill("Grafana");
  await button("Make it").click();
  await dialog().getByText("Copy it now. It is not shown again.").waitFor();
  await dialog().getByText("tnr_9fK2mXq7", { exact: false }).first().waitFor();
  await sent("POST", "/tokens", { name: "Grafana", scope: "read" }, 0);
  await button("I have copied it").click();
  await page.getByText("tnr_9fK2").first().waitFor({ state: "detached" });
  const line = page.getByRole("listitem").filter({ hasText: "Home Assistant" });
  await line.getByRole("button", { name: "Revoke" }).click();
  await dialog().getByRole("button", { name: "Revoke" }).click();
  await line.waitFor({ state: "detached" });
});

test("the password is changed only with the old one, and if the new one was typed twice", async () => {
  await open("#/system/access");
  await page.getByLabel("Password now").fill("wrong");
  await page.getByLabel("New password", { exact: true }).fill("battery staple");
  await page.getByLabel("New password again").fill("battery");
  await button("Change the password").click();
  await page.getByText("The two are not the same.").waitFor();
  await page.getByLabel("New password again").fill("battery staple");
  await button("Change the password").click();
  await page.getByText("That is not the password.").waitFor();
  await page.getByLabel("Password now").fill("correct horse");
  await button("Change the password").click();
  await said("The password is changed.");
});

test("notifications are added, tried, and say why they do not arrive", async () => {
  await open("#/system/notifications");
  await button("Add a notification").click();
  await page.getByLabel("Name").fill("Mail");
  await dialog().getByRole("radio", { name: "E-mail" }).check();
  await page.getByLabel("Address").fill("smtp://me@mail.example:587/?from=a@b&to=c@d");
  await page.getByLabel("Password of the mailbox").fill("secret");
  await dialog().getByText("a new release").click();
  await button("Save").click();
  await page.getByRole("article", { name: "Mail" }).waitFor();
  const sent = asked("POST", "/notifications")[0];
  assert.equal(sent.password, "secret");
  assert.ok(sent.events.includes("update_available") && sent.events.includes("channel_ill") && !sent.events.includes("channel_recovered"));
  await page.getByRole("article", { name: "My phone" }).getByRole("button", { name: "Send a test" }).click();
  await said("The test for My phone was taken.");
  await page.getByRole("article", { name: "Family Discord" }).getByRole("button", { name: "Send a test" }).click();
  await said("there is no such webhook");
  await page.getByRole("article", { name: "My phone" }).getByRole("button", { name: "Edit" }).click();
  await dialog().getByText("an outage", { exact: true }).click();
  await button("Save").click();
  await said("My phone saved.");
  assert.equal(asked("PATCH", "/notifications/1")[0].url, undefined, "the dots in place of secrets are not sent back");
});

test("the doctor tells live what is good, and what to do about what is not", async () => {
  await open("#/system/doctor");
  await button("Examine the box").click();
  await page.getByText("18 good, 1 failed, 1 left out").waitFor();
  await page.getByText("The source of channel 7 is slow.").waitFor();
  await eventually(async () => assert.equal(await page.locator(".checks").count(), 5));
  await eventually(async () => assert.equal(await page.getByRole("heading", { level: 3 }).first().textContent(), "Kodi", "what failed comes first"));
});

test("an examination can be stopped, and what it found stays", async () => {
  await open("#/system/doctor");
  assert.equal(await button("Stop").count(), 0);
  await button("Examine the box").click();
  await button("Stop").click();
  await page.getByText(/good, .* · stopped · /).waitFor();
  await button("Examine again").waitFor();
  assert.equal(await button("Stop").count(), 0);
  assert.ok((await page.locator(".check-line").count()) < 20);
  assert.equal(asked("DELETE", "/doctor").length, 1);
});

test("the log is filtered by level and words, and follows", async () => {
  await open("#/system/log");
  await page.getByText(/^4\d lines$/).waitFor();
  await page.getByLabel("Level").selectOption("error");
  await until("errors only", () => page.locator(".log li").evaluateAll((lines) => lines.length > 0 && lines.every((one) => one.dataset.level === "error")));
  await page.getByLabel("Level").selectOption("debug");
  await page.getByLabel("Search").fill("guide");
  await until("with that word", () => all(page.locator(".log-text"), (text) => text.includes("guide")));
  await page.getByLabel("Channel number").fill("x");
  await page.getByText("the number of a channel in the lineup, such as 5.1").waitFor();
});

test("the support bundle is a file", async () => {
  await open("#/system");
  const [download] = await Promise.all([page.waitForEvent("download"), button("Download the bundle").click()]);
  assert.match(await readFile(await download.path(), "utf8"), /^tunerd/);
});

// ---- All of them

for (const hash of ["channels", "sources", "guide", "system", "system/backup", "system/access", "system/notifications", "system/doctor", "system/log"]) {
  test(`${hash} in all sizes, colours and languages: axe finds nothing, nothing is too wide, nothing is left without words`, async () => {
    await open(`#/${hash}`);
    await settled(page);
    await looks(page, hash.replace("/", "-"));
    await page.setViewportSize(PHONE);
    await page.evaluate(() => { localStorage.language = "de"; });
    await page.reload();
    await page.locator("html[lang=de] h1").waitFor();
    await settled(page);
    const keys = await page.evaluate(() => [...document.querySelectorAll("main *")].flatMap((element) => [...element.childNodes])
      .filter((node) => node.nodeType === Node.TEXT_NODE && /^\s*[a-z]+\.[a-z][a-z0-9_-]*\s*$/.test(node.data)).map((node) => node.data));
    assert.deepEqual(keys, [], hash);
    await fits(page, `${hash} in German`);
  });
}
