// What the views Channels, Sources, Guide and System share: forms whose errors stand beside their fields, sheets,
// busy buttons, and undo. Not here: the views; the words (texts-manage-…).
// Invariant: an error loses nothing that somebody typed.

import { words } from "./app.js";
import { fill, h, icon, unique } from "./dom.js";
import { number, t } from "./texts.js";

/** An answer's items, whether it came as a list or in parts. */
export const items = (answer) => (Array.isArray(answer) ? answer : answer?.items ?? []);

/** Everything of a list that comes in parts, up to `most`. */
export async function all(api, path, values = {}, most = 5000) {
  const found = [];
  let after;
  do {
    const part = await api.get(api.path(path, { ...values, limit: 500, after }));
    found.push(...items(part));
    after = part.next ?? null;
  } while (after !== null && found.length < most);
  return found;
}

// ---- Forms

const isEmpty = (value) => value === "" || value === null || value === undefined;

/**
 * A labelled field: `{name, label, type, value, hint, options, required, …}`; the rest are attributes of the input.
 * Types beside those of HTML: select (`options`: [value, label]), area, lines (a list, one a line), check, choice (radios).
 */
export function field({ name, label, type = "text", value, hint, options = [], required, wide, ...rest }) {
  const id = unique(name);
  const problem = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const note = hint && h("p", { class: "hint", id: `${id}-hint` }, hint);
  const shared = {
    id, name, "aria-describedby": [note && `${id}-hint`, `${id}-wrong`].filter(Boolean).join(" "),
    "aria-required": required ? "true" : null, ...rest,
  };
  const asList = (list) => (list ?? []).join("\n");
  let input;
  let element;
  if (type === "choice") {
    const isPlain = options.every((option) => option.length === 2);
    const radios = options.map(([option, text, more]) => h("label", { class: isPlain ? "choice" : "option" },
      h("input", { type: "radio", name: id, value: option, checked: option === value, onchange: rest.onchange }),
      h("span", {}, text, more && h("span", { class: "hint" }, more))));
    input = radios[0].firstChild;
    element = h("fieldset", { class: "field", "aria-describedby": shared["aria-describedby"] },
      h("legend", { class: "label" }, label), note, h("div", { class: isPlain ? "choices" : "options" }, radios), problem);
  } else if (type === "check") {
    input = h("input", { ...shared, type: "checkbox", checked: Boolean(value) });
    element = h("div", { class: "field" }, h("label", { class: "check" }, input, h("span", {}, label)), note, problem);
  } else {
    if (type === "select") {
      input = h("select", { ...shared, value }, options.map(([option, text]) => h("option", { value: option }, text)));
    } else if (type === "area" || type === "lines") {
      input = h("textarea", { rows: 3, ...shared, value: type === "lines" ? asList(value) : value ?? "" });
    } else {
      const plain = { autocomplete: "off", autocapitalize: "none", spellcheck: "false" };
      input = h("input", { ...plain, ...shared, type, value: value ?? "" });
    }
    element = h("div", { class: wide ? "field wide" : "field" },
      h("label", { for: id }, label, !required && rest.optional !== false && required !== undefined
        ? h("span", { class: "soft" }, ` ${t("manage.optional")}`) : null), note, input, problem);
  }
  const read = () => {
    if (type === "choice") return element.querySelector("input:checked")?.value ?? null;
    if (type === "check") return input.checked;
    if (type === "file") return input.files[0] ?? null;
    if (type === "lines") return input.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (type === "number") return input.value.trim() === "" ? null : Number(input.value);
    return type === "password" ? input.value : input.value.trim();
  };
  const first = JSON.stringify(read());
  return {
    name, element, input, required, read,
    isChanged: () => type === "file" || JSON.stringify(read()) !== first,
    focus: () => input.focus(),
    fail(why) {
      problem.hidden = !why;
      fill(problem, why ? [icon("ill"), why] : []);
      if (why) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

/**
 * A form of such fields. `save(values, changed)` may throw what the API answered: it is shown beside the field that it
 * names, or below all of them.
 */
export function form({ fields, submit, save, more = [], kind = "primary" }) {
  const list = () => (typeof fields === "function" ? fields() : fields).flat(Infinity).filter((one) => one?.read);
  const problem = h("p", { class: "wrong", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: kind }, submit);
  const body = typeof fields === "function" ? [] : fields.flat(Infinity).filter(Boolean);
  const element = h("form", { class: "form", novalidate: true }, body.map((one) => one.element ?? one), problem,
    h("div", { class: "actions" }, button, more));
  element.onsubmit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    problem.hidden = true;
    const now = list();
    for (const one of now) one.fail(one.required && isEmpty(one.read()) ? t("manage.required") : null);
    const missing = now.find((one) => one.required && isEmpty(one.read()));
    if (missing) {
      missing.focus();
      return;
    }
    const read = (some) => Object.fromEntries(some.map((one) => [one.name, one.read()]));
    await busy(button, () => save(read(now), read(now.filter((one) => one.isChanged()))), (error) => {
      const at = now.find((one) => one.name === error?.field);
      if (at) {
        at.fail(words(error));
        at.focus();
      } else {
        problem.hidden = false;
        fill(problem, icon("ill"), words(error));
      }
    });
  };
  return element;
}

/** Runs `work` while the button cannot be pressed again; keeps the focus where it was. */
export async function busy(button, work, failed) {
  const had = document.activeElement === button;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    failed?.(error);
    return undefined;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    if (had && button.isConnected && (document.activeElement === document.body || !document.activeElement)) button.focus();
  }
}

// ---- Sheets, and what is said below the page

/** A dialog whose content may change; resolves when it is closed. `build(body, close)`; `body.show(…)` fills it anew. */
export function sheet(context, title, build, options) {
  return context.dialog(title, (close) => {
    const body = h("div", { class: "sheet" });
    body.show = (...children) => {
      fill(body, ...children);
      const first = body.querySelector("input:not([type=hidden]), select, textarea, button.primary, button");
      if (body.isConnected) first?.focus();
    };
    context.signal.addEventListener("abort", () => body.closest("dialog")?.close());
    build(body, close);
    return body;
  }, options);
}

/** Says what became of something, with one thing that can be done about it. */
function offer(text, label, work) {
  const list = document.getElementById("said");
  const close = () => item.remove();
  const item = h("div", { class: "said", "data-level": "good" }, icon("good"), h("p", {}, text),
    h("button", { class: "small", type: "button", onclick: async () => {
      close();
      await work();
    } }, label),
    h("button", { class: "quiet small", type: "button", "aria-label": t("do.close"), onclick: close }, icon("close")));
  // Only the last change is offered: on a phone, several of them would lie over what is pressed next.
  list.replaceChildren(item);
  setTimeout(close, 30000);
}

/** A button that does something once, and tells why not. */
export function doing(context, label, work, attributes = {}) {
  return h("button", { type: "button", ...attributes, onclick: (event) => busy(event.currentTarget, work, context.fail) }, label);
}

/** Changes something, says so, and offers to take it back. */
export async function change(context, work, said, shown) {
  const { api, say, fail } = context;
  const [before] = await api.get("/configurations?limit=1", { quiet: true }).then(items, () => []);
  await work();
  if (before) {
    offer(said, t("manage.undo"), async () => {
      try {
        await api.post(`/configurations/${before.revision}/restore`);
        say(t("manage.undone"));
        await shown?.();
      } catch (problem) {
        fail(problem);
      }
    });
  } else say(said);
  await shown?.();
}

// ---- Small things

/** Calls `work` again and again, `pause()` ms apart, while the page is looked at; returns how to end that. */
export function again(work, pause) {
  let timer;
  let ended = false;
  const next = async () => {
    if (!document.hidden) await work().catch(() => {});
    if (!ended) timer = setTimeout(next, pause());
  };
  timer = setTimeout(next, pause());
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** Calls `work` when nobody has typed for a moment. */
export function later(work, ms = 250) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), ms);
  };
}

