// Channels, Sources and Guide over a real daemon: what the page sends is what the box takes, and what the box says is
// what the page shows. The playlist and its guide come from a server of the test's own.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { startDaemon } from "./daemon.mjs";
import { DESK, PHONE, accessible, eventually, fits, picture, startBrowser, until, visit } from "./kit.mjs";

const GROUPS = ["News", "Sports", "Films"];
const CHANNELS = 300;
let browser;
let daemon;
let provider;
let page;
let extra = [];

const time = (ms) => `${new Date(ms).toISOString().slice(0, 19).replace(/\D/g, "")} +0000`;
const NAME = (index) => `Channel ${String(index + 1).padStart(3, "0")}`;

function playlist(host) {
  const names = [...Array.from({ length: CHANNELS }, (_, index) => NAME(index)), ...extra];
  return `#EXTM3U url-tvg="http://${host}/guide.xml"\n${names.map((name, index) =>
    `#EXTINF:-1 tvg-id="c${index + 1}" group-title="${GROUPS[index % GROUPS.length]}",${name}\nhttp://${host}/${index + 1}.ts\n`).join("")}`;
}

function guide() {
  const hour = 3_600_000;
  const begin = Math.floor(Date.now() / hour) * hour - hour;
  const some = Array.from({ length: 60 }, (_, index) => index + 1);
  return `<?xml version="1.0"?><tv>${some.map((id) => `<channel id="c${id}"><display-name>${NAME(id - 1)}</display-name></channel>`).join("")}${
    some.map((id) => Array.from({ length: 12 }, (_, at) => `<programme channel="c${id}" start="${time(begin + at * hour)}" stop="${time(begin + (at + 1) * hour)}"><title>Show ${id}.${at}</title><desc>All about ${id}.</desc></programme>`).join("")).join("")}</tv>`;
}

before(async () => {
  provider = createServer((question, answer) => {
    const body = { "/list.m3u": () => playlist(question.headers.host), "/guide.xml": guide }[question.url]?.();
    answer.writeHead(body ? 200 : 404, { "content-type": "text/plain" }).end(body);
  });
  await new Promise((done) => { provider.listen(0, "127.0.0.1", done); });
  browser = await startBrowser();
  daemon = await startDaemon("[lineup]\nthis_box = true\n[access]\nopen = true\n");
});
after(async () => {
  await page?.context().close();
  await browser?.close();
  await daemon?.stop();
  provider?.close();
});

const address = (path) => `http://127.0.0.1:${provider.address().port}/${path}`;
const api = async (path) => (await fetch(`${daemon.url}/api/v1${path}`)).json();
const items = (answer) => answer.items ?? answer;
const button = (name, options) => page.getByRole("button", { name, ...options });
const dialog = () => page.getByRole("dialog");
async function open(hash, options) {
  await page?.context().close();
  page = await visit(browser, `${daemon.url}/${hash}`, options);
  await page.locator("h1").waitFor();
}

test("a playlist is added and tested, and its channels are there", async () => {
  await open("#/sources");
  await button("Add a source").first().click();
  await page.getByLabel("Address of the playlist").fill("file:///etc/passwd");
  await button("Add and test").click();
  await dialog().locator(".wrong").filter({ hasText: "http" }).first().waitFor();
  await page.getByLabel("Address of the playlist").fill(address("list.m3u"));
  await page.getByLabel("Name (optional)").fill("My list");
  await button("Add and test").click();
  await dialog().getByText("Reached and read").waitFor();
  await dialog().getByText("300 channels").waitFor();
  await dialog().getByText("in 3 groups").waitFor();
  await dialog().getByText("It names a guide").waitFor();
  await button("Done").click();
  await page.getByRole("article", { name: "My list" }).getByText("Works").waitFor();
  await until("the lineup has them", async () => (await api("/channels?limit=1")).items[0]?.name === NAME(0));
});

