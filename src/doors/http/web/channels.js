// Channels: found, chosen, changed one by one or many at once, put in order; and the change sets that wait for a yes.
// The list comes in parts of a hundred, so that 40,000 channels are no more work than forty. Not here: groups of a
// provider and faces (sources.js).

import { PLEX_CHANNELS_MAX } from "./add.js";
import { words } from "./app.js";
import { fill, h, icon, morph, unique } from "./dom.js";
import { address, again, all, busy, change, chip, doing, facts, field, form, items, later, nothing, sheet } from "./manage.js";
import { ago, age, number, t } from "./texts.js";

const PART = 100;
/** So many channels' guide is asked for at once where a search leaves no neighbours to ask by. */
const MATCHES_MAX = 2000;
const BULK_MAX = 5000;

const plural = (key, n, values) => t(key, { n, ...values });

export async function channels(root, context) {
  const { api, status, ask, signal } = context;
  const view = {
    search: context.query.get("search") ?? "", group: context.query.get("group") ?? "", starts: [null], items: [], next: null,
    chosen: new Map(), anchor: null, ordering: false, matches: new Map(), matchesWhole: false, sources: [], groups: [],
  };

  // ---- Its parts

  const waiting = h("div", { class: "stack" });
  const warning = h("div");
  const find = h("input", {
    type: "search", id: unique("find"), value: view.search, placeholder: t("channel.find-hint"), autocomplete: "off",
    spellcheck: "false", enterkeyhint: "search", oninput: later(() => {
      view.search = find.value.trim();
      anew();
    }),
  });
  const groups = h("select", { id: unique("group"), onchange: () => {
    view.group = groups.value;
    anew();
  } });
  const order = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    view.ordering = !view.ordering;
    order.setAttribute("aria-pressed", String(view.ordering));
    draw();
  } }, t("channel.order"));
  const whole = h("input", { type: "checkbox", id: unique("all"), onchange: () => {
    for (const channel of view.items) choose(channel, whole.checked);
    drawChosen();
  } });
  const count = h("p", { class: "soft small-text", role: "status" });
  const list = h("ul", { class: "channels", "aria-label": t("channels.title"), onkeydown: keys });
  const pager = h("nav", { class: "pager", "aria-label": t("channel.parts") });
  // It stays when the list is drawn anew: somebody may be typing.
  const jump = h("input", { type: "number", min: 1, id: unique("jump"), inputmode: "numeric" });
  const jumping = h("form", { class: "row jump", onsubmit: (event) => {
    event.preventDefault();
    const at = Math.min(Math.max(Number(jump.value) || 1, 1), total()) - 1;
    view.starts = at === 0 ? [null] : [null, at];
    load().catch(context.fail);
  } }, h("label", { for: jump.id }, t("channel.jump")), jump, h("button", { type: "submit", class: "small" }, t("channel.jump-go")));
  const bar = h("div", { class: "bulk", role: "region", "aria-label": t("channel.bulk"), hidden: true });
  fill(root, waiting, warning,
    h("div", { class: "card" },
      h("div", { class: "tools pad", role: "search" },
        h("div", { class: "field" }, h("label", { for: find.id }, t("channel.find")), find),
        h("div", { class: "field" }, h("label", { for: groups.id }, t("channel.group")), groups)),
      h("div", { class: "tools-line" },
        h("label", { class: "check" }, whole, h("span", {}, t("channel.choose-all"))), count, order),
      list, pager),
    h("details", { class: "keys soft small-text" }, h("summary", {}, t("channel.keys")), h("p", {}, t("channel.keys-what"))),
    bar);

  // ---- Reading

  const path = (after, limit = PART) => api.path("/channels", { group: view.group, search: view.search, after, limit });

  async function load() {
    const asked = `${view.search}\n${view.group}\n${view.starts.length}`;
    list.setAttribute("aria-busy", "true");
    const start = view.starts.at(-1);
    const part = await api.get(path(start));
    if (asked !== `${view.search}\n${view.group}\n${view.starts.length}` || signal.aborted) return;
    list.removeAttribute("aria-busy");
    view.items = part.items;
    view.next = part.next;
    for (const channel of part.items) if (view.chosen.has(channel.id)) view.chosen.set(channel.id, channel);
    draw();
    loadMatches().catch(() => {});
  }

  /** Whose programmes they show. */
  async function loadMatches() {
    if (view.items.some((channel) => channel.guide !== undefined)) return;
    const missing = view.items.filter((channel) => !view.matches.has(channel.id));
    if (missing.length === 0) return;
    const isPlain = !view.search && !view.group;
    if (isPlain) {
      const start = view.starts.at(-1);
      const before = start > 0 ? (await api.get(`/channels?after=${start - 1}&limit=1`)).items[0]?.id : null;
      const part = await api.get(api.path("/guides/matches", { after: before, limit: PART }));
      for (const match of items(part)) view.matches.set(match.channel_id, match);
    } else if (!view.matchesWhole && total() <= MATCHES_MAX) {
      view.matchesWhole = true;
      for (const match of await all(api, "/guides/matches", {}, MATCHES_MAX)) view.matches.set(match.channel_id, match);
    } else return;
    if (!signal.aborted) draw();
  }

  const matchOf = (channel) => channel.guide ?? view.matches.get(channel.id);
  const total = () => status.now?.channels_len ?? view.items.length;

  async function anew() {
    view.starts = [null];
    view.anchor = null;
    await load().catch(context.fail);
  }

  async function again_() {
    view.matches.clear();
    view.matchesWhole = false;
    await Promise.all([load(), loadGroups()]).catch(context.fail);
    status.refresh();
  }

  // ---- Drawing

  function draw() {
    const focused = document.activeElement?.closest?.("li.channel");
    const had = focused && list.contains(focused) ? [focused.dataset.id, document.activeElement.dataset.part] : null;
    fill(list, view.items.map(row));
    if (view.items.length === 0) {
      fill(list, h("li", { class: "empty" }, h("p", {}, view.search || view.group ? t("channel.none-found") : t("channel.none")),
        !view.search && !view.group && h("a", { class: "button primary", href: "#/sources" }, t("source.add"))));
    }
    if (had) list.querySelector(`li[data-id="${had[0]}"] [data-part="${had[1]}"]`)?.focus();
    const isFiltered = Boolean(view.search || view.group);
    const first = isFiltered ? (view.starts.length - 1) * PART : view.starts.at(-1) ?? 0;
    count.textContent = view.items.length === 0 ? "" : t("channel.shown", {
      from: first + 1, to: first + view.items.length,
      all: isFiltered ? (view.next === null ? number(first + view.items.length) : t("channel.more")) : number(Math.max(total(), first + view.items.length)),
    });
    drawPager(isFiltered);
    drawChosen();
    drawWarning();
  }

  function drawPager(isFiltered) {
    const step = (label, name, can, work) => h("button", {
      type: "button", disabled: !can, onclick: async () => {
        work();
        await load().catch(context.fail);
        list.closest(".card").scrollIntoView({ block: "start" });
        list.querySelector("input")?.focus({ preventScroll: true });
      },
    }, name === "back" && icon("back"), label, name === "next" && icon("next"));
    pager.hidden = view.starts.length === 1 && view.next === null;
    jump.max = total();
    jumping.hidden = isFiltered;
    morph(pager,
      step(t("do.back"), "back", view.starts.length > 1, () => view.starts.pop()), jumping,
      step(t("do.next"), "next", view.next !== null, () => view.starts.push(view.next)));
  }

  function row(channel) {
    const id = unique("channel");
    const match = matchOf(channel);
    const box = h("input", {
      type: "checkbox", id, checked: view.chosen.has(channel.id), "data-part": "box", "aria-label": `${channel.number} ${channel.name}`,
      onclick: (event) => {
        if (event.shiftKey && view.anchor !== null) chooseTo(channel, box.checked);
        else {
          choose(channel, box.checked);
          view.anchor = channel.id;
        }
        drawChosen();
      },
    });
    const isRenamed = channel.listed_name !== null && channel.listed_name !== undefined;
    const many = channel.sources.length > 1 && t("channel.sources-n", { n: channel.sources.length });
    const sub = [channel.group, many, isRenamed && t("channel.listed", { name: channel.listed_name })].filter(Boolean).join(" · ");
    const move = (key, shape, by) => h("button", {
      type: "button", class: "quiet small", "data-part": key, "aria-label": t(`channel.${key}-name`, { name: channel.name }),
      onclick: (event) => busy(event.currentTarget, () => shift(channel, by), context.fail),
    }, icon(shape));
    return h("li", { class: "channel", "data-id": channel.id, "data-mark": channel.mark },
      h("span", { class: "box" }, box), h("span", { class: "no" }, channel.number), logo(channel),
      h("span", { class: "what" },
        h("button", { type: "button", class: "name", "data-part": "name", onclick: () => edit(channel) }, h("bdi", {}, channel.name)),
        sub && h("span", { class: "soft small-text sub" }, sub)),
      h("span", { class: "on small-text" }, match === undefined ? null : match.now_airing
        ? [h("span", { class: "unseen" }, `${t("channel.now")}: `), match.now_airing]
        : h("span", { class: "soft" }, match.guide || match.chosen === "none" ? "" : t("channel.no-guide"))),
      h("span", { class: "marks" },
        channel.mark === "favorite" && h("span", { class: "star" }, icon("star", t("channel.favorite"))),
        channel.mark === "hidden" && chip([icon("hide"), t("channel.hidden")])),
      view.ordering && h("span", { class: "order" }, move("up", "up", -1), move("down", "down", 1)));
  }

  function logo(channel) {
    const blank = () => h("span", { class: "logo", "aria-hidden": "true" }, [...channel.name.trim()][0] ?? "");
    if (!channel.image) return blank();
    const image = h("img", { class: "logo", src: channel.image.replace(/^\//, ""), alt: "", loading: "lazy", width: 40, height: 30 });
    image.onerror = () => image.replaceWith(blank());
    return image;
  }

  function drawWarning() {
    const n = status.now?.channels_len ?? 0;
    fill(warning, n > PLEX_CHANNELS_MAX && h("p", { class: "note", "data-level": "warn" }, icon("busy"),
      h("span", {}, plural("channel.plex", n, { most: PLEX_CHANNELS_MAX }), " ", h("a", { href: "#/sources/faces" }, t("channel.plex-do")))));
  }

  // ---- Choosing

  function choose(channel, is) {
    if (is) view.chosen.set(channel.id, channel);
    else view.chosen.delete(channel.id);
  }

  function chooseTo(channel, is) {
    const at = (id) => view.items.findIndex((one) => one.id === id);
    const [from, to] = [at(view.anchor), at(channel.id)].sort((one, other) => one - other);
    if (from < 0) return choose(channel, is);
    for (const one of view.items.slice(from, to + 1)) choose(one, is);
    return undefined;
  }

  function drawChosen() {
    for (const item of list.querySelectorAll("li.channel")) {
      const is = view.chosen.has(Number(item.dataset.id));
      item.querySelector("input").checked = is;
      item.classList.toggle("chosen", is);
    }
    const here = view.items.filter((channel) => view.chosen.has(channel.id)).length;
    whole.checked = here > 0 && here === view.items.length;
    whole.indeterminate = here > 0 && here < view.items.length;
    const n = view.chosen.size;
    bar.hidden = n === 0;
    if (n === 0) return;
    const isMore = view.next !== null || view.starts.length > 1;
    const button = (key, work, shape) => h("button", {
      type: "button", class: "small", onclick: work && ((event) => busy(event.currentTarget, work, context.fail)),
    }, shape && icon(shape), t(`channel.${key}`));
    const quiet = (key, work, more = {}) => h("button", { type: "button", class: "quiet small", onclick: work, ...more }, t(`channel.${key}`));
    fill(bar, h("div", { class: "bulk-box" },
      h("p", { class: "bulk-n", role: "status" }, plural("channel.chosen", n)),
      quiet("choose-none", () => {
        view.chosen.clear();
        drawChosen();
        whole.focus();
      }),
      h("div", { class: "bulk-do" },
        button("number", () => bulk("number_from")), button("set-group", () => bulk("group")), button("rename", () => bulk("replace")),
        button("favorite", () => mark("favorite"), "star"), button("hide", () => mark("hidden"), "hide"), button("plain", () => mark("plain")),
        button("move", () => bulk("move")), n > 1 && button("merge", merge),
        [...view.chosen.values()].some((one) => one.sources.length > 1) && button("split", split),
        isMore && quiet("choose-found", (event) => busy(event.currentTarget, chooseFound, context.fail)))));
  }

  async function chooseFound() {
    const found = await all(api, "/channels", { group: view.group, search: view.search }, BULK_MAX);
    for (const channel of found.slice(0, BULK_MAX)) choose(channel, true);
    drawChosen();
  }

  // ---- Changing many

  const ids = () => [...view.chosen.keys()];
  const patch = (channels, what) => api.patch("/channels", { channels, ...what }, { ms: 60000 });

  async function many(what, said) {
    await change(context, () => patch(ids(), what), said, again_);
  }

  const mark = (value) => many({ mark: value }, plural(`channel.done-${value}`, view.chosen.size));
  const split = () => many({ split: true }, plural("channel.done-split", view.chosen.size));

  async function merge() {
    const chosen = [...view.chosen.values()];
    const yes = await ask({
      title: t("channel.merge-title"), yes: t("channel.merge"),
      text: t("channel.merge-text", { name: chosen[0].name, others: chosen.slice(1).map((one) => one.name).join(", ") }),
    });
    if (!yes) return;
    await many({ merge: true }, t("channel.done-merge", { name: chosen[0].name }));
    view.chosen.clear();
    drawChosen();
  }

  const groupList = () => {
    const id = unique("groups");
    return [id, h("datalist", { id }, view.groups.map((group) => h("option", { value: group })))];
  };

  /** One thing for all that are chosen. */
  function bulk(what) {
    const n = view.chosen.size;
    const [listId, options] = groupList();
    const number_ = field({ name: "move_behind", label: t("channel.move-number"), inputmode: "decimal" });
    const where = field({
      name: "where", type: "choice", label: t("channel.move-where"), value: "behind",
      options: ["behind", "top", "list"].map((one) => [one, t(`channel.move-${one}`), t(`channel.move-${one}-hint`)]),
      onchange: () => { number_.element.hidden = where.read() !== "behind"; },
    });
    const kinds = {
      number_from: () => [field({ name: "number_from", label: t("channel.number-from"), required: true, hint: t("channel.number-hint"), inputmode: "decimal", value: [...view.chosen.values()][0].number })],
      group: () => [field({ name: "group", label: t("channel.group"), hint: t("channel.group-hint"), list: listId }), options],
      replace: () => [
        field({ name: "part", label: t("channel.replace-part"), required: true }),
        field({ name: "replace", label: t("channel.replace-with"), hint: t("channel.replace-hint") })],
      move: () => [where, number_],
    };
    sheet(context, t(`channel.bulk-${what}`, { n }), (body, close) => {
      body.show(form({
        fields: kinds[what](), submit: t("do.save"),
        save: async (values) => {
          const written = {
            number_from: () => ({ number_from: values.number_from }),
            group: () => ({ group: values.group || null }),
            replace: () => ({ replace: [values.part, values.replace] }),
            move: () => behind(values),
          }[what];
          const sent = await written();
          await many(sent, plural(`channel.done-${what}`, n));
          close(true);
        },
      }));
    });
  }

  async function behind({ where, move_behind: text }) {
    if (where === "top") return { move_behind: 0 };
    if (where === "list") return { move_behind: null };
    const found = text ? await api.get(api.path("/channels", { search: text, limit: 100 })) : { items: [] };
    const channel = found.items.find((one) => one.number === text);
    if (!channel) throw { field: "move_behind", detail: t("channel.no-number") };
    return { move_behind: channel.id };
  }

  // ---- Order

  /** One place up or down in what is shown. */
  async function shift(channel, by) {
    const at = view.items.findIndex((one) => one.id === channel.id);
    let behindId;
    if (by > 0) {
      behindId = view.items[at + 1]?.id ?? (view.next === null ? null : (await api.get(path(view.next, 1))).items[0]?.id);
    } else if (at >= 2) behindId = view.items[at - 2].id;
    else {
      const start = view.starts.at(-1) ?? 0;
      const place = start + at - 2;
      const isPlain = !view.search && !view.group;
      if (start + at === 0 || (!isPlain && at === 0)) behindId = null;
      else behindId = isPlain && place >= 0 ? (await api.get(`/channels?after=${place}&limit=1`)).items[0]?.id : 0;
    }
    if (behindId === null || behindId === undefined) {
      context.say(t(by > 0 ? "channel.is-last" : "channel.is-first", { name: channel.name }));
      return;
    }
    await change(context, () => patch([channel.id], { move_behind: behindId }), t("channel.moved", { name: channel.name }), again_);
  }

  function keys(event) {
    const item = event.target.closest("li.channel");
    if (!item) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const channel = view.items.find((one) => one.id === Number(item.dataset.id));
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      for (const one of view.items) choose(one, true);
      drawChosen();
    } else if (by && event.altKey) {
      event.preventDefault();
      shift(channel, by).catch(context.fail);
    } else if (by) {
      const next = by > 0 ? item.nextElementSibling : item.previousElementSibling;
      const target = next?.querySelector(`[data-part="${event.target.dataset.part}"]`) ?? next?.querySelector("input");
      if (!target) return;
      event.preventDefault();
      target.focus();
      if (event.shiftKey) {
        const other = view.items.find((one) => one.id === Number(next.dataset.id));
        choose(channel, true);
        choose(other, true);
        view.anchor = other.id;
        drawChosen();
      }
    }
  }

  // ---- One channel

  function edit(channel) {
    sheet(context, `${channel.number} ${channel.name}`, (body, close) => showOne(channel, body, close), { wide: true })
      .then(() => again_());
  }

  function showOne(channel, body, close) {
    const [listId, options] = groupList();
    const isOwn = (value) => value !== null && value !== undefined;
    const fields = [
      field({ name: "number_from", label: t("channel.number"), value: channel.number, required: true, inputmode: "decimal" }),
      field({ name: "name", label: t("setup.name"), value: channel.name, hint: isOwn(channel.listed_name) ? t("channel.name-own", { name: channel.listed_name }) : null, autocapitalize: "words" }),
      field({ name: "group", label: t("channel.group"), value: channel.group, list: listId, hint: isOwn(channel.listed_group) ? t("channel.name-own", { name: channel.listed_group }) : null }),
      field({ name: "logo", type: "url", label: t("channel.logo"), value: channel.logo, hint: t("channel.logo-hint") }),
      field({ name: "mark", type: "choice", label: t("channel.mark"), value: channel.mark, options: [["plain", t("channel.mark-plain")], ["favorite", t("channel.favorite")], ["hidden", t("channel.hidden")]] }),
    ];
    const editing = form({
      fields, submit: t("do.save"),
      save: async (_, changed) => {
        const wanted = Object.entries(changed);
        if (wanted.length === 0) return close(true);
        await change(context, async () => {
          for (const [name, value] of wanted) {
            const sent = name === "number_from" || name === "mark" ? value : value || null;
            await patch([channel.id], { [name]: sent });
          }
        }, t("source.saved", { name: channel.name }));
        return close(true);
      },
    });
    editing.classList.add("two");
    const sources = h("div", { class: "stack" });
    const guide = h("div", { class: "stack" });
    body.show(editing, options,
      h("div", { class: "panels" },
        h("section", { class: "panel" }, h("h3", {}, t("guide.title")), guide),
        h("section", { class: "panel" }, h("h3", {}, t("channel.sources")), sources),
        h("section", { class: "panel" }, h("h3", {}, t("channel.watch")), watch(channel)),
        h("section", { class: "panel" }, h("h3", {}, t("channel.place")), place(channel, close))));
    showSources(channel, sources);
    showGuide(channel, guide).catch(context.fail);
  }

  function place(channel, close) {
    const by = (key, shape, step) => doing(context, [icon(shape), t(`channel.${key}`)], () => shift(channel, step), { class: "small" });
    return h("div", { class: "row" }, by("up", "up", -1), by("down", "down", 1),
      h("button", { type: "button", class: "small", onclick: () => {
        view.chosen.clear();
        choose(channel, true);
        close(true);
        bulk("move");
      } }, t("channel.move")),
      channel.moved && doing(context, t("channel.move-list"), () => change(context, () => patch([channel.id], { move_behind: null }), t("channel.moved", { name: channel.name })), { class: "small quiet" }));
  }

  /** Shows it here, if this browser can, for as long as nobody else wants the tuner. */
  async function preview(channel) {
    const video = h("video", { controls: true, playsinline: true, hidden: true, "aria-label": channel.name });
    const said = h("p", { role: "status" });
    const more = h("div", { class: "stack" });
    const abort = new AbortController();
    const path = () => `/preview/${id}/index.m3u8`;
    let id;
    const over = (problem) => {
      if (abort.signal.aborted) return;
      end();
      id = undefined;
      video.hidden = true;
      video.removeAttribute("src");
      said.textContent = !problem ? t("preview.cannot") : problem.status === 409 ? t("preview.full") : [404, 410].includes(problem.status) ? t("preview.over") : words(problem);
      fill(more, problem && h("button", { type: "button", class: "primary", onclick: start }, t("preview.again")), watch(channel, false));
    };
    const look = () => id !== undefined && api.get(`${path()}?look`).catch(over);
    const start = async () => {
      said.textContent = t("preview.starts");
      fill(more);
      try {
        ({ id } = await api.post(`/channels/${channel.id}/preview`, undefined, { ms: 30000, signal: abort.signal }));
        if (abort.signal.aborted) return end();
        video.src = api.url(path());
        video.muted = true;
        video.hidden = false;
        said.textContent = t("preview.hint");
        video.play().catch(() => {});
      } catch (problem) {
        over(problem);
      }
    };
    const end = () => id !== undefined && api.delete(`/preview/${id}`).catch(() => {});
    video.onerror = video.onended = async () => await look() && over();
    const stop = again(async () => look(), () => 5000);
    const closed = sheet(context, `${channel.number} ${channel.name}`, (body) => body.append(video, said, more));
    if (video.canPlayType("application/vnd.apple.mpegurl")) start();
    else over();
    await closed;
    stop();
    abort.abort();
    video.removeAttribute("src");
    video.load();
    end();
  }

  function watch(channel, hasPreview = true) {
    const url = `${location.origin}/auto/v${channel.number}`;
    const line = (text) => text.replace(/[\r\n]+/g, " ");
    // A small playlist file opens in the player; the stream itself would be a download without an end.
    const file = `#EXTM3U\n#EXTINF:-1,${line(`${channel.number} ${channel.name}`)}\n${url}\n`;
    return h("div", { class: "stack" }, address(context, url, channel.name),
      h("p", { class: "row" }, hasPreview && h("button", { type: "button", class: "small", onclick: () => preview(channel) }, icon("play"), t("preview.do")), h("a", { class: "button small", download: `${channel.number.replace(/[^\w.-]/g, "_")}.m3u`, href: `data:audio/x-mpegurl;charset=utf-8,${encodeURIComponent(file)}` }, icon("play"), t("channel.vlc"))));
  }

  function showSources(channel, target) {
    const nameOf = (id) => view.sources.find((one) => one.id === id)?.name ?? t("channel.source-n", { n: id });
    const reorder = async (from, to) => {
      const places = channel.sources.map((_, at) => at);
      places.splice(to, 0, ...places.splice(from, 1));
      await change(context, () => patch([channel.id], { source_order: places }), t("source.saved", { name: channel.name }));
      channel.sources = places.map((at) => channel.sources[at]);
      showSources(channel, target);
      target.querySelectorAll("li")[to]?.querySelector("button:not(:disabled)")?.focus();
    };
    fill(target, h("ol", { class: "ordered" }, channel.sources.map((source, at) => h("li", { class: "row" },
      h("span", { class: "no" }, `${at + 1}.`), h("span", { class: "grow" }, source.name ?? h("span", { class: "soft" }, t("channel.source-gone")),
        h("span", { class: "soft small-text sub" }, nameOf(source.subscription_id), at > 0 && ` · ${t("channel.spare")}`)),
      channel.sources.length > 1 && [
        doing(context, icon("up"), () => reorder(at, at - 1), { class: "quiet small", disabled: at === 0, "aria-label": t("channel.source-up", { n: at + 1 }) }),
        doing(context, icon("down"), () => reorder(at, at + 1), { class: "quiet small", disabled: at === channel.sources.length - 1, "aria-label": t("channel.source-down", { n: at + 1 }) })]))),
    channel.sources.length === 0 && h("p", { class: "soft" }, t("channel.source-own")),
    channel.sources.length > 1
      ? doing(context, t("channel.split"), async () => {
        await change(context, () => patch([channel.id], { split: true }), plural("channel.done-split", 1));
        target.closest("dialog").close();
      }, { class: "small" })
      : h("p", { class: "soft small-text" }, t("channel.merge-hint")));
  }

  // ---- Its guide

  async function showGuide(channel, target, fresh = false) {
    let match = fresh ? undefined : matchOf(channel);
    if (!match) {
      const at = view.items.findIndex((one) => one.id === channel.id);
      const isPlain = !view.search && !view.group;
      const before = isPlain ? view.items[at - 1]?.id : undefined;
      const limit = before !== undefined ? 1 : 500;
      const part = await api.get(api.path("/guides/matches", { after: before, limit }));
      match = items(part).find((one) => one.channel_id === channel.id);
      if (match) view.matches.set(channel.id, match);
    }
    const { guides } = await api.get("/guides");
    const put = (what, said) => change(context, () => api.put(`/channels/${channel.id}/guide`, what), said, async () => {
      view.matches.delete(channel.id);
      await showGuide(channel, target, true);
    });
    const has = match && match.guide !== null && match.guide !== undefined;
    const offset = field({ name: "offset_minutes", type: "number", label: t("channel.offset"), hint: match?.offset_said_by === "playlist" ? t("channel.offset-playlist") : t("channel.offset-hint"), value: match?.offset_minutes ?? 0, min: -1440, max: 1440, step: 5 });
    fill(target,
      match?.chosen === "none" ? h("p", {}, t("channel.guide-none")) : has ? [
        h("p", {}, h("strong", {}, match.guide_name ?? match.guide_channel), " ", chip(t("channel.sure", { n: match.confidence }), match.confidence >= 90 ? "good" : match.confidence >= 60 ? "warn" : "ill")),
        facts([[t("channel.why"), match.reason && t(`channel.why-${match.reason}`)], [t("channel.now"), match.now_airing ?? t("channel.now-nothing")], [t("guide.programmes"), match.programmes]]),
      ] : h("p", { class: "soft" }, guides.length ? t("channel.guide-unmatched") : t("channel.guide-nobody")),
      h("div", { class: "row" },
        guides.length > 0 && h("button", { type: "button", class: "small", onclick: () => pick(channel, guides, target, put) }, t("channel.guide-choose")),
        match?.chosen !== "automatic" && match && doing(context, t("channel.guide-auto"), () => put({ chosen: "automatic" }, t("source.saved", { name: channel.name })), { class: "small quiet" }),
        match?.chosen !== "none" && doing(context, t("channel.guide-not"), () => put({ chosen: "none" }, t("source.saved", { name: channel.name })), { class: "small quiet" })),
      has && h("details", {}, h("summary", {}, t("channel.offset-title")), form({
        fields: [offset], submit: t("do.save"),
        save: ({ offset_minutes: minutes }) => put({ offset_minutes: minutes }, t("source.saved", { name: channel.name })),
      })));
  }

  /** Channels of a guide, with what is on there now. */
  function pick(channel, guides, target, put) {
    const found = h("ul", { class: "picks", "aria-live": "polite" });
    const from = field({ name: "guide", type: "select", label: t("guide.title"), options: guides.map((one) => [one.id, one.address]), onchange: () => look() });
    const search = field({ name: "search", type: "search", label: t("channel.guide-find"), value: channel.name.split(" ")[0], oninput: later(() => look()) });
    const look = async () => {
      const guide = Number(from.read());
      const offered = items(await api.get(api.path(`/guides/${guide}/channels`, { search: search.read() })).catch((error) => {
        context.fail(error);
        return [];
      }));
      fill(found, offered.slice(0, 50).map((one) => h("li", {}, h("button", { type: "button", class: "pick", onclick: (event) => busy(event.currentTarget, () => put({ chosen: "guide", guide, guide_channel: one.id }, t("source.saved", { name: channel.name })), context.fail) },
        h("strong", {}, one.names[0] ?? one.id), h("span", { class: "soft small-text" }, one.now_airing ?? t("channel.now-nothing"))))),
      offered.length === 0 && h("li", { class: "soft" }, t("channel.guide-not-found")));
    };
    fill(target, from.element, search.element, found, h("div", { class: "row" },
      h("button", { type: "button", class: "small", onclick: () => showGuide(channel, target) }, t("do.cancel"))));
    search.focus();
    look();
  }

  // ---- Change sets

  /** Those of the channels, whoever put them there. */
  async function loadGroups() {
    const found = items(await api.get("/channels/groups"));
    if (signal.aborted) return;
    view.groups = found.map(({ name }) => name).sort((one, other) => one.localeCompare(other));
    const known = view.group && !view.groups.includes(view.group) ? [view.group] : [];
    fill(groups, h("option", { value: "" }, t("channel.group-all")), [...known, ...view.groups].map((group) => h("option", { value: group }, group)));
    groups.value = view.group;
  }

  async function loadSources() {
    view.sources = items(await api.get("/subscriptions"));
    const sets = await Promise.all(view.sources.map((one) => api.get(`/subscriptions/${one.id}/changes`).then(items, () => [])));
    if (signal.aborted) return;
    const open = view.sources.map((one, at) => [one, sets[at].find((set) => set.state === "waiting")]).filter(([, set]) => set);
    context.badge("channels", open.length);
    fill(waiting, open.map(([source, set]) => changeSet(source, set)));
  }

  function changeSet(source, set) {
    const kinds = ["new", "gone", "renamed", "moved", "changed"].filter((kind) => set[kind] > 0);
    const inside = h("div", { class: "stack" });
    const decide = async (what, said) => {
      await change(context, () => api.post(`/subscriptions/${source.id}/${what}`), said, async () => {
        await Promise.all([loadSources(), again_()]);
      });
      find.focus();
    };
    const details = h("details", { ontoggle: () => {
      if (details.open && !inside.firstChild) showDifferences(source, set, inside).catch(context.fail);
    } }, h("summary", {}, t("change.look")), inside);
    return h("section", { class: "card pad stack changeset", "aria-label": t("change.title", { name: source.name }) },
      h("div", { class: "row spread" }, h("h2", {}, t("change.title", { name: source.name })),
        h("span", { class: "soft small-text" }, age(set.at) === null ? null : ago(age(set.at)))),
      h("div", { class: "row" }, kinds.map((kind) => chip(plural(`change.${kind}`, set[kind]), { new: "good", gone: "ill" }[kind] ?? "busy"))),
      h("p", { class: "soft small-text" }, t("change.yours")), details,
      h("div", { class: "row" },
        doing(context, t("change.approve"), () => decide("approve", t("change.approved")), { class: "primary" }),
        doing(context, t("change.refuse"), () => decide("refuse", t("change.refused")))));
  }

  async function showDifferences(source, set, target, after) {
    const part = await api.get(api.path(`/subscriptions/${source.id}/changes/${set.batch}`, { limit: 200, after }));
    target.querySelector(".more")?.remove();
    target.append(h("ul", { class: "differences", tabindex: "0", "aria-label": t("change.look") }, part.items.map((one) => {
      const kind = one.before === null ? "new" : one.after === null ? "gone" : one.before === one.after ? "changed" : "renamed";
      return h("li", {}, chip(t(`change.is-${kind}`), { new: "good", gone: "ill" }[kind] ?? "busy"),
        h("span", {}, kind === "renamed" ? `${one.before} → ${one.after}` : one.after ?? one.before),
        one.group && h("span", { class: "soft small-text" }, one.group));
    })));
    if (part.next !== null) {
      target.append(doing(context, t("channel.more"), () => showDifferences(source, set, target, part.next), { class: "small more" }));
    }
  }

  // ---- Begin

  status.subscribe(() => drawWarning());
  await Promise.all([load(), loadGroups().catch(context.fail), loadSources().catch(context.fail)]);
  return again(() => Promise.all([loadGroups(), loadSources()]), () => 30000);
}
