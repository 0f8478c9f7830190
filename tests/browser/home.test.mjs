// Home, as a person sees it: what it says of a box that is well, ill, locked, off; at both widths, in both themes, both
// languages, with a keyboard, without scripts. The box is of cardboard (mock.mjs).

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { DESK, PHONE, accessible, eventually, fits, looks, picture, settled, startBrowser, visit } from "./kit.mjs";
import { startMock } from "./mock.mjs";

let browser;
let mock;
beforeEach(() => { mock.down = false; });
before(async () => {
  browser = await startBrowser();
  mock = await startMock();
});
after(async () => {
  await browser.close();
  await mock.close();
});

const home = async (state, options) => {
  mock.state(state);
  mock.asked.length = 0;
  mock.down = false;
  const page = await visit(browser, `${mock.url}/`, options);
  await page.waitForSelector(".hero");
  await settled(page);
  return page;
};
const line = (page, text) => page.locator(".hero-line").getByText(text, { exact: true }).waitFor();
const clean = async (page) => {
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
};

test("a box that is well answers four questions, in all sizes and colours", async () => {
  const page = await home("well");
  await line(page, "Everything works");
  await eventually(async () => assert.deepEqual(await page.locator(".answer-value").allTextContents(), ["2 devices", "2 channels", "2 of 4", "all quiet"]));
  assert.equal(await page.locator(".tuner").count(), 4);
  await looks(page, "home");
  await clean(page);
});

test("a box in a storm says what, why, what next, and what helps, in all sizes and colours", async () => {
  const page = await home("storm");
  await line(page, "2 things need attention");
  const trouble = page.locator(".troubles");
  for (const words of ["is the Internet down?", "Next try at", "Trying again cannot help before its source is changed", "expires in 2 days", "too weak"]) {
    await trouble.getByText(words).first().waitFor();
  }
  await page.locator(".tuners").getByText("Attempt 4").waitFor();
  await looks(page, "storm");
  await clean(page);
});

test("a tuner that would refuse the next viewer says why, in the language of the page", async () => {
  for (const [language, ...words] of [
    ["en", "too many restarts, the next in 40 s", "the account allows 2 streams, all in use", "the moon is full"],
    ["de", "zu viele Neustarts, der nächste in 40 s", "das Konto erlaubt 2 Streams, alle sind belegt", "the moon is full"],
  ]) {
    const page = await home("full", { language });
    const cards = await page.locator(".tuner").allInnerTexts();
    assert.ok(!/refused|abgewiesen/.test(cards[0]), cards[0]);
    words.forEach((word, index) => assert.ok(cards[index + 1].includes(word), `${cards[index + 1]} lacks ${word}`));
    assert.ok(!/Ready for|Bereit/.test(cards[2]), cards[2]);
    assert.match(await page.locator("#board ~ dl, .facts").first().innerText(), /, (of which tunerd may use|davon darf tunerd) 1[.,]5/);
    await clean(page);
  }
});

test("how many tuners there are, and why, is said in the language of the page", async () => {
  for (const [state, language, words] of [
    ["well", "en", "4, as many as this board is for; 2 at once in a smaller picture"],
    ["well", "de", "4, so viele, wie dieses Board tragen soll; davon 2 gleichzeitig als kleineres Bild"],
    ["full", "en", "now 4, after the next start 2: its processor carries no more"],
    ["full", "de", "jetzt 4, nach dem nächsten Start 2: mehr trägt sein Prozessor nicht"],
  ]) {
    const page = await home(state, { language });
    assert.equal(await page.locator(".facts dd").first().innerText(), words);
    await clean(page);
  }
});

test("what is wrong with the box is said in the language of the page, and in full below", async () => {
  for (const [language, words] of [["en", "Many channels fail at the same time."], ["de", "Viele Sender fallen gleichzeitig aus."]]) {
    const page = await home("storm", { language });
    const row = page.locator(".trouble-row").first();
    assert.equal(await row.locator("p").first().innerText(), words);
    assert.ok((await row.locator("[lang=en]").innerText()).includes("is the Internet down?"));
    await clean(page);
  }
});

test("the one button that helps has the channel tried", async () => {
  const page = await home("storm");
  await page.getByRole("button", { name: "Try now 12 Sport 1" }).click();
  await page.getByText("12 Sport 1 may be tried at once now").waitFor();
  assert.deepEqual(mock.asked, [{ method: "POST", path: "/channels/12/retry", body: null }]);
  await clean(page);
});

test("a tuner is freed only after a question, and the page shows it", async () => {
  const page = await home("well");
  await page.getByRole("button", { name: "Free it Tuner 2" }).click();
  const dialog = page.getByRole("dialog", { name: "Free tuner 2?" });
  await dialog.getByText("2 viewers of 7 arte lose the picture.").waitFor();
  await accessible(page, "question");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  assert.deepEqual(mock.asked, []);
  await page.getByRole("button", { name: "Free it Tuner 2" }).click();
  await dialog.getByRole("button", { name: "Free it" }).click();
  await page.getByText("3 of 4", { exact: true }).waitFor();
  assert.deepEqual(mock.asked.map(({ path }) => path), ["/tuners/1/free"]);
  await clean(page);
});