test("a source that is not there says why", async () => {
  await open("#/sources");
  await button("Add a source").click();
  await page.getByLabel("Address of the playlist").fill(address("nothing.m3u"));
  await button("Add and test").click();
  await dialog().getByText("It does not work").waitFor();
  await dialog().locator(".found").getByText("404").first().waitFor();
  await button("Remove it again").click();
  await until("gone", async () => (await api("/subscriptions")).length === 1);
});

test("channels are found, hidden together, numbered, merged and moved", async () => {
  await open("#/channels");
  await page.getByText("1 to 100 of 300").waitFor();
  await page.locator("li.channel").nth(2).getByRole("checkbox").click();
  await page.locator("li.channel").nth(4).getByRole("checkbox").click({ modifiers: ["Shift"] });
  await button("Hide").click();
  await until("hidden", async () => (await api("/channels?limit=5")).items.filter((one) => one.mark === "hidden").length === 3);
  await page.locator("li.channel[data-mark=hidden]").nth(2).waitFor();
  await button("Number", { exact: true }).click();
  await page.getByLabel("Count up from").fill("nine");
  await button("Save").click();
  await dialog().locator(".wrong").filter({ hasText: "number" }).first().waitFor();
  await page.getByLabel("Count up from").fill("900");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await until("numbered", async () => (await api("/channels?search=901")).items[0]?.name === NAME(3));
  await button("Merge").click();
  await dialog().getByRole("button", { name: "Merge" }).click();
  await until("merged", async () => (await api("/channels?search=900")).items[0]?.sources.length === 3);
  await page.getByLabel("Find").fill("channel 29");
  await until("found", async () => (await page.locator("li.channel").count()) === 10);
  await page.getByLabel("Find").fill("");
  await until("all", async () => (await page.locator("li.channel").count()) === 100);
  await page.locator("li.channel").nth(1).getByRole("checkbox").focus();
  await page.keyboard.press("Alt+ArrowUp");
  await until("moved", async () => (await api("/channels?limit=1")).items[0].name === NAME(1));
});

test("one channel is renamed, and its sources change places", async () => {
  await open("#/channels", { size: PHONE, theme: "dark" });
  await page.locator("li.channel .name").filter({ hasText: NAME(2) }).click();
  await dialog().getByLabel("Name").fill("Renamed");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await until("renamed", async () => (await api("/channels?search=renamed")).items[0]?.listed_name === NAME(2));
  await button("Renamed", { exact: true }).click();
  await button("Prefer source 2 more").click();
  await until("first", async () => (await api("/channels?search=renamed")).items[0]?.sources[0].name === NAME(3));
  await accessible(page, "one channel of a real box");
});

test("the guide shows what is on, and a channel takes another's programmes", async () => {
  await until("served", async () => ((await api("/guides")).served?.programmes ?? 0) > 600);
  await open("#/guide", { size: DESK, theme: "dark" });
  // 1.1 is on, or 1.2 where an hour has begun since.
  await page.getByText(/^Show 1\.[12]$/).first().waitFor();
  await accessible(page, "the guide of a real box");
  await fits(page, "the guide of a real box");
  await picture(page, "real-guide-1280-dark", { full: false });
  await open("#/channels");
  await page.getByLabel("Find").fill(NAME(9));
  await until("found", async () => (await page.locator("li.channel").count()) === 1);
  await button(NAME(9), { exact: true }).click();
  await dialog().getByText("both have the same id").waitFor();
  await button("Choose another").click();
  await page.getByLabel("Channel in the guide").fill(NAME(19));
  await dialog().getByRole("button", { name: NAME(19) }).click();
  await until("chosen", async () => (await api("/guides/matches")).items.find((one) => one.name === NAME(9))?.chosen === "guide");
  await until("its programmes", async () => (await api("/guides/matches")).items.find((one) => one.name === NAME(9))?.now_airing?.startsWith("Show 20."));
});

