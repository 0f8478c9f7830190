// The box itself: its version, backup and undo, name and settings, password and tokens, notifications, the doctor, the
// log. Each is a page of its own below #/system. Not here: first run (setup.js), faces (sources.js).

import { fill, h, icon } from "./dom.js";
import { address, again, busy, change, chip, doing, facts, field, form, items, keep, later, nothing, part, sheet } from "./manage.js";
import { age, ago, clock, date, day, has, number, span, t } from "./texts.js";

const EVENTS = ["channel_ill", "channel_recovered", "source_expires", "source_expired", "source_failing", "source_recovered", "storm", "outage", "outage_over", "update_available", "update_installed", "update_rolled_back"];
const LEVELS = ["error", "warn", "info", "debug"];
const LOG_LINES_MAX = 1000;
const PASSWORD_LEN_MIN = 10;

const PAGES = { box: boxPage, backup: backupPage, access: accessPage, notifications: notificationsPage, doctor: doctorPage, log: logPage };

export async function system(root, context) {
  const here = context.rest[0] in PAGES ? context.rest[0] : "box";
  const body = h("div", { class: "subpage" });
  fill(root, h("div", { class: "with-nav" },
    h("nav", { class: "subnav", "aria-label": t("system.pages") }, Object.keys(PAGES).map((name) =>
      h("a", { href: `#/system/${name}`, "aria-current": name === here ? "page" : null }, t(`system.${name}`)))), body));
  root.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  return PAGES[here](body, context);
}

const said = (at) => (date(at) ? ago(Math.max(0, age(at) ?? 0)) : t("system.never"));
const full = (at) => (date(at) ? day(date(at), { time: true }) : "");
/** What a part shows while it cannot be had. */
const missing = (target) => (problem) => fill(target, h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, problem.detail || problem.title || t("manage.failed"))));

// ---- The box: version, settings, who asked it, help

