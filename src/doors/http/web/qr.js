// A QR code of an address, so that a phone or a television need not type it. Not here: when one is shown.
// Bytes, correction level M, versions 1 to 6: up to 106 bytes, which no address of a box in a home exceeds.
// Source: ISO/IEC 18004:2015, sections 7.3 to 7.9 and annex A.

import { h } from "./dom.js";

// Each version: correction bytes of a block, how many blocks, data bytes of a block, the second row of alignment.
const VERSIONS = [[10, 1, 16, 0], [16, 1, 28, 18], [26, 1, 44, 22], [18, 2, 32, 26], [24, 2, 43, 30], [16, 4, 27, 34]];
const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

const [EXP, LOG] = [new Uint8Array(512), new Uint8Array(256)];
for (let power = 0, value = 1; power < 255; power += 1) {
  EXP[power] = value;
  EXP[power + 255] = value;
  LOG[value] = power;
  value = value < 128 ? value * 2 : (value * 2) ^ 0x11d;
}
const times = (one, other) => (one && other ? EXP[LOG[one] + LOG[other]] : 0);

/** The remainder that corrects `data` (Reed and Solomon). */
function correction(data, length) {
  let divisor = [1];
  for (let power = 0; power < length; power += 1) {
    const next = [...divisor, 0];
    divisor.forEach((factor, index) => { next[index + 1] ^= times(factor, EXP[power]); });
    divisor = next;
  }
  const rest = [...data, ...new Array(length).fill(0)];
  for (let at = 0; at < data.length; at += 1) {
    const factor = rest[at];
    if (factor) divisor.forEach((value, index) => { rest[at + index] ^= times(value, factor); });
  }
  return rest.slice(data.length);
}

/** All bytes, in the order in which they are drawn. */
function codewords(text, [correct, blocks, size]) {
  const bits = [];
  const put = (value, length) => { for (let bit = length - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1); };
  put(4, 4);
  put(text.length, 8);
  for (const byte of text) put(byte, 8);
  const capacity = blocks * size * 8;
  put(0, Math.min(4, capacity - bits.length));
  while (bits.length % 8) bits.push(0);
  for (let pad = 0xec; bits.length < capacity; pad ^= 0xec ^ 0x11) put(pad, 8);
  const data = [];
  for (let at = 0; at < bits.length; at += 8) data.push(Number.parseInt(bits.slice(at, at + 8).join(""), 2));
  const parts = Array.from({ length: blocks }, (_, index) => data.slice(index * size, (index + 1) * size));
  const checks = parts.map((part) => correction(part, correct));
  const weave = (lists, length) => Array.from({ length }, (_, at) => lists.map((list) => list[at])).flat();
  return [...weave(parts, size), ...weave(checks, correct)];
}

/** What looks the same in every code of this size; null where data goes. */
function frame(size, aligned) {
  const grid = Array.from({ length: size }, () => new Array(size).fill(null));
  const put = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) grid[y][x] = dark ? 1 : 0; };
  for (let at = 0; at < size; at += 1) {
    put(6, at, at % 2 === 0);
    put(at, 6, at % 2 === 0);
  }
  const square = (centreX, centreY, reach, isDark) => {
    for (let y = -reach; y <= reach; y += 1) {
      for (let x = -reach; x <= reach; x += 1) put(centreX + x, centreY + y, isDark(Math.max(Math.abs(x), Math.abs(y))));
    }
  };
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, (ring) => ring !== 2 && ring !== 4);
  if (aligned) square(aligned, aligned, 2, (ring) => ring !== 1);
  return grid;
}

/** Which mask, written twice. */
function putFormat(grid, mask) {
  const size = grid.length;
  let rest = mask;
  for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (at) => (bits >> at) & 1;
  for (let at = 0; at < 15; at += 1) {
    const near = at < 6 ? at : at < 8 ? at + 1 : 0;
    if (at < 8) grid[near][8] = bit(at);
    else grid[8][at === 8 ? 7 : 14 - at] = bit(at);
    if (at < 8) grid[8][size - 1 - at] = bit(at);
    else grid[size - 15 + at][8] = bit(at);
  }
  grid[size - 8][8] = 1;
}

/** How hard it is to read. */
function penalty(grid) {
  const size = grid.length;
  const columns = grid.map((_, x) => grid.map((row) => row[x]));
  let sum = 0;
  for (const line of [...grid, ...columns]) {
    const text = line.join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
    for (let at = 0; at + 11 <= size; at += 1) {
      const part = text.slice(at, at + 11);
      if (part === "10111010000" || part === "00001011101") sum += 40;
    }
  }
  let dark = 0;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      dark += grid[y][x];
      const one = grid[y][x];
      if (x && y && grid[y - 1][x] === one && grid[y][x - 1] === one && grid[y - 1][x - 1] === one) sum += 3;
    }
  }
  const twentieths = (dark * 20) / (size * size);
  return sum + Math.max(0, Math.ceil(Math.abs(twentieths - 10)) - 1) * 10;
}

/** The code of `text` as rows of 0 and 1; null if it is too long. */
export function matrix(text) {
  const bytes = new TextEncoder().encode(text);
  const version = VERSIONS.findIndex(([, blocks, size]) => bytes.length + 2 <= blocks * size);
  if (version < 0) return null;
  const size = 21 + version * 4;
  const data = codewords(bytes, VERSIONS[version]);
  const fixed = frame(size, VERSIONS[version][3]);
  putFormat(fixed, 0);
  let best = null;
  MASKS.forEach((mask, number) => {
    const grid = fixed.map((row) => [...row]);
    let at = 0;
    for (let right = size - 1; right > 0; right -= 2) {
      if (right === 6) right -= 1;
      for (let step = 0; step < size; step += 1) {
        const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
        for (const x of [right, right - 1]) {
          if (grid[y][x] !== null) continue;
          const bit = at < data.length * 8 ? (data[at >> 3] >> (7 - (at & 7))) & 1 : 0;
          grid[y][x] = bit ^ (mask(x, y) === 0 ? 1 : 0);
          at += 1;
        }
      }
    }
    putFormat(grid, number);
    const cost = penalty(grid);
    if (!best || cost < best.cost) best = { grid, cost };
  });
  return best.grid;
}

/** The code as a picture with the name `label`; null if the text is too long. Dark on white in both themes: readers want that. */
export function qr(text, label) {
  const grid = matrix(text);
  if (!grid) return null;
  const edge = grid.length + 8;
  const path = grid.flatMap((row, y) => [...row.join("").matchAll(/1+/g)]
    .map((run) => `M${run.index + 4} ${y + 4}h${run[0].length}v1h-${run[0].length}z`)).join("");
  return h("svg", { class: "qr", viewBox: `0 0 ${edge} ${edge}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    h("rect", { width: edge, height: edge, fill: "#fff" }), h("path", { d: path, fill: "#000" }));
}