test("what a provider changes waits for a yes", async () => {
  await open("#/sources");
  await page.getByRole("article", { name: "My list" }).getByRole("button", { name: "Edit" }).click();
  await dialog().getByText("Ask me before changes count").click();
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  extra = ["Brand new"];
  await page.getByRole("article", { name: "My list" }).getByRole("button", { name: "Read again" }).click();
  await until("it waits", async () => (await api("/subscriptions/1/changes"))[0]?.state === "waiting");
  await open("#/channels");
  const set = page.getByRole("region", { name: "My list has changed" });
  await set.getByText("1 new").waitFor();
  await set.getByText("What exactly").click();
  await set.getByText("Brand new").waitFor();
  await set.getByRole("button", { name: "Take it over" }).click();
  await set.waitFor({ state: "detached" });
  await until("it is a channel", async () => (await api("/channels?search=brand")).items.length === 1);
});

test("groups are chosen and numbered, and a face shows one of them", async () => {
  await open("#/sources");
  await page.getByRole("article", { name: "My list" }).getByRole("button", { name: "Choose groups" }).click();
  await dialog().getByRole("radio", { name: "Only those ticked" }).check();
  await dialog().getByRole("checkbox", { name: /^Films/ }).uncheck();
  await page.getByLabel("Number channels of Sports from").fill("2000");
  await button("Save").click();
  await dialog().waitFor({ state: "detached" });
  await until("without films", async () => (await api("/channels?group=Films&limit=500")).items.length === 0);
  await button("Add a face").click();
  await page.getByRole("textbox", { name: "Name" }).fill("Bedroom");
  await dialog().getByRole("radio", { name: "Groups" }).check();
  await button("Save").click();
  await dialog().locator(".wrong:visible").first().waitFor();
  await dialog().getByText("News", { exact: true }).click();
  await button("Save").click();
  const face = page.getByRole("article", { name: "Bedroom" });
  await face.waitFor();
  await until("it has channels", async () => (await api("/faces")).find((one) => one.name === "Bedroom").listed > 50);
  await picture(page, "real-sources-1280-light", { full: false });
});

test("the log is searched, and who asked is named", async () => {
  await open("#/system/log");
  await page.locator(".log li").first().waitFor();
  await page.getByLabel("Channel number").fill("77777");
  await page.locator(".wrong").filter({ hasText: "channel" }).first().waitFor();
  await open("#/system");
  await page.getByRole("heading", { name: "Who asked this box" }).waitFor();
});

test("a notification is added, tried, arrives, says why it does not, is changed and removed", async () => {
  const got = [];
  const receiver = createServer(async (question, answer) => {
    const parts = [];
    for await (const one of question) parts.push(one);
    if (question.url === "/gone") answer.writeHead(404).end();
    else {
      got.push({ path: question.url, ...JSON.parse(Buffer.concat(parts).toString()) });
      answer.writeHead(204).end();
    }
  });
  await new Promise((done) => { receiver.listen(0, "127.0.0.1", done); });
  const url = (path) => `http://127.0.0.1:${receiver.address().port}/${path}`;
  const card = (name) => page.getByRole("article", { name, exact: true });
  // On a phone it lies over the buttons below.
  const saved = async () => {
    await dialog().waitFor({ state: "detached" });
    await page.locator("#said").getByRole("button", { name: "Close" }).last().click();
  };
  const press = async (name, what) => card(name).getByRole("button", { name: what }).click();
  try {
    await open("#/system/notifications", { size: PHONE });
    await button("Add a notification").click();
    await page.getByLabel("Name").fill("House");
    await page.getByLabel("Address").fill("file:///etc/passwd");
    await button("Save").click();
    await dialog().locator(".wrong:visible").first().waitFor();
    await page.getByLabel("Address").fill(url("gone"));
    await button("Save").click();
    await saved();

    await press("House", "Send a test");
    await card("House").locator(".note").getByText("404").waitFor();
    await press("House", "Edit");
    await page.getByLabel("Name").fill("Whole house");
    await page.getByLabel("Address").fill(url("hook"));
    await dialog().getByText("a new release").click();
    await button("Save").click();
    await saved();
    await until("it is changed", async () => items(await api("/notifications")).some((one) => one.name === "Whole house" && one.events.includes("update_available")));

    await press("Whole house", "Send a test");
    await page.locator("#said").getByText("The test for Whole house was taken.").waitFor();
    assert.deepEqual(got.map(({ path, event }) => [path, event]), [["/hook", "test"]]);
    await card("Whole house").locator(".note").waitFor({ state: "detached" });
    await accessible(page, "a notification of a real box");
    await picture(page, "real-notifications-360-light");

    await press("Whole house", "Remove");
    await dialog().getByRole("button", { name: "Remove" }).click();
    await card("Whole house").waitFor({ state: "detached" });
    assert.equal(items(await api("/notifications")).length, 0);
    assert.deepEqual(page.wrongs, []);
  } finally {
    receiver.close();
    receiver.closeAllConnections();
  }
});

