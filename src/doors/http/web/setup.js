// The first run: a password, then four steps from a bare box to one that a program shows. Every step may be skipped, and
// who comes back goes on where he was. Not here: the same things later (Sources, Channels, System).

import { PLEX_CHANNELS_MAX, addresses, programs } from "./add.js";
import { fill, h, icon, morph, unique } from "./dom.js";
import { meter } from "./graph.js";
import { ago, has, rich, sentence, span, t } from "./texts.js";

const STEPS = ["name", "channels", "groups", "add"];
const PASSWORD_MIN = 10;
const DIFFERENT_MIN = 5;
const LOOK_MS = 1000;
const READ_MS_MAX = 10 * 60 * 1000;

const kept = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* then the address says it, as long as it is open */ } },
};

/** The step that somebody left, for the others to remind of; null if there is none. */
export const unfinished = () => STEPS.find((step) => step === kept.get("setup")) ?? null;

export async function setup(root, context) {
  if (!context.session.claimed && !context.session.open) {
    claim(root, context);
    return undefined;
  }
  const step = STEPS.includes(context.rest[0]) ? context.rest[0] : unfinished() ?? STEPS[0];
  kept.set("setup", step);
  const body = h("div", { class: "setup-body" });
  const at = STEPS.indexOf(step);
  fill(root, h("div", { class: "setup" },
    h("nav", { "aria-label": t("setup.steps") }, h("ol", { class: "steps plain" }, STEPS.map((name, index) => h("li", { "data-state": index < at ? "done" : index === at ? "here" : "ahead" },
      h("a", { href: `#/setup/${name}`, "aria-current": index === at ? "step" : null },
        h("span", { class: "step-number", "aria-hidden": "true" }, index < at ? icon("check") : index + 1), h("span", {}, t(`setup.${name}`))))))),
    h("section", { class: "card setup-card", "aria-labelledby": "step" },
      h("p", { class: "soft small-text" }, t("setup.step", { n: at + 1, all: STEPS.length })),
      h("h2", { id: "step" }, t(`setup.${step}.head`)), body)));
  return { name: nameStep, channels: channelsStep, groups: groupsStep, add: addStep }[step](body, context);
}

const next = (context, step) => context.go(`#/setup/${STEPS[STEPS.indexOf(step) + 1]}`);

function finish(context) {
  kept.set("setup", "done");
  context.go("#/home");
}

/** The foot of a step: back, skip, and the button that goes on. */
const foot = (context, step, ...more) => h("div", { class: "actions setup-foot" },
  step !== "name" && h("a", { class: "button quiet", href: `#/setup/${STEPS[STEPS.indexOf(step) - 1]}` }, t("do.back")),
  step !== "add" && h("a", { class: "button quiet", href: `#/setup/${STEPS[STEPS.indexOf(step) + 1]}` }, t("setup.skip")), more);

/** A field with its label, a hint, and a place for what is wrong with it. */
function field(key, attributes = {}) {
  const id = unique(key);
  const input = h("input", { id, name: key, type: "text", ...(attributes.type === "file" ? {} : { autocomplete: "off", spellcheck: "false" }), ...attributes, "aria-describedby": `${id}-hint ${id}-wrong` });
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  const hint = has(`setup.${key}.hint`) ? t(`setup.${key}.hint`) : "";
  return {
    input, wrong,
    element: h("div", { class: "field" }, h("label", { for: id }, t(`setup.${key}`)), input, h("p", { class: "hint", id: `${id}-hint` }, hint), wrong),
    fail(text) {
      wrong.textContent = text;
      input.setAttribute("aria-invalid", "true");
      input.focus();
    },
    clear() {
      wrong.textContent = "";
      input.removeAttribute("aria-invalid");
    },
  };
}