async function boxPage(root, context) {
  const { api, status, signal } = context;
  const update = h("div");
  const settings = h("div");
  const clients = h("div");
  fill(root,
    part(t("update.title"), null, update),
    part(t("settings.title"), null, settings),
    part(t("programs.title"), null, clients),
    part(t("support.title"), null, h("div", { class: "card pad stack" }, h("p", {}, t("support.what")),
      h("div", { class: "row" }, doing(context, t("support.do"), async () => {
        const answer = await api.get("/support", { ms: 60000 });
        keep(`tunerd-support-${today()}.txt`, answer instanceof Blob ? answer : new Blob([typeof answer === "string" ? answer : JSON.stringify(answer, null, 1)]));
        context.say(t("support.done"));
      }, { class: "primary" }), h("a", { class: "button", href: "#/system/doctor" }, t("support.doctor"))))));

  const install = (sent) => api.post("/update/install", sent);

  /** What changes while an update is on its way. */
  function progress(now) {
    const { state, target, percent, problem, available, back, last } = now;
    const note = (level, text) => h("p", { class: "note", "data-level": level }, icon(level === "warn" ? "busy" : level), h("span", {}, text));
    const button = (word, work, sure) => doing(context, t(`update.${word}`), async () => {
      if (sure && !(await context.ask({ title: sure, yes: t(`update.${word}`) }))) return;
      await work();
      await loadUpdate();
    }, { class: "small" });
    const waits = state === "waiting" || state === "written";
    return [
      now.development_keys && note("warn", t("update.development")),
      now.on_trial && note("warn", t("update.on-trial")),
      last && note({ rolled_back: "ill", failed: "ill" }[last.outcome] ?? "good", [t(`update.last-${last.outcome}`, last), last.why].filter(Boolean).join(" ")),
      problem && note("ill", `${t("update.problem")} ${problem.detail}`),
      now.channel_problem && note("warn", now.channel_problem),
      state !== "idle" && h("p", { class: "strong", role: "status" }, t(`update.${state}`, { version: target ?? "" })),
      percent !== null && h("progress", { max: 100, value: percent, "aria-label": t("update.title") }),
      state === "idle" && available && h("p", { class: "strong" }, t("update.available", { version: available })),
      h("div", { class: "row" },
        now.can_cancel && button("cancel", () => api.post("/update/cancel")),
        waits && button("now", () => install({ address: "channel", now: true }), t("update.now-title")),
        state === "idle" && available && button("install", () => install({ address: "channel" })),
        state === "idle" && button("check", () => api.post("/update/check")),
        state === "idle" && back && button("back", () => api.post("/update/back"), t("update.back-title", { version: back }))),
      facts(now.boot_slots.map((slot) => [t("update.slot", slot), [slot.version ?? "?", slot.is_running && t("update.running"), !slot.is_good && t("update.bad")].filter(Boolean).join(" · ")]))];
  }

  const moving = h("div", { class: "stack" });
  let isMoving = false;
  async function loadUpdate() {
    const now = await api.get("/update");
    const { version, how, command, system } = now;
    const known = status.now;
    isMoving = how === "bundle" && (now.state !== "idle" || now.on_trial);
    if (how === "bundle") fill(moving, ...progress(now).filter(Boolean));
    if (update.firstChild) return;
    const upload = () => form({
      fields: [field({ name: "file", type: "file", label: t("update.file"), required: false, accept: ".raucb" }),
        field({ name: "address", type: "url", label: t("update.address"), required: false })],
      submit: t("update.install"),
      save: async ({ file, address: at }) => {
        if (file) await api.post("/update", undefined, { raw: file, ms: 3600000 });
        else if (at) await install({ address: at });
        else throw { field: "file", detail: t("manage.required") };
        await loadUpdate();
      },
    });
    fill(update, h("div", { class: "card pad stack" },
      h("p", {}, h("strong", { class: "big" }, `tunerd ${system ?? version}`)),
      h("p", {}, t(`update.${how}`)),
      command && address(context, command, t("update.command")),
      how === "bundle" && [moving, upload()],
      facts([
        [t("update.model"), known?.model], [t("update.board"), known?.board], [t("face.id"), known?.device_id],
        [t("update.up"), known && span(known.uptime_s)]]),
      h("p", { class: "soft small-text" }, t("update.safe"))));
  }

  async function loadSettings() {
    const now = await api.get("/settings");
    const zones = h("datalist", { id: "zones" }, (Intl.supportedValuesOf?.("timeZone") ?? []).map((zone) => h("option", { value: zone })));
    const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const make = ([key, value]) => {
      const type = { boolean: "check", number: "number" }[typeof value] ?? "text";
      const hint = has(`settings.${key}-hint`) ? t(`settings.${key}-hint`, { zone: local }) : null;
      return field({ name: key, type, label: has(`settings.${key}`) ? t(`settings.${key}`) : plain(key), value, hint, list: key === "time_zone" ? "zones" : null });
    };
    const fields = Object.entries(now).filter(([, value]) => value === null || typeof value !== "object").map(make);
    fill(settings, h("div", { class: "card pad" }, zones, form({
      fields, submit: t("do.save"),
      save: async (_, written) => {
        // Empty: as the file of settings has it.
        const changed = Object.fromEntries(Object.entries(written).map(([key, value]) => [key, value === "" ? null : value]));
        if (Object.keys(changed).length === 0) {
          context.say(t("settings.same"));
          return;
        }
        await change(context, () => api.patch("/settings", changed, { match: "/settings" }), t("settings.saved"), async () => {
          await loadSettings();
          status.refresh();
        });
      },
    })));
  }

  async function loadClients() {
    const list = items(await api.get("/clients"));
    if (signal.aborted) return;
    if (list.length === 0) fill(clients, nothing(t("programs.none")));
    else {
      const cell = (key, value) => h("td", { "data-label": t(`programs.${key}`) }, value);
      fill(clients, h("div", { class: "card" }, h("table", { class: "cards" },
        h("thead", {}, h("tr", {}, ["name", "address", "asked", "when", "lineup"].map((key) => h("th", { scope: "col" }, t(`programs.${key}`))))),
        h("tbody", {}, list.slice(0, 50).map((one) => h("tr", {}, h("th", { scope: "row" }, one.name, h("span", { class: "soft small-text sub" }, one.user_agent)),
          cell("address", one.address), cell("asked", has(`asked.${one.asked}`) ? t(`asked.${one.asked}`) : one.asked), cell("when", ago(one.asked_s_ago)),
          cell("lineup", one.lineup_s_ago === null ? t("programs.lineup-not") : ago(one.lineup_s_ago))))))));
    }
  }

  await Promise.all([loadUpdate().catch(missing(update)), loadSettings().catch(missing(settings)), loadClients().catch(missing(clients))]);
  return again(() => Promise.all([loadClients(), loadUpdate()]), () => (isMoving ? 2000 : 15000));
}

