// The page's words and weight, without a browser: both languages say all of it, and all of it is small.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { first as firstDe } from "../../src/doors/http/web/texts-de.js";
import { first as firstEn } from "../../src/doors/http/web/texts-en.js";
import { manage as manageDe } from "../../src/doors/http/web/texts-manage-de.js";
import { manage as manageEn } from "../../src/doors/http/web/texts-manage-en.js";
import { FILES, bare } from "./mock.mjs";

const en = { ...firstEn, ...manageEn };
const de = { ...firstDe, ...manageDe };

const web = fileURLToPath(new URL("../../src/doors/http/web/", import.meta.url));
const files = readdirSync(web);
const source = (name) => readFileSync(web + name, "utf8");
const scripts = files.filter((name) => name.endsWith(".js") && !name.startsWith("texts-"));

test("both catalogues have the same keys in the same order", () => {
  assert.ok(Object.keys(en).length > 100);
  assert.deepEqual(Object.keys(de), Object.keys(en));
});

test("no key stands in two catalogues of a language", () => {
  assert.deepEqual(Object.keys(firstEn).filter((key) => key in manageEn), []);
});

test("a text has the same values to fill in, whatever the language", () => {
  const values = (text) => {
    const forms = typeof text === "string" ? [text] : Object.values(text);
    return [...new Set(forms.flatMap((form) => [...form.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)))].sort();
  };
  for (const key of Object.keys(en)) {
    assert.deepEqual(values(de[key]), values(en[key]), key);
    assert.equal(typeof de[key], typeof en[key], key);
    for (const text of [en[key], de[key]].flatMap((one) => (typeof one === "string" ? [one] : Object.values(one)))) {
      assert.ok(text.trim().length > 0, `${key} is empty`);
      assert.ok((text.match(/\*\*/g) ?? []).length % 2 === 0, `${key} has a lone **`);
    }
  }
});

test("every text that a script asks for is there, and every text is asked for", () => {
  const asked = new Set();
  const begun = new Set();
  for (const name of scripts) {
    const text = source(name);
    for (const [, , key] of text.matchAll(/(["`])([a-z_]+(?:[.-][\w-]+)+)\1/g)) if (key in en) asked.add(key);
    for (const [, key] of text.matchAll(/\b(?:t|rich)\("([^"]+)"/g)) assert.ok(key in en, `${name} asks for ${key}`);
    for (const [, before] of text.matchAll(/`([a-z_.-]*)\$\{/g)) if (/[.-]$/.test(before)) begun.add(before);
    for (const [, after] of text.matchAll(/`\$\{[^}]+\}\.(\w+)`/g)) begun.add(`.${after}`);
  }
  const isMade = (key) => [...begun].some((part) => (part.startsWith(".") ? key.endsWith(part) : key.startsWith(part)));
  // Words that any view may want.
  const common = /^do\./;
  const programs = /^(plex|jellyfin|emby|kodi|vlc)\.\d$/;
  const idle = Object.keys(en).filter((key) => !asked.has(key) && !isMade(key) && !programs.test(key) && !common.test(key));
  assert.deepEqual(idle, []);
});

test("no script puts markup into the page, and nothing comes from elsewhere", () => {
  for (const name of files) {
    // Custom properties set by a script are no inline style: where a programme begins is no class.
    const text = source(name).replaceAll(".style.setProperty(\"--", "");
    for (const forbidden of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", ".style."]) {
      assert.ok(!text.includes(forbidden), `${name} has ${forbidden}`);
    }
    for (const [address] of text.matchAll(/(?:src|href|url|import)\W{1,3}https?:\/\/[^"'` )]+/g)) assert.fail(`${name} loads ${address}`);
    assert.ok(!/\son[a-z]+="/.test(name.endsWith(".html") ? text : ""), `${name} has a listener inline`);
  }
});

test("the whole page is at most 100 kB packed", () => {
  const sizes = FILES.map((file) => [file.path, gzipSync(bare(file), { level: 9 }).length]);
  const sum = sizes.reduce((total, [, size]) => total + size, 0);
  console.log(`# ${sum} bytes packed: ${sizes.map(([name, size]) => `${name} ${size}`).join(", ")}`);
  assert.ok(sum <= 100_000, `${sum} bytes`);
});

test("every class that has looks is one that the page uses", () => {
  const looks = files.filter((name) => name.endsWith(".css")).map(source).join("").replace(/\/\*[^]*?\*\/|\{[^{}]*\}/g, " ");
  const used = files.filter((name) => /\.(js|html)$/.test(name) && !name.startsWith("texts-")).map(source).join("");
  const idle = [...new Set([...looks.matchAll(/\.([a-z][\w-]*)/g)].map(([, name]) => name))]
    .filter((name) => !new RegExp(`["'\`\\s.]${name}["'\`\\s]`).test(used) && !/^view-/.test(name));
  assert.deepEqual(idle, []);
});

test("no script has anything that would be joined or packed wrong: long texts, long imports, code behind a comment", () => {
  for (const name of scripts) {
    for (const line of source(name).split("\n")) {
      assert.ok((line.replaceAll("\\`", "").match(/`/g) ?? []).length % 2 === 0, `${name}: ${line}`);
      assert.ok(!/^\s*\/\*.*\*\/\s*\S/.test(line), `${name}: ${line}`);
      assert.ok(!/^\s*import\b(?!\()/.test(line) || /^import { [\w, ]+ } from "\.\/[\w-]+\.js";$/.test(line), `${name}: ${line}`);
    }
  }
});

test("joined scripts are scripts: no name stands in two of them", () => {
  for (const file of FILES.filter(({ path }) => path.endsWith(".js"))) {
    const { status, stderr } = spawnSync(process.execPath, ["--check", "--input-type=module", "-"], { input: bare(file), encoding: "utf8" });
    assert.equal(status, 0, `${file.path}: ${stderr}`);
  }
});

test("the table of the daemon names every file of the page", () => {
  const known = FILES.flatMap(({ parts }) => parts);
  assert.deepEqual([...known].sort(), [...files].sort());
});
