// The page is valid HTML: as it is served, and as it is once the scripts have filled it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { HtmlValidate } from "html-validate";
import { startBrowser, visit } from "./kit.mjs";
import { startMock } from "./mock.mjs";

const validator = new HtmlValidate({
  extends: ["html-validate:recommended"],
  rules: {
    // Browsers write <br> and attributes in their own way.
    "void-style": "off", "attribute-boolean-style": "off", "attribute-empty-style": "off", "doctype-style": "off",
  },
});

async function valid(html, what) {
  const report = await validator.validateString(html);
  const wrongs = report.results.flatMap(({ messages }) => messages.map(({ ruleId, message, line, selector }) => `${ruleId}: ${message} (${line}) ${selector}`));
  assert.deepEqual(wrongs, [], what);
}

let browser;
let mock;
before(async () => {
  browser = await startBrowser();
  mock = await startMock();
});
after(async () => {
  await browser.close();
  await mock.close();
});

test("what is served is valid", () => valid(readFileSync(new URL("../../src/doors/http/web/index.html", import.meta.url), "utf8"), "index.html"));

for (const [state, hash, ready] of [
  ["well", "#/home", "#hour"], ["storm", "#/home", ".troubles"], ["locked", "#/home", ".gate"], ["new", "#/setup", ".claim"],
  ["well", "#/setup/name", "#step"], ["well", "#/setup/channels", ".kinds"], ["well", "#/setup/groups", ".groups"], ["well", "#/setup/add", ".programs"],
]) {
  test(`what the scripts make is valid: ${state} ${hash}`, async () => {
    mock.state(state);
    const page = await visit(browser, `${mock.url}/${hash}`);
    await page.waitForSelector(ready);
    await valid(await page.content(), `${state} ${hash}`);
    await page.context().close();
  });
}
