// Pictures for whoever designs: `node tests/browser/look.mjs STATE HASH [NAME]` at both widths and in both themes.

import { startMock } from "./mock.mjs";
import { DESK, PHONE, picture, startBrowser, visit } from "./kit.mjs";

const [state = "well", hash = "#/home", name = "look", language = "en"] = process.argv.slice(2);
const mock = await startMock(0, state);
const browser = await startBrowser();
for (const [size, theme] of [[PHONE, "light"], [PHONE, "dark"], [DESK, "light"], [DESK, "dark"]]) {
  const page = await visit(browser, `${mock.url}/${hash}`, { size, theme, language });
  await page.waitForTimeout(700);
  await picture(page, `${name}-${size.width}-${theme}`);
  if (page.wrongs.length) console.log(size.width, theme, page.wrongs);
}
await browser.close();
await mock.close();
