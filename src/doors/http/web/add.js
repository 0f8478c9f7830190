// The box's addresses, and how to add it to Plex, Jellyfin, Emby, Kodi and VLC, click by click. Home and the first run
// show both. Not here: whether it was found; the views tell that.

import { h, icon, unique } from "./dom.js";
import { qr } from "./qr.js";
import { rich, t } from "./texts.js";

export const PLEX_CHANNELS_MAX = 480; // seen by users of Plex; no document

/** Copies, by the old way too: navigator.clipboard is missing on http://. */
async function copy(context, text, button) {
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    const field = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    button.after(field);
    field.focus({ preventScroll: true });
    field.select();
    try { copied = document.execCommand("copy"); } catch { /* said below */ }
    field.remove();
    button.focus({ preventScroll: true });
  }
  if (copied) context.say(t("copy.said", { text }));
  else await context.ask({ title: t("copy.title"), text: t("copy.why"), yes: t("do.ok"), field: { label: t("copy.label"), attributes: { value: text, readonly: true } } });
}

/** An address that breaks at its last slash, and a button that copies it. */
export function address(context, text, what) {
  const cut = text.lastIndexOf("/") + 1;
  const parts = cut > "https://".length ? [text.slice(0, cut), h("wbr"), text.slice(cut)] : [text];
  return h("span", { class: "address" }, h("code", {}, parts),
    h("button", { class: "small quiet", type: "button", title: t("do.copy"), onclick: (event) => copy(context, text, event.currentTarget) },
      icon("copy"), h("span", { class: "unseen" }, `${t("do.copy")}: ${what}`)));
}

function showQr(context, text, what) {
  return context.dialog(what, () => h("div", { class: "qr-box" }, qr(text, t("qr.label", { text })) ?? h("p", {}, t("qr.long")),
    h("p", { class: "soft" }, t("qr.why")), h("code", {}, text)));
}

/** All addresses with their buttons. */
export function addresses(context, known) {
  const one = (key, text) => h("div", { class: "address-row" }, h("dt", {}, t(`address.${key}`)), h("dd", {}, address(context, text, t(`address.${key}`)),
    h("button", { class: "small quiet", type: "button", title: t("qr.show"), onclick: () => showQr(context, text, t(`address.${key}`)) },
      icon("qr"), h("span", { class: "unseen" }, `${t("qr.show")}: ${t(`address.${key}`)}`))));
  return h("dl", { class: "addresses" }, ["base", "lineup_m3u", "guide"].filter((key) => known[key]).map((key) => one(key, known[key])));
}

const PROGRAMS = { plex: 4, jellyfin: 3, emby: 3, kodi: 3, vlc: 3 };

/** The exact clicks, one fold for each program. */
export function programs(context, known, channelsLen, open = "") {
  const place = (key) => address(context, known[key] ?? "", t(`address.${key}`));
  return Object.entries(PROGRAMS).map(([program, steps]) => h("details", { class: "card program", key: program, open: program === open, name: "programs" },
    h("summary", { id: unique("program") }, h("span", {}, t(`${program}.title`)), icon("down")),
    h("ol", {}, Array.from({ length: steps }, (_, at) => h("li", {}, rich(`${program}.${at + 1}`, {
      host: place("host_port"), base: place("base"), guide: place("guide"), lineup: place("lineup_m3u"),
    })))),
    program === "plex" && channelsLen > PLEX_CHANNELS_MAX && h("p", { class: "note", "data-level": "warn" }, t("plex.limit", { n: PLEX_CHANNELS_MAX })),
    program === "kodi" && h("p", { class: "soft small-text" }, t("kodi.note"))));
}
