// Codes drawn by qr.js are those that another encoder draws, and what a reader reads is what was written.

import assert from "node:assert/strict";
import { test } from "node:test";
import jsQR from "jsqr";
import QRCode from "qrcode";
import { matrix } from "../../src/doors/http/web/qr.js";

const texts = [
  "http://192.168.1.20", "http://192.168.1.20/lineup.m3u", "http://hdhr.local/xmltv.xml", "http://[fe80::1ff:fe23:4567:890a]:8080/lineup.m3u",
  "http://10.0.0.5", "a", "Grüße vom Dach", ...Array.from({ length: 53 }, (_, n) => `http://box.example/${"path-".repeat(20).slice(0, n * 2)}`.slice(0, 106)),
];

function read(grid) {
  const [scale, edge] = [4, grid.length + 8];
  const side = edge * scale;
  const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const dark = grid[Math.floor(y / scale) - 4]?.[Math.floor(x / scale) - 4];
      if (dark) pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
    }
  }
  return jsQR(pixels, side, side)?.data;
}

test("a reader reads what was written, in every version", () => {
  const sizes = new Set();
  for (const text of texts) {
    const grid = matrix(text);
    sizes.add(grid.length);
    assert.equal(read(grid), text);
  }
  assert.deepEqual([...sizes].sort(), [21, 25, 29, 33, 37, 41]);
});

test("each code has the bits that another encoder gives it with the same mask", () => {
  let same = 0;
  for (const text of texts) {
    const mine = matrix(text);
    const maskOf = (grid) => (grid[8][2] << 2 | grid[8][3] << 1 | grid[8][4]) ^ 0b101;
    const other = QRCode.create([{ data: new TextEncoder().encode(text), mode: "byte" }], {
      errorCorrectionLevel: "M", maskPattern: maskOf(mine),
    }).modules;
    const theirs = Array.from({ length: other.size }, (_, y) => Array.from({ length: other.size }, (_, x) => (other.get(y, x) ? 1 : 0)));
    assert.deepEqual(mine, theirs, text);
    same += 1;
  }
  assert.equal(same, texts.length);
});

test("what is too long for a code has none", () => {
  assert.equal(matrix("x".repeat(107)), null);
});