const plain = (key) => key.replaceAll("_", " ");
const today = () => new Date().toLocaleDateString("sv");

// ---- Backup, and going back

async function backupPage(root, context) {
  const { api, ask, signal } = context;
  const made = h("div", { role: "status" });
  const timeline = h("div");
  const reset = h("div", { class: "card pad stack" });
  fill(root,
    h("div", { class: "panels" },
      part(t("backup.title"), null, h("div", { class: "card pad stack" }, h("p", {}, t("backup.what")), form({
        fields: [field({ name: "password", type: "password", label: t("backup.password"), hint: t("backup.password-hint"), required: true, autocomplete: "current-password" })],
        submit: t("backup.do"),
        save: async (values) => {
          const file = await api.post("/backup", values, { ms: 60000 });
          keep(`tunerd-${today()}.backup`, file instanceof Blob ? file : new Blob([typeof file === "string" ? file : JSON.stringify(file)]));
          context.say(t("backup.done"));
        },
      }))),
      part(t("restore.title"), null, h("div", { class: "card pad stack" }, h("p", {}, t("restore.what")), form({
        fields: [field({ name: "file", type: "file", label: t("restore.file"), required: true }),
          field({ name: "password", type: "password", label: t("restore.password"), hint: t("restore.password-hint"), required: true, autocomplete: "off" })],
        submit: t("restore.title"), kind: "danger",
        save: async ({ file, password }) => {
          const yes = await ask({ title: t("restore.sure"), text: t("restore.sure-text"), yes: t("restore.title"), danger: true });
          if (!yes) return;
          const answer = await api.post("/restore", undefined, { raw: file, ms: 120000, headers: { "content-type": "application/octet-stream", "x-backup-password": encodeURIComponent(password) } });
          const list = Object.entries(answer?.restored ?? {});
          fill(made, h("div", { class: "note", "data-level": "good" }, icon("good"), h("div", {}, h("p", {}, t("restore.done")),
            h("p", {}, list.map(([key, n]) => `${has(`restored.${key}`) ? t(`restored.${key}`) : plain(key)}: ${number(n)}`).join(", ")),
            answer?.ignored?.length > 0 && h("p", {}, t("restore.ignored", { what: answer.ignored.join(", ") })))));
          await load();
        },
      }), made))),
    part(t("undo.title"), null, h("p", { class: "soft" }, t("undo.what")), timeline),
    part(t("reset.title"), null, reset));

  async function loadReset() {
    const { how } = await api.get("/update");
    fill(reset, h("p", {}, t("reset.what")), h("p", {}, t("reset.keeps")), how === "bundle" ? form({
      fields: [field({ name: "password", type: "password", label: t("reset.password"), required: true, autocomplete: "off" })],
      submit: t("reset.do"), kind: "danger",
      save: async (values) => {
        if (!(await ask({ title: t("reset.sure"), text: t("reset.sure-text"), yes: t("reset.do"), danger: true }))) return;
        await api.post("/factory-reset", values);
        fill(reset, h("p", { class: "strong", role: "status" }, t("reset.done")));
      },
    }) : [h("p", {}, t("reset.command")), address(context, "sudo systemctl start tunerd-factory-reset", t("update.command"))]);
  }

  async function load() {
    const list = items(await api.get("/configurations"));
    if (signal.aborted) return;
    if (list.length === 0) {
      fill(timeline, nothing(t("undo.none")));
      return;
    }
    fill(timeline, h("ol", { class: "card timeline" }, list.map((one, at) => h("li", { class: "row" },
      h("span", { class: "grow" }, has(`undo.what-${one.what}`) ? t(`undo.what-${one.what}`) : one.what, h("span", { class: "soft small-text sub" }, `${full(one.at)} · ${said(one.at)} · ${t("undo.revision", { n: String(one.revision) })}`)),
      at === 0 ? chip([icon("check"), t("guide.now")], "good") : doing(context, t("undo.do"), async () => {
        const yes = await ask({ title: t("undo.sure"), text: t("undo.sure-text", { when: full(one.at) }), yes: t("undo.do") });
        if (!yes) return;
        await change(context, () => api.post(`/configurations/${one.revision}/restore`), t("undo.done"), load);
      }, { class: "small" })))));
  }

  await Promise.all([load().catch(missing(timeline)), loadReset().catch(missing(reset))]);
}