test("settings, tokens, a backup and its restore, and the way back", async () => {
  const owned = await startDaemon("[lineup]\nthis_box = true\n");
  const password = "correct horse battery";
  try {
    await page?.context().close();
    page = await visit(browser, owned.url);
    await page.evaluate((words) => fetch("api/v1/claim", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ password: words }) }), password);
    const go = async (hash) => {
      await page.goto(`${owned.url}/#/${hash}`);
      await page.reload();
      await page.locator(".subnav").waitFor();
    };
    await go("system");
    await page.getByRole("textbox", { name: "Name" }).fill("Attic");
    await button("Save").click();
    await page.locator("#said").getByText("Settings saved.").waitFor();
    await page.getByRole("textbox", { name: "Name" }).fill("Cellar");
    await button("Save").click();
    await page.locator("#brand-name").getByText("Cellar").waitFor();
    await button("Undo").last().click();
    await page.locator("#brand-name").getByText("Attic").waitFor();

    await go("system/backup");
    await page.getByLabel("Your password").fill("not the password");
    await button("Download a backup").click();
    await page.locator(".wrong:visible").first().waitFor();
    await page.getByLabel("Your password").fill(password);
    const [download] = await Promise.all([page.waitForEvent("download"), button("Download a backup").click()]);
    await page.getByLabel("Backup file").setInputFiles(await download.path());
    await page.getByLabel("The password of then").fill("not the password");
    const restore = async () => {
      await button("Restore", { exact: true }).click();
      await dialog().getByRole("button", { name: "Restore" }).click();
    };
    await restore();
    await page.locator(".wrong:visible").first().waitFor();
    await page.getByLabel("The password of then").fill(password);
    await restore();
    await page.getByText("Restored.").waitFor();
    await page.locator(".timeline li").nth(1).waitFor();
    await button("Bring back").first().click();
    await dialog().getByRole("button", { name: "Bring back" }).click();
    await page.locator("#said").getByText("That state is back.").waitFor();

    await go("system/access");
    await button("Make a token").click();
    await page.getByRole("textbox", { name: "Name" }).fill("Script");
    await button("Make it").click();
    const token = await dialog().locator(".address code").textContent();
    const ask = (path, method = "GET") => fetch(`${owned.url}/api/v1${path}`, { method, headers: { authorization: `Bearer ${token}` } });
    assert.equal((await ask("/status")).status, 200);
    assert.equal((await ask("/encoders/try", "POST")).status, 403, "it may look only");
    await button("I have copied it").click();
    await button("Revoke").click();
    await dialog().getByRole("button", { name: "Revoke" }).click();
    await page.getByText("There is no token.").waitFor();
    await eventually(async () => assert.equal((await ask("/status")).status, 401));

    await page.getByLabel("Password now").fill("not the password");
    for (const label of ["New password", "New password again"]) await page.getByLabel(label, { exact: true }).fill("a brand new password");
    await button("Change the password").click();
    await page.locator(".wrong:visible").first().waitFor();
    await page.getByLabel("Password now").fill(password);
    await button("Change the password").click();
    await page.locator("#said").getByText("The password is changed.").waitFor();
    assert.deepEqual(page.wrongs, []);
  } finally {
    await owned.stop();
  }
});
