// Home: is it found, does it play, how many tuners are free, is anything about to break. Everything here is told by
// `status`, graphs and events are asked for now and then. Not here: how to add the box to programs (add.js).
// Invariant: the view describes itself anew at every change, and each second while something counts.

import { addresses, programs } from "./add.js";
import { h, icon, morph } from "./dom.js";
import { bars, meter, sparkline } from "./graph.js";
import { unfinished } from "./setup.js";
import { urgent } from "./status.js";
import { age, ago, bytes, clock, date, day, has, moment, number, rate, sentence, span, t } from "./texts.js";

const SLOW_MS = 60000;
const LOGS_MS = 20000;
const EVENTS_SHOWN = 10;
const VIEWERS_SHOWN = 4;
const ILL_SHOWN = 8;
const SOON_DAYS = 14; // an account that ends is worth a word
const HOT_C = 75;
const FULL = 0.9;
const WRITES_A_DAY = 500e6; // what a small card bears for many years; a computer's disk bears more

export async function home(root, context) {
  const slow = { history: null, logs: null };
  const draw = () => {
    if (context.status.now) morph(root, ...view(context, slow));
    else morph(root, h("p", { class: "waiting" }, t("home.asking")));
  };
  const load = async (name, path) => {
    try {
      slow[name] = await context.api.get(path, { signal: context.signal, quiet: true });
      if (!context.signal.aborted) draw();
    } catch { /* then that part is missing; the next time may be better */ }
  };
  const loadHistory = () => load("history", "/history");
  const loadLogs = () => load("logs", `/logs?level=info&limit=${EVENTS_SHOWN * 2}`);
  draw();
  context.status.subscribe(draw);
  const timers = [setInterval(loadHistory, SLOW_MS), setInterval(loadLogs, LOGS_MS), setInterval(() => {
    if (!document.hidden && context.status.now) draw();
  }, 1000)];
  loadHistory();
  loadLogs();
  return () => timers.forEach(clearInterval);
}

/** Seconds that have passed since the state came. */
const late = (context) => Math.max(0, (Date.now() - context.status.at) / 1000);
const list = (value) => (Array.isArray(value) ? value : value?.items ?? []);

function view(context, slow) {
  const { now } = context.status;
  const sources = list(now.sources);
  const soon = soonOf(now, sources);
  return [
    context.signedIn && unfinished() && h("div", { class: "resume card" }, icon("setup"), h("p", {}, t("setup.resume")),
      h("a", { class: "button small primary", href: "#/setup" }, t("setup.resume.do"))),
    hero(now, soon),
    answers(now, soon),
    trouble(context, soon),
    tuners(context),
    h("div", { class: "home-columns" },
      h("div", { class: "column" }, hour(slow.history, now), events(slow.logs), clientsOf(now)),
      h("div", { class: "column" }, reach(context, now), sourcesOf(context, sources), board(now), encoders(context, now))),
    h("p", { class: "about soft small-text" }, t("home.about", {
      device: now.device_id ?? "", version: now.version ?? "", span: span((now.uptime_s ?? 0) + late(context)),
    })),
  ];
}

// ---- One sentence, and four answers

const isFree = (tuner) => tuner.state === "free";

function levelOf(now, soon) {
  if (now.level === "ill" || urgent(now) > 0) return "ill";
  return now.level === "busy" || soon.length > 0 ? "busy" : "good";
}

function hero(now, soon) {
  const problems = now.problems ?? [];
  const all = (now.tuners ?? []).length;
  const free = (now.tuners ?? []).filter(isFree).length;
  const critical = urgent(now);
  const ill = now.channels_ill_len ?? 0;
  const level = levelOf(now, soon);
  let sentence = t("home.good");
  if (!now.channels_len) sentence = t("home.none");
  else if (critical > 0) sentence = t("home.critical", { n: critical });
  else if (now.level === "ill") sentence = t("home.critical", { n: 1 });
  else if (free === 0 && all > 0) sentence = t("home.taken", { n: all });
  else if (problems.length > 0) sentence = t("home.warned", { n: problems.length });
  else if (ill > 0) sentence = t("home.unsteady", { n: ill });
  else if (soon.length > 0) sentence = t("home.soon");
  return h("section", { class: "hero card", "data-level": level, "aria-label": t("home.state") },
    h("div", { class: "hero-mark" }, icon(level)),
    h("div", {}, h("p", { class: "hero-line", role: "status" }, sentence),
      h("p", { class: "soft" }, now.channels_len
        ? `${t("home.channels", { n: now.channels_len })} · ${freeText(free, all)}` : t("home.none.how"))));
}

