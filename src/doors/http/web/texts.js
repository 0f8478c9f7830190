// Words, numbers and times in the reader's language. The words stand in texts-en.js and texts-de.js, one catalogue each.
// Not here: who says what when.

export const LANGUAGES = { en: "English", de: "Deutsch" };

let language = "en";
let catalogue = {};
let plural = new Intl.PluralRules("en");

export const currentLanguage = () => language;

/** Loads the catalogue of `wanted`, or of the first of the browser's languages that there is one for. */
export async function useLanguage(wanted) {
  const known = [wanted, ...navigator.languages.map((name) => name.slice(0, 2)), "en"].find((name) => name in LANGUAGES);
  catalogue = Object.assign({}, ...Object.values(await import(`./texts-${known}.js`)));
  language = known;
  plural = new Intl.PluralRules(known);
  document.documentElement.lang = known;
}

/** The text with that key: `{one: …, other: …}` is chosen by `values.n`. An unknown key is shown as it is. */
function find(key, values) {
  const text = catalogue[key];
  if (text === undefined) return key;
  if (typeof text === "string") return text;
  return (values.n === 0 && text.zero) || text[plural.select(values.n)] || text.other;
}

const filled = (value) => (typeof value === "number" ? number(value) : String(value ?? ""));

/** `t("home.free", {n: 2, all: 4})`: "2 of 4 tuners are free" */
export function t(key, values = {}) {
  return find(key, values).replace(/\{(\w+)\}/g, (_, name) => filled(values[name]));
}

/** What the box says, as a sentence. */
export function sentence(text) {
  const trimmed = text.trim();
  return trimmed && trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?:…”"]$/.test(trimmed) ? "" : ".");
}

export const has = (key) => key in catalogue;

/** The same with `**strong words**`, and values that may be elements; for `h(…)`. */
export function rich(key, values = {}) {
  return find(key, values).split(/(\*\*.+?\*\*|\{\w+\})/).filter(Boolean).map((part) => {
    if (part.startsWith("**")) {
      const strong = document.createElement("strong");
      strong.append(...rich2(part.slice(2, -2), values));
      return strong;
    }
    return rich2(part, values);
  }).flat();
}

function rich2(part, values) {
  const name = /^\{(\w+)\}$/.exec(part)?.[1];
  if (!name) return [part.replace(/\{(\w+)\}/g, (_, inner) => filled(values[inner]))];
  return [values[name] instanceof Node ? values[name] : filled(values[name])];
}

// ---- Numbers and times

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

/** "40 s", "4 min", "3 h 5 min", "2 days" */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return t("time.seconds", { n: s });
  if (s < 3600) return t("time.minutes", { n: Math.floor(s / 60) });
  const minutes = Math.floor((s % 3600) / 60);
  if (s < 86400) return t(minutes > 0 ? "time.hours" : "time.hours.even", { n: Math.floor(s / 3600), minutes });
  return t("time.days", { n: Math.floor(s / 86400) });
}

/** "3 min ago" */
export const ago = (seconds) => (seconds < 5 ? t("time.now") : t("time.ago", { span: span(seconds) }));

/** A Date of what the API writes (RFC 3339), or null. */
export function date(text) {
  const at = text ? new Date(text) : null;
  return at && !Number.isNaN(at.getTime()) ? at : null;
}

/** Seconds since then; null where one of the clocks is not set. */
export function age(text, now = Date.now()) {
  const at = date(text);
  if (!at) return null;
  const seconds = (now - at.getTime()) / 1000;
  return seconds > -86400 * 3650 && seconds < 86400 * 3650 ? seconds : null;
}

/** "20:14" or "20:14:05" on the clock of whoever looks; in the time zone `zone` if one is named. */
export const clock = (at, { seconds = false, zone } = {}) => new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23", timeZone: zone,
}).format(at);

/** "Fri 21 Nov, 20:14" */
export const day = (at, { zone, time = false } = {}) => new Intl.DateTimeFormat(language, {
  weekday: "short", day: "numeric", month: "short", timeZone: zone,
  ...(time ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : {}),
}).format(at);

/** "20:14" today and lately, "Fri 20:14" this week, otherwise the day. */
export function moment(at, now = new Date()) {
  if (at.toDateString() === now.toDateString() || Math.abs(now - at) < 6 * 3600e3) return clock(at);
  const isNear = Math.abs(now - at) < 6 * 86400e3;
  return isNear ? `${new Intl.DateTimeFormat(language, { weekday: "short" }).format(at)} ${clock(at)}` : day(at);
}

/** "4.2 Mbit/s" */
export const rate = (bitsPerS) => t("unit.mbit", { value: number(bitsPerS / 1e6, 1) });

/** "512 MB", "1.5 GB" */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let rest = value;
  while (rest >= 1000 && at < units.length - 1) {
    rest /= 1000;
    at += 1;
  }
  return `${number(rest, rest < 10 && at > 0 ? 1 : 0)} ${units[at]}`;
}
