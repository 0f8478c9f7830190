// Fills the first page: asks /api/v1/status while somebody looks, and /lineup.json when the channels change.
// Not here: words that never change (index.html), looks (style.css), decisions (the daemon).
// Invariant: what came from outside (names, groups, problems) enters the page as text only, never as markup.
"use strict";

const POLL_MS = 2000;
const POLL_MS_MAX = 15000; // a box that is off is asked this often
const ANSWER_MS_MAX = 5000; // longer than any good answer in a home
const LINEUP_MS_MAX = 20000; // 10,000 channels over a poor radio link
const ROWS_MAX = 200; // more are slow on a phone, and nobody reads them
const VIEWERS_SHOWN_MAX = 4;
const PLEX_CHANNELS_MAX = 480; // seen by users of Plex; no document

const by = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en").format;
const plural = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

/** Makes an element; children are elements or text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sets text only when it differs, so that a selection survives and a screen reader is not told twice. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** One child of `list` per item; children are kept from one answer to the next. */
function keep(list, items, create, fill) {
  while (list.children.length > items.length) list.lastChild.remove();
  items.forEach((item, index) => fill(list.children[index] || list.appendChild(create()), item));
}

/** "40 s", "4 min", "3 h 5 min", "2 days" */
function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return plural(Math.floor(s / 86400), "day", "days");
}

/** Asks the box; gives up after `ms`. */
async function request(path, ms, options = {}) {
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(), ms);
  try {
    const response = await fetch(path, { ...options, signal: abort.signal });
    return { response, body: await response.text() };
  } finally {
    clearTimeout(late);
  }
}

/** Seconds from the time `text` to the box's now; null where one of the two clocks is not set. */
function age(text, now) {
  const seconds = (now - Date.parse(text)) / 1000;
  return seconds > -60 && seconds < 86400 * 365 ? seconds : null;
}

// ---- Copying

