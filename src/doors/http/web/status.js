// What the box says of itself, live: by server-sent events, and by asking where those do not come through.
// Not here: how it is shown. Invariant: one question at a time, and none while nobody looks.

import { api } from "./api.js";

const POLL_MS = 2000;
const POLL_MS_MAX = 15000; // a box that is off is asked this often
const SILENCE_MS = 6000; // of events; then we ask
const RATES_LEN = 60;

const readers = new Set();
let source = null;
let timer;
let failures = 0;
let running = false;
let eventAt = 0;

/**
 * `status.now`: what came last (null at first), at `status.at`. `status.online`: whether the box answers; `status.lostAt`
 * since when not. `status.rates`: by tuner, the last bit rates. `subscribe(reader)` calls `reader(status)` at once and at
 * every change, and returns what ends that.
 */
export const status = {
  now: null, at: 0, online: true, lostAt: null, denied: false, rates: new Map(),
  subscribe(reader) {
    readers.add(reader);
    if (status.now) reader(status);
    return () => readers.delete(reader);
  },
  start,
  stop,
  /** Asks now, for somebody who has just changed something. */
  refresh: () => poll(),
};

/** How many things wait for a person: what keeps pictures away, and channels that only a change can help. */
export const urgent = (now) => (now.problems ?? []).filter(({ level }) => level === "critical").length
  + (now.channels_ill ?? []).filter((channel) => channel.needs_help).length;

function tell() {
  for (const reader of [...readers]) {
    try { reader(status); } catch (error) { console.error(error); }
  }
}

// What an older box may leave out.
const TUNER = { state: "free", since_s: null, channel: null, source: 0, viewers: [], bits_per_s: 0, health: "unknown", attempt: 0 };

function take(told) {
  const now = { problems: [], channels_ill: [], clients: [], ...told, tuners: (told.tuners ?? []).map((tuner) => ({ ...TUNER, ...tuner })) };
  Object.assign(status, { now, at: Date.now(), online: true, lostAt: null, denied: false });
  for (const tuner of now.tuners) {
    const channel = tuner.channel?.number ?? null;
    const had = status.rates.get(tuner.tuner);
    const rates = had && had.channel === channel ? had : { channel, list: [] };
    if (tuner.state === "playing") rates.list.push(tuner.bits_per_s ?? 0);
    if (rates.list.length > RATES_LEN) rates.list.shift();
    status.rates.set(tuner.tuner, rates);
  }
  failures = 0;
  tell();
}

function listen() {
  source?.close();
  source = null;
  if (!("EventSource" in window)) return;
  source = new EventSource(api.url("/events"));
  source.addEventListener("status", (event) => {
    eventAt = Date.now();
    try { take(JSON.parse(event.data)); } catch { /* the next one may be better */ }
  });
}

async function poll() {
  clearTimeout(timer);
  if (!running) return;
  try {
    take(await api.get("/status", { ms: 5000, quiet: true }));
  } catch (problem) {
    failures += 1;
    status.denied = problem.status === 401 || problem.status === 403;
    if (status.denied) {
      stop();
      tell();
      return;
    }
    if (failures > 1 || !status.now) {
      status.online = false;
      status.lostAt ??= Date.now();
      tell();
    }
  }
  if (running) schedule();
}

/** Events come only when something changed, so silence is no alarm by itself; an answer now and then tells the two apart. */
function schedule() {
  clearTimeout(timer);
  const isLive = source?.readyState === 1 && Date.now() - eventAt < SILENCE_MS;
  const ms = isLive ? SILENCE_MS : Math.min(POLL_MS * 2 ** failures, POLL_MS_MAX);
  timer = setTimeout(() => {
    if (source?.readyState === 2) listen();
    if (source?.readyState === 1 && Date.now() - eventAt < SILENCE_MS) schedule();
    else poll();
  }, ms);
}

function start() {
  if (running) return;
  running = true;
  failures = 0;
  listen();
  poll();
}

function stop() {
  running = false;
  clearTimeout(timer);
  source?.close();
  source = null;
}

let wasRunning = false;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    wasRunning = running;
    stop();
  } else if (wasRunning) {
    start();
  }
});