test("what changes on the box is on the page by itself, and the focus stays", async () => {
  const page = await home("well");
  const button = page.getByRole("button", { name: "Free it Tuner 1" });
  await button.focus();
  // Only an event can bring it.
  await page.route("**/api/v1/status", (route) => route.abort());
  mock.status.tuners[2] = { ...mock.status.tuners[0], tuner: 2, channel: { number: "9", name: "New here" } };
  mock.tell();
  await page.getByText("New here").waitFor();
  assert.ok(await button.evaluate((element) => element === document.activeElement));
  await clean(page);
});

test("the focus stays on its channel when others before it come and go", async () => {
  const page = await home("storm");
  const button = page.getByRole("button", { name: "Try now 12 Sport 1" });
  await button.focus();
  const [first, ...others] = mock.status.channels_ill;
  mock.status.channels_ill = others;
  mock.status.problems = [];
  mock.tell();
  await page.waitForFunction(() => document.querySelectorAll(".trouble-row strong").length === 3);
  assert.ok(await button.evaluate((element) => element === document.activeElement));
  mock.status.channels_ill = [first, ...others];
  mock.tell();
  await page.waitForFunction(() => document.querySelectorAll(".trouble-row strong").length === 4);
  assert.ok(await button.evaluate((element) => element === document.activeElement));
  await clean(page);
});

test("names from outside are text, not markup", async () => {
  mock.state("well");
  const page = await home("well");
  mock.status.tuners[0].channel.name = "<img src=x onerror=alert(1)><b>bold</b>";
  mock.tell();
  await page.getByText("<b>bold</b>").waitFor();
  assert.equal(await page.locator(".tuner img, .tuner b").count(), 0);
  await clean(page);
});

test("a box that is switched off is told within seconds, and found again", async () => {
  const page = await home("well");
  mock.down = true;
  for (const answer of mock.events) answer.destroy();
  await page.getByText("Below is what it said last.").waitFor();
  await page.getByText("Das Erste HD", { exact: true }).waitFor();
  await accessible(page, "offline");
  await picture(page, "home-offline", { full: false });
  mock.down = false;
  await page.locator("#offline").waitFor({ state: "hidden" });
  await clean(page);
});

test("without events the page asks, and so stays live", async () => {
  mock.state("well");
  const page = await visit(browser, `${mock.url}/icon.svg`);
  await page.context().route("**/api/v1/events", (route) => route.abort());
  await page.goto(`${mock.url}/`);
  await page.waitForSelector(".hero");
  mock.status.tuners[3] = { ...mock.status.tuners[0], tuner: 3, channel: { number: "8", name: "By asking" } };
  await page.getByText("By asking").waitFor();
  await page.context().close();
});

test("a stranger sees a door and nothing else; the password opens it", async () => {
  mock.state("locked");
  const page = await visit(browser, `${mock.url}/#/home`, { size: PHONE });
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.locator("#nav").waitFor({ state: "hidden" });
  assert.ok(!(await page.content()).includes("192.168."));
  await accessible(page, "sign in");
  await fits(page, "sign in");
  await picture(page, "signin-360-light");
  await page.getByLabel("Password").fill("wrong one");
  await page.keyboard.press("Enter");
  await page.getByText("That is not the password.").waitFor();
  await page.getByLabel("Password").fill("correct horse");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".hero");
  await clean(page);
});

test("a session that ends meanwhile asks for the password, and then does what was asked", async () => {
  const page = await home("storm");
  Object.assign(mock.session, { signed_in: false, scope: "none" });
  await page.getByRole("button", { name: "Try now 12 Sport 1" }).click();
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  await dialog.getByLabel("Password").fill("correct horse");
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("12 Sport 1 may be tried at once now").waitFor();
  await clean(page);
});

test("who may only look has no buttons that change anything", async () => {
  const page = await home("reader");
  assert.equal(await page.getByRole("button", { name: /Free it/ }).count(), 0);
  await clean(page);
});

test("the theme and the language change at once and stay chosen", async () => {
  const page = await home("well", { size: PHONE });
  await page.locator("#menu summary").click();
  const isDark = () => page.waitForFunction(() => getComputedStyle(document.body).backgroundColor === "rgb(13, 17, 22)");
  await page.getByLabel("Dark").check({ force: true });
  await isDark();
  await accessible(page, "menu");
  await picture(page, "menu-360-dark", { full: false });
  await page.locator("#menu summary").click();
  await page.locator("#menu summary").click();
  await page.getByLabel("Deutsch").check({ force: true });
  await page.getByText("Alles läuft").waitFor();
  await page.reload();
  await page.getByText("Alles läuft").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
  await isDark();
  await fits(page, "home in German");
  await clean(page);
});

