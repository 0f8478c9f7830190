// Stub of the view "channels".
import { h, fill } from "./dom.js";
import { t } from "./texts.js";

export const title = "channels.title";

export async function show(root) {
  fill(root, h("p", { class: "waiting" }, t("channels.title")));
}
