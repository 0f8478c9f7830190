// Sources: playlists, logins and other boxes, how they are, and what may be changed of them; and the further faces that
// the box shows to clients. Not here: what became of their channels (channels.js), their guides (guide.js).

import { PLEX_CHANNELS_MAX } from "./add.js";
import { fill, h, icon } from "./dom.js";
import { address, again, busy, change, chip, doing, facts, field, form, items, nothing, part, sheet } from "./manage.js";
import { age, ago, date, day, number, span, t } from "./texts.js";

const BUSY_MS = 1500;
const IDLE_MS = 15000;
const FACES_MAX = 4;
const EXPIRES_SOON_S = 7 * 86400;
const REFRESHES = [900, 3600, 10800, 21600, 43200, 86400, 604800];
const KINDS = ["playlist", "upload", "xtream", "hdhomerun", "test"];

/** How a source is: a level, and a few words. */
function state(source) {
  const left = source.account?.expires_at ? -(age(source.account.expires_at) ?? -Infinity) : Infinity;
  if (!source.enabled) return ["off", t("source.off")];
  if (source.in_progress) return ["busy", t("source.reading")];
  if (source.error) return ["ill", t("source.error")];
  if (left <= 0) return ["ill", t("source.is-expired")];
  if (left < EXPIRES_SOON_S) return ["warn", t("source.expires-soon", { span: span(left) })];
  if (!source.loaded_at) return ["busy", t("source.never")];
  return ["good", t("source.good")];
}

const when = (text) => (date(text) ? ago(Math.max(0, age(text) ?? 0)) : null);