const freeText = (free, all) => (free === 0 ? t("home.free.none", { n: all }) : t("home.free", { n: free, all }));

function answers(now, soon) {
  const clients = now.clients ?? [];
  const programsSeen = [...new Set(clients.map(({ name }) => name).filter((name) => name && name !== "unknown"))];
  const playing = (now.tuners ?? []).filter(({ state }) => state === "playing");
  const trying = (now.tuners ?? []).filter(({ state }) => state === "waiting" || state === "starting");
  const bad = playing.filter((tuner) => healthOf(tuner).level !== "good");
  const free = (now.tuners ?? []).filter(isFree).length;
  const all = (now.tuners ?? []).length;
  const answer = (key, level, value, note) => h("div", { class: "answer card", "data-level": level },
    h("dt", {}, t(`home.ask.${key}`)), h("dd", { class: "answer-value" }, value), h("dd", { class: "soft small-text clamp" }, note));
  const people = playing.reduce((sum, tuner) => sum + (tuner.viewers ?? []).length, 0);
  return h("dl", { class: "answers" },
    answer("found", clients.length ? "good" : "idle", clients.length ? t("home.found", { n: clients.length }) : t("home.found.none"),
      programsSeen.length ? programsSeen.slice(0, 3).join(", ") : t("home.found.how")),
    answer("plays", bad.length || trying.length ? "warn" : playing.length ? "good" : "idle",
      playing.length ? t("home.plays", { n: playing.length }) : trying.length ? t("home.plays.tries", { n: trying.length }) : t("home.plays.none"),
      bad.length ? t("home.plays.bad", { n: bad.length }) : people ? t("home.watching", { n: people }) : t("home.plays.idle")),
    answer("free", free > 0 ? "good" : "warn", t("home.free.short", { free, all }),
      free > 0 ? t("home.free.note", { n: free }) : t("home.free.full")),
    answer("soon", soon.some(({ level }) => level === "ill") ? "ill" : soon.length ? "warn" : "good",
      soon.length ? t("home.soon.some", { n: soon.length }) : t("home.soon.none"), soon.length ? soon[0].text : t("home.soon.fine")));
}

/** What is about to break: {level, text, act}. */
function soonOf(now, sources) {
  const soon = [];
  for (const source of sources) {
    const rest = restOf(source);
    if (rest !== null && rest < SOON_DAYS * 86400) {
      const text = rest > 0 ? t("soon.expires", { name: source.name, span: span(rest) }) : t("soon.expired", { name: source.name });
      soon.push({ level: rest > 0 ? "warning" : "ill", text, href: `#/sources/${source.id}`, act: t("act.source") });
    }
    if (source.error) soon.push({ level: "warning", text: t("soon.refresh", { name: source.name, why: source.error }), href: `#/sources/${source.id}`, act: t("act.source") });
  }
  const health = boardOf(now);
  if (health.under_voltage) soon.push({ level: "ill", text: t("soon.power") });
  if (health.throttled || health.temperature_c >= HOT_C) soon.push({ level: "warning", text: t("soon.hot", { c: Math.round(health.temperature_c ?? 0) }) });
  if (health.clock_synced === false) soon.push({ level: "warning", text: t("soon.clock") });
  if (health.memory_used_bytes / health.memory_total_bytes > FULL) soon.push({ level: "warning", text: t("soon.memory") });
  if (wearsOut(health)) soon.push({ level: "warning", text: t("soon.card", { size: bytes(health.card_written_today_bytes) }) });
  return soon;
}