// ---- Who may

async function accessPage(root, context) {
  const { api, ask, session } = context;
  const list = h("div");
  const old = field({ name: "old", type: "password", label: t("access.old"), required: true, autocomplete: "current-password" });
  const anew = field({ name: "new", type: "password", label: t("access.new"), required: true, autocomplete: "new-password", hint: t("access.new-hint", { n: PASSWORD_LEN_MIN }) });
  const repeated = field({ name: "repeated", type: "password", label: t("access.repeat"), required: true, autocomplete: "new-password" });
  const password = form({
    fields: [h("input", { type: "text", autocomplete: "username", value: "owner", class: "unseen", tabindex: "-1", "aria-hidden": "true" }), old, anew, repeated],
    submit: t("access.change"),
    save: async (values) => {
      if (values.new !== values.repeated) throw { field: "repeated", detail: t("access.differs") };
      await api.put("/password", { old: values.old, new: values.new }, { quiet: true }).catch((problem) => {
        if (problem.status === 401 || problem.status === 403) throw { field: "old", detail: t("signin.wrong") };
        throw problem;
      });
      context.say(t("access.changed"));
      password.reset();
    },
  });
  fill(root,
    part(t("signin.password"), null, h("div", { class: "card pad stack" },
      session?.open && h("p", { class: "note", "data-level": "warn" }, icon("busy"), h("span", {}, t("access.open"))), password)),
    part(t("token.title"), h("button", { type: "button", onclick: () => add() }, icon("add"), t("token.add")),
      h("p", { class: "soft" }, t("token.what")), list));

  async function load() {
    const tokens = items(await api.get("/tokens"));
    if (tokens.length === 0) fill(list, nothing(t("token.none")));
    else {
      fill(list, h("ul", { class: "card timeline" }, tokens.map((one) => h("li", { class: "row" },
        h("span", { class: "grow" }, one.name, " ", chip(t(`token.${one.scope}`), one.scope === "admin" ? "warn" : "busy"),
          h("span", { class: "soft small-text sub" }, `${t("token.made", { when: said(one.made_at) })} · ${one.used_at ? t("token.used", { when: said(one.used_at) }) : t("token.unused")}`)),
        doing(context, [icon("delete"), t("token.remove")], async () => {
          const yes = await ask({ title: t("token.remove-title", { name: one.name }), text: t("token.remove-text"), yes: t("token.remove"), danger: true });
          if (!yes) return;
          await api.delete(`/tokens/${one.id}`);
          context.say(t("token.removed"));
          await load();
        }, { class: "small quiet" })))));
    }
  }

  function add() {
    sheet(context, t("token.add"), (body, close) => body.show(form({
      fields: [field({ name: "name", label: t("setup.name"), hint: t("token.name-hint"), required: true, autocapitalize: "words" }),
        field({ name: "scope", type: "choice", label: t("token.scope"), value: "read", options: [["read", t("token.read"), t("token.read-hint")], ["admin", t("token.admin"), t("token.admin-hint")]] })],
      submit: t("token.make"),
      save: async (values) => {
        const { token } = await api.post("/tokens", values);
        body.show(h("p", { class: "note", "data-level": "warn" }, icon("busy"), h("span", {}, t("token.once"))), address(context, token, values.name),
          h("p", { class: "soft small-text" }, t("token.how")), h("code", { class: "block" }, `curl -H "Authorization: Bearer ${token}" ${location.origin}/api/v1/status`),
          h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: () => close(true) }, t("token.kept"))));
        await load();
      },
    })));
  }

  await load().catch(missing(list));
}

