// Stub of the view "guide".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "guide.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("guide.title")));
}