const wearsOut = (health) => Boolean(health.model) && health.card_written_today_bytes > WRITES_A_DAY;

/** Seconds until it expires; null if it does not. */
const restOf = (source) => (date(source.expires_at) ? -age(source.expires_at) : null);

// ---- What is ill, why, and what helps

function trouble(context, soon) {
  const { now } = context.status;
  const problems = now.problems ?? [];
  const ill = (now.channels_ill ?? []).slice(0, ILL_SHOWN);
  const more = (now.channels_ill_len ?? ill.length) - ill.length;
  if (problems.length + ill.length + soon.length === 0) return null;
  return h("section", { class: "section", "aria-labelledby": "trouble" },
    h("h2", { id: "trouble" }, t("trouble.title")),
    h("ul", { class: "card troubles" },
      problems.map((problem) => problemRow(context, problem)),
      ill.map((channel) => illRow(context, channel)),
      soon.map((item) => row(item.level, item.text, "", item.href && h("a", { class: "button small", href: item.href }, item.act))),
      more > 0 && h("li", { class: "trouble-row soft" }, t("trouble.more", { n: more }))));
}

const row = (level, what, note, ...acts) => h("li", { class: "trouble-row", "data-level": level },
  icon(level === "busy" ? "busy" : "ill"),
  h("div", { class: "trouble-text" }, h("p", {}, what), note.length > 0 && h("p", { class: "soft small-text" }, note)),
  h("div", { class: "trouble-acts" }, acts));

function problemRow(context, problem) {
  const key = `problem.${problem.topic}`;
  const since = age(problem.since);
  const isKnown = has(key);
  // What it says in full is in English, whatever the page speaks.
  const notes = [isKnown && h("span", { lang: "en" }, sentence(problem.text)), since !== null && t("trouble.since", { span: span(since) }),
    problem.count > 1 && t("trouble.times", { n: problem.count })].filter(Boolean);
  const acts = { playlist: "#/sources", groups: "#/channels", lineup: "#/channels", guide: "#/guide", "guide-made": "#/guide",
    "guide-drift": "#/guide", update: "#/system", settings: "#/system", store: "#/system", ffmpeg: "#/system" };
  const target = acts[problem.topic];
  return row(problem.level === "critical" ? "ill" : "warning", isKnown ? t(key) : sentence(problem.text), notes.flatMap((note, at) => (at ? [" · ", note] : [note])),
    target && h("a", { class: "button small", href: target }, t("act.look")));
}

/** What happens next, and when. */
function nextText(context, channel) {
  if (channel.needs_help) return t("ill.final");
  if (channel.state === "trying") return t("ill.trying");
  const rest = (channel.next_try_in_s ?? 0) - late(context);
  if (rest > 0) {
    const at = new Date(context.status.at + channel.next_try_in_s * 1000);
    return t("ill.next", { clock: clock(at, { seconds: true }), span: span(Math.ceil(rest)) });
  }
  return channel.state === "resting" ? t("ill.ready") : t("ill.failing");
}

function illRow(context, channel) {
  const name = channel.number ? `${channel.number} ${channel.name}` : t("ill.nameless");
  const why = has(`why.${channel.last_failure}`) ? t(`why.${channel.last_failure}`) : channel.why ?? t("why.unknown");
  const source = channel.source > 0 ? t("ill.source", { n: channel.source + 1 }) : "";
  const failed = channel.failures > 1 ? t("ill.failed", { n: channel.failures, why }) : t("ill.failed.once", { why });
  const tryNow = h("button", { class: "small primary", type: "button", onclick: (event) => context.attempt(async () => {
    await context.api.post(`/channels/${channel.channel_id}/retry`);
    context.say(t("ill.retry.said", { name }));
    context.status.refresh();
  }, event.currentTarget) }, icon("retry"), t("act.retry"), h("span", { class: "unseen" }, ` ${name}`));
  const edit = h("a", { class: channel.needs_help ? "button small primary" : "button small", href: channel.name ? `#/channels?search=${encodeURIComponent(channel.name)}` : "#/channels" },
    t("act.edit"), h("span", { class: "unseen" }, ` ${name}`));
  return h("li", { class: "trouble-row", "data-level": channel.state === "resting" ? "ill" : "warning", key: `ill-${channel.channel_id}-${channel.source}` },
    icon("ill"),
    h("div", { class: "trouble-text" },
      h("p", {}, h("strong", { dir: "auto" }, name), " ", h("span", { class: "chip", "data-level": channel.state === "resting" ? "ill" : "warning" }, t(`ill.state.${channel.state}`))),
      h("p", {}, `${failed} ${source}`), h("p", { class: "soft small-text" }, nextText(context, channel))),
    h("div", { class: "trouble-acts" },
      context.signedIn && channel.state === "resting" && !channel.needs_help && tryNow, context.signedIn && edit));
}