export async function sources(root, context) {
  const { api, ask, signal, head } = context;
  let sources = [];
  let faces = [];
  let loadedAt = 0;
  const list = h("div", { class: "grid wide-cards" });
  const further = h("div", { class: "grid" });
  const facesPart = part(t("face.title"), h("button", { type: "button", onclick: () => editFace() }, icon("add"), t("face.add")),
    h("p", { class: "soft" }, t("face.what")), further);
  facesPart.id = "faces";
  fill(head, h("button", { type: "button", class: "primary", onclick: () => add() }, icon("add"), t("source.add")));
  fill(root, list, facesPart);

  // ---- The list

  async function load() {
    const found = items(await api.get("/subscriptions"));
    if (signal.aborted) return;
    loadedAt = Date.now();
    // How many are in use now, the state of the box tells.
    const used = (id) => context.status.now?.sources?.find((one) => one.id === id)?.streams?.used ?? null;
    sources = found.map((one) => ({ ...one, streams_used: used(one.id) }));
    draw();
  }

  const cards = new Map();

  function draw() {
    for (const id of [...cards.keys()]) if (!sources.some((one) => one.id === id)) cards.delete(id);
    const wanted = sources.map((source) => {
      const text = JSON.stringify(source);
      const had = cards.get(source.id);
      // What has not changed stays: so does the focus.
      if (had?.text === text) return had.element;
      const element = card(source);
      const focused = had && had.element.contains(document.activeElement) ? document.activeElement.dataset.do : null;
      cards.set(source.id, { text, element, focused });
      return element;
    });
    if (wanted.length === 0) {
      wanted.push(nothing(t("source.none"), h("button", { type: "button", class: "primary", onclick: () => add() }, icon("add"), t("source.add"))));
    }
    const isSame = wanted.length === list.children.length && wanted.every((one, at) => list.children[at] === one);
    if (!isSame) fill(list, wanted);
    for (const one of cards.values()) {
      if (one.focused) one.element.querySelector(`[data-do="${one.focused}"]`)?.focus();
      one.focused = null;
    }
  }

  function card(source) {
    const [level, text] = state(source);
    const account = source.account ?? {};
    const most = source.streams_max ?? account.connections_max;
    const used = source.streams_used;
    const button = (key, label, work, attributes = {}) => doing(context, label, work, { class: "small", "data-do": key, ...attributes });
    const expires = date(account.expires_at);
    return h("article", { class: "card pad stack", "data-level": level, "aria-label": source.name },
      h("div", { class: "row spread" }, h("h2", {}, source.name), chip([icon({ good: "good", ill: "ill", busy: "asking", warn: "busy" }[level] ?? "stop"), text], level)),
      h("p", { class: "soft small-text sub" }, [t(`source.kind-${source.kind}`), source.address].filter(Boolean).join(" · ")),
      source.error && h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, source.error)),
      source.in_progress && h("div", { class: "stack" }, h("progress", { max: 100, value: source.progress, "aria-label": t("source.reading") })),
      facts([
        [t("source.listed"), source.loaded_at ? source.entries : null],
        [t("source.loaded"), when(source.loaded_at)],
        [t("source.next-read"), source.enabled && source.next_in_s !== null && !source.in_progress ? t("source.in", { span: span(source.next_in_s) }) : null],
        [t("source.account"), account.status || null],
        [t("source.expires"), expires && day(expires) + (expires.getFullYear() === new Date().getFullYear() ? "" : ` ${expires.getFullYear()}`)],
        [t("source.streams"), most ? (used === null ? t("source.at-once", { n: most }) : t("source.used", { used, most })) : null],
        [t("source.guides"), source.guides?.length || null],
        [t("source.skipped"), source.skipped || null],
        [t("source.changes"), source.held ? t("source.held") : null],
      ]),
      used > 0 && most > 0 && h("meter", { min: 0, max: most, value: Math.min(used, most), "aria-label": t("source.streams") }),
      source.too_many && h("p", { class: "note", "data-level": "warn" }, icon("busy"), h("span", {}, t("source.too-many", { n: source.too_many }))),
      h("div", { class: "row card-do" },
        source.in_progress
          ? button("go", t("source.cancel"), async () => {
            await api.post(`/subscriptions/${source.id}/cancel`);
            await load();
          })
          : source.kind === "upload"
            ? button("go", t("source.upload-again"), () => upload(source))
            : button("go", [icon("retry"), t("source.refresh")], async () => {
              await api.post(`/subscriptions/${source.id}/refresh`);
              await load();
            }, { disabled: !source.enabled }),
        button("groups", t("source.groups"), () => showGroups(source)),
        button("edit", [icon("edit"), t("source.edit")], () => edit(source)),
        button("undo", t("source.take-back"), () => takeBack(source), { class: "small quiet", hidden: !source.loaded_at }),
        !source.from_settings && button("remove", [icon("delete"), t("source.remove")], () => remove(source), { class: "small quiet" })));
  }

  async function remove(source) {
    const yes = await ask({ title: t("source.remove-title", { name: source.name }), text: t("source.remove-text"), yes: t("source.remove"), danger: true });
    if (yes) await change(context, () => api.delete(`/subscriptions/${source.id}`), t("source.removed", { name: source.name }), load);
  }

  /** The last refresh taken back; from then on, changes wait. */
  async function takeBack(source) {
    const sets = items(await api.get(`/subscriptions/${source.id}/changes`));
    const last = sets.find((set) => set.state === "applied");
    if (!last) {
      context.say(t("source.take-back-none"));
      return;
    }
    const kinds = ["new", "gone", "renamed", "moved", "changed"].filter((kind) => last[kind] > 0);
    const yes = await ask({
      title: t("source.take-back-title", { name: source.name }), yes: t("source.take-back"),
      text: t("source.take-back-text", { when: when(last.at) ?? "", what: kinds.map((kind) => t(`change.${kind}`, { n: last[kind] })).join(", ") }),
    });
    if (!yes) return;
    await api.post(`/subscriptions/${source.id}/undo`);
    context.say(t("source.taken-back"));
    await load();
  }

  // ---- Adding one, and what comes of it

  function add() {
    sheet(context, t("source.add"), (body, close) => choose(body, close, {}));
  }

  function fieldsOf(kind, values = {}) {
    const login = [
      field({ name: "username", label: t("source.username"), value: values.username, required: true }),
      field({ name: "password", type: "password", label: t("signin.password"), value: values.password, required: true, autocomplete: "off" })];
    const name = field({ name: "name", label: t("setup.name"), value: values.name, required: false, hint: t("source.name-hint"), autocapitalize: "words" });
    const place = (hint, placeholder) => field({ name: "address", type: "url", inputmode: "url", label: t(`source.address-${kind}`), value: values.address, required: true, hint, placeholder });
    if (kind === "playlist") return [place(t("setup.playlist.hint"), "http://…/playlist.m3u"), name];
    if (kind === "upload") return [field({ name: "file", type: "file", label: t("source.file"), required: true, accept: ".m3u,.m3u8,audio/x-mpegurl,application/vnd.apple.mpegurl,text/plain", hint: t("source.file-hint") }), name];
    if (kind === "xtream") return [place(t("source.xtream-hint"), "http://provider.example:8080"), ...login, name];
    if (kind === "hdhomerun") return [place(t("source.hdhomerun-hint"), "http://192.168.1.20"), name];
    return [];
  }

  function choose(body, close, values) {
    const kind = field({
      name: "kind", type: "choice", label: t("source.kind"), value: values.kind ?? "playlist",
      options: KINDS.map((one) => [one, t(`source.kind-${one}`), t(`source.kind-${one}-hint`)]),
      onchange: () => setKind(),
    });
    const place = h("div", { class: "stack" });
    let fields = [];
    let known = values;
    const setKind = () => {
      for (const one of fields) if (one.name !== "file") known = { ...known, [one.name]: one.read() };
      fields = fieldsOf(kind.read(), known);
      if (kind.read() === "test") fill(place, h("p", {}, t(sources.length ? "source.test-later" : "source.test-now")));
      else fill(place, fields.map((one) => one.element));
      button.hidden = kind.read() === "test";
    };
    const element = form({
      fields: () => [kind, ...fields], submit: t("source.test"),
      save: async ({ kind: chosen, file, ...written }) => {
        if (values.id === undefined) {
          const added = await api.post("/subscriptions", { kind: chosen, ...written });
          values = { ...written, id: added.id, kind: chosen };
        } else {
          await api.patch(`/subscriptions/${values.id}`, written);
          if (chosen !== "upload") await api.post(`/subscriptions/${values.id}/refresh`);
        }
        if (file) await send(values.id, file);
        result(body, close, { ...written, id: values.id, kind: chosen });
      },
    });
    const button = element.querySelector("[type=submit]");
    element.prepend(kind.element, place);
    setKind();
    // What was tried stays what it is.
    if (values.id !== undefined) kind.element.hidden = true;
    body.show(element);
  }

  const send = async (id, file) => {
    try {
      await api.put(`/subscriptions/${id}/playlist`, undefined, { raw: file, headers: { "content-type": "audio/x-mpegurl" }, ms: 300000 });
    } catch (problem) {
      problem.field = "file";
      throw problem;
    }
  };

  function upload(source) {
    return sheet(context, t("source.upload-again"), (body, close) => body.show(form({
      fields: fieldsOf("upload").slice(0, 1), submit: t("source.upload"),
      save: async ({ file }) => {
        await send(source.id, file);
        result(body, close, source);
      },
    })));
  }

  /** What works: asked until it has been read, or has failed. */
  function result(body, close, tried) {
    const line = (level, text, more) => h("li", { class: "found", "data-level": level }, icon({ good: "good", ill: "ill", busy: "asking" }[level] ?? "busy"),
      h("span", {}, text, more && h("span", { class: "soft small-text sub" }, more)));
    const bar = h("progress", { max: 100, "aria-label": t("source.reading") });
    const cancel = doing(context, t("source.cancel"), () => api.post(`/subscriptions/${tried.id}/cancel`));
    body.show(h("p", { role: "status" }, t("source.testing")), bar, h("div", { class: "actions" }, cancel));
    const startedAt = Date.now();
    let wasBusy = false;
    const ask_ = async () => {
      if (!body.isConnected) return true;
      const source = await api.get(`/subscriptions/${tried.id}`);
      wasBusy ||= source.in_progress;
      if (source.in_progress) bar.value = source.progress;
      // Right after it was added, nobody has begun yet.
      if (source.in_progress || (!source.error && !source.loaded_at && Date.now() - startedAt < 20000)) return false;
      if (!wasBusy && tried.error !== undefined && source.error && Date.now() - startedAt < 2000) return false;
      const groups = source.error ? [] : items(await api.get(`/subscriptions/${tried.id}/groups`));
      finish(source, groups);
      return true;
    };
    const finish = (source, groups) => {
      const account = source.account ?? {};
      const expires = date(account.expires_at);
      const isGood = !source.error && source.entries > 0;
      body.show(
        h("div", { role: "status" }, h("ul", { class: "found-list" },
          source.error ? line("ill", t("test.failed"), source.error) : line("good", t("test.reached")),
          !source.error && line(source.entries ? "good" : "ill", t("home.channels", { n: source.entries }), groups.length ? t("setup.sum.groups", { n: groups.length }) : null),
          !source.error && source.kind !== "hdhomerun" && line(source.guides?.length ? "good" : "none", source.guides?.length ? t("test.guide") : t("test.no-guide"), source.guides?.[0]),
          account.status && line(/^active$/i.test(account.status) ? "good" : "ill", t("test.account", { status: account.status }), expires && t("test.expires", { day: day(expires) + ` ${expires.getFullYear()}` })),
          account.connections_max && line("good", t("source.at-once", { n: account.connections_max })),
          source.skipped > 0 && line("none", t("test.skipped", { n: source.skipped }), source.first_skipped),
          isGood && source.entries > PLEX_CHANNELS_MAX && line("none", t("test.many", { most: PLEX_CHANNELS_MAX })))),
        h("div", { class: "actions" },
          !isGood && h("button", { type: "button", onclick: () => choose(body, close, tried) }, icon("edit"), t("test.edit")),
          !isGood && !source.loaded_at && doing(context, t("test.remove"), async () => {
            await api.delete(`/subscriptions/${tried.id}`);
            close(true);
            await load();
          }, { class: "danger" }),
          isGood && groups.length > 1 && h("button", { type: "button", class: source.entries > PLEX_CHANNELS_MAX ? "primary" : null, onclick: () => groupsIn(body, close, source, groups) }, t("source.groups")),
          isGood && h("button", { type: "button", class: source.entries > PLEX_CHANNELS_MAX && groups.length > 1 ? null : "primary", onclick: () => close(true) }, t("test.done"))));
      load().catch(() => {});
    };
    const end = again(async () => {
      if (await ask_()) end();
    }, () => 500);
    signal.addEventListener("abort", end);
  }

  // ---- Its groups

  async function showGroups(source) {
    const groups = items(await api.get(`/subscriptions/${source.id}/groups`));
    sheet(context, t("source.groups-title", { name: source.name }), (body, close) => groupsIn(body, close, source, groups), { wide: true });
  }

  function groupsIn(body, close, source, groups) {
    let isAll = !(source.ticked_only ?? groups.some((one) => !one.ticked));
    const rows = groups.map((group) => {
      const name = group.name || t("setup.groups.nameless");
      const box = h("input", { type: "checkbox", checked: isAll || group.ticked, onchange: () => sum() });
      const range = h("input", { type: "number", min: 1, class: "range", value: group.number_from ?? "", inputmode: "numeric", placeholder: "–", "aria-label": t("source.range", { name }) });
      const element = h("li", { class: "group" }, h("label", { class: "check grow" }, box, h("span", {}, name, h("span", { class: "soft small-text sub" }, t("home.channels", { n: group.entries })))), range);
      return { group, box, range, element, key: name.toLowerCase() };
    });
    const total = h("p", { class: "strong", role: "status" });
    const hint = h("p", { class: "note", "data-level": "warn" });
    const sum = () => {
      for (const one of rows) one.box.disabled = isAll;
      const n = rows.filter((one) => isAll || one.box.checked).reduce((all, one) => all + one.group.entries, 0);
      total.textContent = t("home.channels", { n });
      hint.hidden = n <= PLEX_CHANNELS_MAX;
      fill(hint, icon("busy"), h("span", {}, t("test.many", { most: PLEX_CHANNELS_MAX })));
    };
    const how = field({ name: "all", type: "choice", label: t("source.which"), value: isAll ? "all" : "some", options: [["all", t("source.all")], ["some", t("source.some")]], onchange: () => {
      isAll = how.read() === "all";
      sum();
    } });
    const find = field({ name: "find", type: "search", label: t("source.group-find"), oninput: () => {
      for (const one of rows) one.element.hidden = !one.key.includes(find.read().toLowerCase());
    } });
    const tick = (is) => {
      for (const one of rows) if (!one.element.hidden) one.box.checked = is;
      sum();
    };
    sum();
    const element = form({
      fields: [how, groups.length > 8 && find,
        h("div", { class: "row spread" }, h("div", { class: "row" },
          h("button", { type: "button", class: "small", onclick: () => tick(true) }, t("source.tick-all")),
          h("button", { type: "button", class: "small", onclick: () => tick(false) }, t("source.tick-none"))),
        h("span", { class: "soft small-text" }, t("source.range-head"))),
        h("ul", { class: "groups" }, rows.map((one) => one.element)), total, hint],
      submit: t("do.save"),
      save: () => change(context, async () => {
        const ticked = rows.filter((one) => one.box.checked).map((one) => one.group.name);
        await api.put(`/subscriptions/${source.id}/groups`, { groups: isAll ? null : ticked }, { ms: 60000 });
        for (const { group, range } of rows) {
          const from = range.value === "" ? null : Number(range.value);
          if (from !== (group.number_from ?? null)) {
            await api.put(`/subscriptions/${source.id}/ranges`, { group: group.name, number_from: from }, { ms: 60000 });
            group.number_from = from;
          }
        }
        close(true);
      }, t("source.saved", { name: source.name }), load),
    });
    body.show(element);
  }

  // ---- Editing one

  function edit(source) {
    const isOwn = !source.from_settings;
    const refreshes = [...new Set([...REFRESHES, source.refresh_s])].sort((one, other) => one - other);
    const hasHeaders = source.headers?.length > 0;
    const first = [
      field({ name: "name", label: t("setup.name"), value: source.name, autocapitalize: "words" }),
      isOwn && source.kind !== "upload" && field({ name: "address", type: "url", label: t(`source.address-${source.kind}`), value: source.address, hint: t("source.address-kept") }),
      source.kind === "xtream" && field({ name: "username", label: t("source.username"), value: source.username }),
      source.kind === "xtream" && field({ name: "password", type: "password", label: t("signin.password"), value: "", placeholder: "••••••••", hint: t("source.password-kept"), autocomplete: "off" }),
      source.kind !== "upload" && field({ name: "refresh_s", type: "select", label: t("source.refresh-every"), value: source.refresh_s, options: refreshes.map((one) => [one, span(one)]) }),
      field({ name: "streams_max", type: "number", label: t("source.streams-max"), value: source.streams_max ?? "", min: 0, max: 999, hint: source.account?.connections_max ? t("source.streams-said", { n: source.account.connections_max }) : t("source.streams-hint") }),
      field({ name: "held", type: "check", label: t("source.hold"), value: source.held, hint: t("source.hold-hint") }),
      isOwn && field({ name: "enabled", type: "check", label: t("source.enabled"), value: source.enabled, hint: t("source.enabled-hint") }),
    ].filter(Boolean);
    const more = [
      field({ name: "user_agent", label: t("source.agent"), value: source.user_agent ?? "", hint: t("source.agent-hint") }),
      field({ name: "proxy", label: t("source.proxy"), value: source.proxy ?? "", hint: t("source.proxy-hint"), placeholder: "socks5://host:1080" }),
      source.kind !== "upload" && field({ name: "hosts", type: "lines", label: t("source.hosts"), value: source.hosts, hint: t("source.hosts-hint") }),
    ].filter(Boolean);
    const headers = ["Referer", "Origin", "Cookie"].map((name) => field({ name, label: name, value: "", placeholder: source.headers?.some((one) => one.toLowerCase() === name.toLowerCase()) ? "••••••••" : "" }));
    const setHeaders = field({ name: "set_headers", type: "check", label: t(hasHeaders ? "source.headers-anew" : "source.headers"), hint: hasHeaders ? t("source.headers-known", { names: source.headers.join(", ") }) : null, onchange: () => {
      group.hidden = !setHeaders.read();
    } });
    const headersNote = { ...field({ name: "headers", label: "", type: "check" }), isChanged: () => false };
    headersNote.element.querySelector("label").hidden = true;
    const group = h("div", { class: "stack", hidden: true }, headers.map((one) => one.element), headersNote.element);
    const further = h("details", {}, h("summary", {}, t("source.further")),
      h("div", { class: "stack inner" }, more.map((one) => one.element), setHeaders.element, group));
    sheet(context, t("source.edit-title", { name: source.name }), (body, close) => {
      const element = form({
        fields: () => [...first, ...more, headersNote], submit: t("do.save"),
        save: async (_, changed) => {
          const sent = { ...changed };
          if ("refresh_s" in sent) sent.refresh_s = Number(sent.refresh_s);
          if ("streams_max" in sent) sent.streams_max = sent.streams_max ?? 0;
          if (setHeaders.read()) {
            sent.headers = Object.fromEntries(headers.map((one) => [one.name, one.read()]).filter(([, value]) => value));
          }
          if (Object.keys(sent).length === 0) return close(true);
          try {
            await change(context, () => api.patch(`/subscriptions/${source.id}`, sent), t("source.saved", { name: source.name }), load);
          } catch (problem) {
            if (more.some((one) => one.name === problem.field) || problem.field === "headers") further.open = true;
            if (problem.field === "headers") group.hidden = false;
            throw problem;
          }
          return close(true);
        },
      });
      element.prepend(...first.map((one) => one.element), further);
      body.show(element);
    });
  }

  // ---- Faces

  async function loadFaces() {
    faces = items(await api.get("/faces"));
    if (signal.aborted) return;
    fill(further, faces.map(faceCard));
    facesPart.querySelector("button").disabled = faces.length > FACES_MAX;
  }

  function faceCard(face) {
    const isBox = face.id === 0;
    const which = { all: t("face.all"), favorites: t("face.favorites"), groups: (face.groups ?? []).join(", ") }[face.channels];
    const host = face.port ? `${location.hostname}${face.port === 80 ? "" : `:${face.port}`}` : null;
    return h("article", { class: "card pad stack", "aria-label": face.name },
      h("div", { class: "row spread" }, h("h3", {}, face.name), isBox && chip(t("face.box"), "busy")),
      host ? h("div", {}, h("p", { class: "soft small-text" }, t("face.type")), address(context, host, face.name))
        : h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, t("face.no-port"))),
      facts([
        [t("face.channels"), which], [t("face.first"), face.first],
        [t("face.listed"), face.listed], [t("tuners.title"), face.tuners], [t("face.id"), face.device_id]]),
      face.listed > PLEX_CHANNELS_MAX && h("p", { class: "note", "data-level": "warn" }, icon("busy"), h("span", {}, t("face.many", { most: PLEX_CHANNELS_MAX }))),
      h("div", { class: "row card-do" }, isBox
        ? h("a", { class: "button small", href: "#/system" }, t("face.rename"))
        : [h("button", { type: "button", class: "small", onclick: () => editFace(face) }, icon("edit"), t("source.edit")),
          doing(context, [icon("delete"), t("source.remove")], async () => {
            const yes = await ask({ title: t("source.remove-title", { name: face.name }), text: t("face.remove-text"), yes: t("source.remove"), danger: true });
            if (yes) await change(context, () => api.delete(`/faces/${face.id}`), t("source.removed", { name: face.name }), loadFaces);
          }, { class: "small quiet" })]));
  }

  async function editFace(face) {
    const sets = await Promise.all(sources.map((one) => api.get(`/subscriptions/${one.id}/groups`).then(items, () => [])));
    const wanted = sets.flatMap((set, at) => set.filter((one) => one.ticked || !sources[at].ticked_only).map((one) => one.name));
    const known = [...new Set([...(face?.groups ?? []), ...wanted.filter(Boolean)])].sort((one, other) => one.localeCompare(other));
    const tuners = faces.find((one) => one.id === 0)?.tuners ?? 4;
    const which = field({ name: "channels", type: "choice", label: t("face.channels"), value: face?.channels ?? "all", options: [["all", t("face.all")], ["favorites", t("face.favorites")], ["groups", t("setup.groups")]], onchange: () => {
      boxes.hidden = which.read() !== "groups";
    } });
    const ticks = known.map((name) => ({ name, box: h("input", { type: "checkbox", checked: face?.groups?.includes(name) }) }));
    const groupsField = { ...field({ name: "groups", type: "check", label: "" }), isChanged: () => false };
    groupsField.element.querySelector("label").hidden = true;
    groupsField.focus = () => ticks[0]?.box.focus();
    const boxes = h("fieldset", { class: "field", hidden: which.read() !== "groups" }, h("legend", { class: "label" }, t("setup.groups")),
      h("ul", { class: "groups" }, ticks.map(({ name, box }) => h("li", {}, h("label", { class: "check" }, box, name)))), groupsField.element);
    const fields = [
      field({ name: "name", label: t("setup.name"), value: face?.name ?? "", required: true, hint: t("face.name-hint"), autocapitalize: "words" }),
      which,
      field({ name: "first", type: "number", label: t("face.first"), value: face ? face.first ?? "" : PLEX_CHANNELS_MAX, min: 0, hint: t("face.first-hint") }),
      field({ name: "tuners", type: "number", label: t("tuners.title"), value: face?.tuners ?? Math.ceil(tuners / 2), min: 1, max: tuners, required: true, hint: t("face.tuners-hint", { n: tuners }) })];
    sheet(context, face ? t("source.edit-title", { name: face.name }) : t("face.add"), (body, close) => body.show(form({
      fields: [fields[0], which, { ...groupsField, element: boxes }, fields[2], fields[3]], submit: t("do.save"),
      save: async ({ name, channels, first, tuners: wanted }) => {
        const sent = { name, channels, first, tuners: wanted };
        if (channels === "groups") sent.groups = ticks.filter((one) => one.box.checked).map((one) => one.name);
        await change(context, () => (face ? api.patch(`/faces/${face.id}`, sent) : api.post("/faces", sent)), t("source.saved", { name }), loadFaces);
        close(true);
      },
    })));
  }

  // ---- Begin

  await Promise.all([load(), loadFaces().catch(context.fail)]);
  if (context.rest[0] === "faces") facesPart.scrollIntoView();
  if (context.rest[0] === "add") add();
  const chosen = sources.find((one) => String(one.id) === context.rest[0]);
  if (chosen) edit(chosen);
  return again(async () => {
    if (sources.some((one) => one.in_progress) || Date.now() - loadedAt > IDLE_MS) await load();
  }, () => BUSY_MS);
}
