// The guide: what is on, as a grid or, on phones, as a list; the guides that it is made of; channels that have none.
// Not here: whose programmes a channel shows (channels.js).

import { fill, h, icon } from "./dom.js";
import { again, all, busy, change, chip, doing, facts, field, form, items, nothing, part, sheet } from "./manage.js";
import { age, ago, bytes, clock, date, day, number, t } from "./texts.js";

const HALF_HOUR_MS = 1800000;
const HOURS = 3;
const ROWS = 40;
const UNMATCHED_MAX = 2000;
const LOAD_MS = 20000;
const DAYS = 8;

export async function guide(root, context) {
  const { api, status, signal } = context;
  const view = { from: half(Date.now()), rows: [], next: null, at: [0, 0] };
  const head = h("p", { class: "strong grow", role: "status" });
  const grid = h("div", { class: "tv", role: "grid", "aria-label": t("guide.grid"), onkeydown: keys });
  const more = h("div", { class: "row centre" });
  const guides = h("div", { class: "grid" });
  const served = h("div");
  const unmatched = h("div");
  const days = h("select", { "aria-label": t("guide.day"), onchange: () => {
    const now = new Date();
    const at = new Date(now.getFullYear(), now.getMonth(), now.getDate() + Number(days.value), Number(days.value) ? 20 : now.getHours(), now.getMinutes());
    go(half(at.getTime()));
  } }, Array.from({ length: DAYS }, (_, at) => h("option", { value: at }, at === 0 ? t("guide.today") : day(new Date(Date.now() + at * 86400000)))));
  const step = (key, shape, by) => h("button", { type: "button", "aria-label": t(`guide.${key}`), onclick: () => go(view.from + by * HALF_HOUR_MS) }, icon(shape));
  fill(root,
    h("section", { class: "card", "aria-label": t("guide.grid") },
      h("div", { class: "row pad tv-head" }, head, days,
        h("div", { class: "row" }, step("earlier", "back", -4),
          h("button", { type: "button", onclick: () => {
            days.value = "0";
            go(half(Date.now()));
          } }, t("guide.now")), step("later", "next", 4))),
      grid, more),
    part(t("guide.guides"), [
      doing(context, [icon("retry"), t("guide.refresh-all")], async () => {
        await api.post("/guides/refresh");
        context.say(t("guide.refreshing"));
        await loadGuides();
      }, { class: "small" }),
      h("button", { type: "button", class: "small", onclick: () => add() }, icon("add"), t("guide.add"))], served, guides),
    part(t("guide.unmatched"), null, unmatched));

  // ---- The grid

  const to = () => view.from + HOURS * 2 * HALF_HOUR_MS;
  const iso = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

  async function go(from) {
    view.from = from;
    await load().catch(context.fail);
  }

  async function load(after) {
    const from = view.from;
    grid.setAttribute("aria-busy", "true");
    const answer = await api.get(api.path("/programmes", { from: iso(from), to: iso(to()), limit: ROWS, after })).finally(() => grid.removeAttribute("aria-busy"));
    if (signal.aborted || from !== view.from) return;
    view.rows = after === undefined ? items(answer) : [...view.rows, ...items(answer)];
    view.next = answer.next ?? null;
    draw();
  }

  function draw() {
    const [from, end] = [new Date(view.from), new Date(to())];
    head.textContent = `${day(from)}, ${clock(from)} – ${clock(end)}`;
    const hasFocus = grid.contains(document.activeElement);
    if (view.rows.length === 0 || view.rows.every((row) => row.programmes.length === 0)) {
      fill(grid, h("div", { class: "empty", role: "row" }, h("span", { role: "gridcell" }, t("guide.nothing"))));
    } else {
      const times = Array.from({ length: HOURS * 2 }, (_, at) => view.from + at * HALF_HOUR_MS);
      fill(grid,
        h("div", { class: "tv-row tv-times", role: "row" },
          h("span", { class: "tv-name", role: "columnheader" }, h("span", { class: "unseen" }, t("guide.channel"))),
          h("span", { class: "tv-lane", role: "presentation" },
            times.map((at) => placed(h("span", { class: "tv-time", role: "columnheader" }, clock(new Date(at))), at, at + HALF_HOUR_MS)))),
        view.rows.map(row));
    }
    fill(more, view.next !== null && doing(context, t("guide.more"), () => load(view.next)));
    more.hidden = view.next === null;
    const cell = target();
    if (cell) {
      cell.tabIndex = 0;
      if (hasFocus) cell.focus();
    }
    drawNow();
  }

  const share = (ms) => Math.min(1, Math.max(0, (ms - view.from) / (to() - view.from)));

  function placed(element, start, stop) {
    element.style.setProperty("--from", share(start).toFixed(4));
    element.style.setProperty("--span", (share(stop) - share(start)).toFixed(4));
    return element;
  }

  function row(one, at) {
    const cells = one.programmes.map((programme, index) => cell(one, programme, at, index)).filter(Boolean);
    return h("div", { class: "tv-row", role: "row" },
      h("span", { class: "tv-name", role: "rowheader" }, h("span", { class: "no" }, one.number), " ", h("bdi", {}, one.name)),
      h("div", { class: "tv-lane", role: cells.length ? "presentation" : null }, cells.length ? cells : h("span", { class: "soft small-text tv-none", role: "gridcell" }, t("guide.nothing-here"))));
  }

  function cell(one, programme, at, index) {
    const [start, stop] = [date(programme.start)?.getTime(), date(programme.stop)?.getTime()];
    if (start === undefined || stop === undefined || stop <= view.from || start >= to()) return null;
    const now = Date.now();
    const isNow = start <= now && now < stop;
    const button = h("button", {
      type: "button", class: isNow ? "tv-on now" : stop <= now ? "tv-on past" : "tv-on", tabindex: "-1",
      "data-row": at, "data-at": index, onfocus: () => { view.at = [at, index]; }, onclick: () => open(one, programme),
    }, h("span", { class: "tv-at" }, clock(new Date(start))), " ", h("span", { class: "tv-title" }, programme.title));
    return placed(h("div", { class: "tv-cell", role: "gridcell" }, button), start, stop);
  }

  function drawNow() {
    const at = Date.now();
    for (const lane of grid.querySelectorAll(".tv-lane")) {
      lane.classList.toggle("has-now", at >= view.from && at < to());
      lane.style.setProperty("--now", share(at).toFixed(4));
    }
  }

  const buttons = (at) => [...grid.querySelectorAll(`[data-row="${at}"]`)];

  /** The one that the keyboard is at. */
  function target() {
    const here = grid.querySelector(`[data-row="${view.at[0]}"][data-at="${view.at[1]}"]`);
    return here ?? grid.querySelector(".tv-on.now") ?? grid.querySelector(".tv-on");
  }

  function focus(button) {
    if (!button) return;
    for (const one of grid.querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  }

  function keys(event) {
    const here = event.target.closest(".tv-on");
    if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = Number(here.dataset.row);
    const lane = buttons(at);
    const index = lane.indexOf(here);
    const jump = (by) => {
      const middle = here.getBoundingClientRect();
      const centre = (middle.left + middle.right) / 2;
      for (let other = at + by; other >= 0 && other < view.rows.length; other += by) {
        const found = buttons(other);
        const fitting = found.find((one) => one.getBoundingClientRect().right > Math.max(centre, 0)) ?? found.at(-1);
        if (fitting) return fitting;
      }
      return null;
    };
    const turn = async (by) => {
      view.at = [at, by > 0 ? -1 : Infinity];
      await go(view.from + by * 4 * HALF_HOUR_MS);
      focus(by > 0 ? buttons(at)[0] : buttons(at).at(-1));
    };
    const moves = {
      ArrowRight: () => (lane[index + 1] ? focus(lane[index + 1]) : turn(1)),
      ArrowLeft: () => (lane[index - 1] ? focus(lane[index - 1]) : turn(-1)),
      ArrowDown: () => focus(jump(1)), ArrowUp: () => focus(jump(-1)),
      Home: () => focus(lane[0]), End: () => focus(lane.at(-1)),
      PageDown: () => turn(1), PageUp: () => turn(-1),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  function open(one, programme) {
    const [start, stop] = [date(programme.start), date(programme.stop)];
    const isNow = start <= Date.now() && Date.now() < stop;
    sheet(context, programme.title, (body) => body.show(
      h("p", { class: "soft" }, `${one.number} ${one.name} · ${day(start)}, ${clock(start)} – ${clock(stop)} · ${t("time.minutes", { n: Math.round((stop - start) / 60000) })}`),
      programme.sub_title && h("p", { class: "strong" }, programme.sub_title),
      h("p", {}, programme.description || t("guide.no-description")),
      h("div", { class: "actions" },
        h("a", { class: "button", href: `#/channels?${new URLSearchParams({ search: one.name })}` }, t("guide.to-channel")),
        isNow && h("a", {
          class: "button primary", download: `${one.number}.m3u`,
          href: `data:audio/x-mpegurl;charset=utf-8,${encodeURIComponent(`#EXTM3U\n#EXTINF:-1,${one.number} ${one.name}\n${location.origin}/auto/v${one.number}\n`)}`,
        }, icon("play"), t("channel.vlc")))));
  }

  // ---- Guides

  async function loadGuides() {
    const answer = await api.get("/guides");
    if (signal.aborted) return false;
    const made = answer.served;
    fill(served,
      answer.refused && h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, answer.refused)),
      made && h("div", { class: "card pad stats" }, [
        [t("channels.title"), number(made.matched) + (status.now?.channels_len ? ` / ${number(status.now.channels_len)}` : "")],
        [t("guide.programmes"), number(made.programmes)],
        [t("guide.fresh"), date(made.data_from) ? ago(Math.max(0, age(made.data_from))) : ago(made.age_s)],
        [t("guide.size"), bytes(made.bytes)],
      ].map(([name, value]) => h("div", {}, h("strong", {}, value), h("span", { class: "soft small-text" }, name)))));
    fill(guides, answer.guides.map(card));
    if (answer.guides.length === 0) fill(guides, nothing(t("guide.none")));
    return answer.guides.some((one) => one.in_progress);
  }

  function card(guide) {
    const left = Object.values(guide.left_out ?? {}).reduce((sum, n) => sum + n, 0);
    const level = guide.in_progress ? "busy" : guide.problem ? "ill" : guide.fetched_at ? "good" : "busy";
    return h("article", { class: "card pad stack", "data-level": level, "aria-label": guide.address },
      h("div", { class: "row spread" }, h("h3", { class: "grow" }, guide.address),
        chip(t(guide.in_progress ? "source.reading" : guide.problem ? "source.error" : guide.fetched_at ? "source.good" : "source.never"), level)),
      guide.problem && h("p", { class: "note", "data-level": "ill" }, icon("ill"), h("span", {}, guide.problem)),
      guide.hint && h("p", { class: "note", "data-level": "warn" }, icon("busy"), h("span", {}, guide.hint)),
      facts([
        [t("guide.named-by"), t(`guide.by-${guide.named_by}`)],
        [t("channels.title"), guide.channels], [t("guide.programmes"), guide.programmes],
        [t("source.loaded"), date(guide.fetched_at) ? ago(Math.max(0, age(guide.fetched_at))) : null],
        [t("guide.offset"), guide.offset_minutes ? t("time.minutes", { n: (guide.offset_minutes > 0 ? "+" : "−") + Math.abs(guide.offset_minutes) }) : null],
      ]),
      left > 0 && h("p", { class: "soft small-text" }, t("guide.left-out", { n: left })),
      h("div", { class: "row card-do" },
        doing(context, [icon("retry"), t("source.refresh")], async () => {
          await api.post(`/guides/${guide.id}/refresh`);
          await loadGuides();
        }, { class: "small" }),
        h("button", { type: "button", class: "small", onclick: () => offset(guide) }, t("guide.set-offset")),
        guide.named_by === "owner" && doing(context, [icon("delete"), t("source.remove")], async () => {
          const yes = await context.ask({ title: t("guide.remove-title"), text: guide.address, yes: t("source.remove"), danger: true });
          if (yes) await change(context, () => api.delete(`/guides/${guide.id}`), t("guide.removed"), loadGuides);
        }, { class: "small quiet" })));
  }

  function offset(guide) {
    sheet(context, t("guide.set-offset"), (body, close) => body.show(form({
      fields: [h("p", { class: "soft" }, guide.address), field({ name: "offset_minutes", type: "number", label: t("channel.offset"), hint: t("channel.offset-hint"), value: guide.offset_minutes, min: -1440, max: 1440, step: 15, required: true })],
      submit: t("do.save"),
      save: async (values) => {
        await change(context, () => api.patch(`/guides/${guide.id}`, values), t("guide.saved"), loadGuides);
        close(true);
      },
    })));
  }

  function add() {
    sheet(context, t("guide.add"), (body, close) => body.show(form({
      fields: [field({ name: "address", type: "url", label: t("guide.address"), hint: t("guide.address-hint"), placeholder: "https://…/guide.xml.gz", required: true })],
      submit: t("guide.add"),
      save: async (values) => {
        await change(context, () => api.post("/guides", values), t("guide.added"), loadGuides);
        close(true);
      },
    })));
  }

  // ---- Channels without programmes

  async function loadUnmatched() {
    const matches = await all(api, "/guides/matches", {}, UNMATCHED_MAX);
    if (signal.aborted) return;
    const missing = matches.filter((one) => one.guide === null && one.chosen !== "none");
    const list = (some) => h("ul", { class: "unmatched" }, some.map((one) => h("li", {}, h("a", { href: `#/channels?${new URLSearchParams({ search: one.name })}` }, h("span", { class: "no" }, one.number), " ", one.name))));
    if (missing.length === 0) fill(unmatched, h("p", { class: "soft" }, t("guide.unmatched-none")));
    else {
      fill(unmatched, h("p", { class: "soft" }, t("guide.unmatched-n", { n: missing.length })), h("div", { class: "card pad" }, list(missing.slice(0, 60)),
        missing.length > 60 && h("details", {}, h("summary", {}, t("guide.unmatched-more", { n: missing.length - 60 })), list(missing.slice(60)))));
    }
  }

  // ---- Begin

  const failing = (problem) => {
    fill(grid, h("div", { class: "empty", role: "row" }, h("span", { role: "gridcell" }, problem.status === 404 ? t("guide.nothing") : t("guide.not-now"))));
    if (problem.status !== 404) context.fail(problem);
  };
  await Promise.all([load().catch(failing), loadGuides().catch(context.fail), loadUnmatched().catch(context.fail)]);
  const ends = [again(async () => drawNow(), () => 15000), again(loadGuides, () => LOAD_MS)];
  return () => ends.forEach((end) => end());
}

const half = (ms) => Math.floor(ms / HALF_HOUR_MS) * HALF_HOUR_MS;