// ---- Tuners

function healthOf(tuner) {
  const bad = ["black", "frozen", "silent", "starved"].includes(tuner.picture);
  if (bad) return { level: "ill", text: t(`picture.${tuner.picture}`) };
  if (tuner.health === "silent" || tuner.health === "unhealthy") return { level: "ill", text: t(`health.${tuner.health}`) };
  if (tuner.continuity_errors > 0) return { level: "warn", text: t("health.gaps", { n: tuner.continuity_errors }) };
  if (tuner.health === "healthy") return { level: "good", text: t("health.healthy") };
  return { level: "good", text: t("health.unknown") };
}

const isRetry = (tuner) => tuner.attempt > 1 && (tuner.state === "waiting" || tuner.state === "starting");

function stateChip(tuner) {
  const levels = { free: null, playing: "good", lost: "ill", stopping: null };
  const level = tuner.state in levels ? levels[tuner.state] : "busy";
  const key = isRetry(tuner) ? "tuner.retry" : `tuner.${tuner.state}`;
  return h("span", { class: "chip", "data-level": isRetry(tuner) ? "warning" : level }, t(key));
}

function tuners(context) {
  const all = context.status.now.tuners ?? [];
  const free = all.filter(isFree).length;
  return h("section", { class: "section", "aria-labelledby": "tuners" },
    h("div", { class: "section-head" }, h("h2", { id: "tuners" }, t("tuners.title")),
      free === 0 && all.length > 0 && h("p", { class: "soft small-text" }, t("tuners.full"))),
    h("ul", { class: "grid tuners" }, all.map((tuner) => card(context, tuner))));
}

function viewersOf(context, tuner) {
  const viewers = tuner.viewers ?? [];
  // Whoever asked last comes first; who watches is likelier to be it than who looks for tuners.
  const clients = [...(context.status.now.clients ?? [])].reverse();
  const known = new Map([...clients, ...clients.filter(({ asked }) => asked === "stream")].map((client) => [client.address, client.name]));
  const name = (viewer) => {
    const program = known.get(viewer.address);
    return program && program !== "unknown" ? `${program} (${viewer.address})` : viewer.address;
  };
  if (viewers.length === 0) return null;
  return h("ul", { class: "viewers" }, viewers.slice(0, VIEWERS_SHOWN).map((viewer) => h("li", {}, icon("screen"),
    h("span", {}, name(viewer)), h("span", { class: "soft" }, t("tuner.for", { span: span(viewer.since_s + late(context)) })))),
  viewers.length > VIEWERS_SHOWN && h("li", { class: "soft" }, t("tuner.more", { n: viewers.length - VIEWERS_SHOWN })));
}

function notesOf(context, tuner) {
  const notes = [];
  const rest = (tuner.next_try_in_s ?? 0) - late(context);
  if (tuner.state === "lost") notes.push(t("tuner.lost.why"));
  if (isRetry(tuner)) notes.push(rest > 0 ? t("tuner.attempt.next", { n: tuner.attempt, span: span(Math.ceil(rest)) }) : t("tuner.attempt", { n: tuner.attempt }));
  else if (rest > 0) notes.push(t("tuner.starts", { span: span(Math.ceil(rest)) }));
  if (tuner.held > 0) notes.push(t("tuner.held", { n: tuner.held }));
  if (tuner.slate) notes.push(t("tuner.slate", { text: tuner.slate }));
  if (tuner.overtaken > 0) notes.push(t("tuner.behind", { n: tuner.overtaken }));
  return [...notes, refusal(tuner)].filter(Boolean);
}