test("a German browser gets German, also in a storm", async () => {
  const page = await home("storm", { language: "de-DE", size: PHONE });
  await line(page, "2 Dinge brauchen Aufmerksamkeit");
  await accessible(page, "German");
  await fits(page, "storm in German");
  await picture(page, "storm-de-360-light");
  await clean(page);
});

test("everything is reached with the keyboard, and the focus is seen", async () => {
  const page = await home("well");
  const reached = [];
  for (let step = 0; step < 40; step += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { text: element.textContent.trim().slice(0, 30), seen: outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2, tag: element.localName };
    });
    if (at.tag === "body") break;
    assert.ok(at.seen, `the focus on “${at.text}” is not seen`);
    reached.push(at.text);
  }
  for (const wanted of ["Skip to the content", "Channels", "System", "Free it", "Copy: The box", "Plex", "Good Provider"]) {
    assert.ok(reached.some((text) => text.startsWith(wanted)), `${wanted} among ${reached.join(", ")}`);
  }
  await page.locator("#skip").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "main");
  await page.locator(".hero").waitFor();
  await clean(page);
});

test("nothing that is pressed is smaller than 24 pixels", async () => {
  for (const state of ["well", "storm"]) {
    const page = await home(state, { size: PHONE });
    const small = await page.evaluate(() => [...document.querySelectorAll("button, a, summary, input, select")].filter((element) => {
      const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
      const isInText = element.localName === "a" && getComputedStyle(element).display === "inline";
      return width > 1 && !isInText && (width < 24 || height < 24);
    }).map((element) => element.outerHTML.slice(0, 100)));
    assert.deepEqual(small, []);
    await clean(page);
  }
});

test("an address has a code and a copy", async () => {
  const page = await home("well");
  await page.getByRole("button", { name: "Show as a code: Channels, for VLC and Kodi" }).click();
  await page.getByRole("img", { name: "QR code of http://192.168.1.20/lineup.m3u" }).waitFor();
  await accessible(page, "code");
  await picture(page, "qr-1280-light", { full: false });
  await page.keyboard.press("Escape");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy: The box" }).click();
  await page.getByText("Copied http://192.168.1.20").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "http://192.168.1.20");
  await clean(page);
});

test("at 320 pixels nothing scrolls sideways, in no state and no view", async () => {
  const size = { width: 320, height: 640 };
  for (const state of ["well", "storm"]) {
    const page = await home(state, { size });
    await fits(page, `${state} at 320`);
    for (const fold of await page.locator("details.program summary").all()) {
      await fold.click();
      await fits(page, `${state} at 320, folds open`);
    }
    await clean(page);
  }
});

test("without scripts the page says what the box has, and how to add it", async () => {
  mock.state("well");
  for (const [size, theme] of [[PHONE, "light"], [DESK, "dark"]]) {
    const page = await visit(browser, `${mock.url}/`, { scripts: false, size, theme });
    await page.getByRole("heading", { name: "This box is a network tuner" }).waitFor();
    for (const link of ["lineup.html", "tuners.html", "lineup.m3u", "xmltv.xml"]) assert.equal(await page.locator(`a[href="${link}"]`).count(), 1);
    await page.locator("#nav").waitFor({ state: "hidden" });
    await picture(page, `plain-${size.width}-${theme}`);
    await page.context().close();
  }
});

test("a box without channels says where they come from, and one that is merely full is not ill", async () => {
  mock.state("new");
  Object.assign(mock.session, { claimed: true, signed_in: true, scope: "admin" });
  mock.status.channels_len = 0;
  mock.status.level = "ill";
  const page = await visit(browser, `${mock.url}/`, { size: PHONE });
  await page.getByText("There are no channels yet").waitFor();
  await accessible(page, "no channels");
  await picture(page, "home-empty-360-light");
  mock.state("well");
  for (const tuner of [2, 3]) mock.status.tuners[tuner] = { ...mock.status.tuners[0], tuner };
  Object.assign(mock.status, { level: "busy", problems: [{ topic: "pool_pressure", level: "warning", text: "all tuners are in use", since: null, count: 1 }] });
  mock.tell();
  await page.getByText("It works, and all 4 tuners are in use").waitFor();
  await page.locator("#nav .badge").waitFor({ state: "detached" });
  await clean(page);
});

test("fields that an older or smaller box does not tell are left out quietly", async () => {
  mock.state("well");
  mock.status = { name: "old", tuners: [{ tuner: 0, state: "free" }, { tuner: 1, state: "playing" }], channels_len: 3, board: "generic" };
  mock.answers["GET /history"] = { refuse: 404 };
  mock.answers["GET /subscriptions"] = { refuse: 404 };
  mock.answers["GET /logs"] = { refuse: 404 };
  const page = await visit(browser, `${mock.url}/`);
  await page.waitForSelector(".hero");
  await page.locator("main").getByText("not known here").first().waitFor();
  await settled(page);
  assert.ok(!/undefined|NaN|null/.test(await page.locator("main").innerText()));
  await clean(page);
});
