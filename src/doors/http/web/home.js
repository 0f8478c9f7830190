// Stub of the view "home".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "home.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("home.title")));
}