/** Why the next viewer would be refused; a lost tuner says so anyway. */
function refusal({ refuses, refuses_why: why, state }) {
  if (!refuses || state === "lost") return null;
  const key = `refuses.${why?.code}`;
  return t("tuner.refuses", { why: has(key)
    ? t(key, { n: why.streams ?? 0, free: bytes(why.free_bytes ?? 0), needed: bytes(why.needed_bytes ?? 0), span: span(why.retry_in_s ?? 0) }) : refuses });
}

function card(context, tuner) {
  const isIdle = isFree(tuner);
  const name = t("tuner.name", { n: tuner.tuner + 1 });
  const rates = context.status.rates.get(tuner.tuner)?.list ?? [];
  const health = healthOf(tuner);
  const path = tuner.path && [t(`path.${tuner.path}`), tuner.profile && t("path.profile", { name: tuner.profile })].filter(Boolean).join(", ");
  const channel = tuner.channel ? `${tuner.channel.number} ${tuner.channel.name}` : "";
  return h("li", { class: isIdle ? "card tuner idle" : "card tuner", key: `tuner-${tuner.tuner}` },
    h("div", { class: "row spread" }, h("h3", {}, name), stateChip(tuner)),
    isIdle ? h("p", { class: "soft" }, refusal(tuner) ?? t("tuner.idle")) : [
      tuner.state !== "lost" && h("p", { class: "tuner-channel" }, tuner.channel && h("span", { class: "number" }, tuner.channel.number), " ",
        h("span", { class: "clamp", dir: "auto" }, tuner.channel?.name ?? t("tuner.between"))),
      tuner.state === "playing" && h("div", { class: "tuner-rate" },
        sparkline(rates, t("tuner.rate.words", { rate: rate(tuner.bits_per_s ?? 0), low: rate(Math.min(...rates, tuner.bits_per_s ?? 0)) })),
        h("span", {}, rate(tuner.bits_per_s ?? 0))),
      tuner.state === "playing" && h("p", { class: "health", "data-level": health.level }, icon(health.level === "good" ? "check" : "ill"), health.text),
      viewersOf(context, tuner),
      notesOf(context, tuner).map((note) => h("p", { class: "small-text" }, note)),
      h("div", { class: "tuner-foot" },
        h("p", { class: "soft small-text" }, [tuner.since_s !== null && t("tuner.since", { clock: clock(new Date(context.status.at - tuner.since_s * 1000)) }), t("tuner.source", { n: tuner.source + 1 }), path].filter(Boolean).join(" · ")),
        context.signedIn && ["playing", "starting", "waiting"].includes(tuner.state) && h("button", { class: "small", type: "button", onclick: (event) => free(context, tuner, channel, event.currentTarget) },
          t("act.free"), h("span", { class: "unseen" }, ` ${name}`))),
    ]);
}

async function free(context, tuner, channel, button) {
  const n = (tuner.viewers ?? []).length;
  const sure = await context.ask({
    title: t("free.title", { n: tuner.tuner + 1 }), text: n ? t("free.text", { n, channel }) : t("free.nobody", { channel }), yes: t("act.free"), danger: true,
  });
  if (!sure) return;
  await context.attempt(async () => {
    await context.api.post(`/tuners/${tuner.tuner}/free`);
    context.say(t("free.said", { n: tuner.tuner + 1 }));
    context.status.refresh();
  }, button);
}

// ---- The last hour