// ---- Notifications

/** What an address looks like there. */
const SERVICES = {
  webhook: "https://…", discord: "https://discord.com/api/webhooks/…", ntfy: "ntfys://ntfy.sh/topic", telegram: "tgram://token/chat",
  mail: "smtp://user@mail.example:587/?from=box@example&to=me@example",
};

async function notificationsPage(root, context) {
  const { api, ask } = context;
  const list = h("div", { class: "grid" });
  fill(root, part(t("system.notifications"), h("button", { type: "button", class: "primary", onclick: () => edit() }, icon("add"), t("notify.add")), h("p", { class: "soft" }, t("notify.what")), list));

  async function load() {
    const found = items(await api.get("/notifications"));
    fill(list, found.length === 0 ? nothing(t("notify.none")) : found.map((one) => h("article", { class: "card pad stack", "aria-label": one.name },
      h("div", { class: "row spread" }, h("h3", {}, one.name), chip(t(one.enabled ? "notify.on" : "notify.off"), one.enabled ? "good" : "off")),
      h("p", { class: "soft small-text sub" }, `${t(`notify.${one.kind}`)} · ${one.url}`),
      one.last_error && h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, one.last_error)),
      h("p", { class: "small-text" }, one.events.length === EVENTS.length ? t("notify.all") : one.events.map((event) => t(`event.${event}`)).join(", ")),
      h("div", { class: "row card-do" },
        doing(context, t("notify.test"), async () => {
          const tried = await api.post(`/notifications/${one.id}/test`, undefined, { ms: 45000 });
          if (tried?.delivered === false) context.say(tried.detail, { level: "ill" });
          else context.say(t("notify.tested", { name: one.name }));
          await load();
        }, { class: "small" }),
        h("button", { type: "button", class: "small", onclick: () => edit(one) }, icon("edit"), t("source.edit")),
        doing(context, [icon("delete"), t("source.remove")], async () => {
          const yes = await ask({ title: t("source.remove-title", { name: one.name }), yes: t("source.remove"), danger: true });
          if (yes) await change(context, () => api.delete(`/notifications/${one.id}`), t("source.removed", { name: one.name }), load);
        }, { class: "small quiet" })))));
  }

  function edit(one) {
    const service = field({ name: "service", type: "choice", label: t("notify.service"), value: one?.kind ?? "webhook", options: Object.keys(SERVICES).map((name) => [name, t(`notify.${name}`)]), onchange: () => draw() });
    const url = field({ name: "url", label: t("copy.label"), value: one?.url ?? "", required: true, hint: " ", inputmode: "url" });
    const secret = field({ name: "password", type: "password", label: t("notify.password"), value: "", hint: t("notify.password-hint"), placeholder: one ? "••••••••" : "", autocomplete: "off" });
    const ticks = EVENTS.map((event) => ({ event, box: h("input", { type: "checkbox", checked: one ? one.events.includes(event) : !/recovered|over|available/.test(event) }) }));
    const events = { ...field({ name: "events", type: "check", label: "" }), isChanged: () => false };
    events.element.querySelector("label").hidden = true;
    events.focus = () => ticks[0].box.focus();
    const draw = () => {
      url.input.placeholder = SERVICES[service.read()];
      fill(url.element.querySelector(".hint"), t(`notify.${service.read()}-hint`));
      secret.element.hidden = service.read() !== "mail";
    };
    draw();
    const fields = [
      field({ name: "name", label: t("setup.name"), value: one?.name ?? "", required: true, autocapitalize: "words" }), service, url, secret,
      { ...events, element: h("fieldset", { class: "field" }, h("legend", { class: "label" }, t("notify.events")),
        h("ul", { class: "ticks" }, ticks.map(({ event, box }) => h("li", {}, h("label", { class: "check" }, box, t(`event.${event}`))))), events.element) },
      field({ name: "enabled", type: "check", label: t("source.enabled"), value: one?.enabled ?? true })];
    sheet(context, one ? t("source.edit-title", { name: one.name }) : t("notify.add"), (body, close) => body.show(form({
      fields, submit: t("do.save"),
      save: async (values, changed) => {
        const sent = { name: values.name, events: ticks.filter((tick) => tick.box.checked).map((tick) => tick.event), enabled: values.enabled };
        // What is shown has dots in place of secrets; only what was typed is sent.
        if (!one || "url" in changed) sent.url = values.url;
        if (values.password) sent.password = values.password;
        await change(context, () => (one ? api.patch(`/notifications/${one.id}`, sent) : api.post("/notifications", sent)), t("source.saved", { name: values.name }), load);
        close(true);
      },
    })));
  }

  await load().catch(missing(list));
}