/** Gives a file to the browser to keep. */
export function keep(name, blob) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60000);
}

/** Copies, also where the page is not fetched over TLS. */
export function copy(text, from) {
  const wish = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error());
  return wish.catch(() => {
    const area = h("textarea", { class: "unseen", value: text });
    (from.closest("dialog") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    from.focus();
    if (!done) throw new Error(t("manage.copy-not"));
  });
}

/** An address to type elsewhere, with a button that copies it. */
export function address(context, text, label) {
  const button = h("button", { type: "button", "aria-label": `${t("do.copy")}: ${label}` }, t("do.copy"));
  button.onclick = () => busy(button, async () => {
    await copy(text, button);
    fill(button, t("do.copied"));
    setTimeout(() => fill(button, t("do.copy")), 3000);
  }, context.fail);
  return h("span", { class: "address" }, h("code", {}, text), button);
}

/** A short word in a frame. */
export const chip = (text, level) => h("span", { class: "chip", "data-level": level }, text);

/** A list of facts; those without a value are left out. */
export function facts(list) {
  return h("dl", { class: "facts" }, list.filter(([, value]) => !isEmpty(value)).map(([name, value]) =>
    [h("dt", {}, name), h("dd", {}, typeof value === "number" ? number(value) : value)]));
}

/** A part of a view with a heading, and what stands beside that. */
export function part(title, beside, ...children) {
  const id = unique("part");
  return h("section", { class: "section", "aria-labelledby": id },
    h("div", { class: "section-head spread" }, h("h2", { id }, title), beside && h("div", { class: "row" }, beside)), children);
}

/** What stands where nothing is. */
export const nothing = (text, ...more) => h("div", { class: "card empty" }, h("p", {}, text), more);
