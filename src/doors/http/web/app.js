// The shell: who is here, which view is shown, and what all views share. Not here: the views themselves.
//
// A view is an async function with its name, `home(root, context)`, which fills `root` and may return a function that ends
// it. `context` is
//   api       the API (api.js); a 401 asks for the password first, a 412 is told by `fail`
//   t, rich   words (texts.js)
//   status    the box's state, live (status.js): `status.now`, `status.subscribe(reader)`; subscriptions end with the view
//   go(hash)  shows another view: go("#/sources/3?test=1")
//   rest      what follows the view's name in the address, in parts: ["3"]; `query` is its URLSearchParams
//   head      the element beside the view's heading, for its buttons
//   say(text, {level: "good" | "ill"})       tells the reader; is read out
//   ask({title, text, yes, danger, field})   resolves to true, or to the text typed into `field`; else null
//   fail(problem)        tells why something did not work, in words
//   attempt(work, button)  runs async work, disables the button meanwhile, tells failures; undefined then
//   badge(view, n)       the little number in the navigation
//   signal    an AbortSignal of the view's end
//   signedIn  whether the reader may change things; `scope` is "none", "read" or "admin"
// Invariant: what has come too late, for a view that was left, is not shown.

import { api, onSignIn } from "./api.js";
import { fill, h, icon, morph, unique } from "./dom.js";
import { home } from "./home.js";
import { setup } from "./setup.js";
import { status, urgent } from "./status.js";
import { LANGUAGES, currentLanguage, rich, sentence, span, t, useLanguage } from "./texts.js";

/** These have headings of their own. The others come joined, once somebody wants one of them. */
const FIRST = { home, setup };
const VIEWS = ["home", "channels", "sources", "guide", "system", "setup"];
const SAID_MS = 6000;

const by = (id) => document.getElementById(id);
const store = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* then only until it is closed */ } },
};

let session = { claimed: true, signed_in: false, scope: "none", open: false };
let shown = null; // {name, leave, abort}
const badges = new Map();

// ---- Telling and asking

function say(text, { level = "good" } = {}) {
  const item = h("div", { class: "said", "data-level": level },
    icon(level === "ill" ? "ill" : "good"), h("p", {}, text),
    h("button", { class: "quiet small", type: "button", "aria-label": t("do.close"), onclick: () => item.remove() }, icon("close")));
  const list = by("said");
  while (list.children.length > 2) list.firstChild.remove();
  list.append(item);
  setTimeout(() => item.remove(), level === "ill" ? SAID_MS * 2 : SAID_MS);
}

/** Why something did not work, in words. */
export function words(problem) {
  if (problem.status === 0) return t("no.answer");
  if (problem.status === 401) return t("no.signin");
  if (problem.status === 403) return t("no.right");
  if (problem.status === 412) return t("no.changed");
  if (problem.status === 429) return t("no.often", { span: span(problem.retryAfter ?? 60) });
  const detail = problem.detail || problem.title;
  return detail ? sentence(detail) : t("no.other", { status: problem.status ?? String(problem) });
}

function fail(problem) {
  if (problem.name === "AbortError") return;
  if (problem.status === undefined) console.error(problem);
  say(words(problem), { level: "ill" });
}

async function attempt(work, button) {
  button?.setAttribute("aria-busy", "true");
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (problem) {
    fail(problem);
    return undefined;
  } finally {
    button?.removeAttribute("aria-busy");
    if (button) button.disabled = false;
  }
}

/** A dialog; resolves to what `close(value)` is called with, null when it is dismissed. */
export function dialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const back = document.activeElement;
    const id = unique("dialog");
    let result = null;
    const box = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": id, onclose: () => {
      box.remove();
      back?.focus?.();
      resolve(result);
    } });
    const close = (value = null) => {
      result = value;
      box.close();
    };
    box.append(
      h("div", { class: "dialog-head" }, h("h2", { id }, title),
        h("button", { class: "quiet small", type: "button", "aria-label": t("do.close"), onclick: () => close() }, icon("close"))),
      h("div", { class: "dialog-body" }, build(close)));
    document.body.append(box);
    box.showModal();
  });
}