/** Does `work`, and tells at the field what the box says of it. */
async function submit(context, fields, button, work) {
  for (const one of Object.values(fields)) one.clear();
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (problem) {
    const one = problem.status === 422 && (fields[problem.field] ?? Object.values(fields)[0]);
    if (one) one.fail(sentence(problem.detail || problem.title));
    else context.fail(problem);
    return null;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

// ---- Whose box it is

function claim(root, context) {
  const left = context.session.claim_left_s;
  if (!left) {
    fill(root, h("div", { class: "gate card" }, h("img", { src: "icon.svg", width: 56, height: 56, alt: "" }), h("h2", {}, t("claim.late")), h("p", {}, t("claim.late.how"))));
    return;
  }
  const password = field("password", { type: "password", autocomplete: "new-password", required: true, minlength: null });
  password.input.setAttribute("aria-describedby", `rules ${password.wrong.id}`);
  const button = h("button", { class: "primary", type: "submit" }, t("claim.do"));
  const rules = h("ul", { class: "rules", id: "rules" });
  const draw = () => {
    const value = password.input.value;
    const long = [...value].length >= PASSWORD_MIN;
    const varied = new Set(value.toLowerCase()).size >= DIFFERENT_MIN;
    morph(rules, rule(long, t("claim.long", { n: PASSWORD_MIN })), rule(varied, t("claim.varied")), rule(null, t("claim.known")));
  };
  const rule = (kept, text) => h("li", { "data-kept": kept ? "yes" : "no" }, icon(kept ? "check" : "busy"), h("span", {}, text, kept && h("span", { class: "unseen" }, ` ${t("claim.kept")}`)));
  password.input.addEventListener("input", draw);
  const look = h("label", { class: "check" }, h("input", { type: "checkbox", onchange: (event) => { password.input.type = event.target.checked ? "text" : "password"; } }), t("claim.show"));
  const user = h("input", { type: "text", autocomplete: "username", value: "owner", class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  fill(root, h("div", { class: "gate card claim" },
    h("img", { src: "icon.svg", width: 56, height: 56, alt: "" }),
    h("h2", {}, t("claim.title")), h("p", { class: "lead" }, t("claim.why")),
    h("form", { class: "stack", novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      if ([...password.input.value].length < PASSWORD_MIN) {
        password.fail(t("claim.short", { n: PASSWORD_MIN }));
        return;
      }
      const done = await submit(context, { password }, button, async () => {
        await context.api.post("/claim", { password: password.input.value }, { quiet: true });
        return true;
      });
      if (!done) return;
      kept.set("setup", STEPS[0]);
      location.hash = "#/setup/name";
      await context.begin();
    } }, user, password.element, rules, look, h("div", { class: "actions" }, button)),
    h("p", { class: "soft small-text" }, t("claim.left", { span: span(left) }))));
  password.element.querySelector(".hint").remove();
  draw();
}

// ---- 1. A name, and what time it is

async function nameStep(body, context) {
  const settings = await context.api.get("/settings", { signal: context.signal }).catch(() => ({}));
  const label = field("name", { value: settings.name ?? context.status.now?.name ?? "", maxlength: 32, required: true });
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : [];
  const zones = [...new Set([here, settings.time_zone, "UTC", ...known].filter(Boolean))];
  const id = unique("zone");
  const zone = h("select", { id, name: "time_zone", "aria-describedby": `${id}-hint` }, zones.map((one) => h("option", { value: one, selected: one === here }, one.replaceAll("_", " "))));
  const button = h("button", { class: "primary", type: "submit" }, t("do.next"));
  fill(body, h("p", { class: "soft" }, t("setup.name.why")), h("form", { class: "stack", novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const changes = { name: label.input.value.trim() };
    if ("time_zone" in settings) changes.time_zone = zone.value;
    const done = await submit(context, { name: label }, button, () => context.api.patch("/settings", changes, { match: "/settings" }).then(() => true));
    if (done) next(context, "name");
  } }, label.element,
  "time_zone" in settings && h("div", { class: "field" }, h("label", { for: id }, t("setup.time_zone")), zone, h("p", { class: "hint", id: `${id}-hint` }, t("setup.time_zone.hint"))),
  foot(context, "name", button)));
}

// ---- 2. Where channels come from

const KINDS = ["demo", "playlist", "xtream", "hdhomerun"];

async function channelsStep(body, context) {
  let kind = kept.get("setup.kind") ?? "playlist";
  if (!KINDS.includes(kind)) kind = "playlist";
  // That takes a second; nobody waits for it.
  let found = [];
  context.api.get("/neighbours", { signal: context.signal, quiet: true }).then((neighbours) => {
    found = neighbours;
    const input = body.querySelector("[name=tuner]");
    if (found.length > 0 && input && !input.value) draw();
    else if (found.length > 0 && !context.signal.aborted) body.querySelector("[data-found]").textContent = t("kind.hdhomerun.found", { n: found.length });
  }).catch(() => null);
  const draw = () => {
    kept.set("setup.kind", kind);
    const fields = fieldsOf(kind, found);
    const button = h("button", { class: "primary", type: "submit" }, kind === "demo" ? t("do.next") : t("setup.read"));
    const progress = h("div", { class: "stack", role: "status" });
    fill(body, h("p", { class: "soft" }, t("setup.channels.why")),
      h("form", { class: "stack", novalidate: true, onsubmit: (event) => {
        event.preventDefault();
        add(context, kind, fields, button, progress);
      } },
      h("fieldset", { class: "kinds" }, h("legend", { class: "unseen" }, t("setup.kind")), KINDS.map((one) => h("label", { class: "kind" },
        h("input", { type: "radio", name: "kind", value: one, checked: one === kind, onchange: () => {
          kind = one;
          draw();
          body.querySelector(`[value=${one}]`).focus();
        } }),
        h("span", {}, h("strong", {}, t(`kind.${one}`)), h("span", { class: "soft small-text", "data-found": one === "hdhomerun" }, one === "hdhomerun" && found.length ? t("kind.hdhomerun.found", { n: found.length }) : t(`kind.${one}.what`)))))),
      Object.values(fields).map((one) => one.element), progress, foot(context, "channels", button)));
  };
  draw();
}

function fieldsOf(kind, found) {
  const url = { type: "url", inputmode: "url" };
  if (kind === "playlist") {
    const file = field("file", { type: "file", accept: ".m3u,.m3u8,audio/x-mpegurl,application/vnd.apple.mpegurl" });
    return { address: field("playlist", { ...url, placeholder: "https://provider.example/list.m3u" }), file };
  }
  if (kind === "xtream") {
    return {
      address: field("server", { ...url, placeholder: "http://provider.example:8080" }), username: field("username", { autocapitalize: "none" }),
      password: field("login", { type: "password", autocomplete: "off" }),
    };
  }
  if (kind === "hdhomerun") {
    const list = unique("found");
    const tuner = field("tuner", { ...url, placeholder: "http://192.168.1.9", value: found[0] ? found[0].address : "", list: found.length > 1 ? list : null });
    if (found.length > 1) tuner.element.append(h("datalist", { id: list }, found.map((one) => h("option", { value: one.address }, one.device_id))));
    return { address: tuner };
  }
  return {};
}

/** Only the host, for a name that the owner can change later. */
function hostOf(address) {
  try { return new URL(address.includes("://") ? address : `http://${address}`).hostname; } catch { return ""; }
}

async function add(context, kind, fields, button, progress) {
  if (kind === "demo") {
    next(context, "groups");
    return;
  }
  const file = fields.file?.input.files[0];
  const value = (key) => fields[key]?.input.value.trim();
  if (!file && !value("address")) {
    fields.address.fail(t("setup.address.missing"));
    return;
  }
  const id = await submit(context, fields, button, async () => {
    const had = Number(sessionStorage.getItem("setup.source"));
    const written = { kind: file ? "upload" : kind, name: file ? file.name : hostOf(value("address")) || t(`kind.${kind}`) };
    if (!file) written.address = value("address");
    if (kind === "xtream") Object.assign(written, { username: value("username"), password: fields.password.input.value });
    // Who corrects what he has typed means the same source.
    if (had) await context.api.delete(`/subscriptions/${had}`).catch(() => null);
    sessionStorage.removeItem("setup.source");
    const made = await context.api.post("/subscriptions", written);
    sessionStorage.setItem("setup.source", made.id);
    if (file) await context.api.put(`/subscriptions/${made.id}/playlist`, undefined, { raw: file, ms: READ_MS_MAX });
    return made.id;
  });
  if (id === null) return;
  button.disabled = true;
  const until = Date.now() + READ_MS_MAX;
  while (!context.signal.aborted && Date.now() < until) {
    const source = await context.api.get(`/subscriptions/${id}`, { signal: context.signal }).catch(() => null);
    if (source?.error) {
      button.disabled = false;
      morph(progress);
      fields.address.fail(t("setup.read.failed", { why: source.error }));
      return;
    }
    if (source && !source.in_progress && source.loaded_at) {
      next(context, "channels");
      return;
    }
    morph(progress, h("p", {}, t("setup.reading", { n: source?.entries ?? 0 })), meter(source?.progress ?? 0, 100));
    await new Promise((done) => { setTimeout(done, LOOK_MS); });
  }
}

// ---- 3. Which of them

async function groupsStep(body, context) {
  const sources = await context.api.get("/subscriptions", { signal: context.signal }).catch(() => []);
  const all = Array.isArray(sources) ? sources : sources.items ?? [];
  const id = Number(sessionStorage.getItem("setup.source")) || all.at(-1)?.id;
  const groups = id && all.length > 0 ? await context.api.get(`/subscriptions/${id}/groups`, { signal: context.signal }).catch(() => []) : [];
  if (groups.length === 0) {
    fill(body, h("p", {}, t("setup.groups.none")), foot(context, "groups", h("a", { class: "button primary", href: "#/setup/add" }, t("do.next"))));
    return;
  }
  const ticked = new Set(suggestion(groups));
  let search = "";
  const listed = h("div", { class: "stack" });
  const count = () => groups.reduce((sum, group) => sum + (ticked.has(group.name) ? group.entries : 0), 0);
  const set = (names, on) => {
    for (const one of names) on ? ticked.add(one) : ticked.delete(one);
    draw();
  };
  const draw = () => {
    const n = count();
    const shown = groups.filter((group) => group.name.toLowerCase().includes(search));
    const isMany = n > PLEX_CHANNELS_MAX;
    morph(listed,
      h("div", { class: "card pad sum", "data-level": isMany ? "warn" : "good", role: "status" },
        h("p", {}, h("strong", {}, t("setup.sum", { n })), ` ${t("setup.sum.groups", { n: ticked.size })}`),
        meter(n, PLEX_CHANNELS_MAX, isMany ? "warn" : "busy"),
        h("p", { class: "small-text" }, isMany ? t("setup.sum.many", { n: PLEX_CHANNELS_MAX }) : t("setup.sum.fits", { n: PLEX_CHANNELS_MAX }))),
      h("div", { class: "row spread" }, h("div", { class: "row" },
        h("button", { type: "button", class: "small", onclick: () => set(shown.map((group) => group.name), true) }, t("setup.all")),
        h("button", { type: "button", class: "small", onclick: () => set(shown.map((group) => group.name), false) }, t("setup.none"))),
      h("span", { class: "soft small-text" }, t("setup.groups.shown", { n: shown.length }))),
      h("ul", { class: "card lines groups" }, shown.map((group) => h("li", { key: group.name }, h("label", { class: "check" },
        h("input", { type: "checkbox", checked: ticked.has(group.name), onchange: (event) => set([group.name], event.target.checked) }),
        h("span", { dir: "auto" }, group.name || t("setup.groups.nameless"))), h("span", { class: "soft" }, t("setup.entries", { n: group.entries }))))));
  };
  const button = h("button", { class: "primary", type: "button", onclick: () => context.attempt(async () => {
    await context.api.put(`/subscriptions/${id}/groups`, { groups: ticked.size === groups.length ? null : [...ticked] });
    next(context, "groups");
  }, button) }, t("do.next"));
  const searchId = unique("search");
  fill(body, h("p", { class: "soft" }, t("setup.groups.why", { n: PLEX_CHANNELS_MAX })),
    groups.length > 8 && h("div", { class: "field" }, h("label", { for: searchId }, t("setup.groups.search")), h("input", { id: searchId, type: "search", oninput: (event) => {
      search = event.target.value.trim().toLowerCase();
      draw();
    } })),
    listed, foot(context, "groups", button));
  draw();
}

/** What is ticked at first: what the owner has ticked already; otherwise groups from the top, as long as Plex copes. */
function suggestion(groups) {
  const chosen = groups.filter((group) => group.ticked).map((group) => group.name);
  if (chosen.length > 0 && chosen.length < groups.length) return chosen;
  let rest = PLEX_CHANNELS_MAX;
  return groups.filter((group) => {
    if (group.entries > rest) return false;
    rest -= group.entries;
    return true;
  }).map((group) => group.name);
}

// ---- 4. In which program

function addStep(body, context) {
  const live = h("div", { class: "found-by card pad", role: "status" });
  const rest = h("div", { class: "stack" });
  fill(body, h("p", { class: "soft" }, t("setup.add.why")), live, rest, foot(context, "add", h("button", { class: "primary", type: "button", onclick: () => finish(context) }, t("setup.finish"))));
  let drawn = false;
  context.status.subscribe(({ now }) => {
    const clients = (now.clients ?? []).filter((client) => client.asked !== "page" && client.name !== "browser");
    live.dataset.level = clients.length > 0 ? "good" : "busy";
    morph(live, icon(clients.length > 0 ? "good" : "search"), h("div", {},
      h("p", {}, h("strong", {}, clients.length > 0 ? t("setup.found", { n: clients.length }) : t("setup.waiting"))),
      clients.length > 0 ? h("ul", {}, clients.slice(0, 6).map((client) => h("li", { key: `${client.address} ${client.name}` },
        rich("setup.found.who", { name: h("strong", {}, client.name === "unknown" ? t("clients.unknown") : client.name), address: client.address, what: has(`asked.${client.asked}`) ? t(`asked.${client.asked}`) : client.asked, ago: ago(client.asked_s_ago ?? 0) }))))
        : h("p", { class: "soft small-text" }, t("setup.waiting.how"))));
    if (drawn || !now.addresses) return;
    drawn = true;
    fill(rest, h("div", { class: "stack programs" }, programs(context, now.addresses, now.channels_len, "plex")),
      h("details", { class: "card program" }, h("summary", {}, h("span", {}, t("setup.other")), icon("down")), h("div", { class: "pad" }, addresses(context, now.addresses))));
  });
}