function hour(history, now) {
  const told = list(history?.minutes);
  if (told.length === 0) return null;
  const tuning = (now.tuners ?? []).filter((tuner) => !isFree(tuner));
  // The minute that has just begun.
  const known = [...told.slice(-59), {
    at: new Date().toISOString(), tuners_used: tuning.length, ill: now.channels_ill_len ?? 0, bitrate_bps: tuning.reduce((sum, tuner) => sum + tuner.bits_per_s, 0),
  }];
  const most = Math.max((now.tuners ?? []).length, 1);
  const at = (point) => (date(point.at) ? clock(date(point.at)) : "");
  const missing = Array.from({ length: Math.max(0, 60 - known.length) }, () => ({ value: null }));
  const used = [...missing, ...known.map((point) => ({
    value: point.tuners_used, level: point.tuners_used >= most ? "warn" : "busy", title: t("hour.used.at", { clock: at(point), n: point.tuners_used ?? 0 }),
  }))];
  const peak = Math.max(...known.map((point) => point.tuners_used ?? 0));
  const illMost = Math.max(...known.map((point) => point.ill ?? 0));
  const illMinutes = known.filter((point) => point.ill > 0).length;
  const ill = [...missing, ...known.map((point) => ({
    value: point.ill, level: point.ill > 0 ? "ill" : "good", title: t("hour.ill.at", { clock: at(point), n: point.ill ?? 0 }),
  }))];
  const flow = known.map((point) => point.bitrate_bps ?? 0);
  const flowMost = Math.max(...flow);
  const part = (heading, value, picture, ends = false) => h("figure", { class: "hour-part" },
    h("figcaption", {}, h("span", {}, heading), h("strong", {}, value)), picture,
    ends && h("p", { class: "ends soft small-text", "aria-hidden": "true" }, h("span", {}, t("hour.ago")), h("span", {}, t("hour.now"))));
  return h("section", { class: "section", "aria-labelledby": "hour" }, h("h2", { id: "hour" }, t("hour.title")),
    h("div", { class: "card pad hour" },
      part(t("hour.used"), t("hour.peak", { n: peak, all: most }), bars(used, most, t("hour.used.words", { peak, all: most, n: known.at(-1).tuners_used ?? 0 }))),
      part(t("hour.flow"), t("hour.flow.most", { rate: rate(flowMost) }), sparkline([...missing.map(() => null), ...flow], t("hour.flow.words", { rate: rate(flowMost), now: rate(flow.at(-1)) }))),
      part(t("hour.ill"), illMinutes ? t("hour.ill.minutes", { n: illMinutes }) : t("hour.ill.none"),
        bars(ill, Math.max(illMost, 9), illMinutes ? t("hour.ill.words", { n: illMinutes, most: illMost }) : t("hour.ill.none")), true)));
}

// ---- Events in plain words

const EVENTS = [
  [/^(.+) plays steadily again$/, "steady"], [/^(.+) plays$/, "plays"], [/^(.+) is restarted$/, "restarted"],
  [/^(.+) has rested; trying it once$/, "tried"], [/^(.+) is silent; it is restarted/, "silent"], [/^(.+) has to wait: (.+)$/, "waits"],
  [/^listing changed/, "listing"], [/^playlist loaded/, "playlist"], [/^guide loaded/, "guide"], [/^problem solved/, "solved"],
  [/^alarm is over/, "over"], [/^tunerd (\S+) is ready/, "ready"], [/^settings read again/, "settings"],
  [/^somebody wants this channel tried again/, "wanted"], [/^somebody wants this tuner given back/, "freed"], [/^the box was claimed/, "claimed"],
  [/^the owner signed in from (.+)$/, "signed"],
];
const QUIET = [/^its page:/, /^in Plex, type/, /^encoder works/, /^alarm is less urgent/];