/** Copies, by the old way too: navigator.clipboard is missing on http://. */
async function copy(text, button) {
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    const field = make("textarea", { class: "unseen", readonly: "", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.focus({ preventScroll: true });
    field.select();
    try { copied = document.execCommand("copy"); } catch { /* said below */ }
    field.remove();
    button.focus({ preventScroll: true });
  }
  if (copied) {
    say(button, "Copied");
    say(by("said"), `Copied ${text}`);
    setTimeout(() => { say(button, "Copy"); say(by("said"), ""); }, 2000);
    return;
  }
  let field = button.nextElementSibling;
  if (!field) button.after(field = make("input", { readonly: "", "aria-label": "Address to copy" }));
  field.value = text;
  field.focus();
  field.select();
  say(by("said"), "The browser does not let this page copy. The address is selected: copy it yourself.");
}

function copyButton(what, address) {
  const button = make("button", { type: "button", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", () => copy(address(), button));
  return button;
}

const ADDRESS_NAMES = {
  base: "the address of the box", host_port: "the network address", lineup_m3u: "the channel list address",
  guide: "the guide address",
};

function showAddresses(addresses) {
  for (const place of document.querySelectorAll("[data-address]")) {
    const key = place.dataset.address;
    if (!place.firstChild) {
      const code = make("code", {});
      place.className = "address";
      place.append(code, copyButton(ADDRESS_NAMES[key], () => code.textContent));
    }
    const text = addresses[key];
    const cut = text.lastIndexOf("/") + 1; // the best place to break the line
    if (place.firstChild.textContent !== text) {
      const parts = cut > "http://".length ? [text.slice(0, cut), make("wbr", {}), text.slice(cut)] : [text];
      place.firstChild.replaceChildren(...parts);
    }
  }
}

// ---- State, problems, tuners

const LEVEL_NAMES = { good: "All is well", busy: "Busy", ill: "Needs attention", silent: "No answer" };

function showState(level, sentence, detail) {
  by("state").dataset.level = level;
  by("state").setAttribute("aria-label", `State: ${LEVEL_NAMES[level]}`);
  by("level-shape").setAttribute("href", `#${level}`);
  say(by("sentence"), sentence);
  say(by("detail"), detail);
  by("detail").hidden = !detail;
  by("main").classList.toggle("stale", level === "silent");
}

const PROBLEM_NAMES = { warning: "Warning", critical: "Needs attention" };

function showProblems(problems, now) {
  by("problems").hidden = problems.length === 0;
  keep(by("problems").querySelector("ul"), problems,
    () => make("li", { class: "card" }, make("p", {}), make("p", { class: "since" })),
    (item, problem) => {
      const [since, last] = [age(problem.since, now), age(problem.last, now)];
      const parts = [PROBLEM_NAMES[problem.level]];
      if (since !== null) parts.push(`for ${span(since)}`);
      if (problem.count > 1) {
        parts.push(`${number(problem.count)} times${last === null ? "" : `, the last ${span(last)} ago`}`);
      }
      item.dataset.level = problem.level;
      say(item.firstChild, problem.text);
      say(item.lastChild, parts.join(" · "));
    });
}

const STATE_NAMES = {
  free: "Free", waiting: "Waiting to start", starting: "Starting", playing: "Playing", stopping: "Stopping",
  lost: "Out of service",
};

const HEALTH_NAMES = {
  healthy: "Picture and sound are good.", unknown: "Picture and sound: unknown.",
  unhealthy: "Picture or sound is bad. If that lasts, the box starts it again.",
  silent: "Nothing comes from the source at the moment.",
};

const PICTURE_NAMES = {
  black: "The picture is black.", frozen: "Nothing moves in the picture.", silent: "There is no sound.",
  starved: "Hardly anything comes from the source.",
};

/** A start that is not the first since the channel last was well. */
const isRetry = (tuner) => tuner.attempt > 1 && (tuner.state === "waiting" || tuner.state === "starting");

/** "20:14:05" on the clock of whoever looks */
const clockIn = (seconds) => new Date(Date.now() + seconds * 1000).toLocaleTimeString([], { hour12: false });

function viewersText(viewers) {
  const one = (viewer) => `${viewer.address} · ${span(viewer.since_s)}`;
  if (viewers.length === 0) return "";
  if (viewers.length === 1) return `for ${one(viewers[0])}`;
  const more = viewers.length - VIEWERS_SHOWN_MAX;
  const lines = [`for ${viewers.length} viewers`, ...viewers.slice(0, VIEWERS_SHOWN_MAX).map(one)];
  if (more > 0) lines.push(`and ${more} more`);
  return lines.join("\n");
}

function tunerNote(tuner) {
  if (tuner.state === "lost") return "Its last programme did not end. The box keeps trying to end it.";
  if (tuner.state === "free") return "";
  const notes = [];
  if (isRetry(tuner)) {
    const next = tuner.next_try_in_s ? `, next in ${span(tuner.next_try_in_s)}` : "";
    notes.push(`Reconnecting, attempt ${tuner.attempt}${next}.`);
  } else if (tuner.next_try_in_s) {
    notes.push(`Starts in ${span(tuner.next_try_in_s)}.`);
  }
  if (tuner.held > 0) notes.push(`${plural(tuner.held, "viewer holds", "viewers hold")} on meanwhile.`);
  if (tuner.slate) notes.push(`The picture says: "${tuner.slate}"`);
  if (tuner.state === "playing") {
    const picture = PICTURE_NAMES[tuner.picture];
    notes.push(picture ? `${picture} For ${span(tuner.picture_since_s)}.` : HEALTH_NAMES[tuner.health] || "");
  }
  if (tuner.continuity_errors > 0) notes.push(`${plural(tuner.continuity_errors, "gap", "gaps")} in what the source sent.`);
  if (tuner.overtaken > 0) {
    notes.push(`Viewers fell behind ${plural(tuner.overtaken, "time", "times")}: look at their network.`);
  }
  return notes.join(" ");
}

function showTuners(tuners) {
  keep(by("tuners").querySelector("ul"), tuners,
    () => make("li", { class: "card" },
      make("div", { class: "head" }, make("h3", {}), make("span", { class: "shape" })),
      make("p", { class: "what clamp", dir: "auto" }), make("p", { class: "viewers" }), make("p", {}),
      make("p", { class: "note" })),
    (card, tuner) => {
      const [head, what, viewers, rate, note] = card.children;
      const channel = tuner.state === "free" ? null : tuner.channel;
      card.dataset.state = tuner.state;
      say(head.firstChild, `Tuner ${tuner.tuner + 1}`);
      say(head.lastChild, isRetry(tuner) ? "Reconnecting" : STATE_NAMES[tuner.state] || tuner.state);
      say(what, channel ? `${channel.number} ${channel.name}` : "");
      say(viewers, viewersText(tuner.viewers));
      say(rate, tuner.state === "playing"
        ? `${(tuner.bits_per_s / 1e6).toFixed(1)} Mbit/s${pathText(tuner)}` : "");
      say(note, tunerNote(tuner));
    });
}

// What is done for a tuner's channel, where that is more than to pass it on.
function pathText(tuner) {
  if (tuner.profile) return ` · ${tuner.profile}`;
  return { sound: " · sound encoded", encode: " · encoded" }[tuner.path] || "";
}

// ---- Channels in trouble

const ILL_NAMES = { resting: "Resting", trying: "Being tried", failing: "Unsteady" };

function illNote(channel) {
  if (channel.needs_help) {
    return `Not set up right: ${channel.why}. Trying again cannot help before its source is changed.`;
  }
  const why = channel.why || "nobody knows why";
  const failed = channel.failures > 1
    ? `The source failed ${number(channel.failures)} times, last: ${why}.` : `The source failed: ${why}.`;
  if (channel.state === "trying") return `${failed} It is being tried now.`;
  if (channel.next_try_in_s > 0) return `${failed} Next try from ${clockIn(channel.next_try_in_s)}.`;
  return channel.state === "resting" ? `${failed} It is tried as soon as somebody watches it.` : failed;
}

async function retry(item) {
  const [, note, button] = item.children;
  button.disabled = true;
  let answer = "It may be tried at once now: watch it.";
  try {
    const { response } = await request(`/api/v1/channels/${item.dataset.channel}/retry`, ANSWER_MS_MAX, { method: "POST" });
    if (!response.ok) answer = `The box refused (${response.status}).`;
  } catch {
    answer = "The box did not answer. Try again.";
  }
  say(note, answer);
  say(by("said"), answer);
  button.disabled = false;
}

function showIll(ill, len) {
  by("trouble").hidden = ill.length === 0;
  keep(by("trouble").querySelector("ul"), ill,
    () => {
      const item = make("li", { class: "card" },
        make("div", { class: "head" }, make("h3", { class: "clamp", dir: "auto" }), make("span", { class: "shape" })),
        make("p", {}), make("button", { type: "button" }, "Try now"));
      item.lastChild.addEventListener("click", () => retry(item));
      return item;
    },
    (item, channel) => {
      const [head, note, button] = item.children;
      const name = channel.number ? `${channel.number} ${channel.name}` : "A channel that left the lineup";
      item.dataset.state = channel.state;
      item.dataset.channel = channel.channel_id;
      say(head.firstChild, name);
      say(head.lastChild, ILL_NAMES[channel.state] || channel.state);
      say(note, illNote(channel));
      button.hidden = channel.state !== "resting" || (channel.next_try_in_s === 0 && !channel.needs_help);
      button.setAttribute("aria-label", `Try ${name} now`);
    });
  by("trouble-more").hidden = len <= ill.length;
  say(by("trouble-more"), `and ${number(len - ill.length)} more`);
}

function showPlaylist(playlist, now) {
  by("playlist").hidden = !playlist.in_use;
  const [text, button] = by("playlist").children;
  if (!button.dataset.asked) button.disabled = playlist.in_progress;
  const parts = [plural(playlist.found, "channel", "channels")];
  if (playlist.skipped > 0) {
    parts.push(`${number(playlist.skipped)} left out${playlist.first_skipped ? ` (first: ${playlist.first_skipped})` : ""}`);
  }
  const seconds = playlist.loaded_at ? age(playlist.loaded_at, now) : null;
  if (playlist.in_progress) parts.push("being read now");
  else if (seconds !== null) parts.push(`read ${span(seconds)} ago`);
  say(text, `Playlist: ${parts.join(", ")}.`);
}

by("playlist").querySelector("button").addEventListener("click", async (click) => {
  const button = click.currentTarget;
  button.disabled = true;
  button.dataset.asked = "yes";
  let answer = "Asked the box to read the playlist again.";
  try {
    const { response } = await request("/api/v1/subscriptions/refresh", ANSWER_MS_MAX, { method: "POST" });
    if (!response.ok) answer = `The box refused to read the playlist now (${response.status}). Try again later.`;
  } catch {
    answer = "The box did not answer. Try again.";
  }
  say(by("said"), answer);
  if (!answer.startsWith("Asked")) say(by("playlist").firstChild, answer);
  delete button.dataset.asked;
  button.disabled = false;
});

// ---- Smaller pictures

function encoderText(encoder) {
  const speed = `${number((encoder.speed_percent || 0) / 100)} times the speed of 720 lines`;
  const why = encoder.says ? `: ${encoder.says}` : "";
  if (encoder.state === "untried") return "has not been tried yet";
  if (encoder.state === "fails") return `does not work${why}`;
  if (encoder.state === "rests") return `failed and rests for ${span(encoder.rests_s)}${why}`;
  return encoder.streams > 0 ? `${speed}; makes ${plural(encoder.streams, "stream", "streams")} now` : speed;
}

function showEncoders(encoders, model) {
  by("encoders").hidden = encoders.length === 0;
  const promise = model.includes("HDTC")
    ? "Clients may ask for them: the box is fast enough, and says so." : "The box does not promise any to clients.";
  say(by("encoders").querySelector("p"), promise);
  keep(by("encoders").querySelector("ul"), encoders, () => make("li", {}),
    (item, encoder) => say(item, `${encoder.name}: ${encoderText(encoder)}`));
}

by("encoders").querySelector("button").addEventListener("click", async (click) => {
  const button = click.currentTarget;
  button.disabled = true;
  let answer = "The encoders are tried as soon as nobody needs the box.";
  try {
    const { response } = await request("/api/v1/encoders/try", ANSWER_MS_MAX, { method: "POST" });
    if (!response.ok) answer = `The box refused (${response.status}).`;
  } catch {
    answer = "The box did not answer. Try again.";
  }
  say(by("said"), answer);
  button.disabled = false;
});

// ---- Channels

let channels = null; // [{number, name, group, url, key}], null until they could be had
let channelsVersion = null; // changes when they should be fetched again
let channelsBody = ""; // as it came; the same list is not drawn twice, so that focus stays

/** For finding: small letters, no accents. */
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
/** For a line of a playlist file: a name must not start a new line. */
const oneLine = (text) => text.replace(/[\p{Cc}\u2028\u2029]/gu, " ");

async function fetchChannels(version) {
  if (version === channelsVersion) return;
  const { response, body } = await request("/lineup.json", LINEUP_MS_MAX);
  if (response.status === 503) {
    if (!channels) say(by("shown"), "The box is still reading its channels…");
    return;
  }
  if (!response.ok) throw new Error(`lineup.json: ${response.status}`);
  if (body !== channelsBody) {
    channels = JSON.parse(body).map((row) => {
      const [channelNumber, name, group] = [row.GuideNumber, row.GuideName, row.Group || ""].map(String);
      return { number: channelNumber, name, group, url: String(row.URL), key: plain(`${name} ${group}`) };
    });
    channelsBody = body;
    showChannels();
  }
  channelsVersion = version;
}

/** Those that match every word, in order; an exact number first. */
function find(text) {
  const words = plain(text).split(/\s+/).filter(Boolean);
  const found = channels.filter((channel) =>
    words.every((word) => channel.number.startsWith(word) || channel.key.includes(word)));
  const exact = found.filter((channel) => words.includes(channel.number));
  return exact.length === 0 ? found : exact.concat(found.filter((channel) => !exact.includes(channel)));
}

function row(channel) {
  const full = `${channel.number} ${channel.name}`;
  const name = make("td", { class: "name" }, make("bdi", { class: "clamp" }, channel.name));
  if (channel.group) name.append(make("bdi", { class: "soft clamp" }, channel.group));
  const actions = make("td", { class: "do" });
  if (/^https?:\/\//.test(channel.url)) {
    // A small playlist file opens in the player; the stream itself would be a download without an end.
    const file = `#EXTM3U\n#EXTINF:-1,${oneLine(full)}\n${oneLine(channel.url)}\n`;
    actions.append(
      make("a", {
        class: "button", download: `${channel.number.replace(/[^\w.-]/g, "_")}.m3u`, "aria-label": `Play ${full}`,
        href: `data:audio/x-mpegurl;charset=utf-8,${encodeURIComponent(file)}`,
        title: "Opens in your player, such as VLC",
      }, "Play"),
      copyButton(`the address of ${full}`, () => channel.url));
  }
  return make("tr", {}, make("th", { scope: "row" }, channel.number), name, actions);
}

function showChannels() {
  if (!channels) return;
  const text = by("find").value.trim();
  const found = find(text);
  const table = document.querySelector("table");
  table.tBodies[0].replaceChildren(...found.slice(0, ROWS_MAX).map(row));
  table.hidden = found.length === 0;
  say(by("channels-len"), number(channels.length));
  by("plex-limit").hidden = channels.length <= PLEX_CHANNELS_MAX;
  let line = "";
  if (channels.length === 0) {
    line = "No channels yet. Name a playlist in the settings of the box, under [lineup], and they appear here.";
  } else if (found.length === 0) {
    line = `No channel matches “${text}”. Try a part of its name, or its number.`;
  } else if (found.length > ROWS_MAX) {
    line = `${ROWS_MAX} of ${number(found.length)}, type ${text ? "more " : ""}to find the others`;
  } else if (text) {
    line = `${number(found.length)} found`;
  }
  say(by("shown"), line);
}

let findTimer;
by("find").addEventListener("input", () => {
  clearTimeout(findTimer);
  findTimer = setTimeout(showChannels, 120);
});

// ---- Asking

let failures = 0;
let silentSince = null; // performance.now() of the first question without an answer
let failure = "";
let timer;
let asking = false;

function showStatus(status, now) {
  for (const id of ["jumps", "tuners", "columns"]) by(id).hidden = false;
  say(by("name"), status.name);
  document.title = status.level === "ill" ? `(!) ${status.name}` : status.name;
  showState(status.level, status.sentence, "");
  showProblems(status.problems, now);
  showTuners(status.tuners);
  showIll(status.channels_ill, status.channels_ill_len);
  showAddresses(status.addresses);
  showPlaylist(status.playlist, now);
  showEncoders(status.encoders, status.model);
  say(by("about"), `Device ${status.device_id} · version ${status.version} · ${status.board} · running for ${span(status.uptime_s)}`);
}

function showSilence() {
  const since = `For ${span((performance.now() - silentSince) / 1000)}. `;
  const old = by("about").textContent ? "Below is what it said last. " : "";
  if (failure) showState("silent", "The box answers, but not with its state.", `${since}${failure}`);
  else showState("silent", "The box does not answer. Is it on?", `${since}${old}This page keeps asking.`);
  document.title = "(!) No answer";
}

async function ask() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  const askedAt = performance.now();
  failure = "";
  try {
    const { response, body } = await request("/api/v1/status", ANSWER_MS_MAX, { cache: "no-store" });
    failure = response.ok ? "Reload this page: it may be older than the box." : `It said ${response.status}; its log knows why. `;
    if (!response.ok) throw new Error(failure);
    const status = JSON.parse(body);
    showStatus(status, Date.parse(response.headers.get("date")) || Date.now());
    failures = 0;
    silentSince = null;
    await fetchChannels(`${status.channels_len} ${status.playlist.loaded_at}`).catch(() => {
      if (!channels) say(by("shown"), "The list of channels could not be had. Trying again.");
    });
  } catch {
    failures += 1;
    silentSince ??= askedAt;
  }
  asking = false;
  if (failures > 1 || (failures === 1 && !by("about").textContent)) showSilence();
  timer = setTimeout(ask, Math.min(POLL_MS * 2 ** failures, POLL_MS_MAX));
}

setInterval(() => {
  if (by("state").dataset.level === "silent" && silentSince !== null) showSilence();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (silentSince !== null) { failures = 1; silentSince = performance.now(); }
  ask();
});
if (matchMedia("(min-width: 62rem)").matches) document.querySelector("details").open = true;
by("state").hidden = false;
ask();
