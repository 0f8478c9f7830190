// What the browser tests share: the browser, a page that collects what goes wrong in it, pictures, and axe.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));
export const PICTURES = process.env.TUNERD_PICTURES ?? `${target}/browser`;
export const PHONE = { width: 360, height: 740 };
export const DESK = { width: 1280, height: 900 };

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
  page.setDefaultTimeout(8000);
  page.wrongs = [];
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

/** Keeps a picture of the whole page, as what the run leaves behind. */
export async function picture(page, name, { full = true } = {}) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: full });
}

/** axe finds nothing: all of WCAG 2.0 to 2.2, A and AA, and its best practices. */
export async function accessible(page, what) {
  // Through the debugger, so the page's policy need not allow it.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return result.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  });
  assert.deepEqual(found, [], `axe, ${what}`);
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
