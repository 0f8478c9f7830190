// Making and updating elements. Not here: words (texts.js), looks (style.css), what is shown (the views).
// Invariant: text enters as text, never as markup; no style attributes, the page's policy forbids them.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "g", "use", "circle", "rect", "line", "polyline", "polygon", "text", "title"]);
const IN_PLACE = ["value", "checked", "disabled", "selected", "indeterminate"];

/** What of `children` is shown: lists flattened; null, undefined, false and true left out; all else as text. */
function nodes(children) {
  const list = children.flat(Infinity).filter((child) => child !== null && child !== undefined && typeof child !== "boolean");
  return list.map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/**
 * Makes an element: `h("button", {class: "primary", onclick: save}, "Save")`.
 *
 * Attributes that are null, undefined or false are left out, true is "". `on…` are listeners, `key` tells siblings apart
 * for `morph`. `value`, `checked`, `disabled`, `selected` and `indeterminate` are set as properties.
 */
export function h(tag, attributes = {}, ...children) {
  const isSvg = SVG_TAGS.has(tag) && !(tag === "title" && attributes.html);
  const element = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "key") element.key = value;
    else if (name.startsWith("on")) {
      element[name] = value;
      (element.listeners ??= []).push(name);
    } else if (value === null || value === undefined || value === false) continue;
    else if (IN_PLACE.includes(name) && name in element) {
      if (name !== "value") element[name] = value;
      else if (element instanceof HTMLOptionElement || element instanceof HTMLButtonElement) element.setAttribute(name, value);
    } else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...nodes(children));
  // Only now has a <select> the options to choose from.
  if (attributes.value !== undefined && attributes.value !== null && "value" in element) element.value = attributes.value;
  return element;
}

/** One of the shapes in index.html; decoration, unless it has a `label`. */
export function icon(name, label) {
  const attributes = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return h("svg", { class: "icon", ...attributes }, h("use", { href: `#i-${name}` }));
}

const isAlike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.key === other.key;

/**
 * Makes the children of `target` equal to `children`, and keeps those elements that are alike: focus, selection, what
 * somebody types and what he has opened stay. So a view may describe itself anew whenever the state changes.
 */
export function morph(target, ...children) {
  const wanted = nodes(children);
  const keyed = new Map();
  for (const child of target.childNodes) if (child.key !== undefined) keyed.set(child.key, child);
  const keys = new Set(wanted.map((want) => want.key));
  let at = target.firstChild;
  for (const want of wanted) {
    let have = at;
    if (want.key !== undefined && keyed.get(want.key)?.nodeName === want.nodeName) {
      have = keyed.get(want.key);
      keyed.delete(want.key);
    } else if (at && !isAlike(at, want)) {
      // Something was taken out or put in before: look a little further for the one that fits.
      have = at.nextSibling && isAlike(at.nextSibling, want) && want.key === undefined ? at.nextSibling : null;
    }
    if (!have || !isAlike(have, want)) {
      target.insertBefore(want, at);
      continue;
    }
    // What is moved loses the focus, so what stands before it goes.
    const hasFocus = have.contains(document.activeElement);
    while (at && at !== have && (at.key === undefined || !keys.has(at.key) || hasFocus)) {
      const next = at.nextSibling;
      if (at.key !== undefined && keys.has(at.key)) target.append(at);
      else at.remove();
      at = next;
    }
    if (have === at) at = at.nextSibling;
    else target.insertBefore(have, at);
    update(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function update(have, want) {
  if (have === want) return;
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const { name } of [...have.attributes]) {
    // Whether it is open is up to the reader.
    if (!want.hasAttribute(name) && name !== "open") have.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (name !== "open" && have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const name of have.listeners ?? []) have[name] = null;
  for (const name of want.listeners ?? []) have[name] = want[name];
  have.listeners = want.listeners;
  if (have.localName !== "textarea") morph(have, ...want.childNodes);
  for (const name of IN_PLACE) {
    const isTyped = have === document.activeElement && (name === "value" || name === "checked");
    if (name in want && !isTyped && have[name] !== want[name] && typeof want[name] !== "object") have[name] = want[name];
  }
}

/** Empties `target` and puts `children` in. */
export function fill(target, ...children) {
  target.replaceChildren(...nodes(children));
}

let ids = 0;
/** A name for `id`, `for` and `aria-…`, different each time. */
export const unique = (word) => `${word}-${(ids += 1)}`;
