// A box of cardboard: serves the page from the source tree, and plausible answers for /api/v1, also those that a real
// box gives rarely: channels that are ill, a full account, a storm, no password yet.
//
// `node tests/browser/mock.mjs 8099 [state]` shows it to a person; `?state=` is not needed, POST /mock {state} changes it.
// Not here: what a real box does; tests against one start the daemon.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { STATES } from "./states.mjs";
import { PAGES } from "./states-pages.mjs";

const web = fileURLToPath(new URL("../../src/doors/http/web/", import.meta.url));
const KINDS = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" };
const IMPORT = /^import { (.+) } from "\.\/([\w.-]+)";$/;
/** What the daemon serves, and which files of the page it joins: [{path, parts}]. */
export const FILES = [...readFileSync(new URL("../page.rs", `file://${web}`), "utf8").matchAll(/^ +joined!\(\s*("[^)]*)\)/gm)]
  .map(([, table]) => [...table.matchAll(/"([^"]+)"/g)].map(([, text]) => text).filter((text) => !text.includes("+xml")))
  .map(([path, ...parts]) => ({ path, parts }));
// As src/doors/http/answer.rs says it.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
  + "media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/** Starts it; `mock.state(name)` changes what it tells, `mock.asked` is what it was asked to change. */
export async function startMock(port = 0, first = "well") {
  const mock = { asked: [], down: false, events: new Set() };
  mock.state = (name) => {
    Object.assign(mock, STATES[name](), { name });
    mock.revision = 7;
    mock.isHeld = false;
    for (const answer of mock.events) send(answer, mock);
  };
  mock.state(first);
  const server = createServer((question, answer) => {
    if (mock.down) {
      question.destroy();
      return;
    }
    respond(mock, question, answer).catch((error) => {
      console.error(error);
      json(answer, 500, { title: String(error) });
    });
  });
  await new Promise((done) => { server.listen(port, "127.0.0.1", done); });
  mock.url = `http://127.0.0.1:${server.address().port}`;
  mock.close = () => new Promise((done) => { server.close(done); server.closeAllConnections(); });
  mock.tell = () => { for (const answer of mock.events) send(answer, mock); };
  return mock;
}

function send(answer, mock) {
  answer.write(`event: status\ndata: ${JSON.stringify(mock.status)}\n\n`);
}

function json(answer, status, body, headers = {}) {
  const type = status >= 400 ? "application/problem+json" : "application/json";
  answer.writeHead(status, { "content-type": type, "cache-control": "no-store", ...headers });
  answer.end(body === undefined || status === 204 ? undefined : JSON.stringify(body));
}

const problem = (answer, status, detail, field) => json(answer, status, { type: "about:blank", title: "No", status, detail, field });

async function read(question) {
  const parts = [];
  for await (const part of question) parts.push(part);
  const text = Buffer.concat(parts).toString();
  try { return text ? JSON.parse(text) : null; } catch { return text; }
}

async function respond(mock, question, answer) {
  const url = new URL(question.url, mock.url);
  const { pathname } = url;
  if (pathname === "/mock" && question.method === "POST") {
    mock.state((await read(question)).state);
    json(answer, 204);
    return;
  }
  if (pathname.startsWith("/api/v1/")) {
    await api(mock, question, answer, pathname.slice("/api/v1".length), url.searchParams);
    return;
  }
  const file = FILES.find(({ path }) => path === pathname);
  if (!file) {
    answer.writeHead(404).end();
    return;
  }
  const kind = KINDS[file.parts[0].split(".").at(-1)];
  answer.writeHead(200, { "content-type": kind, "content-security-policy": POLICY, "x-content-type-options": "nosniff" });
  answer.end(bare(file));
}

/** A file as src/doors/http/page.rs serves it. */
export function bare({ path, parts }) {
  const imports = new Map();
  const lines = [];
  for (const part of parts) {
    let inComment = false;
    for (const line of readFileSync(web + part, "utf8").split("\n").map((written) => written.trim()).filter(Boolean)) {
      const begins = /^(\/\*|<!--)/.test(line);
      const isComment = inComment || begins || line.startsWith("//");
      inComment = (inComment || begins) && !/(\*\/|-->)$/.test(line);
      const [, names, from] = IMPORT.exec(line) ?? [];
      if (names) {
        const home = FILES.find((file) => file.parts.includes(from)).path;
        imports.set(home, [...(imports.get(home) ?? []), ...names.split(", ")]);
      } else if (!isComment) lines.push(`${line}\n`);
    }
  }
  imports.delete(path);
  const before = [...imports].sort().reverse().map(([from, names]) => `import { ${[...new Set(names)].sort().join(", ")} } from ".${from}";\n`);
  return [...before, ...lines].join("");
}

async function api(mock, question, answer, path, query) {
  const { method } = question;
  const body = method === "GET" ? null : await read(question);
  if (method !== "GET") mock.asked.push({ method, path, body });
  const { session } = mock;
  const cookie = { "set-cookie": "tunerd=x; HttpOnly; SameSite=Strict; Path=/" };
  const asked = `${method} ${path}`;
  if (asked === "GET /session") {
    json(answer, 200, session);
    return;
  }
  if (asked === "POST /claim") {
    if ((body.password ?? "").length < 10) problem(answer, 422, "10 to 128 characters", "password");
    else if (/^password/.test(body.password)) problem(answer, 422, "this is one of the first that people try; three or four unrelated words are good", "password");
    else {
      Object.assign(session, { claimed: true, signed_in: true, scope: "admin", claim_left_s: null });
      json(answer, 201, {}, cookie);
    }
    return;
  }
  if (asked === "POST /session") {
    if (body.password !== "correct horse") problem(answer, 401, "That is not the password.");
    else {
      Object.assign(session, { signed_in: true, scope: "admin" });
      json(answer, 204, undefined, cookie);
    }
    return;
  }
  if (session.scope === "none" && !session.open) {
    problem(answer, 401, "Sign in first.");
    return;
  }
  if (/^POST .channels.\d+.preview$/.test(asked)) {
    if (mock.refusal) problem(answer, mock.refusal, "the channel rests after several failures");
    else json(answer, 201, { id: 5, playlist: "/api/v1/preview/5/index.m3u8", seconds: 120 });
    return;
  }
  if (path.startsWith("/preview/")) {
    // No picture is made of cardboard.
    if (method === "DELETE") json(answer, 204);
    else problem(answer, 410, "this preview has made room: its tuner is needed");
    return;
  }
  if (asked === "DELETE /session") {
    Object.assign(session, { signed_in: false, scope: "none" });
    json(answer, 204);
    return;
  }
  if (asked === "GET /events") {
    answer.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    send(answer, mock);
    mock.events.add(answer);
    question.on("close", () => mock.events.delete(answer));
    return;
  }
  // The first run has a story of its own.
  const known = mock.isFirstRun ? { ...PAGES, ...mock.answers } : { ...mock.answers, ...PAGES };
  for (const [key, value] of Object.entries(known)) {
    const [verb, template] = key.split(" ");
    const pattern = new RegExp(`^${template.replace(/\{\w+\}/g, "([^/]+)")}$`);
    const found = verb === method && pattern.exec(path);
    if (!found) continue;
    const said = typeof value === "function" ? value({ mock, body, query, parts: found.slice(1) }) : value;
    if (said?.refuse) problem(answer, said.refuse, said.detail, said.field);
    else {
      if (method !== "GET") mock.revision += 1;
      json(answer, said === undefined ? 204 : said?.created ? 201 : 200, said?.created ?? said, { etag: `"${mock.revision}"` });
    }
    return;
  }
  problem(answer, 404, `The mock knows no ${asked}.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mock = await startMock(Number(process.argv[2] ?? 8099), process.argv[3] ?? "well");
  console.log(`${mock.url}/  states: ${Object.keys(STATES).join(" ")}`);
}
