// Graphs as SVG. What they show stands beside them in words too. Not here: where the numbers come from, colours (style.css).

import { h } from "./dom.js";

const round = (value) => Math.round(value * 100) / 100;

/** A line of the last values, without axes: is it steady? `label` says so in words. What is not known is null, at the left. */
export function sparkline(values, label) {
  const [width, height] = [120, 28];
  // What does not change is no line along the edge.
  const most = Math.max(...values, 1) * 1.2;
  const step = width / Math.max(values.length - 1, 1);
  const points = values.map((value, at) => [value, round(at * step), round(height - 2 - (value / most) * (height - 4))])
    .filter(([value]) => value !== null).map(([, x, y]) => `${x} ${y}`);
  const from = points[0]?.split(" ")[0];
  return h("svg", {
    class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label,
  },
  points.length > 1 && h("path", { class: "area", d: `M${from} ${height}L${points.join("L")}L${width} ${height}z` }),
  points.length > 1 && h("path", { class: "line", d: `M${points.join("L")}`, "vector-effect": "non-scaling-stroke" }));
}

/**
 * Bars of the last hour, one a minute. `points` are {value, level, title}; `most` is the height of the graph, `label` the
 * whole in words. A minute that is not known has the value null.
 */
export function bars(points, most, label) {
  const [width, height, gap] = [points.length * 10, 100, 1.5];
  const lines = [];
  for (let at = 1; at < most && most <= 8; at += 1) {
    const y = round(height - (at / most) * height);
    lines.push(h("line", { class: "rule", x1: 0, x2: width, y1: y, y2: y, "vector-effect": "non-scaling-stroke" }));
  }
  return h("svg", { class: "bars", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    lines,
    points.map(({ value, level, title }, at) => {
      const tall = value === null ? 0 : Math.max(round((Math.min(value, most) / most) * height), value > 0 ? 3 : 1);
      return h("rect", {
        class: value === null ? "unknown" : "bar", "data-level": level, x: round(at * 10 + gap / 2), width: 10 - gap, y: height - tall, height: tall,
      }, title && h("title", {}, title));
    }));
}

/** How much of a whole is used: a bar of `used` in `all`. Decoration; the numbers stand beside it. */
export function meter(used, all, level) {
  const share = all > 0 ? Math.min(used / all, 1) : 0;
  return h("svg", { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("rect", { class: "whole", width: 100, height: 4 }), h("rect", { class: "part", "data-level": level, width: round(share * 100), height: 4 }));
}
