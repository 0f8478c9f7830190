// Speaks the box's API. Not here: what is asked for, and what is shown of an answer.
// Invariant: every request ends; who waits too long gets a Problem with status 0, like any other no.

const ANSWER_MS_MAX = 15000;
const base = new URL("api/v1", document.baseURI).href;

/** A no: `status` (0: no answer), `title`, `detail` for people, `field` of the body if one is wrong, `retryAfter` in s. */
export class Problem extends Error {
  constructor(status, { title = "", detail = "", field = null } = {}, retryAfter = null) {
    super(detail || title || String(status));
    Object.assign(this, { status, title, detail, field, retryAfter });
  }
}

const seen = new Map(); // path → the ETag it came with
let signIn = null; // asks who it is; resolves to whether it is known now

/** What to do when somebody has to sign in first: returns a promise of whether he did. */
export const onSignIn = (ask) => { signIn = ask; };

async function once(method, path, { body, headers = {}, raw, ms = ANSWER_MS_MAX, match, signal } = {}) {
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(), ms);
  signal?.addEventListener("abort", () => abort.abort());
  const sent = { accept: "application/json", ...headers };
  if (match && seen.has(match)) sent["if-match"] = seen.get(match);
  if (body !== undefined) sent["content-type"] = "application/json";
  else if (raw !== undefined) sent["content-type"] ??= "application/octet-stream";
  try {
    const answer = await fetch(base + path, {
      method, headers: sent, body: body === undefined ? raw : JSON.stringify(body),
      cache: "no-store", credentials: "same-origin", signal: abort.signal,
    });
    const isJson = /json/.test(answer.headers.get("content-type") ?? "");
    if (!answer.ok) {
      const why = isJson ? await answer.json().catch(() => ({})) : { detail: (await answer.text()).slice(0, 500).trim() };
      throw new Problem(answer.status, why, Number(answer.headers.get("retry-after")) || null);
    }
    remember(method, path, match, answer.headers.get("etag"));
    if (answer.status === 204) return null;
    if (isJson) return await answer.json();
    return /^text\//.test(answer.headers.get("content-type") ?? "") ? await answer.text() : await answer.blob();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(0, { title: error.name });
  } finally {
    clearTimeout(late);
  }
}

/** One revision counts for everything: what nobody but us has changed is still as we know it, with its new number. */
function remember(method, path, match, etag) {
  if (!etag) return;
  if (method === "GET") seen.set(path, etag);
  else if (match && seen.has(match)) {
    const old = seen.get(match);
    for (const [key, value] of seen) if (value === old) seen.set(key, etag);
  }
}

async function call(method, path, options = {}) {
  try {
    return await once(method, path, options);
  } catch (problem) {
    const isSession = path === "/session" || path === "/claim";
    if (problem.status !== 401 || isSession || options.quiet || !signIn || !(await signIn())) throw problem;
    return once(method, path, options);
  }
}

/**
 * `await api.get("/channels")`, `await api.patch("/settings", {name}, {match: "/settings"})`.
 *
 * Answers what came: JSON parsed, text as text, anything else as a Blob, null for 204. Options: `match`, the path whose
 * state the writer has seen (If-Match; 412 when somebody else was faster); `raw` with `headers`, a body that is no JSON;
 * `ms`, `signal`; `quiet`, do not ask for the password.
 */
export const api = {
  get: (path, options) => call("GET", path, options),
  post: (path, body, options) => call("POST", path, { ...options, body }),
  put: (path, body, options) => call("PUT", path, { ...options, body }),
  patch: (path, body, options) => call("PATCH", path, { ...options, body }),
  delete: (path, options) => call("DELETE", path, options),
  /** Where it is, for an <a href> or an <EventSource>. */
  url: (path) => base + path,
  /** `path` with a query of those `values` that are not empty. */
  path(path, values) {
    const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
    return query ? `${path}?${query}` : path;
  },
};
