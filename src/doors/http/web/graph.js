// Graphs as SVG: sparklines, and the last hour. Each has its numbers in words too. Not here: where the numbers come from.

import { h } from "./dom.js";

export function sparkline() {
  return h("svg", { class: "spark", "aria-hidden": "true" });
}
