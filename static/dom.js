// The only way these pages make elements. Text is always a text node: nothing here parses HTML.

import { bind } from "./i18n.js";

/**
 * Makes an element.
 * `props`: `class`, `i18n` (key or [key, args] for the text), `label`, `tip`, `hint` (the same for
 * aria-label, title and placeholder), `on` ({event: handler}), `data`; everything else is an attribute.
 */
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") el.className = value;
    else if (name === "on") for (const [type, handler] of Object.entries(value)) el.addEventListener(type, handler);
    else if (name === "data") Object.assign(el.dataset, value);
    else if (name === "i18n") bind(el, "text", value);
    else if (name === "label") bind(el, "aria-label", value);
    else if (name === "tip") bind(el, "title", value);
    else if (name === "hint") bind(el, "placeholder", value);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  append(el, children);
  return el;
}

/** Adds children: nodes as they are, anything else as text; null and false are skipped. */
export function append(el, children) {
  for (const child of children.flat()) {
    if (child === undefined || child === null || child === false) continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces all children. */
export function fill(el, ...children) {
  el.replaceChildren();
  append(el, children);
  return el;
}

export const $ = (selector, root = document) => root.querySelector(selector);

const PATHS = {
  send: "M12 19V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M7.5 7.5h9v9h-9z",
  up: "M7 11v9H4v-9zM7 11l4-7.5c1.6 0 2.5 1.2 2.2 2.7L12.6 9.5h5.6c1.2 0 2 1.1 1.7 2.2l-1.7 6.6c-.2 1-1.1 1.7-2.1 1.7H7",
  down: "M17 13V4h3v9zM17 13l-4 7.5c-1.6 0-2.5-1.2-2.2-2.7l.6-3.3H5.8c-1.2 0-2-1.1-1.7-2.2l1.7-6.6C6 4.700 6.900 4 7.900 4H17",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.500 10 17.500 19.500 7",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  refresh: "M19.500 12a7.500 7.500 0 1 1-2.200-5.300L19.500 9M19.500 4.500V9H15",
  previous: "M14.500 6 8.500 12l6 6",
  next: "M9.500 6l6 6-6 6",
  expand: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
  menu: "M4 7h16M4 12h16M4 17h16",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM15.500 15.500 20 20",
  help: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17zM9.700 9.500a2.400 2.400 0 1 1 3.400 2.300c-.8.4-1.100.9-1.100 1.700M12 16.400v.100",
  chat: "M4 5h16v11h-9l-5 4v-4H4z",
  pause: "M8.500 6v12M15.500 6v12",
  play: "M8 5.500v13l10-6.500z",
  columns: "M4 5h16v14H4zM10 5v14M15 5v14",
  download: "M12 4v11M7.500 11 12 15.500 16.500 11M5 20h14",
  bookmark: "M7 4h10v16l-5-4-5 4z",
  filter: "M4 6h16l-6 7v6l-4-2v-4z",
  warning: "M12 4 2.800 20h18.400zM12 10v4.500M12 17.200v.100",
  overview: "M4 4h7v7H4zM13 4h7v4h-7zM13 10h7v10h-7zM4 13h7v7H4z",
  logs: "M4 6h2M9 6h11M4 12h2M9 12h11M4 18h2M9 18h11",
  trace: "M4 6h9M8 12h9M12 18h8",
  handoffs: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM5 20c0-3.500 3-6 7-6s7 2.500 7 6",
  tenants: "M4 20V9l6-4v15M10 20h10V10l-10-3M14 13v.100M17 13v.100M14 16.500v.100M17 16.500v.100",
  usage: "M5 20v-6M10 20V9M15 20v-8M20 20V5",
  isolation: "M12 3.500 5 6v6c0 4.300 3 7.300 7 8.500 4-1.200 7-4.200 7-8.500V6zM9 12l2.200 2.200L15.200 10",
  system: "M4 5h16v6H4zM4 13h16v6H4zM7.500 8v.100M7.500 16v.100",
  alerts: "M6 16.500V11a6 6 0 1 1 12 0v5.500l1.500 1.500h-15zM10 20.500h4",
  feedback: "M7 11v9H4v-9zM7 11l4-7.500c1.600 0 2.500 1.200 2.200 2.700L12.600 9.500h5.600c1.200 0 2 1.100 1.700 2.200l-1.700 6.600c-.2 1-1.100 1.700-2.100 1.700H7",
  gaps: "M12 6.500C10 5 7 5 4 5.500v13c3-.500 6-.500 8 1 2-1.500 5-1.500 8-1v-5M12 6.500v13M15 6.200a2.400 2.400 0 1 1 3.400 2.200c-.8.400-1.100.900-1.100 1.600M17.300 12.600v.100",
  audit: "M6 4h12v16H6zM9 8.500h6M9 12h6M9 15.500h4",
  settings: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4M4 12h4M12 12h8M10 10v4",
  leave: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
};

/** A decorative icon; the control around it carries the accessible name. */
export function icon(name) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that copies `text` and says so for a moment. */
export function copyButton(text, shown, label) {
  const mark = h("span", { class: "copy-mark" }, icon("copy"));
  const said = h("span", { class: "sr-only", role: "status" });
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      label: shown ? null : label,
      tip: label,
      on: {
        async click(event) {
          event.stopPropagation();
          if (!(await toClipboard(text))) return;
          fill(mark, icon("check"));
          bind(said, "text", "copied");
          setTimeout(() => {
            fill(mark, icon("copy"));
            said.textContent = "";
            delete said.dataset.i18nText;
          }, 1600);
        },
      },
    },
    // What is seen is part of the name, for those who say what they want to press.
    shown && [h("code", {}, shown), h("span", { class: "sr-only", i18n: label })],
    mark,
  );
  return h("span", { class: "copy-wrap" }, button, said);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http off localhost has no clipboard API: fall back to a selection.
    const area = h("textarea", { class: "sr-only", "aria-hidden": "true", readonly: true });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** The language and theme switches that both pages carry. */
export function pageSwitches(i18n) {
  const language = h(
    "select",
    { class: "input lang", label: "switch_language", tip: "switch_language", on: { change: () => i18n.setLanguage(language.value) } },
    Object.entries(i18n.LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name)),
  );
  const show = () => (language.value = i18n.language());
  show();
  i18n.onLanguage(show);
  const theme = h(
    "button",
    { type: "button", class: "quiet theme", label: "switch_theme", tip: "switch_theme", on: { click: switchTheme } },
    icon("theme"),
  );
  return [language, theme];
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("rag-tower.theme", root.dataset.theme);
  } catch {
    // Not remembered, still switched.
  }
}