function eventText(text) {
  const plain = text.replace(/(?: [a-z_.]+=(?:"[^"]*"|\S+))+$/, "");
  for (const [pattern, key] of EVENTS) {
    const found = pattern.exec(plain);
    if (!found) continue;
    const given = Object.fromEntries([...text.matchAll(/ ([a-z_]+)=(\d+)(?= |$)/g)].map(([, name, value]) => [name, Number(value)]));
    return t(`event.${key}`, { name: found[1], why: found[2], n: given.channels ?? given.programmes ?? 0, ...given });
  }
  return plain;
}

function events(logs) {
  // They come in the order in which they happened.
  const shown = [...list(logs)].reverse().filter(({ text }) => !QUIET.some((pattern) => pattern.test(text))).slice(0, EVENTS_SHOWN);
  if (shown.length === 0) return null;
  return h("section", { class: "section", "aria-labelledby": "events" },
    h("div", { class: "section-head spread" }, h("h2", { id: "events" }, t("events.title")), h("a", { href: "#/system/logs", class: "small-text" }, t("events.all"))),
    h("ol", { class: "card events plain" }, shown.map((entry) => {
      const at = date(entry.at);
      return h("li", { key: entry.id, "data-level": entry.level },
        h("time", { class: "soft", datetime: entry.at }, at ? moment(at) : ""),
        h("span", {}, entry.level !== "info" && icon("ill", t(`event.level.${entry.level}`)), eventText(entry.text ?? "")));
    })));
}

// ---- Who found it, where it is, what feeds it, what it runs on

function clientsOf(now) {
  const clients = now.clients ?? [];
  return h("section", { class: "section", "aria-labelledby": "clients" }, h("h2", { id: "clients" }, t("clients.title")),
    clients.length === 0 ? h("p", { class: "card empty" }, t("clients.none")) : h("ul", { class: "card lines" }, clients.map((client) => h("li", { key: `${client.address} ${client.name}` },
      h("div", {}, h("strong", {}, client.name && client.name !== "unknown" ? client.name : t("clients.unknown")), " ", h("span", { class: "soft" }, client.address)),
      h("span", { class: "soft small-text" }, t("clients.asked", { what: has(`asked.${client.asked}`) ? t(`asked.${client.asked}`) : client.asked, ago: ago(client.asked_s_ago ?? 0) }))))));
}

function reach(context, now) {
  if (!now.addresses) return null;
  return h("section", { class: "section", "aria-labelledby": "reach" }, h("h2", { id: "reach" }, t("reach.title")),
    h("div", { class: "card pad stack" }, addresses(context, now.addresses)), h("div", { class: "stack programs" }, programs(context, now.addresses, now.channels_len)));
}

function sourcesOf(context, sources) {
  if (sources.length === 0) return null;
  return h("section", { class: "section", "aria-labelledby": "sources" },
    h("div", { class: "section-head spread" }, h("h2", { id: "sources" }, t("sources.title")), h("a", { href: "#/sources", class: "small-text" }, t("sources.all"))),
    h("ul", { class: "card lines" }, sources.map((source) => {
      const read = age(source.refreshed_at);
      const rest = restOf(source);
      const { used = null, max = null } = source.streams ?? {};
      const isOver = rest !== null && rest <= 0;
      const level = source.error || isOver ? "ill" : rest !== null && rest < SOON_DAYS * 86400 ? "warning" : "good";
      const state = isOver && source.state === "ok" ? "expired" : source.state;
      return h("li", { key: source.id, class: "source" },
        h("div", { class: "row spread" }, h("a", { href: `#/sources/${source.id}` }, source.name || t(`kind.${source.kind}`)),
          h("span", { class: "chip", "data-level": state === "off" || state === "refreshing" ? null : level }, t(`source.${state}`))),
        h("p", { class: "soft small-text" }, [
          t("source.entries", { n: source.entries ?? 0 }), read !== null && t("source.read", { ago: ago(read) }),
          source.next_refresh_in_s > 0 && t("source.next", { span: span(source.next_refresh_in_s) }),
          rest !== null && (isOver ? t("source.ended") : t("source.until", { day: day(date(source.expires_at)), span: span(rest) })),
        ].filter(Boolean).join(" · ")),
        max && h("div", { class: "use" }, meter(used ?? 0, max, used >= max ? "warn" : "busy"),
          h("span", { class: "small-text" }, used === null ? t("source.most", { n: max }) : t("source.use", { used, n: max }))));
    })));
}

/** What is known of the board; older boxes say only its name. */
function boardOf(now) {
  const told = now.board_health ?? now.board;
  return typeof told === "object" && told !== null ? told : { name: told };
}

function board(now) {
  const told = boardOf(now);
  const unknown = h("span", { class: "soft" }, t("board.unknown"));
  const value = (known, text, level) => (known === null || known === undefined ? unknown.cloneNode(true)
    : level ? h("span", { class: "told", "data-level": level }, icon("ill"), text) : text);
  const facts = [
    ["temperature", value(told.temperature_c, t("board.celsius", { c: number(told.temperature_c ?? 0) }), told.temperature_c >= HOT_C && "warn")],
    ["throttled", value(told.throttled, told.throttled ? t("board.throttled.yes") : t("board.throttled.no"), told.throttled && "warn")],
    ["power", value(told.under_voltage, told.under_voltage ? t("board.power.low") : t("board.power.good"), told.under_voltage && "ill")],
    ["memory", value(told.memory_total_bytes, t("board.of", { used: bytes(told.memory_used_bytes ?? 0), all: bytes(told.memory_total_bytes ?? 0) })
      + (told.memory_max_bytes ? t("board.most", { size: bytes(told.memory_max_bytes) }) : ""),
      told.memory_used_bytes / told.memory_total_bytes > FULL && "warn")],
    ["card", value(told.card_written_today_bytes, bytes(told.card_written_today_bytes ?? 0), wearsOut(told) && "warn")],
    ["clock", value(told.clock_synced, told.clock_synced ? t("board.clock.good") : t("board.clock.bad"), told.clock_synced === false && "warn")],
    ["link", value(told.link_mbit, t("board.link.mbit", { n: told.link_mbit ?? 0 }), told.link_mbit < 100 && "warn")],
  ];
  const able = now.capacity;
  if (able) {
    facts.unshift(["slots", [
      able.slots === able.next ? "" : t("board.slots.now", { n: able.slots }),
      t(`board.slots.${able.because}`, { n: able.next }), able.encodes === null ? "" : t("board.slots.smaller", { n: able.encodes }),
    ].join("")]);
  }
  const name = told.model ?? told.name;
  return h("section", { class: "section", "aria-labelledby": "board" },
    h("div", { class: "section-head" }, h("h2", { id: "board" }, t("board.title")), name && !name.startsWith("generic") && h("p", { class: "soft small-text" }, name)),
    h("dl", { class: "card pad facts" }, facts.flatMap(([key, text]) => [h("dt", {}, t(`board.${key}`)), h("dd", {}, text)])));
}

/** Who makes smaller pictures for clients that ask for them, and how fast. */
function encoders(context, now) {
  const list = now.encoders ?? [];
  if (list.length === 0) return null;
  const state = (encoder) => {
    const speed = t("encoder.speed", { speed: number((encoder.speed_percent ?? 0) / 100, 1) });
    if (encoder.state === "untried") return t("encoder.untried");
    if (encoder.state === "fails") return `${t("encoder.fails")} ${encoder.says ? sentence(encoder.says) : ""}`;
    if (encoder.state === "rests") return `${t("encoder.rests", { span: span(encoder.rests_s ?? 0) })} ${encoder.says ? sentence(encoder.says) : ""}`;
    return encoder.streams > 0 ? `${speed} ${t("encoder.busy", { n: encoder.streams })}` : speed;
  };
  return h("details", { class: "card program section" },
    h("summary", {}, h("span", {}, t("encoder.title")), icon("down")),
    h("div", { class: "pad stack" }, h("p", { class: "soft" }, (now.model ?? "").includes("HDTC") ? t("encoder.promised") : t("encoder.not")),
      h("ul", {}, list.map((encoder) => h("li", { key: encoder.name }, h("strong", {}, encoder.name), " ", state(encoder)))),
      context.signedIn && h("p", {}, h("button", { class: "small", type: "button", onclick: (event) => context.attempt(async () => {
        await context.api.post("/encoders/try");
        context.say(t("encoder.said"));
      }, event.currentTarget) }, icon("retry"), t("encoder.try")))));
}
