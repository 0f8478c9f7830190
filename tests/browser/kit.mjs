// What the browser tests share: the browser, a page that collects what goes wrong in it, pictures, and axe.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));
export const PICTURES = process.env.TUNERD_PICTURES ?? `${target}/browser`;
export const PHONE = { width: 360, height: 740 };
export const DESK = { width: 1280, height: 900 };
/** So long is waited for anything: it costs nothing where all is well, and a busy machine is slow. */
const WAIT_MS = 30_000;
const LOOK_MS = 50;
/** Makes the page's scripts and drawing slower by so much, to see whether a test relies on a fast machine. */
const SLOWER = Number(process.env.TUNERD_BROWSER_SLOWER ?? 1);

export const startBrowser = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Root has no sandbox of his own; a container rarely has a large /dev/shm.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});

/** A page of its own, with nothing remembered. `page.wrongs` collects errors, refusals by the policy, and failed modules. */
export async function visit(browser, url, { size = DESK, theme = "light", language = "en", scripts = true, cache = false } = {}) {
  const context = await browser.newContext({
    viewport: size, colorScheme: theme, locale: language, javaScriptEnabled: scripts, reducedMotion: "reduce",
    deviceScaleFactor: 1, bypassCSP: false,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  if (SLOWER > 1) await (await context.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  page.wrongs = [];
  page.asking = new Set();
  page.on("request", (request) => { if (!request.url().endsWith("/events")) page.asking.add(request); });
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => page.asking.delete(request));
  page.on("pageerror", (error) => page.wrongs.push(String(error)));
  page.on("console", (message) => {
    // That a request was refused is the test's business, and stands in its own expectations.
    const text = message.text();
    if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(text)) page.wrongs.push(text);
  });
  // Nothing may come from elsewhere. Who looks so closely has no cache.
  if (!cache) await context.route((asked) => asked.origin !== new URL(url).origin && asked.protocol.startsWith("http"), (route) => {
    page.wrongs.push(`asked elsewhere: ${route.request().url()}`);
    return route.abort();
  });
  await page.goto(url);
  return page;
}

/** Waits until `is` says so. What a page shows, and what a box was asked, comes a moment after what somebody has pressed. */
export async function until(what, is) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    if (await is()) return;
    await pause(LOOK_MS);
  }
  assert.fail(`never: ${what}`);
}

/** Waits until `check` does not throw; what it throws last is told. */
export async function eventually(check) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    try {
      await check();
      return;
    } catch { /* not yet */ }
    await pause(LOOK_MS);
  }
  await check();
}

/** Waits until the page has all that it asked for, and has come to rest. */
export async function settled(page) {
  let before = null;
  await until("the page is at rest", async () => {
    const now = page.asking.size === 0 ? await page.locator("main").innerHTML() : null;
    const isSame = now !== null && now === before;
    before = now;
    return isSame;
  });
}

/** Keeps a picture of the whole page, as what the run leaves behind. */
export async function picture(page, name, { full = true } = {}) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: full });
}

/** What axe asks: all of WCAG 2.0 to 2.2, A and AA, and its best practices; or of those what depends on the colours. */
const ALL = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
const COLOURS = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

/** axe finds nothing. */
export async function accessible(page, what, runOnly = ALL) {
  // Through the debugger, so the page's policy need not allow it.
  if (!await page.evaluate(() => "axe" in window)) await page.evaluate(AXE);
  const found = await page.evaluate(async (rules) => {
    const result = await window.axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
    return result.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  }, runOnly);
  assert.deepEqual(found, [], `axe, ${what}`);
}

/** The page as it is now, at those sizes and in both themes: kept as pictures, nothing too wide, and axe finds nothing. */
export async function looks(page, name, sizes = [PHONE, DESK]) {
  const [was, isDark] = [page.viewportSize(), await page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches)];
  for (const size of sizes) {
    for (const theme of ["light", "dark"]) {
      const what = `${name}-${size.width}-${theme}`;
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: theme });
      await picture(page, what);
      // The other theme differs in nothing else.
      await accessible(page, what, theme === "light" ? ALL : COLOURS);
      if (theme === "light") await fits(page, what);
    }
  }
  await page.setViewportSize(was);
  await page.emulateMedia({ colorScheme: isDark ? "dark" : "light" });
}

/** Nothing is wider than the window. */
export async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    return [`${scrollWidth} > ${clientWidth}`, ...[...document.querySelectorAll("body *")]
      .filter((element) => element.getBoundingClientRect().right > clientWidth + 1).slice(0, 5)
      .map((element) => `${element.localName}.${element.getAttribute("class")} ${element.textContent.slice(0, 40)}`)];
  });
  assert.deepEqual(wide, [], `scrolls sideways, ${what}`);
}