// ---- The doctor

async function doctorPage(root, context) {
  const { api, signal } = context;
  const result = h("div", { class: "stack" });
  const button = h("button", { type: "button", class: "primary" }, t("doctor.do"));
  const stop = doing(context, t("doctor.stop"), () => api.delete("/doctor").then(load), { class: "small", hidden: true });
  const summary = h("p", { class: "strong", role: "status" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("doctor.running") });
  fill(root, part(t("system.doctor"), null, h("div", { class: "card pad stack" }, h("p", {}, t("doctor.what")), h("div", { class: "row" }, button, stop, summary), bar), result));
  let isRunning = false;
  button.onclick = () => busy(button, async () => {
    await api.post("/doctor").catch((problem) => {
      if (problem.status !== 409) throw problem;
    });
    isRunning = true;
    await load();
  }, context.fail);

  async function load() {
    const { state, started_at: startedAt, checks = [], checks_len: all } = await api.get("/doctor");
    if (signal.aborted) return;
    isRunning = state === "running";
    bar.hidden = !isRunning || !all;
    stop.hidden = !isRunning;
    bar.value = all ? checks.length / all : 0;
    button.disabled = isRunning;
    fill(button, t(isRunning ? "doctor.running" : state === "none" ? "doctor.do" : "doctor.again"));
    const count = (outcome) => checks.filter((check) => check.outcome === outcome).length;
    summary.textContent = state === "none" ? "" : [
      state === "done" && count("fail") === 0 ? t("doctor.fine", { n: count("pass") }) : t("doctor.count", { pass: count("pass"), fail: count("fail"), skip: count("skip") }),
      state === "stopped" && t("doctor.stopped"), !isRunning && date(startedAt) ? said(startedAt) : null].filter(Boolean).join(" · ");
    const by = new Map();
    for (const check of checks) by.set(check.client, [...(by.get(check.client) ?? []), check]);
    // What went wrong comes first.
    const clients = [...by].sort(([, one], [, other]) => other.filter((check) => check.outcome === "fail").length - one.filter((check) => check.outcome === "fail").length);
    fill(result, clients.map(([client, list]) => {
      const fails = list.filter((check) => check.outcome === "fail").length;
      return h("section", { class: "card", "aria-label": client },
        h("div", { class: "row spread pad" }, h("h3", {}, client), chip([icon(fails ? "ill" : "good"), fails ? t("doctor.fails", { n: fails }) : t("source.good")], fails ? "ill" : "good")),
        h("ul", { class: "checks" }, list.map((check) => h("li", { class: "check-line", "data-level": { pass: "good", fail: "ill" }[check.outcome] ?? "off" },
          icon({ pass: "check", fail: "ill" }[check.outcome] ?? "stop", t(`doctor.${check.outcome}`)),
          h("span", { class: "grow" }, check.name, check.detail && h("span", { class: "soft small-text sub" }, check.detail),
            check.outcome === "fail" && check.fix && h("span", { class: "fix sub" }, h("strong", {}, `${t("doctor.fix")} `), check.fix)),
          check.took_ms !== null && check.took_ms !== undefined && h("span", { class: "soft small-text" }, t("doctor.ms", { n: check.took_ms }))))));
    }));
    if (state === "none") fill(result);
  }

  await load().catch(missing(result));
  return again(async () => (isRunning ? load() : undefined), () => 1000);
}