function ask({ title, text, yes = t("do.yes"), no = t("do.cancel"), danger = false, field = null }) {
  return dialog(title, (close) => {
    const input = field && h("input", { id: unique("field"), type: "text", required: true, autocomplete: "off", ...field.attributes });
    return h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      close(input ? input.value : true);
    } },
    text && h("p", {}, text),
    input && h("p", { class: "field" }, h("label", { for: input.id }, field.label), input),
    h("div", { class: "actions" },
      h("button", { type: "button", onclick: () => close() }, no),
      h("button", { type: "submit", class: danger ? "danger" : "primary", autofocus: !input }, yes)));
  });
}

// ---- Signing in

function signInForm(done) {
  const id = unique("password");
  const why = h("p", { class: "wrong", id: `${id}-why`, role: "alert" });
  const password = h("input", {
    id, type: "password", autocomplete: "current-password", required: true, autofocus: true, "aria-describedby": why.id,
  });
  const button = h("button", { class: "primary", type: "submit" }, t("signin.do"));
  // Password managers want to know whose it is.
  const user = h("input", { type: "text", autocomplete: "username", value: "owner", class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  return h("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    why.textContent = "";
    try {
      await api.post("/session", { password: password.value });
      session = await api.get("/session");
      done(true);
    } catch (problem) {
      why.textContent = problem.status === 401 ? t("signin.wrong") : words(problem);
      password.select();
    }
    button.disabled = false;
  } }, user, h("p", { class: "field" }, h("label", { for: id }, t("signin.password")), password), why,
  h("div", { class: "actions" }, button));
}

let asking = null;
function signInDialog() {
  asking ??= dialog(t("signin.title"), (close) => [h("p", {}, t("signin.why")), signInForm(close)]).then((known) => {
    asking = null;
    drawShell();
    if (known && !status.now) status.start();
    return Boolean(known);
  });
  return asking;
}
onSignIn(signInDialog);

async function signOut() {
  await attempt(() => api.delete("/session"));
  status.stop();
  location.hash = "";
  location.reload();
}

function showSignIn() {
  leave();
  document.title = t("signin.title");
  fill(by("main"), h("div", { class: "gate card" },
    h("img", { src: "icon.svg", width: 56, height: 56, alt: "" }),
    h("h1", { tabindex: "-1" }, t("signin.title")), h("p", { class: "soft" }, t("signin.why")),
    signInForm(begin), h("p", { class: "soft small-text" }, t("signin.lost")),
    h("p", { class: "small-text" }, h("a", { href: "lineup.html" }, t("signin.lineup")))));
}

// ---- The frame

function drawShell() {
  const root = document.documentElement;
  root.dataset.signed = session.scope;
  for (const link of document.querySelectorAll("[data-view]")) {
    const name = link.dataset.view;
    const n = badges.get(name) ?? 0;
    const isHere = shown?.name === name;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    morph(link, icon(name), h("span", { class: "name" }, t(`${name}.title`)),
      n > 0 && h("span", { class: "badge" }, n, h("span", { class: "unseen" }, ` ${t("nav.waiting")}`)));
  }
  by("nav").setAttribute("aria-label", t("nav.title"));
  by("skip").textContent = t("nav.skip");
  drawMenu();
}

function setTheme(value) {
  store.set("theme", value);
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
  drawMenu();
}

function drawMenu() {
  const theme = document.documentElement.dataset.theme ?? "";
  const choice = (group, value, now, label, choose, lang) => h("label", { class: "choice" },
    h("input", { type: "radio", name: group, value, checked: value === now, onchange: () => choose(value) }),
    h("span", { lang }, label));
  morph(by("menu"),
    h("summary", { "aria-label": t("menu.title") }, icon("dots")),
    h("div", { class: "menu-body card" },
      h("fieldset", {}, h("legend", {}, t("menu.theme")), h("div", { class: "choices" },
        choice("theme", "", theme, t("menu.auto"), setTheme),
        choice("theme", "light", theme, t("menu.light"), setTheme),
        choice("theme", "dark", theme, t("menu.dark"), setTheme))),
      h("fieldset", {}, h("legend", {}, t("menu.language")), h("div", { class: "choices" },
        Object.entries(LANGUAGES).map(([key, name]) => choice("language", key, currentLanguage(), name, setLanguage, key)))),
      session.signed_in && !session.open && h("button", { type: "button", onclick: signOut }, t("signin.out"))));
}

