// Stub of the view "sources".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "sources.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("sources.title")));
}