// ---- The log

async function logPage(root, context) {
  const { api, signal, query } = context;
  let lines = [];
  let asked = 0;
  const level = field({ name: "level", type: "select", label: t("log.level"), value: query.get("level") ?? "info", options: LEVELS.map((one) => [one, t(`log.${one}`)]), onchange: () => load().catch(context.fail) });
  const channel = field({ name: "channel", label: t("log.channel"), value: query.get("channel") ?? "", placeholder: "5.1", inputmode: "decimal", oninput: later(() => load().catch(failing)) });
  const search = field({ name: "search", type: "search", label: t("log.search"), value: query.get("search") ?? "", oninput: later(() => load().catch(context.fail)) });
  const follow = h("input", { type: "checkbox", checked: true });
  const list = h("ol", { class: "log", "aria-label": t("system.log"), tabindex: "0" });
  const count = h("p", { class: "soft small-text", role: "status" });
  fill(root, part(t("system.log"), doing(context, t("log.keep"), async () => keep(`tunerd-${today()}.log`, new Blob([lines.map((one) => `${one.at} ${one.level} ${one.text}\n`).join("")])), { class: "small" }),
    h("div", { class: "card" }, h("div", { class: "tools log-tools pad", role: "search" }, level.element, channel.element, search.element),
      h("div", { class: "tools-line" }, h("label", { class: "check" }, follow, h("span", {}, t("log.follow"))), count), list)));

  const failing = (problem) => {
    if (["channel", "channel_id"].includes(problem.field)) channel.fail(problem.detail);
    else context.fail(problem);
  };
  const fits = (line) => !search.read() || line.text.toLowerCase().includes(search.read().toLowerCase());

  async function load(after) {
    const turn = asked += 1;
    const filter = { level: level.read(), channel: channel.read(), search: search.read() };
    const found = items(await api.get(api.path("/logs", { ...filter, after, limit: after ? 500 : 200 })));
    if (turn !== asked || signal.aborted) return;
    channel.fail(null);
    const wanted = found.filter(fits);
    lines = after ? [...lines, ...wanted].slice(-LOG_LINES_MAX) : wanted;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    if (after) {
      list.append(...wanted.map(line));
      while (list.children.length > LOG_LINES_MAX) list.firstChild.remove();
    } else fill(list, lines.map(line));
    if (lines.length === 0) fill(list, h("li", { class: "empty" }, t("log.none")));
    else if (after && lines.length === wanted.length) fill(list, lines.map(line));
    if (!after || isAtEnd) list.scrollTop = list.scrollHeight;
    count.textContent = t("log.count", { n: lines.length });
  }

  function line(one) {
    const at = date(one.at);
    return h("li", { "data-level": one.level }, h("time", { datetime: one.at, title: one.at }, at ? clock(at, { seconds: true }) : one.at),
      h("span", { class: "log-level" }, t(`log.${one.level}`)), h("span", { class: "log-text" }, one.text));
  }

  await load().catch(failing);
  return again(async () => {
    if (!follow.checked) return;
    const last = lines.at(-1)?.id;
    // A line that is no longer kept cannot be gone on from.
    await (last ? load(last).catch(() => load()) : load());
  }, () => 2000);
}