async function setLanguage(value) {
  store.set("language", value);
  await useLanguage(value);
  drawShell();
  await route();
  by("menu").querySelector(`[value="${value}"]`)?.focus();
}

document.addEventListener("click", (event) => {
  if (by("menu").open && !by("menu").contains(event.target)) by("menu").open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !by("menu").open) return;
  by("menu").open = false;
  by("menu").querySelector("summary").focus();
});

// The address names the view, so it must not change.
by("skip").addEventListener("click", (event) => {
  event.preventDefault();
  by("main").focus();
});

function badge(view, n) {
  if ((badges.get(view) ?? 0) === n) return;
  badges.set(view, n);
  drawShell();
}

let silenceTimer;
function showLife() {
  clearTimeout(silenceTimer);
  if (status.denied) {
    status.denied = false;
    session.signed_in = false;
    begin();
    return;
  }
  document.documentElement.dataset.live = status.online ? "yes" : "no";
  const name = status.now?.name;
  if (name) by("brand-name").textContent = name;
  by("offline").hidden = status.online;
  if (!status.online) {
    const since = span((Date.now() - status.lostAt) / 1000);
    const text = t(status.now ? "offline.old" : "offline.text", { span: since });
    if (by("offline").textContent !== text) by("offline").textContent = text;
    silenceTimer = setTimeout(showLife, 5000);
  }
  if (status.now) badge("home", urgent(status.now));
}

// ---- Which view

function leave() {
  if (!shown) return;
  shown.abort.abort();
  for (const end of shown.ends) end();
  try { shown.leave?.(); } catch (error) { console.error(error); }
  shown = null;
}

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

async function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [asked, ...rest] = path.split("/").map(decodeURIComponent);
  const name = VIEWS.includes(asked) ? asked : "home";
  const isFirst = shown === null;
  leave();
  const abort = new AbortController();
  const visit = { name, abort, ends: [], leave: null };
  shown = visit;
  drawShell();
  by("menu").open = false;
  let show;
  try {
    show = FIRST[name] ?? (await import("./views.js"))[name];
  } catch {
    fail({ status: 0 });
    return;
  }
  if (shown !== visit) return;
  const head = h("div", { class: "view-actions" });
  const heading = h("h1", { tabindex: "-1" }, t(`${name}.title`));
  const root = h("div", { class: `view view-${name}` });
  fill(by("main"), h("div", { class: name in FIRST ? "view-head unseen" : "view-head" }, heading, head), root);
  document.title = `${heading.textContent} · ${status.now?.name ?? "tunerd"}`;
  scrollTo(0, 0);
  if (!isFirst) heading.focus({ preventScroll: true });
  const context = {
    api, t, rich, go, say, ask, fail, attempt, badge, dialog, head, rest, signal: abort.signal,
    query: new URLSearchParams(query),
    status: {
      get now() { return status.now; }, get at() { return status.at; }, get rates() { return status.rates; },
      get online() { return status.online; },
      refresh: status.refresh,
      subscribe(reader) {
        const end = status.subscribe(reader);
        visit.ends.push(end);
        return end;
      },
    },
    get signedIn() { return session.open || session.scope === "admin"; },
    get scope() { return session.scope; },
    get session() { return session; },
    begin,
  };
  try {
    const end = await show(root, context);
    if (shown === visit) visit.leave = end;
    else end?.();
  } catch (problem) {
    if (shown === visit) fail(problem);
  }
}

/** Finds out who is here, and shows what is his. */
async function begin() {
  try {
    session = await api.get("/session", { ms: 6000 });
  } catch {
    status.online = false;
    status.lostAt ??= Date.now();
    showLife();
    setTimeout(begin, 3000);
    return;
  }
  document.documentElement.dataset.live = "yes";
  by("offline").hidden = true;
  status.online = true;
  drawShell();
  const mayRead = session.open || session.scope !== "none";
  if (!session.claimed && !session.open) {
    if (location.hash !== "#/setup") location.hash = "#/setup";
    await route();
  } else if (!mayRead) {
    showSignIn();
  } else {
    status.start();
    await route();
  }
}

await useLanguage(store.get("language"));
addEventListener("hashchange", () => {
  const mayRead = session.open || session.scope !== "none" || !session.claimed;
  if (mayRead) route();
});
status.subscribe(showLife);
begin();
