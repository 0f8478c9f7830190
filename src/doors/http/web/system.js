// Stub of the view "system".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "system.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("system.title")));
}
