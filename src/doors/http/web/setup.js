// Stub of the view "setup".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "setup.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("setup.title")));
}
